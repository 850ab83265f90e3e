"""The encoded observations of all agents, made anew only for those for whom something has changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from sumo_marl_env.choices import numbers
from sumo_marl_env.errors import ConfigError
from sumo_marl_env.observations import Observation
from sumo_marl_env.simulation.fleet import Vehicle


class ObservationCache:
    """The encoded observations of all agents.

    Args:
        observation: what encodes them.
        num_agents: n.

    Its methods raise ConfigError if the observation has another shape than its space, is no numbers, or not finite.
    """

    def __init__(self, observation: Observation, num_agents: int) -> None:
        self._observation = observation
        self._encoded = np.zeros((num_agents, *observation.space.shape), observation.space.dtype)
        self._outdated = set(range(num_agents))

    def begin(self, edge_scores: NDArray[np.float32]) -> None:
        """The traffic has changed: (E,) score of each edge."""
        self._observation.begin(edge_scores)
        self._outdated = set(range(len(self._encoded)))

    def forget(self, agents: Iterable[int]) -> None:
        """The vehicles of these agents have changed."""
        self._outdated.update(agents)

    def of(self, agent: int, vehicle: Vehicle) -> NDArray[np.float32]:
        """What the agent sees from its vehicle: a copy."""
        if agent in self._outdated:
            self._look(agent, vehicle)
            self._check([agent])
        return self._encoded[agent].copy()

    def of_all(self, agents: Iterable[int], vehicles: Sequence[Vehicle]) -> list[NDArray[np.float32]]:
        """What each of the agents sees; the list has n entries, and those of other agents may be outdated."""
        outdated = list(self._outdated.intersection(agents))
        for agent in outdated:
            self._look(agent, vehicles[agent])
        self._check(outdated)
        # One copy of all, because a thousand small ones take ten times as long.
        return list(self._encoded.copy())

    def _look(self, agent: int, vehicle: Vehicle) -> None:
        encoded = self._observation.encode(vehicle.trip, vehicle.edge)
        self._encoded[agent] = numbers("observation", self._observation, encoded, self._encoded.shape[1:])
        self._outdated.discard(agent)

    def _check(self, agents: list[int]) -> None:
        # All at once: for each agent alone it would take as long as the encoding.
        if not np.isfinite(self._encoded[agents]).all():
            self._outdated.update(agents)
            first = next(row for row in self._encoded[agents] if not np.isfinite(row).all())
            raise ConfigError(f"observation {self._observation!r} is not finite: {first.tolist()}")
