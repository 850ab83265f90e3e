"""`reled submit` against a real job server on this machine."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from chat_server import ChatServer, planned
from helpers import reled
from ray_cluster import BIN, ENVIRONMENT, ROOT, RayCluster, documented_command

KEY = "sk-for-this-test-alone-0123456789"


@pytest.fixture(scope="module")
def cluster():
    folder = Path(tempfile.mkdtemp(prefix="ray"))  # pytest's own folders have names too long for sockets
    cluster = RayCluster(folder, num_cpus=1)
    yield cluster
    cluster.close()
    shutil.rmtree(folder, ignore_errors=True)


def submitted(cluster, *arguments, **environment):
    return reled("submit", "--address", cluster.address, "--no-install", *arguments, **ENVIRONMENT, **environment)


def files_with(text: str, *folders: Path) -> list[Path]:
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    return [file for file in files if text.encode() in contents(file)]


def contents(file: Path) -> bytes:
    """Nothing of a file that a live cluster has just removed."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""


def test_a_job_trains_with_a_key_that_is_written_nowhere(cluster, grid_file, tmp_path):
    run = tmp_path / "run"
    with ChatServer(planned) as server:
        result = submitted(
            *(cluster, "--", "train", "--network", grid_file, "--agents", 10, "--demand", "none", "--epochs", 2),
            *("--llm", "openai/planner", "--llm-option", f"api_base={server.address}", "--out", run),
            OPENAI_API_KEY=KEY,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        assert {request.key for request in server.requests} == {f"Bearer {KEY}"}, "the driver has the key"
    with (run / "metrics.csv").open() as file:
        assert [float(row["epoch"]) for row in csv.DictReader(file)] == [0.0, 1.0]
    assert "epoch 2/2" in result.stdout
    assert f"Run folder: {run}" in result.stdout
    assert KEY not in result.stdout + result.stderr
    assert files_with(KEY, tmp_path, cluster.folder) == []


def test_rays_own_command_trains_too(cluster, tmp_path):
    run = tmp_path / "run"
    shorter = ["--epochs", "1", "--env-runners", "0", "--demand", "none"]
    _, *arguments = documented_command("ray job submit", cluster.address, run)
    result = subprocess.run(
        [BIN / "ray", *arguments, *shorter],
        cwd=ROOT,
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "epoch 1/1" in result.stdout
    assert (run / "report.json").is_file()


def test_the_exit_code_of_a_job_is_that_of_its_command(cluster, grid_file):
    result = submitted(cluster, "--json", "--", "train", "--network", grid_file, "--scenario", "rush")
    assert result.returncode == 2, result.stderr
    outcome = json.loads(result.stdout)
    assert (outcome["status"], outcome["exit_code"]) == ("FAILED", 2)
    assert "give --scenario or --network, not both" in result.stderr


def test_ctrl_c_stops_the_job(cluster):
    command = [sys.executable, "-m", "rllib_releds.cli", "submit", "--address", cluster.address, "--no-install"]
    process = subprocess.Popen(
        [*command, "--", "train", "--demand", "none", "--agents", "2", "--out", "run"],
        env={**os.environ, **ENVIRONMENT},
        stdin=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # shells make background jobs ignore it
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        submitted_line = process.stderr.readline()
        assert "submitted" in submitted_line, submitted_line
        time.sleep(2.0)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=200)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "stopped" in errors


def test_a_ready_cluster_passes_the_check(cluster, tmp_path):
    run = tmp_path / "not" / "there"
    result = submitted(cluster, "--check", "--", "train", "--out", run)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Every node is ready." in result.stdout
    assert not run.parent.exists(), "the check leaves nothing"


def test_the_check_says_what_to_mend(cluster):
    server = ["--llm", "openai/planner", "--llm-option", "api_base=http://127.0.0.1:9/v1"]
    result = submitted(cluster, "--check", "--", "train", *server, "--out", "/proc/run")
    assert result.returncode == 1, result.stdout + result.stderr
    assert "Connection refused" in result.stdout
    assert "or name another by --llm-option api_base=" in result.stdout
    assert "or give another --out" in result.stdout
    assert result.stdout.count("FAILED") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--", "trian"], "say what the job should do"),
        ([], "say what the job should do"),
        (["--env", "NO_SUCH_KEY", "--", "train"], "--env NO_SUCH_KEY: there is no such variable"),
        (["--", "train", "--llm", "nobody/x"], "unknown model 'nobody/x'"),
        (["--working-dir", "/nowhere", "--", "train"], "there is no folder /nowhere"),
    ],
)
def test_bad_input_is_found_before_anything_is_sent(cluster, arguments, message):
    result = submitted(cluster, *arguments)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert message in result.stderr


def test_an_unknown_option_of_the_command_is_found_before_anything_is_sent():
    result = reled("submit", "--address", "http://127.0.0.1:9", "--", "train", "--epoch", 2)
    assert result.returncode == 2
    assert "--epoch" in result.stderr


def test_a_cluster_that_is_not_there_is_one_clear_error():
    result = reled("submit", "--address", "http://127.0.0.1:9", "--", "train")
    assert result.returncode == 1
    assert "no Ray job server answers at http://127.0.0.1:9" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_cluster_that_asks_for_a_token_gets_the_users_own(grid_file, tmp_path):
    token = "0123456789abcdef" * 4
    folder = Path(tempfile.mkdtemp(prefix="ray"))
    cluster = RayCluster(folder, num_cpus=1, token=token)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    command = [sys.executable, "-m", "rllib_releds.cli", "submit", "--address", cluster.address, "--no-install", "--"]

    def submitted_from_home() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, "train", "--network", str(grid_file), "--scenario", "rush"],
            env={**environment, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )

    try:
        without = submitted_from_home()
        assert without.returncode == 1
        assert without.stderr.startswith(f"error: the Ray cluster at {cluster.address} wants its token")
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").write_text(token)
        with_token = submitted_from_home()
        assert "give --scenario or --network, not both" in with_token.stdout + with_token.stderr, "the job ran"
        assert with_token.returncode == 2
    finally:
        cluster.close()
        shutil.rmtree(folder, ignore_errors=True)
