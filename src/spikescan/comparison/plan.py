"""What has to be trained: one trial for every combination of neuron, firing, control and seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from spikescan.comparison.contenders import CONTENDERS, Contender, Scale, find_contender, scale_for
from spikescan.data import Dataset
from spikescan.errors import InputError
from spikescan.firing import firing_from
from spikescan.names import check_names
from spikescan.neurons.registry import create_neuron, neuron_options
from spikescan.training import Experiment

__all__ = ["CONTROLS", "FIRINGS", "Choice", "Trial", "plan"]

FiringName = Literal["binary", "integer", "none"]
Control = Literal["", "static", "shuffled", "nonspiking"]

FIRINGS = ("binary", "integer")
CONTROLS = {
    "static": "no memory: H = x, so that a neuron sees the present step alone; time is left in the readout, and in a model "
    "that has a memory of its own",
    "shuffled": "every sample's time steps in a random order of its own, in training and evaluation",
    "nonspiking": "the same network with DSN's membrane sent on as a real number instead of spikes",
}
_LEVELS = 4


@dataclass(frozen=True)
class Choice:
    """What is compared.

    Args:
        neurons: names of contenders or neurons.
        firings: binary, integer, or both.
        controls: names of `CONTROLS`.
        shuffled: the neurons of which the control shuffled is run.
        seeds: how many; the first is the recipe's.
        options: for a contender, what to set instead.
    """

    neurons: Sequence[str] = tuple(CONTENDERS)
    firings: Sequence[str] = FIRINGS
    controls: Sequence[str] = tuple(CONTROLS)
    shuffled: Sequence[str] | None = None
    seeds: int = 3
    options: Mapping[str, Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class Trial:
    """One training.

    Args:
        contender: whose name it goes by; that of the control where a control replaces the neuron.
        firing: how it fires.
        control: which; empty for none.
        experiment: everything that decides the outcome.
        impossible: why it cannot be trained; empty if it can.
    """

    contender: str
    firing: FiringName
    control: Control
    experiment: Experiment
    impossible: str = ""

    @property
    def name(self) -> str:
        """Of its file: ``dsn-integer-seed0``, ``dsn-shuffled-binary-seed2``."""
        words = [self.contender, self.control if self.control == "shuffled" else "", self.firing]
        return "-".join([*filter(None, words), f"seed{self.experiment.seed}"])


def plan(recipe: Experiment, dataset: Dataset, choice: Choice) -> list[Trial]:
    """All trials, those of the first seed first.

    Args:
        recipe: with a task, not auto (`spikescan.training.settle`).
        dataset: of the recipe.
        choice: what is compared.

    Raises:
        InputError: a name that does not exist, with the nearest that does.
    """
    _check(choice)
    scale = scale_for(dataset.time_steps, recipe.neuron)
    shuffled = choice.neurons[:1] if choice.shuffled is None else choice.shuffled

    def trials(seed: int) -> list[Trial]:
        seeded = replace(recipe, seed=seed)
        found = [
            _trial(seeded, scale, choice, name, firing, "") for name in choice.neurons for firing in choice.firings
        ]
        if "static" in choice.controls:
            found += [_static(seeded, firing) for firing in choice.firings]
        if "shuffled" in choice.controls:
            found += [
                _trial(seeded, scale, choice, name, firing, "shuffled")
                for name in shuffled
                for firing in choice.firings
            ]
        if "nonspiking" in choice.controls:
            found.append(_nonspiking(seeded, scale, choice))
        return found

    return [trial for index in range(choice.seeds) for trial in trials(recipe.seed + index)]


def _check(choice: Choice) -> None:
    for name in [*choice.neurons, *(choice.shuffled or ()), *(choice.options or {})]:
        find_contender(name)
    check_names("The comparison", "firing", choice.firings, FIRINGS)
    check_names("The comparison", "control", choice.controls, CONTROLS)
    if choice.seeds < 1 or not choice.neurons or not choice.firings:
        raise InputError(
            f"There is nothing to compare: {len(choice.neurons)} neurons, {len(choice.firings)} kinds of firing, "
            f"{choice.seeds} seeds; expected at least one of each."
        )


def _trial(
    recipe: Experiment, scale: Scale, choice: Choice, name: str, firing: str, control: Literal["", "shuffled"]
) -> Trial:
    contender = find_contender(name)
    options = _options(recipe, scale, choice, name, contender)
    fired, impossible = _with_firing(recipe, contender, options, firing)
    impossible = impossible or _refusal(contender.neuron, scale, fired)
    neuron = {"name": contender.neuron, **fired}
    experiment = replace(recipe, neuron=neuron, shuffle_time=control == "shuffled")
    return Trial(name, firing, control, experiment, impossible)  # type: ignore[arg-type]


def _options(recipe: Experiment, scale: Scale, choice: Choice, name: str, contender: Contender) -> dict[str, Any]:
    """The recipe's for its own neuron, else the contender's; and what the user sets."""
    own = {key: value for key, value in recipe.neuron.items() if key != "name"}
    given = own if recipe.neuron["name"] == name else contender.options(scale)
    return {**given, **(choice.options or {}).get(name, {})}


def _with_firing(
    recipe: Experiment, contender: Contender, options: dict[str, Any], kind: str
) -> tuple[dict[str, Any], str]:
    """The options with this kind of firing, and why it cannot be if it cannot.

    What the options say of this kind is kept; else the neuron's default if it is of this kind; else the kind's default.
    """
    known = neuron_options(contender.neuron)
    if "firing" not in known:
        fixed = "integer" if "levels" in known else "binary"
        return options, "" if fixed == kind else f"it has {fixed} spikes only"
    said = options.get("firing")
    if said is not None and _kind(said) == kind:
        return options, ""
    levels = firing_from(recipe.neuron["firing"]) if _kind(recipe.neuron.get("firing")) == "integer" else None
    number = _LEVELS if levels is None else levels.levels  # type: ignore[union-attr]
    firing = {"kind": "binary"} if kind == "binary" else {"kind": "integer", "levels": number}
    return {**options, "firing": firing}, ""


def _kind(firing: Any) -> str | None:
    """The kind of what a recipe says."""
    return firing if isinstance(firing, str) else firing.get("kind") if isinstance(firing, Mapping) else None


def _refusal(neuron: str, scale: Scale, options: Mapping[str, Any]) -> str:
    """Why the neuron cannot be built so; empty if it can."""
    try:
        create_neuron(neuron, 1, scale.time_steps, options)
    except InputError as error:
        return str(error)
    return ""


def _static(recipe: Experiment, firing: str) -> Trial:
    """With tau = 1 and without a reset the membrane of a LIF is its input: a decay of 0."""
    lif = Contender("lif", lambda scale: {"tau": 1.0, "reset": None}, "")
    options, _ = _with_firing(recipe, lif, {"tau": 1.0, "reset": None}, firing)
    return Trial("static", firing, "static", replace(recipe, neuron={"name": "lif", **options}))  # type: ignore[arg-type]


def _nonspiking(recipe: Experiment, scale: Scale, choice: Choice) -> Trial:
    options = _options(recipe, scale, choice, "dsn", find_contender("dsn"))
    neuron = {"name": "dsn", **options, "firing": {"kind": "membrane"}}
    return Trial("nonspiking", "none", "nonspiking", replace(recipe, neuron=neuron))
