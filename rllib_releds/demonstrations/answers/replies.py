"""From a chat model's reply to pieces of Python text. Never raises on any text, and never runs anything."""

from __future__ import annotations

import ast
import contextlib
import json
import re
import textwrap
import warnings
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rllib_releds.demonstrations.answers.fences import fenced_blocks, fences, headed_agents
from sumo_marl_env import AgentID

MAX_REPLY_CHARS = 200_000
PARSE_ERRORS = (SyntaxError, ValueError, RecursionError, MemoryError)

_THOUGHT = re.compile(r"<(think|thinking|reasoning)>.*?(</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_THOUGHT_END = re.compile(r"</(?:think|thinking|reasoning)>", re.IGNORECASE)
_CODE_START = re.compile(r"^(?:async def |def |import |from |class |@)", re.MULTILINE)
_PROMPT_MARK = re.compile(r"^(?:>>> ?|\.\.\. ?)", re.MULTILINE)
_INVISIBLE = str.maketrans(
    {"\u00a0": " ", "\u2003": " ", "\ufeff": "", "\u200b": "", "\r": "\n", "\u2028": "\n", "\u2029": "\n"}
)
_TYPOGRAPHY = str.maketrans({"\u201c": '"', "\u201d": '"', "\u2018": "'", "\u2019": "'", "\u2212": "-", "\uff1a": ":"})
_TAG = re.compile(r"</?(?:pre|code)(?: [^<>\n]*)?>|<\|python_tag\|>", re.IGNORECASE)
_JSON_PAIR = re.compile(r'"([^"\\\n]{0,40}\d)"\s*:\s*("(?:[^"\\]|\\.)*")', re.DOTALL)
_AGENT_NAME = re.compile(r"(?:[a-z]+_)*(?:agent|vehicle|veh|car)_?0*(\d{1,9})(?:_[a-z]+)*", re.IGNORECASE)
_LOOSE_NAME = re.compile(r"(?:[a-z]+_)*(?:program|plan|route)_?0*(\d{1,9})(?:_[a-z]+)*", re.IGNORECASE)
_MAX_NAME_CHARS = 200
_CODE = re.compile(r"\w\(|\bpass\b")  # a call or an empty body; "through the centre (busy)" is a note
_AGENT_KEYS = ("agent", "agent_id", "vehicle", "vehicle_id", "number", "id", "name")
_CODE_KEYS = ("code", "program", "source", "python", "function")
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

    @property
    def function_names(self) -> list[str]:
        """The functions, broken ones too."""
        functions = [s for s in self.parsed if isinstance(s, ast.FunctionDef | ast.AsyncFunctionDef)]
        return [*(function.name for function in functions), *self.broken]


def without_thoughts(reply: str) -> str:
    """The reply without the parts that a reasoning model marks as its thoughts."""
    rest = _THOUGHT.sub("", reply)
    # Some servers keep the mark at which the thoughts begin to themselves.
    answer = _THOUGHT_END.split(rest)[-1]
    return answer if answer.strip() else rest


def cleaned(reply: str) -> str:
    """The reply cut to a bearable length, without characters that look like blanks and are not."""
    return _TAG.sub("\n", reply[:MAX_REPLY_CHARS].replace("\r\n", "\n").translate(_INVISIBLE).expandtabs(4))


def code_blocks(text: str) -> list[tuple[str, int | None]]:
    """Each fenced block with the agent under whose heading it stands, if the agents have headings.

    Without fences, the text from the first line that looks like Python. `{"code": "def agent_0(): ..."}` is code, too.
    """
    if "{" in text and not _defines_agents(text) and (codes := _whole_codes(text)):
        return [(code, None) for code in codes]
    blocks = fences(text)
    if blocks:
        return [(block.code, number) for block, number in zip(blocks, headed_agents(blocks), strict=True)]
    text = textwrap.dedent(text)
    start = _CODE_START.search(text)
    if start is None and (indented := re.search(r"^( +)(?:async )?def ", text, re.MULTILINE)):
        # Code set off from prose by its indentation alone.
        text = re.sub(rf"^ {{1,{len(indented[1])}}}", "", text[indented.start() :], flags=re.MULTILINE)
        start = _CODE_START.search(text)
    return [(text[start.start() :], None)] if start else []


def function_name(number: int) -> str:
    """What the function of an agent is called in prompts and replies."""
    return f"agent_{number}"


def agent_numbers(agents: Sequence[AgentID]) -> dict[int, AgentID]:
    """The number by which replies call each agent: the digits at the end of its id, else its position."""
    endings = [re.search(r"(\d+)$", agent) for agent in agents]
    if all(endings):
        numbers = {int(ending[1]): agent for ending, agent in zip(endings, agents, strict=True) if ending}
        if len(numbers) == len(agents):
            return numbers
    return dict(enumerate(agents))


def names_of(agents: Sequence[AgentID]) -> dict[AgentID, str]:
    """What each agent is called in prompts and replies: `agent_3` for `vehicle_3`."""
    return {agent: function_name(number) for number, agent in agent_numbers(agents).items()}


def number_in(name: str, *, loosely: bool = False) -> int | None:
    """The agent that the name of a function means, such as `agent_3` or `go_vehicle3_north`; None if it means none.

    Args:
        name: of a function.
        loosely: `route_3`, `plan_3` and `program_3` do as well: names of programs, but of helpers, too.
    """
    if len(name) > _MAX_NAME_CHARS:  # the patterns take quadratic time
        return None
    match = _AGENT_NAME.fullmatch(name) or (_LOOSE_NAME.fullmatch(name) if loosely else None)
    return int(match[1]) if match else None


def agent_in(row: Mapping[str, object]) -> int | None:
    """The agent that a row of JSON is about; None if it names none.

    What names an agent, such as "agent_3", comes before a bare number, by which rows may also count themselves.
    """
    names = [_key_text(row[key]) for key in _AGENT_KEYS if key in row]
    named = [number for name in names if (number := number_in(name)) is not None]
    bare = [int(digits[1]) for name in names if (digits := re.search(r"(\d{1,9})$", name))]
    return next(iter([*named, *bare]), None)


def codes_by_agent(text: str) -> dict[int, str]:
    """Source by agent number, where a reply keeps the agents' codes apart; empty if it does not.

    `{"agent_3": "code"}` and `{"agents": [{"id": 3, "code": "..."}]}` in one or several pieces of JSON, also if it is
    cut off; or the same as a Python dict. Beside functions of agents, what stands in JSON are notes.
    """
    codes: dict[int, str] = {}
    if "{" in text and not _defines_agents(text):
        codes = _json_codes(text) or _dict_codes(text)
    return codes


def _defines_agents(text: str) -> bool:
    """Whether a fenced block defines a function of an agent, and be it a broken one."""
    blocks = [parse(block) for block in fenced_blocks(text)]
    return any(number_in(name) is not None for block in blocks for name in block.function_names)


def _json_codes(text: str) -> dict[int, str]:
    codes: dict[int, str] = {}
    for value in _json_values(text):
        codes |= _numbered(_json_items(value))
    return codes


def _whole_codes(text: str) -> list[str]:
    """The code of all agents in JSON, such as `{"code": "def agent_0(): ... def agent_1(): ..."}`."""
    codes = [value for value in _strings(_json_values(text)) if _CODE_START.search(value)]
    return [inner for code in codes for inner in (fenced_blocks(code) or [code])]


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
    whole = [(key, json.loads(value, strict=False)) for key, value in _JSON_PAIR.findall(text) if _is_json(value)]
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


def _is_json(text: str) -> bool:
    try:
        json.loads(text, strict=False)
    except ValueError:
        return False
    return True


def parse(source: str) -> Statements:
    """Statements of `source`. If the whole does not parse, its parts that do, and what is wrong with the others."""
    tree, error = _try(source)
    for repaired in (_PROMPT_MARK.sub("", source), source.translate(_TYPOGRAPHY)):
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
        return [(agent_in(row), row) for row in value if isinstance(row, Mapping)]
    return []
