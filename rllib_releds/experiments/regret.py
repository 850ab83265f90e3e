"""How far one driver is behind the best of the yardsticks, on the same seeds and so in the same traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from sumo_marl_env import AgentID, Episode, NodeID, Scenario

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Regret:
    """Seconds of travel time beyond those of a yardstick; negative where the driver is the faster one.

    Attributes:
        yardstick: its name.
        yardstick_s: its mean travel time.
        mean_s: mean difference over the episodes, each against the same episode of the yardstick.
        low_s: lower end of the interval in which the mean lies with `CONFIDENCE` (Student's t); None with one episode.
        high_s: its upper end.
        share: `mean_s` over `yardstick_s`.
    """

    yardstick: str
    yardstick_s: float
    mean_s: float
    low_s: float | None
    high_s: float | None
    share: float


@dataclass(frozen=True)
class AgentResult:
    """One agent over all episodes.

    Attributes:
        agent: its name.
        origin: junction.
        destination: junction.
        distance_m: as the crow flies.
        mean_travel_time_s: with the time used where it did not arrive.
        sd_travel_time_s: standard deviation between episodes; 0 with one episode.
        arrival_rate: in [0, 1].
        regret: against the yardstick that is best for this agent; None without yardsticks.
    """

    agent: AgentID
    origin: NodeID
    destination: NodeID
    distance_m: float
    mean_travel_time_s: float
    sd_travel_time_s: float
    arrival_rate: float
    regret: Regret | None


def regret(travel_times_s: Sequence[float], yardsticks: Mapping[str, Sequence[float]]) -> Regret | None:
    """Against the yardstick of the lowest mean.

    The best one is chosen on the very episodes that it is measured on, so the regret is rather too high than too low.

    Args:
        travel_times_s: (episodes,) of the driver.
        yardsticks: (episodes,) of each yardstick by name, on the same seeds in the same order.

    Returns:
        None without yardsticks.
    """
    if not yardsticks:
        return None
    name = min(yardsticks, key=lambda one: float(np.mean(yardsticks[one])))
    differences = np.asarray(travel_times_s, float) - np.asarray(yardsticks[name], float)
    mean, best = float(differences.mean()), float(np.mean(yardsticks[name]))
    low, high = None, None
    if len(differences) > 1:
        half = stats.t.ppf((1.0 + CONFIDENCE) / 2.0, len(differences) - 1) * stats.sem(differences)
        low, high = mean - float(half), mean + float(half)
    return Regret(name, best, mean, low, high, mean / best)


def team_regret(episodes: Sequence[Episode], yardsticks: Mapping[str, Sequence[Episode]]) -> Regret | None:
    """Of the travel times, each the mean over the agents of an episode."""
    return regret(
        [episode.mean_travel_time_s for episode in episodes],
        {name: [episode.mean_travel_time_s for episode in played] for name, played in yardsticks.items()},
    )


def agent_results(
    scenario: Scenario, episodes: Sequence[Episode], yardsticks: Mapping[str, Sequence[Episode]]
) -> list[AgentResult]:
    """One row per agent, in the order of the scenario."""
    results = []
    for trip in scenario.trips:
        times_s = _travel_times_s(episodes, trip.agent)
        origin, destination = scenario.network.junction_xy[[trip.origin, trip.destination]]
        results.append(
            AgentResult(
                agent=trip.agent,
                origin=trip.origin,
                destination=trip.destination,
                distance_m=float(np.linalg.norm(destination - origin)),
                mean_travel_time_s=float(np.mean(times_s)),
                sd_travel_time_s=float(np.std(times_s, ddof=1)) if len(times_s) > 1 else 0.0,
                arrival_rate=float(np.mean([episode[trip.agent].arrived for episode in episodes])),
                regret=regret(
                    times_s, {name: _travel_times_s(played, trip.agent) for name, played in yardsticks.items()}
                ),
            )
        )
    return results


def _travel_times_s(episodes: Sequence[Episode], agent: AgentID) -> list[float]:
    return [episode[agent].travel_time_s for episode in episodes]
