"""From a chat model's reply to pieces of Python text. Never raises on any text, and never runs anything."""

from __future__ import annotations

import re
import textwrap

from rllib_releds.demonstrations.answers.fences import fences, headed_agents
from rllib_releds.demonstrations.answers.json_codes import CODE_START, defines_agents, whole_codes

MAX_REPLY_CHARS = 200_000
_THOUGHT = re.compile(r"<(think|thinking|reasoning)>.*?(</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_THOUGHT_END = re.compile(r"</(?:think|thinking|reasoning)>", re.IGNORECASE)
_INVISIBLE = str.maketrans(
    {"\u00a0": " ", "\u2003": " ", "\ufeff": "", "\u200b": "", "\r": "\n", "\u2028": "\n", "\u2029": "\n"}
)
_TAG = re.compile(r"</?(?:pre|code)(?: [^<>\n]*)?>|<\|python_tag\|>", re.IGNORECASE)


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
    if "{" in text and not defines_agents(text) and (codes := whole_codes(text)):
        return [(code, None) for code in codes]
    blocks = fences(text)
    if blocks:
        return [(block.code, number) for block, number in zip(blocks, headed_agents(blocks), strict=True)]
    text = textwrap.dedent(text)
    start = CODE_START.search(text)
    if start is None and (indented := re.search(r"^( +)(?:async )?def ", text, re.MULTILINE)):
        # Code set off from prose by its indentation alone.
        text = re.sub(rf"^ {{1,{len(indented[1])}}}", "", text[indented.start() :], flags=re.MULTILINE)
        start = CODE_START.search(text)
    return [(text[start.start() :], None)] if start else []
