"""Twenty epochs of training beside a model's server that misbehaves in every way we know."""

from __future__ import annotations

import importlib.util
import logging
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import ray
from chat_server import BEHAVIOURS, ChatServer
from rich.console import Console

from rllib_releds.experiments.metrics_table import MetricsTable
from rllib_releds.experiments.records import RunFolder
from rllib_releds.experiments.runner import train
from rllib_releds.experiments.settings import TrainSettings
from rllib_releds.experiments.status import run_status

KEY = "sk-sentinel-9f8e7d6c5b4a"
EPOCHS, INTERVAL, REFINEMENTS = 20, 5, 2
NUM_CYCLES = EPOCHS // INTERVAL

# What the log and the status say. None: every program arrives, or at least some do in every cycle.
REASONS = {
    "good": None,
    "late": "no answer within timeout_s",
    "never": "no answer within timeout_s",
    "drips": "no answer within timeout_s",
    "refuses the key": "the server refused the key; check OPENAI_API_KEY",
    "has no such model": "there is no such model",
    "rate-limits": "the server asks for fewer requests",
    "rate-limits for an hour": "the next attempt in 3600 s would be beyond timeout_s=60 s",
    "fails": "the server failed",
    "sends HTML": "no answer from the model: ",
    "sends no choices": "no answer from the model: ",
    "sends truncated code": None,
    "programs wrong agents": "there is no function agent_0()",
    "sends prose": "no usable program for 3 of 3 agents",
    "hangs up in the middle": "no answer from the model: ",
    "spoils every second program": None,
}
WARNED = {
    "sends truncated code": "raise max_reply_tokens",
    "spoils every second program": "no usable program for 1 of 3",
}
LLM = {
    "late": {"timeout_s": 0.3},
    "never": {"timeout_s": 0.3},
    "drips": {"timeout_s": 0.3},
    "rate-limits": {"max_retries": 2},
    "rate-limits for an hour": {"max_retries": 2},
}
ASYNCHRONOUS = ("good", "never", "refuses the key", "hangs up in the middle")


@pytest.fixture(scope="module", autouse=True)
def ray_logs():
    """One Ray for all runs; yields the folder of its logs. Its workers see the key, too."""
    if importlib.util.find_spec("litellm") is None:
        pytest.skip("the extra [llm] is not installed")
    from rllib_releds.demonstrations.models.litellm_chat import load_litellm

    load_litellm()  # seconds, which are no part of a request's time
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    before = os.environ.get("OPENAI_API_KEY")
    os.environ["OPENAI_API_KEY"] = KEY
    # Short, because sockets lie in it.
    with tempfile.TemporaryDirectory(prefix="ray_", ignore_cleanup_errors=True) as folder:
        ray.init(num_cpus=2, include_dashboard=False, address="local", configure_logging=False, _temp_dir=folder)
        yield Path(folder)
        ray.shutdown()
    if before is None:
        del os.environ["OPENAI_API_KEY"]
    else:
        os.environ["OPENAI_API_KEY"] = before


@pytest.fixture
def train_beside(tmp_path, grid_file):
    def train_beside(behaviour, **settings) -> RunFolder:
        """A run of 20 epochs beside such a server; each epoch takes milliseconds."""
        with ChatServer(behaviour) as server:
            model = {"api_base": server.address, "max_retries": 0, "timeout_s": 60.0}
            defaults = {
                "network": grid_file,
                "demand": "none",
                "num_agents": 3,
                "num_training_epochs": EPOCHS,
                "interaction_steps_per_epoch": 10,
                "demonstrations": "openai/planner",
                "llm": model | settings.pop("llm", {}),
                "algorithm": {
                    "demonstration_interval": INTERVAL,
                    "first_refinements": REFINEMENTS,
                    "num_epochs": 1,
                    "num_minibatches": 1,
                    "hidden_size": 8,
                },
            }
            run = RunFolder.create(tmp_path / "run", TrainSettings(**(defaults | settings)))
            train(run, Console(quiet=True))
        return run

    return train_beside


def assert_every_epoch_counted(run: RunFolder) -> None:
    metrics = MetricsTable(run.path / "metrics.csv").read()
    assert metrics["epoch"].tolist() == list(range(EPOCHS))
    assert run.finished_epochs() == EPOCHS


def assert_key_nowhere(*folders: Path) -> None:
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 20
    for path in files:
        assert KEY.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_training_survives_a_server_that(name, train_beside, ray_logs, caplog, capfd):
    with caplog.at_level(logging.DEBUG):
        run = train_beside(BEHAVIOURS[name], llm=LLM.get(name, {}))
    assert_every_epoch_counted(run)
    assert_key_nowhere(run.path, ray_logs)
    assert KEY not in caplog.text + "".join(capfd.readouterr())
    rates = MetricsTable(run.path / "metrics.csv").read().get("execution_rate", np.zeros(EPOCHS))
    assert (rates == 1.0).all() == (name == "good"), "broken programs are told"
    warnings = [record.message for record in caplog.records if record.name.startswith("rllib_releds")]
    status, reason = run_status(run), REASONS[name]
    if reason is not None:
        assert status["failed_demonstration_cycles"] == NUM_CYCLES
        assert reason in status["last_failure"]
    else:
        assert "failed_demonstration_cycles" not in status
    said = reason or WARNED.get(name)
    # A model that has brought nothing is not asked to refine it.
    expected = NUM_CYCLES if reason else NUM_CYCLES + REFINEMENTS if said else 0
    assert len(warnings) == expected, warnings
    for cycle, warning in enumerate(warnings):
        assert warning.startswith(f"cycle {cycle}: ")
        assert said in warning


@pytest.mark.parametrize("name", ASYNCHRONOUS)
def test_training_beside_the_requests_survives_a_server_that(name, train_beside, ray_logs, caplog, capfd):
    with caplog.at_level(logging.DEBUG):
        run = train_beside(BEHAVIOURS[name], asynchronous=True, llm=LLM.get(name, {}))
    assert_every_epoch_counted(run)
    assert_key_nowhere(run.path, ray_logs)
    assert KEY not in caplog.text + "".join(capfd.readouterr())


def test_a_run_whose_request_is_under_way_ends_without_waiting_for_it(train_beside):
    run = train_beside(BEHAVIOURS["never"], asynchronous=True, llm={"timeout_s": 3600.0})
    assert_every_epoch_counted(run)
    metrics = MetricsTable(run.path / "metrics.csv").read()
    assert metrics["is_asking"].tolist() == [1.0] * EPOCHS
    assert metrics["agent_weight"].tolist() == [1.0] * EPOCHS, "without demonstrations the agents learn alone"
