"""A stored cycle carried out again without any model, and compared with what was stored, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from rllib_releds.demonstrations.episodes import ActOthers, play_episode
from rllib_releds.demonstrations.protocol import DemonstrationTrace
from rllib_releds.demonstrations.records.stored import StoredCycle
from sumo_marl_env import AgentID, AgentTrajectory, Episode, Plan, RoutingEnv, recorded_scenario


@dataclass(frozen=True)
class ReplayedCycle:
    """What became of a replay.

    Attributes:
        cycle: its number.
        num_episodes: simulated again.
        differences: what is not as it was stored, in words; empty if everything is equal bit for bit.
    """

    cycle: int
    num_episodes: int
    differences: tuple[str, ...]


def replay_cycle(stored: StoredCycle, env: RoutingEnv | None = None) -> ReplayedCycle:
    """Carry out a cycle's demonstrations again, in the same traffic.

    Demonstrated agents follow their stored programs or plans; all others make the decisions that they made then, so a
    cycle of a training run needs none of its policies.

    Args:
        stored: a complete cycle.
        env: where; None makes one from the stored scenario, with the default observation and reward.

    Raises:
        StoredDemonstrationError: if the cycle cannot be carried out again.
        EpisodeError: if an episode is missing, or its scenario is not as it was.
    """
    demonstrations = stored.demonstrations()
    differences = [f"{name} was changed since" for name in stored.changed_files()]
    episodes, instructions = stored.episodes(), stored.instructions
    first = episodes[0][1]
    own = env or RoutingEnv(recorded_scenario(first), sumo_options=first.sumo_options)
    try:
        for agents, then in episodes:
            expert = demonstrations.demonstrator(agents)
            now = play_episode(own, then.seed, dict.fromkeys(agents, expert), _decisions(then, own))
            traces = expert.finish()
            differences += _differences(then, now)
            differences += _other_instructions(instructions, traces)
    finally:
        if env is None:
            own.close()
    return ReplayedCycle(stored.number, len(episodes), tuple(dict.fromkeys(differences)))


def _decisions(then: Episode, env: RoutingEnv) -> ActOthers:
    """Gives agents the decisions that they made then."""
    decisions = {one.agent: iter(one.chosen_actions.tolist()) for one in then}
    # In other traffic an agent may get farther than it did: it then goes anywhere, and the difference is reported.
    return lambda agents: [next(decisions[agent], int(env.action_mask(agent).argmax())) for agent in agents]


def _differences(then: Episode, now: Episode) -> Iterator[str]:
    for before, after in zip(then, now, strict=True):
        names = [field.name for field in fields(AgentTrajectory) if not _equal(before, after, field.name)]
        if names:
            ends = [f"{one.exit} after {one.travel_time_s:g} s" for one in (after, before)]
            where = "" if ends[0] == ends[1] else f" ({ends[0]}, then {ends[1]})"
            yield f"{before.agent}: {', '.join(names)} differ{where}"
    if not np.array_equal(then.rewards, now.rewards) or not np.array_equal(then.times_s, now.times_s):
        yield "the rewards of environment steps differ"


def _equal(before: AgentTrajectory, after: AgentTrajectory, name: str) -> bool:
    one, other = getattr(before, name), getattr(after, name)
    return np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other


def _other_instructions(plans: Mapping[AgentID, Plan], traces: Mapping[AgentID, DemonstrationTrace]) -> Sequence[str]:
    return [
        f"{agent}: other instructions"
        for agent, trace in traces.items()
        if agent in plans and plans[agent].instructions != trace.instructions
    ]
