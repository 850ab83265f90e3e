"""Does traffic flow, and does the environment lose a vehicle? `python benchmarks/random_policy.py gridtown city.osm`.

Agents drive at random, by their masks, which brings them to every awkward corner of a map. Whoever the table counts
as stuck, lost, teleported or failed shows a fault of the network, of the traffic, or of the steering. Background
vehicles that SUMO teleports are no agents, but they tell of jams that do not dissolve.

A map is a built-in town, or an .osm or .net.xml file; `map.osm@WEST,SOUTH,EAST,NORTH` takes a part of an .osm file.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

import sumo_marl_env
from sumo_marl_env import BoundingBox, RoadNetwork, Scenario, load_network, make_scenario
from sumo_marl_env.drivers.yardsticks import run_yardstick, summary

MAPS = ("gridtown", "harbourtown")
DEMANDS = ("moderate", "congested")


@dataclass(frozen=True)
class Row:
    """What happened on one map with one demand.

    Attributes:
        map: name of the network.
        demand: name of the demand.
        episodes: number of episodes.
        arrived: share of the agents that arrived.
        stuck: agents that did not move on for 300 s at the horizon, or never found room to start.
        lost: agents that left anywhere else than at their destination.
        teleported: agents that SUMO took out of a jam.
        failed: agents whose episode SUMO cut short by dying.
        background_teleports: other vehicles that SUMO took out of a jam and put down elsewhere.
        vehicles: mean number of vehicles at the end of an episode.
        speed_mps: their mean speed, over the whole episode.
        end_speed_mps: their mean speed in the last fifth of the episode. Less than half of the former is a gridlock.
    """

    map: str
    demand: str
    episodes: int
    arrived: float
    stuck: int
    lost: int
    teleported: int
    failed: int
    background_teleports: int
    vehicles: float
    speed_mps: float
    end_speed_mps: float

    @property
    def is_clean(self) -> bool:
        return not (self.stuck or self.lost or self.teleported or self.failed)


def network_of(name: str) -> RoadNetwork:
    path, _, box = name.partition("@")
    return load_network(path, bbox=BoundingBox.parse(box) if box else None)


def measure(scenario: Scenario, seeds: list[int]) -> Row:
    """One episode of random drivers per seed."""
    episodes, teleports, vehicles, speeds, end_speeds = [], 0, [], [], []
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "summary.xml"
        env = sumo_marl_env.RoutingEnv(scenario, sumo_options=("--summary-output", str(output)))
        for seed in seeds:
            episodes += run_yardstick(env, "random", [seed])
            # SUMO completes its outputs when it ends.
            env.close()
            steps = [step.attrib for step in ElementTree.parse(output).iter("step")]
            speed = np.array([float(step["meanSpeed"]) for step in steps])
            teleports += int(steps[-1]["teleports"])
            vehicles.append(int(steps[-1]["running"]))
            speeds.append(speed.mean())
            end_speeds.append(speed[-len(speed) // 5 :].mean())
    figures = summary(episodes)
    return Row(
        map=scenario.network.name,
        demand=scenario.demand.name,
        episodes=len(episodes),
        arrived=round(figures["arrival_rate"], 3),
        stuck=figures["stuck"],
        lost=figures["lost"],
        teleported=figures["teleported"],
        failed=figures["simulator_failed"],
        background_teleports=teleports - figures["teleported"],
        vehicles=round(float(np.mean(vehicles)), 1),
        speed_mps=round(float(np.mean(speeds)), 2),
        end_speed_mps=round(float(np.mean(end_speeds)), 2),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Random drivers: is anybody stuck, lost or teleported?")
    parser.add_argument("maps", nargs="*", default=MAPS, help="towns, .osm or .net.xml files (default: both towns)")
    parser.add_argument("--demand", nargs="+", default=DEMANDS, help="moderate and congested by default")
    parser.add_argument("--episodes", type=int, default=10, help="episodes per map and demand (default 10)")
    parser.add_argument("--first-seed", type=int, default=0, help="seed of the first episode (default 0)")
    parser.add_argument("--agents", type=int, default=10, help="number of agents (default 10)")
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    arguments = parser.parse_args()
    rows = []
    if not arguments.json:
        print(
            "map                  demand     episodes arrived stuck lost teleported failed background "
            "vehicles  m/s at end"
        )
    for name in arguments.maps:
        network = network_of(name)
        for demand in arguments.demand:
            scenario = make_scenario(network=network, demand=demand, num_agents=arguments.agents)
            row = measure(scenario, list(range(arguments.first_seed, arguments.first_seed + arguments.episodes)))
            rows.append(row)
            if not arguments.json:
                print(
                    f"{row.map[:20]:20s} {row.demand:10s} {row.episodes:8d} {row.arrived:7.1%} {row.stuck:5d} "
                    f"{row.lost:4d} {row.teleported:10d} {row.failed:6d} {row.background_teleports:10d} "
                    f"{row.vehicles:8.0f} {row.speed_mps:4.1f} {row.end_speed_mps:6.1f}",
                    flush=True,
                )
    if arguments.json:
        print(json.dumps({"rows": [asdict(row) for row in rows]}))
    sys.exit(0 if all(row.is_clean for row in rows) else 1)


if __name__ == "__main__":
    main()
