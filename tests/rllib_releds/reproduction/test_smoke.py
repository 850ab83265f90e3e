"""`reled reproduce --budget smoke`: every method, table and figure once, in the smallest size."""

import json

import pytest
from helpers import one_object, reled

from rllib_releds.experiments.methods import METHODS


@pytest.mark.slow
@pytest.mark.timeout(1800)  # minutes on idle cores: a process for each of the methods
def test_the_smoke_budget_trains_every_method_and_writes_every_table_and_figure(tmp_path):
    told = one_object(reled("reproduce", "--budget", "smoke", "--out", tmp_path, "--json"))
    assert (told["done"], told["failed"]) == (len(METHODS) + 2, [])
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["missing"] == []
    written = {path.name for path in tmp_path.glob("*/*.*")}
    assert {"table_3.md", "table_4.md", "sample_efficiency.md", "yardsticks.md"} <= written
    assert {name[:8] for name in written if name.endswith(".svg")} >= {f"figure_{number}" for number in range(4, 10)}
