"""Names shared by every module: ids, seeds, trips, how SUMO runs, and why a vehicle left the simulation."""

import operator
from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Literal, cast

from sumo_marl_env.errors import RoutingError

AgentID = str
"""`vehicle_0`, `vehicle_1`, ... in trip order."""

NodeID = int
"""A junction, by its row in the arrays of `RoadNetwork`. These ints are also the ids that programs see."""


Backend = Literal["libsumo", "traci"]
"""How SUMO runs; see `SumoSimulator`."""


class Remade:
    """A dataclass that pickle and copy make anew from its fields: its read-only arrays would come out writeable."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, field.name) for field in fields(cast(Any, self)))


class AgentIndex(dict[AgentID, int]):
    """The position of each agent. Raises RoutingError for an unknown agent."""

    def check(self, agents: Iterable[object]) -> None:
        """Raises RoutingError for the first of the agents that is unknown."""
        for agent in agents:
            if agent not in self:
                self.__missing__(agent)

    def __missing__(self, agent: object) -> int:
        raise RoutingError(f"there is no agent {agent!r}; agents are {', '.join(list(self)[:3])} ...")


@dataclass(frozen=True, slots=True)
class Trip:
    """One agent's task, fixed before reset.

    Attributes:
        agent: the agent whose vehicle makes the trip.
        origin: junction index at which `origin_edge` begins.
        destination: junction index; the trip ends when the vehicle reaches the end of an edge that ends there.
        origin_edge: edge index on which the vehicle is inserted.
        depart_s: departure time in simulated seconds.
    """

    agent: AgentID
    origin: NodeID
    destination: NodeID
    origin_edge: int
    depart_s: float = 0.0


class Exit(StrEnum):
    """Why an agent's episode ended (`info["exit"]`)."""

    ARRIVED = "arrived"
    HORIZON = "horizon"
    """Still driving at the horizon."""
    NOT_INSERTED = "not_inserted"
    """Never found room on its origin edge before the horizon."""
    STUCK = "stuck"
    """At the horizon it had not left its edge for 300 s or more."""
    TELEPORTED = "teleported"
    """SUMO removed it from a jam (time-to-teleport)."""
    LOST = "lost"
    """It left the simulation anywhere else than at its destination."""
    UNDER_WAY = "under_way"
    """It had not ended when its record was made; only in the record of an episode that was not driven to its end."""
    SIMULATOR_FAILED = "simulator_failed"
    """SUMO died or stopped answering while it was under way; the next reset starts SUMO again."""


def checked_seed(seed: int) -> int:
    """The seed as an int of Python's: NumPy's cannot be saved with the episode. Raises RoutingError if it is none."""
    try:
        seed = operator.index(seed)
    except TypeError:
        raise RoutingError(f"a seed is a whole number, not {seed!r}") from None
    if seed < 0:
        raise RoutingError(f"a seed is 0 or more, not {seed}")
    return seed
