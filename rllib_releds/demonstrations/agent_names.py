"""What prompts and replies call the agents."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sumo_marl_env import AgentID

_AGENT_NAME = re.compile(r"(?:[a-z]+_)*(?:agent|vehicle|veh|car)_?0*(\d{1,9})(?:_[a-z]+)*", re.IGNORECASE)
_LOOSE_NAME = re.compile(r"(?:[a-z]+_)*(?:program|plan|route)_?0*(\d{1,9})(?:_[a-z]+)*", re.IGNORECASE)
_MAX_NAME_CHARS = 200


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
