"""A saved run against the yardsticks: on fresh seeds, in other traffic, with other origin-destination pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from rllib_releds.errors import RunError
from rllib_releds.experiments.evaluation import EVALUATION_SEED, PolicyDriver, drive, load_newest
from rllib_releds.experiments.records import RunFolder
from rllib_releds.experiments.regret import AgentResult, Regret, agent_results, team_regret
from rllib_releds.experiments.trained_scenario import trained_scenario
from rllib_releds.files import file_name, write_json
from sumo_marl_env import (
    QUICK_YARDSTICKS,
    Driver,
    Episode,
    NodeID,
    Scenario,
    make_scenario,
    summary,
)

OTHER_PAIRS = (
    "These origin-destination pairs are not those of training. Each agent has a policy of its own, trained for its own "
    "pair alone: its observation names the destination, so it can be asked to go elsewhere, but it never was there."
)


@dataclass(frozen=True)
class Question:
    """Under which conditions a run is evaluated. What is None is as in training.

    Attributes:
        episodes: episodes of each driver.
        first_seed: background seed of the first; the others follow. Training draws its own below 2^31, at random.
        is_greedy: most probable actions in place of drawn ones.
        is_best: the kept policies that earned most in training, in place of the newest.
        scenario: built-in scenario, with as many agents, or scenario file; on the network of training.
        demand: background traffic.
        trips_seed: of the origin-destination pairs.
        yardsticks: names of `YARDSTICKS`.
    """

    episodes: int = 20
    first_seed: int = EVALUATION_SEED
    is_greedy: bool = False
    is_best: bool = False
    scenario: str | None = None
    demand: str | None = None
    trips_seed: int | None = None
    yardsticks: tuple[str, ...] = QUICK_YARDSTICKS


@dataclass(frozen=True)
class RunComparison:
    """What came out.

    Attributes:
        label: the method.
        epoch: finished epochs of the policies.
        question: the conditions.
        scenario: of the evaluation.
        has_other_pairs: whether its trips are not those of training.
        policy: the run's episodes.
        yardsticks: episodes of each yardstick on the same seeds, by name.
    """

    label: str
    epoch: int
    question: Question
    scenario: Scenario
    has_other_pairs: bool
    policy: tuple[Episode, ...]
    yardsticks: Mapping[str, tuple[Episode, ...]]

    @property
    def team_regret(self) -> Regret | None:
        return team_regret(self.policy, self.yardsticks)

    @property
    def agents(self) -> list[AgentResult]:
        return agent_results(self.scenario, self.policy, self.yardsticks)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: the policies' own summary, that of each driver, regret, agents, and figures of each episode."""
        drivers = {self.label: self.policy, **self.yardsticks}
        team = self.team_regret
        return {
            **summary(self.policy),
            "method": self.label,
            "epoch": self.epoch,
            "scenario": self.scenario.name,
            "is_greedy": self.question.is_greedy,
            "has_other_pairs": self.has_other_pairs,
            "note": OTHER_PAIRS if self.has_other_pairs else None,
            "drivers": {name: summary(played) for name, played in drivers.items()},
            "regret": None if team is None else asdict(team),
            "agents": [asdict(agent) for agent in self.agents],
            "seeds": [episode.seed for episode in self.policy],
            "per_episode": {
                name: {
                    "mean_reward": [episode.mean_reward for episode in played],
                    "mean_travel_time_s": [episode.mean_travel_time_s for episode in played],
                    "arrival_rate": [episode.arrival_rate for episode in played],
                }
                for name, played in drivers.items()
            },
        }


def compare(run: RunFolder, question: Question, progress: Callable[[int, int], None] | None = None) -> RunComparison:
    """Drive with the run's newest policies and with the yardsticks, on the same seeds.

    Args:
        run: a run with a checkpoint.
        question: the conditions.
        progress: told how many episodes are done, of how many.

    Raises:
        RunError: if the run has no finished checkpoint, or its policies do not fit the scenario.
        RoutingError: if the scenario cannot be built.
    """
    epoch, module = load_newest(run, is_best=question.is_best)
    policies = module.sampling_policies()
    trained, scenario = scenarios(run, question)
    check_fit(trained, scenario)
    drivers: dict[str, str | Driver] = {"": PolicyDriver(policies, trained.agents, is_greedy=question.is_greedy)}
    drivers |= {name: name for name in question.yardsticks}
    seeds = range(question.first_seed, question.first_seed + question.episodes)
    done = 0

    def advance(*_: object) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, len(drivers) * len(seeds))

    played = drive({"scenario": scenario}, drivers, seeds, advance)
    return RunComparison(
        label=run.settings.label,
        epoch=epoch,
        question=question,
        scenario=scenario,
        has_other_pairs=_pairs(scenario, trained) != _pairs(trained, trained),
        policy=tuple(played.pop("")),
        yardsticks={name: tuple(episodes) for name, episodes in played.items()},
    )


def scenarios(run: RunFolder, question: Question) -> tuple[Scenario, Scenario]:
    """What the run was trained on, and what it is evaluated on."""
    trained = trained_scenario(run)
    asked = run.settings.env_config()
    if question.scenario is not None:
        # It comes with its own trips and traffic; a file also says how many agents there are.
        asked = {"scenario": question.scenario}
        if not question.scenario.endswith(".json"):
            asked["num_agents"] = len(trained.trips)
    changes = {"demand": question.demand, "trips_seed": question.trips_seed}
    asked |= {name: value for name, value in changes.items() if value is not None}
    return trained, make_scenario(**asked)


def check_fit(trained: Scenario, scenario: Scenario) -> None:
    """Raises RunError unless there is a policy for each agent, and each of them knows the junctions."""
    if trained.network.edge_ids != scenario.network.edge_ids:
        raise RunError(
            f"the policies know the junctions of {trained.network.name}, and {scenario.name} is on another network; "
            "give a scenario on that one"
        )
    ours, theirs = len(trained.trips), len(scenario.trips)
    if ours != theirs:
        raise RunError(
            f"the run has one policy for each of its {ours} agents, and {scenario.name} has {theirs} agents; give a "
            f"scenario with {ours}"
        )


def save(run: RunFolder, comparison: RunComparison) -> Path:
    """Write `evaluation-*.json` into the run folder; the same question to the same policies replaces the answer."""
    question = comparison.question
    scenario = file_name(comparison.scenario.name)
    # Two scenarios of one name may have other trips or traffic.
    asked = [comparison.scenario.fingerprint, *question.yardsticks]
    digest = hashlib.sha256(repr(asked).encode()).hexdigest()[:6]
    pairs = "" if question.trips_seed is None else f"-trips_{question.trips_seed}"
    seeds = f"seeds_{question.first_seed}-{question.first_seed + question.episodes - 1}"
    how = "greedy" if question.is_greedy else "sampled"
    policies = f"{'best_' if question.is_best else ''}epoch_{comparison.epoch}"
    path = run.path / f"evaluation-{scenario}-{digest}{pairs}-{seeds}-{how}-{policies}.json"
    write_json(path, comparison.to_dict())
    return path


def in_tables(comparison: RunComparison, console: Console) -> None:
    """Print everything."""
    console.print(drivers_table(comparison), agents_table(comparison), highlight=False)
    team = comparison.team_regret
    if team is not None:
        words = f"Regret against {team.yardstick}: {in_words(team)} s per trip ({team.share:+.1%}), equal seeds paired."
        console.out(words, highlight=False)
    if comparison.has_other_pairs:
        console.out(OTHER_PAIRS, highlight=False)


def drivers_table(comparison: RunComparison) -> Table:
    """Every driver on the same seeds, and what the policies lose against it in each episode."""
    how = "most probable actions" if comparison.question.is_greedy else "drawn actions"
    title = f"{comparison.scenario.name}, {len(comparison.scenario.trips)} agents, {len(comparison.policy)} episodes"
    table = Table(title=title, caption=f"policies of epoch {comparison.epoch}, {how}")
    table.add_column("driver", no_wrap=True)
    behind_of = [f"{comparison.label} behind by (s)"] if comparison.yardsticks else []
    for heading in ("reward", "travel time (s)", "arrived", *behind_of):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, played in {comparison.label: comparison.policy, **comparison.yardsticks}.items():
        figures = summary(played)
        behind = team_regret(comparison.policy, {name: played}) if name in comparison.yardsticks else None
        table.add_row(
            name,
            f"{figures['mean_reward']:.1f}",
            f"{figures['mean_travel_time_s']:.1f}",
            f"{figures['arrival_rate']:.1%}",
            *(["" if behind is None else in_words(behind)] if behind_of else []),
        )
    return table


def agents_table(comparison: RunComparison) -> Table:
    """Each agent against the yardstick that is best for it."""
    # Headings in two lines, so that times with their intervals fit 100 columns.
    table = Table(title="agents", box=SIMPLE, pad_edge=False, show_edge=False, collapse_padding=True)
    table.add_column("agent", no_wrap=True)
    best_of = ["best\nyardstick", "its\ntime (s)", "regret (s)"] if comparison.yardsticks else []
    for heading in ("from-to", "distance\n(m)", "travel\ntime (s)", "arrived", *best_of):
        table.add_column(heading, justify="right", no_wrap=True)
    has_spread = len(comparison.policy) > 1
    for agent in comparison.agents:
        best = agent.regret
        seconds = f"{agent.mean_travel_time_s:.1f}" + (f" ± {agent.sd_travel_time_s:.1f}" if has_spread else "")
        table.add_row(
            agent.agent,
            f"{agent.origin}-{agent.destination}",
            f"{agent.distance_m:.0f}",
            seconds,
            f"{agent.arrival_rate:.0%}",
            *([] if best is None else [best.yardstick, f"{best.yardstick_s:.1f}", in_words(best)]),
        )
    return table


def in_words(regret: Regret) -> str:
    """Mean, with its interval where there is one."""
    mean = f"{regret.mean_s:+.1f}"
    return mean if regret.low_s is None else f"{mean} [{regret.low_s:+.1f}, {regret.high_s:+.1f}]"


def _pairs(scenario: Scenario, trained: Scenario) -> list[tuple[NodeID, NodeID]]:
    """Origins and destinations, in the order of the policies that drive there (see `PolicyDriver`)."""
    trips = {trip.agent: trip for trip in scenario.trips}
    agents = trained.agents if set(trained.agents) == set(trips) else scenario.agents
    return [(trips[agent].origin, trips[agent].destination) for agent in agents]
