"""What each node of a cluster is checked for: the folder of a run, which all nodes share."""

import pytest

from rllib_releds.jobs.nodes import write_and_read


def test_the_nearest_folder_that_is_there_stands_in_for_one_that_is_not(tmp_path):
    assert write_and_read(str(tmp_path / "runs" / "first")) == f"{tmp_path} written, read and cleared"
    assert list(tmp_path.iterdir()) == []


def test_what_lies_in_the_folder_stays(tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    write_and_read(f"file://{folder}")
    assert [path.name for path in folder.iterdir()] == ["config.json"]


def test_a_place_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(OSError, match="runs"):
        write_and_read(str(tmp_path / "runs" / "first"))
