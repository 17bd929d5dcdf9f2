"""Electrocardiograms and spoken digits from tiny files in their official formats."""

import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from spikescan.data import Batch, ecg_qtdb, fsdd
from spikescan.data.ecg_qtdb import _Heart
from spikescan.data.fsdd import _Playback
from spikescan.errors import DataError

# Electrocardiogram


def beats(sequences: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Events ``[N, 30, 4]`` and one-hot classes ``[N, 30, 6]``, none set in the last 5 steps."""
    random = np.random.default_rng(seed)
    classes = np.zeros((sequences, 30, 6), np.uint8)
    classes[np.arange(sequences)[:, None], np.arange(25), random.integers(0, 6, (sequences, 25))] = 1
    classes[0, :6] = np.eye(6)
    return random.integers(-1, 2, (sequences, 30, 4), dtype=np.int16), classes


def write_ecg(folder: Path) -> Path:
    savemat = pytest.importorskip("scipy.io").savemat
    for part, sequences in (("train", 20), ("test", 6)):
        x, y = beats(sequences, seed=sequences)
        savemat(folder / f"QTDB_{part}.mat", {"x": x, "y": y, "t": np.zeros((sequences, 30))})
    return folder


def test_beats_from_the_official_files_and_from_an_archive(tmp_path):
    (tmp_path / "mat").mkdir()
    arrays = {}
    for part, sequences in (("train", 20), ("test", 6)):
        x, y = beats(sequences, seed=sequences)
        arrays |= {f"x_{part}": x, f"y_{part}": y.argmax(-1).astype(np.uint8), f"labelled_{part}": y.any(-1)}
    np.savez(tmp_path / "ecg_qtdb.npz", **arrays)
    official, archive = ecg_qtdb(path=str(write_ecg(tmp_path / "mat"))), ecg_qtdb(path=str(tmp_path))
    for name in ("train", "validation", "test"):
        assert torch.equal(getattr(official, name).inputs, getattr(archive, name).inputs)
        assert torch.equal(getattr(official, name).targets, getattr(archive, name).targets)
    assert [len(split) for split in (archive.train, archive.validation, archive.test)] == [18, 2, 6]
    assert torch.equal(archive.validation.inputs, torch.from_numpy(arrays["x_train"][-2:].astype(np.int8)))
    batch = archive.test.batch(slice(0, 3))
    assert batch.inputs.shape == (30, 3, 4)
    assert batch.inputs.dtype == torch.float32
    assert batch.targets[0, :6].tolist() == list(range(6))
    assert (batch.targets[:, 25:] == -100).all()
    assert (batch.targets[:, :25] >= 0).all()
    everything = ecg_qtdb(path=str(tmp_path), unlabelled=True).test.targets
    assert (everything[:, 25:] == 0).all()


def test_a_heart_beats_at_another_rate_with_its_waves():
    torch.manual_seed(0)
    steps, n = 400, 50
    inputs = torch.zeros(steps, n, 4)
    inputs[5::20] = 1.0
    # The class changes with each event.
    targets = ((torch.arange(steps) - 5).div(20, rounding_mode="floor") % 6).expand(n, steps).contiguous()
    changed = _Heart(rate=0.25)(Batch(inputs, targets))
    gaps = []
    for sample in range(n):
        events = changed.inputs[:, sample, 0].nonzero().squeeze(1)
        gap = events.diff().float().mean()
        gaps.append(float(gap) / 20)
        assert changed.inputs[:, sample].sum() == 4 * len(events)
        for event in events[1:-1].tolist():
            around = changed.targets[sample, [event - 2, event + 2]].tolist()
            assert around[1] == (around[0] + 1) % 6
        seen = int((changed.targets[sample] != -100).sum())
        assert abs(seen - min(steps, steps * float(gap) / 20)) < 4
    assert 0.79 < min(gaps) < 0.85
    assert 1.19 < max(gaps) < 1.26


def test_events_are_left_out_and_leads_exchanged(tmp_path):
    torch.manual_seed(0)
    steps, n = 500, 300
    inputs = torch.stack([torch.full((steps, n), float(lead)) for lead in (1, 2, 3, 4)], dim=2)
    batch = Batch(inputs, torch.zeros(n, steps, dtype=torch.int64))
    swapped = _Heart(swap=True)(batch)
    orders = swapped.inputs[0].tolist()
    assert swapped.inputs.eq(swapped.inputs[:1]).all()
    assert all(order in ([1.0, 2.0, 3.0, 4.0], [3.0, 4.0, 1.0, 2.0]) for order in orders)
    assert 110 < orders.count([3.0, 4.0, 1.0, 2.0]) < 190
    kept = _Heart(drop=0.2)(batch).inputs
    assert ((kept == 0.0) | (kept == inputs)).all()
    shares = (kept == 0.0).float().mean((0, 2))
    assert shares.min() < 0.02
    assert 0.17 < shares.max() < 0.24
    assert float(shares.mean()) == pytest.approx(0.1, abs=0.01)
    write_ecg(tmp_path)
    data = ecg_qtdb(path=str(tmp_path), swap=True, drop=0.2, rate=0.1)
    assert data.train.augment == _Heart(rate=0.1, drop=0.2, swap=True)
    assert data.validation.augment is data.test.augment is ecg_qtdb(path=str(tmp_path)).train.augment is None
    with pytest.raises(DataError, match="drop is 1, expected 0 to below 1"):
        ecg_qtdb(path=str(tmp_path), drop=1)


def test_a_damaged_mat_file_is_refused(tmp_path):
    path = write_ecg(tmp_path) / "QTDB_test.mat"
    content = path.read_bytes()
    # A cut anywhere: scipy raises another kind of error of each.
    for end in (0, 50, 130, 140, len(content) // 2, len(content) - 200):
        path.write_bytes(content[:end])
        with pytest.raises(DataError, match=r"QTDB_test.mat (is no MATLAB 5 file, or a damaged one|lacks an array)"):
            ecg_qtdb(path=str(tmp_path))
    path.unlink()
    with pytest.raises(DataError, match=r"has no ecg_qtdb.npz .*QTDB_train.mat and QTDB_test.mat"):
        ecg_qtdb(path=str(tmp_path))


def test_another_mat_file_is_refused(tmp_path):
    savemat = pytest.importorskip("scipy.io").savemat
    x, y = beats(4, seed=0)
    savemat(write_ecg(tmp_path) / "QTDB_train.mat", {"x": x[..., :3], "y": y})
    with pytest.raises(DataError, match=r"inputs are \[4, 30, 3\] and there are 6 classes, expected \[N, T, 4\] and 6"):
        ecg_qtdb(path=str(tmp_path))
    savemat(tmp_path / "QTDB_train.mat", {"x": x})
    with pytest.raises(DataError, match="lacks an array: y"):
        ecg_qtdb(path=str(tmp_path))
    write_ecg(tmp_path)
    with pytest.raises(DataError, match=r"rate is -0\.1"):
        ecg_qtdb(path=str(tmp_path), rate=-0.1)
    with pytest.raises(DataError, match="validation=20 sequences cannot be held out of 20"):
        ecg_qtdb(path=str(tmp_path), validation=20)
    with pytest.raises(DataError, match="stretches is 4, expected 1 to validation=3"):
        ecg_qtdb(path=str(tmp_path), validation=3, stretches=4)


def test_validation_in_several_stretches(tmp_path):
    write_ecg(tmp_path)
    one, several = (ecg_qtdb(path=str(tmp_path), validation=5, stretches=stretches) for stretches in (1, 2))
    assert len(one.train) == len(several.train) == 15
    inputs = torch.cat([one.train.inputs, one.validation.inputs])
    assert torch.equal(several.validation.inputs, inputs[[8, 9, 17, 18, 19]])
    assert torch.equal(several.train.inputs, inputs[[*range(8), *range(10, 17)]])


# Spoken digits

SPEAKERS = ("george", "theo")


def audio(digit: int, speaker: str, index: int) -> np.ndarray:
    """Of 40 to 72 samples; the first tells which recording it is."""
    samples = np.random.default_rng(digit).integers(-32768, 32768, 40 + index + 5 * digit % 30).astype("<i2")
    samples[0] = 100 * digit + 50 * SPEAKERS.index(speaker) + index
    return samples


def write_wave(path: Path, samples: np.ndarray, rate: int = 8000) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())


@pytest.fixture
def digits(tmp_path) -> Path:
    """Of 10 digits and 2 speakers, recordings 0 to 7."""
    (tmp_path / "recordings").mkdir()
    for digit in range(10):
        for speaker in SPEAKERS:
            for index in range(8):
                name = f"{digit}_{speaker}_{index}.wav"
                write_wave(tmp_path / "recordings" / name, audio(digit, speaker, index))
    return tmp_path


def test_the_official_split_of_the_digits(digits):
    data = fsdd(path=str(digits), validation=1, frame=8, longest=64)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [40, 20, 100]
    marks = (data.test.inputs[:, 0, 0].long() % 50).unique().tolist()
    assert marks == [0, 1, 2, 3, 4]
    assert (data.validation.inputs[:, 0, 0].long() % 50).unique().tolist() == [5]
    assert torch.equal(data.train.inputs[:, 0, 0].long() // 100, data.train.targets)


def test_frames_hold_the_audio_and_lengths_count_them(digits):
    data = fsdd(path=str(digits), validation=1, frame=8, longest=None)
    assert data.test.inputs.dtype == torch.int16
    assert data.test.inputs.shape == (100, 9, 8)
    samples = audio(3, "theo", 2)
    (index,) = (data.test.inputs[:, 0, 0] == samples[0]).nonzero().flatten().tolist()
    frames = data.test.batch(slice(index, index + 1))
    assert torch.equal(frames.inputs[:, 0].flatten()[: len(samples)] * 32768, torch.tensor(samples.astype(np.float32)))
    assert (frames.inputs[:, 0].flatten()[len(samples) :] == 0).all()
    assert frames.lengths.tolist() == [-(-len(samples) // 8)]
    cut = fsdd(path=str(digits), validation=1, frame=8, longest=41).test
    assert cut.inputs.shape == (100, 6, 8)
    assert (cut.inputs[:, 5, 1:] == 0).all()


def test_a_speaker_is_left_out(digits):
    data = fsdd(path=str(digits), speaker="theo", validation=2)
    assert data.name == "FSDD (without theo)"
    assert [len(split) for split in (data.train, data.validation, data.test)] == [60, 20, 80]
    assert (data.test.inputs[:, 0, 0].long() % 100 >= 50).all()
    for split in (data.train, data.validation):
        assert (split.inputs[:, 0, 0].long() % 100 < 50).all()
    with pytest.raises(DataError, match="speaker is 'leo', expected one of george, theo"):
        fsdd(path=str(digits), speaker="leo")


def test_a_speaker_is_held_out_for_validation(digits):
    data = fsdd(path=str(digits), validation="george")
    assert [len(split) for split in (data.train, data.validation, data.test)] == [30, 30, 100]
    assert (data.train.inputs[:, 0, 0].long() % 100 >= 50).all()
    assert (data.validation.inputs[:, 0, 0].long() % 100).unique().tolist() == [5, 6, 7]
    for digit in range(10):
        for index in range(3):
            write_wave(digits / "recordings" / f"{digit}_lucas_{index}.wav", audio(digit, "george", index))
    data = fsdd(path=str(digits), speaker="theo", validation="lucas")
    assert [len(split) for split in (data.train, data.validation, data.test)] == [80, 30, 80]
    assert (data.validation.inputs[:, 0, 0].long() % 100).unique().tolist() == [0, 1, 2]
    for wrong in ("theo", "leo"):
        message = f"validation is '{wrong}', expected how many .* such as 5, or .* not the test: one of george, lucas"
        with pytest.raises(DataError, match=message):
            fsdd(path=str(digits), speaker="theo", validation=wrong)


def test_an_archive_holds_the_same(digits, tmp_path):
    named = [(digit, speaker, index) for digit in range(10) for speaker in SPEAKERS for index in range(8)]
    clips = [audio(*each) for each in named]
    (tmp_path / "npz").mkdir()
    np.savez(
        tmp_path / "npz" / "fsdd.npz",
        audio=np.concatenate(clips),
        offsets=np.cumsum([0, *map(len, clips)]),
        y=np.array([digit for digit, _, _ in named]),
        speaker=np.array([SPEAKERS.index(speaker) for _, speaker, _ in named]),
        speaker_names=np.array(SPEAKERS),
        index=np.array([index for _, _, index in named]),
    )
    for name in ("train", "validation", "test"):
        one, two = (getattr(fsdd(path=str(place), validation=1), name) for place in (digits, tmp_path / "npz"))
        assert sorted(one.inputs.flatten(1).tolist()) == sorted(two.inputs.flatten(1).tolist())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-10]), "truncated: it announces"),
        (lambda path: path.write_bytes(path.read_bytes()[:20]), "no .wav file, or a damaged one"),
        (lambda path: path.write_bytes(b"RIFX" + path.read_bytes()[4:]), "no .wav file, or a damaged one"),
        (lambda path: write_wave(path, audio(0, "theo", 0), rate=16000), "1 channels of 16 bits at 16000 Hz"),
        (lambda path: write_wave(path, audio(0, "theo", 0)[:0]), "truncated: it announces 0 samples"),
        (lambda path: path.rename(path.with_name("zero.wav")), "its name is not DIGIT_SPEAKER_INDEX.wav"),
    ],
)
def test_a_damaged_recording_is_refused(digits, change, message):
    change(digits / "recordings" / "0_theo_0.wav")
    with pytest.raises(DataError, match=message):
        fsdd(path=str(digits), validation=1)


def test_missing_recordings_are_named(digits, tmp_path):
    with pytest.raises(DataError, match=r"has no fsdd.npz .*0_jackson_0.wav"):
        fsdd(path=str(Path(__file__).parent))
    with pytest.raises(DataError, match="0 recordings to train, 60 for validation, 100 to test"):
        fsdd(path=str(digits), validation=3)
    with pytest.raises(DataError, match="frame is 0"):
        fsdd(path=str(digits), frame=0)


def test_a_recording_played_faster_is_shorter_and_higher(digits):
    torch.manual_seed(0)
    steps, n, frame = 200, 40, 8
    tone = torch.sin(torch.arange(1.0, steps * frame + 1) * 0.05)
    lengths = torch.full((n,), 150)
    tone[150 * frame :] = 0.0
    batch = Batch(tone.view(steps, 1, frame).repeat(1, n, 1), torch.arange(n), lengths)
    played = _Playback(speed=0.25)(batch)
    assert played.inputs.shape == batch.inputs.shape
    assert torch.equal(played.targets, batch.targets)
    audio = played.inputs.transpose(0, 1).flatten(1)
    factors = 150 / played.lengths
    assert 0.79 < factors.min() < 0.87
    assert 1.15 < factors.max() < 1.27
    for sample in range(n):
        end = int(played.lengths[sample]) * frame
        assert not audio[sample, end:].any()
        turns = (audio[sample, : end - frame].diff().sign().diff() != 0).sum()
        assert abs(float(turns) - 0.05 * 1200 / torch.pi) < 2
    data = fsdd(path=str(digits), frame=4, speed=0.2, validation=1)
    assert data.train.augment is not None
    assert data.validation.augment is data.test.augment is None
    with pytest.raises(DataError, match="speed is -1"):
        fsdd(path=str(digits), speed=-1.0)


def test_pauses_stand_before_and_after_a_recording(digits):
    torch.manual_seed(0)
    steps, n, frame = 100, 300, 8
    lengths = torch.randint(1, steps + 1, (n,))
    sound = torch.randn(steps, n, frame) * (torch.arange(steps).view(-1, 1, 1) < lengths.unsqueeze(1))
    batch = Batch(sound, torch.arange(n), lengths)
    played = _Playback(pause=0.05)(batch)  # 50 steps at 8 kHz
    assert len(played.inputs) == played.lengths.max() > 140
    assert torch.equal(played.targets, batch.targets)
    silent = played.lengths - lengths
    before = (played.inputs[:, :, 0] != 0).long().argmax(0)
    assert ((before >= 0) & (before <= silent)).all()
    assert silent.min() == before.min() == 0
    assert 45 < before.max() <= silent.max() < 50
    assert float(silent.float().mean()) == pytest.approx(25, abs=3)
    assert float(before.float().mean()) == pytest.approx(12.5, abs=2)
    for sample in range(n):
        start, length = int(before[sample]), int(lengths[sample])
        assert torch.equal(played.inputs[start : start + length, sample], sound[:length, sample])
        assert played.inputs[:, sample].count_nonzero() == sound[:, sample].count_nonzero()


def test_pauses_make_a_batch_no_longer_than_the_longest_recording(digits):
    data = fsdd(path=str(digits), frame=8, longest=128, pause=1.0, validation=1)
    assert data.validation.augment is data.test.augment is None
    torch.manual_seed(0)
    for trim in (False, True):
        batch = data.train.batch(slice(None), trim=trim)
        assert len(batch.inputs) == 16
        assert 14 <= batch.lengths.max() <= 16
        assert (batch.inputs != 0).any(2).sum() == (data.train.inputs != 0).any(2).sum()
    assert len(data.train.batch(slice(0), trim=True).inputs) == 16
    with pytest.raises(DataError, match=r"pause is -0\.1, expected 0 or more seconds"):
        fsdd(path=str(digits), pause=-0.1)


def test_a_recording_made_brighter_is_a_filter_of_two_taps(digits):
    torch.manual_seed(0)
    n = 300
    batch = Batch(torch.randn(30, n, 4), torch.arange(n), torch.full((n,), 25))
    heard, audio = (each.transpose(0, 1).flatten(1) for each in (_Playback(tilt=0.5)(batch).inputs, batch.inputs))
    assert torch.equal(heard[:, 0], audio[:, 0])
    a = (heard - audio)[:, 1:] / audio[:, :-1]
    assert float((a - a[:, :1]).abs().median()) < 1e-4
    assert -0.5 <= a[:, 0].min() < -0.48
    assert 0.48 < a[:, 0].max() <= 0.5
    with pytest.raises(DataError, match=r"tilt is 1\.0, expected 0 to below 1"):
        fsdd(path=str(digits), tilt=1.0)


def test_the_equaliser_is_a_filter_with_a_gain_of_so_many_decibels(digits):
    torch.manual_seed(0)
    n, steps, frame, start = 300, 40, 8, 16
    impulse = torch.zeros(steps, n, frame)
    impulse[start // frame, :, 0] = 1.0
    filtered = _Playback(equaliser=10.0)(Batch(impulse, torch.arange(n), torch.full((n,), steps))).inputs
    answer = filtered.transpose(0, 1).flatten(1)
    assert answer[:, :start].abs().max() < 1e-6
    assert answer[:, start + 64 :].abs().max() < 1e-6
    decibels = 20.0 * torch.fft.rfft(answer[:, start : start + 64]).abs().log10()
    at_bands, between = decibels[:, ::4], decibels[:, 2::4]
    assert -10.1 < at_bands.min() < -9.8
    assert 9.8 < at_bands.max() < 10.1
    assert at_bands.mean().abs() < 0.5
    torch.testing.assert_close(between, (at_bands[:, 1:] + at_bands[:, :-1]) / 2, atol=0.2, rtol=0.0)
    # Of all filters with this gain the one of minimum phase has most of its energy at the beginning.
    energy = answer[:, start:].square().cumsum(1)
    assert (energy[:, 8] > 0.8 * energy[:, -1]).float().mean() > 0.9
    with pytest.raises(DataError, match="equaliser is inf, expected 0 or more decibels"):
        fsdd(path=str(digits), equaliser=float("inf"))
    data = fsdd(path=str(digits), equaliser=10.0, validation=1)
    assert data.train.augment is not None
    assert data.validation.augment is data.test.augment is None


def test_noise_follows_the_level_of_a_recording(digits):
    torch.manual_seed(0)
    n, steps = 400, 200
    level = torch.linspace(0.01, 1.0, n).view(1, n, 1)
    lengths = torch.randint(50, steps + 1, (n,))
    inputs = torch.randn(steps, n, 4) * level * (torch.arange(steps).view(-1, 1) < lengths).unsqueeze(2)
    batch = Batch(inputs, torch.arange(n), lengths)
    noise = _Playback(noise=0.1)(batch).inputs - inputs
    shares = noise.square().mean((0, 2)).sqrt() / level.flatten()
    assert 0.0009 < shares.min() < 0.0012
    assert 0.09 < shares.max() < 0.11
    assert float(shares.log10().mean()) == pytest.approx(-2.0, abs=0.1)
    with pytest.raises(DataError, match="noise is nan, expected 0 or more"):
        fsdd(path=str(digits), noise=float("nan"))
    data = fsdd(path=str(digits), frame=4, noise=0.1, tilt=0.5, validation=1)
    assert data.train.augment == _Playback(tilt=0.5, noise=0.1, longest=2000)
    assert data.validation.augment is data.test.augment is None
    assert fsdd(path=str(digits), frame=4, validation=1).train.augment is None


def test_a_recording_played_louder_is_otherwise_the_same(digits):
    torch.manual_seed(0)
    batch = Batch(torch.randn(30, 200, 4), torch.arange(200), torch.full((200,), 25))
    played = _Playback(gain=20.0)(batch)
    factors = played.inputs / batch.inputs
    torch.testing.assert_close(factors, factors[:1, :, :1].expand_as(factors), rtol=1e-5, atol=0.0)
    decibels = 20.0 * factors[0, :, 0].log10()
    assert -20.0 <= decibels.min() < -18.0
    assert 18.0 < decibels.max() <= 20.0
    assert abs(float(decibels.mean())) < 2.0
    assert torch.equal(played.lengths, batch.lengths)
    data = fsdd(path=str(digits), frame=4, gain=20.0, validation=1)
    assert data.train.augment is not None
    assert data.validation.augment is data.test.augment is None
    with pytest.raises(DataError, match="gain is -1"):
        fsdd(path=str(digits), gain=-1.0)
