"""Runs tasks side by side through Ray Tune, each in a process of its own, and shows how far they are."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune

from rllib_releds.experiments.records import alone_in
from rllib_releds.local_ray import quiet_tune, ray_session
from rllib_releds.reproduction.folder import ReproductionFolder, last_line
from rllib_releds.reproduction.progress import TrialsDisplay
from rllib_releds.reproduction.work import Task


@dataclass(frozen=True)
class Failure:
    """A task that did not get to its end.

    Attributes:
        name: of the task.
        error: in one line.
        log: the whole story.
    """

    name: str
    error: str
    log: Path


def run_tasks(folder: ReproductionFolder, tasks: Sequence[Task], jobs: int, display: TrialsDisplay) -> list[Failure]:
    """Run every task; one that fails does not end the others.

    Args:
        folder: where results go; another `run_tasks` there is refused.
        tasks: what to do, in this order. Each goes on from where it stands.
        jobs: tasks side by side, with one CPU each.
        display: shows how far they are.

    Raises:
        RunError: if another process works in the folder.
    """
    if not tasks:
        return []
    quiet_tune()
    with alone_in(folder.path, "reled reproduce"), ray_session(jobs), display:
        # Ray sets these levels when it is imported; failures are told at the end.
        for name in ("ray", "ray.tune", "ray.rllib"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        storage = folder.path / ".tune"
        shutil.rmtree(storage, ignore_errors=True)
        try:
            results = _tuner(storage, tasks, jobs, display).fit()
        finally:
            shutil.rmtree(storage, ignore_errors=True)
    errors = {result.config["task"].name: result.error for result in results if result.error is not None}
    return [_record_failure(folder, name, error) for name, error in errors.items()]


def _tuner(storage: Path, tasks: Sequence[Task], jobs: int, display: TrialsDisplay) -> tune.Tuner:
    return tune.Tuner(
        tune.with_resources(_work, {"CPU": 1}),
        param_space={"task": tune.grid_search(list(tasks))},
        tune_config=tune.TuneConfig(max_concurrent_trials=jobs, reuse_actors=False),
        run_config=tune.RunConfig(
            name=storage.name,
            storage_path=str(storage.parent),
            failure_config=tune.FailureConfig(max_failures=0),
            callbacks=[display],
            verbose=0,
        ),
    )


def _work(config: dict[str, Any]) -> None:
    logging.getLogger("ray.rllib").setLevel(logging.ERROR)
    config["task"].run(tune.report)


def _record_failure(folder: ReproductionFolder, name: str, error: BaseException) -> Failure:
    file = folder.error_file(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{error}\n")
    return Failure(name, last_line(str(error)), file)
