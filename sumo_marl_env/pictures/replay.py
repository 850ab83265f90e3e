"""An episode simulated again from its record, this time with the position of every vehicle in every second.

A record (`Episode`) holds the agents' decisions and no positions. An episode follows from its scenario, its seed and
these decisions, so all the rest comes back by simulating it again; whether it did is checked against the record.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from sumo_marl_env.episode import AgentTrajectory, Episode
from sumo_marl_env.errors import EpisodeError, RoutingError
from sumo_marl_env.routing_env import RoutingEnv
from sumo_marl_env.scenarios.scenario import Scenario, make_scenario
from sumo_marl_env.simulation.sumo_options import repeated_options
from sumo_marl_env.sumo_programs import incomplete
from sumo_marl_env.types import Exit

LONGEST_STEP_M = 100.0
"""No vehicle drives this far in a second: one that is seen farther off has been put there by a teleport."""

_COMPARED = ("decision_times_s", "actions", "edges")

Progress = Callable[[float], None]
"""Called with the simulated time after each environment step."""


@dataclass(frozen=True, eq=False)
class Track:
    """A vehicle's way without gaps; one that was teleported has several.

    Attributes:
        vehicle: SUMO's name; agents go by their agent id.
        begin_s: time of the first position; one more follows each second.
        xy_m: (k, 2) float64, metres.
    """

    vehicle: str
    begin_s: int
    xy_m: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Replay:
    """An episode with what its record leaves out.

    Attributes:
        scenario: where it took place.
        episode: the record.
        tracks: of agents and background vehicles.
        differences: how the second simulation differs from the record, in words; none if it is the same episode.
    """

    scenario: Scenario
    episode: Episode
    tracks: tuple[Track, ...]
    differences: tuple[str, ...]


def recorded_scenario(episode: Episode, network: Path | None = None, demand: str | None = None) -> Scenario:
    """The scenario that an episode carries.

    Args:
        episode: the record.
        network: its .osm or .net.xml file, if that is not where it was.
        demand: its traffic, if the route file of that is not where it was.

    Raises:
        EpisodeError: if it carries none, or a file that it names has gone or changed.
    """
    if not episode.scenario_json:
        raise EpisodeError(
            f"this record of an episode in {episode.scenario!r} does not hold its scenario: it was not driven by "
            "RoutingEnv, or was saved by the first release. Name its --scenario, and its --demand if not moderate."
        )
    with tempfile.TemporaryDirectory(prefix="sumo_marl_env_") as folder:
        file = Path(folder) / "recorded.json"
        try:
            text, demand = _moved(episode.scenario_json, demand)
        except (ValueError, KeyError, TypeError) as error:
            raise EpisodeError(f"the scenario in this record is damaged ({error!r}); name its --scenario") from error
        file.write_text(text, encoding="utf-8")
        try:
            return make_scenario(file, demand, network=network)
        except RoutingError as error:
            reason = str(error).replace(f"{file}: ", "").replace(str(file), "the record")
            raise EpisodeError(
                f"the scenario of this episode is not as it was: {reason.rstrip('.')}. Bring its files back; "
                "`sumo-marl replay` can be told where they are now, by --network and --demand."
            ) from error


def _moved(scenario_json: str, demand: str | None) -> tuple[str, str | None]:
    """The scenario with its route file elsewhere, if `demand` is one, and the demand that still replaces its own."""
    content = json.loads(scenario_json)
    recorded = content["demand"]
    if demand is None or not demand.endswith(".xml") or not isinstance(recorded, dict) or "route_file" not in recorded:
        return scenario_json, demand
    # What else the traffic consists of stays.
    recorded["route_file"] = str(Path(demand).absolute())
    return json.dumps(content), None


def simulate_again(episode: Episode, scenario: Scenario, progress: Progress | None = None) -> Replay:
    """Simulate a recorded episode with its seed and decisions.

    Args:
        episode: what was recorded.
        scenario: where; its trips are those of the episode.
        progress: told after each environment step.

    Raises:
        EpisodeError: if it is the record of another scenario, or of nothing.
        SimulatorError: if SUMO fails.
    """
    if scenario.trips != tuple(trajectory.trip for trajectory in episode):
        raise EpisodeError(f"the agents' trips in {scenario.name!r} are not those of the episode; name its --scenario")
    if not len(episode.times_s):
        raise EpisodeError(f"there is nothing to see in this episode in {episode.scenario!r}: it ended before a step")
    with tempfile.TemporaryDirectory(prefix="sumo_marl_env_") as folder:
        output = Path(folder) / "positions.xml"
        options = ("--fcd-output", str(output), "--fcd-output.attributes", "x,y", "--device.fcd.period", "1")
        env = RoutingEnv(scenario, sumo_options=(*options, *repeated_options(episode.sumo_options, options)))
        try:
            again = _drive(env, episode, progress)
        finally:
            # SUMO completes the file.
            env.close()
        try:
            tracks = tuple(_tracks(output))
        except ElementTree.ParseError as error:
            raise incomplete(output, error) from error
    return Replay(scenario, episode, tracks, tuple(_differences(episode, again)))


def _drive(env: RoutingEnv, episode: Episode, progress: Progress | None) -> Episode:
    """Give each agent its decisions in turn, for as long as the record lasts; it may end in mid-episode."""
    decisions = {t.agent: iter(t.chosen_actions.tolist()) for t in episode}
    # The step in which SUMO died did not happen.
    times_s = episode.times_s[:-1] if episode.count(Exit.SIMULATOR_FAILED) else episode.times_s
    env.begin(episode.seed)
    while env.agents and len(times_s) and env.time_s < times_s[-1]:
        # In other traffic an agent may get farther than it did: it then goes anywhere, and the difference is reported.
        env.advance({agent: action for agent in env.deciders if (action := next(decisions[agent], None)) is not None})
        if progress is not None:
            progress(env.time_s)
    return env.episode()


def _differences(recorded: Episode, again: Episode) -> Iterator[str]:
    for then, now in zip(recorded, again, strict=True):
        if then.exit == Exit.SIMULATOR_FAILED:
            continue
        if _end(then) != _end(now):
            yield f"{then.agent}: {_end(now)}, in the record {_end(then)}"
        elif any(not np.array_equal(getattr(then, name), getattr(now, name)) for name in _COMPARED):
            yield f"{then.agent}: took another way"


def _end(trajectory: AgentTrajectory) -> str:
    return f"{trajectory.exit} after {trajectory.travel_time_s:g} s"


def _tracks(output: Path) -> Iterator[Track]:
    """Read SUMO's floating car data. SUMO dates a step by its beginning and the env by its end."""
    under_way: dict[str, tuple[int, list[tuple[float, float]]]] = {}
    time_s = 0
    for _, element in ElementTree.iterparse(output):
        if element.tag != "timestep":
            continue
        time_s = round(float(element.attrib["time"])) + 1
        for seen in element:
            vehicle, xy = seen.attrib["id"], (float(seen.attrib["x"]), float(seen.attrib["y"]))
            begin_s, way = under_way.get(vehicle, (time_s, []))
            if way and (begin_s + len(way) < time_s or math.dist(xy, way[-1]) > LONGEST_STEP_M):
                yield Track(vehicle, begin_s, np.array(way))
                begin_s, way = time_s, []
            way.append(xy)
            under_way[vehicle] = begin_s, way
        element.clear()
    for vehicle, (begin_s, way) in under_way.items():
        yield Track(vehicle, begin_s, np.array(way))
