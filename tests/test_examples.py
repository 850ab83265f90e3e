"""Every example runs in its smoke form, and prints what its docstring expects."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
EXPECTED = {
    "01_env_alone.py": "100% arrived",
    "02_train_reled.py": "restored at epoch 2",
    "03_tune.py": "2 trials; best lr",
    "04_submit_job.py": "job succeeded",
    "05_watch.py": "2 epochs logged",
}


def test_no_example_is_forgotten():
    assert sorted(path.name for path in EXAMPLES.glob("*.py")) == sorted(EXPECTED)


def run(name, *arguments, cwd=None):
    result = subprocess.run(
        [sys.executable, str(EXAMPLES / name), "--smoke", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert EXPECTED[name] in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_example_runs(name):
    run(name)


def test_mlflow_gets_the_metrics_of_each_epoch(tmp_path):
    pytest.importorskip("mlflow", reason='mlflow is no dependency; with `pip install "mlflow>=3"` this runs')
    run("05_watch.py", "mlflow", cwd=tmp_path)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as store:
        logged = store.execute("select value from metrics where key = 'reled/epoch' order by step").fetchall()
        parameters = dict(store.execute("select key, value from params").fetchall())
    assert logged == [(0.0,), (1.0,)]
    assert parameters["num_subsets"] == "2"
