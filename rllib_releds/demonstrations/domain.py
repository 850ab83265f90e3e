"""The one seam between demonstrations and the world that they are given in; `routing_domain` is the only one.

Conversations, programs, their sandbox, feedback and memory go through it. Cycles themselves (`refinement`, training),
the records of episodes and what is stored of them belong to the environment, `sumo_marl_env`. A domain's
`DemonstrationContext` holds its own world as `network`, and as `trips` its own tasks, each with an `agent`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rllib_releds.demonstrations.execution.limits import SandboxLimits
from rllib_releds.demonstrations.functions import FunctionTable, ProgramHost
from sumo_marl_env import AgentID, Plan

if TYPE_CHECKING:
    from rllib_releds.demonstrations.feedback import CycleFeedback
    from rllib_releds.demonstrations.protocol import DemonstrationContext


class UnreachableError(Exception):
    """An instruction cannot be carried out from where the agent is; the next one is tried."""


class Executor(Protocol):
    """Carries out the instructions of one agent in one episode: f of Eq. 15, beside the running environment."""

    @property
    def host(self) -> ProgramHost:
        """Answers the calls of the agent's program."""

    @property
    def fallback(self) -> Any:
        """The instruction that drives an agent whose demonstration failed, from wherever it is."""

    def is_done(self, instruction: Any, is_first: bool) -> bool:
        """Whether the agent is where the instruction leads; `is_first` before the agent's first action."""

    def action(self, instruction: Any) -> int:
        """The valid action that follows the instruction. Raises UnreachableError, but never for the fallback."""

    def why_unfinished(self) -> str:
        """What to tell a program that ended now, before its agent had done its task."""


class Domain(Protocol):
    """What knows the world. Picklable: it travels to env runners with the demonstrations."""

    @property
    def functions(self) -> FunctionTable:
        """What programs may call."""

    def executor(self, view: Any) -> Executor:
        """Of one agent, from its live view of the environment."""

    def host_at_start(self, context: DemonstrationContext, agent: AgentID) -> ProgramHost:
        """Answers the agent's program before any episode; only what is certain is asked.

        Of the type of the executors' hosts: what a program did with it is taken for what it does in episodes.
        """

    def coordinates(self, network: Any, path: Sequence[int]) -> NDArray[np.float64]:
        """(n, d) positions of the places passed, in the order of passing: what DTW compares."""

    def extent(self, network: Any) -> float:
        """The largest distance in this world, in the unit of the coordinates: what DTW is normalised by."""

    def initial_prompt(
        self,
        context: DemonstrationContext,
        *,
        interfaces: bool = True,
        limits: SandboxLimits | None = None,
        max_tokens: int | None = None,
    ) -> str:
        """Task, world, agents, and what to answer; `prompts.initial_prompt` says what the arguments mean."""

    def trigger_prompt(self, *, interfaces: bool = True) -> str:
        """The short command that asks for the first answer."""

    def feedback_prompt(
        self,
        feedback: CycleFeedback,
        agents: Sequence[AgentID],
        *,
        interfaces: bool = True,
        stationarity: bool = True,
        max_tokens: int | None = None,
    ) -> str:
        """What came of the last answer, and the request to revise it."""

    def repair_prompt(
        self,
        errors: Mapping[AgentID, str],
        agents: Sequence[AgentID],
        *,
        interfaces: bool = True,
        max_tokens: int | None = None,
    ) -> str:
        """Names only the agents that have nothing usable, and why."""

    def plans(
        self, reply: str, context: DemonstrationContext, agents: Sequence[AgentID]
    ) -> tuple[Mapping[AgentID, Plan], Mapping[AgentID, str]]:
        """Plans out of a reply without programs, and for every other agent what is wrong.

        Args:
            reply: any text at all.
            context: with the tasks of all agents, whom the prompts number; a repair turn is about some of them.
            agents: those that need a plan.
        """
