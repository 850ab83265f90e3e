"""Every setting of an environment, typed and documented once.

`make_scenario` and `parallel_env` take these fields as arguments. A user's program can keep them in one `EnvConfig`,
write that as JSON, and make environments of it:

    config = EnvConfig("rush", num_agents=80, observation="features")
    Path("env.json").write_text(json.dumps(config.to_dict()))
    env = RoutingEnv.from_config(EnvConfig.from_dict(json.loads(Path("env.json").read_text())))
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, fields
from functools import partial, wraps
from numbers import Integral, Real
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, get_args

from sumo_marl_env.errors import ConfigError, hint
from sumo_marl_env.maps.network import RoadNetwork
from sumo_marl_env.observations import Observation
from sumo_marl_env.rewards import Reward
from sumo_marl_env.scenarios.demand import Demand, demand_of
from sumo_marl_env.types import Backend, Trip

if TYPE_CHECKING:
    # It takes a ScenarioConfig itself.
    from sumo_marl_env.scenarios.scenario import Scenario

RenderMode = Literal["rgb_array", "human"]

_KINDS: dict[str, tuple[type | UnionType, str]] = {
    "network": (RoadNetwork | Path | str, "a file or a RoadNetwork"),
    "trips": (Iterable, "Trip objects, or a name of TRIP_PATTERNS"),
    "num_agents": (Integral, "a whole number"),
    "trips_seed": (Integral, "a whole number"),
    "horizon_s": (Real, "a number"),
    "trip_length_m": (Real, "a number"),
    "smoothing_s": (Real, "a number"),
    "strict": (bool, "True or False"),
    "isolate": (bool, "True or False"),
}


@dataclass(frozen=True)
class ScenarioConfig:
    """What is fixed before an episode's seed is chosen. A field that is None keeps the scenario's value.

    Attributes:
        scenario: a name of `SCENARIOS`, a scenario file (.json), whose parts the other fields replace, a map file (.osm
            or .net.xml), on which trips are drawn as on a built-in town, or a `Scenario`, which is complete.
        demand: "moderate" (default), "congested", "none", a `Demand`, or a SUMO route file (.rou.xml).
        num_agents: number of agents; by default 10, and 50 in `rush`.
        network: a .osm or .net.xml file, or a `RoadNetwork`, instead of a built-in town. The trips of a built-in
            scenario are then drawn on it.
        horizon_s: simulated seconds after which an episode is cut off; by default 2400.
        trips_seed: origin-destination pairs are drawn once from this seed (default 0), whatever the episode's seed.
        trip_length_m: mean straight-line distance of the pairs; by default the paper's on the built-in towns, and
            elsewhere 1047 m or 45 % of the network's diagonal if that is less.
        trips: use these instead of drawing any, or how to draw them: "spread" over the town, or "rush".
    """

    scenario: str | Path | Scenario = "gridtown"
    demand: str | Path | Demand | None = None
    num_agents: int | None = None
    _: KW_ONLY
    network: RoadNetwork | Path | str | None = None
    horizon_s: float | None = None
    trips_seed: int | None = None
    trip_length_m: float | None = None
    trips: tuple[Trip, ...] | str | None = None

    def __post_init__(self) -> None:
        _check_kinds(self)
        if self.trips_seed is not None and self.trips_seed < 0:
            raise ConfigError(f"trips_seed must be 0 or more, not {self.trips_seed}")
        if self.trips is None or isinstance(self.trips, str):
            return
        # A list will do, and a tuple is what everybody else relies on.
        object.__setattr__(self, "trips", tuple(self.trips))
        if not all(isinstance(trip, Trip) for trip in self.trips):
            raise ConfigError(f"trips must be Trip objects, or a name of TRIP_PATTERNS, not {self.trips!r}")
        if self.num_agents not in (None, len(self.trips)):
            raise ConfigError(f"num_agents is {self.num_agents}, but {len(self.trips)} trips are given; leave it out")
        for name in ("trips_seed", "trip_length_m"):
            if getattr(self, name) is not None:
                raise ConfigError(f"{name} says how trips are drawn, but trips are given; leave it out")


@dataclass(frozen=True, kw_only=True)
class EnvOptions:
    """What agents see and earn, and how SUMO runs.

    Attributes:
        observation: a name of `OBSERVATIONS`, an instance, or a class (or `functools.partial` of one) that is called
            with the scenario.
        reward: a name of `REWARDS`, or the same as above.
        smoothing_s: time constant of the moving average of edge speeds behind scores and live travel times; 0 for none.
        strict: whether a masked-out or missing action is an error.
        backend: how SUMO runs; see `SumoSimulator`.
        isolate: whether SUMO runs in a child process, so that several envs work side by side in one process and a crash
            of SUMO harms nobody. None: only if, at reset, another env of this process has its SUMO in process.
        sumo_options: further options of SUMO's command line; see `SumoSimulator`. Files that they name are complete
            after `close`, and begun anew by each reset.
        render_mode: what `render` does: "rgb_array" returns a picture, "human" shows one.
    """

    observation: str | Observation | type[Observation] | partial[Observation] = "paper"
    reward: str | Reward | type[Reward] | partial[Reward] = "paper"
    smoothing_s: float = 60.0
    strict: bool = False
    backend: Backend = "libsumo"
    isolate: bool | None = None
    sumo_options: Sequence[str] = ()
    render_mode: RenderMode | None = None

    def __post_init__(self) -> None:
        _check_kinds(self)
        if self.smoothing_s < 0.0:
            raise ConfigError(f"smoothing_s must be 0 (none) or more, not {self.smoothing_s}")
        if isinstance(self.sumo_options, str) or not isinstance(self.sumo_options, Sequence):
            raise ConfigError(
                f"sumo_options must be a list of texts, not {self.sumo_options!r}; split it at its spaces"
            )
        # Nobody changes it later, and it is equal to the one that comes back from JSON.
        object.__setattr__(self, "sumo_options", tuple(self.sumo_options))
        if self.backend not in get_args(Backend):
            raise ConfigError(f"unknown backend {self.backend!r}; choose {' or '.join(get_args(Backend))}")
        if self.render_mode not in (None, *get_args(RenderMode)):
            raise ConfigError(
                f"unknown render_mode {self.render_mode!r}; choose {', '.join(get_args(RenderMode))} or None"
            )


@dataclass(frozen=True)
class EnvConfig(EnvOptions, ScenarioConfig):
    """All of `ScenarioConfig` and `EnvOptions`: the arguments of `parallel_env`."""

    def __post_init__(self) -> None:
        ScenarioConfig.__post_init__(self)
        EnvOptions.__post_init__(self)

    def arguments(self) -> dict[str, Any]:
        """The fields that differ from their defaults, as arguments of `parallel_env`."""
        values = ((field, getattr(self, field.name)) for field in fields(self))
        # Types first: not everything that a user's class may hold can be compared.
        return {f.name: v for f, v in values if type(v) is not type(f.default) or v != f.default}

    def to_dict(self) -> dict[str, Any]:
        """What `json` can write: `arguments`, with a network as the path of its file. Paths stay as they were given.

        Raises:
            ConfigError: if a field holds a class, an instance or a `Scenario`.
        """
        return {name: _plain(name, value) for name, value in self.arguments().items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EnvConfig:
        """The inverse of `to_dict`.

        Raises:
            ConfigError: naming each key that is not a field.
        """
        known = [field.name for field in fields(cls)]
        _refuse_unknown("", values, known)
        given = dict(values)
        if isinstance(given.get("demand"), Mapping):
            _made("demand", Demand, given["demand"])
            given["demand"] = demand_of(given["demand"])
        if isinstance(given.get("trips"), Sequence) and not isinstance(given["trips"], str):
            given["trips"] = tuple(_made(f"trips[{row}]", Trip, trip) for row, trip in enumerate(given["trips"]))
        return cls(**given)


Arguments = ParamSpec("Arguments")
Config = TypeVar("Config")
Made = TypeVar("Made")


def arguments_of(
    config: Callable[Arguments, Config],
) -> Callable[[Callable[[Config], Made]], Callable[Arguments, Made]]:
    """Lets a function of one settings object be called with the fields of that object, which stay typed."""

    names = list(inspect.signature(config).parameters)

    def decorate(make: Callable[[Config], Made]) -> Callable[Arguments, Made]:
        @wraps(make)
        def from_arguments(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Made:
            _refuse_unknown("", kwargs, names)
            return make(config(*args, **kwargs))

        returned = inspect.signature(make).return_annotation
        vars(from_arguments)["__signature__"] = inspect.signature(config).replace(return_annotation=returned)
        return from_arguments

    return decorate


def is_finite(number: Real | float) -> bool:
    """Whether it is a number that a float can hold."""
    try:
        return math.isfinite(number)
    except OverflowError:
        # A whole number of hundreds of digits.
        return False


def _check_kinds(config: ScenarioConfig | EnvOptions) -> None:
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name not in _KINDS or (value is None and field.default is None):
            continue
        kind, words = _KINDS[field.name]
        # True is an int to Python.
        if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
            raise ConfigError(f"{field.name} must be {words}, not {value!r}")
        if isinstance(value, Real) and not is_finite(value):
            raise ConfigError(f"{field.name} must be a finite number, not {value!r}")


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, RoadNetwork):
        return str(value.net_file)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Demand | Trip):
        return {key: _plain(f"{name}.{key}", item) for key, item in asdict(value).items()}
    if isinstance(value, list | tuple):
        return [_plain(name, item) for item in value]
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Real):
        # NumPy's.
        return int(value) if isinstance(value, Integral) else float(value)
    raise ConfigError(
        f"{name} holds {value!r}, which no JSON file can; give a name or a file instead, or pickle the configuration"
    )


def _made(where: str, kind: Callable[..., Made], values: Any) -> Made:
    known = list(inspect.signature(kind).parameters)
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} must be an object with {', '.join(known)}, not {values!r}")
    _refuse_unknown(f"{where}: ", values, known)
    try:
        return kind(**values)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from error


def _refuse_unknown(where: str, values: Mapping[str, Any], known: Sequence[str]) -> None:
    problems = []
    for key in values:
        if key not in known:
            guess = hint(key, known) or f"known are {', '.join(known)}"
            problems.append(f"{where}unknown key {key!r}; {guess}")
    if problems:
        raise ConfigError("\n".join(problems))
