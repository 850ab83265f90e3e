"""`reled tune` as a user runs it: in a process of its own, through Ray Tune."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from helpers import kill_when, one_object, reled

from rllib_releds.tuning.settings import TuneFolder

SMALL = ["--demand", "none", "--agents", 2, "--steps-per-epoch", 20, "--samples", 4, "--jobs", 2, "--epochs", 4]


def epochs(folder: TuneFolder) -> dict[str, list[int]]:
    """Epochs in the table of each trial."""
    found = {}
    for file in sorted(folder.metrics.glob("*.csv")):
        with file.open() as table:
            found[file.stem] = [int(float(row["epoch"])) for row in csv.DictReader(table)]
    return found


@pytest.mark.faults
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("scheduler", ["asha", "pbt"])
def test_a_killed_search_goes_on(scheduler, tmp_path, grid_file):
    folder = TuneFolder(tmp_path / "search")
    spaces = "learning,weighting,demonstrations"
    arguments = ["--scheduler", scheduler, "--spaces", spaces, "--interval", 1, "--network", grid_file, *SMALL]
    arguments += ["--out", folder.path]
    kill_when(lambda: sum(map(len, epochs(folder).values())) >= 4, "tune", *arguments)
    before = epochs(folder)

    told = one_object(reled("tune", *arguments, "--json"))
    trials = told["trials"]
    assert [trial["name"] for trial in sorted(trials, key=lambda trial: trial["name"])] == [
        f"trial_0000{number}" for number in range(4)
    ]
    assert {trial["status"] for trial in trials} <= {"finished", "stopped"}
    assert "finished" in {trial["status"] for trial in trials}
    assert [trial["final_reward"] for trial in trials] == sorted(
        (trial["final_reward"] for trial in trials), reverse=True
    )
    after = epochs(folder)
    for trial in trials:
        kept = after[trial["name"]]
        assert kept == sorted(set(kept)), "an epoch is there twice"
        assert len(kept) >= len(before.get(trial["name"], [])), "an epoch was lost"
        assert kept[-1] + 1 == trial["epochs"]
        assert np.isfinite(trial["final_reward"])
        assert set(trial["parameters"]) >= {"lr", "weight_rule", "dtw_scale", "demonstration_interval", "num_subsets"}
    if scheduler == "asha":
        assert all(kept == list(range(len(kept))) for kept in after.values())
    assert sorted(folder.replies.glob("*.json")), "the trials share the planner's replies"
    written = folder.path
    assert (written / "figures" / "trials.png").read_bytes().startswith(b"\x89PNG")
    with (written / "trials.csv").open() as table:
        assert len(list(csv.DictReader(table))) == 4
    assert json.loads((written / "results.json").read_text())["trials"] == trials

    # Once more: nothing is left to do.
    again = one_object(reled("tune", *arguments, "--json"))
    assert again["trials"] == trials
    other = reled("tune", *arguments, "--seed", 1)
    assert other.returncode == 1
    assert "was begun with other settings" in other.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--spaces", "weather"], "unknown search space 'weather'; choose learning"),
        (["--scheduler", "random"], "unknown scheduler 'random'; choose asha"),
        (["--method", "PPO"], "unknown method 'PPO'"),
        (["--method", "QMIX", "--spaces", "learning"], "QMIX has no setting"),
        (["--method", "IPPO", "--spaces", "weighting"], "nobody demonstrates, so a search for weight_rule"),
        (["--method", "RELED-alpha-0.2", "--spaces", "weighting"], "RELED-alpha-0.2 is what it is by its weight_rule"),
        (["--method", "LEED", "--llm", "none"], "LEED is about demonstrations; leave out --llm none"),
        (["--llm", "gpt"], "unknown demonstrations 'gpt'"),
        (["--network", "nowhere.osm"], "nowhere.osm"),
    ],
)
def test_bad_input_gets_one_clear_error_and_trains_nothing(arguments, message, tmp_path):
    result = reled("tune", *arguments, "--out", tmp_path / "out")
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()
