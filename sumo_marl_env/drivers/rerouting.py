"""Agents as ordinary vehicles with SUMO's rerouting device, measured like an episode of `RoutingEnv`."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sumo_marl_env.drivers.sumo_inputs import write_traffic, write_zones
from sumo_marl_env.episode import AgentTrajectory, Episode
from sumo_marl_env.maps.network import RoadNetwork
from sumo_marl_env.progress import earned
from sumo_marl_env.recording import rewards_of_decisions
from sumo_marl_env.rewards import Reward
from sumo_marl_env.routing_env import RoutingEnv
from sumo_marl_env.scenarios.scenario import Scenario
from sumo_marl_env.simulation.steering import STUCK_S
from sumo_marl_env.simulation.sumo import TIME_TO_TELEPORT_S
from sumo_marl_env.simulation.sumo_options import further_options
from sumo_marl_env.sumo_programs import read_output, run_program, sumo_home
from sumo_marl_env.types import Exit, Trip, checked_seed

PERIOD_S = 60
"""How often a vehicle looks for a faster route. SUMO's own averages over the last 180 s are what it looks at."""

CLOCK_S = 1.0
"""SUMO dates what happens by the beginning of its step, and the env notices it when the step is done."""


class ReroutingDevice:
    """Runs a whole episode in SUMO, in which each agent has a rerouting device.

    The network, the background vehicles, the seeds and the options of SUMO are those of the env, and unfinished trips
    count in the same way. The vehicles are SUMO's own from the first second to the last: nothing of the env is between
    them and the device.
    """

    def run_episode(self, env: RoutingEnv, seed: int) -> Episode:
        """The episode with this seed; `env` gives the scenario and the reward, and is not stepped.

        Decisions are the edges that a vehicle entered. They carry no observations: the arrays have no columns.

        Raises:
            RoutingError: if the seed is no whole number of 0 or more.
            SimulatorError: if SUMO fails.
        """
        scenario, seed = env.scenario, checked_seed(seed)
        with tempfile.TemporaryDirectory(prefix="sumo_marl_env_") as name:
            folder = Path(name)
            write_traffic(folder / "traffic.rou.xml", scenario, scenario.background(seed), agents="rerouting")
            write_zones(folder / "zones.add.xml", scenario)
            messages = run_program(_command(scenario, seed, folder, env.options.sumo_options), Path.cwd())
            drives = _drives(folder, scenario, messages)
        return _episode(scenario, seed, drives, env.reward)


@dataclass(frozen=True)
class _Drive:
    """What one agent's vehicle did.

    Attributes:
        trip: its task.
        route: edge indices; those it entered and, if it did not arrive, those that it had planned; its origin edge
            alone if it was never inserted.
        departed_s: when SUMO inserted it; None if it never did.
        entered_s: when the env would notice that it entered each of the first edges.
        is_seen: whether it was still on each of these at the end of that second, when the env looks.
        exit: why it left.
        end_s: when it left.
    """

    trip: Trip
    route: tuple[int, ...]
    departed_s: float | None
    entered_s: tuple[float, ...]
    is_seen: tuple[bool, ...]
    exit: Exit
    end_s: float

    @property
    def noticed_s(self) -> float:
        """When the env would notice that it left."""
        return self.end_s + CLOCK_S if self.exit == Exit.ARRIVED else self.end_s


def _command(scenario: Scenario, seed: int, folder: Path, sumo_options: Sequence[str]) -> list[str | Path]:
    """Files are named in full, because SUMO runs where the env does: its options may name files, too."""
    files = [str(folder / "traffic.rou.xml")]
    if scenario.demand.route_file is not None:
        files.insert(0, str(scenario.demand.route_file))
    own: list[str | Path] = [
        *("--net-file", scenario.network.net_file.resolve(), "--route-files", ",".join(files), "--route-steps", "0"),
        *("--seed", str(seed % 2**31), "--end", str(int(np.ceil(scenario.horizon_s)))),
        *("--time-to-teleport", str(TIME_TO_TELEPORT_S), "--xml-validation", "never", "--no-step-log"),
        *("--device.rerouting.period", str(PERIOD_S), "--device.rerouting.with-taz"),
        *("--tripinfo-output", folder / "trips.xml", "--tripinfo-output.write-unfinished"),
        *("--tripinfo-output.write-undeparted", "--duration-log.disable"),
        *("--vehroute-output", folder / "routes.xml", "--vehroute-output.exit-times", "--vehroute-output.last-route"),
        *("--vehroute-output.write-unfinished", "--vehroute-output.internal"),
    ]
    others, additional = further_options(sumo_options, [str(option) for option in own])
    zones = ",".join([str(folder / "zones.add.xml"), *additional])
    return [sumo_home() / "bin" / "sumo", *own, "--additional-files", zones, *others]


def _drives(folder: Path, scenario: Scenario, messages: str) -> list[_Drive]:
    """Read SUMO's outputs. A teleported agent ended where the jam did not: the env takes it out there, too."""
    trips = {element.attrib["id"]: element.attrib for element in read_output(folder / "trips.xml").iter("tripinfo")}
    routes = {}
    for element in read_output(folder / "routes.xml").iter("vehicle"):
        route = element.find("route")
        if route is not None:
            left_s = [float(time) for time in route.attrib["exitTimes"].split()]
            # Also of the ways inside junctions: a road is entered when the one before is left.
            entries = zip(route.attrib["edges"].split(), [0.0, *left_s], left_s, strict=False)
            routes[element.attrib["id"]] = [entry for entry in entries if entry[0][0] != ":"]
    teleported_s = teleport_times(messages)
    return [
        _drive(scenario, trip, trips.get(trip.agent, {}), routes.get(trip.agent), teleported_s.get(trip.agent))
        for trip in scenario.trips
    ]


def teleport_times(messages: str) -> dict[str, float]:
    """The end of the second in which each vehicle was first teleported, from SUMO's messages."""
    teleports = re.findall(r"Teleporting vehicle '([^']+)';.* time=(\d+(?:\.\d+)?)", messages)
    return {vehicle: float(time) + CLOCK_S for vehicle, time in reversed(teleports)}


def _drive(
    scenario: Scenario,
    trip: Trip,
    trip_info: dict[str, str],
    route: list[tuple[str, float, float]] | None,
    teleported_s: float | None,
) -> _Drive:
    # The env steps by whole seconds.
    horizon_s = float(np.ceil(scenario.horizon_s))
    departed_s, arrived_s = float(trip_info.get("depart", -1.0)), float(trip_info.get("arrival", -1.0))
    if departed_s < 0.0 or route is None:
        return _Drive(trip, (trip.origin_edge,), None, (), (), Exit.NOT_INSERTED, horizon_s)
    entered_s = [departed_s, *(time_s for _, time_s, _ in route[1:])]
    driven = [k for k, time_s in enumerate(entered_s) if time_s >= 0.0]
    end_s, exit = horizon_s, Exit.HORIZON
    if teleported_s is not None:
        end_s, exit = teleported_s, Exit.TELEPORTED
        # SUMO puts it on its next edge in the same second.
        driven = [k for k in driven if entered_s[k] + CLOCK_S < teleported_s]
    elif arrived_s >= 0.0:
        end_s, exit = arrived_s, Exit.ARRIVED
    elif horizon_s - (entered_s[driven[-1]] + CLOCK_S) >= STUCK_S:
        exit = Exit.STUCK
    index = scenario.network.edge_index
    return _Drive(
        trip,
        tuple(index[edge] for edge, _, _ in route),
        departed_s,
        tuple(entered_s[k] + CLOCK_S for k in driven),
        tuple(route[k][2] != entered_s[k] for k in driven),
        exit,
        min(end_s, horizon_s),
    )


def _episode(scenario: Scenario, seed: int, drives: list[_Drive], reward: Reward) -> Episode:
    """Rewards step by step: as in the env a step ends when an agent has something to decide, or with the episode."""
    network = scenario.network
    end_s = max(d.noticed_s for d in drives)
    decided = [_decided(network, drive, end_s) for drive in drives]
    decisions_s = sorted({drive.entered_s[k] for drive, edges in zip(drives, decided, strict=True) for k in edges})
    # The first step begins with the episode.
    times_s = np.array([*decisions_s[1:], end_s])
    begins_s = np.concatenate([[0.0], times_s[:-1]])
    departs_s = np.array([d.trip.depart_s for d in drives])
    ends_s = np.array([d.end_s for d in drives])
    elapsed_s = np.clip(times_s[:, None], departs_s, ends_s) - np.clip(begins_s[:, None], departs_s, ends_s)
    approach_m = np.zeros_like(elapsed_s)
    arrived = np.zeros(elapsed_s.shape, bool)
    for agent, drive in enumerate(drives):
        rows = np.searchsorted(times_s, [*drive.entered_s, drive.noticed_s])
        distances_m = [
            network.distance_m(int(network.edge_from[edge]), drive.trip.destination)
            for edge in drive.route[: len(drive.entered_s)]
        ]
        is_arrival = drive.exit == Exit.ARRIVED
        arrived[rows[-1], agent] = is_arrival
        if distances_m:
            distances_m.append(0.0 if is_arrival else distances_m[-1])
            np.add.at(approach_m[:, agent], rows[1:], -np.diff(distances_m))
    is_live = begins_s[:, None] < np.array([d.noticed_s for d in drives])
    steps = zip(elapsed_s, approach_m, arrived, is_live, strict=True)
    rewards = np.array([earned(reward, *step) for step in steps], np.float32)
    return Episode(
        scenario=scenario.name,
        seed=seed,
        trajectories=tuple(
            _trajectory(network, drive, decided[agent], rewards[:, agent], times_s)
            for agent, drive in enumerate(drives)
        ),
        rewards=rewards,
        times_s=times_s,
    )


def _decided(network: RoadNetwork, drive: _Drive, end_s: float) -> list[int]:
    """On which of the edges that it entered the agent had something to decide.

    Not on one that ends at its destination, nor on one so short that it is left in the second in which it was entered,
    and at the end of the episode nobody has.
    """
    return [
        k
        for k, (edge, entered_s, is_seen) in enumerate(zip(drive.route, drive.entered_s, drive.is_seen, strict=False))
        if network.edge_to[edge] != drive.trip.destination and entered_s < end_s and is_seen
    ]


def _trajectory(
    network: RoadNetwork,
    drive: _Drive,
    decided: list[int],
    rewards: NDArray[np.float32],
    times_s: NDArray[np.float64],
) -> AgentTrajectory:
    entered = drive.route[: len(drive.entered_s)]
    decided_s = [drive.entered_s[k] for k in decided]
    # The decision at a time belongs to the step that begins then.
    steps = np.searchsorted(times_s, decided_s, side="right").astype(np.int32)
    passed = [drive.trip.origin, *(int(network.edge_from[edge]) for edge in entered[1:])]
    if drive.exit == Exit.ARRIVED:
        passed.append(drive.trip.destination)
    return AgentTrajectory(
        trip=drive.trip,
        observations=np.zeros((len(decided), 0), np.float32),
        action_masks=network.action_masks[[entered[k] for k in decided]],
        actions=np.array([network.slot(drive.route[k], drive.route[k + 1]) for k in decided]),
        rewards=rewards_of_decisions(rewards, steps),
        decision_steps=steps,
        decision_times_s=np.array(decided_s),
        junctions=np.array(passed),
        exit=drive.exit,
        travel_time_s=max(0.0, drive.end_s - drive.trip.depart_s),
        # As in the env, an agent that waits for room is on its first edge already.
        edges=np.array(entered or drive.route[:1]),
        departed_s=drive.departed_s,
        decision_edges=np.array(decided),
    )
