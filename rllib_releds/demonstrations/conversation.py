"""What a chat model was told and has answered, over all cycles, within its context and its budget."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

from rllib_releds.demonstrations.answers.replies import without_thoughts
from rllib_releds.demonstrations.errors import (
    BadReplyError,
    MissingExtraError,
    MissingKeyError,
    RecordingError,
    RefusedRequestError,
)
from rllib_releds.demonstrations.models.chat import (
    OFFLINE,
    ChatModel,
    ChatSettings,
    Message,
    Reply,
    Usage,
    estimate_tokens,
    trimmed,
)
from rllib_releds.demonstrations.models.recorded import RecordedChat
from rllib_releds.demonstrations.records.store import DemonstrationStore

_log = logging.getLogger(__name__)


class Conversation:
    """A conversation with a chat model that goes on from cycle to cycle.

    Args:
        model: the chat model.
        settings: how to call it, its context and its budget.

    Attributes:
        usage: requests, tokens, money and seconds of the whole run.
        is_cut_off: whether an answer of this cycle was cut off.
    """

    def __init__(self, model: ChatModel, settings: ChatSettings) -> None:
        self.model = model
        self.settings = settings
        self.usage = Usage()
        self.is_cut_off = False
        self._system = Message("system", "")
        # Without the system prompt; it ends with an answer.
        self._messages: list[Message] = []
        self._has_warned_of_length = False

    @property
    def has_begun(self) -> bool:
        """Whether there is an answer that the next request can refer to."""
        return bool(self._messages)

    @property
    def system_tokens(self) -> int:
        """For the system prompt: half of the context, the rest is for feedback and what was said before."""
        return self.settings.context_tokens // 2

    def begin_cycle(self, system_prompt: str) -> None:
        """What was said before stays in sight, below this system prompt."""
        self.is_cut_off = False
        self._system = Message("system", system_prompt)
        if (tokens := estimate_tokens(system_prompt)) > self.system_tokens:
            self._warn_of_length(f"the initial prompt takes {tokens} tokens, more than half of", 2 * tokens)

    def forget(self) -> None:
        """What is said next is the first that is said."""
        self._messages = []

    def room(self) -> int:
        """Tokens for a request beside the system prompt and the last answer, which stays in sight."""
        beside = self._system, self._messages[-1]
        return self.settings.context_tokens - sum(estimate_tokens(message.content) for message in beside)

    def ask(self, request: str, store: DemonstrationStore | None, cycle: int, name: str) -> str:
        """The answer to one request. The conversation grows only if there is one.

        Args:
            request: of the user.
            store: where request and answer are written, in this cycle and under this name; None writes nothing.

        Raises:
            ChatError: whatever went wrong.
        """
        self.usage.begin(self.settings)
        messages = trimmed([self._system, *self._messages, Message("user", request)], self.settings.context_tokens)
        if (tokens := sum(estimate_tokens(message.content) for message in messages)) > self.settings.context_tokens:
            self._warn_of_length(f"system prompt and newest request take {tokens} tokens, more than", tokens * 5 // 4)
        reply: Reply | None = None
        if store is not None:
            store.write_spent(self.usage)
        try:
            reply = self._complete(messages)
        finally:
            if store is not None:
                store.write_spent(self.usage)
                store.write_conversation(cycle, name, messages, None if reply is None else reply.text)
        self.is_cut_off |= reply.is_cut_off
        # What was trimmed once is never sent again, nor are thoughts: they would push out what was answered.
        answer = Message("assistant", without_thoughts(reply.text).strip() or reply.text)
        self._messages = [*(message for message in messages if message.role != "system"), answer]
        return reply.text

    def _complete(self, messages: list[Message]) -> Reply:
        try:
            reply = self.model.complete(messages, self.settings)
        except (MissingKeyError, MissingExtraError, RecordingError):
            self.usage.requests -= 1  # nobody was asked
            raise
        except BadReplyError as error:
            self.usage.add_unusable(error)
            raise
        except RefusedRequestError:
            # What was said so far may be why: it would be refused again and again.
            self.forget()
            raise
        if not isinstance(reply, Reply):
            raise TypeError(f"complete of {type(self.model).__name__} must return a Reply, not {reply!r:.80}")
        self.usage.add(reply)
        return reply

    def _warn_of_length(self, what: str, enough: int) -> None:
        """Once, where even the briefest prompts are too long; the offline planner reads however much it is."""
        if not self._has_warned_of_length and self.settings.model != OFFLINE:
            self._has_warned_of_length = True
            _log.warning(
                "%s context_tokens=%d, and cannot be cut further: raise context_tokens to %d if the model can take as "
                "many, or demonstrate fewer agents",
                *(what, self.settings.context_tokens, enough),
            )

    def get_state(self) -> dict[str, Any]:
        """Messages, usage and the model's own state, as plain data."""
        return {
            "conversation": [asdict(message) for message in self._messages],
            "usage": asdict(self.usage),
            "model": self.model.get_state() if isinstance(self.model, RecordedChat) else {},
        }

    def set_state(self, state: dict[str, Any], store: DemonstrationStore | None) -> None:
        """Continue where `get_state` was taken; `store` knows what has been spent since."""
        self._messages = [Message(**message) for message in state["conversation"]]
        self.usage = Usage(**state["usage"])
        if not isinstance(self.model, RecordedChat):
            # What was asked after that has been paid for, too. (A recording gives it again for nothing.)
            if store is not None:
                self.usage = self.usage.at_least(store.spent())
        elif state["model"]:  # it may not have been recorded before
            self.model.set_state(state["model"])
