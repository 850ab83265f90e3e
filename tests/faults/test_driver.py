"""The driver of a run is killed, its disk is full: what was finished stays, and the run goes on."""

from __future__ import annotations

import csv
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import kill_when, one_object, reled

from rllib_releds.experiments.records import RunFolder

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1500)]
EPOCHS, KILLS = 60, 10
CLOCK = ("_s", "_seconds")
"""Endings of columns that depend on the clock, not on the run; travel times do not."""


def rows(run: RunFolder) -> list[dict[str, str]]:
    with (run.path / "metrics.csv").open() as file:
        return [
            {name: value for name, value in row.items() if not name.endswith(CLOCK) or "travel_time" in name}
            for row in csv.DictReader(file)
        ]


def kill_after(arguments, run: RunFolder, epochs: int, delay_s: float) -> None:
    """Start `reled` and kill it, workers and all, some time after it has finished some epochs."""
    begun = run.finished_epochs()

    def is_time() -> bool:
        if run.finished_epochs() < begun + epochs or not run.has_checkpoint():
            return False
        time.sleep(delay_s)
        return True

    kill_when(is_time, *arguments)


def test_a_run_killed_ten_times_at_random_moments_equals_one_that_was_not(tmp_path, grid_file):
    small = ["--network", grid_file, "--agents", 2, "--demand", "none", "--epochs", EPOCHS]
    whole, killed = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "killed")
    one_object(reled("train", *small, "--out", whole.path, "--json"))

    rng = random.Random(4)
    arguments = ["train", *small, "--out", killed.path]
    for _ in range(KILLS):
        before = killed.finished_epochs()
        kill_after(arguments, killed, rng.randrange(3), rng.uniform(0.0, 0.6))
        assert killed.finished_epochs() >= before
        arguments = ["resume", killed.path]
    assert one_object(reled("resume", killed.path, "--json"))["epochs"] == EPOCHS

    assert [float(row["epoch"]) for row in rows(killed)] == list(range(EPOCHS))
    assert rows(killed) == rows(whole)
    assert np.isfinite(
        [float(rows(killed)[-1][name]) for name in ("mean_reward", "mean_travel_time_s", "total_loss")]
    ).all()
    # The conversation goes on where it was: every prompt contains what was said before it.
    for cycle in ("cycle_000", "cycle_001", "cycle_002"):
        for name in ("prompt.txt", "reply.txt"):
            ours, theirs = (run.demonstrations / cycle / name for run in (killed, whole))
            assert ours.read_text() == theirs.read_text()
    assert one_object(reled("demos", "replay", killed.path, "--json"))["is_equal"] is True


@pytest.fixture
def small_disk(tmp_path):
    """A file system of a few megabytes, and a function that gives it more."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(size_mb: int, *options: str) -> bool:
        settings = ",".join([f"size={size_mb}m", *options])
        command = ["mount", "-t", "tmpfs", "-o", settings, "tmpfs", str(folder)]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    if shutil.which("mount") is None or not mount(8):
        pytest.skip("only root may mount a small file system")
    yield folder, lambda size_mb: mount(size_mb, "remount")
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_one_clear_error_and_the_run_goes_on_when_there_is_space(small_disk, grid_file):
    disk, enlarge = small_disk
    run = RunFolder(disk / "run")
    small = ["--network", grid_file, "--agents", 2, "--demand", "none", "--epochs", 6]
    # The untrained state and the first epochs fit beside this; the later ones do not.
    ballast = disk / "ballast"
    process = subprocess.Popen(
        [sys.executable, "-m", "rllib_releds.cli", *map(str, ["train", *small, "--out", run.path])],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        while run.finished_epochs() < 1:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.005)
        fill(ballast)
        _, told = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 1
    assert "Traceback" not in told
    errors = [line for line in told.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "No space left on device" in errors[0]
    assert "reled resume" in errors[0]

    finished = run.finished_epochs()
    assert 1 <= finished < 6
    again = reled("resume", run.path)
    assert again.returncode == 1
    assert "No space left on device" in again.stderr
    assert run.finished_epochs() == finished

    ballast.unlink()
    assert enlarge(64)
    assert one_object(reled("resume", run.path, "--json"))["epochs"] == 6
    assert [float(row["epoch"]) for row in rows(run)] == list(range(6))


def fill(path: Path) -> None:
    """Take all the space that is left."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
