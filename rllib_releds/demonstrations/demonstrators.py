"""Demonstrators: what drives the agents of a subset through an expert episode, decision by decision.

A demonstrated agent follows a *source* of instructions (a program or a stored plan). Whatever goes wrong with a source
is recorded, and from there on the domain's fallback (on roads `move_to_by_shortest_time(get_destination())`) drives.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rllib_releds.demonstrations.answers.programs import Program
from rllib_releds.demonstrations.domain import Domain, Executor, UnreachableError
from rllib_releds.demonstrations.errors import ProgramError
from rllib_releds.demonstrations.execution.limits import SandboxLimits
from rllib_releds.demonstrations.execution.running_program import RunningProgram
from rllib_releds.demonstrations.execution.sandbox import Sandbox
from rllib_releds.demonstrations.execution.transcripts import known_of, recall, remember, remember_all
from rllib_releds.demonstrations.functions import ProgramHost
from rllib_releds.demonstrations.protocol import DemonstrationContext, Demonstrations, DemonstrationTrace, Demonstrator
from rllib_releds.demonstrations.routing_domain import ROUTING
from sumo_marl_env import AgentID, Instruction, Plan, Trip

Source = Generator[Instruction, bool | None, None]
"""One agent's instructions. It is sent whether the vehicle arrived where the last one led; it raises ProgramError."""


def _of_plan(plan: Plan) -> Source:
    for instruction in plan.instructions:  # noqa: UP028 (nothing can be sent to a tuple's iterator)
        yield instruction


def _of_program(program: Program, sandbox: Sandbox, host: ProgramHost) -> Source:
    """The movements of a program that runs in the sandbox, or that is known to do the same as the last time."""
    known = program, sandbox.limits, host
    running = RunningProgram(sandbox, program, host)
    running.begin(recall(*known))
    if running.transcript is not None:
        remember(*known, running.transcript)
    while running.waiting_for is not None:
        arrived = yield running.waiting_for
        assert arrived is not None
        running.resume(arrived)


def _of_nothing(reason: str) -> Source:
    raise ProgramError(reason)
    yield


@dataclass
class _Driven:
    """One agent on its way.

    Attributes:
        instructions: those begun so far; the last one is being executed.
        instruction_at: row of `instructions` per decision.
    """

    executor: Executor
    source: Source
    instructions: list[Instruction] = field(default_factory=list)
    instruction_at: list[int] = field(default_factory=list)
    error: str | None = None

    def act(self) -> int:
        """The slot to take now: the source's, and from the moment that it fails on the fallback's."""
        if self.error is None:
            try:
                slot = self._slot()
            except ProgramError as error:
                self.error = str(error)
                self.instructions.append(self.executor.fallback)
        if self.error is not None:
            slot = self.executor.action(self.executor.fallback)
        self.instruction_at.append(len(self.instructions) - 1)
        return slot

    def trace(self) -> DemonstrationTrace:
        return DemonstrationTrace(tuple(self.instructions), np.array(self.instruction_at, np.int32), self.error)

    def _slot(self) -> int:
        """By the instructions. Junctions that are reached already, or cannot be, move the source on."""
        if not self.instructions:
            self._follow(None)
        while True:
            if self.executor.is_done(self.instructions[-1], not self.instruction_at):
                self._follow(True)
                continue
            try:
                return self.executor.action(self.instructions[-1])
            except UnreachableError:
                self._follow(False)

    def _follow(self, arrived: bool | None) -> None:
        """Take up the next instruction; `arrived` says how the current one ended, None that there is none."""
        try:
            self.instructions.append(self.source.send(arrived))
        except StopIteration:
            raise ProgramError(self.executor.why_unfinished()) from None


@dataclass(frozen=True)
class GivenDemonstrations(Demonstrations):
    """Programs, run in the sandbox beside the vehicles, and plans: a model's, from a file, or by a user's own rule.

    Pickled with what is known of the programs, so that env runners in other processes need not find it out again.

    Attributes:
        contents: the program or plan of each agent that has one; the fallback drives the others.
        domain: carries them out.
        missing, unanswered, limits, metrics: as of `Demonstrations`.
    """

    # Without `field()` the default of `Demonstrations` would be this one's, too.
    contents: Mapping[AgentID, Program | Plan] = field()
    missing: Mapping[AgentID, str] = field(default_factory=dict)
    limits: SandboxLimits | None = None
    domain: Domain = ROUTING
    metrics: Mapping[str, float] = field(default_factory=dict)
    unanswered: Mapping[AgentID, str] = field(default_factory=dict)

    def demonstrator(self, agents: Sequence[AgentID]) -> Demonstrator:
        return InstructionDemonstrator(self, agents)

    def __getstate__(self) -> dict[str, Any]:
        programs = {content for content in self.contents.values() if isinstance(content, Program)}
        return {**self.__dict__, "known": known_of(programs)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Checkpoints of earlier versions hold none.
        remember_all(state.get("known", {}))
        self.__dict__.update({name: value for name, value in state.items() if name != "known"})


class InstructionDemonstrator:
    """Follows one source of instructions per agent.

    Args:
        demonstrations: hold the programs and plans.
        agents: the agents to drive.
    """

    def __init__(self, demonstrations: GivenDemonstrations, agents: Sequence[AgentID]) -> None:
        self._demonstrations = demonstrations
        self._agents = tuple(agents)
        self._sandbox: Sandbox | None = None
        self._driven: dict[AgentID, _Driven] = {}

    def start(self, navigators: Mapping[AgentID, Any]) -> None:
        """Begin; programs start with their vehicle's first decision.

        Raises:
            MissingExtraError: if there are programs and no sandbox is installed.
        """
        given = self._demonstrations
        if any(isinstance(given.contents.get(agent), Program) for agent in self._agents):
            self._sandbox = Sandbox(given.limits, given.domain.functions).__enter__()
        executors = {agent: given.domain.executor(navigators[agent]) for agent in self._agents}
        self._driven = {agent: _Driven(executors[agent], self._source(agent, executors[agent])) for agent in executors}

    def act(self, agent: AgentID) -> int:
        return self._driven[agent].act()

    def finish(self) -> dict[AgentID, DemonstrationTrace]:
        if self._sandbox is not None:
            self._sandbox.close()
        return {agent: driven.trace() for agent, driven in self._driven.items()}

    def _source(self, agent: AgentID, executor: Executor) -> Source:
        content = self._demonstrations.contents.get(agent)
        if content is None:
            return _of_nothing(self._demonstrations.missing.get(agent, "there is no demonstration for this agent"))
        if isinstance(content, Program):
            assert self._sandbox is not None
            return _of_program(content, self._sandbox, executor.host)
        return _of_plan(content)


def live_demonstrations(trips: Sequence[Trip]) -> GivenDemonstrations:
    """One movement per agent, straight to its destination on the live shortest time route."""
    function = "move_to_by_shortest_time"
    return GivenDemonstrations(
        {trip.agent: Plan(trip.agent, (Instruction(function, trip.destination),)) for trip in trips}
    )


def check_contents(contents: Mapping[AgentID, Program | Plan], context: DemonstrationContext) -> None:
    """What a user's function, or an edited file, may get wrong, before anything is simulated.

    Raises:
        TypeError: for what is neither a program nor a plan.
        ValueError: for an agent or a junction that is not there, or a plan of no instructions.
    """
    agents = [trip.agent for trip in context.trips]
    for agent, content in contents.items():
        if agent not in agents:
            raise ValueError(f"demonstrations for {agent!r}, and the agents are {', '.join(agents[:3])} ...")
        if not isinstance(content, Program | Plan):
            raise TypeError(f"{agent}: {content!r} is neither a Program nor a Plan")
        if isinstance(content, Plan) and not content.instructions:
            raise ValueError(
                f"{agent}: a plan of no instructions; leave the agent out, or end the plan at its destination"
            )
        for instruction in content.instructions if isinstance(content, Plan) else ():
            if not 0 <= instruction.target < context.network.num_junctions:
                raise ValueError(
                    f"{agent}: {instruction}, and {context.network.name} has junctions 0 to "
                    f"{context.network.num_junctions - 1}"
                )
