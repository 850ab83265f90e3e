"""Lists of nodes by agent out of a chat model's reply; whether they are routes is not asked here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from rllib_releds.demonstrations.answers.fences import fenced_blocks
from rllib_releds.demonstrations.answers.json_codes import agent_in
from sumo_marl_env import NodeID

MAX_PIECES = 50
"""Brackets of one text at which JSON is looked for: each look may read the text to its end."""

# `agent_3 = (4, 7, 9)`, `vehicle_3: 4 -> 7 -> 9`, `Agent 3: [4, 7, 9]`, and JSON that is cut off. Repeats are
# possessive (`*+`): blanks that could be shared out among several `\s*` take cubic time where no route follows.
_ROUTE = re.compile(
    r"(?:agent|vehicle)[ _#]*+0*(\d{1,9})[\"'`*]*+(?:s? (?:route|path)\**+)?+\s*+[:=]\s*+[\"'`*]*+\s*+[\[(]?+\s*+"
    r"((?:[\"']?\d{1,9}[\"']?[ \t\n]*+(?:,|->|→)?+[ \t\n]*+)++)",
    re.IGNORECASE,
)
_AGENT = re.compile(r"(?:(?:agent|vehicle|veh|car)[ _#]*+)?0*(\d{1,9})", re.IGNORECASE)
_NODE = re.compile(r"-?\d+")
_BRACKET = re.compile(r"[{\[]")
_NODES = re.compile(r"[\s,>→-]*+(?:\d++[\s,>→-]*+)++")
_ROUTE_KEYS = ("route", "path", "nodes", "plan", "junctions")


def routes_in(text: str) -> dict[int, list[NodeID]]:
    """Nodes by agent number: from JSON, and for agents without any there from lines such as `agent_3: 4 -> 7 -> 9`."""
    written: dict[int, list[NodeID]] = {}
    for match in _ROUTE.finditer(text):
        _keep(written, int(match[1]), [_whole(node) for node in re.findall(r"\d+", match[2])])
    found: dict[int, list[NodeID]] = {}
    for source in fenced_blocks(text) or [text]:
        for value in _json_values(source):
            for number, route in _routes(value):
                _keep(found, number, route)
    return written | found


def _keep(routes: dict[int, list[NodeID]], number: int, route: list[NodeID]) -> None:
    """The last route counts, but a number alone is a remark: "agent_3: 210 s"."""
    if len(route) > 1 or len(routes.get(number, ())) < 2:
        routes[number] = route


def _json_values(text: str) -> Iterator[object]:
    """The JSON objects and arrays in a text."""
    decoder = json.JSONDecoder(parse_int=_whole, strict=False)
    end = 0
    for _ in range(MAX_PIECES):
        bracket = _BRACKET.search(text, end)
        if bracket is None:
            return
        try:
            value, end = decoder.raw_decode(text, bracket.start())
            yield value
        except (ValueError, RecursionError):
            end = bracket.end()


def _routes(value: object, depth: int = 0) -> Iterator[tuple[int, list[NodeID]]]:
    """Agents and nodes in `{"agent_3": [4, 7]}`, `{"3": {"route": [4, 7]}}`, or `[{"agent": 3, "route": [4, 7]}]`."""
    if depth > 3:
        return
    if isinstance(value, list):
        for row in value:
            yield from _routes(row, depth + 1)
    if not isinstance(value, Mapping):
        return
    agent = agent_in(value)
    if agent is not None and (route := _nodes(value)) is not None:
        yield agent, route
        return
    for key, inner in value.items():
        number = _agent(key)
        route = _nodes(inner) if number is not None else None
        if number is not None and route is not None:
            yield number, route
        else:
            yield from _routes(inner, depth + 1)


def _agent(key: object) -> int | None:
    """The number of the agent that a key or a value names."""
    match = _AGENT.fullmatch(str(key).strip()) if isinstance(key, str | int) else None
    return int(match[1]) if match else None


def _nodes(value: object) -> list[NodeID] | None:
    """Node ids from a list, a text such as "4 -> 7", or what stands under "route"; None if there are none."""
    if isinstance(value, Mapping):
        return next((_nodes(value[key]) for key in _ROUTE_KEYS if isinstance(value.get(key), list | str)), None)
    if isinstance(value, str):
        return [_whole(node) for node in re.findall(r"\d+", value)] if _NODES.fullmatch(value) else None
    if not isinstance(value, list):
        return None
    nodes = [str(node).strip() for node in value if isinstance(node, int | str)]
    return [_whole(node) for node in nodes] if all(map(_NODE.fullmatch, nodes)) and len(nodes) == len(value) else None


def _whole(digits: str) -> int:
    """An int of at most ten digits: no node has as many, and `int` refuses thousands of them."""
    sign = -1 if digits.startswith("-") else 1
    return sign * int(digits.lstrip("-").lstrip("0")[:10] or "0")
