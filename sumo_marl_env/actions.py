"""Which edge a decider takes when it is told something that its mask forbids."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sumo_marl_env.errors import RoutingError
from sumo_marl_env.types import AgentID


def executed_slot(agent: AgentID, action: Any, mask: NDArray[np.int8], *, strict: bool) -> tuple[int, bool]:
    """The slot that is carried out, and whether it is the one that was given.

    Args:
        agent: whose action it is.
        action: a whole number; None if there is none.
        mask: (m_out,) int8, what the agent may do.
        strict: whether an invalid action is an error. If not, the nearest valid slot replaces it.

    Raises:
        RoutingError: if the action is no whole number, or, with `strict`, missing or masked out.
    """
    try:
        slot = None if action is None else operator.index(action)
    except TypeError:
        raise RoutingError(f"{agent}: an action is a whole number, not {action!r}") from None
    if slot is not None and 0 <= slot < len(mask) and mask[slot]:
        return slot, True
    valid: list[int] = np.flatnonzero(mask).tolist()
    if strict:
        words = "no action" if slot is None else f"action {slot}"
        raise RoutingError(f"{agent}: {words} at junction with valid actions {valid}")
    return valid[0] if slot is None else min(valid, key=lambda other: abs(other - slot)), False
