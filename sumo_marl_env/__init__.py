"""Traffic routing for multi-agent reinforcement learning: vehicles that choose their next road, simulated in SUMO.

    import sumo_marl_env
    env = sumo_marl_env.parallel_env(scenario="gridtown", demand="moderate", num_agents=10)

Importing starts nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sumo_marl_env.bounding_box import BoundingBox
from sumo_marl_env.demand import DEMANDS, Demand
from sumo_marl_env.episode import AgentTrajectory, Episode
from sumo_marl_env.errors import (
    FetchError,
    NetworkError,
    NoRouteError,
    RoutingError,
    ScenarioError,
    SimulatorError,
    UnknownJunctionError,
)
from sumo_marl_env.instructions import MOVE_FUNCTIONS, Instruction, Plan, is_reached, next_action
from sumo_marl_env.navigation import NavigationFunctions, Navigator
from sumo_marl_env.network import RoadNetwork
from sumo_marl_env.numeric_infos import NumericInfos, numeric_infos
from sumo_marl_env.observations import Observation, PaperObservation
from sumo_marl_env.osm import import_osm, load_network
from sumo_marl_env.paths import ShortestPaths, shortest_paths
from sumo_marl_env.rewards import PaperReward, Reward
from sumo_marl_env.routing_env import RoutingEnv
from sumo_marl_env.scenario import HORIZON_S, SCENARIOS, Scenario, make_scenario
from sumo_marl_env.sumo import Backend
from sumo_marl_env.trips import TRIP_PATTERNS
from sumo_marl_env.types import AgentID, Exit, NodeID, Trip
from sumo_marl_env.wrappers import FixedTeam, to_fixed_team
from sumo_marl_env.yardsticks import QUICK_YARDSTICKS, YARDSTICKS, Driver, Progress, run_yardstick, summary

__version__ = "0.1.0"

__all__ = [
    "DEMANDS",
    "HORIZON_S",
    "MOVE_FUNCTIONS",
    "QUICK_YARDSTICKS",
    "SCENARIOS",
    "TRIP_PATTERNS",
    "YARDSTICKS",
    "AgentID",
    "AgentTrajectory",
    "BoundingBox",
    "Demand",
    "Driver",
    "Episode",
    "Exit",
    "FetchError",
    "FixedTeam",
    "Instruction",
    "NavigationFunctions",
    "Navigator",
    "NetworkError",
    "NoRouteError",
    "NodeID",
    "NumericInfos",
    "Observation",
    "PaperObservation",
    "PaperReward",
    "Plan",
    "Progress",
    "Reward",
    "RoadNetwork",
    "RoutingEnv",
    "RoutingError",
    "Scenario",
    "ScenarioError",
    "ShortestPaths",
    "SimulatorError",
    "Trip",
    "UnknownJunctionError",
    "import_osm",
    "is_reached",
    "load_network",
    "make_scenario",
    "next_action",
    "numeric_infos",
    "parallel_env",
    "run_yardstick",
    "shortest_paths",
    "summary",
    "to_fixed_team",
]


def parallel_env(
    scenario: str | Path = "gridtown",
    demand: str | Path | Demand | None = None,
    num_agents: int | None = None,
    *,
    network: RoadNetwork | Path | str | None = None,
    horizon_s: float | None = None,
    trips_seed: int | None = None,
    trip_length_m: float | None = None,
    trips: tuple[Trip, ...] | str | None = None,
    observation: Observation | None = None,
    reward: Reward | None = None,
    smoothing_s: float = 60.0,
    strict: bool = False,
    backend: Backend = "libsumo",
    isolate: bool | None = None,
    sumo_options: Sequence[str] = (),
) -> RoutingEnv:
    """Make a routing environment.

    The arguments up to `trips` are those of `make_scenario`, the others those of `RoutingEnv`; both raise
    `RoutingError`s that say what is wrong with a map, a demand or a trip.
    """
    built = make_scenario(
        scenario,
        demand,
        num_agents,
        network=network,
        horizon_s=horizon_s,
        trips_seed=trips_seed,
        trip_length_m=trip_length_m,
        trips=trips,
    )
    return RoutingEnv(
        built,
        observation=observation,
        reward=reward,
        smoothing_s=smoothing_s,
        strict=strict,
        backend=backend,
        isolate=isolate,
        sumo_options=sumo_options,
    )
