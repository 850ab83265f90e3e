"""Complete node-by-node routes out of a chat model's reply: the ablation without navigation functions."""

from __future__ import annotations

from collections.abc import Sequence

from rllib_releds.demonstrations.agent_names import agent_numbers, function_name
from rllib_releds.demonstrations.answers.replies import cleaned, without_thoughts
from rllib_releds.demonstrations.answers.route_reading import routes_in
from sumo_marl_env import AgentID, Instruction, NodeID, Plan, RoadNetwork, Trip


def extract_routes(
    reply: str, trips: Sequence[Trip], network: RoadNetwork, wanted: Sequence[AgentID] | None = None
) -> tuple[dict[AgentID, Plan], dict[AgentID, str]]:
    """The routes in a reply, and for every other agent what is missing or wrong; never raises, whatever the text.

    Args:
        reply: any text at all.
        trips: of all agents that the prompt named: they decide which number means which agent.
        network: routes must follow its roads.
        wanted: the agents that need a route; None for all.
    """
    numbers = {agent: number for number, agent in agent_numbers([trip.agent for trip in trips]).items()}
    found = routes_in(without_thoughts(cleaned(reply)))
    plans: dict[AgentID, Plan] = {}
    errors: dict[AgentID, str] = {}
    for trip in trips:
        if wanted is not None and trip.agent not in wanted:
            continue
        number = numbers[trip.agent]
        if number not in found:
            errors[trip.agent] = f"there is no route for {function_name(number)} in the reply"
            continue
        error = route_error(found[number], trip, network)
        if error is None:
            plans[trip.agent] = route_plan(found[number], trip)
        else:
            errors[trip.agent] = error
    return plans, errors


def route_plan(route: Sequence[NodeID], trip: Trip) -> Plan:
    """One movement per node; the origin, where the vehicle is already, is left out."""
    nodes = route[1:] if route and route[0] == trip.origin else route
    return Plan(trip.agent, tuple(Instruction("move_to_by_shortest_path", node) for node in nodes))


def route_error(route: Sequence[NodeID], trip: Trip, network: RoadNetwork) -> str | None:
    """What is wrong with a route, or None."""
    unknown = [node for node in route if not 0 <= node < network.num_junctions]
    if unknown:
        return f"unknown node {unknown[0]}; the nodes are 0 to {network.num_junctions - 1}"
    heading = int(network.edge_to[trip.origin_edge])
    nodes = list(route[1:] if route and route[0] == trip.origin else route)
    if not nodes or nodes[0] != heading:
        return f"the route must begin {trip.origin}, {heading}: the vehicle is already on that road"
    if nodes[-1] != trip.destination:
        return f"the route ends at {nodes[-1]}, not at the destination {trip.destination}"
    edges = {trip.origin_edge}  # several, where roads lie side by side
    for previous, node, following in zip([trip.origin, *nodes], nodes, nodes[1:], strict=False):
        if following not in {int(network.edge_to[edge]) for edge in network.outgoing[node]}:
            return f"no road leads from {node} to {following}"
        edges = {next_ for edge in edges for next_ in network.successors[edge] if network.edge_to[next_] == following}
        if not edges:
            return (
                f"the turn {previous} -> {node} -> {following} does not exist: a vehicle from {previous} cannot take it"
            )
    return None
