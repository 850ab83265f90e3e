"""How the offline planner spreads agents over the network: a small traffic assignment on what the prompts say.

A road takes `base + slope * others` seconds. Before anything was measured, the base is the time on the empty road and
the slope a guess of what one vehicle more costs the others at a signal. Measured times replace both. Agents choose one
after the other, each knowing the routes of all others, and change their route only for a clear gain.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from rllib_releds.demonstrations.planner_reading import Map, Measured, Road, Task

SLOPE_S = 1.5
"""Seconds that a vehicle more on a road costs, as long as nothing was measured."""

DOUBT = 0.1
"""How many agents per episode a guess weighs beside those measured."""

CURIOSITY = 0.5
"""Roads never measured are taken to be slower than empty by this share of what is typical for those measured."""

CLEAR_GAIN = 0.04
"""Share of its travel time that an agent must gain to change its route."""

ROUNDS = 3
"""Passes over all agents, as long as some change."""


@dataclass(frozen=True)
class Costs:
    """Seconds of every road as a function of the agents on it.

    Attributes:
        base_s: for the only agent.
        slope_s: per other agent.
    """

    base_s: Mapping[Road, float]
    slope_s: Mapping[Road, float]

    def of(self, route: Sequence[int], loads: Mapping[Road, float]) -> float:
        """Of a route beside `loads`, the agents on each road; infinite if it leaves the map."""
        return sum(self.road(road, loads) for road in pairwise(route))

    def road(self, road: Road, loads: Mapping[Road, float]) -> float:
        if road not in self.base_s:
            return math.inf
        return self.base_s[road] + self.slope_s[road] * loads.get(road, 0.0)


def road_costs(town: Map, measured: Mapping[Road, Measured]) -> Costs:
    """What roads take, from the empty network and from what was measured."""
    known = [(road, one) for road, one in measured.items() if road in town.free_s]
    delays = [max(one.travel_time_s - town.free_s[road], 0.0) for road, one in known]
    typical_s = median(delays) if delays else 0.0
    base_s, slope_s = {}, {}
    for road, free_s in town.free_s.items():
        guess_s = free_s + CURIOSITY * typical_s
        base_s[road], slope_s[road] = guess_s, SLOPE_S
        if road in measured:
            one = measured[road]
            time_s = (DOUBT * guess_s + one.vehicles * one.travel_time_s) / (DOUBT + one.vehicles)
            slope_s[road] = min(SLOPE_S, max(time_s - free_s, 0.0) / max(one.vehicles, 1.0))
            base_s[road] = time_s - slope_s[road] * max(one.vehicles - 1.0, 0.0)
    return Costs(base_s, slope_s)


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
        for after in town.following.get(road[1], ()):
            if town.allows(*road, after):
                following = (road[1], after)
                time_s = so_far_s + costs.road(following, loads)
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
            now_s = costs.of(route[1:], loads) if route else math.inf
            gain = 0.0 if task.name in restless else CLEAR_GAIN
            if better and better != route and costs.of(better[1:], loads) < (1.0 - gain) * now_s:
                routes[task.name] = route = better
                is_settled = False
            loads.update(pairwise(route))
        if is_settled:
            break
    return routes
