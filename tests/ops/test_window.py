"""The window after some inputs is the last of them, and of the window before where they are too few."""

import pytest
import torch

from spikescan.ops import _window, shift_window


@pytest.mark.parametrize("width", [0, 1, 3])
@pytest.mark.parametrize("steps", [0, 1, 2, 3, 9])
def test_the_window_is_the_end_of_all_that_was_seen(steps: int, width: int) -> None:
    window, x = torch.randn(width, 2, 3), torch.randn(steps, 2, 3)
    seen = torch.cat([window, x])
    assert torch.equal(shift_window(window, x), seen[steps:])
    for length in range(steps + 1):
        lengths = torch.tensor([length, steps])
        shifted = shift_window(window, x, lengths)
        assert torch.equal(shifted[:, 0], seen[length : length + width, 0])
        assert torch.equal(shifted[:, 1], seen[steps:, 1])


def test_the_window_does_not_keep_the_sequence_alive() -> None:
    x = torch.randn(1000, 2, 3)
    assert shift_window(torch.zeros(3, 2, 3), x).untyped_storage().nbytes() == 4 * 3 * 2 * 3


@pytest.mark.parametrize("shape", [(3, 700, 1001), (1, 1, 1), (2, 0, 5)])
def test_the_copy_has_every_number_and_passes_its_gradient_on(shape: tuple[int, ...]) -> None:
    """The first shape is cut into several ranges, the last of which ends within a line."""
    x = torch.randn(5, *shape[1:], requires_grad=True)
    last = shift_window(torch.zeros(shape), x)
    assert torch.equal(last, x[5 - shape[0] :])
    grad = torch.randn(shape)
    (of_x,) = torch.autograd.grad(last, x, grad)
    assert torch.equal(of_x, torch.cat([torch.zeros(5 - shape[0], *shape[1:]), grad]))


def test_the_copy_is_a_good_citizen_of_torch() -> None:
    torch.library.opcheck(_window._copy.op, (torch.randn(2, 3, requires_grad=True),))
    compiled = torch.compile(shift_window, fullgraph=True, backend="aot_eager")
    window, x = torch.randn(2, 3), torch.randn(4, 3)
    assert torch.equal(compiled(window, x), x[2:])
