"""Language models of every provider, and the offline planner, through litellm.

The only module that imports litellm, and only when it is called: importing it takes 2.3 s. None of litellm's exceptions
leaves this module (they do not survive pickling and hold headers), and no text that leaves it carries a key.
"""

from __future__ import annotations

import logging
import os
import queue
import re
import threading
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from rllib_releds.demonstrations.answers.replies import MAX_REPLY_CHARS
from rllib_releds.demonstrations.errors import (
    BadReplyError,
    ChatError,
    MissingExtraError,
    MissingKeyError,
    ModelTimeoutError,
    ModelUnavailableError,
    RateLimitedError,
    UnknownModelError,
)
from rllib_releds.demonstrations.models.bounded_http import bounded_client
from rllib_releds.demonstrations.models.chat import OFFLINE, ChatSettings, Message, Reply, estimate_tokens
from rllib_releds.demonstrations.models.chat_failures import retry_after_s, translate
from rllib_releds.demonstrations.models.hidden_keys import safe_line, without_keys
from rllib_releds.demonstrations.offline_planner.planner import plan_reply

_log = logging.getLogger(__name__)

OFFLINE_PROVIDER = "offline"

_MOST_TOKENS = 1e9
"""More than that is no count."""

_PASSING = (RateLimitedError, ModelUnavailableError)
"""Errors that another attempt may get over."""


class LiteLLMChat:
    """A `ChatModel` for every model name that litellm knows, and for "offline/planner"."""

    def complete(self, messages: Sequence[Message], settings: ChatSettings) -> Reply:
        """One answer within `settings.timeout_s`; raises a `ChatError` for whatever goes wrong."""
        litellm = load_litellm()
        key = _find_key(litellm, settings)
        began_s = time.monotonic()
        deadline_s = began_s + settings.timeout_s
        for retry in range(settings.max_retries + 1):
            outcome = _attempt(litellm, _request(messages, settings, key, deadline_s - time.monotonic()), settings)
            if not isinstance(outcome, _Failure):
                return _reply(litellm, outcome, messages, settings, time.monotonic() - began_s)
            if retry == settings.max_retries or not isinstance(outcome.error, _PASSING):
                break
            wait_s = 0.5 * 2**retry if outcome.retry_after_s is None else outcome.retry_after_s
            if time.monotonic() + wait_s >= deadline_s:
                why = f"the next attempt in {wait_s:g} s would be beyond timeout_s={settings.timeout_s:g} s"
                raise type(outcome.error)(f"{outcome.error}; {why}")
            time.sleep(wait_s)
        raise outcome.error


@dataclass(frozen=True)
class _Failure:
    """An attempt that failed, and the seconds after which the server wants the next one, if it says so."""

    error: ChatError
    retry_after_s: float | None = None


def _attempt(litellm: Any, request: dict[str, Any], settings: ChatSettings) -> Any:
    """litellm's response, or a `_Failure`, never later than the request's timeout.

    In a thread: HTTP libraries count the silence between two bytes, so a server that drips would hold us for ever.
    """
    outcomes: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask() -> None:
        began_s = time.monotonic()
        try:
            outcomes.put(litellm.completion(**request))
        except Exception as error:
            translated = translate(litellm, error, settings)
            if isinstance(translated, ModelTimeoutError) and time.monotonic() - began_s < 0.9 * request["timeout"]:
                # Not our patience has ended but the server's: a gateway's 504, which passes.
                text = f"{settings.model}: the server gave up waiting for the model"
                translated = ModelUnavailableError(f"{text} ({safe_line(error, settings)})")
            outcomes.put(_Failure(translated, retry_after_s(error)))

    threading.Thread(target=ask, name="language model", daemon=True).start()
    try:
        # litellm's own timeout comes first where it works.
        return outcomes.get(timeout=request["timeout"] + 0.25)
    except queue.Empty:
        return _Failure(ModelTimeoutError(f"{settings.model}: no answer within timeout_s={settings.timeout_s:g} s"))


def load_litellm() -> Any:
    """Import and prepare litellm.

    Raises:
        MissingExtraError: if it is not installed.
    """
    # Without these two, importing and counting wait for the network.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        import litellm
    except ImportError as error:
        raise MissingExtraError("language models need litellm: pip install 'rllib-releds[llm]'") from error
    if litellm.client_session is None:
        from litellm.llms.custom_httpx.http_handler import get_ssl_configuration

        # For servers that speak OpenAI's protocol; those of other providers are not asked through it.
        litellm.client_session = bounded_client(get_ssl_configuration())
    litellm.suppress_debug_info = True
    litellm.telemetry = False
    logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)  # it logs whole requests
    warnings.filterwarnings("ignore", message="Pydantic serializer warnings", category=UserWarning)  # of odd answers
    if not any(entry["provider"] == OFFLINE_PROVIDER for entry in litellm.custom_provider_map):
        litellm.custom_provider_map.append({"provider": OFFLINE_PROVIDER, "custom_handler": _offline_provider(litellm)})
    return litellm


def _offline_provider(litellm: Any) -> Any:
    class OfflinePlanner(litellm.CustomLLM):
        """Answers with the rule-based planner instead of a language model."""

        def completion(self, *_: Any, messages: list[dict[str, str]], model: str, **__: Any) -> Any:
            if model != "planner":
                raise litellm.NotFoundError("only offline/planner exists", model=model, llm_provider=OFFLINE_PROVIDER)
            text = plan_reply([Message(m["role"], m["content"]) for m in messages])
            response = litellm.mock_completion(model, messages, mock_response=text)
            asked = sum(estimate_tokens(message["content"]) for message in messages)
            answered = estimate_tokens(text)
            response.usage = litellm.Usage(asked, answered, asked + answered)
            return response

    return OfflinePlanner()


def provider_of(litellm: Any, settings: ChatSettings) -> tuple[str, str | None]:
    """Name of the model's provider, and its server if litellm knows it.

    Raises:
        UnknownModelError: for a name without a provider that litellm knows.
        ChatError: naming what else keeps litellm from knowing the provider.
    """
    try:
        _, provider, _, address = litellm.get_llm_provider(settings.model, api_base=settings.api_base)
    except Exception as error:
        # litellm says everything with one class; whatever else goes wrong in there is not the name's fault.
        if "Provider NOT provided" not in str(error):
            raise translate(litellm, error, settings) from None
        raise UnknownModelError(
            f"unknown model {settings.model!r}: write provider/name, such as openai/gpt-3.5-turbo, or {OFFLINE}"
        ) from None
    return provider, address


def _find_key(litellm: Any, settings: ChatSettings) -> str | None:
    """The key to send, where litellm does not find it by itself.

    Raises:
        UnknownModelError, ChatError: as `provider_of`.
        MissingKeyError: naming the environment variable.
    """
    if settings.model == OFFLINE:
        return None
    provider, _ = provider_of(litellm, settings)
    missing = litellm.validate_environment(settings.model)["missing_keys"]
    if settings.key_variable is not None:
        key = os.environ.get(settings.key_variable)
        if not key:
            raise MissingKeyError(
                f"no key for {settings.model}: set the environment variable {settings.key_variable} (key_variable)"
            )
        _check_key(settings.key_variable)
        return key
    own = f"{provider.upper()}_API_KEY"
    _check_key(own)
    if os.environ.get(own) == "" and own not in missing:
        missing = [*missing, own]  # litellm takes an empty variable for a key
    # A local server has an address of its own to fall back on.
    missing = [name for name in missing if not name.endswith("_API_BASE") or name == "AZURE_API_BASE"]
    if missing and provider == "openai" and settings.api_base is not None:
        return "none"  # servers of one's own often want no key, but the client does
    if missing:
        is_choice = all(name.endswith("_API_KEY") for name in missing)
        names = (" or " if is_choice else " and ").join(missing)
        raise MissingKeyError(
            f"no key for {settings.model}: set the environment variable {names}, or use offline/planner"
        )
    return None


def _check_key(variable: str) -> None:
    """Refuse a key that no HTTP header can hold; a file read as it is ends with a line break.

    Raises:
        MissingKeyError: naming the variable.
    """
    if re.search(r"\s|[^\x20-\x7e]", os.environ.get(variable, "")):
        raise MissingKeyError(f"the key in {variable} holds white space, a line break or no ASCII; set it without")


def _request(messages: Sequence[Message], settings: ChatSettings, key: str | None, timeout_s: float) -> dict[str, Any]:
    request: dict[str, Any] = {
        "model": settings.model,
        "messages": [asdict(message) for message in messages],
        "timeout": timeout_s,
        "max_retries": 0,  # only some providers' clients know retries, and none of them knows our deadline
        "drop_params": True,
    }
    optional = {
        "temperature": settings.temperature,
        "max_tokens": settings.max_reply_tokens,
        "api_base": settings.api_base,
        "api_key": key,
    }
    return request | {name: value for name, value in optional.items() if value is not None}


def _reply(litellm: Any, response: Any, messages: Sequence[Message], settings: ChatSettings, seconds: float) -> Reply:
    # These have been paid for, such as the thoughts of a model that had no room left to answer.
    counted = _count(response, "prompt_tokens") + _count(response, "completion_tokens")
    paid = max(_count(response, "total_tokens"), counted), _cost(litellm, response, settings)
    choices = getattr(response, "choices", None)
    if not choices:
        raise BadReplyError("the model's answer holds no choice", *paid)
    choice = choices[0]
    text = getattr(getattr(choice, "message", None), "content", None)
    reason = getattr(choice, "finish_reason", None)
    if not isinstance(text, str) or not text.strip():
        remedy = "; raise max_reply_tokens" if reason == "length" else ""
        raise BadReplyError(f"the model's answer holds no text (finish_reason {reason!r}){remedy}", *paid)
    if reason == "content_filter":
        raise BadReplyError("the model's answer was withheld by a content filter", *paid)
    # Half a character (a lone surrogate) cannot be sent back in the next request.
    text = text[:MAX_REPLY_CHARS].encode("utf-8", "replace").decode()
    answered = _count(response, "completion_tokens") or estimate_tokens(text)
    asked = sum(estimate_tokens(message.content) for message in messages)
    return Reply(
        text=without_keys(text, settings),
        tokens=paid[0] or asked + answered,
        cost=paid[1],
        seconds=seconds,
        reply_tokens=answered,
        is_cut_off=reason == "length",
    )


def _count(response: Any, name: str) -> int:
    """What the server says it counted; 0 where it says nothing, or what cannot be."""
    count = getattr(getattr(response, "usage", None), name, None)
    return int(count) if isinstance(count, int | float) and 1 <= count < _MOST_TOKENS else 0


def _cost(litellm: Any, response: Any, settings: ChatSettings) -> float:
    try:
        return float(litellm.completion_cost(completion_response=response, model=settings.model) or 0.0)
    except Exception:
        # What litellm raises where it knows no price has no type of its own.
        if settings.max_cost is not None:
            _warn_of_unknown_price(settings.model)
        return 0.0


@cache
def _warn_of_unknown_price(model: str) -> None:
    """Once for each model."""
    _log.warning("no price is known for %s: max_cost cannot stop it; set max_requests or max_tokens", model)
