"""Refinement with memory: which version of each agent's demonstration is the best so far, and how long roads took.

The gate compares versions by what they may be expected to earn. A version is one agent's program or plan; given again
without a change (comments do not count) it is the same one, and its trips are averaged. Rewards differ from episode to
episode, so the average matters, and as long as a version was driven little, what its roads took in all other trips.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rllib_releds.demonstrations.answers.parsing import PARSE_ERRORS
from rllib_releds.demonstrations.answers.programs import Program
from rllib_releds.demonstrations.demonstrators import GivenDemonstrations
from rllib_releds.demonstrations.domain import Domain
from rllib_releds.demonstrations.execution.limits import SandboxLimits
from rllib_releds.demonstrations.feedback import AgentOutcome, CycleFeedback, KeptVersion
from rllib_releds.demonstrations.protocol import Demonstrations
from rllib_releds.demonstrations.roads import RoadTime, path_time_s, remembered
from rllib_releds.demonstrations.routing_domain import ROUTING
from sumo_marl_env import AgentID, Episode, Instruction, NodeID, Plan

MAX_VERSIONS = 20
"""Remembered per agent, the best ones."""

ROADS_TRIPS = 5.0
"""How many trips of a version are worth as much as what the roads on its path say."""

LATEST_SHARE = 0.1
"""At least this much of a version's average is its latest trip: what a route takes changes with the others' routes."""


@dataclass(frozen=True)
class Version:
    """One version of an agent's demonstration, and what came of it.

    Attributes:
        cycle: in which it was first given.
        content: the program or plan.
        works: whether it ran without an error when it was last demonstrated.
        trips: how often it was driven.
        reward: moving mean of the undiscounted return (see `LATEST_SHARE`).
        travel_time_s: moving mean.
        path: junctions of the last trip that arrived.
        instructions: carried out when it was last demonstrated.
    """

    cycle: int
    content: Program | Plan
    works: bool = False
    trips: int = 0
    reward: float = 0.0
    travel_time_s: float = 0.0
    path: tuple[NodeID, ...] = ()
    instructions: tuple[Instruction, ...] = ()

    def driven(self, reward: float, travel_time_s: float, path: tuple[NodeID, ...], arrived: bool) -> Version:
        """After one more trip. A vehicle that does not arrive earns little, and that counts."""
        share = max(1.0 / (self.trips + 1), LATEST_SHARE)
        return replace(
            self,
            trips=self.trips + 1,
            reward=(1.0 - share) * self.reward + share * reward,
            travel_time_s=(1.0 - share) * self.travel_time_s + share * travel_time_s,
            path=path if arrived else self.path,
        )


class DemonstrationGate:
    """Remembers versions per agent and chooses the one to keep.

    Args:
        is_on: False keeps the latest version of each agent, whatever it earned: the paper's plain replacement.
        domain: of the demonstrations; None for routing.
    """

    def __init__(self, is_on: bool = True, domain: Domain | None = None) -> None:
        self.is_on = is_on
        self.domain = domain or ROUTING
        self._versions: dict[AgentID, dict[str, Version]] = {}
        self._kept: dict[AgentID, str] = {}
        self._roads: tuple[RoadTime, ...] = ()
        self._limits = SandboxLimits()

    @property
    def kept(self) -> dict[AgentID, Version]:
        """The version of each agent that is in use. Demonstrations without programs or plans have no versions."""
        return {agent: self._versions[agent][key] for agent, key in self._kept.items()}

    def demonstrations(self) -> GivenDemonstrations:
        """The kept versions as demonstrations."""
        contents = {agent: version.content for agent, version in self.kept.items()}
        return GivenDemonstrations(contents, limits=self._limits, domain=self.domain)

    def credit(self, episode: Episode, agents: Iterable[AgentID]) -> None:
        """The kept versions of these agents were driven once more, beside the demonstrated ones."""
        for agent in agents:
            if agent in self._kept:
                versions, key, trip = self._versions[agent], self._kept[agent], episode[agent]
                versions[key] = versions[key].driven(trip.total_reward, trip.travel_time_s, trip.path(), trip.arrived)

    def judge(self, demonstrations: Demonstrations, feedback: CycleFeedback) -> CycleFeedback:
        """Take in what came of one cycle, and choose.

        Args:
            demonstrations: of the cycle.
            feedback: what came of them.

        Returns:
            The feedback with what is remembered: kept versions if the gate is on, and road times of the last cycles.
        """
        self._limits = demonstrations.limits or self._limits
        self._roads = remembered(self._roads, feedback.roads)
        contents, latest = demonstrations.contents, {}
        for outcome in feedback.outcomes:
            if outcome.agent in contents:
                content = contents[outcome.agent]
                latest[outcome.agent] = key = content_key(content)
                self._take_in(key, Version(feedback.cycle, content), outcome)
        return replace(feedback, kept=self._told(latest) if self.is_on else {}, roads=self._roads)

    def _take_in(self, key: str, unknown: Version, outcome: AgentOutcome) -> None:
        """What came of one version, `unknown` if it is new; chooses the one to keep."""
        versions = self._versions.setdefault(outcome.agent, {})
        version = versions.get(key, unknown).driven(
            outcome.reward, outcome.travel_time_s, outcome.path, outcome.arrived
        )
        versions[key] = replace(version, works=outcome.error is None, instructions=outcome.instructions)
        expected = expected_rewards(versions, self._roads)
        ranked = sorted(versions, key=lambda key: (versions[key].works, expected[key]))
        self._kept[outcome.agent] = ranked[-1] if self.is_on else key
        for forgotten in ranked[:-MAX_VERSIONS]:
            if forgotten != key:
                del versions[forgotten]

    def _told(self, latest: Mapping[AgentID, str]) -> dict[AgentID, KeptVersion]:
        return {
            agent: KeptVersion(
                cycle=version.cycle,
                is_latest=latest.get(agent) == self._kept[agent],
                trips=version.trips,
                reward=expected_rewards(self._versions[agent], self._roads)[self._kept[agent]],
                travel_time_s=version.travel_time_s,
                path=version.path,
                instructions=version.instructions,
            )
            for agent, version in self.kept.items()
            if version.works
        }

    def get_state(self) -> dict[str, Any]:
        """Everything that is remembered."""
        return {
            "versions": {agent: dict(versions) for agent, versions in self._versions.items()},
            "kept": dict(self._kept),
            "roads": self._roads,
            "limits": self._limits,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continue where `get_state` was taken."""
        self._versions = {agent: dict(versions) for agent, versions in state["versions"].items()}
        self._kept = dict(state["kept"])
        self._roads, self._limits = state["roads"], state["limits"]


def content_key(content: Program | Plan) -> str:
    """What is equal for the same version: comments and layout of a program do not count."""
    if isinstance(content, Plan):
        return "plan " + " ".join(map(str, content.instructions))
    try:
        text = ast.dump(ast.parse(content.source))
    except PARSE_ERRORS:
        text = content.source
    return f"program {hashlib.sha256(f'{content.entry} {text}'.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def expected_rewards(versions: Mapping[str, Version], roads: Iterable[RoadTime]) -> dict[str, float]:
    """What each version of an agent's demonstration may be expected to earn on its next trip.

    That is what it earned, and, as long as it was driven little, what the roads on its path say: they were measured on
    all trips of all agents. Else the luckiest of many versions would be kept, not the best. A second is taken to cost a
    reward of 1, as in Eq. 32.

    Args:
        versions: of one agent.
        roads: how long roads took.
    """
    by_key = {road.key: road for road in roads}
    times_s = {key: path_time_s(version.path, by_key) for key, version in versions.items() if version.works}
    known_s = {key: time_s for key, time_s in times_s.items() if time_s is not None}
    trips = {key: min(version.trips, 1.0 / LATEST_SHARE) for key, version in versions.items()}
    # What the versions earned on average, at the time that their paths take on average.
    mean_reward = _weighted_mean({key: versions[key].reward for key in known_s}, trips)
    mean_s = _weighted_mean(known_s, trips)
    expected = {key: version.reward for key, version in versions.items()}
    for key, time_s in known_s.items():
        by_roads = mean_reward + mean_s - time_s
        expected[key] = (trips[key] * expected[key] + ROADS_TRIPS * by_roads) / (trips[key] + ROADS_TRIPS)
    return expected


def _weighted_mean(values: Mapping[str, float], weights: Mapping[str, float]) -> float:
    total = sum(weights[key] for key in values)
    return sum(weights[key] * value for key, value in values.items()) / total if total else 0.0
