"""Work in torch, around the neurons of whichever library."""

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import work
from torch import Tensor, nn
from torch.nn import functional
from workers.protocol import Arrays, Job, Load


class Layer(NamedTuple):
    """Neurons of a library, with the weights of the cell."""

    run: Callable[[Tensor], Tensor]
    """``[T, B, C]`` to spikes, from rest."""
    learnt: dict[str, nn.Parameter]
    start: Callable[[], Callable[[Tensor], Tensor]] | None = None
    """A function of one step, ``[B, C]`` to spikes, at rest."""


Build = Callable[[str, str, dict[str, nn.Parameter]], Layer]


class Ramp(torch.autograd.Function):
    """Integer spikes: clip(round(H), 0, levels), whose gradient is that of the clip alone."""

    @staticmethod
    def forward(ctx: Any, membrane: Tensor) -> Tensor:
        ctx.save_for_backward(membrane)
        return membrane.round().clamp(0, work.LEVELS)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (membrane,) = ctx.saved_tensors
        return grads[0] * ((membrane >= 0) & (membrane <= work.LEVELS))


Stream = Callable[[str, Arrays], Callable[[list[Tensor]], Tensor]]


class Between(NamedTuple):
    """What a network has between its neurons, as functions."""

    linear: Callable[[Tensor, Tensor, Tensor], Tensor]
    """Input, weight, bias."""
    norm: Callable[[Tensor, Tensor, Tensor], Tensor]
    """Input, gain, offset: a layer norm of the last axis."""


TORCHS = Between(functional.linear, lambda x, gain, offset: functional.layer_norm(x, x.shape[-1:], gain, offset))


def loader(build: Build, stream: Stream | None = None, between: Between = TORCHS) -> Load:
    """``build(variant, task, parameters)`` as a worker's `load`.

    A library with a way of its own to run a network on a stream has ``stream(task, arrays)``: from all pixels to the answer.
    One with linear layers and norms of its own trains with them.
    """

    def load(asked: dict[str, Any], arrays: Arrays) -> Job:
        def part(prefix: str) -> Layer:
            found = {name: value for name, value in arrays.items() if name.startswith(prefix + ".")}
            values = {name.removeprefix(prefix + "."): _parameter(value) for name, value in found.items()}
            return build(asked["variant"], asked["task"], values)

        match asked["kind"]:
            case "layer" | "start":
                return _layer(part("neuron"), torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["grad"]))
            case "step":
                return _step(part("neuron"), torch.from_numpy(arrays["x"]))
            case "stream":
                run = stream(asked["task"], arrays) if stream else _by_parts(_Network(arrays, part, between))
                return _stream(run, torch.from_numpy(arrays["images"][0]))
            case "training":
                return _training(_Network(arrays, part, between), arrays)
        raise ValueError(f"no such kind of work: {asked['kind']}")

    return load


def _parameter(array: Any) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(array))


def _layer(layer: Layer, x: Tensor, grad: Tensor) -> Job:
    leaf = x.requires_grad_()
    leaves = {"x": leaf, **layer.learnt}

    def forward() -> Tensor:
        with torch.no_grad():
            return layer.run(leaf)

    def both() -> tuple[Tensor, ...]:
        spikes = layer.run(leaf)
        return spikes, *torch.autograd.grad(spikes, list(leaves.values()), grad)

    def outputs(gradients: bool) -> Arrays:
        if not gradients:
            return {"spikes": forward().numpy()}
        spikes, *grads = both()
        named = {f"grad {name}": value.numpy().ravel() for name, value in zip(leaves, grads, strict=True)}
        return {"spikes": spikes.detach().numpy(), **named}

    y = torch.empty_like(x)

    def add() -> Tensor:
        with torch.no_grad():
            return torch.add(x, 1, out=y)

    return Job({work.FORWARD: forward, work.BOTH: both, work.FLOOR: add, work.FIRST: both}, outputs)


def _step(layer: Layer, x: Tensor) -> Job:
    assert layer.start is not None
    start, steps = layer.start, x.unbind(0)

    @torch.inference_mode()
    def run() -> list[Tensor]:
        step = start()
        return [step(x_t) for x_t in steps]

    return Job({work.STEP: run}, lambda _: {"spikes": torch.stack(run()).numpy()})


class _Network:
    """3 x (linear, layer norm, neuron), a linear head, its mean over time."""

    def __init__(self, arrays: Arrays, part: Callable[[str], Layer], between: Between) -> None:
        self.between = between
        plain = {name: value for name, value in arrays.items() if name.startswith(("linear", "norm", "head"))}
        self.weights = {name: _parameter(value) for name, value in plain.items()}
        self.neurons = [part(f"neuron{i}") for i in range(work.DEPTH)]

    def learnt(self) -> list[nn.Parameter]:
        return [*self.weights.values(), *itertools.chain(*(layer.learnt.values() for layer in self.neurons))]

    def logits(self, x: Tensor, neurons: list[Callable[[Tensor], Tensor]]) -> Tensor:
        return self._logits(x, neurons, self.between)

    def without_neurons(self, x: Tensor) -> Tensor:
        """The same for all libraries, so with torch's layers: what a batch cannot go below while they are used."""
        return self._logits(x, [lambda x: x] * work.DEPTH, TORCHS)

    def _logits(self, x: Tensor, neurons: list[Callable[[Tensor], Tensor]], between: Between) -> Tensor:
        w = self.weights
        for i, neuron in enumerate(neurons):
            x = between.linear(x, w[f"linear{i}.weight"], w[f"linear{i}.bias"])
            x = neuron(between.norm(x, w[f"norm{i}.weight"], w[f"norm{i}.bias"]))
        return between.linear(x, w["head.weight"], w["head.bias"])


def _by_parts(network: _Network) -> Callable[[list[Tensor]], Tensor]:
    def run(pixels: list[Tensor]) -> Tensor:
        starts = [layer.start for layer in network.neurons]
        steps = [start() for start in starts if start is not None]
        total = torch.zeros(1, work.CLASSES)
        for pixel in pixels:
            total += network.logits(pixel, steps)
        return total / len(pixels)

    return run


def _stream(run: Callable[[list[Tensor]], Tensor], image: Tensor) -> Job:
    pixels = list(image.view(-1, 1, 1).unbind(0))

    @torch.inference_mode()
    def answer() -> Tensor:
        return run(pixels)

    return Job({work.STREAM: answer}, lambda _: {"answer": answer().numpy()})


def _training(network: _Network, arrays: Arrays) -> Job:
    T = arrays["images"].shape[1]
    images = torch.from_numpy(arrays["images"]).view(4, -1, T).transpose(1, 2).unsqueeze(-1).contiguous()
    batches = itertools.cycle(zip(images, torch.from_numpy(arrays["labels"]).view(4, -1), strict=True))
    optimiser = torch.optim.Adam(network.learnt(), lr=1e-3)

    def train(logits: Callable[[Tensor], Tensor]) -> float:
        x, labels = next(batches)
        loss = functional.cross_entropy(logits(x).mean(0), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.item()

    neurons = [layer.run for layer in network.neurons]
    batch = functools.partial(train, lambda x: network.logits(x, neurons))
    bare = functools.partial(train, network.without_neurons)
    return Job(
        {work.TRAIN: batch, work.NO_NEURONS: bare},
        lambda _: {"answer": torch.tensor([batch() for _ in range(3)]).numpy()},
    )
