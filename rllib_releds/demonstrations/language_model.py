"""The demonstration callback of a language model: it asks, extracts, repairs once, and keeps the last good programs."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from rllib_releds import keys
from rllib_releds.demonstrations.agent_names import names_of
from rllib_releds.demonstrations.answers.programs import Program, extract_programs
from rllib_releds.demonstrations.conversation import Conversation
from rllib_releds.demonstrations.demonstrators import GivenDemonstrations
from rllib_releds.demonstrations.domain import Domain
from rllib_releds.demonstrations.errors import BadReplyError, ChatError, RecordingError, RefusedRequestError
from rllib_releds.demonstrations.execution.dry_run import dry_run
from rllib_releds.demonstrations.execution.limits import SandboxLimits
from rllib_releds.demonstrations.execution.sandbox import Sandbox
from rllib_releds.demonstrations.models.chat import ChatModel, ChatSettings, Usage
from rllib_releds.demonstrations.protocol import DemonstrationCallback, DemonstrationContext, Demonstrations
from rllib_releds.demonstrations.records.store import DemonstrationStore, by_kind, plans_from_json, plans_to_json
from rllib_releds.demonstrations.routing_domain import ROUTING
from rllib_releds.errors import printable
from sumo_marl_env import AgentID, Plan

_log = logging.getLogger(__name__)


@dataclass
class _Answers:
    """What is usable so far in one cycle, and what is missing."""

    contents: dict[AgentID, Program | Plan] = field(default_factory=dict)
    errors: dict[AgentID, str] = field(default_factory=dict)

    def update(self, other: _Answers) -> None:
        """Take over what `other` could mend."""
        self.contents |= other.contents
        for agent in other.contents:
            self.errors.pop(agent, None)
        self.errors |= other.errors


class LanguageModelCallback(DemonstrationCallback):
    """Asks a chat model for one program per agent, once per cycle, and again for those that failed.

    Nothing that the model answers, or fails to answer, stops training: agents without a usable program keep their last
    good one, else the fallback drives them.

    Args:
        model: the chat model.
        settings: how to call it, and its budget.
        refine: True continues the conversation with feedback; False sends the initial prompt again in every cycle.
        interfaces: True asks for programs with the navigation functions; False for node-by-node routes.
        stationarity: False leaves validity and reward alone in the feedback, as LEED does.
        limits: what each program may use.
        store: where artefacts go; None writes nothing.
        domain: words the prompts, and carries out what comes back.
        must_answer: True raises the model's error in a cycle in which it could not be asked, or did not answer in
            time, and that of a recording which does not fit; nothing comes of such a cycle. What a model answers is
            never an error.
    """

    def __init__(
        self,
        model: ChatModel,
        settings: ChatSettings,
        *,
        refine: bool = True,
        interfaces: bool = True,
        stationarity: bool = True,
        limits: SandboxLimits | None = None,
        store: DemonstrationStore | None = None,
        domain: Domain = ROUTING,
        must_answer: bool = False,
    ) -> None:
        self.settings = settings
        self.refine = refine
        self.interfaces = interfaces
        self.stationarity = stationarity
        self.limits = limits or SandboxLimits()
        self.store = store
        self.domain: Domain = domain
        self.must_answer = must_answer
        self.failure: str | None = None
        self._conversation = Conversation(model, settings)
        self._last_good: dict[AgentID, Program | Plan] = {}

    @property
    def model(self) -> ChatModel:
        """The chat model."""
        return self._conversation.model

    @property
    def usage(self) -> Usage:
        """What the whole run has used."""
        return self._conversation.usage

    def __call__(self, context: DemonstrationContext) -> Demonstrations:
        """The demonstrations of one cycle; raises ChatError with `must_answer` alone."""
        before = replace(self.usage)
        answers = _Answers()
        failed: ChatError | None = None
        try:
            self._ask_for_all(context, answers)
            reason = self._what_is_missing(answers, len(context.trips))
        except ChatError as error:
            if self.must_answer and isinstance(error, RecordingError):
                raise
            failed = None if answers.contents else error
            if answers.errors:
                reason = f"{self._what_is_missing(answers, len(context.trips))}; the repair was not answered: {error}"
            else:
                reason = f"no answer from the model: {error}"
                answers.errors = {trip.agent: reason for trip in context.trips}
        self.failure = None if answers.contents else reason
        if self.must_answer and failed is not None and not isinstance(failed, BadReplyError | RefusedRequestError):
            raise failed
        num_answered = len(answers.contents)
        unanswered = self._keep_last_good(answers)
        if reason:
            _log.warning("cycle %d: %s. %s", context.cycle, reason, _what_happens_now(len(unanswered), answers.errors))
        self._last_good = dict(answers.contents)
        metrics = self._metrics(before, failed is not None, num_answered / max(len(context.trips), 1))
        self._write(context, {**answers.errors, **unanswered}, metrics)
        limits = self.limits if self.interfaces else None
        return GivenDemonstrations(answers.contents, answers.errors, limits, self.domain, metrics, unanswered)

    def get_state(self) -> dict[str, Any]:
        """Conversation, last programs and plans, and usage, as plain data."""
        programs, plans = by_kind(self._last_good)
        return {
            **self._conversation.get_state(),
            "programs": {agent: asdict(program) for agent, program in programs.items()},
            "plans": plans_to_json(plans),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue where `get_state` was taken."""
        programs = {agent: Program(**program) for agent, program in state["programs"].items()}
        self._last_good = {**plans_from_json(state["plans"], self.domain.functions.instruction), **programs}
        self._conversation.set_state(state, self.store)

    def _ask_for_all(self, context: DemonstrationContext, answers: _Answers) -> None:
        """Fill `answers` by one request and one repair turn; raises ChatError, keeping what was answered before."""
        agents = [trip.agent for trip in context.trips]
        conversation = self._conversation
        conversation.begin_cycle(
            self.domain.initial_prompt(
                context, interfaces=self.interfaces, limits=self.limits, max_tokens=conversation.system_tokens
            )
        )
        if not self.refine:
            conversation.forget()
        if conversation.has_begun and context.feedback is not None:
            request = self.domain.feedback_prompt(
                context.feedback,
                agents,
                interfaces=self.interfaces,
                stationarity=self.stationarity,
                max_tokens=conversation.room(),
            )
        else:
            request = self.domain.trigger_prompt(interfaces=self.interfaces)
        reply = conversation.ask(request, self.store, context.cycle, "")
        answers.update(self._read(reply, context, agents))
        if answers.errors:
            failing = [agent for agent in agents if agent in answers.errors]
            request = self.domain.repair_prompt(
                answers.errors, agents, interfaces=self.interfaces, max_tokens=conversation.room()
            )
            repair = conversation.ask(request, self.store, context.cycle, "repair_")
            # Helpers of one may be missing in the other: what has just been said need not be repeated.
            answers.update(self._read(repair, context, failing, reply))
            if failing := [agent for agent in failing if agent in answers.errors]:
                answers.update(_Answers(self._read(repair, context, failing).contents))

    def _read(
        self, reply: str, context: DemonstrationContext, wanted: Sequence[AgentID], earlier: str = ""
    ) -> _Answers:
        """The usable part of a reply. Training must not end of what nobody foresaw in it: that fails the agents."""
        try:
            return self._usable(reply, context, wanted, earlier)
        except ChatError:
            raise  # nothing can be read at all, such as without a sandbox
        except Exception as error:
            _log.exception("cycle %d: the answer could not be read", context.cycle)
            why = f"the answer could not be read: {type(error).__name__}: {error}"
            return _Answers(errors=dict.fromkeys(wanted, why))

    def _usable(self, reply: str, context: DemonstrationContext, wanted: Sequence[AgentID], earlier: str) -> _Answers:
        if not self.interfaces:
            plans, errors = self.domain.plans(reply, context, wanted)
            return _Answers(dict(plans), errors=dict(errors))
        agents = [trip.agent for trip in context.trips]
        extraction = extract_programs(reply, agents, self.domain.functions, wanted, earlier=earlier)
        answers = _Answers(errors=dict(extraction.errors))
        with Sandbox(self.limits, self.domain.functions) as sandbox:
            for agent, program in extraction.programs.items():
                error = sandbox.check(program)
                if error is None and not program.moves(self.domain.functions):
                    movements = ", ".join(self.domain.functions.movements)
                    error = f"{program.entry}() goes nowhere: it calls none of {movements}"
                if error is None:
                    error = dry_run(program, sandbox, self.domain.host_at_start(context, agent))
                if error is None:
                    answers.contents[agent] = program
                else:
                    answers.errors[agent] = error
        return answers

    def _keep_last_good(self, answers: _Answers) -> dict[AgentID, str]:
        """Agents that got nothing usable keep what they had; returns why they got nothing."""
        unanswered = {agent: why for agent, why in answers.errors.items() if agent in self._last_good}
        answers.update(_Answers({agent: self._last_good[agent] for agent in unanswered}))
        return unanswered

    def _what_is_missing(self, answers: _Answers, num_agents: int) -> str:
        """One line about the agents that got nothing usable; empty if all did."""
        if not answers.errors:
            return ""
        agent, error = next(iter(answers.errors.items()))
        product = "program" if self.interfaces else "route"
        shown = printable(" ".join(error.split())[:200])
        text = f"no usable {product} for {len(answers.errors)} of {num_agents} agents ({agent}: {shown})"
        return text + ("; the answer was cut off: raise max_reply_tokens" if self._conversation.is_cut_off else "")

    def _metrics(self, before: Usage, is_failed: bool, answered: float) -> dict[str, float]:
        return {
            keys.LLM_REQUESTS: float(self.usage.requests - before.requests),
            keys.LLM_TOKENS: float(self.usage.tokens - before.tokens),
            keys.LLM_REPLY_TOKENS: float(self.usage.reply_tokens - before.reply_tokens),
            keys.LLM_COST: self.usage.cost - before.cost,
            keys.LLM_SECONDS: self.usage.seconds - before.seconds,
            keys.LLM_FAILED: float(is_failed),
            keys.LLM_ANSWERED: answered,
        }

    def _write(
        self, context: DemonstrationContext, unusable: Mapping[AgentID, str], metrics: Mapping[str, float]
    ) -> None:
        if self.store is None:
            return
        names = names_of([trip.agent for trip in context.trips])
        self.store.write_usage(
            context.cycle,
            {
                "model": self.settings.model,
                "epoch": context.epoch,
                "cycle": dict(metrics),
                "run": asdict(self.usage),
                "failure": self.failure,
                "unusable": {names[agent]: error for agent, error in unusable.items()},
            },
        )


def _what_happens_now(num_kept: int, without: Collection[AgentID]) -> str:
    """How many agents keep an earlier answer, and which have none."""
    fallback = "the fallback, the live shortest time route, demonstrates"
    if not num_kept:
        return f"{fallback.capitalize()} instead."
    rest = f"; for {len(without)} agents without any {fallback}" if without else ""
    return f"The last good demonstrations are given instead{rest}."
