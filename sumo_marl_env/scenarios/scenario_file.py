"""Scenario files: one JSON file that a person can read, edit, check and share.

    {
      "format": 1,
      "name": "morning",
      "network": "gridtown",
      "demand": "moderate",
      "horizon_s": 2400,
      "trips": {"draw": "rush", "num_agents": 50, "seed": 0}
    }

| key         | value                                                                                               |
|-------------|-----------------------------------------------------------------------------------------------------|
| `format`    | 1                                                                                                   |
| `name`      | what results are filed under; by default the file's name                                            |
| `network`   | a built-in town, or an .osm or .net.xml file                                                        |
| `demand`    | moderate, congested, none, a SUMO route file, or an object with the fields of `Demand`: with the    |
|             | name of a built-in one, its changes. By default moderate                                            |
| `horizon_s` | when an episode is cut off; by default 2400                                                         |
| `trips`     | a list of trips, or how to draw them                                                                |

A trip is `{"origin_edge": "22#2", "destination": "1501", "depart_s": 12.0}`, with SUMO's ids of an edge and a junction;
agents are numbered in order. Drawn trips have `draw` (spread or rush), `num_agents`, `seed` and `length_m`. Paths are
relative to the file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from sumo_marl_env.config import ScenarioConfig, is_finite
from sumo_marl_env.errors import RoutingError, ScenarioError, hint
from sumo_marl_env.files import xml_elements
from sumo_marl_env.maps.network import RoadNetwork
from sumo_marl_env.maps.osm import BUILT_IN_NETWORKS, load_network
from sumo_marl_env.scenarios.demand import Demand, demand_of, resolve_demand
from sumo_marl_env.scenarios.route_file import check_route_file
from sumo_marl_env.scenarios.scenario import (
    DEFAULT_NUM_AGENTS,
    HORIZON_S,
    MAX_HORIZON_S,
    Scenario,
    check_agent,
    check_trip,
    draw_pattern,
)
from sumo_marl_env.types import AgentID, Trip

FORMAT = 1

_NUMBER = (int, float)
_WORDS = {str: "a text", int: "a whole number", float: "a number", dict: "an object", list: "a list"}
_TOP = {
    "format": (int,), "name": (str,), "network": (str,), "demand": (str, dict), "horizon_s": _NUMBER,
    "trips": (list, dict),
}  # fmt: skip
_DRAWN = {"draw": (str,), "num_agents": (int,), "seed": (int,), "length_m": _NUMBER}
_TRIP = {"agent": (str,), "origin_edge": (str,), "destination": (str,), "depart_s": _NUMBER}
_DEMAND = {
    "name": (str,), "num_vehicles": (int,), "mode": (str,), "arterial_vehicles_per_hour": _NUMBER, "max_load": _NUMBER,
    "route_file": (str,),
}  # fmt: skip


def load_scenario(path: Path | str, replacing: ScenarioConfig | None = None) -> Scenario:
    """Read a scenario file.

    Args:
        path: the file.
        replacing: fields that are given replace what the file says.

    Raises:
        ScenarioError: naming every mistake in the file, with the remedy.
    """
    given = replacing or ScenarioConfig()
    path = Path(path)
    reader = _Reader(path)
    content = reader.content
    road_network = resolved = None
    if given.network is not None or "network" in reader.sound:
        road_network = reader.attempt(
            "network", lambda: load_network(_network_of(path, content) if given.network is None else given.network)
        )
    if given.demand is not None or "demand" in reader.sound or "demand" not in content:
        resolved = reader.attempt(
            "demand", lambda: _demand_of(path, content) if given.demand is None else resolve_demand(given.demand)
        )
    made_trips = reader.trips(road_network, given)
    if road_network is not None and resolved is not None and resolved.route_file is not None:
        agents = [trip.agent for trip in made_trips or ()]
        horizon_s = reader.horizon_s(given.horizon_s)
        reader.attempt(
            "demand", partial(check_route_file, road_network.net_file, resolved.route_file, agents, horizon_s)
        )
    reader.raise_problems()
    assert road_network is not None
    assert resolved is not None
    assert made_trips is not None
    name = "-".join([content.get("name") or path.stem, *_changes(given, road_network, resolved)])
    try:
        return Scenario(name, road_network, made_trips, resolved, reader.horizon_s(given.horizon_s))
    except RoutingError as error:
        raise ScenarioError(f"{path}: {error}") from error


def _changes(given: ScenarioConfig, network: RoadNetwork, demand: Demand) -> list[str]:
    """Parts of a name: with other roads, trips or traffic than its file says it is another scenario."""
    changes = [
        None if given.network is None else network.name,
        None if given.trips is None else given.trips if isinstance(given.trips, str) else "given-trips",
        None if given.num_agents is None else f"{given.num_agents}-agents",
        None if given.trip_length_m is None else f"{given.trip_length_m:g}-m",
        None if given.trips_seed is None else f"seed-{given.trips_seed}",
        None if given.demand is None else demand.name,
        None if given.horizon_s is None else f"{given.horizon_s:g}-s",
    ]
    return [change for change in changes if change is not None]


class _Reader:
    """The content of a file, and the mistakes in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[str] = []
        self.content = content = self._parse()
        self.sound = self._check_fields("", content, _TOP, ("format", "network", "trips"))
        """Keys whose values have the right form; what they mean is looked at elsewhere."""
        if "format" in self.sound and content["format"] != FORMAT:
            self.problems.append(f"format is {content['format']}; this version reads format {FORMAT}")
        if "horizon_s" in self.sound and not 0 < content["horizon_s"] <= MAX_HORIZON_S:
            self.sound.discard("horizon_s")
            self.problems.append(
                f"horizon_s must be positive, and at most {MAX_HORIZON_S:g} s, not {content['horizon_s']}"
            )
        for key, known, required in (("trips", _DRAWN, ("draw",)), ("demand", _DEMAND, ("name",))):
            if key in self.sound and isinstance(content[key], dict):
                before = len(self.problems)
                self._check_fields(f"{key}: ", content[key], known, required)
                if len(self.problems) > before:
                    self.sound.discard(key)

    def attempt(self, key: str, make: Callable[[], Any]) -> Any:
        """What `make` returns, or None with its error among the problems."""
        try:
            return make()
        except RoutingError as error:
            self.problems.append(f"{key}: {error}")
            return None

    def horizon_s(self, given: float | None) -> float:
        """The one that is given, else the file's; infinite where the file's is a mistake."""
        if given is not None:
            return given
        is_known = "horizon_s" in self.sound or "horizon_s" not in self.content
        return self.content.get("horizon_s", HORIZON_S) if is_known else math.inf

    def trips(self, network: RoadNetwork | None, given: ScenarioConfig) -> tuple[Trip, ...] | None:
        """The given ones, or those that are listed or drawn; None if they cannot be made."""
        said: Any = self.content["trips"] if "trips" in self.sound else ()
        trips = said if given.trips is None else given.trips
        if isinstance(trips, tuple):
            return trips
        drawn = {"num_agents": given.num_agents, "seed": given.trips_seed, "length_m": given.trip_length_m}
        drawn = {key: value for key, value in drawn.items() if value is not None}
        if isinstance(trips, list):
            if drawn:
                raise ScenarioError(
                    f"{self.path} lists its trips; leave out their number, seed and length, or give trips as well"
                )
            return self._listed_trips(network, trips, self.horizon_s(given.horizon_s))
        if network is None:
            return None
        if isinstance(trips, str):
            trips = {**({"num_agents": len(said)} if isinstance(said, list) else dict(said)), "draw": trips}
        return self.attempt("trips", lambda: _draw(network, {**trips, **drawn}))

    def _listed_trips(
        self, network: RoadNetwork | None, rows: list[dict[str, Any]], horizon_s: float
    ) -> tuple[Trip, ...]:
        """The trips of those rows that have no mistake; none without a network."""
        trips, names = [], set[AgentID]()
        for row, given in enumerate(rows):
            where, before = f"trips[{row}]", len(self.problems)
            self._check_fields(f"{where}: ", given, _TRIP, ("origin_edge", "destination"))
            if len(self.problems) > before:
                continue
            agent = given.get("agent", f"vehicle_{row}")
            self.attempt(where, partial(check_agent, agent, names))
            names.add(agent)
            if network is not None:
                trips.append(self.attempt(where, partial(_trip_of, network, agent, given, horizon_s)))
        return tuple(trip for trip in trips if trip is not None)

    def raise_problems(self) -> None:
        if not self.problems:
            return
        if len(self.problems) == 1:
            raise ScenarioError(f"{self.path}: {self.problems[0]}")
        raise ScenarioError("\n  ".join([f"{self.path} has {len(self.problems)} mistakes:", *self.problems]))

    def _parse(self) -> dict[str, Any]:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8-sig"), object_pairs_hook=self._without_doubles)
            json.dumps(content, ensure_ascii=False).encode()  # JSON can spell characters that no file can hold
        except FileNotFoundError:
            raise ScenarioError(f"no such scenario file: {self.path}") from None
        except OSError as error:
            raise ScenarioError(f"{self.path} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ScenarioError(f"{self.path} is not a text file; save it as UTF-8") from error
        except json.JSONDecodeError as error:
            raise ScenarioError(
                f"{self.path}, line {error.lineno}, column {error.colno}: not JSON ({error.msg}); look for a missing "
                "or superfluous comma or quotation mark"
            ) from error
        except (ValueError, RecursionError) as error:
            raise ScenarioError(f"{self.path} is no scenario ({error})") from error
        if not isinstance(content, dict):
            raise ScenarioError(f"{self.path} must hold one JSON object, in braces")
        return content

    def _without_doubles(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        self.problems += [f"{key!r} appears twice; remove one" for key in dict.fromkeys(keys) if keys.count(key) > 1]
        return dict(pairs)

    def _check_fields(
        self, where: str, value: Any, known: Mapping[str, tuple[type, ...]], required: tuple[str, ...]
    ) -> set[str]:
        """The keys whose values have the right form; mistakes are added to the problems."""
        if not isinstance(value, dict):
            self.problems.append(f"{where}must be an object with {', '.join(known)}, not {json.dumps(value)}")
            return set()
        sound = set()
        for key in value.keys() - known.keys():
            guess = hint(key, known) or f"known are {', '.join(known)}"
            self.problems.append(f"{where}unknown key {key!r}; {guess}")
        self.problems += [f"{where}{key!r} is missing" for key in required if key not in value]
        for key, kinds in known.items():
            # A JSON true is an int to Python.
            if key in value and (not isinstance(value[key], kinds) or isinstance(value[key], bool)):
                wanted = " or ".join(_WORDS[kind] for kind in kinds if kind is not int or float not in kinds)
                self.problems.append(f"{where}{key!r} must be {wanted}, not {json.dumps(value[key])}")
            elif isinstance(value.get(key), int | float) and not is_finite(value[key]):
                self.problems.append(f"{where}{key!r} must be a finite number")
            elif key in value:
                sound.add(key)
        return sound


def _network_of(path: Path, content: dict[str, Any]) -> str | Path:
    name = content["network"]
    return name if name in BUILT_IN_NETWORKS or not Path(name).suffix else path.parent / name


def _demand_of(path: Path, content: dict[str, Any]) -> Demand:
    given = content.get("demand", "moderate")
    if isinstance(given, str):
        return resolve_demand(path.parent / given if given.endswith(".xml") else given)
    fields = {**given, "route_file": path.parent / given["route_file"]} if "route_file" in given else given
    return demand_of(fields)


def _trip_of(network: RoadNetwork, agent: AgentID, given: dict[str, Any], horizon_s: float) -> Trip:
    edge = _index("edge", network.edge_index, f"{agent}: origin_edge", given["origin_edge"], network)
    end = _index("junction", network.junction_index, f"{agent}: destination", given["destination"], network)
    trip = Trip(agent, int(network.edge_from[edge]), end, edge, float(given.get("depart_s", 0.0)))
    check_trip(network, trip, horizon_s)
    return trip


def _index(kind: str, rows: dict[str, int], what: str, name: str, network: RoadNetwork) -> int:
    if name not in rows:
        kinds = {element.tag for element in xml_elements(network.net_file) if element.get("id") == name}
        if kind in kinds and not name.startswith(":"):
            raise ScenarioError(f"{what} {name!r} is cut off from the other roads of {network.name}; choose another")
        if kinds:
            raise ScenarioError(f"{what} {name!r} is the id of something else in {network.name}: <{min(kinds)}>")
        guess = hint(name, rows) or "look them up in its .net.xml file"
        raise ScenarioError(f"{what} {name!r} is not in {network.name}; {guess}")
    return rows[name]


def _draw(network: RoadNetwork, how: dict[str, Any]) -> tuple[Trip, ...]:
    count, seed = how.get("num_agents", DEFAULT_NUM_AGENTS), how.get("seed", 0)
    if seed < 0:
        raise ScenarioError(f"seed must be 0 or more, not {seed}")
    return draw_pattern(how["draw"], network, count, how.get("length_m"), seed)
