"""Text: what comes next, and what was meant."""

import re
import zipfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from spikescan.data.dataset import NOT_SCORED, Dataset, Split
from spikescan.data.files import check_sha256, find_file, has_file, locate, read_bytes, read_npz, read_text
from spikescan.data.sources import Text
from spikescan.data.splits import OneHot, hold_out_stretches
from spikescan.errors import DataError

__all__ = ["movie_reviews", "tiny_shakespeare", "wikitext2"]

_SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
_SHAKESPEARE_EXPECTED = "The folder holds input.txt, 1,115,394 characters."
_WIKITEXT_PARTS = {"train": "train", "validation": "valid", "test": "test"}
_WIKITEXT_EXPECTED = (
    "The folder holds wiki.train.tokens, wiki.valid.tokens and wiki.test.tokens; or train.txt, valid.txt and test.txt."
)
_REVIEWS_SHA256 = "a41211ae685019137410268134db6a1a14428c89b671eb83056151a878539008"
_REVIEWS_ARCHIVE = "movie_reviews.npz"
_REVIEWS_EXPECTED = (
    "The folder holds movie_reviews.zip of NLTK, or folders pos and neg of files such as cv000_29590.txt (in "
    f"movie_reviews or txt_sentoken, or right there), or {_REVIEWS_ARCHIVE}."
)
_END_OF_LINE, _UNKNOWN = "<eos>", "<unk>"


def tiny_shakespeare(
    *,
    path: str | None = None,
    steps: int = 256,
    stride: int | None = None,
    evaluation_steps: int | None = None,
    validation: float = 0.1,
    stretches: int = 1,
    checksum: bool = True,
) -> Dataset:
    """Tiny Shakespeare: after each character, which of 65 comes next (Karpathy, 2015).

    The last 10 % are the test: what the literature calls its validation, and reports. A tenth of the first 90 % is held out
    for validation. Each part is cut into chunks that follow each other, one a sample; targets ``[N, T]``.

    Args:
        path: the folder of ``input.txt``, or the file; None reads the environment variable ``SPIKESCAN_DATA``, in which a
            folder ``tiny_shakespeare`` or ``tinyshakespeare`` is looked into first.
        steps: T, characters of a chunk. The last chunk of a part is filled up and not scored there.
        stride: characters from the beginning of a chunk for training to that of the next: half of `steps` shows each character
            twice an epoch, in two contexts; None takes `steps`.
        evaluation_steps: characters of a chunk for validation and test; None takes `steps`. More leave less context lost at the
            cuts.
        validation: the share of the first 90 % that is held out for validation.
        stretches: into how many stretches, equally far apart, that share is cut. The test begins within a play: with one
            stretch, the last, training never sees the names in it, and a 5-gram has 1.96 nats on the test instead of 1.67.
        checksum: refuses a file that is not the published one, byte for byte.

    Raises:
        DataError: the file is missing or not the published one.
    """
    if not 0.0 < validation < 1.0:
        raise DataError(f"validation is {validation}, expected a share between 0 and 1.")
    folders = ("tiny_shakespeare", "tinyshakespeare")
    place = locate("Tiny Shakespeare", folders, path, _SHAKESPEARE_EXPECTED)
    file = find_file("Tiny Shakespeare", place, ["input.txt"], _SHAKESPEARE_EXPECTED)
    if checksum:
        check_sha256(file, read_bytes(file), _SHAKESPEARE_SHA256)
    text = read_text(file)
    symbols = {symbol: number for number, symbol in enumerate(sorted(set(text)))}
    numbers = np.array([symbols[symbol] for symbol in text])
    known = int(len(numbers) * 0.9)
    count = known - int(known * (1.0 - validation))
    # Less than a symbol and its next in a piece is nothing to learn, or to score.
    held = hold_out_stretches(known, count, stretches) if 1 <= stretches <= count else []
    starts = [0, *(end for _, end in held)]
    parts = {
        "train": [numbers[start:end] for start, (end, _) in zip(starts, held, strict=False)],
        "validation": [numbers[start:end] for start, end in held],
        "test": [numbers[known:]],
    }
    if min((len(piece) for part in ("train", "validation") for piece in parts[part]), default=0) < 2:
        raise DataError(
            f"stretches is {stretches} and validation={validation}, which holds out {count} of {known} characters; expected "
            f"1 stretch or more, with at least 2 characters held out and 2 left for each, such as stretches=8, validation=0.03."
        )
    source = Text(tuple(symbols))
    return _language("Tiny Shakespeare", parts, source, steps, stride, evaluation_steps)


def wikitext2(
    *, path: str | None = None, steps: int = 64, vocabulary: int | None = None, without_train: bool = False
) -> Dataset:
    """WikiText-2: after each word, which comes next; official split, a vocabulary of 33,278 (Merity et al., 2016).

    Words are what stands between blanks, and each line ends with one of its own. Inputs are one-hot, as wide as the
    vocabulary. Each part is cut into chunks that follow each other, one a sample; targets ``[N, T]``.

    Args:
        path: the folder of the three files; None reads the environment variable ``SPIKESCAN_DATA``, in which a folder
            ``wikitext-2``, ``wikitext2`` or ``wikitext2_eval`` is looked into first.
        steps: T, words of a chunk. The last chunk of a part is filled up and not scored there.
        vocabulary: keeps this many words, the most frequent, and makes the others one; None keeps all that the training
            part has. Only with None is a perplexity comparable with published ones.
        without_train: trains on the official test text and cuts the official validation text into halves to validate and
            to test: a small corpus of its own, whose perplexities compare with none.

    Raises:
        DataError: a file is missing or no text; the message names it and says where to put it.
    """
    if vocabulary is not None and vocabulary < 3:
        raise DataError(f"vocabulary is {vocabulary}, expected at least 3 words.")
    place = locate("WikiText-2", ("wikitext-2", "wikitext2", "wikitext2_eval"), path, _WIKITEXT_EXPECTED)
    if without_train:
        valid = _words(place, "valid")
        half = len(valid) // 2
        texts = {"train": _words(place, "test"), "validation": valid[:half], "test": valid[half:]}
    else:
        texts = {part: _words(place, name) for part, name in _WIKITEXT_PARTS.items()}
    common = [word for word, _ in Counter(texts["train"]).most_common(vocabulary)]
    if _UNKNOWN not in common:
        common = [*common[: None if vocabulary is None else vocabulary - 1], _UNKNOWN]
    numbers = {word: number for number, word in enumerate(common)}
    unknown = numbers[_UNKNOWN]
    parts = {part: [np.array([numbers.get(word, unknown) for word in words])] for part, words in texts.items()}
    name = "WikiText-2 (without its training text)" if without_train else "WikiText-2"
    return _language(name, parts, Text(tuple(common), separator=" "), steps)


def _words(folder: Path, part: str) -> list[str]:
    text = read_text(find_file("WikiText-2", folder, [f"wiki.{part}.tokens", f"{part}.txt"], _WIKITEXT_EXPECTED))
    # Only a line feed ends a line here: other separators stand within articles.
    lines = text.removesuffix("\n").split("\n")
    return [word for line in lines for word in [*line.split(), _END_OF_LINE]]


def _language(
    name: str,
    parts: dict[str, list[np.ndarray]],
    source: Text,
    steps: int,
    stride: int | None = None,
    evaluation_steps: int | None = None,
) -> Dataset:
    stride = steps if stride is None else stride
    evaluated = steps if evaluation_steps is None else evaluation_steps
    if steps < 1 or evaluated < 1 or not 1 <= stride <= steps:
        raise DataError(
            f"steps is {steps}, stride {stride} and evaluation_steps {evaluated}, expected at least 1, and a stride of at most "
            f"steps."
        )
    for part, pieces in parts.items():
        shortest = min(map(len, pieces))
        if shortest < 2:
            raise DataError(f"{name}: the {part} text has {shortest} symbols, expected at least 2. Fetch it again.")
    symbols = len(source.symbols)
    train = _chunks(parts["train"], symbols, steps, stride)
    validation, test = (_chunks(parts[part], symbols, evaluated, evaluated) for part in ("validation", "test"))
    return Dataset(name=name, classes=symbols, train=train, validation=validation, test=test, source=source)


def _chunks(pieces: list[np.ndarray], symbols: int, steps: int, stride: int) -> Split:
    """Chunks of `steps`, each `stride` after the one before, with the next symbol as the target of each step."""
    inputs, targets = zip(*(_windows(numbers, symbols, steps, stride) for numbers in pieces), strict=True)
    encode = OneHot(symbols)
    if len(pieces) == 1:
        # Views: chunks that overlap share their memory.
        return Split(inputs[0], targets[0], encode=encode)
    return Split(torch.cat(inputs), torch.cat(targets), encode=encode)


def _windows(numbers: np.ndarray, symbols: int, steps: int, stride: int) -> tuple[torch.Tensor, torch.Tensor]:
    chunks = 1 + max(0, -(-(len(numbers) - 1 - steps) // stride))
    room = (chunks - 1) * stride + steps
    inputs = torch.zeros(room, dtype=torch.uint8 if symbols <= 256 else torch.int32)
    targets = torch.full((room,), NOT_SCORED)
    inputs[: len(numbers) - 1] = torch.from_numpy(numbers[:-1])
    targets[: len(numbers) - 1] = torch.from_numpy(numbers[1:])
    return inputs.unfold(0, steps, stride).unsqueeze(-1), targets.unfold(0, steps, stride)


def movie_reviews(*, path: str | None = None, longest: int = 4000, fold: int = 9, checksum: bool = True) -> Dataset:
    """2,000 film reviews byte by byte, 1,000 for and 1,000 against: 91 to 14,957 steps (Pang and Lee, 2004).

    The ten folds of the paper, by number of the file: one is the test, the one before it is for validation.

    Args:
        path: the folder of the files, or ``movie_reviews.zip``; None reads the environment variable ``SPIKESCAN_DATA``,
            in which a folder ``movie_reviews`` is looked into first.
        longest: bytes at most, what comes later is left out.
        fold: 0 to 9, the test; 0 is validated on 9.
        checksum: refuses a ``movie_reviews.zip`` that is not the published one, byte for byte.

    Raises:
        DataError: a file is missing or damaged; the message names it and says where to put it.
    """
    if not 0 <= fold <= 9 or longest < 1:
        raise DataError(f"fold is {fold} and longest is {longest}, expected 0 to 9, and at least 1 byte.")
    place = locate("Movie reviews", ("movie_reviews",), path, _REVIEWS_EXPECTED)
    reviews = _reviews(place, checksum)
    if max(max(text, default=0) for text, _, _ in reviews) > 127:
        raise DataError(f"{place}: a review holds other bytes than ASCII. {_REVIEWS_EXPECTED}")
    folds = {"test": {fold}, "validation": {(fold - 1) % 10}}
    folds["train"] = set(range(10)) - folds["test"] - folds["validation"]
    parts = {part: [review for review in reviews if review[2] in taken] for part, taken in folds.items()}
    if not all(parts.values()):
        raise DataError(f"{place} lacks reviews of some folds: of cv000 to cv999 the first digit is the fold.")
    train, validation, test = (_review_split(parts[part], longest) for part in ("train", "validation", "test"))
    return Dataset(
        name="Movie reviews",
        classes=2,
        train=train,
        validation=validation,
        test=test,
        source=Text(tuple(map(chr, range(128)))),
        class_names=("against", "for"),
    )


Review = tuple[bytes, int, int]
"""Text, 0 against or 1 for, and fold."""


def _review_split(reviews: list[Review], longest: int) -> Split:
    inputs = np.zeros((len(reviews), longest), np.uint8)
    for row, (text, _, _) in zip(inputs, reviews, strict=True):
        row[: min(len(text), longest)] = np.frombuffer(text[:longest], np.uint8)
    lengths = torch.tensor([min(len(text), longest) for text, _, _ in reviews])
    targets = torch.tensor([target for _, target, _ in reviews])
    return Split(torch.from_numpy(inputs).unsqueeze(-1), targets, lengths, encode=OneHot(128))


def _reviews(place: Path, checksum: bool) -> list[Review]:
    folders = [place / name for name in ("movie_reviews", "txt_sentoken", ".")]
    folder = next((folder for folder in folders if (folder / "pos").is_dir() and (folder / "neg").is_dir()), None)
    if folder is not None:
        files = sorted((folder / "neg").glob("*.txt")) + sorted((folder / "pos").glob("*.txt"))
        return _named((f"{file.parent.name}/{file.name}", read_bytes(file)) for file in files)
    if has_file(place, "movie_reviews.zip") and (place.is_dir() or place.suffix == ".zip"):
        return _named(_zipped(find_file("Movie reviews", place, ["movie_reviews.zip"], _REVIEWS_EXPECTED), checksum))
    file = find_file("Movie reviews", place, [_REVIEWS_ARCHIVE], _REVIEWS_EXPECTED)
    text, offsets, targets, folds = read_npz(file, ("text", "offsets", "y", "fold"), _REVIEWS_EXPECTED).values()
    if len(offsets) != len(targets) + 1 or offsets[-1] != len(text):
        raise DataError(f"{file}: text, offsets and y do not fit each other. {_REVIEWS_EXPECTED}")
    content = text.tobytes()
    spans = zip(offsets[:-1], offsets[1:], targets, folds, strict=True)
    return [(content[start:end], int(target), int(fold)) for start, end, target, fold in spans]


def _zipped(path: Path, checksum: bool) -> list[tuple[str, bytes]]:
    if checksum:
        check_sha256(path, path.read_bytes(), _REVIEWS_SHA256)
    try:
        with zipfile.ZipFile(path) as archive:
            return [(name, archive.read(name)) for name in sorted(archive.namelist()) if name.endswith(".txt")]
    except (zipfile.BadZipFile, EOFError) as error:
        raise DataError(f"{path} is no .zip file, or a damaged one ({error}). Fetch it again.") from error


def _named(files: Iterable[tuple[str, bytes]]) -> list[Review]:
    """Reviews by names that end in ``pos/cv000_29590.txt``."""
    reviews = []
    for name, text in files:
        found = re.search(r"(pos|neg)/cv(\d)\d\d_\w+\.txt$", name)
        if found is None or not text:
            raise DataError(f"{name} is empty, or no review: expected a name such as pos/cv000_29590.txt.")
        reviews.append((text, int(found[1] == "pos"), int(found[2])))
    if not reviews:
        raise DataError(f"There is no review. {_REVIEWS_EXPECTED}")
    return reviews
