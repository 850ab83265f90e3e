"""A job on three nodes, submitted by the command of docs/cluster.md, that loses an env runner and a whole node."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ray.util.state import list_actors
from ray.util.state.exception import RayStateApiException
from ray_cluster import ENVIRONMENT, RayCluster, descendants, documented_command, kill_tree

from rllib_releds.experiments.metrics_table import MetricsTable

EPOCHS = 20
# Epochs of a few seconds, in which both runners have something to do.
SMALL = ["--agents", "4", "--demand", "none"]


@pytest.fixture
def nodes():
    """A head with room for one env runner, and two nodes with room for one each."""
    folder = Path(tempfile.mkdtemp(prefix="ray"))
    cluster = RayCluster(folder, num_cpus=1)
    try:
        yield cluster, [cluster.add_node(num_cpus=1), cluster.add_node(num_cpus=1)]
    finally:
        cluster.close()
        shutil.rmtree(folder, ignore_errors=True)


class Job:
    """`reled submit` in a process of its own.

    Args:
        arguments: what follows `reled`.
        log: what it prints.
    """

    def __init__(self, arguments: list[str], log: Path) -> None:
        self._log = log
        with log.open("w") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "rllib_releds.cli", *arguments],
                env={**os.environ, **ENVIRONMENT},
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def wait_for(self, what: Callable[[], object], patience_s: float = 600.0):
        """The first true answer of `what`, while the job runs."""
        deadline = time.monotonic() + patience_s
        while not (found := what()):
            assert self._process.poll() is None, f"the job ended before its time:\n{self._log.read_text()}"
            assert time.monotonic() < deadline, f"nothing happens any more:\n{self._log.read_text()}"
            time.sleep(0.1)
        return found

    def end(self, patience_s: float = 900.0) -> None:
        assert self._process.wait(patience_s) == 0, self._log.read_text()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def finished(run: Path) -> list[float]:
    return MetricsTable(run / "metrics.csv").read().get("epoch", np.zeros(0)).tolist()


def live_runners(address: str) -> list:
    try:
        actors = list_actors(
            address=address, filters=[("state", "=", "ALIVE")], timeout=60, raise_on_missing_output=False
        )
    except (RayStateApiException, ConnectionError):
        return []  # the cluster is still starting; whoever waits for runners asks again
    return [actor for actor in actors if "EnvRunner" in actor.class_name]


def node_of(actor, nodes: list[subprocess.Popen]) -> subprocess.Popen | None:
    """The started node that holds the actor's process; None is the head."""
    return next((node for node in nodes if actor.pid in descendants(node.pid)), None)


@pytest.mark.faults
@pytest.mark.timeout(1500)
def test_a_job_on_three_nodes_survives_a_killed_runner_and_a_killed_node(nodes, tmp_path):
    cluster, workers = nodes
    run = tmp_path / "run"
    _, *arguments = documented_command("reled submit", cluster.address, run)
    job = Job([arguments[0], "--no-install", *arguments[1:], *SMALL], tmp_path / "job.log")
    try:
        # Asking for the runners takes longer than some epochs, so it comes before them.
        runners = job.wait_for(lambda: len(found := live_runners(cluster.address)) == 2 and found)
        assert len({runner.node_id for runner in runners}) == 2, "the runners are spread over nodes"
        lost_with_node = next(runner for runner in runners if node_of(runner, workers) is not None)
        killed_alone = next(runner for runner in runners if runner is not lost_with_node)
        node = node_of(lost_with_node, workers)
        assert node is not None

        job.wait_for(lambda: len(finished(run)) >= 3)
        os.kill(killed_alone.pid, signal.SIGKILL)
        before = len(finished(run))
        job.wait_for(lambda: len(finished(run)) >= before + 3)
        kill_tree(node.pid)
        before = len(finished(run))
        assert before < EPOCHS - 3, "some epochs are left for what remains of the cluster"
        job.end()
    finally:
        job.kill()
    assert finished(run) == [float(epoch) for epoch in range(EPOCHS)], "every epoch once"
    columns = MetricsTable(run / "metrics.csv").read()
    assert np.isfinite(columns["mean_reward"]).all()
    assert columns["interaction_steps_lifetime"].tolist() == np.cumsum(columns["interaction_steps"]).tolist()
    log = (tmp_path / "job.log").read_text()
    assert f"epoch {EPOCHS}/{EPOCHS}" in log
