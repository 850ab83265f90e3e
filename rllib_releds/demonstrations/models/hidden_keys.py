"""Keeps keys out of messages, files and logs."""

from __future__ import annotations

import json
import os
import re
from urllib.parse import quote, quote_plus

from rllib_releds.demonstrations.models.chat import ChatSettings
from rllib_releds.errors import printable

_KEY_WORDS = ("KEY", "TOKEN", "SECRET", "PASSWORD")
"""What the names of variables that hold keys have in common, such as WATSONX_APIKEY and AWS_BEARER_TOKEN_BEDROCK."""

_SHORTEST_KEY = 8
"""Shorter values of key variables ("none") are no secrets, and would blot out ordinary words."""


def safe_line(error: Exception, settings: ChatSettings) -> str:
    """The first line of an error's text, without anything that looks like a key or would command a terminal."""
    lines = str(error).splitlines()
    text = re.sub(
        r"\b[sprk]k-[\w*-]{4,}|(?i:bearer)\s+\S+|\b(?=\w*\d)[\w-]{24,}", "[hidden]", lines[0] if lines else ""
    )
    return printable(without_keys(text, settings))[:200]


def without_keys(text: str, settings: ChatSettings) -> str:
    """The text without the value of any key variable: a server may send back what it was sent."""
    keys = {
        value
        for name, value in os.environ.items()
        if len(value) >= _SHORTEST_KEY
        and (name == settings.key_variable or any(word in name.upper() for word in _KEY_WORDS))
    }
    spellings = {spelling for key in keys for spelling in _spellings(key)}
    for spelling in sorted(spellings, key=len, reverse=True):  # one key may begin with another
        text = text.replace(spelling, "[hidden]")
    return text


def _spellings(key: str) -> set[str]:
    """How a key may stand in a text: by itself, line by line, quoted for Python, JSON or an address."""
    parts = [key, *key.split()]
    spelt = {way(part) for part in parts for way in (str, _in_python, _in_json, quote, quote_plus)}
    return {spelling for one in spelt for spelling in (one, one.replace("/", "\\/")) if len(spelling) >= _SHORTEST_KEY}


def _in_python(key: str) -> str:
    return repr(key)[1:-1]


def _in_json(key: str) -> str:
    return json.dumps(key)[1:-1]
