"""What one worker process does: train and evaluate one trial, or drive the yardsticks of one setting."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from rllib_releds import keys
from rllib_releds.demonstrations.models.chat import OFFLINE, is_model_name, that_decide
from rllib_releds.demonstrations.records.making import DemosSettings
from rllib_releds.demonstrations.records.table import demonstration_table, write_table
from rllib_releds.errors import RunError
from rllib_releds.experiments.records import RunFolder
from rllib_releds.experiments.runner import train_quietly
from rllib_releds.experiments.settings import TrainSettings
from rllib_releds.files import locked, write_json
from rllib_releds.reproduction.folder import ReproductionFolder
from rllib_releds.reproduction.grid import trial_settings
from rllib_releds.reproduction.measuring import evaluate, trial_result
from rllib_releds.reproduction.trial import Trial, Yardsticks
from sumo_marl_env import QUICK_YARDSTICKS, make_scenario

CHECKPOINT_INTERVAL = 10
"""Epochs of a trial from one checkpoint to the next."""

Report = Callable[[Mapping[str, Any]], None]
"""Told how far a task is: {"epoch": finished ones, "reward", "travel_time_s"}, or {"phase": what it does instead}."""


@dataclass(frozen=True)
class TrialTask:
    """Train one trial, from where it stands, and evaluate its policies.

    Attributes:
        trial: which.
        out: folder of the reproduction.
        demonstrations: who demonstrates, for methods that leave it open.
        evaluation_episodes: background seeds to evaluate on.
        llm: settings of that language model by name.
    """

    trial: Trial
    out: Path
    demonstrations: str
    evaluation_episodes: int
    llm: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.trial.name

    def is_done(self, folder: ReproductionFolder) -> bool:
        """Raises RunError if the finished trial is one of another scenario, or somebody else demonstrated in it."""
        if not folder.result_file(self.trial).is_file():
            return False
        result = folder.result(self.trial)
        _check_scenario(folder.result_file(self.trial), result.scenario_sha256, self.trial)
        there = result.demonstrator or "none"
        asked = trial_settings(self.trial, self.demonstrations).demonstrator or "none"
        if there != asked:
            run = folder.run(self.trial).path
            # Nobody is not to be asked for: that is what the method IPPO is for.
            remedy = "give another --out" if there == "none" else f"give --llm {there}, or another --out"
            raise RunError(f"in {run} {there} demonstrated, and {asked} is asked for; {remedy}")
        return True

    def run(self, report: Report) -> None:
        folder = ReproductionFolder(self.out)
        run = folder.run(self.trial)
        with _locked(run.path), _output_in(folder.log_file(self.name)):
            if self.is_done(folder):
                return
            self._open(run, self._settings(run), folder)
            train_quietly(
                run,
                lambda finished, row: report(
                    {
                        "epoch": finished,
                        "reward": row[keys.MEAN_REWARD],
                        "travel_time_s": row[keys.MEAN_TRAVEL_TIME_S],
                    }
                ),
                checkpoint_interval=CHECKPOINT_INTERVAL,
            )
            report({"phase": "evaluating"})
            result = trial_result(self.trial, run, self.evaluation_episodes)
            write_json(folder.result_file(self.trial), result.model_dump(mode="json"))

    def _settings(self, run: RunFolder) -> TrainSettings:
        settings = trial_settings(self.trial, self.demonstrations, self.llm)
        name = settings.demonstrator
        if name is None or name == OFFLINE or not is_model_name(name):
            return settings
        # After a kill up to ten epochs are trained again: by the same answers, which are not paid for twice.
        return settings.model_copy(update={"record": run.path / "replies"})

    def _open(self, run: RunFolder, settings: TrainSettings, folder: ReproductionFolder) -> None:
        if not run.path.exists():
            # Complete or not at all.
            begun = folder.path / f".{self.name}.writing"
            shutil.rmtree(begun, ignore_errors=True)
            RunFolder.create(begun, settings).path.rename(run.path)
        elif _that_decide(run.settings) != _that_decide(settings):
            raise RunError(
                f"{run.path} was begun with other settings (its config.json; who demonstrates, for example). "
                "Give another --out, or remove that folder."
            )
        else:
            # Minutes are of a `reled resume`; a trial is trained to its end. A budget may have been raised.
            later = {"minutes": None, "llm": settings.llm, "record": settings.record}
            if (updated := run.settings.model_copy(update=later)) != run.settings:
                run.update_settings(updated)


def _check_scenario(file: Path, known: str | None, asked: Trial) -> None:
    """Raises RunError if what lies in the file is of another scenario than is asked for, whatever its name."""
    if known not in (None, _fingerprint(asked.scenario, asked.demand, asked.num_agents)):
        raise RunError(
            f"{file} is of another scenario than {asked.setting} is now: its map, its traffic or its trips have "
            "changed. Give another --out, or put that back"
        )


@cache
def _fingerprint(scenario: str, demand: str | None, num_agents: int) -> str:
    trial = Trial(method="IPPO", scenario=scenario, demand=demand, num_agents=num_agents)
    return make_scenario(**trial_settings(trial, None).env_config()).fingerprint


def _that_decide(settings: TrainSettings) -> dict[str, Any]:
    """The settings that a result depends on."""
    others = {"minutes", "storage", "keep_checkpoints", "demonstrations", "llm", "record"}
    of_the_model = {"demonstrator": settings.demonstrator, "llm": that_decide(settings.llm)}
    return {**settings.model_dump(exclude=others), **of_the_model}


@dataclass(frozen=True)
class YardsticksTask:
    """Drive the yardsticks of one setting on the seeds of the trials' evaluations.

    Attributes:
        trial: any trial of the setting.
        out: folder of the reproduction.
        evaluation_episodes: background seeds.
    """

    trial: Trial
    out: Path
    evaluation_episodes: int

    @property
    def name(self) -> str:
        return f"yardsticks_{self.trial.setting}"

    def is_done(self, folder: ReproductionFolder) -> bool:
        """Raises RunError if those that are there are of another scenario."""
        yardsticks = folder.yardsticks(self.trial.setting)
        if yardsticks is None:
            return False
        _check_scenario(folder.yardsticks_file(self.trial.setting), yardsticks.scenario_sha256, self.trial)
        return all(len(driver.seeds) >= self.evaluation_episodes for driver in yardsticks.drivers.values())

    def run(self, report: Report) -> None:
        folder = ReproductionFolder(self.out)
        file = folder.yardsticks_file(self.trial.setting)
        with _locked(file), _output_in(folder.log_file(self.name)):
            if self.is_done(folder):
                return
            report({"phase": "driving"})
            scenario = make_scenario(**trial_settings(self.trial, None).env_config())
            evaluations = evaluate(scenario, {name: name for name in QUICK_YARDSTICKS}, self.evaluation_episodes)
            yardsticks = Yardsticks(
                setting=self.trial.setting, drivers=evaluations, scenario_sha256=scenario.fingerprint
            )
            write_json(file, yardsticks.model_dump(mode="json"))


@dataclass(frozen=True)
class DemonstrationsTask:
    """Make Table III: demonstrations in all variants, without training.

    Attributes:
        out: folder of the reproduction.
        demonstrations: the language model that demonstrates.
        refinements: of each run.
        runs: of each variant.
        llm: settings of the language model by name.
    """

    out: Path
    demonstrations: str
    refinements: int
    runs: int
    llm: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return "demonstrations"

    def is_done(self, folder: ReproductionFolder) -> bool:
        """Raises RunError if the table is another model's."""
        return folder.has_demonstrations(self.demonstrations, self.refinements, self.runs)

    def run(self, report: Report) -> None:
        folder = ReproductionFolder(self.out)
        with _locked(folder.demonstrations_file), _output_in(folder.log_file(self.name)):
            if self.is_done(folder):
                return
            made = count(1)
            settings = DemosSettings(
                demand="moderate", num_agents=10, model=self.demonstrations, llm=dict(self.llm), gate=False
            )
            rows = demonstration_table(
                folder.demonstrations_file.parent,
                [settings],
                refinements=self.refinements,
                repeats=self.runs,
                progress=lambda _: report({"phase": f"cycle {next(made)}"}),
            )
            write_table(rows, folder.demonstrations_file.parent)


Task = TrialTask | YardsticksTask | DemonstrationsTask


def _locked(folder: Path) -> AbstractContextManager[None]:
    """Hold the only right to write there, waiting for it: the worker of a killed command lives on for a moment."""
    return locked(folder.with_name(f".{folder.name}.lock"))


@contextmanager
def _output_in(file: Path) -> Iterator[None]:
    """Append what this process prints, SUMO's own lines too, to a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    saved = os.dup(1), os.dup(2)
    with file.open("a") as log:
        _flush()
        for number in (1, 2):
            os.dup2(log.fileno(), number)
    try:
        yield
    finally:
        _flush()
        for number, old in enumerate(saved, start=1):
            os.dup2(old, number)
            os.close(old)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
