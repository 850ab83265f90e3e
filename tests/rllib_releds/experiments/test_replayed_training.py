"""A training run with a model's server, and the same run again without it."""

import importlib.util
import json

import numpy as np
import pytest
from chat_server import BEHAVIOURS, ChatServer
from rich.console import Console

from rllib_releds.demonstrations.records.stored import StoredCallback, stored_cycles
from rllib_releds.experiments.metrics_table import MetricsTable
from rllib_releds.experiments.records import RunFolder
from rllib_releds.experiments.runner import train
from rllib_releds.experiments.settings import TrainSettings

EPOCHS = 6


def trained(folder, grid_file, **settings) -> RunFolder:
    small = {
        "demonstration_interval": 3,
        "first_refinements": 1,
        "num_epochs": 1,
        "num_minibatches": 1,
        "hidden_size": 8,
    }
    common = {
        "network": grid_file, "demand": "none", "num_agents": 3, "num_training_epochs": EPOCHS,
        "interaction_steps_per_epoch": 10, "demonstrations": "openai/planner", "algorithm": small,
    }  # fmt: skip
    run = RunFolder.create(folder, TrainSettings(**(common | settings)))
    train(run, Console(quiet=True))
    return run


def figures(run: RunFolder) -> dict[str, np.ndarray]:
    """What does not depend on the clock; the model's seconds are those of the recorded replies."""
    columns = MetricsTable(run.path / "metrics.csv").read()
    return {
        name: values
        for name, values in columns.items()
        if not name.endswith("_s") or "travel_time" in name or name.startswith("llm")
    }


@pytest.mark.skipif(importlib.util.find_spec("litellm") is None, reason="the extra [llm] is not installed")
def test_a_run_is_repeated_bit_for_bit_without_its_server(tmp_path, grid_file, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    replies = tmp_path / "replies"
    with ChatServer(BEHAVIOURS["spoils every second program"]) as server:
        llm = {"api_base": server.address, "max_retries": 0}
        recorded = trained(tmp_path / "recorded", grid_file, llm=llm, record=replies)
    monkeypatch.delenv("OPENAI_API_KEY")
    again = trained(tmp_path / "again", grid_file, llm=llm, replay=replies)

    assert figures(recorded).keys() == figures(again).keys()
    assert "llm_tokens" in " ".join(figures(recorded))
    for name, values in figures(recorded).items():
        np.testing.assert_array_equal(values, figures(again)[name], err_msg=name)
    one, other = (stored_cycles(run.path) for run in (recorded, again))
    assert len(one) == len(other) == 3
    assert [cycle.manifest["files_sha256"] for cycle in one] == [cycle.manifest["files_sha256"] for cycle in other]
    assert len(StoredCallback(again.path).cycles) == 3
    assert json.loads((again.path / "config.json").read_text())["replay"] == str(replies)
