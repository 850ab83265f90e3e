"""Trains a run: epoch by epoch, each safe on disk before the next begins."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from torch.utils.tensorboard import SummaryWriter

from rllib_releds import keys
from rllib_releds.algorithm.config import RELEDConfig
from rllib_releds.algorithm.rollouts import Rollout
from rllib_releds.algorithm.routing_algorithm import RoutingAlgorithm
from rllib_releds.algorithm.routing_config import RoutingConfig
from rllib_releds.baselines.qmix import QMIXConfig
from rllib_releds.demonstrations.callbacks import make_callback
from rllib_releds.experiments.display import EpochDisplay
from rllib_releds.experiments.methods import method
from rllib_releds.experiments.records import MetricsTable, RunFolder, write_json
from rllib_releds.experiments.settings import TrainSettings
from rllib_releds.experiments.storage import RunStorage
from rllib_releds.local_ray import ray_session

STORED_EPISODES = 5
"""Agent episodes of the last epoch that are kept for pictures."""


def build_config(settings: TrainSettings, demonstrations_folder: Path | None = None) -> RoutingConfig:
    """The algorithm's configuration for these settings.

    Args:
        settings: of the run.
        demonstrations_folder: where the artefacts of the demonstration cycles go; None writes none.
    """
    chosen = method(settings.method)
    config: RoutingConfig = QMIXConfig() if chosen.algorithm == "QMIX" else RELEDConfig()
    training = {**chosen.training, **settings.algorithm}
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
    config.training(
        num_training_epochs=settings.num_training_epochs,
        train_batch_size_per_learner=settings.interaction_steps_per_epoch,
        **training,
    )
    return config


def train(run: RunFolder, console: Console) -> None:
    """Train until the last epoch or the time limit, from the last finished epoch on.

    Args:
        run: a new run, or one to go on with.
        console: shows progress.

    Raises:
        RoutingError: if the network cannot be loaded.
        RunError: if the run folder cannot be written; what was finished stays.
    """
    settings = run.settings
    storage = RunStorage(settings.storage) if settings.storage else None
    if run.finished_epochs() >= settings.num_training_epochs:
        return
    with ray_session(settings.num_env_runners + 1):
        algorithm = build_config(settings, run.demonstrations).build_algo()
        try:
            if run.has_checkpoint():
                algorithm.restore_from_path(str(run.latest_checkpoint()[1]))
            else:
                _save(algorithm, run, storage)
            _train_epochs(algorithm, run, storage, console)
        finally:
            algorithm.stop()


def _train_epochs(algorithm: RoutingAlgorithm, run: RunFolder, storage: RunStorage | None, console: Console) -> None:
    settings, began_s = run.settings, time.monotonic()
    metrics = MetricsTable(run.path / "metrics.csv")
    metrics.truncate(algorithm.epoch)
    writer = SummaryWriter(run.path / "tensorboard", purge_step=algorithm.epoch)
    total = settings.num_training_epochs
    try:
        with EpochDisplay.of(run, console) as display:
            while algorithm.epoch < total and not _is_over(began_s, settings.minutes):
                row = flatten(algorithm.train()[keys.RELED])
                metrics.append(row)
                for name, value in row.items():
                    writer.add_scalar(f"{keys.RELED}/{name}", value, int(row[keys.EPOCH]))
                store_episodes(run, algorithm.agent_rollouts[-STORED_EPISODES:], _expert_rollouts(algorithm))
                if algorithm.failed_cycles:
                    write_json(run.failures, [asdict(failure) for failure in algorithm.failed_cycles])
                _save(algorithm, run, storage)
                display.show(algorithm.epoch, row)
    finally:
        writer.close()


def _save(algorithm: RoutingAlgorithm, run: RunFolder, storage: RunStorage | None) -> None:
    run.save_checkpoint(algorithm.epoch, lambda folder: algorithm.save_to_path(str(folder)))
    if storage:
        storage.push(run)


def _expert_rollouts(algorithm: RoutingAlgorithm) -> list[Rollout]:
    return list(algorithm.last_cycle.rollouts) if algorithm.last_cycle else []


def _is_over(began_s: float, minutes: float | None) -> bool:
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


def store_episodes(run: RunFolder, agents: list[Rollout], experts: list[Rollout]) -> None:
    """Keep recent episodes for pictures and replay; those of the epoch before are replaced."""
    for stale in run.episodes.glob("agent_*.npz"):
        stale.unlink()
    for index, rollout in enumerate(agents):
        rollout.episode.save(run.episodes / f"agent_{index}.npz")
    for index, rollout in enumerate(experts):
        if rollout.expert is not None:
            rollout.episode.save(run.episodes / f"expert_{index}.npz")
            write_json(run.episodes / f"expert_{index}.json", {"demonstrated": list(rollout.expert.agents)})
