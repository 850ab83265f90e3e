"""What litellm knows about a model's provider: which environment variables it reads, and where its server is."""

from __future__ import annotations

import os
from urllib.parse import urlsplit, urlunsplit

from rllib_releds.demonstrations.models.chat import OFFLINE, ChatSettings
from rllib_releds.demonstrations.models.litellm_chat import load_litellm, provider_of

_SERVERS = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "gemini": "https://generativelanguage.googleapis.com",
    "mistral": "https://api.mistral.ai/v1",
    "openrouter": "https://openrouter.ai/api/v1",
}
"""Servers that litellm does not tell."""


def check_provider(settings: ChatSettings) -> None:
    """Refuse a misspelt provider, which would cost the night; a server that is away for a while may come back.

    Raises:
        UnknownModelError: for a name without a provider that litellm knows.
        MissingExtraError: if litellm is not installed.
    """
    if settings.model != OFFLINE:
        provider_of(load_litellm(), settings)


def key_variables(settings: ChatSettings) -> list[str]:
    """Names of the environment variables that a request to this model reads, keys among them.

    Raises:
        UnknownModelError: for a name without a provider that litellm knows.
    """
    if settings.key_variable is not None:
        return [settings.key_variable]
    litellm = load_litellm()
    provider_of(litellm, settings)
    # litellm names what is missing, so it gets to see nothing.
    saved = dict(os.environ)
    try:
        os.environ.clear()
        return list(litellm.validate_environment(settings.model)["missing_keys"])
    finally:
        os.environ.update(saved)


def server_address(settings: ChatSettings) -> str | None:
    """Where requests to this model go, without what may be a key in the address; None where nobody says.

    Raises:
        UnknownModelError: as `key_variables`.
    """
    if settings.api_base is not None:
        return settings.api_base
    provider, address = provider_of(load_litellm(), settings)
    variables = (f"{provider.upper()}_BASE_URL", f"{provider.upper()}_API_BASE")
    own = next((os.environ[name] for name in variables if os.environ.get(name)), None)
    found = own or address or _SERVERS.get(provider)
    return None if found is None else _without_keys(found)


def _without_keys(address: str) -> str:
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))
