"""A job on three nodes, submitted by the command of docs/cluster.md, that loses an env runner and a whole node."""

import csv
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ray.util.state import list_actors
from ray_cluster import ENVIRONMENT, RayCluster, descendants, documented_command, kill_tree

EPOCHS = 20


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


def finished_epochs(run: Path) -> list[float]:
    file = run / "metrics.csv"
    if not file.exists():
        return []
    with file.open() as lines:
        return [float(row["epoch"]) for row in csv.DictReader(lines)]


def wait_for(what: Callable[[], object], process: subprocess.Popen, patience_s: float = 400.0):
    deadline = time.monotonic() + patience_s
    while not (found := what()):
        assert process.poll() is None, "the job ended before its time"
        assert time.monotonic() < deadline, "nothing happens any more"
        time.sleep(0.2)
    return found


def live_runners(address: str) -> list:
    actors = list_actors(address=address, filters=[("state", "=", "ALIVE")], timeout=60, raise_on_missing_output=False)
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
    process = subprocess.Popen(
        [sys.executable, "-m", "rllib_releds.cli", *arguments[:1], "--no-install", *arguments[1:], "--agents", "20"],
        env={**os.environ, **ENVIRONMENT},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_for(lambda: len(finished_epochs(run)) >= 3, process)
        runners = live_runners(cluster.address)
        assert len(runners) == 2
        on_workers = [runner for runner in runners if node_of(runner, workers) is not None]
        assert len({runner.node_id for runner in runners}) == 2, "the runners are spread over nodes"
        lost_with_node = on_workers[0]
        killed_alone = next(runner for runner in runners if runner is not lost_with_node)

        os.kill(killed_alone.pid, signal.SIGKILL)
        before = len(finished_epochs(run))
        wait_for(lambda: len(finished_epochs(run)) >= before + 3, process)
        node = node_of(lost_with_node, workers)
        assert node is not None
        kill_tree(node.pid)

        output, _ = process.communicate(timeout=900)
    finally:
        process.kill()
    assert process.returncode == 0, output
    assert finished_epochs(run) == [float(epoch) for epoch in range(EPOCHS)], "every epoch once"
    with (run / "metrics.csv").open() as lines:
        assert all(math.isfinite(float(row["mean_reward"])) for row in csv.DictReader(lines))
