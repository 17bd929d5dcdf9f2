"""How the Triton kernels cut a shape into programs."""

import pytest

pytest.importorskip("triton", reason="Triton is not installed")

from spikescan.ops._power import squarings
from spikescan.ops._triton import ELEMENTS, channel_sum, configure


@pytest.mark.parametrize("steps", [0, 1, 3, 255, 256, 1000, 16384, 100_000])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 7), (3, 10), (512, 2), (4, 64), (128, 256), (32, 65536)])
@pytest.mark.parametrize("taps", [1, 4, 16])
@pytest.mark.parametrize("carried", [True, False])
def test_programs_cover_every_neuron_and_step_once(
    steps: int, rows: int, columns: int, taps: int, carried: bool
) -> None:
    tile = configure(steps, rows, columns, taps=taps, carried=carried)
    assert tile.rows * tile.columns <= ELEMENTS
    assert tile.warps * 32 <= ELEMENTS
    across = -(-columns // tile.columns)
    assert tile.tiles == tile.row_tiles * across
    assert (tile.row_tiles - 1) * tile.rows < rows <= tile.row_tiles * tile.rows
    assert tile.chunk * (tile.chunks - 1) < max(steps, 1) <= max(tile.chunk * tile.chunks, 1)
    assert tile.chunk >= taps


def test_many_neurons_are_walked_whole_and_few_in_chunks() -> None:
    assert configure(32, 512, 1024).chunks == 1
    assert configure(1024, 32, 65536).chunks == 1
    assert configure(64, 1, 64).chunks == 1  # too short to be worth three launches
    assert 100 <= configure(16384, 4, 64).chunks <= 256
    assert configure(64, 1, 64, carried=False).chunks == 64  # nothing is carried: every step by itself


def test_no_samples_and_no_channels_are_no_programs() -> None:
    assert configure(7, 0, 3).tiles == configure(7, 3, 0).tiles == 0


def test_powers_of_two_are_squared() -> None:
    assert [squarings(e) for e in (1.0, 2.0, 16.0, 32.0, 0.5, 3.0, 10 / 3)] == [0, 1, 4, None, None, None, None]


def test_channel_sum_adds_programs_and_space() -> None:
    torch = pytest.importorskip("torch")
    partials = torch.arange(2 * 3 * 8.0).view(2, 3, 8)
    assert torch.equal(channel_sum(partials, 4), partials.sum(0).view(3, 4, 2).sum(2))
    assert channel_sum(torch.zeros(2, 3, 0), 0).shape == (3, 0)
