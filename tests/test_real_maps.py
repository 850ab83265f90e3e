"""Five epochs on real cities: nobody is lost, teleported or stuck."""

import json

import pytest
from helpers import one_object, reled


@pytest.mark.slow
@pytest.mark.parametrize("where", ["hong_kong_tsimshatsui/tsimshatsui.osm", "manhattan/manhattan.net.xml"])
def test_trains_five_epochs_on_a_real_map(where, real_map, tmp_path):
    run = tmp_path / "run"
    trained = one_object(reled("train", "--network", real_map(where), "--epochs", 5, "--out", run, "--json"))
    assert trained["epochs"] == 5
    evaluation = one_object(reled("evaluate", run, "--episodes", 5, "--json"))
    assert (evaluation["lost"], evaluation["teleported"], evaluation["stuck"]) == (0, 0, 0)
    report = json.loads((run / "report.json").read_text())
    assert evaluation["mean_reward"] > report["RELED at epoch 0"]["mean_reward"]
