"""Routing as a domain: junctions and roads, vehicles, Table II, and the wording of `templates/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rllib_releds.demonstrations.answers.routes import extract_routes
from rllib_releds.demonstrations.domain import Domain, UnreachableError
from rllib_releds.demonstrations.functions import FunctionTable, NavigatorHost, routing_functions
from rllib_releds.demonstrations.prompting import prompts
from rllib_releds.demonstrations.protocol import DemonstrationContext
from sumo_marl_env import (
    AgentID,
    Instruction,
    Navigator,
    NodeID,
    NoRouteError,
    Plan,
    RoadNetwork,
    ShortestPaths,
    Trip,
    UnknownJunctionError,
    is_reached,
    next_action,
    shortest_paths,
)


class RoutingExecutor:
    """Drives one vehicle by instructions; the fallback is the live shortest time to its destination.

    Args:
        navigator: the agent's live view.
    """

    def __init__(self, navigator: Navigator) -> None:
        self._navigator = navigator
        self.host = NavigatorHost(navigator)
        self.fallback = Instruction("move_to_by_shortest_time", navigator.trip.destination)
        self._num_decided = len(navigator.driven_edges) - 1

    def is_done(self, instruction: Instruction, is_first: bool) -> bool:
        # A vehicle starts at its origin; a first move "to the origin" must not send it once round the block.
        trip = self._navigator.trip
        at_start = is_first and self._navigator.current_edge == trip.origin_edge
        return self._passes(instruction) or (at_start and instruction.target == trip.origin)

    def _passes(self, instruction: Instruction) -> bool:
        """Whether the target is ahead, or was passed since the last action: roads may be too short for a decision."""
        edge_to = self._navigator.network.edge_to
        since = self._navigator.driven_edges[self._num_decided :]
        return is_reached(self._navigator, instruction) or any(edge_to[edge] == instruction.target for edge in since)

    def action(self, instruction: Instruction) -> int:
        self._num_decided = len(self._navigator.driven_edges)
        try:
            return next_action(self._navigator, instruction)
        except (NoRouteError, UnknownJunctionError) as error:
            raise UnreachableError(str(error)) from error

    def why_unfinished(self) -> str:
        return (
            f"the program ended at junction {self._navigator.approached_junction}, before the destination "
            f"{self._navigator.trip.destination}; end it with a move to get_destination()"
        )


@dataclass(frozen=True)
class _EmptyRoads:
    """What a navigator reads where no simulation runs: its vehicle is about to depart."""

    network: RoadNetwork
    trip: Trip

    @property
    def live_paths(self) -> ShortestPaths:
        return shortest_paths(self.network, "free_flow_time")

    def current_edge(self, agent: AgentID) -> int:
        return self.trip.origin_edge

    def driven_edges(self, agent: AgentID) -> Sequence[int]:
        return (self.trip.origin_edge,)


@dataclass(frozen=True)
class RoutingDomain:
    """Gathers what knows roads."""

    initial_prompt = staticmethod(prompts.initial_prompt)
    trigger_prompt = staticmethod(prompts.trigger_prompt)
    feedback_prompt = staticmethod(prompts.feedback_prompt)
    repair_prompt = staticmethod(prompts.repair_prompt)

    @property
    def functions(self) -> FunctionTable:
        return routing_functions()

    def executor(self, view: Navigator) -> RoutingExecutor:
        return RoutingExecutor(view)

    def host_at_start(self, context: DemonstrationContext, agent: AgentID) -> NavigatorHost:
        trip = next(trip for trip in context.trips if trip.agent == agent)
        return NavigatorHost(Navigator(context.network, trip, _EmptyRoads(context.network, trip)))

    def coordinates(self, network: RoadNetwork, path: Sequence[NodeID]) -> NDArray[np.float64]:
        """(n, 2) metres of the junctions."""
        return network.junction_xy[list(path)]

    def extent(self, network: RoadNetwork) -> float:
        """Diagonal of the network's bounding box, metres."""
        return network.diagonal_m

    def plans(
        self, reply: str, context: DemonstrationContext, agents: Sequence[AgentID]
    ) -> tuple[Mapping[AgentID, Plan], Mapping[AgentID, str]]:
        """Complete node-by-node routes."""
        return extract_routes(reply, context.trips, context.network, agents)


ROUTING: Domain = RoutingDomain()
