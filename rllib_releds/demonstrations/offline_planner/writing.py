"""How the offline planner writes what it chose: programs with the navigation functions, or node-by-node routes."""

from __future__ import annotations

import json
from collections.abc import Mapping

from rllib_releds.demonstrations.offline_planner.reading import Task

_FOLLOW = """def follow(nodes):
    for node in nodes:
        move_to_by_shortest_path(node)
    move_to_by_shortest_time(get_destination())
"""

LIVE = ()
"""In place of a route: the fastest way in live traffic."""


def write_programs(tasks: Mapping[str, Task], routes: Mapping[str, tuple[int, ...]]) -> str:
    """One function per agent.

    Args:
        tasks: the agents to write for.
        routes: nodes from the origin to the destination, or `LIVE`.
    """
    functions = [_FOLLOW] if any(routes[name] for name in tasks) else []
    for name in tasks:
        # The vehicle drives towards the second node already.
        nodes = list(routes[name][2:-1])
        body = f"follow({nodes})" if nodes else "move_to_by_shortest_time(get_destination())"
        functions.append(f"def {name}():\n    {body}\n")
    return "```python\n" + "\n\n".join(functions) + "```\n"


def write_routes(tasks: Mapping[str, Task], routes: Mapping[str, tuple[int, ...]]) -> str:
    """One list of nodes per agent."""
    return "```json\n" + json.dumps({name: list(routes[name]) for name in tasks}) + "\n```\n"
