"""Runs tasks side by side through Ray Tune, each in a process of its own, and shows how far they are."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune

from rllib_releds.experiments.records import RunError
from rllib_releds.local_ray import ray_session
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
    _silence_tune()
    with _alone_in(folder.path), ray_session(jobs), display:
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


@contextmanager
def _alone_in(path: Path) -> Iterator[None]:
    path.mkdir(parents=True, exist_ok=True)
    with (path / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"another `reled reproduce` works in {path}; wait for it, or give another --out") from None
        yield


def _silence_tune() -> None:
    """Settings of Tune that only environment variables take. Call it before Ray is started."""
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # metrics.csv and TensorBoard are the run folder's
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # an interrupt ends the command at once; nothing is lost
    os.environ["TUNE_PRINT_ALL_TRIAL_ERRORS"] = "0"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # the new output prints a banner even when it is told to be silent
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the workers: sums depend on the number of threads
