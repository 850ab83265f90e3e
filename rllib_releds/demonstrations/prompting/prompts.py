"""The texts that chat models get: initial prompt, feedback prompt, repair prompt. The wording is in `templates/`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Template

from rllib_releds.demonstrations.agent_names import names_of
from rllib_releds.demonstrations.execution.limits import SandboxLimits
from rllib_releds.demonstrations.feedback import CycleFeedback
from rllib_releds.demonstrations.functions import routing_functions
from rllib_releds.demonstrations.models.chat import estimate_tokens
from rllib_releds.demonstrations.prompting import feedback_text, network_text
from rllib_releds.demonstrations.protocol import DemonstrationContext
from rllib_releds.demonstrations.surroundings import nodes_that_matter
from sumo_marl_env import AgentID, NodeID, RoadNetwork, Trip

MAX_PAIRS = 8
"""Reward-volatility and policy-divergence pairs in a prompt: the worst ones."""

_STEADY = (
    ", and change instructions with large reward volatility or policy divergence if another route is about as quick"
)


def initial_prompt(
    context: DemonstrationContext,
    *,
    interfaces: bool = True,
    limits: SandboxLimits | None = None,
    max_tokens: int | None = None,
) -> str:
    """The system prompt: task, network, agents, and what to answer.

    Args:
        context: network, trips and scenario.
        interfaces: True asks for programs that use the navigation functions, False for node-by-node routes.
        limits: what a program may use.
        max_tokens: a network that makes the prompt longer is cut to the junctions that matter most for the trips, and
            the prompt says so; all agents and their fastest paths are always in it. None never cuts.
    """
    names = names_of([trip.agent for trip in context.trips])

    def filled(nodes: Sequence[NodeID]) -> str:
        return _fill(
            "initial",
            scenario=context.scenario,
            extent=network_text.extent(context.network, nodes),
            nodes=network_text.nodes(context.network, nodes),
            turns=network_text.turns(context.network, nodes),
            agents="\n".join(_agent(names[trip.agent], trip, context.network) for trip in context.trips),
            contract=_program_contract(names, limits or SandboxLimits())
            if interfaces
            else _route_contract(names, context),
        )

    def fits(nodes: Sequence[NodeID]) -> bool:
        return max_tokens is None or estimate_tokens(filled(nodes)) <= max_tokens

    whole = filled(range(context.network.num_junctions))
    cut = filled(nodes_that_matter(context.network, context.trips, fits))
    # To say what was left out may take more than leaving it out has saved.
    return min(whole, cut, key=estimate_tokens)


def trigger_prompt(*, interfaces: bool = True) -> str:
    """The short command that asks for the first answer."""
    return _fill("trigger", product=_product(interfaces))


def feedback_prompt(
    feedback: CycleFeedback,
    agents: Sequence[AgentID],
    *,
    interfaces: bool = True,
    stationarity: bool = True,
    max_tokens: int | None = None,
) -> str:
    """What came of the last answer, and the request to revise it.

    Args:
        feedback: of the previous cycle.
        agents: all agents, in order.
        interfaces: as in `initial_prompt`.
        stationarity: False tells validity and reward alone, as LEED does: no reward volatility, no policy divergence,
            no times of roads, nothing about the learnt policies.
        max_tokens: details are left out, step by step, until the prompt is no longer than this, or as short as it can
            be. None leaves nothing out.
    """
    text = ""
    for brevity in range(feedback_text.MAX_BREVITY + 1):
        text = _feedback(feedback, names_of(agents), brevity, interfaces, stationarity)
        if max_tokens is None or estimate_tokens(text) <= max_tokens:
            break
    return text


def _feedback(
    feedback: CycleFeedback, names: Mapping[AgentID, str], brevity: int, interfaces: bool, stationarity: bool
) -> str:
    pairs = max(MAX_PAIRS // 2**brevity, 1)
    volatility = (
        feedback_text.volatility(names[pair.agent], pair, interfaces=interfaces) for pair in feedback.volatility[:pairs]
    )
    divergence = (
        feedback_text.divergence(names[pair.agent], pair, interfaces=interfaces) for pair in feedback.divergence[:pairs]
    )
    measures = _fill("stationarity", volatility=_lines(volatility), divergence=_lines(divergence))
    outcomes = (
        feedback_text.outcome(
            names[one.agent],
            one,
            feedback.kept.get(one.agent),
            brevity,
            with_policy=stationarity,
            interfaces=interfaces,
        )
        for one in feedback.outcomes
    )
    roads = f"{_fill('roads', roads=feedback_text.roads(feedback.roads, brevity))}\n\n" if feedback.roads else ""
    return _fill(
        "feedback",
        product=_product(interfaces),
        cycle=feedback.cycle,
        epoch=feedback.epoch,
        executed=sum(outcome.executed for outcome in feedback.outcomes),
        num_agents=len(feedback.outcomes),
        mean_reward=f"{feedback.mean_reward:.0f}",
        memory=f"{_fill('memory')}\n\n" if feedback.kept else "",
        outcomes=_lines(outcomes),
        roads=roads if stationarity else "",
        stationarity=f"{measures}\n\n" if stationarity else "",
        and_steady=_STEADY if stationarity else "",
        names=", ".join(names.values()),
    )


def repair_prompt(
    errors: Mapping[AgentID, str],
    agents: Sequence[AgentID],
    *,
    interfaces: bool = True,
    max_tokens: int | None = None,
) -> str:
    """Names only the agents that have nothing usable, and why; those that fail alike, with a helper's error, together.

    Args:
        errors: what is wrong, per failing agent.
        agents: all agents, in order.
        interfaces: as in `initial_prompt`.
        max_tokens: errors are cut shorter until the prompt is no longer than this, or as short as it can be.
    """
    names = names_of(agents)
    failing = [agent for agent in agents if agent in errors]
    text = ""
    for shorter in (1, 2, 5):
        by_error: dict[str, list[str]] = {}
        for agent in failing:
            why = feedback_text.short(errors[agent], feedback_text.MAX_ERROR_CHARS // shorter)
            by_error.setdefault(why, []).append(names[agent])
        text = _fill(
            "repair",
            product="program" if interfaces else "route",
            errors=_lines(f"{', '.join(alike)}: {why}" for why, alike in by_error.items()),
            names=", ".join(names[agent] for agent in failing),
        )
        if max_tokens is None or estimate_tokens(text) <= max_tokens:
            break
    return text


def _program_contract(names: Mapping[AgentID, str], limits: SandboxLimits) -> str:
    table = routing_functions().functions.values()
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


def _agent(name: str, trip: Trip, network: RoadNetwork) -> str:
    return (
        f"{name}: origin {trip.origin}, heading for {_heading(trip, network)}, destination {trip.destination}, "
        f"departs at {trip.depart_s:g} s"
    )


def _heading(trip: Trip, network: RoadNetwork) -> NodeID:
    return int(network.edge_to[trip.origin_edge])


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines) or "none"


def _product(interfaces: bool) -> str:
    return "programs" if interfaces else "routes"


def _fill(template: str, **values: object) -> str:
    text = (Path(__file__).parent / "templates" / f"{template}.txt").read_text(encoding="utf-8")
    return Template(text).substitute(values).strip()
