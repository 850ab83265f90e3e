"""Instructions, plans, and the instruction executor f of Eq. 15 that turns them into actions."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sumo_marl_env.types import AgentID, NodeID

if TYPE_CHECKING:
    from sumo_marl_env.navigation import Navigator

MOVE_FUNCTIONS = ("move_to_by_shortest_path", "move_to_by_shortest_time")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One `move_to_*` call (e_k of the paper): drive to junction `target`.

    Attributes:
        function: a name of `MOVE_FUNCTIONS`.
        target: junction index.
    """

    function: str
    target: NodeID

    def __post_init__(self) -> None:
        if self.function not in MOVE_FUNCTIONS:
            raise ValueError(f"unknown instruction {self.function!r}; known: {', '.join(MOVE_FUNCTIONS)}")
        # Indices that come out of arrays are numpy's, which no JSON file can hold.
        object.__setattr__(self, "target", operator.index(self.target))

    def __str__(self) -> str:
        return f"{self.function}({self.target})"


@dataclass(frozen=True, slots=True)
class Plan:
    """One agent's ordered instructions (E^i of the paper)."""

    agent: AgentID
    instructions: tuple[Instruction, ...]


def is_reached(navigator: Navigator, instruction: Instruction) -> bool:
    """Whether the vehicle approaches the instruction's target: what it does there is up to the next instruction."""
    return navigator.approached_junction == instruction.target


def next_action(navigator: Navigator, instruction: Instruction) -> int:
    """The executor f (Eq. 15): the action slot at the approached junction that follows the instruction.

    `move_to_by_shortest_time` is planned anew at every junction with the live travel times.

    Raises:
        NoRouteError: if the target cannot be reached from here.
    """
    if instruction.function == "move_to_by_shortest_path":
        return navigator.action_by_shortest_path(instruction.target)
    return navigator.action_by_shortest_time(instruction.target)
