"""Collects an episode while it runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sumo_marl_env.episode import AgentTrajectory, Episode
from sumo_marl_env.scenarios.scenario import Scenario
from sumo_marl_env.simulation.fleet import Vehicle
from sumo_marl_env.types import Exit


class Decision(NamedTuple):
    """What an agent (by index) saw and chose, when, and on which of the edges that it has driven."""

    agent: int
    observation: dict[str, NDArray]
    slot: int
    time_s: float
    edge: int


def rewards_of_decisions(rewards: NDArray[np.float32], steps: NDArray[np.int32]) -> NDArray[np.float32]:
    """(n,) sums of an agent's rewards (T,) from each of its n decisions to the next, or to the end.

    What came before the first one (waiting for insertion) belongs to it.

    Args:
        rewards: one for each step of the environment.
        steps: (n,) step that follows each decision.
    """
    return np.add.reduceat(rewards, np.r_[0, steps[1:]]) if len(steps) else rewards[:0]


class Recorder:
    """Growing record of one episode.

    Args:
        scenario: the scenario.
        seed: the seed the episode was reset with.
        observation_size: numbers that an agent sees.
        sumo_options: what a replay must give SUMO.
    """

    def __init__(self, scenario: Scenario, seed: int, observation_size: int, sumo_options: Sequence[str] = ()) -> None:
        self._scenario = scenario
        self._observation_size = observation_size
        self._seed = seed
        self._sumo_options = tuple(sumo_options)
        agents = range(len(scenario.trips))
        self._decisions: list[list[Decision]] = [[] for _ in agents]
        self._decision_steps: list[list[int]] = [[] for _ in agents]
        self._actions: list[list[int]] = [[] for _ in agents]
        self._rewards: list[NDArray[np.float32]] = []
        self._times_s: list[float] = []

    def step(
        self,
        decisions: Iterable[Decision],
        rewards: NDArray[np.float64],
        time_s: float,
        deviations: Mapping[int, int],
    ) -> None:
        """One whole environment step.

        Args:
            decisions: with which it began.
            rewards: (n,), which it ended with.
            time_s: simulated time at its end.
            deviations: executed slots that were not chosen, by the agent's index.
        """
        for decision in decisions:
            self._decisions[decision.agent].append(decision)
            self._decision_steps[decision.agent].append(len(self._rewards))
            self._actions[decision.agent].append(decision.slot)
        # A copy: the caller of `advance` has the array itself.
        self._rewards.append(rewards.astype(np.float32))
        self._times_s.append(time_s)
        for agent, slot in deviations.items():
            self._actions[agent][-1] = slot

    def last_action(self, agent: int) -> int | None:
        return self._actions[agent][-1] if self._actions[agent] else None

    def episode(self, ends: Sequence[tuple[Vehicle, Exit, float]]) -> Episode:
        """The record so far; `ends` gives per agent its vehicle, why it ended, and its travel time in seconds."""
        rewards = np.array(self._rewards, np.float32).reshape(len(self._rewards), len(self._scenario.trips))
        return Episode(
            scenario=self._scenario.name,
            seed=self._seed,
            trajectories=tuple(self._trajectory(agent, rewards[:, agent], *end) for agent, end in enumerate(ends)),
            rewards=rewards,
            times_s=np.array(self._times_s, np.float32),
            scenario_json=self._scenario.as_json,
            sumo_options=self._sumo_options,
        )

    def _trajectory(
        self, agent: int, rewards: NDArray[np.float32], vehicle: Vehicle, exit: Exit, travel_time_s: float
    ) -> AgentTrajectory:
        steps = np.array(self._decision_steps[agent], np.int32)
        decisions = self._decisions[agent]
        slots, size = self._scenario.network.max_outgoing, self._observation_size
        passed = list(vehicle.junctions)
        if exit == Exit.ARRIVED:
            passed.append(vehicle.trip.destination)
        return AgentTrajectory(
            trip=vehicle.trip,
            observations=np.array([one.observation["observation"] for one in decisions]).reshape(len(steps), size),
            action_masks=np.array([one.observation["action_mask"] for one in decisions]).reshape(len(steps), slots),
            actions=np.array(self._actions[agent]),
            rewards=rewards_of_decisions(rewards, steps),
            decision_steps=steps,
            decision_times_s=np.array([one.time_s for one in decisions]),
            junctions=np.array(passed),
            exit=exit,
            travel_time_s=travel_time_s,
            edges=np.array(vehicle.edges),
            departed_s=vehicle.departed_s,
            chosen_actions=np.array([one.slot for one in decisions]),
            decision_edges=np.array([one.edge for one in decisions]),
        )
