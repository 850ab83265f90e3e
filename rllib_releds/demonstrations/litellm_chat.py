"""Language models of every provider, and the offline planner, through litellm.

The only module that imports litellm, and only when it is called: importing it takes 2.3 s. None of litellm's exceptions
leaves this module (they do not survive pickling), and no message of ours carries a key.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import time
from collections.abc import Sequence
from typing import Any

from rllib_releds.demonstrations.chat import ChatSettings, Message, Reply, estimate_tokens
from rllib_releds.demonstrations.errors import (
    BadReplyError,
    ChatError,
    MissingExtraError,
    MissingKeyError,
    ModelTimeoutError,
    ModelUnavailableError,
    RateLimitedError,
    RefusedRequestError,
    RejectedKeyError,
    UnknownModelError,
)
from rllib_releds.demonstrations.planner import plan_reply

OFFLINE_PROVIDER = "offline"

# litellm's exception classes, the more special ones first, with what they mean for the user.
_TRANSLATIONS: tuple[tuple[str, type[ChatError], str], ...] = (
    ("AuthenticationError", RejectedKeyError, "the server refused the key; check {key}"),
    ("PermissionDeniedError", RejectedKeyError, "the key may not use this model; check {key}"),
    ("NotFoundError", UnknownModelError, "there is no such model; check the name after the provider"),
    ("ContextWindowExceededError", RefusedRequestError, "the prompt is too long for the model; lower context_tokens"),
    ("ContentPolicyViolationError", RefusedRequestError, "the server refused the prompt under its rules"),
    ("RateLimitError", RateLimitedError, "the server asks for fewer requests, or the account is used up"),
    ("Timeout", ModelTimeoutError, "no answer within timeout_s={timeout:g} s"),
    ("ServiceUnavailableError", ModelUnavailableError, "the server is not available"),
    ("BadGatewayError", ModelUnavailableError, "the server is not available"),
    ("InternalServerError", ModelUnavailableError, "the server failed, cannot be reached, or sent no JSON"),
    ("APIConnectionError", ModelUnavailableError, "the server cannot be reached"),
    ("APIResponseValidationError", BadReplyError, "the server answered with something else than a chat completion"),
    ("UnprocessableEntityError", RefusedRequestError, "the server refused the request"),
    ("BadRequestError", RefusedRequestError, "the server refused the request"),
    ("APIError", ModelUnavailableError, "the server failed"),
)


class LiteLLMChat:
    """A `ChatModel` for every model name that litellm knows, and for "offline/planner"."""

    def complete(self, messages: Sequence[Message], settings: ChatSettings) -> Reply:
        """One answer; raises a `ChatError` for whatever goes wrong."""
        litellm = load_litellm()
        _check_key(litellm, settings)
        began = time.perf_counter()
        try:
            response = litellm.completion(**_request(messages, settings))
        except Exception as error:
            # Without a chain: the original holds connections and headers, and does not pickle.
            raise _translate(litellm, error, settings) from None
        return _reply(litellm, response, messages, settings, time.perf_counter() - began)


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
    litellm.suppress_debug_info = True
    litellm.telemetry = False
    logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)  # it logs whole requests
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


def _check_key(litellm: Any, settings: ChatSettings) -> None:
    if settings.model.startswith(f"{OFFLINE_PROVIDER}/"):
        return
    try:
        litellm.get_llm_provider(settings.model, api_base=settings.api_base)
        found = litellm.validate_environment(settings.model)
    except Exception:
        raise UnknownModelError(
            f"unknown model {settings.model!r}: write provider/name, such as openai/gpt-3.5-turbo, or offline/planner"
        ) from None
    if not found["keys_in_environment"] and found["missing_keys"]:
        names = " and ".join(found["missing_keys"])
        raise MissingKeyError(
            f"no key for {settings.model}: set the environment variable {names}, or use offline/planner"
        )


def _request(messages: Sequence[Message], settings: ChatSettings) -> dict[str, Any]:
    request: dict[str, Any] = {
        "model": settings.model,
        "messages": [message.to_dict() for message in messages],
        "timeout": settings.timeout_s,
        "max_retries": settings.max_retries,  # not num_retries: that needs tenacity and hides the error
        "drop_params": True,
    }
    optional = {
        "temperature": settings.temperature,
        "max_tokens": settings.max_reply_tokens,
        "api_base": settings.api_base,
    }
    return request | {name: value for name, value in optional.items() if value is not None}


def _translate(litellm: Any, error: Exception, settings: ChatSettings) -> ChatError:
    key = ", ".join(_key_names(litellm, settings.model)) or "the provider's key variable"
    is_forbidden = getattr(error, "status_code", None) == 403  # no class of its own for this status
    for name, ours, meaning in _TRANSLATIONS:
        if isinstance(error, getattr(litellm, name, ())) or (is_forbidden and name == "PermissionDeniedError"):
            text = meaning.format(key=key, timeout=settings.timeout_s)
            return ours(f"{settings.model}: {text} ({_safe(error)})")
    return ModelUnavailableError(f"{settings.model}: {type(error).__name__} ({_safe(error)})")


def _key_names(litellm: Any, model: str) -> list[str]:
    with contextlib.suppress(Exception):  # only for the wording of a message
        provider = litellm.get_llm_provider(model)[1]
        return [name for name in (f"{provider.upper()}_API_KEY",) if name in os.environ]
    return []


def _safe(error: Exception) -> str:
    """The first line of an error's text, without anything that looks like a key."""
    lines = str(error).splitlines()
    text = re.sub(
        r"\b[sprk]k-[\w*-]{4,}|(?i:bearer)\s+\S+|\b(?=\w*\d)[\w-]{24,}", "[hidden]", lines[0] if lines else ""
    )
    for name, value in os.environ.items():
        if name.endswith(("_KEY", "_TOKEN", "_SECRET")) and len(value) > 3:
            text = text.replace(value, "[hidden]")
    return text[:200]


def _reply(litellm: Any, response: Any, messages: Sequence[Message], settings: ChatSettings, seconds: float) -> Reply:
    choices = getattr(response, "choices", None)
    if not choices:
        raise BadReplyError("the model's answer holds no choice")
    choice = choices[0]
    text = getattr(getattr(choice, "message", None), "content", None)
    reason = getattr(choice, "finish_reason", None)
    if not isinstance(text, str) or not text.strip():
        raise BadReplyError(f"the model's answer holds no text (finish_reason {reason!r})")
    if reason == "content_filter":
        raise BadReplyError("the model's answer was withheld by a content filter")
    if reason == "length":
        # What came before the cut is often usable: the agents after it are asked for again.
        logging.getLogger(__name__).warning("the model's answer was cut off; raise max_reply_tokens")
    usage = getattr(response, "usage", None)
    tokens = getattr(usage, "total_tokens", None) or estimate_tokens(text) + sum(
        estimate_tokens(message.content) for message in messages
    )
    return Reply(text, int(tokens), _cost(litellm, response, settings.model), seconds)


def _cost(litellm: Any, response: Any, model: str) -> float:
    try:
        return float(litellm.completion_cost(completion_response=response, model=model) or 0.0)
    except Exception:
        return 0.0  # no price is known for this model
