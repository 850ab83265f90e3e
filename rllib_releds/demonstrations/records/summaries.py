"""Stored cycles in a few figures, agent by agent, and compared."""

from __future__ import annotations

from typing import Any

from rllib_releds import keys
from rllib_releds.demonstrations.errors import StoredDemonstrationError
from rllib_releds.demonstrations.records.stored import StoredCycle
from sumo_marl_env import AgentID


def cycle_row(cycle: StoredCycle) -> dict[str, Any]:
    """cycle, execution_rate, reward, travel_time_s, kept_reward, tokens, cost (US dollars), seconds (of the model); or
    cycle and failure, for a cycle that was not carried out."""
    if not cycle.is_complete:
        return {"cycle": cycle.number, "failure": cycle.usage.get("failure") or "not finished"}
    figures = cycle.manifest["figures"]
    return {
        "cycle": cycle.number,
        "execution_rate": figures[keys.EXECUTION_RATE],
        "reward": figures[keys.EXPERT_REWARD],
        "travel_time_s": figures[keys.EXPERT_TRAVEL_TIME_S],
        "kept_reward": figures[keys.KEPT_REWARD],
        "tokens": figures.get(keys.LLM_TOKENS, 0.0),
        "cost": figures.get(keys.LLM_COST, 0.0),
        "seconds": figures.get(keys.LLM_SECONDS, 0.0),
    }


def shown_agents(cycle: StoredCycle, agent: str | None = None) -> dict[str, dict[str, str]]:
    """Per agent's name in prompts, what was `demonstrated` and its `outcome`, as text.

    Args:
        cycle: a complete one.
        agent: only this one, by either name.

    Raises:
        StoredDemonstrationError: if there is no such agent.
    """
    return {
        cycle.names[one]: {"demonstrated": cycle.demonstrated(one), "outcome": _outcome(cycle, one)}
        for one in _chosen(cycle, agent)
    }


def compare_agents(before: StoredCycle, after: StoredCycle, agent: str | None = None) -> dict[str, dict[str, str]]:
    """Per agent's name, what was demonstrated `before` and `after`, and how its `outcome` changed; raises as above."""
    return {
        after.names[one]: {
            "before": before.demonstrated(one),
            "after": after.demonstrated(one),
            "outcome": f"{_outcome(before, one)}\n-> {_outcome(after, one)}",
        }
        for one in _chosen(after, agent)
    }


def _chosen(cycle: StoredCycle, agent: str | None) -> list[AgentID]:
    chosen = [one for one, name in cycle.names.items() if agent in (None, one, name)]
    if not chosen:
        raise StoredDemonstrationError(f"there is no agent {agent!r}; there are {', '.join(cycle.names.values())}")
    return chosen


def _outcome(cycle: StoredCycle, agent: AgentID) -> str:
    one = cycle.outcomes.get(agent)
    if one is None:
        return "not carried out"
    earlier = f"by its earlier answer ({why}): " if (why := one.get("unanswered")) else ""
    text = f"{earlier}{one['exit']} after {one['travel_time_s']:.0f} s, reward {one['reward']:.0f}"
    path = " ".join(map(str, one["path"]))
    failed = f", driven by the fallback, failed: {one['error']}" if one["error"] else ""
    return f"{text}{failed}\n   path {path}"
