"""Traffic routing for multi-agent reinforcement learning: vehicles that choose their next road, simulated in SUMO.

    import sumo_marl_env
    env = sumo_marl_env.parallel_env(scenario="gridtown", demand="moderate", num_agents=10)

Importing starts nothing.
"""

from __future__ import annotations

from sumo_marl_env import sumo_routing_v0
from sumo_marl_env.commands.doctor import Check
from sumo_marl_env.config import EnvConfig, EnvOptions, RenderMode, ScenarioConfig
from sumo_marl_env.drivers.yardsticks import (
    QUICK_YARDSTICKS,
    YARDSTICKS,
    Driver,
    Progress,
    run_yardstick,
    summary,
    yardstick_names,
)
from sumo_marl_env.episode import AgentTrajectory, Episode
from sumo_marl_env.errors import (
    ConfigError,
    EpisodeError,
    FetchError,
    NetworkError,
    NoRouteError,
    RoutingError,
    ScenarioError,
    SimulatorError,
    UnknownJunctionError,
)
from sumo_marl_env.instructions import MOVE_FUNCTIONS, Instruction, Plan, is_reached, next_action
from sumo_marl_env.maps.bounding_box import BoundingBox
from sumo_marl_env.maps.graphs import Graph
from sumo_marl_env.maps.network import RoadNetwork
from sumo_marl_env.maps.osm import import_osm, load_network
from sumo_marl_env.maps.paths import ShortestPaths, shortest_paths
from sumo_marl_env.navigation import NavigationFunctions, Navigator
from sumo_marl_env.numeric_infos import NumericInfos, numeric_infos
from sumo_marl_env.observations import OBSERVATIONS, FeatureObservation, Observation, PaperObservation
from sumo_marl_env.pictures.replay import recorded_scenario
from sumo_marl_env.rewards import REWARDS, PaperReward, Reward
from sumo_marl_env.routing_env import RoutingEnv
from sumo_marl_env.scenarios.demand import DEMANDS, Demand
from sumo_marl_env.scenarios.scenario import HORIZON_S, SCENARIOS, Scenario, make_scenario
from sumo_marl_env.scenarios.trips import TRIP_PATTERNS
from sumo_marl_env.sumo_routing_v0 import env, parallel_env, raw_env
from sumo_marl_env.types import AgentID, Backend, Exit, NodeID, Trip
from sumo_marl_env.wrappers import FixedTeam, to_fixed_team

__version__ = "0.1.0"

__all__ = [
    "DEMANDS",
    "HORIZON_S",
    "MOVE_FUNCTIONS",
    "OBSERVATIONS",
    "QUICK_YARDSTICKS",
    "REWARDS",
    "SCENARIOS",
    "TRIP_PATTERNS",
    "YARDSTICKS",
    "AgentID",
    "AgentTrajectory",
    "Backend",
    "BoundingBox",
    "Check",
    "ConfigError",
    "Demand",
    "Driver",
    "EnvConfig",
    "EnvOptions",
    "Episode",
    "EpisodeError",
    "Exit",
    "FeatureObservation",
    "FetchError",
    "FixedTeam",
    "Graph",
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
    "RenderMode",
    "Reward",
    "RoadNetwork",
    "RoutingEnv",
    "RoutingError",
    "Scenario",
    "ScenarioConfig",
    "ScenarioError",
    "ShortestPaths",
    "SimulatorError",
    "Trip",
    "UnknownJunctionError",
    "env",
    "import_osm",
    "is_reached",
    "load_network",
    "make_scenario",
    "next_action",
    "numeric_infos",
    "parallel_env",
    "raw_env",
    "recorded_scenario",
    "run_yardstick",
    "shortest_paths",
    "summary",
    "sumo_routing_v0",
    "to_fixed_team",
    "yardstick_names",
]
