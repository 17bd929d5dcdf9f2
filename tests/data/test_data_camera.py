"""Events: binning against a loop, and tiny files in the official formats of N-MNIST, DVS128 Gesture and the characters."""

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from spikescan.data import dvs_characters, dvs_gesture, dvs_gesture_demo, nmnist
from spikescan.data.camera import Binning, Events
from spikescan.data.dvs_gesture import read_aedat
from spikescan.data.nmnist import read_atis
from spikescan.errors import DataError


def some_events(n: int, side: int, seed: int = 0, until: int = 100_000) -> Events:
    random = np.random.default_rng(seed)
    x, y, p = (random.integers(0, high, n, dtype=np.uint8) for high in (side, side, 2))
    return Events(np.sort(random.integers(0, until, n)), x, y, p)


def write_archive(path: Path, recordings: list[Events], **arrays: np.ndarray) -> None:
    np.savez(
        path,
        x=np.concatenate([events.x for events in recordings]),
        y=np.concatenate([events.y for events in recordings]),
        p=np.concatenate([events.p for events in recordings]),
        dt=np.concatenate([np.diff(events.t, prepend=0) for events in recordings]).astype(np.uint32),
        offsets=np.cumsum([0, *map(len, recordings)]),
        **arrays,
    )


# Binning


@pytest.mark.parametrize("by", ["time", "count"])
@pytest.mark.parametrize("downsample", [1, 2, 4])
@pytest.mark.parametrize("n", [0, 1, 7, 500])
def test_binning_counts_each_event_once_where_it_belongs(by, downsample, n):
    events, steps = some_events(n, side=8), 5
    expected = np.zeros((steps, 2, 8 // downsample, 8 // downsample))
    for index in range(n):
        passed = events.t[index] - events.t[0]
        step = index * steps // n if by == "count" else passed * steps // (events.t[-1] - events.t[0] + 1)
        expected[step, events.p[index], events.y[index] // downsample, events.x[index] // downsample] += 1
    binning = Binning((8, 8), steps, bin_by=by, downsample=downsample)
    counts = binning(events)
    assert counts.dtype == np.int16
    assert np.array_equal(counts, expected)
    flat = Binning((8, 8), steps, bin_by=by, downsample=downsample, flatten=True)(events)
    assert np.array_equal(flat, expected.reshape(steps, -1))


def test_a_duration_leaves_out_what_comes_later():
    events = Events(np.array([50, 59, 60, 69, 70, 500]), *(np.zeros(6, np.uint8) for _ in range(3)))
    counts = Binning((1, 1), 2, duration=20)(events)
    assert counts[:, 0, 0, 0].tolist() == [2, 2]


def test_counts_do_not_overflow():
    events = Events(np.arange(40_000), *(np.zeros(40_000, np.uint8) for _ in range(3)))
    assert Binning((1, 1), 1)(events).max() == 32767


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 0}, "frames is 0"),
        ({"bin_by": "event"}, "bin_by is 'event', expected 'time' or 'count'"),
        ({"duration": 0}, "duration is 0"),
        ({"duration": 5, "bin_by": "count"}, "bin_by='time'"),
        ({"downsample": 3}, "downsample is 3, expected a divisor of 8"),
    ],
)
def test_options_of_binning_are_checked(options, message):
    with pytest.raises(DataError, match=message):
        Binning((8, 8), **{"frames": 4, **options})


# N-MNIST


def atis_bytes(events: Events) -> bytes:
    """Big-endian 40 bits: x, y, polarity, 23 bits of time."""
    packed = (
        (int(x) << 32) | (int(y) << 24) | (int(p) << 23) | int(t)
        for t, x, y, p in zip(events.t, events.x, events.y, events.p, strict=True)
    )
    return b"".join(word.to_bytes(5, "big") for word in packed)


def write_nmnist(folder: Path) -> Path:
    number = 0
    for part, count in (("Train", 2), ("Test", 1)):
        for digit in range(10):
            place = folder / part / str(digit)
            place.mkdir(parents=True)
            for _ in range(count):
                number += 1
                (place / f"{number:05d}.bin").write_bytes(atis_bytes(some_events(50 + number, 34, seed=number)))
    return folder


def test_an_atis_file_is_read_as_it_was_written(tmp_path):
    events = some_events(300, 34, until=(1 << 23) - 1)
    path = tmp_path / "00001.bin"
    path.write_bytes(atis_bytes(events))
    read = read_atis(path, (34, 34))
    for name in "txyp":
        assert np.array_equal(getattr(read, name), getattr(events, name))


def test_an_overflow_of_the_clock_is_no_event(tmp_path):
    path = tmp_path / "00001.bin"
    columns = (
        np.array(column) for column in ([10, 8000, 0, 20, 0, 5], [1, 2, 0, 3, 0, 4], [1, 2, 240, 3, 240, 4], [0] * 6)
    )
    path.write_bytes(atis_bytes(Events(*columns)))
    assert read_atis(path, (34, 34)).t.tolist() == [10, 8000, 8192 + 20, 2 * 8192 + 5]


def test_nmnist_from_the_official_folders(tmp_path, monkeypatch):
    write_nmnist(tmp_path / "NMNIST")
    monkeypatch.setenv("SPIKESCAN_DATA", str(tmp_path))
    data = nmnist(frames=6, downsample=2, validation=10)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [10, 10, 10]
    batch = data.test.batch(slice(0, 3))
    assert batch.inputs.shape == (6, 3, 2, 17, 17)
    assert batch.inputs.dtype == torch.float32
    # The test files are numbers 21 to 30, of 71 to 80 events.
    assert batch.inputs.sum((0, 2, 3, 4)).tolist() == [71, 72, 73]
    assert data.test.targets.tolist() == list(range(10))
    assert nmnist(frames=6, flatten=True, validation=10).channels == 2 * 34 * 34


def test_of_the_archive_the_last_fifth_for_training_is_tested_too(tmp_path):
    recordings = [some_events(20 + index, 34, seed=index) for index in range(55)]
    labels = np.arange(55) % 10
    write_archive(tmp_path / "nmnist_small.npz", recordings, label=labels, is_test=np.arange(55) >= 50)
    data = nmnist(path=str(tmp_path), frames=4, validation=10)
    assert data.name == "N-MNIST (40 + 15 recordings)"
    assert data.test.encoded(slice(None)).sum((1, 2, 3, 4)).tolist() == [20.0 + index for index in range(40, 55)]
    assert [len(split) for split in (data.train, data.validation)] == [30, 10]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x01\x01\x80\x00", "4 bytes, which is no multiple of 5: it is truncated"),
        (b"", "0 bytes"),
        (b"\x22\x01\x80\x00\x00", "x runs from 34 to 34, expected 0 to 33"),
        (b"\x01\x01\x00\x00\x09\x01\x01\x00\x00\x08", "time goes back after event 0"),
    ],
)
def test_a_damaged_atis_file_is_refused(tmp_path, content, message):
    path = write_nmnist(tmp_path) / "Test" / "3" / "00024.bin"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        nmnist(path=str(tmp_path))
    assert str(path) in str(error.value)


def test_missing_recordings_are_named(tmp_path):
    (write_nmnist(tmp_path) / "Test" / "3" / "00024.bin").unlink()
    with pytest.raises(DataError, match=r"Test/3 holds no .bin file.*Train and Test"):
        nmnist(path=str(tmp_path))


def test_an_archive_that_does_not_fit_is_refused(tmp_path):
    recordings = [some_events(20, 34, seed=index) for index in range(5)]
    write_archive(tmp_path / "nmnist_small.npz", recordings, label=np.zeros(4), is_test=np.zeros(4, bool))
    with pytest.raises(DataError, match="do not fit each other"):
        nmnist(path=str(tmp_path))


# DVS128 Gesture


def aedat_bytes(packets: list[tuple[int, Events]], valid: bool = True) -> bytes:
    """AEDAT 3.1: packets of polarity events, each with how often the clock overflowed; and one of another kind."""
    content = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 0: DVS128\r\n#!END-HEADER\r\n"
    content += struct.pack("<HHIIIIII", 0, 0, 8, 4, 0, 1, 1, 1) + b"\xff" * 8
    for overflows, events in packets:
        n = len(events)
        content += struct.pack("<HHIIIIII", 1, 0, 8, 4, overflows, n, n, n)
        for t, x, y, p in zip(events.t, events.x, events.y, events.p, strict=True):
            content += struct.pack("<II", (int(x) << 17) | (int(y) << 2) | (int(p) << 1) | valid, int(t))
    return content


def write_gestures(folder: Path) -> Path:
    """Four people to train and one to test, two gestures each: events 0 to 49 ms are of the first, then of the second."""
    folder.mkdir(exist_ok=True)
    for user in range(1, 6):
        name = f"user{user:02d}_led"
        (folder / f"{name}.aedat").write_bytes(aedat_bytes([(0, some_events(60, 128, seed=user))]))
        labels = f"class,startTime_usec,endTime_usec\n{user},0,50000\n11,50000,100000\n"
        (folder / f"{name}_labels.csv").write_text(labels)
    (folder / "trials_to_train.txt").write_text("".join(f"user{user:02d}_led.aedat\n" for user in range(1, 5)) + "\n")
    (folder / "trials_to_test.txt").write_text("user05_led.aedat\n")
    return folder


def test_an_aedat_file_is_read_as_it_was_written(tmp_path):
    early, late = some_events(40, 128, seed=1), some_events(30, 128, seed=2)
    path = tmp_path / "user.aedat"
    path.write_bytes(aedat_bytes([(1, late), (0, early)]))
    read = read_aedat(path, (128, 128))
    assert np.array_equal(read.t, np.concatenate([early.t, late.t + (1 << 31)]))
    for name in "xyp":
        assert np.array_equal(getattr(read, name), np.concatenate([getattr(early, name), getattr(late, name)]))
    path.write_bytes(aedat_bytes([(0, early)], valid=False))
    assert len(read_aedat(path, (128, 128))) == 0


def test_dvs_gesture_from_the_official_folder(tmp_path, monkeypatch):
    write_gestures(tmp_path / "DvsGesture")
    monkeypatch.setenv("SPIKESCAN_DATA", str(tmp_path))
    data = dvs_gesture(frames=4, downsample=8, validation_users=1)
    assert data.train.targets.tolist() == [0, 10, 1, 10, 2, 10]
    assert data.validation.targets.tolist() == [3, 10]
    assert data.test.targets.tolist() == [4, 10]
    assert data.test.batch(slice(None)).inputs.shape == (4, 2, 2, 16, 16)
    first = int((some_events(60, 128, seed=5).t < 50_000).sum())
    assert data.test.encoded(slice(None)).sum((1, 2, 3, 4)).tolist() == [first, 60 - first]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("user02_led.aedat", lambda content: content[:-1], "truncated: a packet announces 60 events"),
        ("user02_led.aedat", lambda content: content[:90], "truncated"),
        ("user02_led.aedat", lambda content: content.replace(b"3.1", b"2.0"), "starts with b'#!AER-DAT2.0'"),
        (
            "user05_led_labels.csv",
            lambda content: content.replace(b"11,", b"12,"),
            "'12,50000,100000' is not a class 1 to 11",
        ),
        ("user05_led_labels.csv", lambda content: content.replace(b"11,", b"eleven,"), "is not class,startTime_usec"),
        ("user05_led_labels.csv", lambda content: b"class\n", "lists no gesture"),
    ],
)
def test_a_damaged_gesture_file_is_refused(tmp_path, name, change, message):
    path = write_gestures(tmp_path) / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=message) as error:
        dvs_gesture(path=str(tmp_path), frames=2, downsample=32, validation_users=1)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("name", ["trials_to_test.txt", "user03_led.aedat", "user05_led_labels.csv"])
def test_a_missing_gesture_file_is_named(tmp_path, name):
    (write_gestures(tmp_path) / name).unlink()
    with pytest.raises(DataError, match=f"has no {name} .*Put it there"):
        dvs_gesture(path=str(tmp_path), frames=2, downsample=32, validation_users=1)


def test_all_people_cannot_be_held_out(tmp_path):
    with pytest.raises(DataError, match="validation_users=4 cannot be held out of 4 people"):
        dvs_gesture(path=str(write_gestures(tmp_path)), validation_users=4)


def test_the_demo_is_cut_into_windows_in_time(tmp_path):
    recordings = [some_events(3000, 128, seed=index, until=1_000_000) for index in range(10)]
    write_archive(tmp_path / "dvs128_gesture_demo.npz", recordings, label=np.arange(10))
    data = dvs_gesture_demo(path=str(tmp_path), window=90_000, frames=3, downsample=32)
    # 11 whole windows: 7 that begin in the first 60 %, 2 in the next 20 %, 2 in the last.
    assert [len(split) for split in (data.train, data.validation, data.test)] == [70, 20, 20]
    assert data.test.targets.unique().tolist() == list(range(10))
    expected = len(recordings[9].between(10 * 90_000, 11 * 90_000))
    assert data.test.encoded(slice(-1, None)).sum() == expected
    with pytest.raises(DataError, match="window is 400000"):
        dvs_gesture_demo(path=str(tmp_path), window=400_000)


# Characters


def characters() -> tuple[list[Events], list[str]]:
    order = "X9F0A1B2C3D4E5G6H7I8JKLMNOPQRSTUVWYZ"
    text = [*order, *order, *"XFYG"]
    return [some_events(10 + index, 32, seed=index) for index in range(76)], text


def test_characters_from_the_official_files_and_from_an_archive(tmp_path):
    savemat = pytest.importorskip("scipy.io").savemat
    recordings, text = characters()
    cells = np.empty((1, 76), object)
    for index, events in enumerate(recordings):
        kind = [(name, object) for name in ("x", "y", "p", "ts")]
        cell = np.empty((1, 1), kind)
        cell[0, 0] = (events.x[None] + 1, events.y[None] + 1, 2 * events.p[None].astype(np.int16) - 1, events.t[None])
        cells[0, index] = cell
    (tmp_path / "mat").mkdir()
    savemat(tmp_path / "mat" / "alphabet_ExtractedStabilized.mat", {"ROI": cells})
    labels = [(character, len(events)) for character, events in zip(text, recordings, strict=True)]
    (tmp_path / "mat" / "alphabet_label.pkl").write_bytes(pickle.dumps(labels))
    classes = np.array(["0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(character) for character in text])
    write_archive(tmp_path / "dvs_characters.npz", recordings, label=classes)
    official, archive = (dvs_characters(path=str(place), frames=3) for place in (tmp_path / "mat", tmp_path))
    for name in ("train", "validation", "test"):
        assert torch.equal(getattr(official, name).inputs, getattr(archive, name).inputs)
        assert torch.equal(getattr(official, name).targets, getattr(archive, name).targets)
    assert archive.validation.targets.tolist() == [33, 15, 34, 16]
    for split in (archive.train, archive.test):
        assert sorted(split.targets.tolist()) == list(range(36))
    assert archive.train.encoded(slice(0, 1)).sum() == 10
    (tmp_path / "mat" / "alphabet_label.pkl").write_bytes(pickle.dumps([print]))
    with pytest.raises(DataError, match=r"it asks for builtins\.print"):
        dvs_characters(path=str(tmp_path / "mat"))
    (tmp_path / "mat" / "alphabet_ExtractedStabilized.mat").write_bytes(b"no mat" * 50)
    with pytest.raises(DataError, match="is no MATLAB 5 file"):
        dvs_characters(path=str(tmp_path / "mat"))


def test_too_few_characters_are_refused(tmp_path, monkeypatch):
    recordings, _ = characters()
    write_archive(tmp_path / "dvs_characters.npz", recordings[:70], label=np.arange(70) % 36)
    with pytest.raises(DataError, match="expected 36 characters recorded twice"):
        dvs_characters(path=str(tmp_path))
    monkeypatch.delenv("SPIKESCAN_DATA", raising=False)
    with pytest.raises(DataError, match="DVS characters needs its files"):
        dvs_characters()
