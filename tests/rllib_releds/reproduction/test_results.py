import json

import numpy as np
import pytest
from synthetic import evaluation, result, write, yardsticks

from rllib_releds.errors import RunError
from rllib_releds.reproduction.results import Comparison, aligned, read_results
from rllib_releds.reproduction.trial import Trial, TrialResult


def run(method: str, seed: int, level_s: float, *, sampled_s: float = 0.0) -> TrialResult:
    """It drives as long in every episode."""
    made = result(Trial(method=method, seed=seed))
    return made.model_copy(update={"greedy": evaluation(level_s), "sampled": evaluation(sampled_s)})


def test_methods_and_seeds_stand_in_their_order(tmp_path):
    trials = [Trial(method=method, seed=seed) for method, seed in (("QMIX", 0), ("RELED", 10), ("RELED", 2))]
    (comparison,) = read_results(write(tmp_path, *map(result, trials))).comparisons
    assert list(comparison.runs) == ["RELED", "QMIX"]
    assert [run.trial.seed for run in comparison.runs["RELED"]] == [2, 10]


def test_the_papers_settings_come_first(tmp_path):
    trials = [
        Trial(method="RELED", scenario="rush", demand=None, num_agents=50),
        Trial(method="RELED", num_agents=5),
        Trial(method="RELED", demand="congested"),
        Trial(method="RELED"),
    ]
    titles = [one.title for one in read_results(write(tmp_path, *map(result, trials))).comparisons]
    assert titles == [
        "gridtown, moderate, 10 agents",
        "gridtown, congested, 10 agents",
        "gridtown, moderate, 5 agents",
        "rush, 50 agents",
    ]


def test_a_map_is_named_without_its_folder(tmp_path):
    trial = Trial(method="RELED", scenario="/maps/tsim_sha_tsui.osm")
    assert read_results(write(tmp_path, result(trial))).comparisons[0].title == "tsim_sha_tsui, moderate, 10 agents"


def test_a_map_that_was_moved_is_still_the_same_setting(tmp_path):
    trials = [Trial(method="RELED", scenario=place, seed=seed) for seed, place in enumerate(("hk.osm", "/maps/hk.osm"))]
    (comparison,) = read_results(write(tmp_path, *map(result, trials))).comparisons
    assert [run.trial.seed for run in comparison.runs["RELED"]] == [0, 1]


def test_what_is_not_there_is_named(tmp_path):
    seeds = {"RELED": (0, 1), "IPPO": (1, 2)}
    finished = [Trial(method=method, seed=seed) for method, there in seeds.items() for seed in there]
    started, wanted = Trial(method="QMIX"), Trial(method="MAPPO")
    write(tmp_path, *map(result, finished))
    (tmp_path / "trials" / started.name).mkdir()
    missing = read_results(tmp_path, [*finished, wanted]).missing
    assert [one.what for one in missing] == [
        f"trial {wanted.name}",
        f"trial {started.name}",
        "RELED in gridtown, moderate, 10 agents, combined, 100,000 steps",
        "IPPO in gridtown, moderate, 10 agents, combined, 100,000 steps",
        "yardsticks of gridtown_moderate_10-agents",
    ]
    assert missing[2].why == "seed 2 is not there; other methods have it"
    assert missing[3].why == "seed 0 is not there; other methods have it"


def test_complete_results_miss_nothing(tmp_path):
    trial = Trial(method="RELED")
    assert read_results(write(tmp_path, result(trial), yardsticks(trial.setting)), [trial]).missing == ()


def test_no_finished_trial_is_an_error_that_says_what_to_run(tmp_path):
    with pytest.raises(match="holds no finished trial; run `reled reproduce"):
        read_results(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", '{"trial": {"method": 3}}', "\udcff".encode(errors="surrogateescape")])
def test_a_result_that_cannot_be_read_is_named(tmp_path, text):
    path = write(tmp_path, result(Trial(method="RELED"))) / "trials" / "broken" / "result.json"
    path.parent.mkdir()
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(match=r"broken/result.json cannot be read .*; delete it"):
        read_results(tmp_path)


def test_columns_of_unequal_length_are_no_result(tmp_path):
    made = result(Trial(method="RELED"))
    cut = made.greedy.model_copy(update={"rewards": made.greedy.rewards[:-1]})
    write(tmp_path, made.model_copy(update={"greedy": cut}))
    with pytest.raises(match="greedy has columns of unequal length"):
        read_results(tmp_path)


@pytest.mark.parametrize("text", ["[]", '{"rows": 3}', "{"])
def test_demonstrations_that_cannot_be_read_are_named(tmp_path, text):
    write(tmp_path, result(Trial(method="RELED")))
    (tmp_path / "demonstrations").mkdir()
    (tmp_path / "demonstrations" / "table.json").write_text(text)
    with pytest.raises(match=r"demonstrations/table.json cannot be read"):
        read_results(tmp_path)


@pytest.mark.parametrize("missing", ["model", "refinements", "runs"])
def test_rows_of_demonstrations_say_whose_how_often_refined_and_of_how_many_runs(tmp_path, missing):
    row = {"model": "a", "refinements": 3, "runs": 1}
    del row[missing]
    (tmp_path / "demonstrations").mkdir()
    (tmp_path / "demonstrations" / "table.json").write_text(json.dumps({"rows": [row]}))
    with pytest.raises(match="a row has no model, no refinements or no runs"):
        read_results(tmp_path)


def test_demonstrations_alone_are_results(tmp_path):
    (tmp_path / "demonstrations").mkdir()
    rows = [{"model": "offline/planner", "refinements": 2, "runs": 1}]
    (tmp_path / "demonstrations" / "table.json").write_text(json.dumps({"rows": rows}))
    assert list(read_results(tmp_path).table_three) == rows


@pytest.mark.parametrize("figures", ["greedy", "curve"])
def test_columns_without_an_entry_are_no_result(tmp_path, figures):
    made = result(Trial(method="RELED"))
    empty = type(getattr(made, figures)).model_validate(dict.fromkeys(getattr(made, figures).model_dump(), ()))
    write(tmp_path, made.model_copy(update={figures: empty}))
    with pytest.raises(match=f"{figures} has columns of unequal length or none"):
        read_results(tmp_path)


def test_other_encoders_and_budgets_are_compared_apart_and_all_runs_listed(tmp_path):
    trials = [
        Trial(method="RELED"),
        Trial(method="IPPO"),
        Trial(method="RELED", encoder="raw"),
        Trial(method="RELED", num_epochs=5),
    ]
    results = read_results(write(tmp_path, *map(result, trials)))
    assert [(one.budget, list(one.runs)) for one in results.comparisons] == [
        ("combined_5000-steps", ["RELED"]),
        ("combined_100000-steps", ["RELED", "IPPO"]),
        ("raw_100000-steps", ["RELED"]),
    ]
    assert sorted(one.trial.name for one in results.trials) == sorted(trial.name for trial in trials)


def test_yardsticks_stand_beside_trials_of_their_setting(tmp_path):
    trials = [Trial(method="RELED"), Trial(method="RELED", demand="congested")]
    drivers = [yardsticks(trial.setting, live_s) for trial, live_s in zip(trials, (510.0, 610.0), strict=True)]
    comparisons = read_results(write(tmp_path, *map(result, trials), *drivers)).comparisons
    assert [one.yardstick_mean("live", "travel_times_s") for one in comparisons] == pytest.approx([510.0, 610.0])
    assert comparisons[0].yardstick_mean("equilibrium", "travel_times_s") is None


def test_figures_are_aligned_by_background_seed():
    one, other = evaluation([500.0, 510.0, 520.0], seeds=(1, 2, 3)), evaluation([610.0, 620.0, 630.0], seeds=(3, 2, 4))
    assert aligned([one, other], "travel_times_s", "both").tolist() == [[510.0, 520.0], [620.0, 610.0]]
    with pytest.raises(RunError, match="both: no background seed in common"):
        aligned([one, evaluation([1.0], seeds=(9,))], "travel_times_s", "both")


def test_a_method_and_a_yardstick_stand_side_by_side():
    runs = run("RELED", 0, 480.0, sampled_s=580.0), run("RELED", 1, 490.0, sampled_s=590.0)
    comparison = Comparison({"RELED": runs}, {"live": evaluation(510.0)})
    for policy, levels_s in (("greedy", (480.0, 490.0)), ("sampled", (580.0, 590.0))):
        both = comparison.beside("RELED", "live", "travel_times_s", policy)
        for rows in (both[0], comparison.scores("RELED", "travel_times_s", policy)):
            np.testing.assert_array_equal(rows, np.repeat([levels_s], 20, axis=0).T)
        np.testing.assert_array_equal(both[1], np.full(20, 510.0))


def test_methods_share_the_training_seeds_that_all_have():
    runs = {
        "RELED": (run("RELED", 0, 480.0), run("RELED", 1, 481.0)),
        "IPPO": (run("IPPO", 1, 501.0), run("IPPO", 2, 502.0)),
        "QMIX": (run("QMIX", 0, 520.0),),
    }
    comparison = Comparison(runs, {"live": evaluation(510.0)})
    methods, live = comparison.shared(["RELED", "IPPO"], "live", "travel_times_s")
    assert {name: rows[:, 0].tolist() for name, rows in methods.items()} == {"RELED": [481.0], "IPPO": [501.0]}
    assert live[0] == 510.0
    assert comparison.shared(list(runs), "live", "travel_times_s") is None
