"""The decision process: agents, what they see, may do and earn, without the dicts of PettingZoo."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sumo_marl_env.actions import executed_slot
from sumo_marl_env.config import EnvOptions
from sumo_marl_env.episode import Episode
from sumo_marl_env.errors import ConfigError, RoutingError, SimulatorError
from sumo_marl_env.maps.paths import ShortestPaths
from sumo_marl_env.navigation import Navigator
from sumo_marl_env.observation_cache import ObservationCache
from sumo_marl_env.observations import chosen_observation
from sumo_marl_env.progress import TripProgress
from sumo_marl_env.recording import Decision, Recorder
from sumo_marl_env.rewards import chosen_reward
from sumo_marl_env.scenarios.scenario import Scenario
from sumo_marl_env.simulation.fleet import Fleet, Vehicle
from sumo_marl_env.simulation.isolated import IsolatedSteering
from sumo_marl_env.simulation.steering import Steering
from sumo_marl_env.simulation.sumo import SumoSimulator
from sumo_marl_env.simulation.sumo_options import repeated_options
from sumo_marl_env.types import AgentID, AgentIndex, Exit, checked_seed

_log = logging.getLogger(__name__)


class RoutingCore:
    """Agents, what they see and may do, what they earn, and the record of it.

    Args:
        scenario: network, trips, traffic, horizon.
        options: what agents see and earn, and how SUMO runs.

    Raises:
        ConfigError: if `scenario` is not a `Scenario`, or the observation or reward is not one.
    """

    def __init__(self, scenario: Scenario, options: EnvOptions) -> None:
        if not isinstance(scenario, Scenario):
            raise ConfigError(f"{scenario!r} is no Scenario; make one with make_scenario, or the env with parallel_env")
        self.scenario = scenario
        self.options = options
        self.network = scenario.network
        self.possible_agents: list[AgentID] = scenario.agents
        self.agents: list[AgentID] = []
        self._observation = chosen_observation(options.observation, scenario)
        self.reward = chosen_reward(options.reward, scenario)
        """What turns progress into rewards."""
        arguments = (self.network, scenario.trips, scenario.horizon_s, options.smoothing_s)
        isolated = IsolatedSteering(*arguments, options.backend, options.sumo_options)
        self._fall_back = isolated if options.isolate is None else None
        simulator = SumoSimulator(options.backend, options.sumo_options)
        self._repeated_options = repeated_options(options.sumo_options)
        self._steering: Fleet = isolated if options.isolate else Steering(simulator, *arguments)
        self._wall_before_s = 0.0
        self._index = AgentIndex((agent, index) for index, agent in enumerate(self.possible_agents))
        self._progress = TripProgress(scenario)
        self._observation_cache = ObservationCache(self._observation, len(self.possible_agents))
        self._committed_masks = np.eye(self.network.max_outgoing, dtype=np.int8)
        self._rng = np.random.default_rng()
        self._recorder: Recorder | None = None
        """Of the running or last episode; None before one began."""
        self._invalid: set[AgentID] = set()
        # Most agents see nothing new in most steps but the time.
        self._infos: dict[int, dict[str, Any]] = {}
        self._deciding: frozenset[int] = frozenset()
        self._speed_samples = -1
        self._live_paths: ShortestPaths | None = None

    def begin(self, seed: int | None = None) -> None:
        """`reset` without the dicts."""
        seed = self._next_seed(seed)
        self.agents, self._recorder = [], None
        self._steering.deciders = ()
        background = self.scenario.background(seed)
        self._speed_samples = -1
        self._progress.begin()
        self._invalid.clear()
        self._infos.clear()
        if self._fall_back and isinstance(self._steering, Steering) and not self._steering.simulator.claim():
            # It stays isolated: what made it so may come back.
            self._wall_before_s += self._steering.wall_s
            self._steering, self._fall_back = self._fall_back, None
        self._steering.reset(seed % 2**31, background, self.scenario.demand.route_file)
        observation_size = self._observation.space.shape[0]
        self._recorder = Recorder(self.scenario, seed, observation_size, self._repeated_options)
        with self._whole_step():
            self._refresh()
        self.agents = list(self.possible_agents)

    def advance(self, actions: Mapping[AgentID, int]) -> NDArray[np.float64]:
        """`step` without the dicts: returns the (n,) rewards of all agents, 0 for those that had left."""
        self._check_begun()
        if not self.agents:
            raise RoutingError("the episode is over; call reset")
        if not isinstance(actions, Mapping):
            raise RoutingError(f"actions are a dict of agents, not {actions!r}")
        self._index.check(actions)
        slots = {agent: self._executed_slot(agent, actions) for agent in self.deciders}
        outgoing = self.network.outgoing
        decisions, choices = [], {}
        for agent, slot in slots.items():
            vehicle, index = self._vehicle(agent), self._index[agent]
            decisions.append(
                Decision(index, self.observe(agent), slot, self._steering.time_s, edge=len(vehicle.edges) - 1)
            )
            self._infos.pop(index, None)
            choices[index] = outgoing[self.network.edge_to[vehicle.edge]][slot]
        try:
            self._steering.advance(choices)
        except SimulatorError as error:
            _log.warning("the episode ends at %d s: %s. A reset starts SUMO again.", self._steering.time_s, error)
            self._steering.abandon()
        with self._whole_step():
            self._refresh()
            return self._settle(decisions)

    def observe(self, agent: AgentID) -> dict[str, NDArray]:
        """What the agent sees now.

        Raises:
            RoutingError: before reset.
        """
        self._check_begun()
        index = self._index[agent]
        vehicle = self._steering.vehicles[index]
        return {
            "observation": self._observation_cache.of(index, vehicle),
            "action_mask": self._mask(index, vehicle),
        }

    def action_mask(self, agent: AgentID) -> NDArray[np.int8]:
        """(m_out,) int8; one entry if the agent has nothing to decide. Raises RoutingError before reset."""
        self._check_begun()
        return self._mask(self._index[agent], self._vehicle(agent))

    def info(self, agent: AgentID) -> dict[str, Any]:
        """As `reset` and `step` give it. Raises RoutingError before reset."""
        self._check_begun()
        index = self._index[agent]
        return self._new_info(index, self._steering.vehicles[index])

    def _mask(self, index: int, vehicle: Vehicle) -> NDArray[np.int8]:
        # Copies: torch writes into arrays of NumPy that are not writeable, too.
        if index in self._deciding:
            return self.network.action_masks[vehicle.edge].copy()
        return self._committed_masks[self._committed_slot(vehicle)].copy()

    def _new_info(self, index: int, vehicle: Vehicle) -> dict[str, Any]:
        """All of an agent's info, see `RoutingEnv`."""
        elapsed_s, exit = self._elapsed_s(vehicle), vehicle.exit
        return {
            "is_decider": index in self._deciding,
            "action_mask": self._mask(index, vehicle),
            "edge": self.network.edge_ids[vehicle.edge],
            "junction": int(self.network.edge_to[vehicle.edge]),
            "departed_s": vehicle.departed_s,
            "elapsed_s": elapsed_s,
            "travel_time_s": None if exit is None else elapsed_s,
            "exit": None if exit is None else str(exit),
            "executed_action": self._check_begun().last_action(index),
            "invalid_action": self.possible_agents[index] in self._invalid,
        }

    @property
    def deciders(self) -> tuple[AgentID, ...]:
        """Live agents that have a decision to make now."""
        return tuple(self.possible_agents[index] for index in self._steering.deciders)

    @property
    def time_s(self) -> float:
        """Simulated time."""
        return float(self._steering.time_s)

    @property
    def simulation_wall_s(self) -> float:
        """Wall-clock seconds spent inside SUMO since the env was made."""
        return self._wall_before_s + self._steering.wall_s

    @property
    def fleet(self) -> Fleet:
        """The agents' vehicles as they are now: to look at, not to drive."""
        return self._steering

    @property
    def edge_times_s(self) -> NDArray[np.float64]:
        """(E,) estimated travel times: length over smoothed speed, at least the free-flow time."""
        return np.maximum(self.network.edge_length_m / self._steering.edge_speeds_mps, self.network.free_flow_time_s)

    @property
    def live_paths(self) -> ShortestPaths:
        """Shortest paths by `edge_times_s`; the same object until these change."""
        if self._live_paths is None:
            self._live_paths = ShortestPaths(self.network, self.edge_times_s)
        return self._live_paths

    def current_edge(self, agent: AgentID) -> int:
        """Edge index on which the agent's vehicle is."""
        return self._vehicle(agent).edge

    def driven_edges(self, agent: AgentID) -> Sequence[int]:
        """Edge indices that the agent's vehicle has driven, from its origin edge to the one on which it is."""
        return self._vehicle(agent).edges

    def navigator(self, agent: AgentID) -> Navigator:
        """The navigation functions, as this agent sees them in the running episode."""
        return Navigator(self.network, self.scenario.trips[self._index[agent]], self)

    def episode(self) -> Episode:
        """Record of the current episode so far; complete once `agents` is empty.

        Raises:
            RoutingError: before the first reset.
        """
        return self._check_begun().episode(
            [(v, v.exit or Exit.UNDER_WAY, self._elapsed_s(v)) for v in self._steering.vehicles]
        )

    def close(self) -> None:
        """End the simulation. May be called twice; a reset begins anew. The record of the last episode stays."""
        self._steering.close()
        self._steering.deciders, self._deciding = (), frozenset()
        self.agents = []

    @contextlib.contextmanager
    def _whole_step(self) -> Iterator[None]:
        """What breaks off after SUMO has moved (an error in a reward, Ctrl-C) ends the episode: SUMO tells it once."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _next_seed(self, seed: int | None) -> int:
        """The seed of the next episode; a given one starts the sequence of those that are not given anew."""
        if seed is None:
            return int(self._rng.integers(2**31))
        seed = checked_seed(seed)
        self._rng = np.random.default_rng(seed)
        return seed

    def _check_begun(self) -> Recorder:
        """The record of the running or last episode."""
        if self._recorder is None:
            raise RoutingError("no episode yet: call reset")
        return self._recorder

    def _vehicle(self, agent: AgentID) -> Vehicle:
        return self._steering.vehicles[self._index[agent]]

    def _executed_slot(self, agent: AgentID, actions: Mapping[AgentID, int]) -> int:
        """The agent's action, or what replaces it."""
        mask = self.network.action_masks[self._vehicle(agent).edge]
        slot, is_as_given = executed_slot(agent, actions.get(agent), mask, strict=self.options.strict)
        if is_as_given:
            self._invalid.discard(agent)
        else:
            self._invalid.add(agent)
        return slot

    def _committed_slot(self, vehicle: Vehicle) -> int:
        """Slot of the edge that a vehicle with nothing to decide will take; any valid one on its last edge."""
        if vehicle.choice >= 0:
            return self.network.slot(vehicle.edge, vehicle.choice)
        if len(vehicle.route) > 1:
            return self.network.slot(vehicle.edge, vehicle.route[1])
        return int(np.flatnonzero(self.network.action_masks[vehicle.edge])[0])

    def _scores(self) -> NDArray[np.float32]:
        return np.clip(self._steering.edge_speeds_mps / self.network.edge_speed_mps, 0.0, 1.0).astype(np.float32)

    def _refresh(self) -> None:
        """Notice what the simulation has done."""
        # A set, because every agent asks whether it is in there.
        self._deciding = frozenset(self._steering.deciders)
        if self._speed_samples != self._steering.speed_samples:
            self._speed_samples = self._steering.speed_samples
            self._live_paths = None
            self._observation_cache.begin(self._scores())

    def _settle(self, decisions: Sequence[Decision]) -> NDArray[np.float64]:
        """Rewards since the last call, or since time 0; agents that ended leave `agents`, and the step is recorded."""
        steering, changed = self._steering, self._steering.take_changed()
        rewards = self._progress.settle(steering, changed, self.reward)
        under_way = self._progress.is_live
        if np.count_nonzero(under_way) < len(self.agents):
            self.agents = [
                agent for agent, is_live in zip(self.possible_agents, under_way.tolist(), strict=True) if is_live
            ]
        deviations = steering.take_deviations()
        self._observation_cache.forget(changed)
        for index in changed | deviations.keys():
            self._infos.pop(index, None)
        self._check_begun().step(decisions, rewards, steering.time_s, deviations)
        return rewards

    def _elapsed_s(self, vehicle: Vehicle) -> float:
        """Time since departure; the travel time once the vehicle has left."""
        elapsed_s = (self._steering.time_s if vehicle.end_s is None else vehicle.end_s) - vehicle.trip.depart_s
        return float(elapsed_s) if elapsed_s > 0.0 else 0.0
