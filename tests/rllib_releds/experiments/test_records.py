import json
import os
import re
from pathlib import Path

import pytest

from rllib_releds.errors import RunError
from rllib_releds.experiments.metrics_table import MetricsTable
from rllib_releds.experiments.records import RunFolder, new_folder, versions
from rllib_releds.experiments.runner import train_quietly
from rllib_releds.experiments.settings import TrainSettings
from rllib_releds.experiments.status import run_status


@pytest.fixture
def run(tmp_path):
    return RunFolder.create(tmp_path / "run", TrainSettings(num_training_epochs=5))


def save(text):
    return lambda folder: (folder / "state").write_text(text)


def test_a_folder_that_a_full_disk_left_empty_can_be_begun_again(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("rllib_releds.experiments.records.write_json", full)
        with pytest.raises(RunError, match="No space left"):
            RunFolder.create(tmp_path / "run", TrainSettings())
    assert RunFolder.create(tmp_path / "run", TrainSettings()).settings == TrainSettings()


def test_checkpoints_are_as_open_as_the_rest_of_the_run(run):
    run.save_checkpoint(1, save("1"))
    assert run.checkpoint(1).stat().st_mode == run.episodes.stat().st_mode


def test_what_a_killed_process_of_the_same_number_left_does_no_harm(run):
    (run.checkpoints / f".writing_{os.getpid()}").mkdir()
    (run.checkpoints / f".writing_{os.getpid()}" / "half").touch()
    assert [path.name for path in run.save_checkpoint(1, save("1")).iterdir()] == ["state"]


def test_settings_survive_the_round_trip(run):
    assert RunFolder.open(run.path).settings == TrainSettings(num_training_epochs=5)


def test_a_run_is_never_overwritten(run):
    with pytest.raises(RunError, match=r"exists already. Go on with it by `reled resume"):
        RunFolder.create(run.path, TrainSettings())


def test_what_a_killed_process_left_half_written_is_no_run(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".writing.12.34.config.json").touch()
    assert RunFolder.create(tmp_path / "run", TrainSettings()).settings == TrainSettings()


def test_unwritable_run_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot write the run folder .*file/run"):
        RunFolder.create(tmp_path / "file" / "run", TrainSettings())


def test_other_folders_are_no_runs(tmp_path):
    with pytest.raises(RunError, match="is not a run folder"):
        RunFolder.open(tmp_path)


def test_newest_checkpoints_and_the_untrained_one_are_kept(run):
    for epochs in range(6):
        run.save_checkpoint(epochs, save(str(epochs)))
    assert sorted(p.name for p in run.checkpoints.glob("epoch_*")) == ["epoch_00000", "epoch_00004", "epoch_00005"]
    finished, folder = run.latest_checkpoint()
    assert (finished, (folder / "state").read_text()) == (5, "5")


def test_the_best_checkpoint_is_kept_beside_the_newest(tmp_path):
    run = RunFolder.create(tmp_path / "run", TrainSettings(keep_checkpoints=1))
    metrics = MetricsTable(run.path / "metrics.csv")
    run.save_checkpoint(0, save("0"))
    assert run.best_checkpoint()[0] == 0, "nothing is measured yet"
    for epoch, reward in enumerate((1.0, 2.0, 9.0, 3.0, float("nan"), 4.0)):
        # Epoch 2 was sampled with the policies after two epochs, before its own update.
        metrics.append({"epoch": epoch, "mean_reward": reward})
        run.save_checkpoint(epoch + 1, save(str(epoch + 1)))
    assert sorted(p.name for p in run.checkpoints.glob("epoch_*")) == ["epoch_00000", "epoch_00002", "epoch_00006"]
    assert run.best_checkpoint() == (2, run.checkpoint(2))
    assert run.latest_checkpoint() == (6, run.checkpoint(6))


def test_checkpoints_of_another_format_are_refused_in_a_sentence(run):
    run.save_checkpoint(1, save("1"))
    pointer = run.checkpoints / "latest.json"
    latest = json.loads(pointer.read_text())
    pointer.write_text(json.dumps({**latest, "format": 99}))
    with pytest.raises(RunError, match=r"have format 99, and this version reads 3\. Go on with the version that began"):
        run.latest_checkpoint()
    del latest["format"]
    pointer.write_text(json.dumps(latest))
    with pytest.raises(RunError, match="have format 1"):
        run.latest_checkpoint()


def test_a_checkpoint_that_fails_leaves_the_previous_one(run):
    run.save_checkpoint(1, save("1"))

    def full_disk(folder):
        (folder / "state").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(RunError, match=r"cannot write checkpoint .*epoch_00002 \(No space left on device\)"):
        run.save_checkpoint(2, full_disk)
    assert run.finished_epochs() == 1
    assert [path.name for path in run.checkpoints.iterdir() if path.name != "latest.json"] == ["epoch_00001"]


def test_leftovers_of_a_killed_process_are_removed(run):
    (run.checkpoints / ".writing_killed").mkdir()
    run.save_checkpoint(1, save("1"))
    assert not (run.checkpoints / ".writing_killed").exists()


def test_a_run_without_a_checkpoint_says_so(run):
    assert run.finished_epochs() == 0
    with pytest.raises(RunError, match="no finished checkpoint yet"):
        run.latest_checkpoint()


def test_versions_name_what_results_depend_on(run):
    versions = json.loads((run.path / "versions.json").read_text())
    assert {"python", "ray", "torch", "eclipse-sumo", "commit"} <= set(versions)


def cut(path):
    path.write_text(path.read_text()[:20])


def test_a_damaged_configuration_is_named(run):
    cut(run.path / "config.json")
    with pytest.raises(RunError, match=r"config\.json cannot be read .* Mend it, or begin a new run"):
        RunFolder.open(run.path).settings  # noqa: B018


@pytest.mark.parametrize("minutes", [0.0, -1.0, float("nan"), float("inf")])
def test_settings_out_of_their_range_never_reach_the_folder(run, minutes):
    with pytest.raises(RunError, match="minutes"):
        run.update_settings(run.settings.model_copy(update={"minutes": minutes}))
    assert run.settings.minutes is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"finished_epochs": "two", "folder": "epoch_00002"}'])
def test_a_damaged_pointer_names_the_checkpoint_that_is_kept(run, content):
    for epochs in range(3):
        run.save_checkpoint(epochs, save(str(epochs)))
    pointer = run.checkpoints / "latest.json"
    pointer.write_text(content)
    with pytest.raises(RunError, match=r"latest\.json cannot be read .* epoch_00002 is kept: to go back to it, write"):
        run.finished_epochs()


def test_a_missing_checkpoint_says_how_to_go_back_to_the_one_before_and_that_is_true(run):
    for epochs in range(4):
        run.save_checkpoint(epochs, save(str(epochs)))
    (run.checkpoint(3) / "state").unlink()
    run.checkpoint(3).rmdir()
    with pytest.raises(RunError, match=r"epoch_00003 is missing") as refused:
        run.latest_checkpoint()
    told = re.search(r"write (\{.*\}) into (\S+), then `reled resume", str(refused.value))
    Path(told[2]).write_text(told[1])
    assert run.latest_checkpoint() == (2, run.checkpoint(2))


def test_the_checkpoint_that_a_run_went_back_to_is_not_pruned_for_later_ones(tmp_path):
    run = RunFolder.create(tmp_path / "run", TrainSettings(keep_checkpoints=1))
    for epochs in (0, 8, 9, 3):
        run.save_checkpoint(epochs, save(str(epochs)))
    assert run.latest_checkpoint() == (3, run.checkpoint(3))


def test_a_run_that_went_back_keeps_its_own_checkpoints_not_the_later_ones(tmp_path):
    run = RunFolder.create(tmp_path / "run", TrainSettings(keep_checkpoints=2))
    for epochs in (0, 8, 9, 3, 4, 5):
        run.save_checkpoint(epochs, save(str(epochs)))
    kept = ["epoch_00000", "epoch_00004", "epoch_00005", "epoch_00008", "epoch_00009"]
    assert sorted(folder.name for folder in run.checkpoints.glob("epoch_*")) == kept


def test_a_checkpoint_that_somebody_put_aside_is_none_of_the_runs(tmp_path):
    run = RunFolder.create(tmp_path / "run", TrainSettings(keep_checkpoints=1))
    metrics = MetricsTable(run.path / "metrics.csv")
    run.save_checkpoint(0, save("0"))
    aside = run.checkpoints / "epoch_00000_good"
    aside.mkdir()
    for epoch in range(3):
        metrics.append({"epoch": epoch, "mean_reward": float(epoch)})
        run.save_checkpoint(epoch + 1, save(str(epoch + 1)))
    assert run.best_checkpoint()[0] == 2
    assert aside.is_dir()


def test_only_one_process_trains_a_run(run):
    def forbidden(*progress):
        raise AssertionError("trained")

    with run.training():
        with pytest.raises(RunError, match="another process trains"):
            train_quietly(run, forbidden)
        with pytest.raises(RunError, match="another process trains"):
            run.update_settings(run.settings)
    run.update_settings(run.settings)


def test_figures_of_the_last_epoch_are_found_though_a_damaged_line_was_removed(run):
    table = MetricsTable(run.path / "metrics.csv")
    for epoch in (0, 2):
        table.append({"epoch": epoch, "mean_reward": 10.0 + epoch})
    run.save_checkpoint(3, save("3"))
    assert run_status(run)["mean_reward"] == 12.0


def test_a_damaged_report_is_none(run, caplog):
    assert run.report() == {}
    (run.path / "report.json").write_text('{"trained": {')
    assert run.report() == {}
    assert "report.json is damaged; the next report replaces it" in caplog.text


def test_a_machine_without_git_has_no_commit_and_nothing_else_missing(monkeypatch):
    with_git = versions()
    monkeypatch.setenv("PATH", "/nowhere")
    assert versions() == {**with_git, "commit": None}


def test_a_folder_that_another_process_has_made_meanwhile_is_not_written_into(tmp_path):
    target = tmp_path / "device"

    def write() -> None:
        with new_folder(target) as folder:
            (folder / "mine").touch()
            target.mkdir()
            (target / "theirs").touch()

    with pytest.raises(RunError, match=r"cannot write .*device"):
        write()
    assert [path.name for path in target.iterdir()] == ["theirs"]
