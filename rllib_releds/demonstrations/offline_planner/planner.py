"""The offline planner: rules that read the same prompts as a language model, as text, and answer as text.

It makes everything run end to end without a key. It is a small traffic assignment, not a language model: its answer is
a function of the conversation's text alone.

    reading     the prompts: network, agents, results, road times
    assignment  who drives where
    writing     programs, or node-by-node routes
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from random import Random

from rllib_releds.demonstrations.models.chat import ChatSettings, Message, Reply, ScriptedChat
from rllib_releds.demonstrations.offline_planner.assignment import Costs, assign, explore, fastest, road_costs
from rllib_releds.demonstrations.offline_planner.reading import (
    Feedback,
    Map,
    Result,
    Task,
    read_feedback,
    read_map,
    read_tasks,
    without_loops,
)
from rllib_releds.demonstrations.offline_planner.writing import LIVE, write_programs, write_routes

HARD_TO_IMITATE = 4.0
"""Policy divergence from which on the policy's own route is preferred: a probability below 2 %."""

ABOUT_AS_QUICK = 1.05

CURIOUS_SHARE = 0.5
"""Of the agents that try a route in a cycle, as long as their best one is kept anyway."""

KNOWN_TRIPS = 3
"""Before so many trips with its best program, an agent tries nothing else: that one may only have been lucky."""


class PlannerChat:
    """The planner as a `ChatModel`, for when litellm is not installed."""

    def complete(self, messages: Sequence[Message], settings: ChatSettings) -> Reply:
        return ScriptedChat([plan_reply(messages)]).complete(messages, settings)


def plan_reply(messages: Sequence[Message]) -> str:
    """The planner's answer to a conversation: a pure function of its text."""
    system = "\n".join(message.content for message in messages if message.role == "system")
    request = next((message.content for message in reversed(messages) if message.role == "user"), "")
    tasks = read_tasks(system)
    if not tasks:
        return "I see no agents in the prompt, so there is nothing to plan."
    town = read_map(system)
    # The only chance there is: the same text has the same answer.
    routes = planned(town, tasks, read_feedback(request), Random(request))
    if request.startswith("These agents"):
        named = set(re.findall(r"\w+", request.rsplit("only:", 1)[-1]))
        tasks = {name: task for name, task in tasks.items() if name in named}
    if "NAVIGATION FUNCTIONS" in system:
        return write_programs(tasks, routes)
    return write_routes(tasks, {name: routes[name] or _direct(town, task) for name, task in tasks.items()})


def planned(town: Map, tasks: Mapping[str, Task], feedback: Feedback, random: Random) -> dict[str, tuple[int, ...]]:
    """Every agent's route, or `LIVE`.

    Args:
        town: the network.
        tasks: all agents.
        feedback: empty before the first results.
        random: chooses who tries something, and what.
    """
    costs = road_costs(town, feedback.roads)
    if not feedback.results:
        routes = assign(town, costs, tasks.values(), {})
        # Who has the road to itself does best by looking at the traffic.
        own = {name: fastest(town, costs, {}, task) for name, task in tasks.items()}
        return {name: LIVE if routes.get(name, LIVE) == own[name] else routes[name] for name in tasks}
    current = {name: kept_route(result) for name, result in feedback.results.items() if name in tasks}
    current = {name: route for name, route in current.items() if route and route[-1] == tasks[name].destination}
    slowest_first = sorted(tasks.values(), key=lambda task: -_time_s(feedback, task.name))
    routes = assign(town, costs, slowest_first, current, restless=feedback.disturbing)
    for name, divergence in feedback.divergence.items():
        if divergence >= HARD_TO_IMITATE and name in feedback.results:
            routes[name] = _easier(costs, feedback.results[name], routes.get(name, LIVE))
    if feedback.keeps_best:
        routes |= explore(town, costs, _curious(tasks, feedback, random), routes, random)
    return {name: _choice(feedback.results.get(name), routes.get(name, LIVE), current.get(name)) for name in tasks}


def _curious(tasks: Mapping[str, Task], feedback: Feedback, random: Random) -> list[Task]:
    """The agents that try a route now."""
    draws = {name: random.random() for name in tasks}
    return [
        task
        for name, task in tasks.items()
        if draws[name] < CURIOUS_SHARE
        and (name not in feedback.results or feedback.results[name].best_trips >= KNOWN_TRIPS)
    ]


def kept_route(result: Result) -> tuple[int, ...]:
    """The route of the agent's best demonstration; empty if it has none that works."""
    return without_loops(result.best_path) if result.best_works else ()


def _easier(costs: Costs, result: Result, route: tuple[int, ...]) -> tuple[int, ...]:
    """The route that the agent's policy knows, if it is about as quick as `route`."""
    known = without_loops(result.policy_path)
    is_about_as_quick = known and costs.of(known, {}) <= ABOUT_AS_QUICK * costs.of(route, {})
    return known if is_about_as_quick else route


def _choice(result: Result | None, route: tuple[int, ...], current: tuple[int, ...] | None) -> tuple[int, ...]:
    if result is None:
        return LIVE
    if not result.best_works:
        # Whatever it was, it failed: try the other kind.
        return route if result.best_is_live else LIVE
    return LIVE if route == current and result.best_is_live else route


def _time_s(feedback: Feedback, name: str) -> float:
    return feedback.results[name].best_s if name in feedback.results else 0.0


def _direct(town: Map, task: Task) -> tuple[int, ...]:
    route = fastest(town, road_costs(town, {}), {}, task)
    return route or (task.origin, task.heading, task.destination)
