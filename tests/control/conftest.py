"""A task of three steps that only memory solves, as a Gymnasium environment."""

from typing import Any

import numpy as np
import pytest

from spikescan.control import ControlExperiment

RECALL = "spikescan/Recall-v0"


@pytest.fixture(scope="session")
def recall() -> str:
    """Its name. The first observation is a cue, -1 or 1, those after it are 0; only the last action counts: -(a - cue)^2."""
    gymnasium = pytest.importorskip(
        "gymnasium", reason="control tasks need Gymnasium: pip install 'spikescan[control]'"
    )

    class Recall(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
        action_space = gymnasium.spaces.Box(-2.0, 2.0, (1,), np.float32)

        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
            super().reset(seed=seed)
            self.cue = float(self.np_random.choice([-1.0, 1.0]))
            self.step_number = 0
            return self._observation(self.cue), {}

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            self.step_number += 1
            last = self.step_number == 3
            reward = -((float(action[0]) - self.cue) ** 2) if last else 0.0
            return self._observation(0.0), reward, last, False, {}

        def _observation(self, shown: float) -> Any:
            # The second number is the whole state, which only a critic gets.
            return np.array([shown, self.cue], np.float32)

    if RECALL not in gymnasium.registry:
        gymnasium.register(RECALL, Recall)
    return RECALL


@pytest.fixture
def experiment(recall) -> ControlExperiment:
    return ControlExperiment(
        environment={"name": recall, "hide": [1]},
        actor={"name": "population", "hidden": [12], "population": 4, "micro_steps": 2, "memory": True},
        neuron={"name": "dsn"},
        algorithm={
            "name": "td3",
            "start_steps": 20,
            "batch_size": 8,
            "sequence": 3,
            "critic_hidden": [16],
            "update_interval": 5,
        },
        epochs=2,
        epoch_steps=60,
        evaluation_episodes=4,
    )
