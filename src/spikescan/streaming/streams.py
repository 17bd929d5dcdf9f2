"""Live streams through a model, one time step at a time, for who wants no state in their hands."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from spikescan.errors import CheckpointError, InputError
from spikescan.files import write_whole
from spikescan.neurons.base import State, Temporal, map_state
from spikescan.streaming.compiled import CompiledStep, NotCompiledError, compile_step

__all__ = ["Streams", "stream"]

_FORMAT = "spikescan.streams.1"


def stream(model: Temporal, batch: int | None = None) -> "Streams":
    """Run `model` on live input, one time step at a time.

    ``stream(model).push(x_t)`` takes one stream, x_t ``[C, *]``; ``stream(model, batch=8).push(x_t)`` takes 8
    independent ones, x_t ``[8, C, *]``.

    On the CPU a model of known parts is compiled to one call at the first push (`Streams.not_compiled` says why another one
    is not): the neurons' bits of `step`, ten times as quick. Changed and replaced weights are seen, but
    not what is written past torch's count of versions (through ``.data`` or a numpy view); after that, and after exchanging
    modules, changing their settings or hooking them, make a new stream.

    Args:
        model: in evaluation mode (``model.eval()``) and on the device of the input. It is not changed.
        batch: number of streams; None is a single one, without a batch axis.

    Raises:
        InputError: the model cannot run step by step, or is in training mode.
    """
    return Streams(model, batch)


class Streams:
    """Independent live streams through one model, which come and go; made by `stream`.

    No gradients are recorded, and memory does not grow with time. A stream is for one thread at a time; several streams of one
    model may run in several threads.
    """

    def __init__(self, model: Temporal, batch: int | None) -> None:
        _check_streamable(model)
        _check_evaluating(model)
        if batch is not None and batch < 0:
            raise InputError(f"stream: batch = {batch}, expected a number of streams, or None for a single one.")
        self.model = model
        self._batched = batch is not None
        self._batch = 1 if batch is None else batch
        self._state: State | None = None  # None: every stream is at rest
        self._no_streams = torch.empty(0)  # [0, C, *] like the input; [0] before the first push
        self._compiled: dict[tuple[torch.Size, torch.dtype], CompiledStep] = {}
        self._not_compiled: dict[tuple[torch.Size, torch.dtype], str] = {}
        self._reason: str | None = None
        self._reason_passes = False
        self._last: tuple[torch.Size, torch.dtype, CompiledStep] | None = None  # of the last push, if it was compiled

    def __len__(self) -> int:
        return self._batch

    @property
    def not_compiled(self) -> str | None:
        """Why the last push went part by part; None where it was one compiled step, and before the first."""
        return self._reason

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: without machine code, which the next push compiles again."""
        state = None if self._state is None else map_state(torch.clone, self._state)  # a copy of a compiled step's own
        return self.__dict__ | {"_compiled": {}, "_last": None, "_state": state}

    def push(self, x_t: Tensor) -> Tensor:
        """Advance every stream by one time step.

        Args:
            x_t: ``[B, C, *]``, or ``[C, *]`` for a single stream without batch axis.

        Returns:
            The output of this step, ``[B, C', *]`` or ``[C', *]``.

        Raises:
            InputError: x_t has another number of streams; or the model has been put into training mode.
        """
        if self._last is not None and not self.model.training:
            shape, dtype, compiled = self._last
            known = x_t.shape == shape and x_t.dtype is dtype and self._state is compiled.state
            if known and compiled.is_current(x_t):
                return compiled(x_t)
        return self._push_anew(x_t)

    def _push_anew(self, x_t: Tensor) -> Tensor:
        """As `push`, with nothing known of the last one."""
        self._last = None
        _check_evaluating(self.model)
        batched = self._batched
        if not isinstance(x_t, Tensor):
            raise InputError(
                f"stream: x_t is a {type(x_t).__name__}, expected a Tensor; call torch.as_tensor(x_t, dtype=torch.float32)."
            )
        if x_t.dim() <= batched or (batched and len(x_t) != self._batch):
            expected = f"[{self._batch}, C, *], a row for each stream" if batched else "[C, *]"
            raise InputError(
                f"stream: x_t is {list(x_t.shape)}, expected {expected}. "
                f"The number of streams is set by stream(model, batch=...), add() and remove(index)."
            )
        compiled = self._compiled_step(x_t)
        if compiled is not None:
            self._last = x_t.shape, x_t.dtype, compiled
            return compiled(x_t)
        y_t = self._step_by_parts(x_t if batched else x_t.unsqueeze(0))
        return y_t if batched else y_t.squeeze(0)

    def _compiled_step(self, x_t: Tensor) -> CompiledStep | None:
        """The step compiled for such input, carrying the streams' state; None: the model has to be stepped by parts."""
        kind = x_t.shape, x_t.dtype
        compiled = self._compiled.get(kind)
        if compiled is None or not compiled.is_current(x_t):
            self._reason = self._not_compiled.get(kind)
            if self._reason is not None:
                return None
            try:
                compiled = compile_step(self.model, x_t if self._batched else x_t.unsqueeze(0))
            except (NotCompiledError, InputError, RuntimeError) as reason:
                self._reason = str(reason)
                self._reason_passes = isinstance(reason, NotCompiledError) and reason.passing
                return None
            self._compiled[kind] = compiled
        if self._state is not compiled.state:
            if not compiled.go_on_from(self._state):
                self._reason, self._reason_passes = "the state is of other streams", True
                return None
            self._state = compiled.state
            # Not before: what is refused must leave no trace, and add, reset and save go by this.
            self._no_streams = x_t.new_empty(0, *x_t.shape[self._batched :])
        self._reason = None
        return compiled

    @torch.no_grad()
    def _step_by_parts(self, inputs: Tensor) -> Tensor:
        y_t, self._state = self.model.step(inputs, self._state)
        self._no_streams = inputs.new_empty(0, *inputs.shape[1:])
        # Only here: where a step fails too, the reason was the input.
        if self._reason is not None and not self._reason_passes:
            self._not_compiled[inputs.shape[not self._batched :], inputs.dtype] = self._reason
        return y_t

    def reset(self, index: int | None = None) -> None:
        """Put the stream `index`, or every stream, at rest.

        Raises:
            InputError: there is no such stream.
        """
        if index is None:
            self._state = None
            return
        self._check_index(index)
        if self._state is not None:
            self._state = _join(
                lambda row, rest: torch.cat([row[:index], rest, row[index + 1 :]]),
                self._state,
                self._at_rest(1, self._no_streams),
            )

    def add(self, count: int = 1) -> None:
        """Append `count` streams at rest.

        Raises:
            InputError: this is a single stream without batch axis, or the count is negative.
        """
        self._check_batched("add")
        self._last = None
        if count < 0:
            raise InputError(f"stream: add({count}), expected a number of streams; remove(index) takes one away.")
        if self._state is not None:
            self._state = _join(
                lambda rows, rest: torch.cat([rows, rest]), self._state, self._at_rest(count, self._no_streams)
            )
        self._batch += count

    def remove(self, index: int) -> None:
        """Take the stream `index` away; those after it move up by one.

        Raises:
            InputError: this is a single stream without batch axis, or there is no such stream.
        """
        self._check_batched("remove")
        self._check_index(index)
        self._last = None
        if self._state is not None:
            self._state = map_state(lambda rows: torch.cat([rows[:index], rows[index + 1 :]]), self._state)
        self._batch -= 1

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state of all streams to a file (safetensors), as a whole or not at all.

        The weights are not in it: the file is of use with the same model only.

        Raises:
            InputError: nothing has been pushed yet, so there is no state.
        """
        if self._no_streams.dim() < 2:
            raise InputError("stream: nothing has been pushed yet, so there is no state to save.")
        state = self._at_rest(self._batch, self._no_streams) if self._state is None else self._state
        tensors = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in _named(state)}
        like = {"shape": self._no_streams.shape[1:], "dtype": str(self._no_streams.dtype).removeprefix("torch.")}
        header = {"format": _FORMAT, "streams": str(self._batch), "input": json.dumps(like)}
        content = save(tensors, header)
        write_whole(Path(path), lambda temporary: temporary.write_bytes(content))

    def load(self, path: str | os.PathLike[str]) -> None:
        """Go on from a file that `save` wrote; its streams replace the present ones.

        Raises:
            CheckpointError: the file is missing, damaged or not of `save`; or it holds the state of another model, or,
                for a single stream without batch axis, of several streams.
        """
        header, tensors = _read(Path(path))
        try:
            like, batch = json.loads(header["input"]), int(header["streams"])
            shape, dtype = tuple(map(int, like["shape"])), getattr(torch, like["dtype"])
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{path} is damaged: what it says of its streams cannot be read ({error!r})."
            ) from error
        if not self._batched and batch != 1:
            raise CheckpointError(f"{path} holds {batch} streams; load it into stream(model, batch={batch}).")
        device = next((tensor.device for tensor in self.model.state_dict().values()), torch.device("cpu"))
        no_streams = torch.empty(0, *shape, dtype=dtype, device=device)
        try:
            rest = self._at_rest(batch, no_streams)
        except (InputError, RuntimeError) as error:
            raise CheckpointError(
                f"{path} holds the state of another model: it took input [B, {', '.join(map(str, shape))}], "
                f"which this one does not ({error})."
            ) from error
        found = {name: (list(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}
        needed = {name: (list(tensor.shape), tensor.dtype) for name, tensor in _named(rest)}
        for name in sorted(found.keys() | needed.keys()):
            if found.get(name) != needed.get(name):
                raise CheckpointError(
                    f"{path} holds the state of another model: {name} is {_describe(found.get(name))} in the file and "
                    f"{_describe(needed.get(name))} in this model."
                )
        values = (tensors[name].to(device) for name, _ in _named(rest))
        self._state = map_state(lambda _: next(values), rest)
        self._no_streams, self._batch, self._last = no_streams, batch, None

    @torch.no_grad()
    def _at_rest(self, count: int, no_streams: Tensor) -> State:
        return self.model.initial_state(no_streams.new_zeros(count, *no_streams.shape[1:]))

    def _check_batched(self, method: str) -> None:
        if not self._batched:
            raise InputError(f"stream: a single stream has no {method}(); make it with stream(model, batch=1).")

    def _check_index(self, index: int) -> None:
        if not 0 <= index < self._batch:
            raise InputError(f"stream: there is no stream {index}; expected 0 to {self._batch - 1}.")


def _check_streamable(model: Temporal) -> None:
    if not isinstance(model, Temporal):
        raise InputError(
            f"stream: {type(model).__name__} is not a temporal module; wrap it, as in spikescan.Sequential(model)."
        )
    if model.streamable:
        return
    # A composition comes before its parts, so the last one is the neuron or layer itself.
    *_, (name, part) = (
        (name, part) for name, part in model.named_modules() if isinstance(part, Temporal) and not part.streamable
    )
    try:
        part.step(torch.empty(1, 1))
    except InputError as reason:  # its own words: why not, and what to use instead
        raise InputError(f"stream: {name or 'the model'} cannot run step by step. {reason}") from reason


def _check_evaluating(model: Temporal) -> None:
    training = next(((name, part) for name, part in model.named_modules() if part.training), None)
    if training is not None:
        name, part = training
        raise InputError(
            f"stream: {name or type(part).__name__} is in training mode, where dropout and batch statistics change "
            f"the output; call model.eval()."
        )


def _named(state: State, path: str = "state") -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a state with its path, such as ``state.2.membrane``, in the order of `map_state`."""
    if isinstance(state, Tensor):
        yield path, state
        return
    for name, part in zip(getattr(state, "_fields", range(len(state))), state, strict=True):
        yield from _named(part, f"{path}.{name}")


def _join(function: Callable[[Tensor, Tensor], Tensor], state: State, other: State) -> State:
    """Apply `function` to the tensors of two states of one structure, pair by pair."""
    others = (tensor for _, tensor in _named(other))
    return map_state(lambda tensor: function(tensor, next(others)), state)


def _describe(found: tuple[list[int], torch.dtype] | None) -> str:
    return f"{found[0]} {found[1]}" if found else "missing"


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not iterable)
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no file {path}; Streams.save(path) writes one.") from error
    except SafetensorError as error:
        raise CheckpointError(f"{path} is truncated or not a file of Streams.save ({error}).") from error
    if header.get("format") != _FORMAT:
        raise CheckpointError(
            f"{path} has the format {header.get('format')!r}, expected {_FORMAT!r}: it was not written by Streams.save."
        )
    return header, tensors
