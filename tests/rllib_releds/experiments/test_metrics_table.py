import numpy as np

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
