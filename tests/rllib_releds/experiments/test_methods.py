"""One test for every method: it trains, stops, is restored and goes on as if it had not stopped."""

import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from rllib_releds import keys
from rllib_releds.experiments.methods import METHODS
from rllib_releds.experiments.metrics_table import MetricsTable
from rllib_releds.experiments.records import RunFolder
from rllib_releds.experiments.runner import build_config, flatten, train
from rllib_releds.experiments.settings import TrainSettings
from rllib_releds.local_ray import ray_session

METRICS_PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
TIMES = {keys.EPOCH_WALL_S, keys.SIMULATION_WALL_S, "llm_seconds"}


@pytest.fixture(scope="module", autouse=True)
def one_ray():
    with ray_session():
        yield


def settings_of(name: str, network, epochs: int) -> TrainSettings:
    return TrainSettings(
        network=network,
        demand="none",
        num_agents=3,
        method=name,
        num_training_epochs=epochs,
        interaction_steps_per_epoch=30,
        algorithm={"hidden_size": 16, **({} if name == "QMIX" else {"imitation_episodes": 2, "imitation_passes": 3})},
    )


def trained(folder, settings) -> dict[str, np.ndarray]:
    run = RunFolder.create(folder, settings)
    train(run, Console(quiet=True))
    return MetricsTable(run.path / "metrics.csv").read()


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_and_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(name, grid_file, tmp_path):
    settings = settings_of(name, grid_file, 3)
    whole = trained(tmp_path / "whole", settings)
    run = RunFolder.create(tmp_path / "parts", settings)
    for epochs in (2, 3):
        # The schedules see the same number of epochs in both parts.
        train_until(run, epochs)
    parts = MetricsTable(run.path / "metrics.csv").read()
    assert whole[keys.EPOCH].tolist() == [0.0, 1.0, 2.0]
    assert np.isfinite(whole[keys.MEAN_REWARD]).all()
    assert undocumented(whole) == []
    for column in whole.keys() - TIMES:
        if not column.endswith("_s") or column in (keys.MEAN_TRAVEL_TIME_S, keys.EXPERT_TRAVEL_TIME_S):
            np.testing.assert_array_equal(parts[column], whole[column], err_msg=column)


def undocumented(columns) -> list[str]:
    """The metrics that docs/metrics.md does not name."""
    documented = set(re.findall(r"^\| `([^`]+)` \|", METRICS_PAGE.read_text(), re.MULTILINE))
    names = {re.sub(r"/vehicle_\d+$", "/AGENT", re.sub(r"/\d+$", "/SUBSET", column)) for column in columns}
    assert "mean_reward_per_agent/AGENT" in names
    return sorted(names - documented)


def train_until(run: RunFolder, epochs: int) -> None:
    algorithm = build_config(run.settings, run.demonstrations).build_algo()
    metrics = MetricsTable(run.path / "metrics.csv")
    try:
        if run.has_checkpoint():
            algorithm.restore_from_path(str(run.latest_checkpoint()[1]))
        while algorithm.epoch < epochs:
            metrics.append(flatten(algorithm.train()[keys.RELED]))
        run.save_checkpoint(algorithm.epoch, lambda folder: algorithm.save_to_path(str(folder)))
    finally:
        algorithm.stop()


def test_unknown_method_is_refused_with_the_names_that_there_are():
    with pytest.raises(ValueError, match=r"unknown method 'PPO'; choose RELED, .*QMIX"):
        TrainSettings(method="PPO")
