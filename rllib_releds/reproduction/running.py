"""Runs tasks side by side through Ray Tune, each in a process of its own, and shows how far they are."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ray import tune

from rllib_releds.errors import last_line
from rllib_releds.files import write_text
from rllib_releds.local_ray import fit, quiet_tune, ray_session, silence_ray
from rllib_releds.reproduction.folder import ReproductionFolder
from rllib_releds.reproduction.progress import TrialsDisplay, task_name
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
        folder: where results go. Other processes may work there too; a task that one of them has begun is waited for.
        tasks: what to do, in this order. Each goes on from where it stands.
        jobs: tasks side by side, with one CPU each.
        display: shows how far they are.
    """
    if not tasks:
        return []
    for task in tasks:
        # What it failed of before is over.
        folder.error_file(task.name).unlink(missing_ok=True)
    quiet_tune()
    with tune_storage(folder.path) as storage, ray_session(jobs), display:
        silence_ray()  # failures are told at the end

        def tuner(attempt: int) -> tune.Tuner:
            left = [task for task in tasks if not task.is_done(folder)]
            # Tune wants at least one, and one that is done ends at once.
            return _tuner(storage / str(attempt), left or tasks[:1], jobs, display)

        results = fit(tuner)
    # A trial that died before it reported anything has no configuration in its result, but its folder has a name.
    errors = {Path(result.path).name: result.error for result in results if result.error is not None}
    return [_record_failure(folder, name, error) for name, error in errors.items()]


def _tuner(storage: Path, tasks: Sequence[Task], jobs: int, display: TrialsDisplay) -> tune.Tuner:
    # By name: Tune puts placeholders where a configuration holds objects.
    by_name = {task.name: task for task in tasks}

    def work(config: dict[str, str]) -> None:
        logging.getLogger("ray.rllib").setLevel(logging.ERROR)
        by_name[config["task"]].run(tune.report)

    return tune.Tuner(
        tune.with_resources(work, {"CPU": 1}),
        param_space={"task": tune.grid_search(list(by_name))},
        tune_config=tune.TuneConfig(max_concurrent_trials=jobs, reuse_actors=False, trial_dirname_creator=task_name),
        run_config=tune.RunConfig(
            name=storage.name,
            storage_path=str(storage.parent),
            failure_config=tune.FailureConfig(max_failures=0),
            callbacks=[display],
            verbose=0,
        ),
    )


def _record_failure(folder: ReproductionFolder, name: str, error: BaseException) -> Failure:
    file = folder.error_file(name)
    write_text(file, f"{error}\n")
    return Failure(name, last_line(str(error)), file)


@contextmanager
def tune_storage(out: Path) -> Iterator[Path]:
    """Where Tune may make a folder, which nobody needs afterwards. What killed commands left is removed."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as lock:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # No other command works here.
            shutil.rmtree(out / ".tune", ignore_errors=True)
        fcntl.flock(lock, fcntl.LOCK_SH)
        storage = out / ".tune" / str(os.getpid())
        storage.parent.mkdir(exist_ok=True)
        try:
            yield storage
        finally:
            shutil.rmtree(storage, ignore_errors=True)
            with suppress(OSError):  # another command's is still there
                storage.parent.rmdir()
