"""What litellm's errors mean for the user, without litellm: its classes do not survive pickling, and hold headers."""

from __future__ import annotations

import contextlib
from typing import Any

from rllib_releds.demonstrations.errors import (
    BadReplyError,
    ChatError,
    ModelTimeoutError,
    ModelUnavailableError,
    RateLimitedError,
    RefusedRequestError,
    RejectedKeyError,
    UnknownModelError,
)
from rllib_releds.demonstrations.models.chat import ChatSettings
from rllib_releds.demonstrations.models.hidden_keys import safe_line

# litellm's exception classes, the more special ones first, with what they mean for the user.
_TRANSLATIONS: tuple[tuple[str, type[ChatError], str], ...] = (
    ("AuthenticationError", RejectedKeyError, "the server refused the key; check {key}"),
    ("PermissionDeniedError", RejectedKeyError, "the key may not use this model; check {key}"),
    ("402", RejectedKeyError, "the account of {key} is used up; top it up, or use another"),
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


_BY_STATUS: dict[Any, str] = {
    402: "402",
    403: "PermissionDeniedError",
    413: "ContextWindowExceededError",
    414: "ContextWindowExceededError",
}
"""Of HTTP, with the rows of `_TRANSLATIONS` that say what they mean."""

_NO_COMPLETION = ("Invalid response object", "Empty or invalid response", "provider returned")
"""Words of litellm about an answer in JSON that it can make nothing of."""


def translate(litellm: Any, error: Exception, settings: ChatSettings) -> ChatError:
    """The error of ours for one that `litellm` (the module) raised; its text carries no key."""
    key = _key_name(litellm, settings)
    if any(words in str(error) for words in _NO_COMPLETION):
        # What litellm says beside it is its own stack.
        return BadReplyError(f"{settings.model}: the server answered with something else than a chat completion")
    # Some have no class of their own.
    named = _BY_STATUS.get(getattr(error, "status_code", None))
    for name, ours, meaning in _TRANSLATIONS:
        if name == named or (named is None and isinstance(error, getattr(litellm, name, ()))):
            text = meaning.format(key=key, timeout=settings.timeout_s)
            return ours(f"{settings.model}: {text} ({safe_line(error, settings)})")
    return ModelUnavailableError(f"{settings.model}: {type(error).__name__} ({safe_line(error, settings)})")


def _key_name(litellm: Any, settings: ChatSettings) -> str:
    """The environment variable that the model's key comes from, for the wording of a message."""
    if settings.key_variable is not None:
        return settings.key_variable
    with contextlib.suppress(Exception):
        provider = litellm.get_llm_provider(settings.model, api_base=settings.api_base)[1]
        return f"{provider.upper()}_API_KEY"
    return "the provider's key variable"


def retry_after_s(error: Exception) -> float | None:
    """What the server's Retry-After header says in seconds; its rare other form, a date, is not read."""
    headers = getattr(error, "litellm_response_headers", None) or {}
    with contextlib.suppress(ValueError):
        return max(0.0, float(headers.get("retry-after", "")))
    return None
