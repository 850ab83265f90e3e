"""What the offline planner reads out of the prompts' text: the network, the agents, and what came of its programs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

Road = tuple[int, int]
"""A directed road as its two nodes."""

Turn = tuple[int, int, int | None]
"""A directed road and the node after it; None where a trip ends."""

_NODE = re.compile(r"^(\d+) \((-?\d+), (-?\d+)\) -> (.*)$", re.MULTILINE)
_END = re.compile(r"(\d+) \(([\d.]+) s\)")
_NO_TURN = re.compile(r"\b(\d+)-(\d+)-(\d+)\b")
_AGENT = re.compile(r"^(\w+): origin (\d+), heading for (\d+), destination (\d+), departs at", re.MULTILINE)
_RESULT = re.compile(
    r"^(\w+): (arrived|did not arrive)\b.*?, travel time (\d+) s, reward -?\d+\n((?:  .*(?:\n|\Z))*)", re.MULTILINE
)
_PATH = re.compile(r"^  path: (.*)$", re.MULTILINE)
_INSTRUCTIONS = re.compile(r"^  instructions: (.*)$", re.MULTILINE)
_KEEPS_BEST = "a worse revision does not replace it"
_BEST = re.compile(r"^  best so far: (.+), (\d+) s on average of (\d+) trips?(?:, by (.*))?$", re.MULTILINE)
_LIVE = "move_to_by_shortest_time("
_POLICY = re.compile(r"best travel time \d+ s by path ([\d ]+)$", re.MULTILINE)
_ROAD = re.compile(r"^(\d+)-(\d+) \(([\d.]+)\): (.*)$", re.MULTILINE)
_TURN = re.compile(r"(\d+|end) (\d+) s x(\d+)")
_VOLATILITY = re.compile(r"^(\w+): .*, loss \d+$", re.MULTILINE)
_DIVERGENCE = re.compile(r"^(\w+): .*, divergence ([\d.]+), road", re.MULTILINE)


@dataclass(frozen=True)
class Task:
    """One agent as the initial prompt describes it."""

    name: str
    origin: int
    heading: int
    destination: int


@dataclass(frozen=True)
class Map:
    """The network as the initial prompt gives it.

    Attributes:
        free_s: seconds on the empty road, per road.
        following: nodes that a road leads to, per node.
        no_turn: (from, over, to) that no vehicle can drive, beside turning back.
    """

    free_s: Mapping[Road, float]
    following: Mapping[int, tuple[int, ...]]
    no_turn: frozenset[tuple[int, int, int]] = frozenset()

    def allows(self, before: int, node: int, after: int) -> bool:
        """Whether one can drive from `before` over `node` to `after`."""
        return after != before and (before, node, after) not in self.no_turn

    def ways_on(self, road: Road) -> Iterator[int | None]:
        """The nodes that one can drive to after the road, and None: a trip may end there."""
        yield from (after for after in self.following.get(road[1], ()) if self.allows(*road, after))
        yield None


@dataclass(frozen=True)
class Measured:
    """A road before a turn as a feedback prompt describes it.

    Attributes:
        travel_time_s: mean seconds on the road before this turn.
        vehicles: agents on the road per episode, whatever turn they took.
        trips: on how many the mean rests.
    """

    travel_time_s: float
    vehicles: float
    trips: float


@dataclass(frozen=True)
class Result:
    """One agent as a feedback prompt describes it.

    Attributes:
        best_works: whether the best program so far brings it to its destination.
        best_s: average travel time of the best program so far.
        best_trips: how often it was driven.
        best_path: the path that it drove last; empty if the prompt does not say.
        best_is_live: whether it leaves the way to the live traffic.
        policy_path: of the quickest trip of the agent's policy; empty if it never arrived.
    """

    best_works: bool
    best_s: float
    best_trips: int
    best_path: tuple[int, ...]
    best_is_live: bool
    policy_path: tuple[int, ...]


@dataclass(frozen=True)
class Feedback:
    """A feedback prompt.

    Attributes:
        results: per agent.
        roads: how long roads took, before which turn.
        keeps_best: whether a revision that is worse does no harm.
        disturbing: agents in the section about reward volatility.
        divergence: of the agents in the section about policy divergence.
    """

    results: Mapping[str, Result] = field(default_factory=dict)
    roads: Mapping[Turn, Measured] = field(default_factory=dict)
    keeps_best: bool = False
    disturbing: frozenset[str] = frozenset()
    divergence: Mapping[str, float] = field(default_factory=dict)


def read_tasks(system: str) -> dict[str, Task]:
    """The agents of an initial prompt, by name."""
    found = _AGENT.finditer(system)
    return {match[1]: Task(match[1], *(int(node) for node in match.groups()[1:])) for match in found}


def read_map(system: str) -> Map:
    """The network of an initial prompt."""
    text, _, _ = system.partition("\nAGENTS\n")
    ends = {int(row[1]): [(int(end), float(s)) for end, s in _END.findall(row[4])] for row in _NODE.finditer(text)}
    _, _, turns = text.partition("\nTurns that do not exist")
    return Map(
        free_s={(node, end): seconds for node, rows in ends.items() for end, seconds in rows},
        following={node: tuple(end for end, _ in rows) for node, rows in ends.items()},
        no_turn=frozenset((int(a), int(b), int(c)) for a, b, c in _NO_TURN.findall(turns)),
    )


def read_feedback(request: str) -> Feedback:
    """A feedback prompt; empty if `request` is something else."""
    if not request.startswith("RESULTS"):
        return Feedback()
    rest, _, divergence = request.partition("\nPOLICY DIVERGENCE")
    rest, _, volatility = rest.partition("\nREWARD VOLATILITY")
    results, _, roads = rest.partition("\nROADS")
    return Feedback(
        results={match[1]: _result(match) for match in _RESULT.finditer(results + "\n")},
        roads={
            (int(start), int(end), None if then == "end" else int(then)): Measured(
                float(s), float(agents), float(trips)
            )
            for start, end, agents, turns in _ROAD.findall(roads)
            for then, s, trips in _TURN.findall(turns)
        },
        keeps_best=_KEEPS_BEST in results,
        disturbing=frozenset(match[1] for match in _VOLATILITY.finditer(volatility)),
        divergence={match[1]: float(match[2]) for match in _DIVERGENCE.finditer(divergence)},
    )


def without_loops(path: Sequence[int]) -> tuple[int, ...]:
    """The path with every detour that returns to a node left out; its first road stays, since vehicles begin there.

    Whoever has to drive once round the block first passes its origin again.
    """
    nodes: list[int] = []
    for node in path[1:]:
        if node in nodes:
            del nodes[nodes.index(node) :]
        nodes.append(node)
    return (*path[:1], *nodes)


def _result(match: re.Match[str]) -> Result:
    details = match[4]
    is_good = match[2] == "arrived" and "  failed: " not in details
    path, best, policy = _PATH.search(details), _BEST.search(details), _POLICY.search(details)
    instructions = _INSTRUCTIONS.search(details)
    driven, by = path[1] if path else "", instructions[1] if instructions else ""
    if best is not None and best[1] != "this one":
        by, _, driven = (best[4] or "").rpartition("path ")
    return Result(
        best_works=is_good or (best is not None and best[1] != "this one"),
        best_s=float(best[2]) if best else float(match[3]),
        best_trips=int(best[3]) if best else 1,
        best_path=_nodes(driven),
        best_is_live=by.count("(") == 1 and by.startswith(_LIVE),
        policy_path=_nodes(policy[1]) if policy else (),
    )


def _nodes(text: str) -> tuple[int, ...]:
    return tuple(int(node) for node in text.split()) if "..." not in text else ()
