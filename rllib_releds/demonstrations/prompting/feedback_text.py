"""What came of a cycle, in the words of the feedback prompt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby

from rllib_releds.demonstrations.feedback import AgentOutcome, KeptVersion
from rllib_releds.demonstrations.roads import RoadTime
from rllib_releds.demonstrations.stationarity import DivergencePair, VolatilityPair
from sumo_marl_env import Instruction, NodeID

MAX_BREVITY = 4
"""A prompt leaves out instructions, if there are many, from step 1 on, the policy's path from 2 on, paths that are not
the best from 3 on, and with each step pairs, and roads that took little time."""

MAX_TURNS = 400
"""In a prompt that leaves nothing out."""

_WELL_KNOWN_TRIPS = 3.0

MAX_ERROR_CHARS = 300


def outcome(
    name: str,
    outcome: AgentOutcome,
    kept: KeptVersion | None,
    brevity: int = 0,
    *,
    with_policy: bool = True,
    interfaces: bool = True,
) -> str:
    """What came of one agent, and, `with_policy`, what its learnt policy does.

    Without `interfaces` it names no navigation functions, of which a model that writes routes was never told.
    """
    result = "arrived" if outcome.arrived else f"did not arrive ({outcome.exit})"
    lines = [f"{name}: {result}, travel time {outcome.travel_time_s:.0f} s, reward {outcome.reward:.0f}"]
    if interfaces and (brevity < 1 or len(outcome.instructions) == 1):
        lines.append(f"  instructions: {instructions(outcome.instructions)}")
    if brevity < 3 or kept is None or kept.is_latest:
        lines.append(f"  path: {path(outcome.path)}")
    if outcome.unanswered is not None:
        lines.append(f"  by its earlier answer, for the last one had nothing usable: {short(outcome.unanswered)}")
    if outcome.error is not None:
        lines.append(f"  failed: {short(outcome.error)}")
        by = "move_to_by_shortest_time(get_destination())" if interfaces else "the fastest way in live traffic"
        lines.append(f"  from then on the vehicle was driven by {by}")
    if kept is not None:
        lines.append(f"  {_best(kept, interfaces)}")
    if with_policy and brevity < 2:
        lines.append(f"  {_policy(outcome)}")
    return "\n".join(lines)


def volatility(name: str, pair: VolatilityPair, *, interfaces: bool = True) -> str:
    doing = _instruction(pair.instruction, interfaces)
    return f"{name}: {doing} at {pair.time_s:.0f} s near node {pair.junction}, loss {pair.reward:.0f}"


def divergence(name: str, pair: DivergencePair, *, interfaces: bool = True) -> str:
    observation = ", ".join(f"{value:g}" for value in (round(value, 2) for value in pair.observation))
    doing = _instruction(pair.instruction, interfaces)
    return (
        f"{name}: {doing} at {pair.time_s:.0f} s, divergence {pair.divergence:.2f}, "
        f"road {pair.action} chosen on observation [{observation}]"
    )


def roads(times: Sequence[RoadTime], brevity: int = 0) -> str:
    """The roads in the order of their nodes, each with what it took before every turn.

    If there are too many, those are left out that took little time or were hardly driven.
    """
    told = sorted(times, key=lambda road: -min(road.trips, _WELL_KNOWN_TRIPS) * road.travel_time_s)
    told = sorted(told[: MAX_TURNS // (brevity + 1)], key=lambda road: road.key)
    vehicles: defaultdict[tuple[NodeID, NodeID], float] = defaultdict(float)
    for road in times:
        vehicles[road.start, road.end] += road.vehicles
    by_road = groupby(told, key=lambda road: (road.start, road.end))
    return "\n".join(_road(list(turns), vehicles[road]) for road, turns in by_road)


def instructions(instructions: Sequence[Instruction]) -> str:
    shown = [str(instruction) for instruction in instructions[:12]]
    return ", ".join(shown) + (f" and {len(instructions) - 12} more" if len(instructions) > 12 else "") or "none"


def path(path: Sequence[NodeID]) -> str:
    """Long paths are cut in the middle: somebody who drove in circles needs no full list."""
    nodes = [str(node) for node in path]
    if len(nodes) > 60:
        nodes = [*nodes[:40], "...", *nodes[-10:]]
    return " ".join(nodes)


def short(error: str, max_chars: int = MAX_ERROR_CHARS) -> str:
    flat = " ".join(error.split())
    return flat if len(flat) <= max_chars else flat[: max_chars - 3] + "..."


def _instruction(instruction: Instruction, interfaces: bool) -> str:
    return str(instruction) if interfaces else f"driving to node {instruction.target}"


def _road(turns: Sequence[RoadTime], agents: float) -> str:
    """One road; `turns` are those told of, `agents` all that drove there, whatever turn they took."""
    told = (
        f"{'end' if turn.then is None else turn.then} {turn.travel_time_s:.0f} s x{max(round(turn.trips), 1)}"
        for turn in turns
    )
    return f"{turns[0].start}-{turns[0].end} ({agents:.1f}): {', '.join(told)}"


def _best(kept: KeptVersion, interfaces: bool) -> str:
    trips = f"{kept.travel_time_s:.0f} s on average of {kept.trips} trip{'s' if kept.trips > 1 else ''}"
    if kept.is_latest:
        return f"best so far: this one, {trips}"
    by = f"{kept.instructions[0]} " if interfaces and len(kept.instructions) == 1 else ""
    return f"best so far: the one of cycle {kept.cycle}, {trips}, by {by}path {path(kept.path)}"


def _policy(outcome: AgentOutcome) -> str:
    own = f"its learnt policy: mean reward {outcome.policy_reward:.0f}"
    if outcome.policy_best_time_s is not None:
        own += f", best travel time {outcome.policy_best_time_s:.0f} s by path {path(outcome.policy_best_path)}"
    return own
