"""The one method that every chat model sits behind, its settings, its budget, and the trimming of conversations."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from rllib_releds.demonstrations.errors import BadReplyError, BudgetExceededError

_TOKEN = re.compile(
    r"[^\w\n]?[A-Za-z]{1,12}"  # (the beginning of) a word, with the blank or the bracket before it
    r"|\d{1,3}"
    r"| ?[!-/:-@\[-`{-~]+\n*"  # punctuation
    r"|\s*\n|\s+(?!\S)|\s"
    r"|[^\x00-\x7f]"
)
"""About what tokenizers take for one token; most of them know long words, and none a number of more than 3 digits."""


SHRUNK = "(An earlier request, left out for want of room.)"
"""What is left of an old request before its answer goes, too."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation; `role` is "system", "user" or "assistant"."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered.

    Attributes:
        text: the answer, never empty.
        tokens: prompt and completion together; estimated where the server does not say.
        cost: US dollars; 0 where the price is unknown.
        seconds: wall time of the request.
        reply_tokens: the completion alone.
        is_cut_off: whether the answer ended at the limit of tokens. What came before the cut is often usable.
    """

    text: str
    tokens: int
    cost: float
    seconds: float
    reply_tokens: int = 0
    is_cut_off: bool = False


class ChatSettings(BaseModel):
    """How a model is called, and how much it may cost.

    Attributes:
        model: provider and name as litellm spells them, such as "openai/gpt-3.5-turbo", or "offline/planner".
        temperature: None leaves it to the server; some models refuse any.
        timeout_s: seconds for one request with all its retries and waits: nobody waits longer for an answer.
        max_retries: attempts after the first one, for errors that pass. Between two of them is the time that the server
            asks for (Retry-After); if that goes beyond timeout_s, the request fails at once.
        max_reply_tokens: None leaves it to the server.
        context_tokens: of the conversation that is sent; the answer comes on top, so leave room for it in the model's
            own limit. The system prompt is kept, of the rest the oldest messages are left out first.
        api_base: another server than the provider's own, such as http://localhost:8000/v1.
        key_variable: environment variable that holds the key, in capitals; None is the provider's own, such as
            OPENAI_API_KEY.
        max_requests: requests in the whole run, answered or not; None for any number.
        max_tokens: tokens in the whole run.
        max_cost: US dollars in the whole run.
    """

    # A key that somebody gives by mistake is not shown.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    model: str
    temperature: float | None = Field(default=0.7, ge=0.0, le=2.0)
    timeout_s: float = Field(default=120.0, gt=0.0)
    max_retries: int = Field(default=2, ge=0)
    max_reply_tokens: int | None = Field(default=None, gt=0)
    context_tokens: int = Field(default=10_000, gt=0)
    api_base: str | None = None
    key_variable: str | None = None
    max_requests: int | None = Field(default=None, ge=0)
    max_tokens: int | None = Field(default=None, ge=0)
    max_cost: float | None = Field(default=None, ge=0.0)

    @field_validator("key_variable")
    @classmethod
    def _is_no_key(cls, name: str | None) -> str | None:
        # Most keys hold small letters, and this name stands in messages and files.
        if name is not None and not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
            raise ValueError(
                "it must be the name of an environment variable in capitals, such as OPENAI_API_KEY, no key"
            )
        return name

    @field_validator("api_base")
    @classmethod
    def _holds_no_key(cls, address: str | None) -> str | None:
        if address is None:
            return None
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("it must be an address such as http://localhost:8000/v1")
        if parts.username or parts.password or parts.query:
            raise ValueError("it must hold no user, password or query: keys come from the environment (key_variable)")
        return address


MODEL_SETTINGS = tuple(name for name in ChatSettings.model_fields if name != "model")
"""What a user may set about a model, beside its name."""


LATER_SETTINGS = ("timeout_s", "max_retries", "max_requests", "max_tokens", "max_cost")
"""Those that may change when a run is resumed: time limits and budgets, on which no answer depends."""


def that_decide(options: Mapping[str, Any]) -> dict[str, Any]:
    """Of settings by name, those on which answers depend."""
    return {name: value for name, value in options.items() if name not in LATER_SETTINGS}


def chat_settings(model: str, options: Mapping[str, Any]) -> ChatSettings:
    """Settings from options by name, as users write them; "none" stands for None.

    Raises:
        ValueError: one line that names the option and what it may be; never its value, which may be a key.
    """
    for name in options:
        if name not in MODEL_SETTINGS:
            shown = f" {name!r}" if re.fullmatch("[a-z_]{1,24}", name) else ""
            raise ValueError(
                f"unknown model setting{shown}: choose {', '.join(MODEL_SETTINGS)}. Keys are no settings: they come "
                "from the environment"
            )
    values = {name: None if value == "none" else value for name, value in options.items()}
    try:
        return ChatSettings(model=model, **values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        reason = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"model setting {first['loc'][0]}: {reason[:1].lower()}{reason[1:]}") from None


STORED = "stored:"
"""Begins a name of demonstrations that are read from a folder."""

OFFLINE = "offline/planner"
"""No language model, and no server: rules that read the same prompts."""


def is_model_name(name: str) -> bool:
    """Whether demonstrations of this name come from a chat model (provider/name)."""
    return "/" in name and not name.startswith(STORED)


def demonstrator_settings(name: str | None, options: Mapping[str, Any]) -> ChatSettings | None:
    """As `chat_settings`; None if no language model demonstrates, which then has no options."""
    if name is not None and is_model_name(name):
        return chat_settings(name, options)
    if options:
        raise ValueError(f"model settings ({', '.join(options)}) need a language model as provider/name")
    return None


class ChatModel(Protocol):
    """A chat model."""

    def complete(self, messages: Sequence[Message], settings: ChatSettings) -> Reply:
        """One answer to a conversation.

        Raises:
            ChatError: whatever went wrong, as one of our own errors.
        """


@dataclass
class Usage:
    """What has been used so far, in the whole run. Seconds are those of answered requests.

    A budget must not grow by what a server counts wrongly: tokens below 1 are estimated, a cost below 0 is 0.
    """

    requests: int = 0
    tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0
    reply_tokens: int = 0

    def add(self, reply: Reply) -> None:
        reply_tokens = reply.reply_tokens if reply.reply_tokens >= 1 else estimate_tokens(reply.text)
        self.tokens += reply.tokens if reply.tokens >= 1 else reply_tokens
        self.reply_tokens += reply_tokens
        self.cost += reply.cost if reply.cost > 0.0 else 0.0  # also for a cost that is no number
        self.seconds += reply.seconds

    def add_unusable(self, error: BadReplyError) -> None:
        """An answer with nothing in it may have cost something."""
        self.tokens += error.tokens
        self.cost += max(error.cost, 0.0)

    def begin(self, settings: ChatSettings) -> None:
        """Count one more request, or refuse it if the budget is used up.

        Raises:
            BudgetExceededError: naming the limit.
        """
        for name, used, limit in (
            ("max_requests", self.requests, settings.max_requests),
            ("max_tokens", self.tokens, settings.max_tokens),
            ("max_cost", self.cost, settings.max_cost),
        ):
            if limit is not None and used >= limit:
                raise BudgetExceededError(f"the budget {name}={limit} is used up ({used:g}); raise it to go on asking")
        self.requests += 1

    def at_least(self, other: Usage) -> Usage:
        """The larger of both in everything."""
        mine, others = asdict(self), asdict(other)
        return Usage(**{name: max(mine[name], others[name]) for name in mine})


@dataclass
class ScriptedChat:
    """A chat model that gives prepared answers, for tests and for trying prompts out.

    Attributes:
        answers: texts, or exceptions to raise, in order; the last one is repeated.
        requests: every conversation it was asked with.
    """

    answers: Sequence[str | Exception]
    requests: list[tuple[Message, ...]] = field(default_factory=list)

    def complete(self, messages: Sequence[Message], settings: ChatSettings) -> Reply:
        answer = self.answers[min(len(self.requests), len(self.answers) - 1)]
        self.requests.append(tuple(messages))
        if isinstance(answer, Exception):
            raise answer
        tokens = estimate_tokens(answer)
        return Reply(answer, tokens + sum(estimate_tokens(m.content) for m in messages), 0.0, 0.0, tokens)


def estimate_tokens(text: str) -> int:
    """About how many tokens `text` takes: within 4 % of those of GPT-3.5 and GPT-4o for prompts and most replies.

    Tokenizers that take every digit for a token need a quarter to a third more for prompts.
    """
    return sum(1 for _ in _TOKEN.finditer(text))


def trimmed(messages: Sequence[Message], context_tokens: int) -> list[Message]:
    """The conversation within the context: system messages and the last one stay, the oldest others go first.

    Before any of them goes, requests shrink to a line: what came of old answers is told anew in the last one.
    """
    kept = list(messages)
    used = sum(estimate_tokens(message.content) for message in kept)
    for row, message in enumerate(kept[:-1]):
        saved = estimate_tokens(message.content) - estimate_tokens(SHRUNK)
        if used > context_tokens and message.role == "user" and saved > 0:
            kept[row] = Message("user", SHRUNK)
            used -= saved
    row = 0
    while used > context_tokens and row < len(kept) - 1:
        if kept[row].role == "system":
            row += 1
            continue
        used -= estimate_tokens(kept.pop(row).content)
    # A conversation that begins with an answer has lost the question: some servers refuse that.
    while row < len(kept) - 1 and kept[row].role == "assistant":
        kept.pop(row)
    return kept
