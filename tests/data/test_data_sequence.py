"""A user's own files: what is read from each form, and what is refused with which words."""

import itertools

import numpy as np
import pytest
import torch

from spikescan.data import sequence
from spikescan.data.events import frames_of_events
from spikescan.errors import DataError

LENGTHS = [3, 5, 2, 4, 4, 1, 2, 3, 5, 4]
N, TOTAL = len(LENGTHS), sum(LENGTHS)
OFFSETS = np.concatenate([[0], np.cumsum(LENGTHS)])
SPLIT = np.array([0, 0, 1, 0, 2, 0, 0, 1, 2, 0])
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(TOTAL, 2)).astype(np.float32)


def save(tmp_path, **arrays) -> str:
    path = tmp_path / "own.npz"
    np.savez(path, **arrays)
    return str(path)


def samples(split):
    """Inputs and targets of a split without padding."""
    steps = split.inputs.shape[1]
    lengths = [steps] * len(split) if split.lengths is None else split.lengths.tolist()
    y = (
        [target[:n] for target, n in zip(split.targets, lengths, strict=True)]
        if split.has_step_targets
        else split.targets
    )
    return [x[:n].numpy() for x, n in zip(split.inputs, lengths, strict=True)], [row.numpy() for row in y]


def ragged(index: int) -> np.ndarray:
    return X[OFFSETS[index] : OFFSETS[index + 1]]


@pytest.mark.parametrize("names", [False, True])
def test_ragged_recordings_with_a_split_of_their_own(tmp_path, names):
    split = np.array(["train", "validation", "test"])[SPLIT] if names else SPLIT
    dataset = sequence(path=save(tmp_path, x=X, offsets=OFFSETS, y=np.arange(N) % 3, split=split))
    assert (dataset.classes, dataset.values, dataset.has_step_targets) == (3, None, False)
    for number, part in enumerate((dataset.train, dataset.validation, dataset.test)):
        members = np.flatnonzero(number == SPLIT)
        inputs, targets = samples(part)
        assert [int(y) for y in targets] == [i % 3 for i in members]
        for x, member in zip(inputs, members, strict=True):
            np.testing.assert_array_equal(x, ragged(member))
    padding = torch.arange(5) >= dataset.train.lengths.unsqueeze(1)
    assert not dataset.train.inputs[padding].any()


@pytest.mark.parametrize(
    ("y", "options", "classes", "values"),
    [
        (np.arange(TOTAL) % 4, {}, 4, None),
        (np.array(["b", "a"])[np.arange(TOTAL) % 2], {}, 2, None),
        (np.arange(TOTAL) % 2 == 0, {}, 2, None),
        ((np.arange(TOTAL) % 4).astype(np.float32), {"targets": "classes"}, 4, None),
        (np.arange(TOTAL, dtype=np.float64), {}, None, 1),
        (np.arange(TOTAL), {"targets": "values"}, None, 1),
        (np.arange(3 * TOTAL, dtype=np.float32).reshape(-1, 3), {}, None, 3),
    ],
)
def test_targets_a_step_of_ragged_recordings(tmp_path, y, options, classes, values):
    dataset = sequence(path=save(tmp_path, x=X, offsets=OFFSETS, y=y, split=SPLIT), **options)
    assert (dataset.classes, dataset.values, dataset.has_step_targets) == (classes, values, True)
    _, targets = samples(dataset.train)
    for found, member in zip(targets, np.flatnonzero(SPLIT == 0), strict=True):
        expected = y[OFFSETS[member] : OFFSETS[member + 1]]
        if y.dtype.kind == "U":
            expected = expected == "b"
        np.testing.assert_array_equal(found.reshape(expected.shape), expected)
    if classes is not None:
        assert (dataset.train.targets[torch.arange(5) >= dataset.train.lengths.unsqueeze(1)] == -100).all()


@pytest.mark.parametrize(
    ("y", "has_step_targets", "values"),
    [
        (np.zeros(N, np.int64), False, None),
        (np.zeros((N, 6), np.int64), True, None),
        (np.zeros(N), False, 1),
        (np.zeros((N, 6)), False, 6),
        (np.zeros((N, 6, 2)), True, 2),
    ],
)
def test_samples_of_one_length(tmp_path, y, has_step_targets, values):
    x = RANDOM.normal(size=(N, 6, 2, 3))
    dataset = sequence(path=save(tmp_path, x=x, y=y))
    assert dataset.train.lengths is None
    assert (dataset.channels, dataset.time_steps) == (6, 6)
    assert (dataset.has_step_targets, dataset.values) == (has_step_targets, values)
    assert sequence(path=save(tmp_path, x=x, y=y), flatten=False).train.inputs.shape[2:] == (2, 3)
    padded = sequence(path=save(tmp_path, x=x, y=y, lengths=np.array([6, 5] * 5)))
    assert set(padded.train.lengths.tolist()) <= {5, 6}


def test_a_split_that_is_not_given_is_drawn_from_a_seed(tmp_path):
    x = np.arange(40.0).reshape(40, 1, 1)
    path = save(tmp_path, x=x, y=np.zeros(40, np.int64))
    first, again, other = (sequence(path=path, split_seed=seed) for seed in (0, 0, 1))
    parts = [split.inputs.flatten().tolist() for split in (first.train, first.validation, first.test)]
    assert [len(part) for part in parts] == [28, 6, 6]
    assert sorted(itertools.chain(*parts)) == list(range(40))
    assert torch.equal(first.test.inputs, again.test.inputs)
    assert not torch.equal(first.test.inputs, other.test.inputs)


def test_normalisation_is_measured_on_the_training_steps_alone(tmp_path):
    x = X * np.float32([3.0, 1.0]) + np.float32([10.0, 0.0])
    x[:, 1] = 7.0  # never changes
    dataset = sequence(path=save(tmp_path, x=x, offsets=OFFSETS, y=np.zeros(N, int), split=SPLIT), normalise=True)
    steps = np.concatenate(samples(dataset.train)[0])
    np.testing.assert_allclose(steps.mean(0), 0.0, atol=1e-5)
    np.testing.assert_allclose(steps.std(0), [1.0, 0.0], atol=1e-5)
    original = torch.from_numpy(x[OFFSETS[4] : OFFSETS[5]])
    np.testing.assert_array_equal(samples(dataset.test)[0][0], dataset.scaling(original).numpy())
    assert not dataset.train.inputs[torch.arange(5) >= dataset.train.lengths.unsqueeze(1)].any()


def test_a_folder_of_splits(tmp_path):
    for name, value, count in (("train", 1.0, 10), ("test", 2.0, 3)):
        np.savez(tmp_path / f"{name}.npz", x=np.full((count, 4, 1), value), y=np.zeros(count, int))
    dataset = sequence(path=str(tmp_path))
    assert [len(split) for split in (dataset.train, dataset.validation, dataset.test)] == [8, 2, 3]
    assert (dataset.test.inputs == 2.0).all()
    assert (dataset.validation.inputs == 1.0).all()


@pytest.mark.parametrize("y", ["class", "step", "row"])
def test_a_folder_of_recordings(tmp_path, y):
    for index, length in enumerate(LENGTHS):
        target = {"class": np.array(index % 2), "step": np.full(length, index % 2), "row": np.array([1.0, 2.0, 3.0])}[y]
        if y == "row" and length == 3:
            length = 4  # a row as long as the recording would be one number a step in all of them
        np.savez(tmp_path / f"{index:02d}.npz", x=np.full((length, 2), float(index)), y=target)
    dataset = sequence(path=str(tmp_path))
    assert (dataset.classes, dataset.values) == ((None, 3) if y == "row" else (2, None))
    assert dataset.has_step_targets is (y == "step")
    for x, target in zip(*samples(dataset.train), strict=True):
        assert (x == x[0, 0]).all()
        if y != "row":
            assert (target == x[0, 0] % 2).all()


CSV = """sample,split,step,pressure,flow,{target}
b,train,0,1.0,2,{0}
b,train,1,1.5,3,{1}
a,validation,0,4,5,{2}
c,test,0,6,7,{3}
c,test,3,8,9,{3}
"""


@pytest.mark.parametrize(
    ("target", "values", "classes", "train"),
    [
        ("target", ("up", "up", "down", "up"), 2, [[1]]),
        ("target", (2, 2, 0, 1), 3, [[2]]),
        ("target", ("1_2", "1_2", "1_3", "12"), 3, [[1]]),
        ("target", (0.5, 0.5, 1.5, 2.5), None, [[0.5]]),
        ("target", (2**70, 2**70, 0, 1), None, [[2**70]]),
        ("step_target", (0, 1, 1, 0), 2, [[0, 1]]),
        ("step_target", (1, "", 0, " "), 2, [[1, -100]]),
        ("step_target", ("", "up", "down", ""), 2, [[-100, 1]]),
        ("step_target_x", (0.5, 1.5, 1, 0), None, [[0.5, 1.5]]),
    ],
)
def test_a_table(tmp_path, target, values, classes, train):
    path = tmp_path / "own.csv"
    path.write_text(CSV.format(*values, target=target))
    dataset = sequence(path=str(path))
    assert dataset.classes == classes
    inputs, targets = samples(dataset.train)
    np.testing.assert_array_equal(inputs[0], [[1.0, 2.0], [1.5, 3.0]])
    assert [np.ravel(row).tolist() for row in targets] == train
    assert samples(dataset.test)[0][0].shape == (2, 2)


def test_an_empty_cell_is_a_class_left_out_never_a_number(tmp_path):
    (tmp_path / "own.csv").write_text("sample,a,step_target\n" + "".join(f"{n},1,1\n{n},2,\n" for n in range(4)))
    with pytest.raises(DataError, match="step_target is empty in sample 0, expected a real number"):
        sequence(path=str(tmp_path / "own.csv"), targets="values")
    (tmp_path / "own.csv").write_text("sample,a,step_target\n" + "".join(f"{n},1,1.0\n{n},2,\n" for n in range(4)))
    classes = sequence(path=str(tmp_path / "own.csv"), targets="classes")
    assert classes.train.targets[0].tolist() == [1, -100]


@pytest.mark.parametrize("start", [1_700_000_000, 1_700_000_000_000_000_000])
def test_steps_of_a_table_may_be_times(tmp_path, start):
    rows = [f"{sample},{start + step},{step},{sample}" for sample in range(4) for step in range(3)]
    (tmp_path / "own.csv").write_text("\n".join(["sample,step,a,target", *rows]))
    assert sequence(path=str(tmp_path / "own.csv")).time_steps == 3


@pytest.mark.parametrize("bin_by", ["time", "count"])
@pytest.mark.parametrize("window", [None, 3.0])
def test_events_become_frames(bin_by, window):
    """Counted one by one."""
    n, height, width, frames = 50, 3, 4, 5
    x, y, p = RANDOM.integers(width, size=n), RANDOM.integers(height, size=n), RANDOM.integers(2, size=n)
    t = np.sort(RANDOM.integers(100, 120, size=n))
    found = frames_of_events(x, y, t, p, height=height, width=width, frames=frames, window=window, bin_by=bin_by)
    expected = np.zeros_like(found)
    for index in range(n):
        place = t[index] - t[0] if bin_by == "time" else index
        whole = t[-1] - t[0] if bin_by == "time" else n
        frame = int(place // window) if window else min(int(place * frames / whole), frames - 1)
        expected[frame, p[index], y[index], x[index]] += 1
    np.testing.assert_array_equal(found, expected)
    assert found.sum() == n
    assert window is not None or len(found) == frames


def events(**changes):
    offsets = np.arange(0, 101, 10)
    arrays = {
        "x": RANDOM.integers(4, size=100),
        "y": RANDOM.integers(3, size=100),
        "t": np.tile(np.arange(10), 10),
        "p": RANDOM.choice([-1, 1], size=100),
        "offsets": offsets,
        "target": np.arange(10) % 2,
    }
    return arrays | changes


def test_a_file_of_events(tmp_path):
    dataset = sequence(path=save(tmp_path, **events(sensor=np.array([5, 6]))), frames=4)
    assert dataset.train.inputs.shape == (6, 4, 2 * 5 * 6)
    assert dataset.train.inputs.sum() == 60
    bytes_ = events(x=np.full(100, 255, np.uint8), y=np.zeros(100, np.uint8))
    assert sequence(path=save(tmp_path, **bytes_), frames=4).train.inputs.shape == (6, 4, 2 * 256)
    ragged = sequence(path=save(tmp_path, **events(t=np.sort(RANDOM.integers(0, 50, (10, 10))).ravel())), window=5.0)
    assert ragged.train.lengths is not None


Y = np.zeros(N, int)
NAN = X.copy()
NAN[OFFSETS[3] + 1, 1] = np.nan
WRONG = [
    ({"x": X}, "lacks y .*it holds x.*offsets where recordings differ"),
    ({"x": X, "y": Y}, r"x is \[33, 2\], expected \[N, T, C\].* x\[\.\.\., None\].*offsets"),
    ({"x": X, "y": Y, "offsets": OFFSETS[:-1]}, r"offsets run from 0 to 29, expected 0 to 33"),
    ({"x": X, "y": Y, "offsets": OFFSETS[::-1]}, "recording 0 ends before it begins.*must ascend"),
    ({"x": X, "y": Y, "offsets": np.insert(OFFSETS, 2, OFFSETS[2])}, "recording 2 is empty|recording 1 is empty"),
    ({"x": X, "y": Y, "offsets": OFFSETS.astype(float)}, "offsets is float64"),
    ({"x": X, "y": Y[:-1], "offsets": OFFSETS}, r"y is int64 \[9\], expected \[10\], one a recording, or \[33\]"),
    ({"x": NAN, "y": Y, "offsets": OFFSETS}, "sample 3 is NaN or infinite at time step 1.*nan_to_num"),
    ({"x": X.astype(float) * 1e300, "y": Y, "offsets": OFFSETS}, "an input is .*e.*, too large for float32"),
    ({"x": X, "y": np.full(N, -1e300), "offsets": OFFSETS}, r"a target is -1e\+300, too large for float32"),
    ({"x": X, "y": Y - 5, "offsets": OFFSETS}, "a target is -5, expected a class"),
    (
        {"x": X, "y": Y + 10**10, "offsets": OFFSETS},
        r"a target is 10000000000, .*numpy\.unique.*or make them text",
    ),
    (
        {"x": X, "y": np.full(TOTAL, 2**64 - 1, np.uint64), "offsets": OFFSETS},
        "a target is 18446744073709551615, expected",
    ),
    ({"x": X, "y": np.full(N, np.nan), "offsets": OFFSETS}, "10 targets are NaN"),
    ({"x": X, "y": Y, "offsets": OFFSETS, "split": SPLIT + 1}, "split is int64.*expected one of 0, 1, 2"),
    ({"x": X, "y": Y, "offsets": OFFSETS, "split": SPLIT > 0}, "split is bool.*expected one of 0, 1, 2"),
    (
        {"x": 1.7e9 + X.astype(float), "y": Y, "offsets": OFFSETS},
        "channel 0 runs from 1699.*float32 does not.*Subtract",
    ),
    ({"x": np.zeros((10, 4, 0)), "y": Y}, r"a time step has the shape \[0\], expected at least one channel"),
    ({"x": X, "y": Y, "offsets": OFFSETS, "split": Y + 2}, "no sample is left to train on"),
    ({"x": X.astype(str), "y": Y, "offsets": OFFSETS}, "x is <U.*expected numbers"),
    ({"x": np.zeros((0, 4, 1)), "y": Y[:0]}, "holds no samples"),
    ({"x": np.zeros((10, 0, 1)), "y": Y}, "samples without time steps"),
    ({"x": np.zeros((10, 4, 1)), "y": np.zeros((10, 3), int)}, r"y is int64 \[10, 3\], expected \[10\].*\[10, 4\]"),
    (
        {"x": np.zeros((10, 4, 1)), "y": np.zeros((10, 5), int)},
        r"y is int64 \[10, 5\], expected .*of x \[10, 4, 1\].*values",
    ),
    ({"x": np.zeros((10, 4, 1)), "y": np.zeros((10, 5, 2))}, r"\[10, 4\], one a step of x .*, and \[\.\.\., K\]"),
    ({"x": X, "y": np.zeros((10, 2), int), "offsets": OFFSETS}, r"y is int64 \[10, 2\].*--data\.targets values"),
    ({"x": X, "y": np.array(3), "offsets": OFFSETS}, "y is a single value, 3"),
    ({"x": np.array(3.0), "y": Y}, "x is a single value, 3.0"),
    ({"x": X, "y": Y.astype(complex), "offsets": OFFSETS}, "y is complex128, expected numbers"),
    ({"x": np.zeros((10, 4, 1)), "y": Y, "lengths": Y}, "lengths run from 0 to 0, expected 1 to 4"),
    (events(t=np.arange(100)[::-1]), "times of recording 0 do not ascend. Sort"),
    (events(p=np.zeros(3)), r"x, y, t and p are"),
    (events(x=np.full(100, 0.5)), "x of the events must be whole pixels"),
    (events(sensor=np.array([2, 2])), r"sensor is \[2, 2\], but events reach"),
    (events(sensor=np.array([5, 6, 2])), r"sensor is int64 \[3\], expected two whole numbers: \[height, width\]"),
    (events(sensor=np.array(6)), r"sensor is int64 \[\], expected two"),
    (events(t=np.array([*range(99), np.nan])), r"t of event 99 is nan"),
    (events(p=np.array([np.inf, *range(99)])), r"p of event 0 is inf"),
    (events(t=np.arange(100).astype("datetime64[us]")), r"t of the events is datetime64\[us\].*t\.astype\('int64'\)"),
    (events(p=np.full(100, "on")), "p of the events is <U2, expected numbers"),
    (events(y=np.full(100, "1")), "y of the events is <U1, expected numbers"),
    (
        events(p=np.arange(100) % 2 + 1),
        r"p of the events is one of \[1, 2\], expected 0 and 1, or -1 and 1. Save p == 2",
    ),
    (events(p=np.arange(100) % 3 - 1), r"p of the events is one of \[-1, 0, 1\], expected"),
    (events(target=np.zeros(100, int)), r"target is int64 \[100\], expected \[10\], one a recording\."),
]


@pytest.mark.parametrize(("arrays", "message"), WRONG)
def test_what_does_not_fit_is_named(tmp_path, arrays, message):
    with pytest.raises(DataError, match=message):
        sequence(path=save(tmp_path, **arrays))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": "values"}, "y is <U1, expected numbers, as --data.targets values says"),
        ({"split_seed": -1}, "split_seed is -1, expected a whole number of at least 0"),
    ],
)
def test_options_that_do_not_fit_are_named(tmp_path, options, message):
    with pytest.raises(DataError, match=message):
        sequence(path=save(tmp_path, x=X, offsets=OFFSETS, y=Y.astype("U1")), **options)


@pytest.mark.parametrize("window", [0.0, -1.0, 1e-30, float("nan"), float("inf")])
def test_windows_that_no_recording_has(tmp_path, window):
    with pytest.raises(DataError, match="window is"):
        sequence(path=save(tmp_path, **events()), window=window)


@pytest.mark.parametrize("x", [np.full((10, 4, 1), 0.1), np.full((10, 4, 1), 2**40 + 1)])
def test_a_channel_that_never_changes_may_round(tmp_path, x):
    assert not sequence(path=save(tmp_path, x=x, y=Y), normalise=True).train.inputs.any()


@pytest.mark.parametrize("wrong", [{"offsets": np.array(3)}, {"offsets": np.zeros(0, int)}, {"x": np.array(3.0)}])
def test_a_folder_with_a_file_that_does_not_fit_is_refused(tmp_path, wrong):
    np.savez(tmp_path / "train.npz", **({"x": X, "y": Y} | wrong))
    with pytest.raises(DataError, match=f"train.npz: {next(iter(wrong))} is"):
        sequence(path=str(tmp_path))


def test_a_file_beside_the_splits_is_refused(tmp_path):
    """Else validation would be drawn from the training samples, though there is a file of it."""
    for name in ("train", "test", "val"):
        np.savez(tmp_path / f"{name}.npz", x=np.zeros((10, 4, 1)), y=np.zeros(10, int))
    with pytest.raises(DataError, match=r"holds val\.npz beside train\.npz, expected validation\.npz and test\.npz"):
        sequence(path=str(tmp_path))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({name: np.arange(5) for name in ("x", "y", "t", "p")} | {"target": np.array(1)}, r"events.* into one \.npz"),
        ({"x": np.zeros((5, 2)), "y": np.array(1), "split": np.array("test")}, r"has an array split.*train\.npz"),
    ],
)
def test_a_folder_of_recordings_takes_neither_events_nor_splits(tmp_path, arrays, message):
    """Their columns would be read as a signal and its classes; their split would be drawn anew."""
    for index in range(4):
        np.savez(tmp_path / f"{index}.npz", **arrays)
    with pytest.raises(DataError, match=message):
        sequence(path=str(tmp_path))


def test_files_whose_targets_differ_are_refused(tmp_path):
    for name, numbers in (("train", 2), ("test", 3)):
        np.savez(tmp_path / f"{name}.npz", x=np.zeros((10, 4, 1)), y=np.zeros((10, numbers)))
    with pytest.raises(DataError, match=r"the numbers of a target differ between its files: \[2\], \[3\]"):
        sequence(path=str(tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "no column 'sample'.*A table has a row a step"),
        ("sample,a\n1,2\n", "has the columns 'sample', 'a'"),
        ("sample, a, target\n1,2,0\n", "has the columns 'sample', ' a', ' target'"),
        ("sample,a,target\n", "has the columns 'sample', 'a', 'target', but no rows"),
        ("sample,a,target\n1,2,0\n,3,0\n ,4,0\n", "sample is empty in 2 rows, first in row 2 below"),
        ("sample,a,b,a,target\n1,2,3,4,0\n", "more than one column 'a'"),
        ("sample,a,target\n1,2\n", "row 2 has 2 fields, the header has 3"),
        ("sample,a,target\n1,2,0\nb,x,0\n", "a is 'x' in sample b, expected a number"),
        ("sample,a,target\n1,1_0,0\n", "a is '1_0' in sample 1, expected a number"),
        ("sample,a,target\n1,2,0\nb,,0\nb, ,0\n", "a is empty in 2 rows, first in sample b, expected a number"),
        ("sample,step,a,target\n1,,2,0\n", "step is empty in 1 rows, first in sample 1, expected a number"),
        (",sample,a,target\n0,1,2,0\n", "column 1 is called '', expected a name.*index=False"),
        ("Unnamed: 0,sample,a,target\n0,1,2,0\n", "column 1 is called 'Unnamed: 0', expected a name"),
        ("sample,a,target,\n1,2,0,\n", "column 4 is called '', expected a name"),
        ("sample;a;target\n1;2,5;0\n", "separates its columns by ';', expected commas"),
        ("sample,a,target\n1,1e300,0\n", r"an input is 1e\+300, too large for float32"),
        ("sample,a,target\n1,2,0\n1,2,1\n", "target changes within sample 1.*step_target"),
        ("sample,a,target\n0,1,1\nb,2,\n", "target is empty in sample b, expected the sample's target in each"),
        ("sample,a,target\n0,1,1\nb,2,nan\nb,2,nan\n", "target is nan in sample b, expected a finite number"),
        (
            "sample,a,step_target\n0,1,0.5\nb,2,\n",
            "step_target is empty in sample b, expected a real number at each step",
        ),
        ("sample,a,step_target\n0,1,\nb,2,\nc,3,\n", "all targets are -100"),
        ("sample,split,a,target\n1,train,2,0\n1,test,2,0\n", "split changes within sample 1"),
        ("sample,step,a,target\n1,1,2,0\n1,0,2,0\n", "steps of sample 1 do not ascend"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path, text, message):
    (tmp_path / "own.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        sequence(path=str(tmp_path / "own.csv"))


def test_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"needs your file: --data\.path"):
        sequence()
    with pytest.raises(DataError, match="There is no file or folder"):
        sequence(path=str(tmp_path / "missing.npz"))
    with pytest.raises(DataError, match=r"holds no \.npz file"):
        sequence(path=str(tmp_path))
    (tmp_path / "own.npz").write_text("no archive")
    with pytest.raises(DataError, match=r"numpy\.savez"):
        sequence(path=str(tmp_path / "own.npz"))
    (tmp_path / "own.txt").write_text("")
    with pytest.raises(DataError, match=r"ends in \.txt, expected one of \.npz, \.csv, \.parquet"):
        sequence(path=str(tmp_path / "own.txt"))


def test_a_parquet_file_says_which_package_it_needs(tmp_path, monkeypatch):
    import sys

    (tmp_path / "own.parquet").write_text("")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(DataError, match="pip install pyarrow"):
        sequence(path=str(tmp_path / "own.parquet"))


def test_a_parquet_file(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "own.parquet"
    columns = [["a", "a", "b", "c"], [0.0, 1.0, 2.0, 3.0], [1, 1, 0, 1]]
    parquet.write_table(pyarrow.table(columns, names=["sample", "x", "target"]), path)
    assert sequence(path=str(path)).classes == 2
    steps = [["a", "a", "b", "c"], [0.0, 1.0, 2.0, 3.0], [1, None, 0, 1]]
    parquet.write_table(pyarrow.table(steps, names=["sample", "x", "step_target"]), path)
    every = sequence(path=str(path))
    found = {tuple(y.tolist()) for split in (every.train, every.validation, every.test) for y in samples(split)[1]}
    assert found == {(1, -100), (0,), (1,)}
    parquet.write_table(pyarrow.table([*columns, columns[1]], names=["sample", "x", "target", "x"]), path)
    with pytest.raises(DataError, match="more than one column 'x'"):
        sequence(path=str(path))
    parquet.write_table(
        pyarrow.table([*columns, columns[1]], names=["sample", "x", "target", "__index_level_0__"]), path
    )
    with pytest.raises(DataError, match="column 4 is called '__index_level_0__', expected a name"):
        sequence(path=str(path))
    parquet.write_table(pyarrow.table([*columns[:2], [[1, 2]] * 4], names=["sample", "x", "target"]), path)
    with pytest.raises(DataError, match=r"'target' holds list<.*target_a and target_b"):
        sequence(path=str(path))
    parquet.write_table(pyarrow.table([[1.0, np.nan, 2.0, 3.0], *columns[1:]], names=["sample", "x", "target"]), path)
    with pytest.raises(DataError, match="sample is empty in 1 rows, first in row 2"):
        sequence(path=str(path))
    path.write_text("text")
    with pytest.raises(DataError, match="is no Parquet file"):
        sequence(path=str(path))
