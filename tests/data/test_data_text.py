"""Texts from tiny files in their official formats."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from spikescan.data import movie_reviews, tiny_shakespeare, wikitext2
from spikescan.errors import DataError


def symbols_of(split) -> list[int]:
    """The stream that a split was cut from, but for its first symbol."""
    targets = split.targets.flatten()
    return targets[targets != -100].tolist()


# Characters


def test_characters_and_what_follows_them(tmp_path):
    text = "".join(np.random.default_rng(0).choice(list("abcde \n"), 1000))
    (tmp_path / "input.txt").write_text(text)
    data = tiny_shakespeare(path=str(tmp_path), steps=16, validation=0.2, checksum=False)
    alphabet = sorted(set(text))
    numbers = [alphabet.index(symbol) for symbol in text]
    parts = {"train": numbers[:720], "validation": numbers[720:900], "test": numbers[900:]}
    for name, part in parts.items():
        split = getattr(data, name)
        assert symbols_of(split) == part[1:]
        assert split.inputs.flatten()[: len(part) - 1].tolist() == part[:-1]
        assert len(split) == -(-(len(part) - 1) // 16)
    assert data.train.inputs.dtype == torch.uint8
    batch = data.train.batch(slice(0, 3))
    assert batch.inputs.shape == (16, 3, 7)
    assert torch.equal(batch.inputs.argmax(-1).t(), data.train.inputs[:3, :, 0].long())
    assert (batch.inputs.sum(-1) == 1).all()
    assert (data.classes, data.channels, data.time_steps) == (7, 7, 16)


def test_chunks_may_overlap_in_training_and_be_longer_in_evaluation(tmp_path):
    text = "".join(np.random.default_rng(0).choice(list("abcde \n"), 1000))
    (tmp_path / "input.txt").write_text(text)
    options = {"path": str(tmp_path), "steps": 16, "validation": 0.2, "checksum": False}
    data = tiny_shakespeare(**options, stride=6, evaluation_steps=50)
    plain = tiny_shakespeare(**options)
    stream = plain.train.inputs.flatten()[:719].tolist()
    for index, chunk in enumerate(data.train.inputs.squeeze(-1).tolist()):
        assert chunk[: len(stream[6 * index :])] == stream[6 * index : 6 * index + 16]
        scored = [target for target in data.train.targets[index].tolist() if target != -100]
        assert scored == (stream + symbols_of(plain.train)[-1:])[6 * index + 1 : 6 * index + 17]
    # The last symbol is asked for in the last chunk, and in no chunk after it.
    assert symbols_of(data.train)[-1] == symbols_of(plain.train)[-1]
    assert len(data.train) == 1 + -(-(719 - 16) // 6)
    assert data.validation.inputs.shape == (4, 50, 1)
    assert symbols_of(data.validation) == symbols_of(plain.validation)
    for wrong in ({"stride": 0}, {"stride": 17}, {"evaluation_steps": 0}):
        with pytest.raises(DataError, match="a stride of at most steps"):
            tiny_shakespeare(**options, **wrong)


def test_validation_text_in_several_stretches(tmp_path):
    text = "".join(np.random.default_rng(0).choice(list("abcde \n"), 1000))
    (tmp_path / "input.txt").write_text(text)
    options = {"path": str(tmp_path), "steps": 16, "validation": 0.2, "checksum": False}
    data = tiny_shakespeare(**options, stretches=3, stride=6, evaluation_steps=50)
    alphabet = sorted(set(text))
    numbers = [alphabet.index(symbol) for symbol in text]
    held = [numbers[end - 60 : end] for end in (300, 600, 900)]
    train = [numbers[end - 300 : end - 60] for end in (300, 600, 900)]
    # No chunk reaches over a cut: the first symbol of a piece is a target nowhere.
    assert symbols_of(data.validation) == [symbol for piece in held for symbol in piece[1:]]
    assert symbols_of(data.test) == numbers[901:]
    plain = tiny_shakespeare(**options, stretches=3)
    assert symbols_of(plain.train) == [symbol for piece in train for symbol in piece[1:]]
    for chunk, targets in zip(data.train.inputs.squeeze(-1).tolist(), data.train.targets.tolist(), strict=True):
        scored = [target for target in targets if target != -100]
        sentence = [*chunk[: len(scored)], scored[-1]]
        assert sentence[1:] == scored
        assert any(sentence == piece[at : at + len(sentence)] for piece in train for at in range(len(piece)))
    for stretches, validation, held in ((0, 0.2, 180), (91, 0.2, 180), (3, 0.996, 897), (3, 0.002, 2)):
        message = f"stretches is {stretches}.* (out )?{held} of 900"
        with pytest.raises(DataError, match=message):
            tiny_shakespeare(**options | {"validation": validation}, stretches=stretches)


def test_another_text_is_refused(tmp_path):
    (tmp_path / "input.txt").write_text("To be, or not to be")
    with pytest.raises(DataError, match=r"input.txt is not the published file: its sha256 is .*checksum=False"):
        tiny_shakespeare(path=str(tmp_path))
    (tmp_path / "input.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="is no utf-8 text"):
        tiny_shakespeare(path=str(tmp_path), checksum=False)
    (tmp_path / "input.txt").write_text("a")
    with pytest.raises(DataError, match="holds out 0 of 0 characters"):
        tiny_shakespeare(path=str(tmp_path), checksum=False)
    (tmp_path / "input.txt").unlink()
    with pytest.raises(DataError, match=r"has no input.txt .*1,115,394 characters"):
        tiny_shakespeare(path=str(tmp_path))
    for options in ({"steps": 0}, {"validation": 1.0}):
        (tmp_path / "input.txt").write_text("a b" * 100)
        with pytest.raises(DataError, match="expected"):
            tiny_shakespeare(path=str(tmp_path), checksum=False, **options)


# Words


def write_wikitext(folder: Path, names: str = "wiki.{}.tokens") -> Path:
    texts = {"train": " \n = A b = \n \n a b c a b a <unk> \n", "valid": " a c \n", "test": " b d \n a \n"}
    for part, text in texts.items():
        (folder / names.format(part)).write_text(text)
    return folder


@pytest.mark.parametrize("names", ["wiki.{}.tokens", "{}.txt"])
def test_words_and_ends_of_lines(tmp_path, names):
    data = wikitext2(path=str(write_wikitext(tmp_path, names)), steps=4)
    # By frequency: <eos> 4, a 3, b 3, then = twice, and those that stand once.
    words = ["<eos>", "b", "a", "=", "A", "c", "<unk>"]
    assert data.classes == 7
    train = ["<eos>", "=", "A", "b", "=", "<eos>", "<eos>", "a", "b", "c", "a", "b", "a", "<unk>", "<eos>"]
    assert symbols_of(data.train) == [words.index(word) for word in train[1:]]
    assert data.train.inputs[0, 0, 0] == words.index("<eos>")
    assert symbols_of(data.validation) == [words.index(word) for word in ("c", "<eos>")]
    # A word that training lacks is unknown.
    assert symbols_of(data.test) == [words.index(word) for word in ("<unk>", "<eos>", "a", "<eos>")]


def test_a_smaller_vocabulary_keeps_the_frequent_words(tmp_path):
    data = wikitext2(path=str(write_wikitext(tmp_path)), steps=4, vocabulary=4)
    assert data.classes == 4
    assert data.channels == 4
    assert symbols_of(data.validation) == [3, 0]
    with pytest.raises(DataError, match="vocabulary is 2"):
        wikitext2(path=str(tmp_path), vocabulary=2)


def test_the_evaluation_texts_alone_make_a_corpus(tmp_path):
    write_wikitext(tmp_path)
    (tmp_path / "wiki.train.tokens").unlink()
    with pytest.raises(DataError, match=r"has no wiki.train.tokens .*Put it there"):
        wikitext2(path=str(tmp_path))
    (tmp_path / "wiki.valid.tokens").write_text("a b \n a b \n")
    data = wikitext2(path=str(tmp_path), steps=4, without_train=True)
    assert "without" in data.name
    assert [len(symbols_of(split)) for split in (data.train, data.validation, data.test)] == [4, 2, 2]


# Reviews


def reviews() -> dict[str, bytes]:
    return {
        f"{kind}/cv{fold}{number:02d}_{1000 + fold}.txt": f"{kind} {fold} {number}".encode() + b"." * (10 * number)
        for kind in ("neg", "pos")
        for fold in range(10)
        for number in range(3)
    }


def write_reviews(folder: Path) -> Path:
    for name, text in reviews().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text)
    return folder


def write_zip(path: Path, texts: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("movie_reviews/README", "")
        for name, text in texts.items():
            archive.writestr(f"movie_reviews/{name}", text)


def test_reviews_from_folders_a_zip_and_an_archive(tmp_path):
    for place in ("folder", "zip", "npz"):
        (tmp_path / place).mkdir()
    write_reviews(tmp_path / "folder" / "txt_sentoken")
    write_zip(tmp_path / "zip" / "movie_reviews.zip", reviews())
    texts = reviews()
    np.savez(
        tmp_path / "npz" / "movie_reviews.npz",
        text=np.frombuffer(b"".join(texts.values()), np.uint8),
        offsets=np.cumsum([0, *map(len, texts.values())]),
        y=np.array([int(name.startswith("pos")) for name in texts]),
        fold=np.array([int(name[6]) for name in texts]),
    )
    places = [tmp_path / place for place in ("folder", "zip", "npz")]
    loaded = [movie_reviews(path=str(place), longest=20, checksum=False) for place in places]
    for data in loaded:
        assert [len(split) for split in (data.train, data.validation, data.test)] == [48, 6, 6]
        assert data.test.targets.tolist() == [0, 0, 0, 1, 1, 1]
        assert data.test.lengths.tolist() == [7, 17, 20, 7, 17, 20]
        assert torch.equal(data.test.inputs, loaded[0].test.inputs)
        assert torch.equal(data.train.inputs, loaded[0].train.inputs)
    batch = loaded[0].test.batch(slice(3, 5), trim=True)
    assert batch.inputs.shape == (17, 2, 128)
    assert bytes(batch.inputs[:7, 0].argmax(-1).tolist()) == b"pos 9 0"
    assert bytes(loaded[0].validation.inputs[0, :5].flatten().tolist()) == b"neg 8"
    assert bytes(movie_reviews(path=str(places[0]), fold=0).validation.inputs[0, :5].flatten().tolist()) == b"neg 9"


def test_what_is_wrong_with_the_reviews_is_said(tmp_path):
    with pytest.raises(DataError, match=r"has no movie_reviews.npz .*movie_reviews.zip of NLTK"):
        movie_reviews(path=str(tmp_path))
    path = tmp_path / "movie_reviews.zip"
    write_zip(path, reviews())
    with pytest.raises(DataError, match="not the published file"):
        movie_reviews(path=str(tmp_path))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"movie_reviews.zip is no .zip file, or a damaged one"):
        movie_reviews(path=str(path), checksum=False)
    damaged = {
        "is empty": {"pos/cv000_1.txt": b""},
        "is empty, or no review": {"pos/review.txt": b"good"},
        "There is no review": {},
        "lacks reviews of some folds": {"pos/cv900_1.txt": b"good"},
        "other bytes than ASCII": {**reviews(), "pos/cv003_1.txt": b"tr\xe8s bon"},
    }
    for message, texts in damaged.items():
        write_zip(path, texts)
        with pytest.raises(DataError, match=message):
            movie_reviews(path=str(path), checksum=False)
    for options in ({"fold": 10}, {"longest": 0}):
        with pytest.raises(DataError, match="expected 0 to 9"):
            movie_reviews(path=str(path), **options)
