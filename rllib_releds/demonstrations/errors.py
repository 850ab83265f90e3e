"""Errors of demonstrations and of chat models. All of them survive pickling."""


class DemonstrationError(Exception):
    """Base class: catch this to catch everything that this package raises on purpose."""


class StoredDemonstrationError(DemonstrationError):
    """A folder of demonstrations cannot be used as asked; the message names it and the remedy."""


class ProgramError(DemonstrationError):
    """A program cannot go on; the message is written for whoever has to mend the program."""


class LimitError(ProgramError):
    """A program used more than it may.

    Attributes:
        limit: the field of `SandboxLimits` that it hit.
    """

    def __init__(self, message: str, limit: str = "") -> None:
        super().__init__(message)
        self.limit = limit


class CallError(ProgramError):
    """A navigation function was called wrongly; raised inside the program, which may catch it."""


class ChatError(DemonstrationError):
    """A chat model gave no usable reply."""


class MissingExtraError(ChatError):
    """A package of an optional extra is not installed: then no model is asked, and no program can be run."""


class MissingKeyError(ChatError):
    """The environment holds no key for the chosen model."""


class RejectedKeyError(ChatError):
    """The model's server refused the key."""


class UnknownModelError(ChatError):
    """No provider, or no such model at the provider."""


class RateLimitedError(ChatError):
    """The model's server asks for fewer requests, or an account is used up."""


class ModelTimeoutError(ChatError):
    """The model did not answer in time."""


class ModelUnavailableError(ChatError):
    """The model's server cannot be reached or failed."""


class RefusedRequestError(ChatError):
    """The model's server refused the request itself (too long, against its rules, malformed)."""


class BadReplyError(ChatError):
    """The model answered with nothing that can be used: no choice, no text, withheld by a filter, damaged.

    Attributes:
        tokens: what it took all the same.
        cost: in US dollars.
    """

    def __init__(self, message: str, tokens: int = 0, cost: float = 0.0) -> None:
        super().__init__(message)
        self.tokens = tokens
        self.cost = cost


class RecordingError(ChatError):
    """A replay that has no reply to a conversation, or a recorded reply that is damaged: the recording does not fit."""


class BudgetExceededError(ChatError):
    """The budget of requests, tokens or cost is used up."""
