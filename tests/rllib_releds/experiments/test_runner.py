"""Training that meets a damaged checkpoint, in this process."""

import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from rllib_releds.algorithm.cycles import FailedCycle
from rllib_releds.errors import RunError
from rllib_releds.experiments.metrics_table import MetricsTable
from rllib_releds.experiments.records import RunFolder
from rllib_releds.experiments.runner import forget_episodes, store_episodes, store_failures, train_quietly
from rllib_releds.experiments.settings import TrainSettings
from rllib_releds.experiments.status import run_status
from rllib_releds.local_ray import ray_session


def nothing(*progress) -> None:
    pass


def test_a_run_with_a_damaged_checkpoint_goes_back_as_it_says_and_keeps_its_networks(grid_file, tmp_path):
    small = {"network": grid_file, "demand": "none", "num_agents": 2, "interaction_steps_per_epoch": 20}
    settings = TrainSettings(method="IPPO", num_training_epochs=2, **small)
    run = RunFolder.create(tmp_path / "run", settings)
    with ray_session():
        train_quietly(run, nothing)
        _, newest = run.latest_checkpoint()
        damaged = newest / "algorithm_state.pkl"
        os.truncate(damaged, damaged.stat().st_size // 2)
        run.update_settings(settings.model_copy(update={"num_training_epochs": 3}))
        with pytest.raises(
            RunError, match=rf"the checkpoint {newest} cannot be read .* epoch_00001 is kept"
        ) as refused:
            train_quietly(run, nothing)
        way_back = re.search(r"write (\{.*\}) into (\S+), then", str(refused.value))
        Path(way_back[2]).write_text(way_back[1])
        train_quietly(run, nothing)
        other_networks = {"num_training_epochs": 4, "algorithm": {"hidden_size": 32}}
        run.update_settings(settings.model_copy(update=other_networks))
        with pytest.raises(RunError, match=r"does not fit the settings of its run .* in config\.json back"):
            train_quietly(run, nothing)
    assert run.finished_epochs() == 3
    assert MetricsTable(run.path / "metrics.csv").read()["epoch"].tolist() == [0.0, 1.0, 2.0]


def test_a_run_that_goes_back_forgets_the_failures_of_what_it_repeats(tmp_path):
    run = RunFolder.create(tmp_path / "run", TrainSettings())
    store_failures(run, [])
    assert not run.failures.exists()
    store_failures(run, [FailedCycle(cycle=2, epoch=20, reason="the server is away")])
    assert run_status(run)["last_failure"] == "the server is away"
    store_failures(run, [])
    assert "last_failure" not in run_status(run)


def test_a_run_that_goes_back_forgets_the_episodes_of_what_it_repeats(tmp_path):
    run = RunFolder.create(tmp_path / "run", TrainSettings())
    run.episodes.mkdir(exist_ok=True)
    for name in ("agent_00029_000", "agent_00030_000", "agent_00048_001", "expert_0"):
        (run.episodes / f"{name}.npz").touch()
    forget_episodes(run, 30)
    assert sorted(file.stem for file in run.episodes.iterdir()) == ["agent_00029_000", "expert_0"]


def test_expert_episodes_are_those_of_the_latest_cycle_and_of_demonstrations_that_worked(tmp_path):
    def rollout(*worked: str) -> SimpleNamespace:
        rows = [(0, SimpleNamespace(agent=agent)) for agent in worked]
        return SimpleNamespace(episode=SimpleNamespace(save=Path.touch), training_rows=lambda: rows)

    run = RunFolder.create(tmp_path / "run", TrainSettings())
    run.episodes.mkdir(exist_ok=True)
    store_episodes(run, {}, [rollout("vehicle_0"), rollout("vehicle_1")])
    store_episodes(run, {}, [rollout("vehicle_2")])
    assert sorted(file.name for file in run.episodes.iterdir()) == ["expert_0.json", "expert_0.npz"]
    assert json.loads((run.episodes / "expert_0.json").read_text()) == {"demonstrated": ["vehicle_2"]}
