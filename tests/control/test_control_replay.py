"""What is sampled from the experience."""

import torch

from spikescan.control.replay import Replay


def filled(capacity: int, episodes: list[int]) -> Replay:
    """Episodes of so many steps; an observation is the number of the step over all episodes, and the reward too."""
    replay = Replay(capacity, 1, 1)
    number = 0.0
    for steps in episodes:
        for step in range(steps):
            here, there = torch.tensor([number]), torch.tensor([number + 1.0])
            replay.add(here, -here, number, there, terminated=step == steps - 1)
            number += 1.0
        replay.end_episode()
    return replay


def test_sequences_are_consecutive_and_of_one_episode():
    batch = filled(100, [5, 1, 8, 3]).sample(200, 4, torch.Generator().manual_seed(0))
    found = set()
    for b, length in enumerate(batch.lengths.tolist()):
        numbers = batch.observations[:length, b, 0]
        assert torch.equal(numbers, numbers[0] + torch.arange(length))
        assert torch.equal(batch.next_observations[:length, b, 0], numbers + 1)
        assert torch.equal(batch.rewards[:length, b], numbers)
        assert torch.equal(batch.actions[:length, b, 0], -numbers)
        assert not batch.terminated[: length - 1, b].any()
        found.add((int(numbers[0]), length, int(batch.starts[b])))
    # Episodes cut into pieces of at most four steps.
    assert found == {(0, 4, 0), (4, 1, 4), (5, 1, 0), (6, 4, 0), (10, 4, 4), (14, 3, 0)}


def test_each_step_is_as_likely_as_any_other():
    batch = filled(100, [7, 2, 1]).sample(20_000, 3, torch.Generator().manual_seed(0))
    valid = torch.arange(3).unsqueeze(1) < batch.lengths
    counts = batch.observations[..., 0][valid].long().bincount(minlength=10).double()
    pieces = 5  # of 3, 3, 1, 2 and 1 steps
    torch.testing.assert_close(counts, torch.full_like(counts, 20_000 / pieces), rtol=0.06, atol=0)


def test_single_steps():
    batch = filled(100, [4, 3]).sample(50, 1, torch.Generator().manual_seed(0))
    assert batch.rewards.shape == (1, 50)
    assert (batch.lengths == 1).all()
    assert set(batch.rewards[0].tolist()) == set(range(7))


def test_the_oldest_steps_make_room_and_pieces_that_lost_their_start_are_not_drawn():
    replay = filled(10, [6, 6])  # steps 0 and 1 are gone: what is left of the first episode has lost its start
    batch = replay.sample(500, 6, torch.Generator().manual_seed(0))
    assert replay.size == 10
    assert set(batch.observations[0, :, 0].tolist()) == {6.0}
    assert (batch.lengths == 6).all()


def test_saved_and_loaded_it_is_the_same():
    for episodes in ([6, 6], [3, 2]):
        replay, other = filled(10, episodes), Replay(10, 1, 1)
        other.load(replay.state())
        for one in (replay, other):
            one.add(torch.zeros(1), torch.ones(1), 7.0, torch.ones(1), terminated=False)
        a, b = (one.sample(20, 2, torch.Generator().manual_seed(1)) for one in (replay, other))
        assert torch.equal(a.rewards, b.rewards)
        assert torch.equal(a.lengths, b.lengths)


def test_a_run_that_is_made_longer_keeps_what_it_saw():
    full, longer = filled(6, [3, 3]), Replay(9, 1, 1)
    longer.load(full.state())
    for step in range(3):
        longer.add(torch.tensor([6.0 + step]), torch.zeros(1), 6.0 + step, torch.zeros(1), terminated=False)
    batch = longer.sample(200, 1, torch.Generator().manual_seed(0))
    assert set(batch.rewards[0].tolist()) == set(range(9))
