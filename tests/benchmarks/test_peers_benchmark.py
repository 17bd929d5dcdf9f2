"""The parts of `benchmarks.peers` and `benchmarks.compare` that need no other library."""

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks.peers import environments, report, work
from benchmarks.peers.measure import Limits, differences, expected_seconds, measure, worker_of
from benchmarks.peers.processes import RefusedError, Worker, clean_environment
from benchmarks.peers.table import Row, Table
from benchmarks.peers.work import BOTH, FORWARD, Cell

from benchmarks import compare

LAYER = Cell("layer", "dsn", work.LENGTHS[2])


@pytest.mark.parametrize("tiny", [True, False])
def test_cells_are_different_and_known(tiny: bool) -> None:
    cells = list(work.cells(tiny))
    assert len({cell.key for cell in cells}) == len(cells)
    for cell in cells:
        assert cell.contenders[0] == "spikescan"
        assert len(cell.contenders) >= 3
        assert all(worker_of(name) for name in cell.contenders)


def test_lengths_have_one_number_of_neuron_steps_and_grow() -> None:
    assert len({T * B * C for T, B, C in work.LENGTHS}) == 1
    lengths = [T for T, *_ in work.LENGTHS]
    assert lengths == sorted(lengths)
    assert (lengths[0], lengths[-1]) == (32, 32768)


@pytest.mark.parametrize("cell", list(work.cells(tiny=True)), ids=lambda cell: "-".join(cell.key))
def test_inputs_are_float32_and_the_same_each_time(cell: Cell) -> None:
    first, second = work.inputs(cell), work.inputs(cell)
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name])
        assert value.dtype == (np.int64 if name == "labels" else np.float32), name


def test_only_products_over_time_hold_a_matrix() -> None:
    long = work.LENGTHS[-1]
    assert Cell("layer", "psn", long).time_matrix_bytes == 8 << 30
    assert Cell("layer", "sliding_psn", long).time_matrix_bytes == 0


def test_cell_too_large_for_memory_is_skipped_without_a_worker(tmp_path: Path) -> None:
    rows = measure(Cell("layer", "psn", work.LENGTHS[-1]), {}, [], Limits(), tmp_path, "here")
    assert len(rows) == 6
    assert {row.without for row in rows} == {"the T x T matrix and its gradient alone take 8 GiB"}


def _row(shape: tuple[int, ...], seconds: float | None, contender: str = "JAX scan", **more: object) -> Row:
    return Row("layer", "dsn", work.shown(shape), contender, BOTH, seconds, seconds, seconds, 3, **more)  # type: ignore[arg-type]


def test_table_goes_on_from_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    rows = [
        _row(LAYER.shape, 0.125, machine="a, b", spikes_differing=0.0, error=1e-5, peak_bytes=5),
        _row(LAYER.shape, None, "PyTorch loop", without="more than 8 GiB", machine="a, b"),
    ]
    assert LAYER.key not in Table(path)
    Table(path).add(rows)
    again = Table(path)
    assert again.rows == rows
    assert LAYER.key in again
    again.add([_row(work.LENGTHS[0], 1.0, machine="c")])
    assert len(Table(path).rows) == 3
    assert Table(path).machines() == {"a, b", "c"}
    assert [each.name for each in tmp_path.iterdir()] == ["results.csv"]


def test_expected_seconds_carries_growth_on() -> None:
    rows = [_row(work.LENGTHS[0], 1.0), _row(work.LENGTHS[1], 8.0), _row(work.LENGTHS[1], 99.0, "spikescan")]
    assert expected_seconds(LAYER, "JAX scan", BOTH, rows) == pytest.approx(32.0)
    assert expected_seconds(LAYER, "JAX scan", FORWARD, rows) is None
    assert expected_seconds(LAYER, "JAX scan", BOTH, rows[:1]) == 1.0
    falling = [_row(work.LENGTHS[0], 8.0), _row(work.LENGTHS[1], 1.0)]
    assert expected_seconds(LAYER, "JAX scan", BOTH, falling) == 1.0
    late = [_row(work.LENGTHS[1], None, without="no result within 60 s")]
    assert expected_seconds(LAYER, "JAX scan", BOTH, late) == float("inf")


def test_differences() -> None:
    own = {"spikes": np.array([0.0, 1, 1, 0]), "grad x": np.array([3.0, 4.0])}
    assert differences(own, own) == (0.0, 0.0)
    assert differences(own, {"spikes": np.array([[0.0, 1], [1, 1]])}) == (0.25, 0.0)
    assert differences(own, {"grad x": np.array([3.0, 4.5])}) == (0.0, pytest.approx(0.1))
    assert differences(own, {"grad x": np.zeros(3)})[1] == float("inf")


def test_exponent() -> None:
    assert report.exponent([(T, 3.0 * T**1.5) for T in (32, 256, 4096)]) == pytest.approx(1.5)
    assert report.exponent([(32, 1.0)]) is None


def _table() -> list[Row]:
    """Ours takes 1 ms at each T, a peer's grows with T from 0.5 ms on."""
    rows = []
    for (shape, theirs), task in itertools.product(
        zip(work.LENGTHS[:3], (5e-4, 4e-3, 16e-3), strict=True), ("lif", "psn")
    ):
        for call in (FORWARD, BOTH):
            cell = ("layer", task, work.shown(shape))
            rows.append(Row(*cell, "spikescan", call, 1e-3, 1e-3, 2e-3, 3, 1 << 25, machine="here"))
            rows.append(Row(*cell, "SpikingJelly", call, theirs, theirs, theirs, 3, None, 0.0, 1e-6, machine="here"))
        rows.append(Row(*cell, work.FLOOR, work.FLOOR, 5e-4, 5e-4, 5e-4, 3, machine="here"))
    step = ("step", "dsn", "200x1x128")
    training = ("training", "dsn", "784x64x1")
    rows += [
        Row(*step, "spikescan", work.STEP, 2e-5, 2e-5, 2e-5, 3, machine="here"),
        Row(*step, "JAX scan", work.STEP, 1e-5, 1e-5, 1e-5, 3, machine="here"),
        Row(*training, "spikescan", work.TRAIN, 0.1, 0.1, 0.1, 3, machine="here"),
        Row(*training, work.NO_NEURONS, work.NO_NEURONS, 0.05, 0.05, 0.05, 3, machine="here"),
        Row(*training, "PyTorch loop", work.TRAIN, 2.0, 2.0, 2.0, 3, machine="here"),
        Row(*training, "PyTorch associative_scan", work.TRAIN, without="more than 8 GiB", machine="here"),
    ]
    return rows


def test_report_says_what_was_found(tmp_path: Path) -> None:
    paths = report.write_report(_table(), tmp_path)
    assert {path.name for path in paths} == {"peers.md", "peers-lif.svg", "peers-psn.svg"}
    page = (tmp_path / "peers.md").read_text()
    assert "| spikescan | 1 ms | 1 ms | 1 ms | 0.00 |" in page
    assert "| SpikingJelly | 0.5 ms (0.5) | 4 ms (4) | 16 ms (16) | 1.00 |" in page
    assert "at T >= 1,024 | 2 of 2 | SpikingJelly: 16 times" in page
    assert "fastest PyTorch peer | 1 of 1 | PyTorch loop: 20 times" in page
    assert "`step` at least 10 times faster | 0 of 1 | JAX scan: 0.5 times" in page
    assert "125%" in page  # 20 bytes at 0.5 ms for 8, in 1 ms
    assert "PyTorch associative_scan | more than 8 GiB" in page
    assert "6.3 s" in page  # 63 batches of 0.1 s
    assert "| 3.15 s (0.5) |" in page  # without neurons
    assert "nan" not in page
    before = {path: path.read_bytes() for path in paths}
    report.write_report(_table(), tmp_path)
    assert {path: path.read_bytes() for path in paths} == before


def test_report_names_every_case_in_which_a_peer_is_faster() -> None:
    lost = report.faster_peers(_table())
    assert {(rival.row.task, rival.row.call) for rival in lost} == {
        *itertools.product(("lif", "psn"), (FORWARD, BOTH)),
        ("dsn", work.STEP),
    }
    assert all(rival.times == pytest.approx(0.5) for rival in lost)
    reasons = {rival.row.task: report.reason(rival.row) for rival in lost}
    assert reasons["lif"] == "not explained"
    assert "matrix product" in reasons["psn"]


def test_versions_are_pinned() -> None:
    assert {"spikingjelly 2.0.0", "snntorch 1.0.0"} <= set(environments.pinned())


def test_workers_wait_as_they_would_without_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    assert "OMP_WAIT_POLICY" not in clean_environment({"A": "b"})
    assert clean_environment({"A": "b"})["A"] == "b"


def test_own_worker_measures_and_answers_errors(tmp_path: Path) -> None:
    """The whole chain with spikescan and plain torch, which need no environment of their own."""
    root = Path(__file__).resolve().parents[2]
    changes = {"PYTHONPATH": str(root / "src"), "SPIKESCAN_BACKEND": "reference"}  # nothing to compile
    python, log = Path(sys.executable), tmp_path / "log"
    workers = {
        name: Worker(name, python, threads=1, memory=8 << 30, log=log, environment=changes)
        for name in ("spikescan", "torch")
    }
    cell = Cell("layer", "dsn", (9, 2, 3))
    try:
        with pytest.raises(RefusedError, match="no such task: none"):
            workers["torch"].ask(
                60, do="load", inputs=_saved(tmp_path, cell), kind="layer", task="none", variant="PyTorch"
            )
        outputs = []
        for name, variant in (
            ("spikescan", "spikescan"),
            ("torch", "PyTorch loop"),
        ):
            worker = workers[name]
            worker.ask(60, do="load", inputs=_saved(tmp_path, cell), **work.request(cell, variant))
            worker.ask(120, do="outputs", path=tmp_path / "out.npz", gradients=True)
            with np.load(tmp_path / "out.npz") as file:
                outputs.append(dict(file))
            assert worker.ask(60, do="time", call=BOTH, calls=2)["seconds"] > 0
        assert set(outputs[0]) == {"spikes", "grad x", "grad weight", "grad bias"}
        spikes, error = differences(*outputs)
        assert spikes == 0.0
        assert error < 1e-5
    finally:
        for worker in workers.values():
            worker.stop()


def _saved(folder: Path, cell: Cell) -> Path:
    path = folder / "inputs.npz"
    np.savez(path, **work.inputs(cell))  # type: ignore[arg-type]
    return path


def test_compare_takes_one_revision_or_two() -> None:
    assert compare.arguments(["HEAD~3"]).newer == compare.WORKING_TREE
    given = compare.arguments(["v1", "v2", "--rounds", "3"])
    assert (given.older, given.newer, given.rounds) == ("v1", "v2", 3)


def test_compare_prints_ratios() -> None:
    times = {"v1": [2e-3, 2e-3, 1e-3], "v2": [1e-3, 1e-3, 1e-3]}
    line = compare.table({(LAYER, BOTH): times}).splitlines()[-1]
    assert line == "| dsn 1024x16x256 | forward + backward | 2.000 ms | 1.000 ms | 0.50 | 100% |"
