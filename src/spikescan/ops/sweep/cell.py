"""A neuron's step, written once: traced into a program, differentiated, and compiled by every backend."""

import functools
import hashlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch

from spikescan.errors import InputError

__all__ = ["Cell", "Fire", "Node", "Program", "cell_of", "detach", "exp", "floor", "relu", "sigmoid", "where"]


class Node:
    """A value inside a step: the result of an operation on others, on numbers, or an input of the step.

    Inputs are ``Node("x")``, ``Node("state", i)``, ``Node("parameter", i)``, ``Node("unit")``, and in the gradient of a
    step ``Node("grad", i)``, the gradient of its i-th output, and ``Node("total", i)``, a sum that goes on.
    """

    __slots__ = ("inputs", "op")
    __hash__ = object.__hash__

    def __init__(self, op: str, *inputs: Any) -> None:
        self.op = op
        self.inputs = inputs

    def __bool__(self) -> bool:
        raise InputError(
            "A cell's step cannot branch on a value: neurons beside each other would differ. Use where(...)."
        )

    def __add__(self, other: "Node | float") -> "Node":
        return Node("add", self, other)

    def __radd__(self, other: float) -> "Node":
        return Node("add", other, self)

    def __sub__(self, other: "Node | float") -> "Node":
        return Node("sub", self, other)

    def __rsub__(self, other: float) -> "Node":
        return Node("sub", other, self)

    def __mul__(self, other: "Node | float") -> "Node":
        return Node("mul", self, other)

    def __rmul__(self, other: float) -> "Node":
        return Node("mul", other, self)

    def __truediv__(self, other: "Node | float") -> "Node":
        return Node("div", self, other)

    def __rtruediv__(self, other: float) -> "Node":
        return Node("div", other, self)

    def __neg__(self) -> "Node":
        return Node("neg", self)

    def __ge__(self, other: "Node | float") -> "Node":
        return Node("ge", self, other)

    def __gt__(self, other: "Node | float") -> "Node":
        return Node("gt", self, other)

    def __le__(self, other: "Node | float") -> "Node":
        return Node("le", self, other)

    def __lt__(self, other: "Node | float") -> "Node":
        return Node("lt", self, other)


Value = Any  # a Node while a step is traced, a Tensor in the reference; the functions below take either


def where(condition: Value, a: Value, b: Value) -> Value:
    """`a` where the condition holds, else `b`."""
    if isinstance(condition, Node):
        return Node("where", condition, a, b)
    return torch.where(condition, a, b)


def exp(a: Value) -> Value:
    """e^a."""
    return Node("exp", a) if isinstance(a, Node) else torch.exp(a)


def sigmoid(a: Value) -> Value:
    """1 / (1 + e^-a)."""
    return Node("sigmoid", a) if isinstance(a, Node) else torch.sigmoid(a)


def relu(a: Value) -> Value:
    """max(a, 0)."""
    return Node("relu", a) if isinstance(a, Node) else torch.relu(a)


def floor(a: Value) -> Value:
    """The largest whole number not above `a`; no gradient."""
    return Node("floor", a) if isinstance(a, Node) else torch.floor(a)


def detach(a: Value) -> Value:
    """`a`, without a gradient."""
    return Node("detach", a) if isinstance(a, Node) else a.detach()


class Fire(Protocol):
    """What a step is given to make spikes with: ``fire(membrane)``, with the surrogate's gradient.

    `unit` is what one spike takes off the membrane in a soft reset: the threshold, or 1 for integer spikes.
    """

    unit: Any

    def __call__(self, membrane: Value, /) -> Value:
        """The spikes of a membrane."""


class _TracedFire:
    unit = Node("unit")

    def __call__(self, membrane: Value, /) -> Value:
        return Node("fire", membrane)


class Program:
    """What a step computes: operations in an order in which they can be done, and the outputs among them."""

    def __init__(self, outputs: list[Any]) -> None:
        self.outputs = [output if isinstance(output, Node) else Node("constant", float(output)) for output in outputs]
        self.nodes = _ordered(self.outputs)

    def __str__(self) -> str:
        index = {node: i for i, node in enumerate(self.nodes)}
        lines = [
            " ".join([f"%{i} = {node.op}", *[_shown(each, index) for each in node.inputs]]) for node, i in index.items()
        ]
        return "\n".join([*lines, f"return {' '.join(_shown(output, index) for output in self.outputs)}"])


def _shown(value: Any, index: dict[Node, int]) -> str:
    return f"%{index[value]}" if isinstance(value, Node) else repr(value)


def _ordered(outputs: list[Node]) -> list[Node]:
    """All nodes that the outputs are made of, each after those that it is made of."""
    found: dict[Node, None] = {}

    def visit(node: Node) -> None:
        if node not in found:
            for each in node.inputs:
                if isinstance(each, Node):
                    visit(each)
            found[node] = None

    for output in outputs:
        visit(output)
    return list(found)


def _pullback(node: Node, grad: Node) -> Iterator[tuple[Any, Any]]:
    """(input, its share of the gradient) for what an operation was given."""
    match node.op, node.inputs:
        case "add", (a, b):
            yield from ((a, grad), (b, grad))
        case "sub", (a, b):
            yield from ((a, grad), (b, -grad))
        case "mul", (a, b):
            yield from ((a, grad * b), (b, grad * a))
        case "div", (a, b):
            yield from ((a, grad / b), (b, -(grad * node / b)))
        case "neg", (a,):
            yield a, -grad
        case "where", (condition, a, b):
            yield from ((a, where(condition, grad, 0.0)), (b, where(condition, 0.0, grad)))
        case "exp", (a,):
            yield a, grad * node
        case "sigmoid", (a,):
            yield a, grad * (node * (1.0 - node))
        case "relu", (a,):
            yield a, where(a > 0.0, grad, 0.0)
        case "fire", (membrane,):
            yield membrane, Node("through", grad, membrane)


def _differentiated(program: Program, inputs: list[Node]) -> Program:
    """The gradients of the inputs from those of the outputs (``Node("grad", i)``), by the chain rule from last to first.

    Those of the parameters are added to ``Node("total", i)``: they are sums over time.
    """
    grads: dict[Node, Node] = {}

    def add(node: Node, share: Any) -> None:
        grads[node] = grads[node] + share if node in grads else share

    for i, output in enumerate(program.outputs):
        add(output, Node("grad", i))
    for node in reversed(program.nodes):
        if node in grads:
            for given, share in _pullback(node, grads[node]):
                if isinstance(given, Node):
                    add(given, share)

    def gradient(node: Node) -> Any:
        if node.op != "parameter":
            return grads.get(node, 0.0)
        total = Node("total", *node.inputs)
        return total + grads[node] if node in grads else total

    return Program([gradient(node) for node in inputs])


def _of_input(gradient: Program, states: int) -> Program:
    """The gradient of a step for runs that want that of the input alone.

    Sums over time stay as they are, and the gradients of states from which no path leads to an input are zero.
    """
    of_x, *rest = gradient.outputs
    of_states, totals = rest[:states], rest[states:]
    used: set[int] = set()
    open_ends = [of_x]
    while open_ends:
        for node in _ordered([open_ends.pop()]):
            # The gradient of output 0 is that of the spikes, of output i + 1 that of state i.
            if node.op == "grad" and node.inputs[0] > 0 and node.inputs[0] - 1 not in used:
                used.add(node.inputs[0] - 1)
                open_ends.append(of_states[node.inputs[0] - 1])
    kept = [each if i in used else 0.0 for i, each in enumerate(of_states)]
    return Program([of_x, *kept, *[Node("total", i) for i in range(len(totals))]])


_CELLS: dict[str, "Cell"] = {}


class Cell:
    """One step of a neuron over the numbers that it carries and the numbers that its channel has, given by their names.

    The step is a plain function of its equation, ``step(x, state, parameters, fire) -> (spikes, state)``, on tuples, with
    +, -, *, /, comparisons, `where`, `exp`, `sigmoid`, `relu`, `floor` and `detach` of this module, and `fire`::

        def leaky(x, state, parameters, fire):
            (v,), (decay,) = state, parameters
            h = decay * v + (1.0 - decay) * x
            s = fire(h)
            return s, (h - detach(s) * fire.unit,)

        LEAKY = Cell(leaky, states=("membrane",), parameters=("decay",))

    The reference backend runs it on tensors under torch's autograd. For kernels it is traced once, differentiated, and
    compiled into a sweep over time, forward and backward.

    Raises:
        InputError: the step branches on a value, or returns another number of states.
    """

    def __init__(self, step: Callable[..., Any], *, states: tuple[str, ...], parameters: tuple[str, ...]) -> None:
        if not states or not parameters:
            raise InputError(f"Cell: states is {states} and parameters {parameters}, expected a name or more for each.")
        self.step = step
        self.states = states
        self.parameters = parameters
        x = Node("x")
        state = tuple(Node("state", i) for i in range(len(states)))
        values = tuple(Node("parameter", i) for i in range(len(parameters)))
        spikes, after = step(x, state, values, _TracedFire())
        if len(after) != len(states):
            raise InputError(
                f"Cell: the step returned {len(after)} states, expected {len(states)}: {', '.join(states)}."
            )
        self.program = Program([spikes, *after])
        self.gradient = _differentiated(self.program, [x, *state, *values])
        self.input_gradient = _of_input(self.gradient, len(states))
        self.key = hashlib.sha256(f"{self.program}\n{self.gradient}".encode()).hexdigest()[:16]
        _CELLS[self.key] = self

    @functools.cache  # noqa: B019  # as many as there are cells, which are made at import
    def carrying(self, *names: str) -> "Cell":
        """The same step with these parameters as further states, which never change.

        Each element then has its own, and their gradient is not summed over samples. What is given in their place is not read.
        """
        count, places = len(self.states), [self.parameters.index(name) for name in names]

        def step(x: Any, state: Any, parameters: Any, fire: Any) -> Any:
            own = dict(zip(places, state[count:], strict=True))
            spikes, after = self.step(x, state[:count], tuple(own.get(i, p) for i, p in enumerate(parameters)), fire)
            return spikes, (*after, *state[count:])

        return Cell(step, states=(*self.states, *names), parameters=self.parameters) if names else self


def cell_of(key: str) -> Cell:
    """The cell with this `Cell.key`: operators of torch are given strings, not objects."""
    return _CELLS[key]
