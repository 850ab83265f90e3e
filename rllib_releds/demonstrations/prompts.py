"""The texts that chat models get: initial prompt, feedback prompt, repair prompt. The wording is in `templates/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

from rllib_releds.demonstrations.calls import navigation_functions
from rllib_releds.demonstrations.feedback import AgentOutcome, CycleFeedback
from rllib_releds.demonstrations.programs import function_name
from rllib_releds.demonstrations.protocol import DemonstrationContext
from rllib_releds.demonstrations.replies import agent_numbers
from rllib_releds.demonstrations.sandbox import SandboxLimits
from rllib_releds.demonstrations.stationarity import DivergencePair, VolatilityPair
from sumo_marl_env import AgentID, Instruction, NodeID, RoadNetwork, Trip

MAX_PAIRS = 8
"""Reward-volatility and policy-divergence pairs in a prompt: the worst ones."""

_MAX_ERROR_CHARS = 300


def initial_prompt(
    context: DemonstrationContext, *, interfaces: bool = True, limits: SandboxLimits | None = None
) -> str:
    """The system prompt: task, network, agents, and what to answer.

    Args:
        context: network, trips and scenario.
        interfaces: True asks for programs that use the navigation functions, False for node-by-node routes.
        limits: what a program may use.
    """
    names = names_of([trip.agent for trip in context.trips])
    return _fill(
        "initial",
        scenario=context.scenario,
        num_junctions=context.network.num_junctions,
        nodes=_nodes(context.network),
        agents="\n".join(_agent(names[trip.agent], trip, context.network) for trip in context.trips),
        contract=_program_contract(names, limits or SandboxLimits()) if interfaces else _route_contract(names, context),
    )


def trigger_prompt(*, interfaces: bool = True) -> str:
    """The short command that asks for the first answer."""
    return _fill("trigger", product=_product(interfaces))


def feedback_prompt(
    feedback: CycleFeedback, agents: Sequence[AgentID], *, interfaces: bool = True, stationarity: bool = True
) -> str:
    """What came of the last answer, and the request to revise it.

    Args:
        feedback: of the previous cycle.
        agents: all agents, in order.
        interfaces: as in `initial_prompt`.
        stationarity: False leaves reward volatility and policy divergence out, as LEED does.
    """
    names = names_of(agents)
    measures = _fill(
        "stationarity",
        volatility=_lines(_volatility(names[pair.agent], pair) for pair in feedback.volatility[:MAX_PAIRS]),
        divergence=_lines(_divergence(names[pair.agent], pair) for pair in feedback.divergence[:MAX_PAIRS]),
    )
    steady = (
        ", and change instructions with large reward volatility or policy divergence if another route is about as quick"
    )
    return _fill(
        "feedback",
        product=_product(interfaces),
        cycle=feedback.cycle,
        epoch=feedback.epoch,
        executed=sum(outcome.executed for outcome in feedback.outcomes),
        num_agents=len(feedback.outcomes),
        mean_reward=f"{feedback.mean_reward:.0f}",
        outcomes=_lines(_outcome(names[outcome.agent], outcome) for outcome in feedback.outcomes),
        stationarity=f"{measures}\n\n" if stationarity else "",
        and_steady=steady if stationarity else "",
        names=", ".join(names.values()),
    )


def repair_prompt(errors: Mapping[AgentID, str], agents: Sequence[AgentID], *, interfaces: bool = True) -> str:
    """Names only the agents that have nothing usable, and why.

    Args:
        errors: what is wrong, per failing agent.
        agents: all agents, in order.
        interfaces: as in `initial_prompt`.
    """
    names = names_of(agents)
    failing = [agent for agent in agents if agent in errors]
    return _fill(
        "repair",
        product="program" if interfaces else "route",
        errors=_lines(f"{names[agent]}: {_short(errors[agent])}" for agent in failing),
        names=", ".join(names[agent] for agent in failing),
    )


def names_of(agents: Sequence[AgentID]) -> dict[AgentID, str]:
    """What each agent is called in prompts and replies: `agent_3` for `vehicle_3`."""
    return {agent: function_name(number) for number, agent in agent_numbers(agents).items()}


def _program_contract(names: Mapping[AgentID, str], limits: SandboxLimits) -> str:
    table = navigation_functions().values()
    return _fill(
        "contract_functions",
        functions="\n".join(f"- {function.signature}: {function.description}" for function in table),
        example=next(iter(names.values())),
        names=", ".join(names.values()),
        max_calls=limits.max_calls,
        max_moves=limits.max_moves,
    )


def _route_contract(names: Mapping[AgentID, str], context: DemonstrationContext) -> str:
    trip = context.trips[0]
    return _fill(
        "contract_routes",
        example=names[trip.agent],
        example_route=f"{trip.origin}, {_heading(trip, context.network)}, ..., {trip.destination}",
        names=", ".join(names.values()),
    )


def _nodes(network: RoadNetwork) -> str:
    lines = []
    for junction, edges in enumerate(network.outgoing):
        x, y = network.junction_xy[junction]
        ends = ", ".join(str(end) for end in sorted({int(network.edge_to[edge]) for edge in edges}))
        lines.append(f"{junction} ({x:.0f}, {y:.0f}) -> {ends}")
    return "\n".join(lines)


def _agent(name: str, trip: Trip, network: RoadNetwork) -> str:
    return (
        f"{name}: origin {trip.origin}, heading for {_heading(trip, network)}, destination {trip.destination}, "
        f"departs at {trip.depart_s:g} s"
    )


def _heading(trip: Trip, network: RoadNetwork) -> NodeID:
    return int(network.edge_to[trip.origin_edge])


def _outcome(name: str, outcome: AgentOutcome) -> str:
    result = "arrived" if outcome.arrived else f"did not arrive ({outcome.exit})"
    lines = [f"{name}: {result}, travel time {outcome.travel_time_s:.0f} s, reward {outcome.reward:.0f}"]
    lines.append(f"  instructions: {_instructions(outcome.instructions)}")
    lines.append(f"  path: {_path(outcome.path)}")
    if outcome.error is not None:
        lines.append(f"  failed: {_short(outcome.error)}")
    if outcome.fell_back:
        lines.append("  from then on the vehicle was driven by move_to_by_shortest_time(get_destination())")
    own = f"  its learnt policy: mean reward {outcome.policy_reward:.0f}"
    if outcome.policy_best_time_s is not None:
        own += f", best travel time {outcome.policy_best_time_s:.0f} s by path {_path(outcome.policy_best_path)}"
    return "\n".join([*lines, own])


def _volatility(name: str, pair: VolatilityPair) -> str:
    return f"{name}: {pair.instruction} at {pair.time_s:.0f} s near node {pair.junction}, loss {pair.reward:.0f}"


def _divergence(name: str, pair: DivergencePair) -> str:
    observation = ", ".join(f"{value:g}" for value in (round(value, 2) for value in pair.observation))
    return (
        f"{name}: {pair.instruction} at {pair.time_s:.0f} s, divergence {pair.divergence:.2f}, "
        f"road {pair.action} chosen on observation [{observation}]"
    )


def _instructions(instructions: Sequence[Instruction]) -> str:
    shown = [str(instruction) for instruction in instructions[:12]]
    return ", ".join(shown) + (f" and {len(instructions) - 12} more" if len(instructions) > 12 else "") or "none"


def _path(path: Sequence[NodeID]) -> str:
    """Long paths are cut in the middle: somebody who drove in circles needs no full list."""
    nodes = [str(node) for node in path]
    if len(nodes) > 60:
        nodes = [*nodes[:40], "...", *nodes[-10:]]
    return " ".join(nodes)


def _short(error: str) -> str:
    flat = " ".join(error.split())
    return flat if len(flat) <= _MAX_ERROR_CHARS else flat[: _MAX_ERROR_CHARS - 3] + "..."


def _lines(lines) -> str:
    return "\n".join(lines) or "none"


def _product(interfaces: bool) -> str:
    return "programs" if interfaces else "routes"


def _fill(template: str, **values: object) -> str:
    text = (Path(__file__).parent / "templates" / f"{template}.txt").read_text(encoding="utf-8")
    return Template(text).substitute(values).strip()
