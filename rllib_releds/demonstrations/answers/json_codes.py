"""Programs that a reply keeps in JSON, or as a Python dict. Never raises on any text, and never runs anything."""

from __future__ import annotations

import ast
import contextlib
import json
import re
from collections import deque
from collections.abc import Iterable, Mapping

from rllib_releds.demonstrations.agent_names import number_in
from rllib_releds.demonstrations.answers.fences import fenced_blocks
from rllib_releds.demonstrations.answers.parsing import parse

CODE_START = re.compile(r"^(?:async def |def |import |from |class |@)", re.MULTILINE)
_JSON_PAIR = re.compile(r'"([^"\\\n]{0,40}\d)"\s*:\s*("(?:[^"\\]|\\.)*")', re.DOTALL)
_CODE = re.compile(r"\w\(|\bpass\b")  # a call or an empty body; "through the centre (busy)" is a note
_AGENT_KEYS = ("agent", "agent_id", "vehicle", "vehicle_id", "number", "id", "name")
_CODE_KEYS = ("code", "program", "source", "python", "function")


def codes_by_agent(text: str) -> dict[int, str]:
    """Source by agent number, where a reply keeps the agents' codes apart; empty if it does not.

    `{"agent_3": "code"}` and `{"agents": [{"id": 3, "code": "..."}]}` in one or several pieces of JSON, also if it is
    cut off; or the same as a Python dict. Beside functions of agents, what stands in JSON are notes.
    """
    if "{" not in text or defines_agents(text):
        return {}
    return _json_codes(text) or _dict_codes(text)


def whole_codes(text: str) -> list[str]:
    """The code of all agents in JSON, such as `{"code": "def agent_0(): ... def agent_1(): ..."}`."""
    codes = [value for value in _strings(_json_values(text)) if CODE_START.search(value)]
    return [inner for code in codes for inner in (fenced_blocks(code) or [code])]


def defines_agents(text: str) -> bool:
    """Whether a fenced block defines a function of an agent, and be it a broken one."""
    blocks = [parse(block) for block in fenced_blocks(text)]
    return any(number_in(name) is not None for block in blocks for name in block.function_names)


def agent_in(row: Mapping[str, object]) -> int | None:
    """The agent that a row of JSON is about; None if it names none.

    What names an agent, such as "agent_3", comes before a bare number, by which rows may also count themselves.
    """
    names = [_key_text(row[key]) for key in _AGENT_KEYS if key in row]
    named = [number for name in names if (number := number_in(name)) is not None]
    bare = [int(digits[1]) for name in names if (digits := re.search(r"(\d{1,9})$", name))]
    return next(iter([*named, *bare]), None)


def _json_codes(text: str) -> dict[int, str]:
    codes: dict[int, str] = {}
    for value in _json_values(text):
        codes |= _numbered(_json_items(value))
    return codes


def _strings(values: Iterable[object]) -> list[str]:
    """All texts in JSON, whatever their keys, also in JSON that is itself a text, as in calls of tools."""
    found: list[str] = []
    waiting = deque(values)
    while waiting:
        value = waiting.popleft()
        if isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, str):
            found.append(value)
            if value.lstrip().startswith("{"):
                waiting.extend(_json_values(value))
    return found


def _json_values(text: str) -> list[object]:
    values: list[object] = []
    blocks = fenced_blocks(text)
    for candidate in [*blocks, *([] if blocks else [text, _braces(text)])]:
        with contextlib.suppress(ValueError, RecursionError):
            values.append(json.loads(candidate, strict=False))
    return values


def _json_items(value: object) -> list[tuple[object, object]]:
    if isinstance(value, Mapping):
        for key in ("agents", "programs", "functions", "code"):
            if isinstance(value.get(key), Mapping | list):
                return _json_items(value[key])
        return list(value.items())
    if isinstance(value, list):
        return [(agent_in(row), row) for row in value if isinstance(row, Mapping)]
    return []


def _dict_codes(text: str) -> dict[int, str]:
    """From `{"agent_3": '''code'''}`, with or without a name, or from what there is of JSON that was cut off."""
    pairs: list[tuple[object, object]] = []
    for statement in (s for block in [*fenced_blocks(text), _braces(text)] for s in parse(block).parsed):
        if isinstance(statement, ast.FunctionDef) and re.search(r"\d", statement.name):
            return {}  # the functions are what was meant
        table = statement.value if isinstance(statement, ast.Assign | ast.Expr) else None
        if isinstance(table, ast.Dict):
            pairs += [
                (key.value, value.value)
                for key, value in zip(table.keys, table.values, strict=True)
                if isinstance(key, ast.Constant) and isinstance(value, ast.Constant)
            ]
    whole: list[tuple[object, object]] = []
    for key, value in _JSON_PAIR.findall(text):
        with contextlib.suppress(ValueError):
            whole.append((key, json.loads(value, strict=False)))
    return _numbered(pairs) or _numbered(whole)


def _numbered(pairs: Iterable[tuple[object, object]]) -> dict[int, str]:
    codes = {}
    for key, code in pairs:
        number = re.search(r"(\d{1,9})$", _key_text(key))
        if isinstance(code, Mapping):
            code = next((code[name] for name in _CODE_KEYS if name in code), None)
        if isinstance(code, list) and all(isinstance(line, str) for line in code):
            code = "\n".join(code)
        if number and isinstance(code, str) and _CODE.search(code):
            inner = fenced_blocks(code)
            codes[int(number[1])] = inner[0] if inner else code
    return codes


def _key_text(key: object) -> str:
    """What a key calls its agent; "" for what can be no agent's."""
    try:
        return str(key).strip() if isinstance(key, str | int) else ""
    except ValueError:  # an int of thousands of digits
        return ""


def _braces(text: str) -> str:
    return text[text.find("{") : text.rfind("}") + 1]
