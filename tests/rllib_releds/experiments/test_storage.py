"""Runs on shared storage: a folder, and an S3 server on the loopback interface."""

import json
import os
import re
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from pyarrow import fs

from rllib_releds.errors import RunError
from rllib_releds.experiments.records import RunFolder
from rllib_releds.experiments.settings import TrainSettings
from rllib_releds.experiments.storage import RunStorage


@pytest.fixture(scope="module")
def s3():
    """URI of a bucket; the server keeps it in memory."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    patch = pytest.MonkeyPatch()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        patch.setenv(name, "testing")
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1").create_bucket(Bucket="bucket")
    yield "s3://bucket/{}?scheme=http&region=us-east-1&endpoint_override=" + f"{host}%3A{port}"
    patch.undo()
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def uri(request, tmp_path) -> str:
    if request.param == "folder":
        return str(tmp_path / "shared" / "run")
    return request.getfixturevalue("s3").format(tmp_path.name)


def save(text):
    return lambda folder: (folder / "state").write_text(text)


@pytest.fixture
def run(tmp_path) -> RunFolder:
    run = RunFolder.create(tmp_path / "run", TrainSettings(keep_checkpoints=1))
    for epochs in range(3):
        run.save_checkpoint(epochs, save(str(epochs)))
    return run


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_comes_back_from_storage_as_it_was(run, uri, tmp_path):
    RunStorage(uri).push(run)
    back = RunStorage(uri).pull(tmp_path / "back")
    assert contents(back.path) == contents(run.path)
    assert back.latest_checkpoint() == (2, back.checkpoint(2))


def test_a_run_that_had_drawn_nothing_yet_comes_back_with_a_place_for_it(run, uri, tmp_path):
    RunStorage(uri).push(run)
    back = RunStorage(uri).pull(tmp_path / "back")
    (back.figures / "learning_curve.png").write_bytes(b"drawn at the end of training")
    (back.episodes / "agent_00003_000.npz").write_bytes(b"kept with the next checkpoint")


def test_another_run_does_not_begin_where_one_lies(run, uri):
    storage = RunStorage(uri)
    storage.refuse_another_run()
    storage.push(run)
    with pytest.raises(RunError, match=r"holds a run already: .*reled fetch"):
        RunStorage(uri).refuse_another_run()


def test_a_stale_copy_does_not_replace_a_newer_run(run, uri, tmp_path):
    storage = RunStorage(uri)
    storage.push(run)
    newer = storage.pull(tmp_path / "newer")
    newer.save_checkpoint(3, save("3"))
    storage.push(newer)
    for go_on in (storage.refuse_newer, storage.push):
        with pytest.raises(
            RunError, match=r"has 3 finished epochs, and .*run has 2: get the newer run by `reled fetch"
        ):
            go_on(run)
    assert storage.pull(tmp_path / "there").latest_checkpoint()[0] == 3


def test_storage_follows_the_run_and_forgets_what_the_run_removed(run, uri, tmp_path):
    storage = RunStorage(uri)
    run.episodes.mkdir(exist_ok=True)
    (run.episodes / "agent_00000_000.npz").write_bytes(b"old")
    storage.push(run)
    run.save_checkpoint(3, save("3"))
    (run.episodes / "agent_00000_000.npz").rename(run.episodes / "agent_00003_000.npz")
    (run.path / "metrics.csv").write_text("epoch\n")
    storage.push(run)
    back = storage.pull(tmp_path / "back")
    assert sorted(path.name for path in back.checkpoints.glob("epoch_*")) == ["epoch_00000", "epoch_00003"]
    assert contents(back.path) == contents(run.path)


def test_a_push_that_ends_early_leaves_the_checkpoint_before(run, uri, tmp_path, monkeypatch):
    storage = RunStorage(uri)
    storage.push(run)
    run.save_checkpoint(3, save("3"))
    send = RunStorage._send

    def dies_before_the_pointer(self, file, name):
        if name.endswith("latest.json"):
            raise OSError("connection lost")
        send(self, file, name)

    monkeypatch.setattr(RunStorage, "_send", dies_before_the_pointer)
    with pytest.raises(RunError, match=r"connection lost.* holds everything; mend that, then `reled resume"):
        storage.push(run)
    back = storage.pull(tmp_path / "back")
    finished, folder = back.latest_checkpoint()
    assert (finished, (folder / "state").read_text()) == (2, "2")


def test_a_first_push_that_broke_off_can_go_on_and_takes_no_other_run(run, uri, tmp_path, monkeypatch):
    storage = RunStorage(uri)
    send = RunStorage._send
    monkeypatch.setattr(RunStorage, "_send", lambda self, file, name: name == "config.json" and send(self, file, name))
    storage.push(run)
    monkeypatch.undo()
    with pytest.raises(RunError, match="is not empty and holds no run"):
        storage.refuse_another_run()
    storage.push(run)
    assert contents(storage.pull(tmp_path / "back").path) == contents(run.path)


def test_what_is_no_runs_own_stays_on_the_storage(run, tmp_path):
    there = tmp_path / "there"
    storage = RunStorage(str(there))
    storage.push(run)
    others = ["checkpoints/epoch_00000_backup/state", "checkpoints/epoch_best.ckpt", "episodes/recorded_by_hand.csv"]
    for name in others:
        (there / name).parent.mkdir(exist_ok=True)
        (there / name).write_text("mine")
    run.save_checkpoint(3, save("3"))
    storage.push(run)
    assert [(there / name).read_text() for name in others] == ["mine"] * 3
    assert not (there / "checkpoints" / "epoch_00002").exists()


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_storage_inside_the_run_folder_would_copy_itself_and_is_refused(run, scheme):
    with pytest.raises(RunError, match="inside it or around it"):
        RunStorage(f"{scheme}{run.path}/backup").push(run)
    assert not (run.path / "backup").exists()


def test_the_run_folder_as_its_own_storage_would_be_emptied_and_is_refused(run, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(run.path)
    for place in (run.path, link):
        with pytest.raises(RunError, match="inside it or around it"):
            RunStorage(str(place)).push(run)
    assert run.latest_checkpoint()[0] == 2


def test_storage_around_the_run_folder_would_hold_the_run_twice_and_is_refused(run):
    with pytest.raises(RunError, match="inside it or around it"):
        RunStorage(str(run.path.parent)).push(run)


def test_the_command_that_brings_a_run_back_names_the_server_too(run, tmp_path, monkeypatch):
    RunStorage(str(tmp_path / "there")).push(run)
    uri = "s3://bucket/first?endpoint_override=localhost:9000&scheme=http"
    storage = RunStorage(uri)
    # What lies in a folder, as if it lay on that server.
    monkeypatch.setattr(storage, "_files", fs.LocalFileSystem())
    monkeypatch.setattr(storage, "_root", str(tmp_path / "there"))
    with pytest.raises(RunError, match=re.escape(f"`reled fetch '{uri}' --out FOLDER`")):
        storage.refuse_another_run()


def test_what_is_there_is_not_sent_again(run, uri, monkeypatch):
    for file in run.path.rglob("*"):
        os.utime(file, (1e9, 1e9))
    storage = RunStorage(uri)
    storage.push(run)
    sent = []
    monkeypatch.setattr(RunStorage, "_send", lambda self, file, name: sent.append(name))
    os.utime(run.path / "versions.json", (4e9, 4e9))
    storage.push(run)
    assert sent == ["versions.json", "checkpoints/latest.json"]


def test_storage_without_a_run_and_unknown_storage_are_said(uri, tmp_path):
    with pytest.raises(RunError, match="holds no run with a finished checkpoint"):
        RunStorage(uri).pull(tmp_path / "back")
    assert not (tmp_path / "back").exists()
    with pytest.raises(RunError, match=r"cannot use nowhere://bucket as storage") as caught:
        RunStorage("nowhere://bucket?region=hidden")
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        "s3://name:hidden@bucket/run",
        "s3://hidden@bucket/run",
        "abfss://container:hidden@account.dfs.core.windows.net/run",
        "abfs://container@account.dfs.core.windows.net/run?client_secret=hidden",
        "abfs://account.blob.core.windows.net/container/run?sig=hidden",
    ],
)
def test_no_key_in_an_address_comes_into_the_run_folder(uri):
    with pytest.raises(RunError, match=r"holds a key, or an option that may be one") as caught:
        RunStorage(uri)
    assert "hidden" not in str(caught.value)


def test_a_container_of_azures_is_no_key():
    RunStorage("abfss://container@account.dfs.core.windows.net/run")


def test_storage_is_part_of_the_settings(run):
    run.update_settings(run.settings.model_copy(update={"storage": "s3://bucket/run"}))
    assert json.loads((run.path / "config.json").read_text())["storage"] == "s3://bucket/run"
