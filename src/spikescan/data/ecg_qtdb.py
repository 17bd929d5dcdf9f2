"""The waves of an electrocardiogram, named step by step."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from spikescan.data.dataset import NOT_SCORED, Batch, Dataset, Split
from spikescan.data.files import find_file, has_file, locate, read_mat, read_npz
from spikescan.data.sources import Crossings
from spikescan.data.splits import AsFloat, hold_out_stretches
from spikescan.errors import DataError

__all__ = ["ecg_qtdb"]

_ARCHIVE = "ecg_qtdb.npz"
_EXPECTED = f"The folder holds QTDB_train.mat and QTDB_test.mat, or {_ARCHIVE}."


@dataclass(frozen=True)
class _Heart:
    """Changes recordings at random as `ecg_qtdb` says; each change is drawn for each recording by itself."""

    rate: float = 0.0
    drop: float = 0.0
    swap: bool = False

    def __call__(self, batch: Batch) -> Batch:
        if self.rate:
            batch = self._faster_or_slower(batch)
        if self.drop:
            dropped = self.drop * torch.rand(batch.inputs.shape[1], 1)
            batch = replace(batch, inputs=batch.inputs * (torch.rand_like(batch.inputs) >= dropped))
        if self.swap:
            swapped = torch.rand(batch.inputs.shape[1], 1) < 0.5
            batch = replace(batch, inputs=torch.where(swapped, batch.inputs.roll(2, dims=2), batch.inputs))
        return batch

    def _faster_or_slower(self, batch: Batch) -> Batch:
        """Log-uniform; events move, and those that meet in a step become one."""
        steps, n, channels = batch.inputs.shape
        factor = torch.exp((2.0 * torch.rand(n) - 1.0) * math.log1p(self.rate))
        time = torch.arange(steps).unsqueeze(1)
        # Each event to the step where it now lies, in one more row what lies beyond the end.
        place = (time / factor).round().long().clamp(max=steps).unsqueeze(2).expand(steps, n, channels)
        moved = (
            batch.inputs.new_zeros(steps + 1, n, channels).scatter_add(0, place, batch.inputs)[:steps].clamp(-1.0, 1.0)
        )
        source = (time * factor).round().long()
        targets = batch.targets.t().gather(0, source.clamp(max=steps - 1)).masked_fill(source >= steps, NOT_SCORED)
        return Batch(moved, targets.t().contiguous(), batch.lengths)


def ecg_qtdb(
    *,
    path: str | None = None,
    validation: int | None = None,
    stretches: int = 1,
    unlabelled: bool = False,
    rate: float = 0.0,
    drop: float = 0.0,
    swap: bool = False,
) -> Dataset:
    """Heart beats of the QT Database as events, and at each of 1,301 steps which of six waves it is (Yin et al., 2021).

    Four channels, two leads with a channel for up and one for down; 618 sequences to train, 141 to test. The last step of each
    has -1 in the first channel, as published, which marks its end. The classes are
    P, PQ, QR, RS, ST and TP. Targets ``[N, T]``, -100 where nobody named the wave (8 to 10 % of the steps).

    Args:
        path: the folder of ``QTDB_train.mat`` and ``QTDB_test.mat`` or of ``ecg_qtdb.npz``; None reads the environment
            variable ``SPIKESCAN_DATA``, in which a folder ``ecg_qtdb`` is looked into first.
        validation: how many sequences of those for training are held out for validation; None a tenth. They are a stretch, the
            last, since neighbours may be of the same patient.
        stretches: into how many stretches, equally far apart, they are cut: more patients, of whom some are then in both parts.
        rate: makes the heart of each training sequence beat faster or slower at random, anew in each epoch, by a factor of
            up to 1 + rate: events and waves move in time.
        drop: leaves out events of each training recording, anew in each epoch: a share at random of up to this.
        swap: exchanges the two leads of each training recording at random, anew in each epoch: which leads they are differs
            from patient to patient.
        unlabelled: also scores the steps that nobody named, as class 0. The published figures do.

    Raises:
        DataError: a file is missing or damaged; the message names it and says where to put it.
    """
    if not 0.0 <= rate < math.inf:
        raise DataError(f"rate is {rate}, expected 0 or more, such as 0.2.")
    if not 0.0 <= drop < 1.0:
        raise DataError(f"drop is {drop}, expected 0 to below 1, such as 0.2.")
    changes = _Heart(rate, drop, swap)
    place = locate("ECG (QTDB)", ("ecg_qtdb",), path, _EXPECTED)
    (inputs, targets), test = (_read(place, part, unlabelled) for part in ("train", "test"))
    count = len(inputs) // 10 if validation is None else validation
    if not 0 < count < len(inputs):
        raise DataError(f"validation={count} sequences cannot be held out of {len(inputs)} training sequences.")
    if not 1 <= stretches <= count:
        raise DataError(f"stretches is {stretches}, expected 1 to validation={count}.")
    held = torch.zeros(len(inputs), dtype=torch.bool)
    for start, end in hold_out_stretches(len(inputs), count, stretches):
        held[start:end] = True
    return Dataset(
        name="ECG (QTDB)",
        classes=6,
        train=Split(inputs[~held], targets[~held], encode=AsFloat(), augment=None if changes == _Heart() else changes),
        validation=Split(inputs[held], targets[held], encode=AsFloat()),
        test=Split(*test, encode=AsFloat()),
        source=Crossings(("lead 1", "lead 2")),
        class_names=("P", "PQ", "QR", "RS", "ST", "TP"),
    )


def _read(place: Path, part: str, unlabelled: bool) -> tuple[torch.Tensor, torch.Tensor]:
    if place.is_dir() and has_file(place, f"QTDB_{part}.mat"):
        file = find_file("ECG (QTDB)", place, [f"QTDB_{part}.mat"], _EXPECTED)
        arrays = read_mat(file, ("x", "y"))
        # One channel a class; none is set where nobody named the wave, and then the first is the largest.
        inputs, shares = arrays["x"], arrays["y"]
        targets, labelled = shares.argmax(-1), shares.any(-1)
        classes = shares.shape[-1]
    else:
        file = find_file("ECG (QTDB)", place, [_ARCHIVE], _EXPECTED)
        arrays = read_npz(file, [f"{key}_{part}" for key in ("x", "y", "labelled")], _EXPECTED)
        inputs, targets, labelled = arrays.values()
        classes = int(targets.max()) + 1
    if inputs.ndim != 3 or inputs.shape[2] != 4 or targets.shape != inputs.shape[:2] or classes != 6:
        raise DataError(
            f"{file}: inputs are {list(inputs.shape)} and there are {classes} classes, expected [N, T, 4] and 6. {_EXPECTED}"
        )
    targets = targets.astype(np.int64)
    scored = targets if unlabelled else np.where(labelled, targets, NOT_SCORED)
    return torch.from_numpy(inputs.astype(np.int8)), torch.from_numpy(scored)
