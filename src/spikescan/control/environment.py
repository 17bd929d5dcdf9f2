"""Environments of Gymnasium, with actions from -1 to 1."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikescan.errors import InputError
from spikescan.names import nearest
from spikescan.training.choices import split_choice

__all__ = ["Environment"]

_INSTALL = "pip install 'spikescan[control]'"


class Environment:
    """One environment: observations and rewards as tensors, actions from -1 to 1 over the range it takes.

    Args:
        choice: its name, options that Gymnasium passes on to it, and `hide`: observations that the actor does not get.

    Raises:
        InputError: Gymnasium, or a simulator that the environment needs, is not installed; there is no such environment or
            option; its observations are no vector or its actions not continuous.
    """

    def __init__(self, choice: Mapping[str, Any]) -> None:
        name, options = split_choice("environment", choice)
        hidden = options.pop("hide", [])
        self._env = _make(name, options)
        space, actions = self._env.observation_space, self._env.action_space
        if len(space.shape or ()) != 1:
            raise InputError(f"The environment {name} observes {space}, expected a vector: a Box of one axis.")
        if not hasattr(actions, "low") or len(actions.shape) != 1 or not np.isfinite([actions.low, actions.high]).all():
            raise InputError(
                f"The environment {name} takes {actions}, expected continuous actions within bounds, as Pendulum-v1 does: "
                f"TD3 follows the gradient of the critic with respect to the action."
            )
        self.observations: int = space.shape[0]
        self.actions: int = actions.shape[0]
        self.visible = _visible(name, hidden, self.observations)
        """Columns of an observation that the actor gets."""
        self._low = actions.low.astype(np.float64)
        self._range = actions.high.astype(np.float64) - self._low

    def reset(self, seed: int | None = None) -> Tensor:
        """A first observation ``[observations]``; without a seed it follows from the last one given."""
        return _tensor(self._env.reset(seed=seed)[0])

    def step(self, action: Tensor) -> tuple[Tensor, float, bool, bool]:
        """Act ``[actions]``, from -1 to 1.

        Returns:
            The next observation, the reward, whether a terminal state was reached, and whether time ran out.
        """
        given = self._low + (action.double().numpy() + 1.0) / 2.0 * self._range
        observation, reward, terminated, truncated, _ = self._env.step(given.astype(np.float32))
        return _tensor(observation), float(reward), bool(terminated), bool(truncated)

    def close(self) -> None:
        """Let go of what the simulator holds."""
        self._env.close()


def _make(name: str, options: dict[str, Any]) -> Any:
    try:
        import gymnasium
    except ModuleNotFoundError:
        raise InputError(f"Control tasks need Gymnasium, which is not installed: {_INSTALL}") from None
    try:
        return gymnasium.make(name, **options)
    except gymnasium.error.DependencyNotInstalled as error:
        raise InputError(
            f"The environment {name} needs a simulator that is not installed ({error}): {_INSTALL}"
        ) from None
    except gymnasium.error.Error as error:
        known = nearest(name, gymnasium.registry)
        raise InputError(f"Gymnasium has no environment {name!r}. {known}({' '.join(str(error).split())})") from None
    except ModuleNotFoundError as error:
        raise InputError(f"The environment {name} cannot be imported: {error}") from None
    except TypeError as error:
        raise InputError(f"The environment {name} does not take these options: {error}") from None


def _visible(name: str, hidden: Any, observations: int) -> list[int]:
    if not isinstance(hidden, list) or not all(isinstance(i, int) and 0 <= i < observations for i in hidden):
        raise InputError(f"hide is {hidden!r}, expected a list of observations of {name}, 0 to {observations - 1}.")
    visible = [index for index in range(observations) if index not in hidden]
    if not visible:
        raise InputError(f"hide is {hidden!r}, which leaves nothing of the {observations} observations of {name}.")
    return visible


def _tensor(observation: Any) -> Tensor:
    return torch.from_numpy(np.asarray(observation, np.float32))
