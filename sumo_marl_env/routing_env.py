"""`RoutingEnv`: vehicles that choose their next road at every junction, as a PettingZoo `ParallelEnv`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from sumo_marl_env.episode import Episode
from sumo_marl_env.errors import RoutingError
from sumo_marl_env.navigation import Navigator
from sumo_marl_env.observations import Observation, PaperObservation
from sumo_marl_env.recording import Recorder
from sumo_marl_env.rewards import PaperReward, Reward
from sumo_marl_env.scenario import Scenario
from sumo_marl_env.steering import Steering, Vehicle
from sumo_marl_env.sumo import Backend, SumoSimulator
from sumo_marl_env.types import AgentID, Exit


class RoutingEnv(ParallelEnv):
    """Traffic routing in SUMO.

    | fact              | value                                                                                    |
    |-------------------|------------------------------------------------------------------------------------------|
    | agents            | n vehicles, `vehicle_0` ... ; fixed before reset; each leaves when it arrives            |
    | decision          | an agent decides when its vehicle enters an edge: which edge to take at that edge's end  |
    | step              | advances SUMO until at least one live agent has a decision to make, or the horizon       |
    | action space      | Discrete(m_out): the k-th outgoing edge of the approached junction                       |
    | observation space | Dict(observation: Box (2 m_out + 2,) float32 (Table I), action_mask: Box (m_out,) int8)  |
    | action mask       | edges that the current edge's lanes lead to; one entry for agents with nothing to decide |
    | reward            | Eq. 32: seconds lost (negative) plus metres approached, and 0.1 T_max on arrival         |
    | ends              | arrival: terminated; horizon, teleport, loss: truncated, with the reason in info["exit"] |
    | version           | 0                                                                                        |

    A masked-out action is replaced by the nearest valid slot and flagged in `info["invalid_action"]`, or, with
    `strict=True`, answered with an error. Actions of agents with nothing to decide are ignored and may be left out.

    `info` of each agent: `is_decider`, `action_mask` (the same array), `edge` (SUMO id), `junction` (index of the
    approached junction), `elapsed_s`, `travel_time_s` (None while under way), `exit` (None while under way),
    `executed_action` (slot of the last decision as it was carried out; None before the first), `invalid_action`.

    Args:
        scenario: network, trips, traffic, horizon.
        observation: encodes observations; by default the paper's.
        reward: by default the paper's.
        smoothing_s: time constant of the moving average of edge speeds behind scores and live travel times.
        strict: whether a masked-out action is an error.
        backend: how SUMO runs; see `SumoSimulator`.
    """

    metadata: ClassVar[dict[str, Any]] = {"name": "sumo_routing_v0", "render_modes": [], "is_parallelizable": True}

    def __init__(
        self,
        scenario: Scenario,
        *,
        observation: Observation | None = None,
        reward: Reward | None = None,
        smoothing_s: float = 60.0,
        strict: bool = False,
        backend: Backend = "auto",
    ) -> None:
        self.scenario = scenario
        self.network = scenario.network
        self.strict = strict
        self.render_mode = None
        self.possible_agents: list[AgentID] = scenario.agents
        self.agents: list[AgentID] = []
        self._observation = observation or PaperObservation(self.network)
        self._reward = reward or PaperReward(scenario.horizon_s)
        self._simulator = SumoSimulator(backend)
        self._steering = Steering(self._simulator, self.network, scenario.trips, scenario.horizon_s, smoothing_s)
        self._index = {agent: index for index, agent in enumerate(self.possible_agents)}
        self._to_destination = np.array(
            [np.linalg.norm(self.network.junction_xy - self.network.junction_xy[t.destination], axis=1)
             for t in scenario.trips]
        )  # fmt: skip
        self._departs_s = np.array([trip.depart_s for trip in scenario.trips])
        mask_space = gymnasium.spaces.Box(0, 1, (self.network.max_outgoing,), np.int8)
        self._observation_space = gymnasium.spaces.Dict(
            {"observation": self._observation.space, "action_mask": mask_space}
        )
        self._action_spaces: dict[AgentID, gymnasium.spaces.Discrete] = {
            agent: gymnasium.spaces.Discrete(self.network.max_outgoing) for agent in self.possible_agents
        }
        self._rng = np.random.default_rng()
        self._recorder: Recorder | None = None

    def observation_space(self, agent: AgentID) -> gymnasium.spaces.Dict:
        return self._observation_space

    def action_space(self, agent: AgentID) -> gymnasium.spaces.Discrete:
        return self._action_spaces[agent]

    # The PettingZoo face: dicts of all live agents.

    def reset(
        self, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[dict[AgentID, dict[str, NDArray]], dict[AgentID, dict[str, Any]]]:
        """Begin an episode: background traffic and driver behaviour follow from `seed`."""
        self.begin(seed)
        return {a: self.observe(a) for a in self.agents}, {a: self.info(a) for a in self.agents}

    def step(self, actions: Mapping[AgentID, int]) -> tuple[dict, dict, dict, dict, dict]:
        """Give deciders their edges and advance to the next decision.

        Raises:
            RoutingError: before reset, or for a masked-out or missing action in strict mode.
            SimulatorError: if SUMO died.
        """
        live = self.agents
        rewards = self.advance(actions)
        return (
            {agent: self.observe(agent) for agent in live},
            {agent: float(rewards[self._index[agent]]) for agent in live},
            {agent: self._vehicle(agent).exit == Exit.ARRIVED for agent in live},
            {agent: self._vehicle(agent).exit not in (None, Exit.ARRIVED) for agent in live},
            {agent: self.info(agent) for agent in live},
        )

    # The core that both faces share: no dicts of agents with nothing to decide.

    def begin(self, seed: int | None = None) -> None:
        """`reset` without the dicts."""
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        else:
            seed = int(self._rng.integers(2**31))
        background = self.scenario.demand.draw(self.network, self.scenario.horizon_s, np.random.default_rng([seed, 0]))
        self._speed_samples = -1
        agents = len(self.possible_agents)
        self._live = np.ones(agents, bool)
        self._settled_s = np.zeros(agents)
        self._distance_m = self._to_destination[range(agents), [trip.origin for trip in self.scenario.trips]]
        self._invalid: set[AgentID] = set()
        self._recorder = Recorder(self.scenario, seed)
        self._steering.reset(seed % 2**31, background)
        self._refresh()
        self.agents = list(self.possible_agents)

    def advance(self, actions: Mapping[AgentID, int]) -> NDArray[np.float64]:
        """`step` without the dicts: returns the (n,) rewards of all agents, 0 for those that had left."""
        if self._recorder is None:
            raise RoutingError("call reset before step")
        if not self.agents:
            raise RoutingError("the episode is over; call reset")
        slots = {agent: self._valid_slot(agent, actions) for agent in self.deciders}
        outgoing = self.network.outgoing
        choices = {}
        for agent, slot in slots.items():
            vehicle = self._vehicle(agent)
            self._recorder.decide(self._index[agent], self.observe(agent), slot, self._steering.time_s)
            choices[self._index[agent]] = outgoing[self.network.edge_to[vehicle.edge]][slot]
        self._steering.advance(choices)
        self._refresh()
        return self._settle()

    def observe(self, agent: AgentID) -> dict[str, NDArray]:
        """What the agent sees now."""
        vehicle = self._vehicle(agent)
        return {
            "observation": self._observation.encode(vehicle.trip, vehicle.edge),
            "action_mask": self.action_mask(agent),
        }

    def action_mask(self, agent: AgentID) -> NDArray[np.int8]:
        """(m_out,) int8; one entry if the agent has nothing to decide."""
        vehicle = self._vehicle(agent)
        if self._index[agent] in self._steering.deciders:
            return self.network.action_masks[vehicle.edge]
        mask = np.zeros(self.network.max_outgoing, np.int8)
        mask[self._committed_slot(vehicle)] = 1
        return mask

    def info(self, agent: AgentID) -> dict[str, Any]:
        vehicle = self._vehicle(agent)
        under_way = vehicle.exit is None
        return {
            "is_decider": self._index[agent] in self._steering.deciders,
            "action_mask": self.action_mask(agent),
            "edge": self.network.edge_ids[vehicle.edge],
            "junction": int(self.network.edge_to[vehicle.edge]),
            "elapsed_s": self._elapsed_s(vehicle),
            "travel_time_s": None if under_way else self._elapsed_s(vehicle),
            "exit": None if under_way else str(vehicle.exit),
            "executed_action": self._recorder.last_action(self._index[agent]) if self._recorder else None,
            "invalid_action": agent in self._invalid,
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
        return self._simulator.wall_s

    @property
    def edge_times_s(self) -> NDArray[np.float64]:
        """(E,) estimated travel times: length over smoothed speed, at least the free-flow time."""
        return np.maximum(self.network.edge_length_m / self._steering.edge_speeds_mps, self.network.free_flow_time_s)

    def current_edge(self, agent: AgentID) -> int:
        """Edge index on which the agent's vehicle is."""
        return self._vehicle(agent).edge

    def navigator(self, agent: AgentID) -> Navigator:
        """The navigation functions, as this agent sees them in the running episode."""
        return Navigator(self.network, self.scenario.trips[self._index[agent]], self)

    def episode(self) -> Episode:
        """Record of the current episode so far; complete once `agents` is empty.

        Raises:
            RoutingError: before the first reset.
        """
        if self._recorder is None:
            raise RoutingError("no episode yet: call reset")
        return self._recorder.episode(
            [(v, v.exit or Exit.HORIZON, self._elapsed_s(v)) for v in self._steering.vehicles]
        )

    def state(self) -> NDArray[np.float32]:
        """(4 n + E,) float32 for centralised critics: per agent its edge, destination, distance to go over the
        network's diagonal, and whether it is under way; then the score of every edge."""
        vehicles = self._steering.vehicles
        per_agent = [
            (v.edge, v.trip.destination, self._distance_m[k] / self.network.diagonal_m, v.exit is None)
            for k, v in enumerate(vehicles)
        ]
        return np.concatenate([np.ravel(per_agent), self._scores()]).astype(np.float32)

    def close(self) -> None:
        """End the simulation. May be called twice; a reset begins anew."""
        self._simulator.close()
        self._recorder = None
        self.agents = []

    def _vehicle(self, agent: AgentID) -> Vehicle:
        return self._steering.vehicles[self._index[agent]]

    def _valid_slot(self, agent: AgentID, actions: Mapping[AgentID, int]) -> int:
        """The agent's action, or what replaces it if its mask forbids it."""
        valid = np.flatnonzero(self.network.action_masks[self._vehicle(agent).edge])
        slot = actions.get(agent)
        if slot is not None and int(slot) in valid:
            self._invalid.discard(agent)
            return int(slot)
        if self.strict:
            given = "no action" if slot is None else f"action {slot}"
            raise RoutingError(f"{agent}: {given} at junction with valid actions {valid.tolist()}")
        self._invalid.add(agent)
        return int(valid[0] if slot is None else valid[np.abs(valid - int(slot)).argmin()])

    def _committed_slot(self, vehicle: Vehicle) -> int:
        """Slot of the edge that a vehicle with nothing to decide will take; any valid one on its last edge."""
        if vehicle.choice >= 0:
            return self.network.slot(vehicle.edge, vehicle.choice)
        following = vehicle.route[vehicle.route.index(vehicle.edge) + 1 :]
        if following:
            return self.network.slot(vehicle.edge, following[0])
        return int(np.flatnonzero(self.network.action_masks[vehicle.edge])[0])

    def _scores(self) -> NDArray[np.float32]:
        return np.clip(self._steering.edge_speeds_mps / self.network.edge_speed_mps, 0.0, 1.0).astype(np.float32)

    def _refresh(self) -> None:
        if self._speed_samples != self._steering.speed_samples:
            self._speed_samples = self._steering.speed_samples
            self._observation.begin(self._scores())

    def _settle(self) -> NDArray[np.float64]:
        """Rewards since the last call, or since time 0; agents that ended leave `agents`."""
        now_s = np.full(len(self.possible_agents), float(self._steering.time_s))
        distance_m, live = self._distance_m.copy(), self._live.copy()
        arrived = np.zeros(len(live), bool)
        for index in self._steering.take_changed():
            vehicle = self._steering.vehicles[index]
            distance_m[index] = self._to_destination[index, vehicle.junctions[-1]]
            if vehicle.end_s is not None:
                now_s[index], live[index] = vehicle.end_s, False
            if vehicle.exit == Exit.ARRIVED:
                arrived[index], distance_m[index] = True, 0.0
        elapsed_s = np.maximum(now_s - np.maximum(self._settled_s, self._departs_s), 0.0)
        rewards = self._reward(elapsed_s, self._distance_m - distance_m, arrived) * self._live
        if not live.all() or len(self.agents) != len(live):
            self.agents = [agent for agent, is_live in zip(self.possible_agents, live.tolist(), strict=True) if is_live]
        self._settled_s, self._distance_m, self._live = now_s, distance_m, live
        assert self._recorder is not None
        self._recorder.settle(rewards, self._steering.time_s, self._deviations())
        return rewards

    def _deviations(self) -> dict[int, int]:
        """Executed slot of each agent whose choice the simulation had to change."""
        return {
            k: self.network.slot(v.edge, v.choice)
            for k, v in enumerate(self._steering.vehicles)
            if v.deviated and v.choice >= 0
        }

    def _elapsed_s(self, vehicle: Vehicle) -> float:
        """Time since departure; the travel time once the vehicle has left."""
        end = self._steering.time_s if vehicle.end_s is None else vehicle.end_s
        return max(0.0, end - vehicle.trip.depart_s)
