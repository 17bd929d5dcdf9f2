"""Series from tiny files in their official formats, their windows, and the forecasts that need no network."""

import gzip
import lzma
from pathlib import Path

import numpy as np
import pytest
import torch

from spikescan.data import ett, exchange_rate
from spikescan.data.baselines import forecast_baselines, repeat_last, ridge
from spikescan.data.dataset import Split
from spikescan.errors import DataError, InputError

MONTH = 30 * 24
HEADER = "date,HUFL,HULL,MUFL,MULL,LUFL,LULL,OT"


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    """20 months and a bit of 7 variables; the first is the number of the row."""
    series = np.random.default_rng(0).normal(3.0, 2.0, (20 * MONTH + 10, 7)).round(3)
    series[:, 0] = np.arange(len(series))
    return series


@pytest.fixture(scope="module")
def text(values) -> str:
    rows = [",".join([f"2016-07-01 {row}", *map(str, line)]) for row, line in enumerate(values.tolist())]
    return "\n".join([HEADER, *rows, ""])


def test_ett_is_split_by_months_and_scaled_by_the_training_part(tmp_path, values, text):
    (tmp_path / "ETTh2.csv.xz").write_bytes(lzma.compress(text.encode(), preset=0))
    data = ett(path=str(tmp_path), series="ETTh2", window=48, horizon=24, checksum=False)
    known = values[: 12 * MONTH]
    scaled = torch.from_numpy(((values - known.mean(0)) / known.std(0)).astype(np.float32))
    sizes = [len(split) for split in (data.train, data.validation, data.test)]
    assert sizes == [12 * MONTH - 48 - 24 + 1, 4 * MONTH - 24 + 1, 4 * MONTH - 24 + 1]
    assert (data.classes, data.values, data.time_steps, data.channels) == (None, 24 * 7, 48, 7)
    # The first row to be predicted is the first of the part, the last one its last.
    for split, first, last in (
        (data.train, 48, 12 * MONTH),
        (data.validation, 12 * MONTH, 16 * MONTH),
        (data.test, 16 * MONTH, 20 * MONTH),
    ):
        assert torch.equal(split.targets[0].view(24, 7), scaled[first : first + 24])
        assert torch.equal(split.targets[-1].view(24, 7), scaled[last - 24 : last])
        batch = split.batch(torch.tensor([0, 5]))
        assert torch.equal(batch.inputs[:, 0], scaled[first - 48 : first])
        assert torch.equal(batch.inputs[:, 1], scaled[first - 43 : first + 5])
        assert torch.equal(batch.targets[1].view(24, 7), scaled[first + 5 : first + 29])


def test_a_stride_leaves_out_windows_of_training_alone(tmp_path, text):
    (tmp_path / "ETTh2.csv").write_text(text)
    options = {"path": str(tmp_path), "series": "ETTh2", "window": 48, "horizon": 24, "checksum": False}
    data, plain = ett(**options, stride=5), ett(**options)
    assert torch.equal(data.train.inputs, plain.train.inputs[::5])
    assert torch.equal(data.train.targets, plain.train.targets[::5])
    assert torch.equal(data.test.inputs, plain.test.inputs)
    with pytest.raises(DataError, match="stride 0"):
        ett(**options, stride=0)


def test_a_frame_is_so_many_steps_with_the_variables_as_places(tmp_path, text):
    (tmp_path / "ETTh2.csv").write_text(text)
    options = {"path": str(tmp_path), "series": "ETTh2", "window": 48, "horizon": 24, "checksum": False}
    data, plain = ett(**options, frame=8), ett(**options)
    assert (data.time_steps, data.channels, data.train.inputs.shape[2:]) == (6, 8, (8, 7))
    assert torch.equal(data.test.inputs[3, 2, 5], plain.test.inputs[3, 2 * 8 + 5])
    few, same = (Split(split.inputs[:50], split.targets[:50]) for split in (data.train, plain.train))
    assert ridge(few, few) == ridge(same, same)
    assert repeat_last(few) == repeat_last(same)
    with pytest.raises(DataError, match="frame is 7, expected a divisor of window=48"):
        ett(**options, frame=7)


def test_quarters_of_an_hour_have_four_times_the_rows(tmp_path, values, text):
    (tmp_path / "ETTm1.csv").write_text(text)
    with pytest.raises(DataError, match="has 14410 rows, but the split needs 57600: it is truncated"):
        ett(path=str(tmp_path), series="ETTm1")


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda text: text, {"checksum": True}, "not the published file: its sha256 is .*checksum=False"),
        (lambda text: text[: len(text) // 2].rpartition("\n")[0], {}, "has 7[0-9]* rows, but the split needs 14400"),
        (lambda text: text.replace("HUFL", "HUFX"), {}, "starts with 'date,HUFX"),
        (lambda text: text.replace(HEADER + "\n", HEADER + "\n2016,a,2,3,4,5,6,7\n"), {}, "row 1 of the data is 'a,2"),
        (
            lambda text: text.replace(HEADER + "\n", HEADER + "\n2016,1,2\n"),
            {},
            "row 1 of the data has 2 numbers, expected 7",
        ),
        (lambda text: text, {"horizon": 4 * MONTH + 1}, "horizon=2881 do not fit"),
        (lambda text: text, {"window": 0}, "window is 0"),
        (lambda text: text, {"series": "ETTh3"}, "series is 'ETTh3', expected ETTh1"),
        (lambda text: text, {"series": "ETTh2"}, r"has no ETTh2.csv .*Put it there"),
    ],
)
def test_what_is_wrong_with_ett_is_said(tmp_path, text, change, options, message):
    (tmp_path / "ETTh1.csv").write_text(change(text))
    with pytest.raises(DataError, match=message):
        ett(path=str(tmp_path), **{"checksum": False, **options})


def test_exchange_rates_are_split_by_shares(tmp_path):
    rates = np.random.default_rng(1).normal(size=(200, 8))
    content = "\n".join(",".join(map(str, line)) for line in rates.tolist())
    (tmp_path / "exchange_rate.txt.gz").write_bytes(gzip.compress(content.encode()))
    data = exchange_rate(path=str(tmp_path), window=10, horizon=4)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [140 - 14 + 1, 20 - 3, 40 - 3]
    scaled = (rates - rates[:140].mean(0)) / rates[:140].std(0)
    assert np.allclose(data.test.targets[0].view(4, 8), scaled[160:164], atol=1e-6)
    (tmp_path / "exchange_rate.txt.gz").write_bytes(gzip.compress(content.encode())[:-20])
    with pytest.raises(DataError, match=r"exchange_rate.txt.gz is a damaged gzip file"):
        exchange_rate(path=str(tmp_path))


def windows(series: torch.Tensor, past: int, future: int) -> Split:
    starts = range(len(series) - past - future + 1)
    inputs = torch.stack([series[start : start + past] for start in starts])
    targets = torch.stack([series[start + past : start + past + future].flatten() for start in starts])
    return Split(inputs, targets)


def test_repeating_the_last_step():
    split = windows(torch.randn(400, 3), 5, 2)
    forecast = repeat_last(split)
    difference = split.inputs[:, -1:].expand(-1, 2, -1).flatten(1) - split.targets
    assert forecast.mse == pytest.approx(difference.square().mean().item(), rel=1e-6)
    assert forecast.mae == pytest.approx(difference.abs().mean().item(), rel=1e-6)


def test_ridge_is_least_squares_relative_to_the_last_step():
    train, test = windows(torch.randn(300, 3).cumsum(0), 6, 2), windows(torch.randn(350, 3).cumsum(0), 6, 2)

    def rows(split):
        past = split.inputs.transpose(1, 2).reshape(-1, 6).double().numpy()
        future = split.targets.unflatten(1, (2, 3)).transpose(1, 2).reshape(-1, 2).double().numpy()
        return np.c_[past - past[:, -1:], np.ones(len(past))], future - past[:, -1:]

    (features, answers), (new, wanted) = rows(train), rows(test)
    penalty = np.diag([2.0] * 6 + [0.0])
    weights = np.linalg.inv(features.T @ features + penalty) @ features.T @ answers
    forecast = ridge(train, test, strength=2.0)
    assert forecast.mse == pytest.approx(np.square(new @ weights - wanted).mean(), rel=1e-9)
    assert forecast.mae == pytest.approx(np.abs(new @ weights - wanted).mean(), rel=1e-9)


def test_ridge_forecasts_a_wave_that_repeating_does_not(tmp_path):
    time = torch.arange(14_400) * 0.3
    rows = torch.stack([time.add(shift).sin() + 0.01 * torch.randn(14_400) for shift in range(7)], dim=1)
    lines = [f"2016,{','.join(f'{value:.5f}' for value in row)}" for row in rows.tolist()]
    (tmp_path / "ETTh1.csv").write_text("\n".join([HEADER, *lines]))
    errors = forecast_baselines(ett(path=str(tmp_path), window=16, horizon=5, checksum=False))
    assert errors["ridge"].mse < 0.001
    assert errors["repeat_last"].mse > 0.5


def test_baselines_need_targets_of_a_forecast():
    classes = Split(torch.zeros(4, 3, 2), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(InputError, match=r"expected float \[N, horizon \* 2\]"):
        repeat_last(classes)
    with pytest.raises(InputError, match="strength is -1"):
        ridge(classes, classes, strength=-1)


def test_a_folder_without_files_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"Exchange rate: .* has no exchange_rate.txt \(or .gz, .xz\)"):
        exchange_rate(path=str(tmp_path))
