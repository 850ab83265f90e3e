"""The table of the refinement benchmark, from made-up figures."""

import importlib.util
import json
from pathlib import Path

PATH = Path(__file__).parents[2] / "benchmarks" / "refinement.py"


def test_the_table_has_a_row_per_setting_that_was_measured(tmp_path):
    spec = importlib.util.spec_from_file_location("refinement", PATH)
    refinement = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(refinement)
    figures = {"reward": 700.0, "travel_time_s": 640.0, "arrival_rate": 1.0}
    for seed, end in ((0, 710.0), (1, 730.0)):
        run = {"start": figures, "end": {**figures, "reward": end}, "no feedback": figures, "execution_rate": 1.0}
        (tmp_path / f"rush_{seed}.json").write_text(json.dumps(run))
    (tmp_path / "drivers_rush.json").write_text(json.dumps({"free_flow": figures, "live": figures}))
    rows = refinement.table(tmp_path).splitlines()[2:]
    assert rows == [
        "| rush | 2 | 700 ± 0 (640 s) | 720 ± 14 (640 s) | 700 ± 0 (640 s) | 700 (640 s) | 700 (640 s) | - | 100% |"
    ]
