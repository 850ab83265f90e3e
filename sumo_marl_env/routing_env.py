"""`RoutingEnv`: vehicles that choose their next road at every junction, as a PettingZoo `ParallelEnv`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from sumo_marl_env.episode import Episode
from sumo_marl_env.errors import RoutingError, SimulatorError
from sumo_marl_env.fleet import Fleet, Vehicle
from sumo_marl_env.isolated import IsolatedSteering
from sumo_marl_env.navigation import Navigator
from sumo_marl_env.observations import Observation, PaperObservation
from sumo_marl_env.recording import Recorder
from sumo_marl_env.rewards import PaperReward, Reward
from sumo_marl_env.scenario import Scenario
from sumo_marl_env.steering import Steering
from sumo_marl_env.sumo import Backend, SumoSimulator
from sumo_marl_env.types import AgentID, Exit

_log = logging.getLogger(__name__)


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
    | ends              | arrival: terminated; anything else: truncated, with the reason (`Exit`) in info["exit"]  |
    | failures          | SUMO dies: every live agent is truncated, "simulator_failed"; reset starts it again      |
    | version           | 0                                                                                        |

    A masked-out action is replaced by the nearest valid slot and flagged in `info["invalid_action"]`, or, with
    `strict=True`, answered with an error. Actions of agents with nothing to decide are ignored and may be left out.

    `info` of each agent: `is_decider`, `action_mask` (the same array), `edge` (SUMO id), `junction` (index of the
    approached junction), `departed_s` (when SUMO inserted the vehicle; None before), `elapsed_s` (since the trip's
    departure time), `travel_time_s` and `exit` (None while under way), `executed_action` (slot of the last decision as
    it was carried out; None before the first), `invalid_action`.

    Args:
        scenario: network, trips, traffic, horizon.
        observation: encodes observations; by default the paper's.
        reward: by default the paper's.
        smoothing_s: time constant of the moving average of edge speeds behind scores and live travel times.
        strict: whether a masked-out action is an error.
        backend: how SUMO runs; see `SumoSimulator`.
        isolate: whether SUMO runs in a child process, so that several envs work side by side in one process and a crash
            of SUMO harms nobody. None: only if, at reset, another env of this process has its SUMO in process.
        sumo_options: further options of SUMO's command line; see `SumoSimulator`. Files that they name are complete
            after `close`, and begun anew by each reset.
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
        backend: Backend = "libsumo",
        isolate: bool | None = None,
        sumo_options: Sequence[str] = (),
    ) -> None:
        self.scenario = scenario
        self.network = scenario.network
        self.strict = strict
        self.render_mode = None
        self.possible_agents: list[AgentID] = scenario.agents
        self.agents: list[AgentID] = []
        self._observation = observation or PaperObservation(self.network)
        self._reward = reward or PaperReward(scenario.horizon_s)
        driven = (self.network, scenario.trips, scenario.horizon_s, smoothing_s)
        isolated = IsolatedSteering(*driven, backend, sumo_options)
        self._fall_back = isolated if isolate is None else None
        self._steering: Fleet = isolated if isolate else Steering(SumoSimulator(backend, sumo_options), *driven)
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
        self._committed_masks = np.eye(self.network.max_outgoing, dtype=np.int8)
        self._committed_masks.flags.writeable = False
        self._rng = np.random.default_rng()
        self._recorder: Recorder | None = None

    def observation_space(self, agent: AgentID) -> gymnasium.spaces.Dict:
        return self._observation_space

    def action_space(self, agent: AgentID) -> gymnasium.spaces.Discrete:
        return self._action_spaces[agent]

    @property
    def reward(self) -> Reward:
        """What turns progress into rewards."""
        return self._reward

    # The PettingZoo face: dicts of all live agents.

    def reset(
        self, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[dict[AgentID, dict[str, NDArray]], dict[AgentID, dict[str, Any]]]:
        """Begin an episode: background traffic and driver behaviour follow from `seed`."""
        self.begin(seed)
        seen = {agent: self._seen(agent) for agent in self.agents}
        return {agent: seen[agent][0] for agent in seen}, {agent: seen[agent][1] for agent in seen}

    def step(self, actions: Mapping[AgentID, int]) -> tuple[dict, dict, dict, dict, dict]:
        """Give deciders their edges and advance to the next decision.

        Raises:
            RoutingError: before reset, or for a masked-out or missing action in strict mode.
        """
        live = self.agents
        rewards = self.advance(actions).tolist()
        observations, infos, exits = {}, {}, {}
        for agent in live:
            observations[agent], infos[agent] = self._seen(agent)
            exits[agent] = infos[agent]["exit"]
        return (
            observations,
            {agent: rewards[self._index[agent]] for agent in live},
            {agent: exit == Exit.ARRIVED for agent, exit in exits.items()},
            {agent: exit is not None and exit != Exit.ARRIVED for agent, exit in exits.items()},
            infos,
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
        self._since_s = np.maximum(self._departs_s, 0.0)
        self._distance_m = self._to_destination[range(agents), [trip.origin for trip in self.scenario.trips]]
        self._invalid: set[AgentID] = set()
        self._recorder = Recorder(self.scenario, seed)
        if self._fall_back and isinstance(self._steering, Steering) and not self._steering.simulator.claim():
            # It stays isolated: what made it so may come back.
            self._steering, self._fall_back = self._fall_back, None
        self._steering.reset(seed % 2**31, background, self.scenario.demand.route_file)
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
        try:
            self._steering.advance(choices)
        except SimulatorError as error:
            _log.warning("the episode ends at %d s: %s. A reset starts SUMO again.", self._steering.time_s, error)
            self._steering.abandon()
        self._refresh()
        return self._settle()

    def observe(self, agent: AgentID) -> dict[str, NDArray]:
        """What the agent sees now."""
        index = self._index[agent]
        vehicle = self._steering.vehicles[index]
        return {
            "observation": self._observation.encode(vehicle.trip, vehicle.edge),
            "action_mask": self._mask(index, vehicle),
        }

    def action_mask(self, agent: AgentID) -> NDArray[np.int8]:
        """(m_out,) int8; one entry if the agent has nothing to decide."""
        return self._mask(self._index[agent], self._vehicle(agent))

    def info(self, agent: AgentID) -> dict[str, Any]:
        return self._seen(agent)[1]

    def _mask(self, index: int, vehicle: Vehicle) -> NDArray[np.int8]:
        if index in self._steering.deciders:
            return self.network.action_masks[vehicle.edge]
        return self._committed_masks[self._committed_slot(vehicle)]

    def _seen(self, agent: AgentID) -> tuple[dict[str, NDArray], dict[str, Any]]:
        """Observation and info of the agent."""
        index = self._index[agent]
        vehicle = self._steering.vehicles[index]
        mask, exit, elapsed_s = self._mask(index, vehicle), vehicle.exit, self._elapsed_s(vehicle)
        encoded = self._observation.encode(vehicle.trip, vehicle.edge)
        info = {
            "is_decider": index in self._steering.deciders,
            "action_mask": mask,
            "edge": self.network.edge_ids[vehicle.edge],
            "junction": int(self.network.edge_to[vehicle.edge]),
            "departed_s": vehicle.departed_s,
            "elapsed_s": elapsed_s,
            "travel_time_s": None if exit is None else elapsed_s,
            "exit": None if exit is None else str(exit),
            "executed_action": self._recorder.last_action(index) if self._recorder else None,
            "invalid_action": agent in self._invalid,
        }
        return {"observation": encoded, "action_mask": mask}, info

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
        return self._steering.wall_s

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
        self._steering.close()
        self._recorder = None
        self.agents = []

    def _vehicle(self, agent: AgentID) -> Vehicle:
        return self._steering.vehicles[self._index[agent]]

    def _valid_slot(self, agent: AgentID, actions: Mapping[AgentID, int]) -> int:
        """The agent's action, or what replaces it if its mask forbids it."""
        mask = self.network.action_masks[self._vehicle(agent).edge]
        slot = actions.get(agent)
        if slot is not None and 0 <= slot < len(mask) and mask[slot]:
            self._invalid.discard(agent)
            return int(slot)
        valid = np.flatnonzero(mask)
        if self.strict:
            given = "no action" if slot is None else f"action {slot}"
            raise RoutingError(f"{agent}: {given} at junction with valid actions {valid.tolist()}")
        self._invalid.add(agent)
        return int(valid[0] if slot is None else valid[np.abs(valid - int(slot)).argmin()])

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
        if self._speed_samples != self._steering.speed_samples:
            self._speed_samples = self._steering.speed_samples
            self._observation.begin(self._scores())

    def _settle(self) -> NDArray[np.float64]:
        """Rewards since the last call, or since time 0; agents that ended leave `agents`."""
        time_s, live = float(self._steering.time_s), self._live
        # A few operations on small arrays: this runs in every step.
        elapsed_s, approach_m, arrived = time_s - self._since_s, np.zeros(len(live)), np.zeros(len(live), bool)
        ended = []
        for index in self._steering.take_changed():
            vehicle = self._steering.vehicles[index]
            arrived[index] = vehicle.exit == Exit.ARRIVED
            distance_m = 0.0 if arrived[index] else float(self._to_destination[index, vehicle.junctions[-1]])
            approach_m[index] = self._distance_m[index] - distance_m
            self._distance_m[index] = distance_m
            if vehicle.end_s is not None:
                elapsed_s[index] = vehicle.end_s - self._since_s[index]
                ended.append(index)
        rewards = self._reward(np.maximum(elapsed_s, 0.0), approach_m, arrived) * live
        self._since_s = np.maximum(self._departs_s, time_s)
        if ended or time_s >= self.scenario.horizon_s:
            live[ended] = False
            self.agents = [agent for agent, is_live in zip(self.possible_agents, live.tolist(), strict=True) if is_live]
        assert self._recorder is not None
        self._recorder.settle(rewards, self._steering.time_s, self._steering.take_deviations())
        return rewards

    def _elapsed_s(self, vehicle: Vehicle) -> float:
        """Time since departure; the travel time once the vehicle has left."""
        end = self._steering.time_s if vehicle.end_s is None else vehicle.end_s
        return max(0.0, end - vehicle.trip.depart_s)
