"""The same equations in JAX, compiled by XLA: `lax.scan`, `lax.associative_scan`, matrix product, shifted sums."""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import work
from jax import Array, lax
from workers.protocol import Arrays, Job, serve

Parameters = dict[str, Array]
Neuron = Callable[[Parameters, Array], Array]
Step = Callable[[Parameters, Any, Array], tuple[Any, Array]]


@jax.custom_jvp
def heaviside(x: Array) -> Array:
    return (x >= 0).astype(x.dtype)


@heaviside.defjvp
def _atan(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents
    return heaviside(x), dx / (1 + (jnp.pi * x) ** 2)


@jax.custom_jvp
def ramp(x: Array) -> Array:
    return jnp.clip(jnp.round(x), 0, work.LEVELS)


@ramp.defjvp
def _clip(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents
    return ramp(x), jnp.where((x >= 0) & (x <= work.LEVELS), dx, 0)


def lif_step(_: Parameters, v: Array, x_t: Array) -> tuple[Array, Array]:
    h = v + (x_t - v) / work.TAU
    s = heaviside(h - 1)
    return h - lax.stop_gradient(s), s


def delayed_lif_step(_: Parameters, left: Array, x_t: Array) -> tuple[Array, Array]:
    u = left + x_t
    s = heaviside(u - 1)
    return (1 - 1 / work.TAU) * u - lax.stop_gradient(s), s


_LEAK = float(np.exp(work.STATE_LEAKY_BETA - 1))


def leaky_step(_: Parameters, v: Array, x_t: Array) -> tuple[Array, Array]:
    v = _LEAK * v + x_t
    return v, heaviside(v - 1)


def sliding_step(p: Parameters, window: Array, x_t: Array) -> tuple[Array, Array]:
    seen = jnp.concatenate([window, x_t[None]])
    return seen[1:], heaviside(jnp.tensordot(p["weight"], seen, 1) + p["bias"])


def dsn_step(p: Parameters, state: tuple[Array, Array], x_t: Array) -> tuple[tuple[Array, Array], Array]:
    h, window = state
    seen = jnp.concatenate([window, x_t[None]])
    decay, drive = _decay_and_drive(p, seen)
    h = decay[0] * h + drive[0]
    return (h, seen[1:]), ramp(h)


def _shifted(x: Array) -> list[Array]:
    padded = jnp.concatenate([jnp.zeros((work.ORDER - 1, *x.shape[1:]), x.dtype), x])
    return [padded[i : i + len(x)] for i in range(work.ORDER)]


def _decay_and_drive(p: Parameters, padded: Array) -> tuple[Array, Array]:
    x = padded[work.ORDER - 1 :]
    gate = p["bias"] + sum(p["weight"][:, i] * padded[i : i + len(x)] for i in range(work.ORDER))
    log_decay = jax.nn.log_sigmoid(gate) / work.DSN_TAU
    return jnp.exp(log_decay), -jnp.expm1(log_decay) * x


def _compose(a: tuple[Array, Array], b: tuple[Array, Array]) -> tuple[Array, Array]:
    return a[0] * b[0], b[0] * a[1] + b[1]


def psn(p: Parameters, x: Array) -> Array:
    h = p["weight"] @ x.reshape(len(x), -1) + p["bias"][:, None]
    return heaviside(h).reshape(x.shape)


def masked_psn(p: Parameters, x: Array) -> Array:
    ones = jnp.ones_like(p["weight"])
    return psn({"weight": p["weight"] * (jnp.tril(ones) - jnp.tril(ones, -work.ORDER)), "bias": p["bias"]}, x)


def sliding_psn(p: Parameters, x: Array) -> Array:
    return heaviside(sum(p["weight"][i] * part for i, part in enumerate(_shifted(x))) + p["bias"])


def leaky_associative(_: Parameters, x: Array) -> Array:
    return heaviside(lax.associative_scan(_compose, (jnp.full_like(x, _LEAK), x))[1] - 1)


def dsn(p: Parameters, x: Array, associative: bool) -> Array:
    decay, drive = _decay_and_drive(p, jnp.concatenate([jnp.zeros((work.ORDER - 1, *x.shape[1:]), x.dtype), x]))
    if associative:
        return ramp(lax.associative_scan(_compose, (decay, drive))[1])

    def step(h: Array, given: tuple[Array, Array]) -> tuple[Array, Array]:
        h = given[0] * h + given[1]
        return h, h

    return ramp(lax.scan(step, jnp.zeros_like(x[0]), (decay, drive))[1])


STEPS: dict[str, Step] = {
    "lif": lif_step,
    "delayed_lif": delayed_lif_step,
    "leaky": leaky_step,
    "sliding_psn": sliding_step,
    "dsn": dsn_step,
}


def at_rest(task: str, x_t: Array) -> Any:
    membrane, window = jnp.zeros_like(x_t), jnp.zeros((work.ORDER - 1, *x_t.shape), x_t.dtype)
    return {"sliding_psn": window, "dsn": (membrane, window)}.get(task, membrane)


def neuron(task: str, variant: str) -> Neuron:
    """All of time at once."""
    whole: dict[str, Neuron] = {"psn": psn, "masked_psn": masked_psn, "sliding_psn": sliding_psn}
    if task in whole:
        return whole[task]
    associative = variant.endswith("associative_scan")
    if task == "dsn":
        return lambda p, x: dsn(p, x, associative)
    if associative:
        return leaky_associative
    return lambda p, x: lax.scan(lambda v, x_t: STEPS[task](p, v, x_t), jnp.zeros_like(x[0]), x)[1]


def load(asked: dict[str, Any], arrays: Arrays) -> Job:
    values = {name: jnp.asarray(value) for name, value in arrays.items()}
    task, run = asked["task"], neuron(asked["task"], asked["variant"])
    match asked["kind"]:
        case "layer" | "start":
            return _layer(run, _part(values, "neuron"), values["x"], values["grad"])
        case "step":
            return _step(task, _part(values, "neuron"), values["x"])
        case "stream":
            return _stream(task, values)
        case "training":
            return _training(run, values)
    raise ValueError(f"no such kind of work: {asked['kind']}")


def _part(values: Parameters, prefix: str) -> Parameters:
    return {name.removeprefix(prefix + "."): value for name, value in values.items() if name.startswith(prefix + ".")}


def _layer(run: Neuron, learnt: Parameters, x: Array, grad: Array) -> Job:
    forward = jax.jit(run)

    @jax.jit
    def both(learnt: Parameters, x: Array, grad: Array) -> tuple[Array, tuple[Parameters, Array]]:
        spikes, pull = jax.vjp(run, learnt, x)
        return spikes, pull(grad)

    def outputs(gradients: bool) -> Arrays:
        if not gradients:
            return {"spikes": np.asarray(forward(learnt, x))}
        spikes, (grads, grad_x) = both(learnt, x, grad)
        named = {f"grad {name}": np.asarray(value).ravel() for name, value in grads.items()}
        return {"spikes": np.asarray(spikes), "grad x": np.asarray(grad_x).ravel(), **named}

    def first() -> object:
        return jax.block_until_ready(both(learnt, x, grad))

    return Job(
        {work.FORWARD: lambda: jax.block_until_ready(forward(learnt, x)), work.BOTH: first, work.FIRST: first}, outputs
    )


def _step(task: str, learnt: Parameters, x: Array) -> Job:
    step, steps = jax.jit(STEPS[task]), list(x)

    def run() -> list[Array]:
        state, spikes = at_rest(task, steps[0]), []
        for x_t in steps:
            state, s = step(learnt, state, x_t)
            spikes.append(jax.block_until_ready(s))
        return spikes

    return Job({work.STEP: run}, lambda _: {"spikes": np.stack([np.asarray(s) for s in run()])})


def _block(w: Parameters, i: int, x: Array) -> Array:
    x = x @ w[f"linear{i}.weight"].T + w[f"linear{i}.bias"]
    mean = x.mean(-1, keepdims=True)
    x = (x - mean) * lax.rsqrt(((x - mean) ** 2).mean(-1, keepdims=True) + 1e-5)
    return x * w[f"norm{i}.weight"] + w[f"norm{i}.bias"]


def _head(w: Parameters, x: Array) -> Array:
    return x @ w["head.weight"].T + w["head.bias"]


def _weights(values: Parameters) -> Parameters:
    return {name: value for name, value in values.items() if name not in ("images", "labels")}


def _stream(task: str, values: Parameters) -> Job:
    weights, pixels = _weights(values), [pixel.reshape(1, 1) for pixel in values["images"][0]]

    @jax.jit
    def step(w: Parameters, state: list[Any], total: Array, x: Array) -> tuple[list[Any], Array]:
        after = []
        for i, before in enumerate(state):
            carried, x = STEPS[task](_part(w, f"neuron{i}"), before, _block(w, i, x))
            after.append(carried)
        return after, total + _head(w, x)

    def run() -> Array:
        state = [at_rest(task, jnp.zeros((1, work.WIDTH))) for _ in range(work.DEPTH)]
        total = jnp.zeros((1, work.CLASSES))
        for pixel in pixels:
            state, total = step(weights, state, total, pixel)
            total.block_until_ready()
        return total / len(pixels)

    return Job({work.STREAM: run}, lambda _: {"answer": np.asarray(run())})


def _training(run: Neuron, values: Parameters) -> Job:
    T = values["images"].shape[1]
    images = jnp.asarray(values["images"].reshape(4, -1, T).transpose(0, 2, 1)[..., None])
    batches = itertools.cycle(zip(list(images), list(values["labels"].reshape(4, -1)), strict=True))

    def loss_of(w: Parameters, x: Array, labels: Array) -> Array:
        for i in range(work.DEPTH):
            x = run(_part(w, f"neuron{i}"), _block(w, i, x))
        logits = _head(w, x).mean(0)
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1).mean()

    @jax.jit
    def adam(w: Parameters, m: Parameters, v: Parameters, t: Array, x: Array, labels: Array) -> Any:
        loss, grads = jax.value_and_grad(loss_of)(w, x, labels)
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, grads)

        def moved(w: Array, m: Array, v: Array) -> Array:
            return w - 1e-3 * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)

        return jax.tree.map(moved, w, m, v), m, v, t + 1, loss

    weights = _weights(values)
    zeros = jax.tree.map(jnp.zeros_like, weights)
    state: Any = (weights, zeros, zeros, jnp.float32(1))

    def train() -> float:
        nonlocal state
        *state, loss = adam(*state, *next(batches))
        jax.block_until_ready(state)
        return float(loss)

    return Job({work.TRAIN: train}, lambda _: {"answer": np.array([train() for _ in range(3)], np.float32)})


if __name__ == "__main__":
    serve(load)
