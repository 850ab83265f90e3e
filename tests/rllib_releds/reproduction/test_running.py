"""What Tune leaves behind: nothing. What it does not survive by itself: want of memory."""

import io
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from ray import cloudpickle, tune
from ray.exceptions import OutOfMemoryError
from rich.console import Console

from rllib_releds import local_ray
from rllib_releds.errors import RunError
from rllib_releds.reproduction.folder import ReproductionFolder
from rllib_releds.reproduction.progress import TrialsDisplay
from rllib_releds.reproduction.running import run_tasks, tune_storage


def test_the_storage_of_tune_is_gone_afterwards(tmp_path):
    with tune_storage(tmp_path) as storage:
        storage.mkdir()
        (storage / "state.json").write_text("{}")
    assert not (tmp_path / ".tune").exists()


def test_what_a_killed_command_left_is_removed(tmp_path):
    left = tmp_path / ".tune" / "left"
    left.mkdir(parents=True)
    with tune_storage(tmp_path) as storage:
        assert storage.parent.is_dir()
        assert not left.exists()


def test_the_storage_of_another_command_is_left_alone(tmp_path, monkeypatch):
    with tune_storage(tmp_path) as first:
        first.mkdir()
        monkeypatch.setattr("os.getpid", lambda: 0)
        with tune_storage(tmp_path) as second:
            assert first.is_dir()
            assert second != first
        assert first.is_dir()


@dataclass(frozen=True)
class CountedTask:
    """Done after so many runs."""

    name: str
    runs: int
    done: Path

    def is_done(self, folder):
        return self.done.is_file() and len(self.done.read_text()) >= self.runs

    def run(self, report):
        with self.done.open("a") as file:
            file.write("x")
        report({"phase": "running"})


@pytest.fixture
def display():
    # Workers cannot import this module.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    return TrialsDisplay(Console(file=io.StringIO()), [], jobs=1)


def test_trials_go_on_when_ray_ended_one_for_want_of_memory(tmp_path, display, monkeypatch):
    fit, fits = tune.Tuner.fit, []

    def fit_and_fall_short_once(tuner):
        results = fit(tuner)
        fits.append(len(results))
        if len(fits) == 1:
            # As Tune raises it: it does not know the error of Ray.
            raise RuntimeError("Caught unexpected exception") from OutOfMemoryError("low on memory")
        return results

    monkeypatch.setattr(tune.Tuner, "fit", fit_and_fall_short_once)
    monkeypatch.setattr(local_ray, "MEMORY_PAUSE_S", 0.0)
    tasks = [CountedTask("done at once", 1, tmp_path / "one"), CountedTask("done later", 2, tmp_path / "two")]
    assert run_tasks(ReproductionFolder(tmp_path), tasks, 1, display) == []
    assert fits == [2, 1], "what was done is not done again"
    assert all(task.is_done(None) for task in tasks)


def test_want_of_memory_that_lasts_is_one_clear_error(tmp_path, display, monkeypatch):
    def fall_short(tuner):
        raise RuntimeError("Caught unexpected exception") from OutOfMemoryError("low on memory")

    monkeypatch.setattr(tune.Tuner, "fit", fall_short)
    monkeypatch.setattr(local_ray, "MEMORY_PAUSE_S", 0.0)
    with pytest.raises(RunError, match=r"nearly all memory of this machine is in use.*lower --jobs"):
        run_tasks(ReproductionFolder(tmp_path), [CountedTask("task", 1, tmp_path / "one")], 1, display)
