"""The offline planner: rules that read the same prompts as a language model, as text, and answer as text.

It makes everything run end to end without a key. Its first answer sends every agent along the fastest path in live
traffic. When feedback comes, it replaces what failed, takes over a learnt policy's route that was quicker (or about as
quick, where the demonstration is hard to imitate), and otherwise keeps what was best so far. What it has tried stands
as a comment in its own answer, so it needs no memory but the conversation.
"""

from __future__ import annotations

import heapq
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from rllib_releds.demonstrations.chat import ChatSettings, Message, Reply, estimate_tokens

HARD_TO_IMITATE = 4.0
"""Policy divergence from which on a route of about the same length is preferred: a probability below 2 %."""

_CLEARLY_QUICKER = 0.97
_ABOUT_AS_QUICK = 1.05

_NODE = re.compile(r"^(\d+) \((-?\d+), (-?\d+)\) -> ([\d, ]*)$", re.MULTILINE)
_AGENT = re.compile(r"^(\w+): origin (\d+), heading for (\d+), destination (\d+), departs at", re.MULTILINE)
_RESULT = re.compile(
    r"^(\w+): (arrived|did not arrive)\b.*?, travel time (\d+) s, reward -?\d+\n((?:  .*(?:\n|\Z))*)", re.MULTILINE
)
_INSTRUCTIONS = re.compile(r"^  instructions: (.*)$", re.MULTILINE)
_POLICY = re.compile(r"best travel time (\d+) s by path ([\d ]+)$", re.MULTILINE)
_VOLATILITY = re.compile(r"^(\w+): .*, loss (\d+)$", re.MULTILINE)
_DIVERGENCE = re.compile(r"^(\w+): .*, divergence ([\d.]+), road", re.MULTILINE)
_TRIED = re.compile(r"# (\w+) goes by (\w+)((?: [\d ]+)?); tried:((?: \w+ [\d.]+(?:inf)? s,?)*)")


class PlannerChat:
    """The planner as a `ChatModel`, for when litellm is not installed."""

    def complete(self, messages: Sequence[Message], settings: ChatSettings) -> Reply:
        text = plan_reply(messages)
        tokens = estimate_tokens(text)
        return Reply(text, tokens + sum(estimate_tokens(m.content) for m in messages), 0.0, 0.0, tokens)


@dataclass(frozen=True)
class Task:
    """One agent as the initial prompt describes it."""

    name: str
    origin: int
    heading: int
    destination: int


@dataclass(frozen=True)
class Choice:
    """How an agent is sent.

    Attributes:
        way: "time" (fastest in live traffic), "distance" (shortest), or "route" (the nodes).
        route: for "route".
        tried: travel time in seconds of each way that was carried out; inf if it did not arrive.
    """

    way: str = "time"
    route: tuple[int, ...] = ()
    tried: Mapping[str, float] = field(default_factory=dict)

    @property
    def best_s(self) -> float:
        return min(self.tried.values(), default=math.inf)


@dataclass(frozen=True)
class Outcome:
    """One agent as a feedback prompt describes it."""

    arrived: bool
    failed: bool
    time_s: float
    instructions: str
    policy_time_s: float
    policy_path: tuple[int, ...]
    is_disturbing: bool
    divergence: float


def plan_reply(messages: Sequence[Message]) -> str:
    """The planner's answer to a conversation: a pure function of its text."""
    system = "\n".join(message.content for message in messages if message.role == "system")
    request = next((message.content for message in reversed(messages) if message.role == "user"), "")
    tasks = {match[1]: Task(match[1], *(int(node) for node in match.groups()[1:])) for match in _AGENT.finditer(system)}
    if not tasks:
        return "I see no agents in the prompt, so there is nothing to plan."
    choices = dict.fromkeys(tasks, Choice())
    if request.startswith("RESULTS"):
        previous = _previous(messages)
        outcomes = _outcomes(request)
        choices = {
            name: revised(previous.get(name), outcomes[name]) if name in outcomes else previous.get(name, Choice())
            for name in tasks
        }
    elif request.startswith("These agents"):
        named = set(re.findall(r"\w+", request.rsplit("only:", 1)[-1]))
        choices = {name: Choice() for name in tasks if name in named}
    if "NAVIGATION FUNCTIONS" in system:
        return _programs({name: tasks[name] for name in choices}, choices)
    return _routes(_graph(system), {name: tasks[name] for name in choices}, choices)


def revised(previous: Choice | None, outcome: Outcome) -> Choice:
    """What to do with one agent after its results."""
    current = previous or _recognised(outcome.instructions)
    arrived_s = outcome.time_s if outcome.arrived and not outcome.failed else math.inf
    tried = dict(current.tried) | {current.way: arrived_s}
    current = replace(current, tried=tried)
    about_as_quick = outcome.policy_time_s <= _ABOUT_AS_QUICK * current.best_s and outcome.divergence >= HARD_TO_IMITATE
    if outcome.policy_path and (outcome.policy_time_s < _CLEARLY_QUICKER * current.best_s or about_as_quick):
        route = without_loops(outcome.policy_path)
        return Choice(
            "route", route, {way: s for way, s in tried.items() if way != "route"} | {"route": outcome.policy_time_s}
        )
    untried = [way for way in ("time", "distance") if way not in tried]
    if untried and (math.isinf(arrived_s) or outcome.is_disturbing):
        return replace(current, way=untried[0], route=())
    best = min(tried, key=lambda way: (tried[way], way != current.way))
    if math.isinf(tried[best]):
        return replace(current, way="time", route=())
    if tried[best] < _CLEARLY_QUICKER * arrived_s and (best != "route" or current.route):
        return replace(current, way=best)
    return current


def without_loops(path: Sequence[int]) -> tuple[int, ...]:
    """The path with every detour that returns to a node left out."""
    nodes: list[int] = []
    for node in path:
        if node in nodes:
            del nodes[nodes.index(node) :]
        nodes.append(node)
    return tuple(nodes)


def _previous(messages: Sequence[Message]) -> dict[str, Choice]:
    """What the planner's own latest answers chose, a repair after a full answer included."""
    choices = {}
    for message in messages:
        if message.role != "assistant":
            continue
        for match in _TRIED.finditer(message.content):
            tried = {way: float(s) for way, s in re.findall(r"(\w+) ([\d.]+|inf) s", match[4])}
            choices[match[1]] = Choice(match[2], tuple(int(node) for node in match[3].split()), tried)
    return choices


def _recognised(instructions: str) -> Choice:
    """The choice behind instructions that were carried out, when the answer itself was trimmed away."""
    nodes = [int(node) for node in re.findall(r"\((\d+)\)", instructions)]
    if len(nodes) > 1:
        return Choice("route", tuple(nodes))
    return Choice("distance" if "shortest_path" in instructions else "time")


def _outcomes(feedback: str) -> dict[str, Outcome]:
    results, _, rest = feedback.partition("\nREWARD VOLATILITY")
    volatility, _, divergence = rest.partition("\nPOLICY DIVERGENCE")
    disturbing = {match[1] for match in _VOLATILITY.finditer(volatility)}
    divergences = {match[1]: float(match[2]) for match in _DIVERGENCE.finditer(divergence)}
    outcomes = {}
    for match in _RESULT.finditer(results):
        name, details = match[1], match[4]
        policy = _POLICY.search(details)
        instructions = _INSTRUCTIONS.search(details)
        outcomes[name] = Outcome(
            arrived=match[2] == "arrived",
            failed="\n  failed: " in f"\n{details}" or "from then on the vehicle was driven" in details,
            time_s=float(match[3]),
            instructions=instructions[1] if instructions else "",
            policy_time_s=float(policy[1]) if policy else math.inf,
            policy_path=tuple(int(node) for node in policy[2].split()) if policy else (),
            is_disturbing=name in disturbing,
            divergence=divergences.get(name, 0.0),
        )
    return outcomes


def _programs(tasks: Mapping[str, Task], choices: Mapping[str, Choice]) -> str:
    functions = [_program(task, choices[name]) for name, task in tasks.items()]
    return "```python\n" + "\n\n\n".join(functions) + "\n```\n"


def _program(task: Task, choice: Choice) -> str:
    tried = ", ".join(f"{way} {seconds:g} s" for way, seconds in choice.tried.items())
    nodes = "".join(f" {node}" for node in choice.route)
    lines = [f"def {task.name}():", f"    # {task.name} goes by {choice.way}{nodes}; tried: {tried}".rstrip()]
    if choice.way == "route":
        # The vehicle drives towards the second node already.
        lines.append(f"    for node in {list(choice.route[2:-1])}:")
        lines.append("        move_to_by_shortest_path(node)")
    function = "move_to_by_shortest_path" if choice.way == "distance" else "move_to_by_shortest_time"
    lines.append(f"    {function}(get_destination())")
    return "\n".join(lines)


def _routes(graph: _Graph, tasks: Mapping[str, Task], choices: Mapping[str, Choice]) -> str:
    routes = {}
    for name, task in tasks.items():
        route = choices[name].route
        is_usable = choices[name].way == "route" and graph.follows(route) and route[:2] == (task.origin, task.heading)
        routes[name] = list(route) if is_usable else [task.origin, *graph.shortest(task.heading, task.destination)]
    return "```json\n" + json.dumps(routes) + "\n```\n"


@dataclass(frozen=True)
class _Graph:
    """The network as the initial prompt gives it."""

    xy: Mapping[int, tuple[float, float]]
    following: Mapping[int, tuple[int, ...]]

    def follows(self, route: Sequence[int]) -> bool:
        return len(route) > 1 and all(end in self.following.get(node, ()) for node, end in pairwise(route))

    def shortest(self, origin: int, destination: int) -> list[int]:
        """Nodes of the path of least straight-line length; only the origin if there is none."""
        queue: list[tuple[float, int]] = [(0.0, origin)]
        cost, before = {origin: 0.0}, {origin: origin}
        while queue:
            so_far, node = heapq.heappop(queue)
            if node == destination:
                break
            for end in self.following.get(node, ()):
                length = so_far + math.dist(self.xy[node], self.xy[end])
                if length < cost.get(end, math.inf):
                    cost[end], before[end] = length, node
                    heapq.heappush(queue, (length, end))
        route = [destination] if destination in before else [origin]
        while route[-1] != origin:
            route.append(before[route[-1]])
        return route[::-1]


def _graph(system: str) -> _Graph:
    rows = list(_NODE.finditer(system))
    return _Graph(
        {int(row[1]): (float(row[2]), float(row[3])) for row in rows},
        {int(row[1]): tuple(int(end) for end in re.findall(r"\d+", row[4])) for row in rows},
    )
