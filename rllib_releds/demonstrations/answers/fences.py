"""Markdown fences in a chat model's reply, and the agents under whose headings they stand."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

# Possessive (`*+`): a line that never ends would be shared out anew between every two repeats.
_OPENING = re.compile(r"[ \t]*+(```++|~~~++)[ \t]*+([\w+-]*+)")
_OPENING_IN_PROSE = re.compile(r"(?<=[:>\s])(```++)[ \t]*+([\w+-]*+)$")
_LANGUAGES = ("", "python", "py", "python3", "py3", "pycon", "ipython", "json", "text")
_HEADING = re.compile(r"([\s#*>\d.()-]*+)(?:agent|vehicle)[ _#]*+0*(\d{1,9})\b(.*)", re.IGNORECASE)
_OWN_NAME = re.compile(r"[\s`*]*+\(`?agent_0*(\d{1,9})`?\)", re.IGNORECASE)
_ANNOUNCEMENT = re.compile(r"\b(?:agent|vehicle)[ _#]*+0*(\d{1,9})([\s\"'`*:]*+)$", re.IGNORECASE)


@dataclass(frozen=True)
class Fence:
    """One fenced block that can hold Python or JSON.

    Attributes:
        code: its contents, not indented.
        before: the text between the fence before it and this one.
    """

    code: str
    before: str


def fences(text: str) -> list[Fence]:
    """The fenced blocks of a text that can hold Python or JSON; a fence that never closes runs to the end."""
    found: list[Fence] = []
    before: list[str] = []
    inside: list[str] = []
    mark = language = ""

    def close() -> None:
        if language in _LANGUAGES and "".join(inside).strip():
            found.append(Fence(textwrap.dedent("\n".join(inside) + "\n"), "\n".join(before)))
            before.clear()
        inside.clear()

    for line in text.split("\n"):
        if mark:
            stripped = line.rstrip(" \t")
            if stripped.endswith(mark) and set(stripped.lstrip(" \t")) == set(mark):
                close()
                mark = ""
            elif stripped.endswith(mark) and mark[0] not in (code := stripped.removesuffix(mark)):
                inside.append(code)
                close()
                mark = ""
            else:
                inside.append(line)
        elif opening := _opening(line):
            before.append(line[: opening.start()])
            mark, language = opening[1], opening[2].lower()
        else:
            before.append(line)
    if mark:
        close()
    return found


def _opening(line: str) -> re.Match[str] | None:
    """The mark and the language that a fence begins with, on a line of its own or after prose: "It is: ```python"."""
    if opening := _OPENING.match(line):
        return opening
    opening = _OPENING_IN_PROSE.search(line.rstrip(" \t"))
    if opening and (opening[2].lower() in _LANGUAGES if opening[2] else line[: opening.start()].rstrip().endswith(":")):
        return opening
    return None


def fenced_blocks(text: str) -> list[str]:
    """The contents of the fences that can hold Python or JSON."""
    return [fence.code for fence in fences(text)]


def headed_agents(blocks: Sequence[Fence]) -> list[int | None]:
    """For each block the number of the agent that its heading names; None for all unless they name several agents."""
    numbers = [_heading(block.before) for block in blocks]
    several = len({number for number in numbers if number is not None}) > 1
    return [number if several else None for number in numbers]


def _heading(before: str) -> int | None:
    """The agent of the last line that begins with its name ("Agent 3"), or ends with it ("The program of agent 3:").

    Lines that are nothing but a heading come first: "Agent 2 is near." may follow "### Agent 3".
    """
    beside: int | None = None
    for line in reversed(before.split("\n")):
        heading = _HEADING.match(line)
        if heading and ("#" in heading[1] or "**" in heading[1] or not re.search(r"\w", heading[3])):
            # "### Vehicle 1 (agent_0)" counts vehicles in its own way.
            own = _OWN_NAME.match(heading[3])
            return int(own[1] if own else heading[2])
        announcement = _ANNOUNCEMENT.search(line)
        if announcement and (":" in announcement[2] or line.lstrip().startswith(("#", "**"))):
            return int(announcement[1])
        if heading and beside is None:
            beside = int(heading[2])
    return beside
