"""Expert episodes: the subsets of agents, and one episode in SUMO in which demonstrators drive some of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from rllib_releds.demonstrations.protocol import Demonstrations, Demonstrator
from sumo_marl_env import AgentID, Episode, RoutingEnv

ActOthers = Callable[[Sequence[AgentID]], Sequence[int]]
"""The action slots of agents that decide now and are not demonstrated, in their order."""


def play_episode(
    env: RoutingEnv,
    episode_seed: int,
    demonstrators: Mapping[AgentID, Demonstrator],
    act_others: ActOthers | None = None,
    watch: Callable[[RoutingEnv], None] | None = None,
) -> Episode:
    """One whole episode; the env is left at its end, and the demonstrators are not finished.

    Args:
        env: the environment.
        episode_seed: of the background traffic and the drivers' behaviour.
        demonstrators: of each demonstrated agent; several agents may share one.
        act_others: acts for all other agents; None if there are none.
        watch: called before each environment step.
    """
    env.begin(episode_seed)
    for demonstrator in {id(one): one for one in demonstrators.values()}.values():
        driven = [agent for agent, one in demonstrators.items() if one is demonstrator]
        demonstrator.start({agent: env.navigator(agent) for agent in driven})
    while env.agents:
        deciders = env.deciders
        actions = {agent: demonstrators[agent].act(agent) for agent in deciders if agent in demonstrators}
        own = [agent for agent in deciders if agent not in demonstrators]
        if own:
            assert act_others is not None
            actions.update(zip(own, act_others(own), strict=True))
        if watch is not None:
            watch(env)
        env.advance(actions)
    return env.episode()


def demonstrated_episode(env: RoutingEnv, episode_seed: int, demonstrations: Demonstrations) -> Episode:
    """One whole episode in which every agent follows its demonstration."""
    demonstrator = demonstrations.demonstrator(env.possible_agents)
    episode = play_episode(env, episode_seed, dict.fromkeys(env.possible_agents, demonstrator))
    demonstrator.finish()
    return episode


def partition(
    agents: Sequence[AgentID], num_subsets: int, random: np.random.Generator
) -> tuple[tuple[AgentID, ...], ...]:
    """A random disjoint partition A_1, ..., A_m of the agents, of sizes that differ by one at most.

    With fewer agents than subsets every agent is a subset of its own. Within a subset agents keep their order.

    Raises:
        ValueError: unless num_subsets >= 1.
    """
    if num_subsets < 1:
        raise ValueError(f"num_subsets must be 1 or more, got {num_subsets}")
    shuffled = random.permutation(len(agents))
    parts = np.array_split(shuffled, min(num_subsets, len(agents)) or 1)
    return tuple(tuple(agents[row] for row in sorted(part.tolist())) for part in parts)
