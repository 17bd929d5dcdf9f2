"""`benchmarks.efficiency` and `benchmarks.extrapolation` at tiny sizes, and what they do with their numbers."""

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.machine import in_turns
from benchmarks.peers.report import exponent

from benchmarks import efficiency, extrapolation
from spikescan import DSN, LIF, Integer, MaskedPSN
from spikescan.data import Split
from spikescan.data.splits import OneHot
from spikescan.models import mlp


@pytest.fixture(autouse=True)
def reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing to compile."""
    monkeypatch.setenv("SPIKESCAN_BACKEND", "reference")


def test_exponent_is_the_slope_of_the_logarithms() -> None:
    generator = np.random.default_rng(0)
    T = np.array([1024.0, 2048, 4096, 16384])
    seconds = 3e-6 * T**1.3 * generator.uniform(0.8, 1.2, len(T))
    x, y = np.log(T), np.log(seconds)
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    assert exponent(list(zip(T, seconds, strict=True))) == pytest.approx(slope, rel=1e-12)


def test_value_is_carried_on_as_a_power() -> None:
    points = [(T, 5.0 * T**1.5) for T in (1024, 2048, 4096)]
    assert efficiency.carried_on(points, 32768) == pytest.approx(5.0 * 32768**1.5)
    assert efficiency.carried_on([(1024, 2.0), (2048, 1.0)], 8192) == 1.0
    assert efficiency.carried_on([(1024, 2.0)], 8192) == 2.0
    assert efficiency.carried_on([], 8192) is None


def _row(time_steps: int, step_ms: object, peak_mib: object, without: str = "", neuron: str = "psn") -> dict[str, str]:
    row = dict.fromkeys(efficiency.COLUMNS, "")
    timed = {f"{each}{kind}_ms": str(step_ms) for each in efficiency.PASSES for kind in ("", "_least", "_most")}
    shared = {"case": "layer", "neuron": neuron, "without": without, "machine": "here", "runs": "3"}
    return row | timed | shared | {"time_steps": str(time_steps), "peak_mib": str(peak_mib)}


def test_what_would_be_too_much_is_not_tried() -> None:
    limits = efficiency.Limits(seconds=60.0, gibibytes=6.0)
    earlier = [_row(8192, 1000.0, 540.0), _row(16384, 4000.0, 2160.0)]
    assert efficiency.expected_too_much(earlier, 32768, limits) == "needs about 8 GiB"
    assert efficiency.expected_too_much(earlier, 32768, limits._replace(gibibytes=9.0)) == ""
    assert efficiency.expected_too_much(earlier, 32768, efficiency.Limits(9.0, 9.0)) == "would take about 16 s"
    assert efficiency.expected_too_much(earlier[:1], 16384, limits) == ""
    assert efficiency.expected_too_much([], 32768, limits) == ""
    cut = [_row(8192, "", "", "more than 6 GiB")]
    assert efficiency.expected_too_much(cut, 16384, limits) == "more than 6 GiB"


def test_a_slow_call_takes_fewer_turns() -> None:
    order: list[str] = []

    def call(name: str, seconds: float) -> float:
        order.append(name)
        return seconds

    calls = {"slow": lambda: call("slow", 5.0), "quick": lambda: call("quick", 0.1)}
    taken = in_turns(calls, 3, 1.0, seconds=float, slow_rounds=2)
    assert taken == {"slow": [5.0] * 2, "quick": [0.1] * 3}
    assert order == ["slow", "slow", "quick", *["slow", "quick", "quick"] * 2, "quick", "quick"]


def test_a_call_that_compiles_first_is_not_slow() -> None:
    first = iter([5.0])
    taken = in_turns({"compiles": lambda: next(first, 0.1)}, 3, 1.0, seconds=float, slow_rounds=1)
    assert taken == {"compiles": [0.1] * 3}


def test_volume_is_constant() -> None:
    volumes = {math.prod(efficiency.shape_of("volume", T)) for T in efficiency.TIME_STEPS}
    assert volumes == {efficiency.VOLUME}


@pytest.mark.parametrize("case", ["layer", "model"])
@pytest.mark.parametrize("neuron", efficiency.NEURONS)
def test_a_training_step_says_how_long_its_passes_took(case: str, neuron: str) -> None:
    passes = efficiency.training_step(case, 6, neuron)()
    assert passes.forward > 0
    assert passes.backward > 0
    assert passes.step == passes.forward + passes.backward


def test_the_loop_is_the_same_neuron() -> None:
    x = 2.0 * torch.randn(50, 2, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(efficiency.LoopLIF()(x)[0], LIF()(x)[0])


def test_efficiency_page() -> None:
    rows = [_row(T, 2.0 * T / 16384, 100.0, neuron="dsn") for T in (8192, 16384, 32768)]
    rows += [_row(8192, 25.0, 540.0), _row(16384, 100.0, 2160.0), _row(32768, "", "", "needs about 8 GiB")]
    page = efficiency.page(rows, "efficiency")
    assert "| dsn | 1 ms ±0% | 2 ms ±0% | 4 ms ±0% | 1.00 |" in page
    assert "| psn | 25 ms ±0%, 25 x | 100 ms ±0%, 50 x | needs about 8 GiB | 2.00 |" in page
    assert "| psn, step | 25.6 | 50.0 | - | - |" in page
    assert "| psn | 540 MiB | 2,160 MiB | needs about 8 GiB | 2.00 |" in page
    assert "nan" not in page
    assert efficiency.plot(rows) == efficiency.plot(rows)


def test_summary_is_of_the_passes() -> None:
    taken = [efficiency.Passes(1e-3, 2e-3), efficiency.Passes(2e-3, 5e-3), efficiency.Passes(4e-3, 1e-3)]
    found = efficiency.summary(taken)
    assert (found["runs"], found["forward_ms"], found["backward_ms"], found["step_ms"]) == (3, 2.0, 2.0, 5.0)
    assert (found["step_least_ms"], found["step_most_ms"]) == (3.0, 7.0)


def _text(characters: int, symbols: int = 5) -> Split:
    numbers = torch.randint(0, symbols, (characters + 1,), generator=torch.Generator().manual_seed(1))
    return Split(numbers[:-1].view(1, -1, 1), numbers[1:].view(1, -1), encode=OneHot(symbols))


def _model(neuron: Any) -> Any:
    torch.manual_seed(0)
    return mlp(5, 5, neuron=neuron, width=6, depth=1, residual="membrane", readout="last").eval()


def test_pieces_follow_each_other() -> None:
    text = _text(24)
    batch = extrapolation.pieces(text, 16, 4)
    assert batch.inputs.shape == (4, 4, 5)
    assert torch.equal(batch.inputs.argmax(-1).t().flatten(), text.inputs.flatten()[:16])
    assert torch.equal(batch.targets.flatten(), text.targets.flatten()[:16])


def test_losses_are_cross_entropies() -> None:
    generator = torch.Generator().manual_seed(0)
    outputs, targets = torch.randn(3, 2, 4, generator=generator), torch.tensor([[0, 1, 2], [3, 2, 1]])
    each = extrapolation.losses(outputs, targets)
    logits = outputs.double().numpy()
    for t, b in np.ndindex(3, 2):
        expected = np.log(np.exp(logits[t, b]).sum()) - logits[t, b, targets[b, t]]
        assert float(each[t, b]) == pytest.approx(expected, rel=1e-12)


def test_every_length_reads_the_same_characters_both_ways() -> None:
    rows = extrapolation.evaluate(_model(DSN), _text(70), (4, 8, 16, 32), 8, bins=4)
    wholes = [row for row in rows if row["end"] - row["start"] == row["length"]]
    assert [row["length"] for row in wholes] == [4, 8, 16, 32]
    assert {row["characters"] for row in wholes} == {64}
    for row in wholes:
        assert row["streamed_loss"] == pytest.approx(row["loss"], abs=1e-6)
        assert row["excess"] == pytest.approx(row["loss"] - wholes[1]["loss"], abs=1e-12)
    for length in (8, 32):
        parts = [row for row in rows if row["length"] == length and row["end"] - row["start"] < length]
        assert [row["start"] for row in parts] == list(range(0, length, length // 4))
        whole = next(row for row in wholes if row["length"] == length)
        assert np.mean([row["loss"] for row in parts]) == pytest.approx(whole["loss"])


def test_masked_psn_is_refused_beyond_its_matrix_and_shown_with_other_rows() -> None:
    model = _model(lambda channels: MaskedPSN(8, 3, firing=Integer(4)))
    rows = extrapolation.evaluate(model, _text(32), (4, 8, 16), 8, bins=2)
    refused = [row for row in rows if row.get("without")]
    assert [row["length"] for row in refused] == [16]
    assert "its matrix ends at 8" in refused[0]["without"]
    onward = [row for row in rows if row.get("onward") and row["end"] - row["start"] == 16]
    assert [row["onward"] for row in onward] == list(extrapolation.ONWARD)
    firsts = [row for row in rows if row.get("onward") and (row["start"], row["end"]) == (0, 8)]
    assert all(row["excess"] == 0.0 for row in firsts)


def test_rows_that_go_on_are_those_of_the_matrix() -> None:
    torch.manual_seed(0)
    neuron = MaskedPSN(8, 3, firing=Integer(4))
    weight = neuron.weight.detach().double().numpy()
    taps, bias = extrapolation.last_row(neuron)
    np.testing.assert_array_equal(taps.detach(), neuron.weight[7, 5:8].detach())
    assert bias == neuron.bias[7]
    taps, bias = extrapolation.mean_row(neuron)
    expected = [np.mean([weight[t, t - 2 + i] for t in range(2, 8)]) for i in range(3)]
    np.testing.assert_allclose(taps.detach(), expected, rtol=1e-6)
    assert extrapolation.silent(neuron)[0].tolist() == [0.0] * 3


def test_last_row_goes_on_with_the_inputs_before() -> None:
    """Row 8 of a matrix twice as long whose later rows repeat the band of the 8th."""
    torch.manual_seed(0)
    short, long = MaskedPSN(8, 3, firing=Integer(4)), MaskedPSN(16, 3, firing=Integer(4))
    with torch.no_grad():
        short.weight.mul_(5.0)
        long.weight[:8, :8], long.bias[:8], long.bias[8:] = short.weight, short.bias, short.bias[-1]
        for t in range(8, 16):
            long.weight[t, t - 2 : t + 1] = short.weight[-1, -3:]
    x = 2.0 * torch.randn(16, 2, 5, generator=torch.Generator().manual_seed(0))
    models = [_model(lambda channels, neuron=neuron: copy.deepcopy(neuron)) for neuron in (short, long)]
    models[1].load_state_dict(
        {name: value for name, value in models[0].state_dict().items() if "neuron" not in name}, strict=False
    )
    with torch.no_grad():
        expected, _ = models[1](x)
        found = extrapolation.go_on(models[0], x, extrapolation.last_row, 8)
    assert torch.equal(found.isfinite(), torch.ones_like(found, dtype=torch.bool))
    torch.testing.assert_close(found, expected)


def _cell(neuron: str, seed: int, shift: float) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    for length in extrapolation.LENGTHS:
        whole = {"length": length, "start": 0, "end": length, "characters": extrapolation.CHARACTERS}
        if neuron == "masked_psn" and length > extrapolation.TRAINED:
            rows.append({"length": length, "start": 0, "end": length, "without": "refused: it ends"})
            rows.append(whole | {"onward": "silent", "loss": 3.0, "excess": 1.0})
            continue
        ways = {"streamed_loss": 2.0 + shift, "largest_difference": 1e-6, "predictions_differing": 0}
        rows.append(whole | {"loss": 2.0 + shift, "excess": shift} | ways)
    longest = extrapolation.LENGTHS[-1]
    rows.append({"length": longest, "start": 0, "end": longest // 2, "loss": 2.0, "excess": 0.0, "characters": 9})
    numbers = dict.fromkeys(("parameters", "validation_loss", "firing_rate", "training_seconds"), 1.0)
    return {"neuron": neuron, "seed": seed, "machine": "here", "rows": rows} | numbers


def test_extrapolation_page_and_files(tmp_path: Any) -> None:
    cells = [_cell("dsn", 0, 0.0), _cell("dsn", 1, 0.002), _cell("masked_psn", 0, 0.0)]
    extrapolation.write_results(cells, tmp_path / "extrapolation.csv")
    assert {path.name for path in tmp_path.iterdir()} == {f"extrapolation.{kind}" for kind in ("csv", "md", "svg")}
    page = (tmp_path / "extrapolation.md").read_text()
    one = "2.0010 [2.0000, 2.0020]"
    assert f"| dsn | {' | '.join([one] * 6)} |" in page
    assert "| masked_psn | 2.0000 | 2.0000 | refused | refused | refused | refused |" in page
    assert "| masked_psn, then silent |  |  | 3.0000 | 3.0000 | 3.0000 | 3.0000 |" in page
    assert "| masked_psn, then silent |  |  | +1000.0 |" in page
    assert "nan" not in page
    before = (tmp_path / "extrapolation.svg").read_bytes()
    extrapolation.write_results(cells, tmp_path / "extrapolation.csv")
    assert (tmp_path / "extrapolation.svg").read_bytes() == before
