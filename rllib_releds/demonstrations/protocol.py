"""The one seam between the algorithm and whatever demonstrates: a language model, a planner, a rule, stored plans.

    callback(context) -> Demonstrations            in the driver, once per demonstration cycle
    demonstrations.demonstrator(subset)            in an env runner, once per expert episode
    demonstrator.start(navigators); .act(agent)... beside the simulation, decision by decision

Neither ray nor torch is needed to write or to run a callback.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sumo_marl_env import AgentID, Episode, Instruction, Navigator, Plan, RoadNetwork, Scenario, Trip

if TYPE_CHECKING:
    from rllib_releds.demonstrations.answers.programs import Program
    from rllib_releds.demonstrations.domain import Domain
    from rllib_releds.demonstrations.execution.limits import SandboxLimits
    from rllib_releds.demonstrations.feedback import CycleFeedback
    from rllib_releds.demonstrations.records.store import DemonstrationStore

_NOTHING: Mapping[Any, Any] = MappingProxyType({})


@dataclass(frozen=True)
class DemonstrationContext:
    """What a callback knows when it is asked for demonstrations.

    Attributes:
        epoch: the training epoch, from 0.
        cycle: the demonstration cycle, from 0.
        network: the road network.
        trips: every agent's trip.
        scenario: one line about the scenario (name, traffic, horizon).
        feedback: what came of the previous cycle's demonstrations; None in the first cycle.
        seed: for callbacks that draw random numbers.
    """

    epoch: int
    cycle: int
    network: RoadNetwork
    trips: tuple[Trip, ...]
    scenario: str
    feedback: CycleFeedback | None
    seed: int

    @classmethod
    def of(
        cls, scenario: Scenario, *, epoch: int, cycle: int, feedback: CycleFeedback | None, seed: int
    ) -> DemonstrationContext:
        """The context of one cycle in a scenario."""
        line = f"{scenario.name}: {len(scenario.trips)} agents, at most {scenario.horizon_s:g} s"
        return cls(epoch, cycle, scenario.network, scenario.trips, line, feedback, seed)


@dataclass(frozen=True)
class DemonstrationTrace:
    """What one agent's demonstration did in one expert episode.

    Attributes:
        instructions: the instructions in the order in which they were begun.
        instruction_at: (n,) int32, for each decision the row of `instructions` that was executed.
        error: why the demonstration failed, in words that help to mend it; None if it did not.
    """

    instructions: tuple[Instruction, ...]
    instruction_at: NDArray[np.int32]
    error: str | None = None

    @property
    def fell_back(self) -> bool:
        """Whether the fallback drove the vehicle from some point on."""
        return self.error is not None


class Demonstrator(Protocol):
    """Drives the agents of one subset through one expert episode."""

    def start(self, navigators: Mapping[AgentID, Navigator]) -> None:
        """Begin; `navigators` holds the live view of each demonstrated agent."""

    def act(self, agent: AgentID) -> int:
        """The action slot of `agent`, which has a decision to make now. Always valid under its mask."""

    def finish(self) -> dict[AgentID, DemonstrationTrace]:
        """End; called once, also if agents are still driving."""


class Demonstrations(ABC):
    """One cycle's demonstrations of all agents. Picklable: it travels to env runners.

    Attributes:
        contents: the program or plan of each agent that has one, of which the gate compares versions.
        missing: why each of the other agents has none.
        unanswered: agents that follow an earlier answer, because the last one had nothing usable for them, and why.
        limits: what each program may use; None, as where there are no programs, for the defaults.
        metrics: figures about how they were made, to log once per cycle.
    """

    contents: Mapping[AgentID, Program | Plan] = _NOTHING
    missing: Mapping[AgentID, str] = _NOTHING
    unanswered: Mapping[AgentID, str] = _NOTHING
    limits: SandboxLimits | None = None
    metrics: Mapping[str, float] = _NOTHING

    @abstractmethod
    def demonstrator(self, agents: Sequence[AgentID]) -> Demonstrator:
        """A fresh demonstrator of these agents."""


class DemonstrationCallback(ABC):
    """Makes demonstrations. One that remembers nothing implements `__call__` alone.

    Attributes:
        store: where cycles are written; None writes nothing.
        refine: whether it uses the feedback.
        failure: why nothing came of the last cycle; None if something did.
        domain: of its demonstrations; None for routing.
    """

    store: DemonstrationStore | None = None
    refine: bool = False
    failure: str | None = None
    domain: Domain | None = None

    @abstractmethod
    def __call__(self, context: DemonstrationContext) -> Demonstrations:
        """The demonstrations of one cycle. A DemonstrationError costs this cycle; any other error ends training."""

    def keep_in(self, store: DemonstrationStore) -> None:
        """Write each cycle there. Raises ValueError if that would replace what is demonstrated."""
        self.store = store

    def check(self, scenario: Scenario) -> None:  # noqa: B027 (most callbacks can demonstrate anywhere)
        """Called once, before training. Raises DemonstrationError if it can demonstrate nothing in this scenario."""

    def get_state(self) -> dict[str, Any]:
        """What must survive a restart, such as a conversation; picklable."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:  # noqa: B027 (most callbacks remember nothing)
        """Continue where `get_state` was taken."""


@dataclass(frozen=True)
class SubsetRollout:
    """One expert episode: the agents of one subset followed their demonstrations, all others their policies.

    Attributes:
        agents: the subset A_j.
        episode: what every agent did.
        traces: what the demonstration of each agent of the subset did.
        logps: per agent of the subset, (n,) float32 log-probability that its current masked policy gives to each
            demonstrated action (Eq. 22).
    """

    agents: tuple[AgentID, ...]
    episode: Episode
    traces: Mapping[AgentID, DemonstrationTrace]
    logps: Mapping[AgentID, NDArray[np.float32]] = field(repr=False)

    def __post_init__(self) -> None:
        for agent in self.agents:
            decisions = len(self.episode[agent].actions)
            for name, rows in (("logps", self.logps[agent]), ("traces", self.traces[agent].instruction_at)):
                if len(rows) != decisions:
                    raise ValueError(
                        f"{name}[{agent!r}] has {len(rows)} rows, its trajectory has {decisions} decisions"
                    )
