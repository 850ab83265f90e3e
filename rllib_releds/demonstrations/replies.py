"""From a chat model's reply to pieces of Python text. Never raises on any text, and never runs anything."""

from __future__ import annotations

import ast
import json
import re
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sumo_marl_env import AgentID

MAX_REPLY_CHARS = 200_000
PARSE_ERRORS = (SyntaxError, ValueError, RecursionError, MemoryError)

_FENCE = re.compile(r"^[ \t]*(```+|~~~+)[ \t]*([\w+-]*)[^\n]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_THOUGHT = re.compile(r"<(think|thinking|reasoning)>.*?(</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_CODE_START = re.compile(r"^(?:async def |def |import |from |class |@)", re.MULTILINE)
_PROMPT_MARK = re.compile(r"^(?:>>> ?|\.\.\. ?)", re.MULTILINE)
_INVISIBLE = str.maketrans({"\u00a0": " ", "\u2003": " ", "\ufeff": "", "\u200b": "", "\r": ""})
_QUOTES = str.maketrans({"\u201c": '"', "\u201d": '"', "\u2018": "'", "\u2019": "'"})
_LANGUAGES = ("", "python", "py", "python3", "json", "text")
_CONTINUES = re.compile(r"^(?:else|elif|except|finally)\b|^[)\]}]")


@dataclass
class Statements:
    """Top-level statements of a piece of Python.

    Attributes:
        parsed: those that parse, in order.
        broken: for each function in a part that does not parse, what is wrong with it.
    """

    parsed: list[ast.stmt] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)


def without_thoughts(reply: str) -> str:
    """The reply without the parts that a reasoning model marks as its thoughts."""
    return _THOUGHT.sub("", reply)


def cleaned(reply: str) -> str:
    """The reply cut to a bearable length, without characters that look like blanks and are not."""
    return reply[:MAX_REPLY_CHARS].translate(_INVISIBLE).expandtabs(4)


def fenced_blocks(text: str) -> list[str]:
    """The contents of Markdown fences that can hold Python or JSON; a fence that never closes runs to the end."""
    return [textwrap.dedent(match[3]) for match in _FENCE.finditer(text) if match[2].lower() in _LANGUAGES]


def python_blocks(text: str) -> list[str]:
    """Fenced blocks; without any, the text from the first line that looks like Python."""
    blocks = fenced_blocks(text)
    if blocks:
        return blocks
    start = _CODE_START.search(textwrap.dedent(text))
    return [textwrap.dedent(text)[start.start() :]] if start else []


def agent_numbers(agents: Sequence[AgentID]) -> dict[int, AgentID]:
    """The number by which replies call each agent: the digits at the end of its id, else its position."""
    endings = [re.search(r"(\d+)$", agent) for agent in agents]
    if all(endings):
        numbers = {int(ending[1]): agent for ending, agent in zip(endings, agents, strict=True) if ending}
        if len(numbers) == len(agents):
            return numbers
    return dict(enumerate(agents))


def json_codes(text: str) -> dict[int, str]:
    """Source by agent number, from `{"agent_3": "code"}` or `{"agents": [{"id": 3, "code": "..."}]}`; empty if none."""
    for candidate in [*fenced_blocks(text), text, _braces(text)]:
        try:
            value = json.loads(candidate, strict=False)
        except (ValueError, RecursionError):
            continue
        codes = {}
        for key, code in _json_items(value):
            number = re.search(r"(\d{1,9})$", str(key).strip())
            if number and isinstance(code, str):
                inner = fenced_blocks(code)
                codes[int(number[1])] = inner[0] if inner else code
        if codes:
            return codes
    return {}


def parse(source: str) -> Statements:
    """Statements of `source`. If the whole does not parse, its parts that do, and what is wrong with the others."""
    tree, error = _try(source)
    for repaired in (_PROMPT_MARK.sub("", source), source.translate(_QUOTES)):
        if tree is None and repaired != source:
            tree, _ = _try(repaired)
    if tree is not None:
        return Statements(list(tree.body))
    statements = Statements()
    for part in _parts(source):
        tree, error = _try(part)
        if tree is not None:
            statements.parsed.extend(tree.body)
            continue
        function = re.match(r"(?:@.*\n)*(?:async )?def (\w+)", part)
        if function:
            statements.broken[function[1]] = error
    return statements


def _try(source: str) -> tuple[ast.Module | None, str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as an invalid escape in a string
            return ast.parse(source), ""
    except SyntaxError as error:
        line = (error.text or "").strip()[:100]
        return None, f"{type(error).__name__}: {error.msg} (line {error.lineno}: {line})"
    except PARSE_ERRORS as error:
        return None, f"{type(error).__name__}: {error}"


def _parts(source: str) -> list[str]:
    """The source cut before each line that begins a new top-level statement."""
    parts: list[list[str]] = [[]]
    for line in source.split("\n"):
        begins = line[:1] not in ("", " ") and not _CONTINUES.match(line)
        if begins and parts[-1] and not parts[-1][-1].startswith("@"):
            parts.append([])
        parts[-1].append(line)
    return ["\n".join(part) for part in parts]


def _braces(text: str) -> str:
    return text[text.find("{") : text.rfind("}") + 1]


def _json_items(value: object) -> list[tuple[object, object]]:
    if isinstance(value, Mapping):
        for key in ("agents", "programs", "functions", "code"):
            if isinstance(value.get(key), Mapping | list):
                return _json_items(value[key])
        return list(value.items())
    if isinstance(value, list):
        rows = [row for row in value if isinstance(row, Mapping)]
        return [
            (next((row[key] for key in ("agent", "id", "name") if key in row), ""), row.get("code", row.get("program")))
            for row in rows
        ]
    return []
