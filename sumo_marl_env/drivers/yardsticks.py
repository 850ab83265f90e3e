"""Simple drivers to measure learned ones against, on the same trips, seeds and traffic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from sumo_marl_env.drivers.equilibrium import EquilibriumDriver
from sumo_marl_env.drivers.rerouting import ReroutingDevice
from sumo_marl_env.episode import Episode
from sumo_marl_env.errors import ScenarioError
from sumo_marl_env.maps.paths import ShortestPaths, shortest_paths
from sumo_marl_env.routing_env import RoutingEnv
from sumo_marl_env.types import AgentID, Exit

Progress = Callable[[int, Episode], None]
"""Called after each episode with the number of episodes done and the last one."""


@runtime_checkable
class Driver(Protocol):
    """Chooses the actions of all agents in one env."""

    def begin(self, env: RoutingEnv, seed: int) -> None:
        """A new episode has begun."""

    def act(self, env: RoutingEnv, agent: AgentID) -> int:
        """The action slot of `agent`, which has a decision to make."""


@runtime_checkable
class WholeEpisode(Protocol):
    """Drives all agents through a whole episode without the env's steps."""

    def run_episode(self, env: RoutingEnv, seed: int) -> Episode:
        """The complete episode with this seed, in the scenario of `env`."""


class RandomDriver:
    """Draws uniformly from the valid slots. The draws follow from the episode's seed."""

    def begin(self, env: RoutingEnv, seed: int) -> None:
        self._rng = np.random.default_rng([seed, 1])

    def act(self, env: RoutingEnv, agent: AgentID) -> int:
        return int(self._rng.choice(np.flatnonzero(env.action_mask(agent))))


class FreeFlowDriver:
    """Follows the path that is fastest on an empty network, whatever the traffic."""

    def begin(self, env: RoutingEnv, seed: int) -> None:
        self._paths: ShortestPaths = shortest_paths(env.network, "free_flow_time")

    def act(self, env: RoutingEnv, agent: AgentID) -> int:
        navigator = env.navigator(agent)
        edge = navigator.current_edge
        following = self._paths.next_edges(navigator.get_destination())[edge]
        return env.network.slot(edge, following)


class LiveDriver:
    """At every junction follows the path that is fastest by the smoothed travel times of that moment."""

    def begin(self, env: RoutingEnv, seed: int) -> None:
        """Nothing to prepare: the traffic is read at each decision."""

    def act(self, env: RoutingEnv, agent: AgentID) -> int:
        navigator = env.navigator(agent)
        return navigator.action_by_shortest_time(navigator.get_destination())


YARDSTICKS: dict[str, Callable[[], Driver | WholeEpisode]] = {
    "random": RandomDriver,
    "free_flow": FreeFlowDriver,
    "live": LiveDriver,
    "rerouting": ReroutingDevice,
    "equilibrium": EquilibriumDriver,
}
"""Every yardstick by name."""

QUICK_YARDSTICKS = ("random", "free_flow", "live", "rerouting")
"""Those that need no more than the episodes themselves. The equilibrium is first learnt, over some 30 episodes."""


def run_yardstick(
    env: RoutingEnv, policy: str | Driver | WholeEpisode, seeds: Iterable[int], progress: Progress | None = None
) -> list[Episode]:
    """Drive all agents by one rule through one episode per seed.

    Args:
        env: the environment, or a view of it as `to_fixed_team` and `env()` make. For a driver it is reset, and left
            at the end of the last episode, open; an object that runs whole episodes need not touch it.
        policy: a name of `YARDSTICKS`, a driver, or an object that runs whole episodes.
        seeds: seeds of the episodes.
        progress: told after each episode.

    Returns:
        One complete episode per seed.

    Raises:
        ScenarioError: if there is no such yardstick.
        TypeError: if `env` is no `RoutingEnv` and no view of one.
    """
    # Drivers know agents that leave, which a fixed team hides.
    whole = getattr(env, "unwrapped", env)
    if not isinstance(whole, RoutingEnv):
        raise TypeError(f"run_yardstick takes what parallel_env returns, not {type(env).__name__}")
    env, driver = whole, _driver(policy)
    episodes = []
    for seed in seeds:
        episodes.append(
            driver.run_episode(env, seed) if isinstance(driver, WholeEpisode) else _drive(env, driver, seed)
        )
        if progress is not None:
            progress(len(episodes), episodes[-1])
    return episodes


def summary(episodes: Sequence[Episode]) -> dict[str, Any]:
    """The figures that every evaluation reports.

    Returns:
        episodes: number of episodes; mean_reward: undiscounted return per agent; mean_travel_time_s: over all agents,
        unfinished trips with the time they had used; arrival_rate: 0 to 1; lost, teleported, stuck: numbers of agents
        over all episodes (an agent that never found room to start counts as stuck); simulator_failed: numbers of agents
        whose episode SUMO cut short by dying.
    """
    if not episodes:
        raise ScenarioError("no episodes to sum up; run at least one")
    return {
        "episodes": len(episodes),
        "mean_reward": float(np.mean([episode.mean_reward for episode in episodes])),
        "mean_travel_time_s": float(np.mean([episode.mean_travel_time_s for episode in episodes])),
        "arrival_rate": float(np.mean([episode.arrival_rate for episode in episodes])),
        "lost": sum(episode.count(Exit.LOST) for episode in episodes),
        "teleported": sum(episode.count(Exit.TELEPORTED) for episode in episodes),
        "stuck": sum(episode.count(Exit.STUCK) + episode.count(Exit.NOT_INSERTED) for episode in episodes),
        "simulator_failed": sum(episode.count(Exit.SIMULATOR_FAILED) for episode in episodes),
    }


def _drive(env: RoutingEnv, driver: Driver, seed: int) -> Episode:
    env.begin(seed)
    driver.begin(env, seed)
    while env.agents:
        env.advance({agent: driver.act(env, agent) for agent in env.deciders})
    return env.episode()


def yardstick_names(text: str) -> tuple[str, ...]:
    """The names in "live,random", "all" or "none". Raises ScenarioError if there is no such yardstick."""
    if text in ("all", "none"):
        return tuple(YARDSTICKS) if text == "all" else ()
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        _check_name(name)
    return names


def _driver(policy: str | Driver | WholeEpisode) -> Driver | WholeEpisode:
    if isinstance(policy, type) or not isinstance(policy, str | Driver | WholeEpisode):
        raise ScenarioError(f"{policy!r} drives nobody; give a name of YARDSTICKS, or an instance of a Driver")
    if not isinstance(policy, str):
        return policy
    _check_name(policy)
    return YARDSTICKS[policy]()


def _check_name(name: str) -> None:
    if name not in YARDSTICKS:
        raise ScenarioError(f"unknown yardstick {name!r}; choose {', '.join(YARDSTICKS)}")
