"""Spoken digits."""

import io
import math
import wave
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from spikescan.data.dataset import Batch, Dataset, Split
from spikescan.data.files import find_file, locate, read_bytes, read_npz
from spikescan.data.sources import Audio
from spikescan.data.splits import AsFloat
from spikescan.errors import DataError

__all__ = ["fsdd"]

_ARCHIVE = "fsdd.npz"
_RATE = 8000
_BANDS = 9
"""Frequencies of the equaliser, 500 Hz apart from 0 to 4 kHz."""
_TAPS = 64
_EXPECTED = (
    "The folder holds the official folder recordings of files such as 0_jackson_0.wav (or is this folder), or "
    f"{_ARCHIVE}."
)


@dataclass(frozen=True)
class _Playback:
    """Changes recordings at random as `fsdd` says; each change is drawn for each recording by itself."""

    speed: float = 0.0
    pause: float = 0.0
    tilt: float = 0.0
    equaliser: float = 0.0
    noise: float = 0.0
    gain: float = 0.0
    longest: int | None = None
    """Steps to which `pause` may lengthen a batch; None sets no bound."""

    def __call__(self, batch: Batch) -> Batch:
        if self.speed:
            batch = self._faster_or_slower(batch)
        if self.pause:
            batch = self._between_pauses(batch)
        if self.tilt:
            batch = self._brighter_or_darker(batch)
        if self.equaliser:
            batch = self._equalised(batch)
        if self.noise:
            batch = self._noisier(batch)
        if self.gain:
            decibels = self.gain * _between_minus_one_and_one(batch)
            batch = replace(batch, inputs=batch.inputs * 10.0 ** (decibels / 20.0))
        return batch

    def _between_pauses(self, batch: Batch) -> Batch:
        """Silence before and after; the batch grows to what its longest recording then takes."""
        steps, n, frame = batch.inputs.shape
        assert batch.lengths is not None
        silent = torch.rand(n) * (self.pause * _RATE / frame)
        if self.longest is not None:
            silent = silent.minimum(self.longest - batch.lengths)
        before, lengths = (silent * torch.rand(n)).long(), batch.lengths + silent.long()
        place = torch.arange(max([steps, *lengths.tolist()])).unsqueeze(1) - before
        heard = (place >= 0) & (place < batch.lengths)
        moved = batch.inputs.gather(0, place.clamp(0, steps - 1).unsqueeze(2).expand(-1, -1, frame))
        return Batch(moved * heard.unsqueeze(2), batch.targets, lengths)

    def _brighter_or_darker(self, batch: Batch) -> Batch:
        """x_t + a x_{t-1}, with a up to `tilt` on either side of 0."""
        steps, n, frame = batch.inputs.shape
        audio = batch.inputs.transpose(0, 1).flatten(1)
        filtered = audio + self.tilt * _between_minus_one_and_one(batch) * nn.functional.pad(audio, (1, -1))
        return replace(batch, inputs=filtered.view(n, steps, frame).transpose(0, 1).contiguous())

    def _equalised(self, batch: Batch) -> Batch:
        """By a filter of minimum phase, whose gain in decibels is linear in frequency between `_BANDS` of them."""
        steps, n, frame = batch.inputs.shape
        audio = batch.inputs.transpose(0, 1).flatten(1)
        decibels = self.equaliser * (2.0 * torch.rand(n, 1, _BANDS) - 1.0)
        gain = nn.functional.interpolate(decibels, _TAPS // 2 + 1, mode="linear", align_corners=True).squeeze(1)
        # A filter has minimum phase if the cepstrum of its gain is folded: what it has before 0 goes to the other side.
        cepstrum = torch.fft.irfft(gain * (math.log(10.0) / 20.0))
        cepstrum[:, 1 : _TAPS // 2] *= 2.0
        cepstrum[:, _TAPS // 2 + 1 :] = 0.0
        taps = torch.fft.irfft(torch.fft.rfft(cepstrum).exp())
        size = audio.shape[1] + _TAPS  # at least, so that the end does not come round to the beginning
        filtered = torch.fft.irfft(torch.fft.rfft(audio, size) * torch.fft.rfft(taps, size), size)[:, : steps * frame]
        return replace(batch, inputs=filtered.view(n, steps, frame).transpose(0, 1).contiguous())

    def _noisier(self, batch: Batch) -> Batch:
        """White noise of up to `noise` times the root mean square of the recording, and of 40 decibels less at least."""
        frame = batch.inputs.shape[2]
        assert batch.lengths is not None
        level = (batch.inputs.square().sum((0, 2)) / (batch.lengths * frame).clamp(min=1)).sqrt().unsqueeze(1)
        share = self.noise * 10.0 ** (_between_minus_one_and_one(batch) - 1.0)
        return replace(batch, inputs=batch.inputs + share * level * torch.randn_like(batch.inputs))

    def _faster_or_slower(self, batch: Batch) -> Batch:
        """Linear between samples; the speed is log-uniform."""
        steps, n, frame = batch.inputs.shape
        assert batch.lengths is not None
        factor = torch.exp(_between_minus_one_and_one(batch) * math.log1p(self.speed))
        place = factor * torch.arange(steps * frame)
        before = place.long()
        # Silence follows the last sample.
        audio = nn.functional.pad(batch.inputs.transpose(0, 1).flatten(1), (0, 2))
        first, second = (audio.gather(1, index.clamp(max=steps * frame)) for index in (before, before + 1))
        played = torch.lerp(first, second, place - before).view(n, steps, frame).transpose(0, 1).contiguous()
        lengths = (batch.lengths / factor.squeeze(1)).ceil().long().clamp(max=steps)
        return Batch(played, batch.targets, lengths)


def _between_minus_one_and_one(batch: Batch) -> torch.Tensor:
    """Uniform, ``[n, 1]``."""
    return 2.0 * torch.rand(batch.inputs.shape[1], 1) - 1.0


@dataclass(frozen=True)
class _Clip:
    digit: int
    speaker: str
    index: int
    audio: np.ndarray
    """int16 ``[samples]``."""


def fsdd(
    *,
    path: str | None = None,
    frame: int = 8,
    longest: int | None = 8000,
    speaker: str | None = None,
    speed: float = 0.0,
    pause: float = 0.0,
    gain: float = 0.0,
    tilt: float = 0.0,
    equaliser: float = 0.0,
    noise: float = 0.0,
    validation: int | str = 5,
) -> Dataset:
    """Free Spoken Digit Dataset, 3,000 recordings of ten digits by six speakers at 8 kHz (Jackson et al., 2018).

    The official split: of each digit and speaker, recordings 0 to 4 are the test and 5 to 49 for training; so all
    speakers are in both.

    Args:
        path: the folder of ``recordings``, or this folder, or that of ``fsdd.npz``; None reads the environment variable
            ``SPIKESCAN_DATA``, in which a folder ``free-spoken-digit-dataset`` or ``fsdd`` is looked into first.
        frame: samples of a time step, which are its channels; the last is filled up with silence.
        longest: samples at most, what comes later is left out; None keeps all (up to 18,262).
        speaker: all recordings of this speaker are the test and none of them is for training; None takes the official
            split.
        speed: plays each training recording at random faster or slower, anew in each epoch, by a factor of up to 1 + speed:
            pitch and duration change. What then lies beyond the longest of its batch is left out.
        pause: puts silence before and after each training recording, anew in each epoch, at random of up to so many seconds in
            all, which are shared out at random, and of as many as `longest` leaves. Batches become longer by that. Some
            speakers' recordings were cut where the word begins and ends; of those of others half is silence.
        gain: plays each training recording at random louder or quieter, anew in each epoch, by up to so many decibels. The
            speakers' recordings differ by 22.
        tilt: makes each training recording at random brighter or darker, anew in each epoch: x_t + a x_{t-1}, with a up to this
            on either side of 0. Below 1.
        equaliser: filters each training recording at random, anew in each epoch, as another microphone and room would: every
            500 Hz its gain is up to so many decibels, either way, and linear between.
        noise: adds white noise to each training recording, anew in each epoch, at random of up to this share of the recording's
            root mean square, and of a hundredth of that at least. Of the speakers' own recordings some have 0.1, others 0.004.
        validation: how many recordings of each digit and speaker, the first of those for training, are held out for
            validation; or the name of a speaker, all of whose recordings for training are held out. Only the second says
            how well speakers do that training never heard, and what to choose for such.

    Raises:
        DataError: a file is missing or damaged; the message names it and says where to put it.
    """
    if frame < 1 or (longest is not None and longest < frame):
        raise DataError(f"frame is {frame} and longest is {longest}, expected at least 1 sample, and one frame.")
    if not 0.0 <= speed < math.inf:
        raise DataError(f"speed is {speed}, expected 0 or more, such as 0.2.")
    if not 0.0 <= pause < math.inf:
        raise DataError(f"pause is {pause}, expected 0 or more seconds, such as 0.3.")
    if not 0.0 <= gain < math.inf:
        raise DataError(f"gain is {gain}, expected 0 or more decibels, such as 20.")
    if not 0.0 <= tilt < 1.0:
        raise DataError(f"tilt is {tilt}, expected 0 to below 1, such as 0.5.")
    if not 0.0 <= equaliser < math.inf:
        raise DataError(f"equaliser is {equaliser}, expected 0 or more decibels, such as 10.")
    if not 0.0 <= noise < math.inf:
        raise DataError(f"noise is {noise}, expected 0 or more times the recording's level, such as 0.1.")
    changes = _Playback(speed, pause, tilt, equaliser, noise, gain)
    place = locate("FSDD", ("free-spoken-digit-dataset", "fsdd"), path, _EXPECTED)
    clips = _read(place)
    speakers = sorted({clip.speaker for clip in clips})
    if speaker is not None and speaker not in speakers:
        raise DataError(f"speaker is {speaker!r}, expected one of {', '.join(speakers)}.")
    if speaker is None:
        test = [clip for clip in clips if clip.index < 5]
        rest, first = [clip for clip in clips if clip.index >= 5], 5
    else:
        test = [clip for clip in clips if clip.speaker == speaker]
        rest, first = [clip for clip in clips if clip.speaker != speaker], 0
    if isinstance(validation, str):
        others = [name for name in speakers if name != speaker]
        if validation not in others:
            raise DataError(
                f"validation is {validation!r}, expected how many recordings of each digit and speaker, such as 5, or a "
                f"speaker that is not the test: one of {', '.join(others)}."
            )
        held = [clip for clip in rest if clip.speaker == validation]
        train = [clip for clip in rest if clip.speaker != validation]
    else:
        held = [clip for clip in rest if clip.index < first + validation]
        train = [clip for clip in rest if clip.index >= first + validation]
    if not (train and held and test):
        raise DataError(
            f"FSDD: {len(train)} recordings to train, {len(held)} for validation, {len(test)} to test, expected some of "
            f"each. Change validation={validation!r}, or put all recordings into {place}."
        )
    limit = max(len(clip.audio) for clip in clips) if longest is None else longest
    training = _split(train, frame, limit)
    augment = None if changes == _Playback() else replace(changes, longest=training.inputs.shape[1])
    return Dataset(
        name="FSDD" if speaker is None else f"FSDD (without {speaker})",
        classes=10,
        train=replace(training, augment=augment),
        validation=_split(held, frame, limit),
        test=_split(test, frame, limit),
        source=Audio(_RATE),
    )


def _split(clips: list[_Clip], frame: int, longest: int) -> Split:
    steps = -(-longest // frame)
    audio = np.zeros((len(clips), steps * frame), np.int16)
    for row, clip in zip(audio, clips, strict=True):
        row[: min(len(clip.audio), longest)] = clip.audio[:longest]
    lengths = torch.tensor([-(-min(len(clip.audio), longest) // frame) for clip in clips])
    targets = torch.tensor([clip.digit for clip in clips])
    return Split(torch.from_numpy(audio).view(len(clips), steps, frame), targets, lengths, encode=AsFloat(1 << 15))


def _read(place: Path) -> list[_Clip]:
    folder = place / "recordings" if (place / "recordings").is_dir() else place
    files = sorted(folder.glob("*.wav")) if folder.is_dir() else []
    return [_read_wave(file) for file in files] if files else _read_archive(place)


def _read_wave(path: Path) -> _Clip:
    try:
        digit, speaker, index = path.stem.split("_")
        named = int(digit), speaker, int(index)
    except ValueError:
        raise DataError(f"{path}: its name is not DIGIT_SPEAKER_INDEX.wav, such as 0_jackson_0.wav.") from None
    try:
        with wave.open(io.BytesIO(read_bytes(path))) as file:
            kind = file.getnchannels(), file.getsampwidth(), file.getframerate()
            announced, content = file.getnframes(), file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise DataError(f"{path} is no .wav file, or a damaged one ({error}). Fetch it again.") from error
    if kind != (1, 2, _RATE):
        raise DataError(
            f"{path} has {kind[0]} channels of {8 * kind[1]} bits at {kind[2]} Hz, expected 1 of 16 bits at {_RATE} Hz."
        )
    if len(content) != 2 * announced or announced == 0:
        raise DataError(f"{path} is truncated: it announces {announced} samples, it holds {len(content) // 2}.")
    return _Clip(*named, np.frombuffer(content, "<i2"))


def _read_archive(place: Path) -> list[_Clip]:
    file = find_file("FSDD", place, [_ARCHIVE], _EXPECTED)
    keys = ("audio", "offsets", "y", "speaker", "speaker_names", "index")
    audio, offsets, digits, speakers, names, indices = read_npz(file, keys, _EXPECTED).values()
    if len(offsets) != len(digits) + 1 or offsets[-1] != len(audio):
        raise DataError(f"{file}: audio, offsets and y do not fit each other. {_EXPECTED}")
    return [
        _Clip(int(digit), str(names[speaker]), int(index), audio[start:end])
        for digit, speaker, index, start, end in zip(digits, speakers, indices, offsets[:-1], offsets[1:], strict=True)
    ]
