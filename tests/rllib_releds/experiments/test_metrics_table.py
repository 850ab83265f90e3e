import numpy as np
import pytest

from rllib_releds.errors import RunError
from rllib_releds.experiments.metrics_table import MetricsTable


def test_metrics_keep_columns_that_join_later(tmp_path):
    table = MetricsTable(tmp_path / "metrics.csv")
    table.append({"epoch": 0, "mean_reward": 1.5})
    table.append({"epoch": 1, "mean_reward": 2.5, "dtw_m": 3.0})
    columns = MetricsTable(tmp_path / "metrics.csv").read()
    assert columns["mean_reward"].tolist() == [1.5, 2.5]
    assert np.isnan(columns["dtw_m"][0])
    assert columns["dtw_m"][1] == 3.0


def test_unfinished_epochs_are_forgotten_on_resume(tmp_path):
    table = MetricsTable(tmp_path / "metrics.csv")
    for epoch in range(4):
        table.append({"epoch": epoch, "mean_reward": float(epoch)})
    with table.path.open("a") as file:
        file.write("4")
    table.truncate(finished_epochs=3)
    assert table.read()["epoch"].tolist() == [0, 1, 2]


def written(path, *rows: str):
    path.write_text("".join(["epoch,mean_reward,seconds\r\n", *rows]), newline="")
    return MetricsTable(path)


@pytest.mark.parametrize(
    "part",
    [
        "2",
        "2,3.5,48",  # every field is there, and the last is cut
        "2,3.5,480.0,2",
        "2,3.5,480.0,2\r\n",
        "2,3.5\r\n",
        "2,3.5,48\r",
    ],
)
def test_a_row_that_a_full_disk_cut_leaves_nothing_behind(part, tmp_path):
    table = written(tmp_path / "metrics.csv", "0,1.5,10.0\r\n", "1,2.5,20.0\r\n", part)
    assert table.read()["epoch"].tolist() == [0, 1]
    table.truncate(2)
    table.append({"epoch": 2, "mean_reward": 3.5, "seconds": 480.0})
    columns = MetricsTable(table.path).read()
    assert columns["epoch"].tolist() == [0, 1, 2]
    assert columns["seconds"].tolist() == [10.0, 20.0, 480.0]


def test_a_row_is_never_added_to_half_a_line(tmp_path):
    table = written(tmp_path / "metrics.csv", "0,1.5,10.0\r\n", "1,2")
    table.append({"epoch": 1, "mean_reward": 2.5, "seconds": 20.0})
    assert MetricsTable(table.path).read()["seconds"].tolist() == [10.0, 20.0]


def test_a_table_without_anything_to_forget_stays_as_it_is(tmp_path):
    table = written(tmp_path / "metrics.csv", "0,1.5,10.0\r\n")
    before = table.path.stat()
    table.truncate(1)
    assert (table.path.stat().st_ino, table.path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_columns_may_join_after_a_cut_row(tmp_path):
    table = written(tmp_path / "metrics.csv", "0,1.5,10.0\r\n", "1,2")
    table.append({"epoch": 1, "mean_reward": 2.5, "seconds": 20.0, "dtw_m": 3.0})
    assert MetricsTable(table.path).read()["dtw_m"][1] == 3.0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("epoch,mean_reward\n0,1.5\n1,lots\n", r"metrics\.csv, line 3: mean_reward cannot be read .*'lots'"),
        ("epoch,mean_reward\nnan,1.5\n", r"metrics\.csv, line 2: epoch cannot be read"),
        ("epok,mean_reward\n0,1.5\n", r"metrics\.csv, line 1: no column is named epoch"),
    ],
)
def test_what_is_no_number_is_named_with_its_line(content, message, tmp_path):
    (tmp_path / "metrics.csv").write_text(content)
    table = MetricsTable(tmp_path / "metrics.csv")
    with pytest.raises(RunError, match=message):
        table.read()


def test_a_table_that_is_no_text_is_named(tmp_path):
    (tmp_path / "metrics.csv").write_bytes(b"epoch,mean_reward\n0,\xff\xfe\n")
    with pytest.raises(RunError, match=r"metrics\.csv is damaged"):
        MetricsTable(tmp_path / "metrics.csv")
