"""What has to be trained: one trial for every combination of neuron, firing, control and seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spikescan.comparison.contenders import CONTENDERS, Scale, find_contender, scale_for
from spikescan.comparison.experiments import AnyExperiment, with_neuron, with_time_shuffled
from spikescan.errors import InputError
from spikescan.firing import Binary, Integer, firing_from
from spikescan.names import check_names
from spikescan.neurons.registry import create_neuron, neuron_options

__all__ = ["CONTROLS", "FIRINGS", "Choice", "Trial", "plan"]

FIRINGS = ("binary", "integer")
CONTROLS = {
    "static": "neurons without memory, H = x, that see the present step alone; time is left in the readout, and in a model "
    "that has a memory of its own",
    "shuffled": "the time steps of every sample in a random order of its own, in training and evaluation",
    "nonspiking": "the same network with DSN's membrane sent on as a real number instead of spikes",
}
_STATIC = {"tau": 1.0, "reset": None}  # with which the membrane of a LIF is its input: a decay of 0
_OWN = "the recipe's"


@dataclass(frozen=True)
class Choice:
    """What is compared.

    Args:
        neurons: names of contenders, or of any neurons.
        firings: binary, integer, or both.
        controls: names of `CONTROLS`.
        shuffled: the neurons that the control shuffled is run with; None for the first of `neurons`.
        seeds: how many; the first is the recipe's.
        options: by contender, what to set on top of its own settings; those of dsn are the control nonspiking's too.
    """

    neurons: Sequence[str] = tuple(CONTENDERS)
    firings: Sequence[str] = FIRINGS
    controls: Sequence[str] = tuple(CONTROLS)
    shuffled: Sequence[str] | None = None
    seeds: int = 3
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in [*self.neurons, *(self.shuffled or ()), *self.options]:
            find_contender(name)
        check_names("The comparison", "firing", self.firings, FIRINGS)
        check_names("The comparison", "control", self.controls, CONTROLS)
        unused = [name for name in self.options if name not in self._with_settings()]
        if unused:
            raise InputError(
                f"options are set for {', '.join(unused)}, which is not compared; expected them for "
                f"{', '.join(self._with_settings())}. Name it among the neurons too, or leave its options out."
            )
        if self.seeds < 1 or not self.neurons or not self.firings:
            raise InputError(
                f"There is nothing to compare: {len(self.neurons)} neurons, {len(self.firings)} kinds of firing, "
                f"{self.seeds} seeds; expected at least one of each."
            )

    def _with_settings(self) -> list[str]:
        """The contenders whose options decide anything."""
        shuffled = (self.shuffled or ()) if "shuffled" in self.controls else ()
        membrane = ["dsn"] if "nonspiking" in self.controls else []
        return list(dict.fromkeys([*self.neurons, *shuffled, *membrane]))


@dataclass(frozen=True)
class Trial:
    """One training.

    Args:
        contender: the name of the contender; that of the control where one replaces the neuron.
        firing: binary, integer, or none.
        control: of `CONTROLS`; empty for none.
        settings: where the neuron's options are from.
        experiment: everything that decides the outcome.
        impossible: why it cannot be trained; empty if it can.
    """

    contender: str
    firing: str
    control: str
    settings: str
    experiment: AnyExperiment
    impossible: str = ""

    @property
    def name(self) -> str:
        """Of its file: ``dsn-integer-seed0``, ``dsn-shuffled-binary-seed2``, ``static-binary-seed0``."""
        words = [self.contender, self.control if self.control != self.contender else "", self.firing]
        return "-".join([*filter(None, words), f"seed{self.experiment.seed}"])


def plan(recipe: AnyExperiment, time_steps: int, choice: Choice) -> list[Trial]:
    """All trials, those of the first seed first.

    Args:
        recipe: as `settled` returns it.
        time_steps: that a neuron sees in a sample.
        choice: what is compared.

    Raises:
        InputError: an option that `choice` sets does not exist or is out of range.
    """
    scale = scale_for(time_steps, recipe.neuron)
    shuffled = choice.neurons[:1] if choice.shuffled is None else choice.shuffled

    def trials(seed: int) -> list[Trial]:
        planner = _Planner(recipe, scale, choice, seed)
        return [
            *(planner.of(name, firing) for name in choice.neurons for firing in choice.firings),
            *(planner.static(firing) for firing in choice.firings if "static" in choice.controls),
            *(planner.shuffled(n, f) for n in shuffled for f in choice.firings if "shuffled" in choice.controls),
            *([planner.nonspiking()] if "nonspiking" in choice.controls else []),
        ]

    return [trial for index in range(choice.seeds) for trial in trials(recipe.seed + index)]


@dataclass(frozen=True)
class _Planner:
    """The trials of one seed."""

    recipe: AnyExperiment
    scale: Scale
    choice: Choice
    seed: int

    def of(self, name: str, firing: str) -> Trial:
        """A contender."""
        neuron, options, settings = self._settings(name)
        fired = _fired(neuron, options, firing, self._levels())
        impossible = f"it has no {firing} spikes" if fired is None else self._refusal(neuron, fired, name)
        experiment = with_neuron(self.recipe, {"name": neuron, **(options if fired is None else fired)}, self.seed)
        return Trial(name, firing, "", settings, experiment, impossible)

    def shuffled(self, name: str, firing: str) -> Trial:
        """A contender on samples without their order."""
        plain = self.of(name, firing)
        try:
            experiment, impossible = with_time_shuffled(plain.experiment), plain.impossible
        except InputError as error:
            experiment, impossible = plain.experiment, str(error)
        return Trial(name, firing, "shuffled", plain.settings, experiment, impossible)

    def static(self, firing: str) -> Trial:
        """Neurons without memory."""
        neuron = {"name": "lif", **(_fired("lif", _STATIC, firing, self._levels()) or {})}
        return Trial("static", firing, "static", "", with_neuron(self.recipe, neuron, self.seed))

    def nonspiking(self) -> Trial:
        """DSN's membrane without spikes."""
        _, options, settings = self._settings("dsn")
        neuron = {"name": "dsn", **options, "firing": {"kind": "membrane"}}
        return Trial("nonspiking", "none", "nonspiking", settings, with_neuron(self.recipe, neuron, self.seed))

    def _settings(self, name: str) -> tuple[str, dict[str, Any], str]:
        """The neuron of a contender, its options and where they are from: the recipe's own neuron keeps the recipe's."""
        contender, given = find_contender(name), self.choice.options.get(name, {})
        own = {key: value for key, value in self.recipe.neuron.items() if key != "name"}
        is_own = self.recipe.neuron.get("name") == name
        options, settings = (own, _OWN) if is_own else (contender.options(self.scale), contender.why)
        check_names(f"neuron {name}", "option", given, neuron_options(contender.neuron))
        if given:
            settings += f"; set by hand: {', '.join(given)}"
        return contender.neuron, {**options, **given}, settings

    def _levels(self) -> int:
        """N of integer spikes: the recipe's if its neurons have them."""
        said = self.recipe.neuron.get("firing")
        firing = Integer() if said is None else firing_from(said)
        return firing.levels if isinstance(firing, Integer) else Integer().levels

    def _refusal(self, neuron: str, options: Mapping[str, Any], name: str) -> str:
        """Why the neuron cannot be built so; empty if it can. What the user set is the user's to mend."""
        try:
            create_neuron(neuron, 1, self.scale.time_steps, options)
        except InputError as error:
            if name in self.choice.options:
                raise
            return str(error)
        return ""


_KINDS = {"binary": Binary, "integer": Integer}


def _fired(neuron: str, options: Mapping[str, Any], kind: str, levels: int) -> dict[str, Any] | None:
    """The options with this kind of firing; None if the neuron does not have it.

    What the options or else the neuron's class say of this kind is kept, such as its surrogate.
    """
    known = neuron_options(neuron)
    if "firing" not in known:
        return dict(options) if kind == ("integer" if "levels" in known else "binary") else None
    said = options.get("firing")
    if said is not None and isinstance(firing_from(said), _KINDS[kind]):
        return dict(options)
    bare = {name: value for name, value in options.items() if name != "firing"}
    if kind == "integer":
        return {**bare, "firing": {"kind": "integer", "levels": levels}}
    return bare if _fires_binary(neuron) else {**bare, "firing": {"kind": "binary"}}


def _fires_binary(neuron: str) -> bool:
    """Whether it does so by itself."""
    return isinstance(create_neuron(neuron, 1, 1).firing, Binary)
