"""Trains a run: epoch by epoch, each safe on disk before the next begins."""

from __future__ import annotations

import errno
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from rich.console import Console
from torch.utils.tensorboard import SummaryWriter

from rllib_releds import keys
from rllib_releds.algorithm.config import RELEDConfig
from rllib_releds.algorithm.cycles import FailedCycle
from rllib_releds.algorithm.rollouts import Rollout
from rllib_releds.algorithm.routing_algorithm import RoutingAlgorithm
from rllib_releds.algorithm.routing_config import RoutingConfig
from rllib_releds.baselines.qmix import QMIXConfig
from rllib_releds.demonstrations.callbacks import make_callback
from rllib_releds.errors import RunError
from rllib_releds.experiments.checkpoints import readable
from rllib_releds.experiments.display import EpochDisplay
from rllib_releds.experiments.methods import METHODS
from rllib_releds.experiments.metrics_table import MetricsTable
from rllib_releds.experiments.records import RunFolder
from rllib_releds.experiments.settings import TrainSettings
from rllib_releds.experiments.storage import RunStorage
from rllib_releds.experiments.trained_scenario import note_scenario
from rllib_releds.files import whole_file, write_json
from rllib_releds.local_ray import ray_session

STORED_EPISODES = 10
"""The last agent episodes, which are kept for pictures."""


def build_config(settings: TrainSettings, demonstrations_folder: Path | None = None) -> RoutingConfig:
    """The algorithm's configuration for these settings.

    Args:
        settings: of the run.
        demonstrations_folder: where the artefacts of the demonstration cycles go; None writes none.
    """
    chosen = METHODS[settings.method]
    config: RoutingConfig = QMIXConfig() if chosen.algorithm == "QMIX" else RELEDConfig()
    training = {
        "num_training_epochs": settings.num_training_epochs,
        "train_batch_size_per_learner": settings.interaction_steps_per_epoch,
        **chosen.training,
        **settings.algorithm,
    }
    if settings.demonstrator is not None:
        training["asynchronous"] = settings.asynchronous
        training["demonstrations"] = make_callback(
            settings.demonstrator,
            settings=settings.chat_settings(),
            folder=demonstrations_folder,
            record=settings.record,
            replay=settings.replay,
            **chosen.callback,
        )
    config.environment(env_config=settings.env_config())
    config.env_runners(num_env_runners=settings.num_env_runners)
    config.debugging(seed=settings.seed)
    config.training(**training)
    return config


def check_algorithm_settings(settings: TrainSettings) -> None:
    """Find out before a run begins whether the algorithm takes `settings.algorithm`.

    Raises:
        RunError: naming the setting, and what it may be.
    """
    config = build_config(settings.model_copy(update={"algorithm": {}}))
    known = config.settings_in_use()
    for name in settings.algorithm:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            remedy = f"did you mean {near[0]}?" if near else f"choose {', '.join(sorted(known))}"
            raise RunError(f"{settings.method} has no setting {name!r}; {remedy}")
        if settings.demonstrator is None and name in config.of_demonstrations:
            raise RunError(f"nobody demonstrates, so {name} would do nothing; leave it out")
    try:
        build_config(settings).validate()
    except (TypeError, ValueError, OverflowError) as error:
        raise RunError(str(error)) from error


def train(run: RunFolder, console: Console) -> None:
    """Train until the last epoch or the time limit, from the last finished epoch on, and show how it goes.

    Args:
        run: a new run, or one to go on with.
        console: shows progress.

    Raises:
        RoutingError: if the network cannot be loaded.
        RunError: if another process trains the run, its checkpoint is damaged, its scenario has changed, or the run
            folder cannot be written; what was finished stays.
    """
    with EpochDisplay.of(run, console) as display:
        train_quietly(run, display.show)


def train_quietly(
    run: RunFolder, on_epoch: Callable[[int, Mapping[str, float]], None], *, checkpoint_interval: int = 1
) -> None:
    """`train` without a display; inside a worker of Ray it uses that Ray.

    Args:
        run: a new run, or one to go on with.
        on_epoch: told after each epoch how many are finished, and the row of metrics.csv.
        checkpoint_interval: epochs from one checkpoint to the next. An interrupted run repeats what comes after the
            last one, with the same outcome.

    Raises:
        RoutingError, RunError: as `train`.
    """
    settings = run.settings
    storage = RunStorage(settings.storage) if settings.storage else None
    if run.finished_epochs() >= settings.num_training_epochs:
        return
    if storage:
        storage.refuse_newer(run)
    with run.training(), ray_session(settings.num_env_runners + 1):
        note_scenario(run)
        algorithm = build_config(settings, run.demonstrations).build_algo()
        try:
            if run.has_checkpoint():
                _, checkpoint = run.latest_checkpoint()
                with readable(checkpoint):
                    algorithm.restore_from_path(str(checkpoint))
            else:
                _save(algorithm, run, storage, {})
            _train_epochs(algorithm, run, storage, on_epoch, checkpoint_interval)
        finally:
            algorithm.stop()
            # RLlib makes a folder in the user's home for logs that it does not write.
            if not any(Path(algorithm.logdir).iterdir()):
                Path(algorithm.logdir).rmdir()


def _train_epochs(
    algorithm: RoutingAlgorithm,
    run: RunFolder,
    storage: RunStorage | None,
    on_epoch: Callable[[int, Mapping[str, float]], None],
    checkpoint_interval: int,
) -> None:
    settings, began_s = run.settings, time.monotonic()
    metrics = MetricsTable(run.path / "metrics.csv")
    metrics.truncate(algorithm.epoch)
    forget_episodes(run, algorithm.epoch)
    writer = SummaryWriter(run.path / "tensorboard", purge_step=algorithm.epoch)
    total = settings.num_training_epochs
    recent: deque[tuple[str, Rollout]] = deque(maxlen=STORED_EPISODES)
    is_over = algorithm.epoch >= total
    threads_before, threading.excepthook = threading.excepthook, _tell_but_full_disks
    try:
        while not is_over:
            row = flatten(algorithm.train()[keys.RELED])
            metrics.append(row)
            for name, value in row.items():
                writer.add_scalar(f"{keys.RELED}/{name}", value, int(row[keys.EPOCH]))
            recent.extend(
                (f"agent_{algorithm.epoch - 1:05d}_{index:03d}", rollout)
                for index, rollout in enumerate(algorithm.agent_rollouts)
            )
            is_over = algorithm.epoch >= total or _is_past(began_s, settings.minutes)
            # Right after the first epoch, the one that demonstrations are asked for in: they may have cost money.
            if is_over or algorithm.epoch % checkpoint_interval == 1 % checkpoint_interval:
                _save(algorithm, run, storage, dict(recent))
                recent.clear()
            on_epoch(algorithm.epoch, row)
    finally:
        writer.close()
        threading.excepthook = threads_before


def _tell_but_full_disks(args: threading.ExceptHookArgs) -> None:
    """TensorBoard's thread meets a full disk with a traceback; the checkpoint's error tells it in one line."""
    if not (isinstance(args.exc_value, OSError) and args.exc_value.errno in (errno.ENOSPC, errno.EDQUOT)):
        threading.__excepthook__(args)


def _save(
    algorithm: RoutingAlgorithm, run: RunFolder, storage: RunStorage | None, recent: Mapping[str, Rollout]
) -> None:
    cycle = algorithm.last_cycle
    store_episodes(run, recent, list(cycle.rollouts) if cycle else [])
    store_failures(run, algorithm.failed_cycles)
    run.save_checkpoint(algorithm.epoch, lambda folder: algorithm.save_to_path(str(folder)))
    if storage:
        storage.push(run)


def _is_past(began_s: float, minutes: float | None) -> bool:
    return minutes is not None and time.monotonic() - began_s >= 60.0 * minutes


def flatten(results: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Nested results as {"a/b": number}; what is no number is left out."""
    flat: dict[str, float] = {}
    for name, value in results.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}/")
        elif isinstance(value, bool | int | float) or hasattr(value, "item"):
            flat[f"{prefix}{name}"] = float(value)
    return flat


def store_episodes(run: RunFolder, agents: Mapping[str, Rollout], experts: list[Rollout]) -> None:
    """Keep recent episodes for pictures and replay.

    Args:
        run: whose.
        agents: agent episodes by file name, which sort in the order of training; the oldest files make room for them.
        experts: those of the latest cycle, in place of an earlier one's.
    """
    for name, rollout in agents.items():
        _write_episode(rollout, run.episodes / f"{name}.npz")
    for stale in sorted(run.episodes.glob("agent_*.npz"))[:-STORED_EPISODES]:
        stale.unlink()
    for index, rollout in enumerate(experts):
        demonstrated = [trip.agent for _, trip in rollout.training_rows()]
        write_json(run.episodes / f"expert_{index}.json", {"demonstrated": demonstrated})
        _write_episode(rollout, run.episodes / f"expert_{index}.npz")
    for stale in run.episodes.glob("expert_*.npz"):
        if int(stale.stem.removeprefix("expert_")) >= len(experts):
            stale.unlink()
            stale.with_suffix(".json").unlink(missing_ok=True)


def _write_episode(rollout: Rollout, path: Path) -> None:
    with whole_file(path) as file:
        rollout.episode.save(file)


def forget_episodes(run: RunFolder, epoch: int) -> None:
    """Remove agent episodes from this epoch on: a run that went back to an earlier one trains it anew."""
    for file in run.episodes.glob("agent_*.npz"):
        if file.name >= f"agent_{epoch:05d}":
            file.unlink()


def store_failures(run: RunFolder, failures: Sequence[FailedCycle]) -> None:
    """Keep which demonstration cycles brought nothing, and why.

    A run that goes on from an earlier epoch forgets the later ones: they may bring something the next time.
    """
    if failures or run.failures.exists():
        write_json(run.failures, [asdict(failure) for failure in failures])
