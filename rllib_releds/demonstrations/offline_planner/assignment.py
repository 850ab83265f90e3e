"""How the offline planner spreads agents over the network: a small traffic assignment on what the prompts say.

A road takes, before a turn, `base + slope * others` seconds. Before anything was measured, the base is the time on the
empty road and the slope a guess of what one vehicle more costs the others at a signal. Measured times replace both, the
more the more trips they rest on. Agents choose one after the other, each knowing the routes of all others, and change
their route only for a clear gain.

`sampled` draws costs from what they may be after so few trips: whoever takes the fastest route by such a draw tries
what may turn out faster, and tries it the less the better it is known (posterior sampling).
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, zip_longest
from random import Random
from statistics import median

from rllib_releds.demonstrations.offline_planner.reading import Map, Measured, Road, Task, Turn

SLOPE_S = 1.5
"""Seconds that a vehicle more on a road costs, as long as nothing was measured."""

GUESS_TRIPS = 1.0
"""How many measured trips a guess weighs."""

CURIOSITY = 0.5
"""Roads never measured are taken to be slower than empty by this share of what is typical for those measured."""

UNCERTAINTY = 0.5
"""Standard deviation of a guess, as a share of the delay that is typical for the roads measured."""

LEAST_SHARE = 0.1
"""Of the time on a road that is not put down to the other agents on it."""

CLEAR_GAIN = 0.04
"""Share of its travel time that an agent must gain to change its route."""

ROUNDS = 3
"""Passes over all agents, as long as some change."""


@dataclass(frozen=True)
class Costs:
    """Seconds of every road before every turn, as a function of the agents on it.

    Attributes:
        base_s: for the only agent.
        slope_s: per other agent.
        doubt_s: standard deviation of `base_s` after the trips measured.
    """

    base_s: Mapping[Turn, float]
    slope_s: Mapping[Road, float]
    doubt_s: Mapping[Turn, float]

    def of(self, route: Sequence[int], loads: Mapping[Road, float]) -> float:
        """Of a route beside `loads`, the agents on each road; infinite if it leaves the map."""
        roads = list(pairwise(route))
        return sum(self.road(road, then, loads) for road, then in zip_longest(roads, route[2:]))

    def road(self, road: Road, then: int | None, loads: Mapping[Road, float]) -> float:
        """Of a road before the turn to the node `then`, or before the end of the trip."""
        base_s = self.base_s.get((*road, then))
        return math.inf if base_s is None else base_s + self.slope_s[road] * loads.get(road, 0.0)


def road_costs(town: Map, measured: Mapping[Turn, Measured]) -> Costs:
    """What roads take before each turn, from the empty network and from what was measured."""
    roads = _whole_roads(town, measured)
    delays = [max(one.travel_time_s - town.free_s[road], 0.0) for road, one in roads.items()]
    typical_s = median(delays) if delays else 0.0
    base_s: dict[Turn, float] = {}
    doubt_s: dict[Turn, float] = {}
    slope_s = dict.fromkeys(town.free_s, SLOPE_S)
    for road, free_s in town.free_s.items():
        road_s, others = free_s + CURIOSITY * typical_s, 0.0
        if road in roads:
            one = roads[road]
            road_s = _weighed(road_s, one)
            slope_s[road] = min(SLOPE_S, max(road_s - free_s, 0.0) / max(one.vehicles, 1.0))
            others = max(one.vehicles - 1.0, 0.0)
        for then in town.ways_on(road):
            turn = (*road, then)
            time_s, trips = road_s, 0.0
            if turn in measured:
                time_s, trips = _weighed(road_s, measured[turn]), measured[turn].trips
            # A quick turn off a jammed road would else take no time, or less: paths need positive costs.
            base_s[turn] = max(time_s - slope_s[road] * others, LEAST_SHARE * time_s)
            doubt_s[turn] = UNCERTAINTY * typical_s / math.sqrt(1.0 + trips / GUESS_TRIPS)
    return Costs(base_s, slope_s, doubt_s)


def _whole_roads(town: Map, measured: Mapping[Turn, Measured]) -> dict[Road, Measured]:
    """The roads of the map that were measured, whatever the turn."""
    by_road: dict[Road, list[Measured]] = defaultdict(list)
    for (start, end, _), one in measured.items():
        if (start, end) in town.free_s:
            by_road[start, end].append(one)
    whole = {}
    for road, parts in by_road.items():
        trips = sum(part.trips for part in parts)
        mean_s = sum(part.trips * part.travel_time_s for part in parts) / trips
        whole[road] = Measured(mean_s, parts[0].vehicles, trips)
    return whole


def _weighed(guess_s: float, measured: Measured) -> float:
    return (GUESS_TRIPS * guess_s + measured.trips * measured.travel_time_s) / (GUESS_TRIPS + measured.trips)


def sampled(costs: Costs, random: Random) -> Costs:
    """Costs as they may be: each drawn around what is known of it, but not below a half of that."""
    drawn = {
        turn: max(base_s + random.gauss(0.0, costs.doubt_s[turn]), 0.5 * base_s)
        for turn, base_s in costs.base_s.items()
    }
    return replace(costs, base_s=drawn)


def fastest(town: Map, costs: Costs, loads: Mapping[Road, float], task: Task) -> tuple[int, ...]:
    """The fastest route from the agent's origin on, beside `loads`; empty if there is none on the map."""
    start = (task.origin, task.heading)
    best_s: dict[Road, float] = {start: 0.0}
    before: dict[Road, Road] = {}
    queue = [(0.0, start)]
    while queue:
        so_far_s, road = heapq.heappop(queue)
        if road[1] == task.destination:
            route = [road]
            while route[-1] in before:
                route.append(before[route[-1]])
            return (task.origin, *(node for _, node in reversed(route)))
        if so_far_s > best_s[road]:
            continue
        for after in town.ways_on(road):
            if after is None:
                continue
            following = (road[1], after)
            time_s = so_far_s + costs.road(road, after, loads)
            if after == task.destination:
                time_s += costs.road(following, None, loads)
            if time_s < best_s.get(following, math.inf):
                best_s[following], before[following] = time_s, road
                heapq.heappush(queue, (time_s, following))
    return ()


def assign(
    town: Map,
    costs: Costs,
    tasks: Iterable[Task],
    current: Mapping[str, tuple[int, ...]],
    restless: Collection[str] = (),
) -> dict[str, tuple[int, ...]]:
    """A route per agent: the current one, or a clearly faster one beside what all others drive.

    Args:
        town: the network.
        costs: of its roads.
        tasks: the agents, in the order in which they choose.
        current: the routes of those that have one.
        restless: agents that change their route for any gain at all.
    """
    routes = dict(current)
    loads: Counter[Road] = Counter(road for route in routes.values() for road in pairwise(route))
    tasks = list(tasks)
    for _ in range(ROUNDS):
        is_settled = True
        for task in tasks:
            route = routes.get(task.name, ())
            loads.subtract(pairwise(route))
            better = fastest(town, costs, loads, task)
            now_s = costs.of(route, loads) if route else math.inf
            gain = 0.0 if task.name in restless else CLEAR_GAIN
            if better and better != route and costs.of(better, loads) < (1.0 - gain) * now_s:
                routes[task.name] = route = better
                is_settled = False
            loads.update(pairwise(route))
        if is_settled:
            break
    return routes


def explore(
    town: Map, costs: Costs, tasks: Iterable[Task], routes: Mapping[str, tuple[int, ...]], random: Random
) -> dict[str, tuple[int, ...]]:
    """For each of these agents the route that is fastest by costs as they may be, beside what all others drive."""
    loads: Counter[Road] = Counter(road for route in routes.values() for road in pairwise(route))
    tried = {}
    for task in tasks:
        own = routes.get(task.name, ())
        loads.subtract(pairwise(own))
        drawn = sampled(costs, random)
        other = fastest(town, drawn, loads, task)
        is_faster = other and (not own or drawn.of(other, loads) < drawn.of(own, loads))
        tried[task.name] = other if is_faster else own
        loads.update(pairwise(own))
    return tried
