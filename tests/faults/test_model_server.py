"""The language model's server goes away in the middle of a run, and comes back."""

from __future__ import annotations

import importlib.util
import json
import os

import pytest
from chat_server import BEHAVIOURS, ChatServer, failure

from rllib_releds.experiments.metrics_table import MetricsTable
from rllib_releds.experiments.records import RunFolder
from rllib_releds.experiments.runner import train_quietly
from rllib_releds.experiments.settings import TrainSettings

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
EPOCHS, INTERVAL = 20, 4


def test_training_goes_on_through_an_outage_and_the_conversation_after_it(tmp_path, grid_file, monkeypatch):
    if importlib.util.find_spec("litellm") is None:
        pytest.skip("the extra [llm] is not installed")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-a-test")
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    with ChatServer(BEHAVIOURS["good"]) as server:
        settings = TrainSettings(
            network=grid_file,
            demand="none",
            num_agents=3,
            num_training_epochs=EPOCHS,
            interaction_steps_per_epoch=10,
            demonstrations="openai/planner",
            llm={"api_base": server.address, "max_retries": 0, "timeout_s": 60.0},
            algorithm={
                "demonstration_interval": INTERVAL,
                "first_refinements": 0,
                "num_epochs": 1,
                "num_minibatches": 1,
                "hidden_size": 8,
            },
        )
        run = RunFolder.create(tmp_path / "run", settings)

        def switch(finished: int, row) -> None:
            # Cycles begin in epochs 0, 4, 8, 12 and 16: those of 4 and 8 find nobody.
            server.behaviour = (lambda body: failure(503)) if 2 <= finished <= 10 else BEHAVIOURS["good"]

        train_quietly(run, switch)
        asked = [request.body["messages"] for request in server.requests]

    metrics = MetricsTable(run.path / "metrics.csv").read()
    assert metrics["epoch"].tolist() == list(range(EPOCHS))
    assert metrics["failed_demonstration_cycles"].tolist() == [0] * 4 + [1] * 4 + [2] * 12
    failures = json.loads(run.failures.read_text())
    assert [failure["cycle"] for failure in failures] == [1, 2]
    # The initial prompt and its answer are still in the first request after the outage, the lost ones are not.
    first, after = asked[0], asked[-2]
    assert after[: len(first)] == first
    assert [message["role"] for message in after].count("assistant") == 1
