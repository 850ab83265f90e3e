"""Which trials: the experiments of the paper's tables and figures, in three sizes.

Reading this table needs neither Ray nor torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rllib_releds.errors import RunError, one_of
from rllib_releds.experiments.methods import METHODS
from rllib_releds.experiments.settings import TrainSettings
from rllib_releds.literals import EncoderName
from rllib_releds.reproduction.trial import Trial
from sumo_marl_env import DEMANDS, SCENARIOS

RUSH = "rush"
_NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Budget:
    """How much each trial gets.

    Attributes:
        num_epochs: of training.
        interaction_steps_per_epoch: over all agents.
        evaluation_episodes: background seeds on which the final policies and the yardsticks drive.
        refinements: of the demonstrations in Table III.
        demonstration_runs: of each variant in Table III, with seeds from 0 on.
    """

    num_epochs: int
    interaction_steps_per_epoch: int
    evaluation_episodes: int
    refinements: int
    demonstration_runs: int


SMOKE_STEPS = 1000
"""A trial of at most so many interaction steps shows that everything runs, and imitates little: that takes longest."""

DEMONSTRATION_CYCLES = 50
"""Of every trial that is long enough: the paper's 500 epochs with one every tenth, so that less training does not mean
fewer refinements."""

BUDGETS = {
    "smoke": Budget(2, 100, 2, 2, 1),
    "short": Budget(100, 1000, 20, 50, 3),
    "paper": Budget(500, 1000, 20, 50, 10),
}


@dataclass(frozen=True)
class Experiment:
    """Trials that belong together: every method in every setting, with every seed.

    Attributes:
        summary: in one line.
        methods: names of `METHODS`.
        settings: (scenario, demand) pairs.
        agents: numbers of vehicles that learn.
        seeds: of the trials.
        encoders: what the networks see.
        is_fixed: whether its scenarios are what it is about, so that another choice of scenarios leaves it out.
    """

    summary: str
    methods: tuple[str, ...]
    settings: tuple[tuple[str, str | None], ...]
    agents: tuple[int, ...] = (10,)
    seeds: tuple[int, ...] = (0, 1, 2)
    encoders: tuple[EncoderName, ...] = ("combined",)
    is_fixed: bool = False


MAIN_METHODS = ("RELED", "IPPO", "MAPPO", "QMIX")
MODERATE = (("gridtown", "moderate"),)
PAPER_SETTINGS = tuple(product(("gridtown", "harbourtown"), ("moderate", "congested")))

EXPERIMENTS: dict[str, Experiment] = {
    "smoke": Experiment("every method, once, on one town", tuple(METHODS), MODERATE, agents=(4,), seeds=(0,)),
    "smoke-agents": Experiment("more than one number of agents", ("RELED", "IPPO"), MODERATE, (4, 5), (0,)),
    "comparison": Experiment(
        "the methods on the paper's four: two towns at two demands (Table IV)", MAIN_METHODS, PAPER_SETTINGS
    ),
    "ablation": Experiment(
        "what each part of RELED gives",
        ("RELED", "RELED-without-refinement", "RELED-alpha-0.2", "RELED-alpha-0.5", "RELED-logit", "IPPO"),
        MODERATE,
    ),
    "rush": Experiment(
        "many agents, few origins and destinations", MAIN_METHODS, ((RUSH, None),), agents=(50, 100), is_fixed=True
    ),
    "agents": Experiment("from few agents to many", MAIN_METHODS, MODERATE, agents=(5, 10, 15, 20, 50)),
    "demonstrations": Experiment("Table III: demonstrations without training", (), (), is_fixed=True),
    "maps": Experiment("real maps, given by --maps", MAIN_METHODS, (), is_fixed=True),
}
"""Every experiment by name."""

SMOKE = ("smoke", "smoke-agents")
"""Those of the budget smoke."""


@dataclass(frozen=True)
class Selection:
    """What a user asks for; an empty field is what each experiment says.

    Attributes:
        experiments: names of `EXPERIMENTS`; by default those that the budget and `maps` make sense of.
        methods: names of `METHODS`, also such as an experiment does not list.
        scenarios: built-in scenarios or scenario files. "rush" and maps belong to experiments of their own.
        demands: background traffic.
        maps: files of maps (.osm, .net.xml), for the experiment "maps".
        seeds: of the trials.
        agents: numbers of vehicles that learn.
        encoders: what the networks see.
        budget: a name of `BUDGETS`.
    """

    experiments: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ()
    demands: tuple[str, ...] = ()
    maps: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    agents: tuple[int, ...] = ()
    encoders: tuple[EncoderName, ...] = ()
    budget: str = "short"

    def __post_init__(self) -> None:
        for name in self.experiments:
            one_of("experiment", name, EXPERIMENTS)
        for name in self.methods:
            one_of("method", name, METHODS)
        one_of("budget", self.budget, BUDGETS)
        for name in self.scenarios:
            if not name.endswith(".json"):
                one_of("scenario", name, SCENARIOS)
        for name in self.demands:
            if not name.endswith(".xml"):
                one_of("demand", name, DEMANDS)
        if self.maps and self.experiments and "maps" not in self.experiments:
            raise RunError("--maps is for the experiment maps; name it in --experiments, or leave that out")
        if self.maps and not self.experiments and self.scenarios:
            raise RunError("--maps is for the experiment maps, and --scenarios for others; name both in --experiments")
        if "maps" in self.experiments and not self.maps:
            raise RunError("the experiment maps needs --maps FILE, a map as .osm or .net.xml")

    @property
    def has_table_three(self) -> bool:
        """Whether demonstrations are made without training too: where nothing is asked for, or just that."""
        is_part = any((self.methods, self.scenarios, self.demands, self.seeds, self.agents, self.encoders))
        return "demonstrations" in self._experiments() and ("demonstrations" in self.experiments or not is_part)

    def trials(self) -> list[Trial]:
        """Every trial once, experiment by experiment.

        Raises:
            RunError: if none is left, or two of them would share a folder.
        """
        trials = list(dict.fromkeys(trial for name in self._experiments() for trial in self._of(EXPERIMENTS[name])))
        if not trials and not self.has_table_three:
            raise RunError("no trial fits that choice of --experiments and --scenarios; leave one of them out")
        by_name: dict[str, Trial] = {}
        for trial in trials:
            other = by_name.setdefault(trial.name, trial)
            if other != trial:
                raise RunError(
                    f"{other.scenario} ({other.demand}) and {trial.scenario} ({trial.demand}) have the same name in "
                    f"results ({trial.setting}); rename one of the files"
                )
        return trials

    def _experiments(self) -> tuple[str, ...]:
        if self.experiments:
            return self.experiments
        if self.maps:
            return ("maps",)
        if self.budget == "smoke":
            return (*SMOKE, "demonstrations")
        return tuple(name for name in EXPERIMENTS if name not in SMOKE)

    def _of(self, experiment: Experiment) -> Iterable[Trial]:
        budget = BUDGETS[self.budget]
        chosen = replace(
            experiment,
            settings=self._settings(experiment),
            methods=self.methods or experiment.methods,
            agents=self.agents or experiment.agents,
            seeds=self.seeds or experiment.seeds,
            encoders=self.encoders or experiment.encoders,
        )
        for encoder, (scenario, demand) in product(chosen.encoders, chosen.settings):
            listed = _num_listed_trips(scenario)
            if listed is not None and self.agents and listed not in self.agents:
                raise RunError(f"{scenario} lists the trips of {listed} agents; leave out --agents")
            for agents, seed, method in product(
                chosen.agents if listed is None else (listed,), chosen.seeds, chosen.methods
            ):
                yield Trial(
                    method=method,
                    scenario=scenario,
                    demand=demand,
                    num_agents=agents,
                    encoder=encoder,
                    seed=seed,
                    num_epochs=budget.num_epochs,
                    interaction_steps_per_epoch=budget.interaction_steps_per_epoch,
                )

    def _settings(self, experiment: Experiment) -> tuple[tuple[str, str | None], ...]:
        settings = experiment.settings
        if experiment is EXPERIMENTS["maps"]:
            settings = tuple((file, "moderate") for file in self.maps)
        elif experiment.is_fixed and self.scenarios:
            settings = tuple(pair for pair in settings if pair[0] in self.scenarios)
        elif self.scenarios:
            demands = list(dict.fromkeys(demand for _, demand in settings))
            settings = tuple(
                (scenario, demand)
                for scenario in self.scenarios
                if scenario != RUSH
                # A scenario file says itself what drives beside the agents.
                for demand in ([None] if scenario.endswith(".json") else demands)
            )
        if self.demands:
            settings = tuple(product(dict.fromkeys(scenario for scenario, _ in settings), self.demands))
        return settings


def _num_listed_trips(scenario: str) -> int | None:
    """How many agents a scenario file lists; None for one that draws them, and for what is no such file."""
    if not scenario.endswith(".json"):
        return None
    try:
        trips = json.loads(Path(scenario).read_text(encoding="utf-8"))["trips"]
    except (OSError, ValueError, LookupError, TypeError):
        # Who builds the scenario says what is wrong with it.
        return None
    return len(trips) if isinstance(trips, list) else None


def trial_settings(trial: Trial, demonstrations: str | None, llm: Mapping[str, Any] = _NONE) -> TrainSettings:
    """The run that a trial is.

    Args:
        trial: which.
        demonstrations: who demonstrates, for methods that leave it open.
        llm: settings of that language model by name.
    """
    is_map = trial.scenario.endswith((".osm", ".net.xml"))
    method = METHODS[trial.method]
    algorithm: dict[str, Any] = {"encoder": trial.encoder}
    if method.demonstrations:
        algorithm["demonstration_interval"] = max(1, trial.num_epochs // DEMONSTRATION_CYCLES)
    if trial.num_steps <= SMOKE_STEPS and method.demonstrations and "imitation_episodes" not in method.training:
        algorithm |= {"imitation_episodes": 2, "imitation_passes": 8, "first_refinements": 1}
    return TrainSettings(
        scenario="gridtown" if is_map else trial.scenario,
        network=Path(trial.scenario) if is_map else None,
        demand=trial.demand,
        num_agents=trial.num_agents if _num_listed_trips(trial.scenario) is None else None,
        num_training_epochs=trial.num_epochs,
        interaction_steps_per_epoch=trial.interaction_steps_per_epoch,
        method=trial.method,
        demonstrations=demonstrations,
        llm=dict(llm) if method.demonstrations == "chosen" else {},
        seed=trial.seed,
        algorithm=algorithm,
    )
