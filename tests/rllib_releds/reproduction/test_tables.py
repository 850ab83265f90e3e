import csv
import io

import numpy as np
import pytest
from synthetic import EVALUATION_SEEDS, curve, evaluation, result, write, yardsticks

from rllib_releds.reproduction.results import read_results
from rllib_releds.reproduction.sample_efficiency import sample_efficiency
from rllib_releds.reproduction.statistics import interquartile_mean
from rllib_releds.reproduction.tables import overall_table, table_four, yardstick_table
from rllib_releds.reproduction.trial import Trial


def run(method, *, seed=0, travel_time_s=500.0, times=(500.0,) * 8, **trial):
    """A run with the given final and training travel times."""
    made = result(Trial(method=method, seed=seed, num_epochs=len(times), **trial))
    figures = {"greedy": evaluation(travel_time_s), "sampled": evaluation(travel_time_s + 10)}
    return made.model_copy(update=figures | {"curve": curve(times, expert=method == "RELED")})


def rows(table, method):
    return [row for row in table.rows if row["method"] == method]


def results(tmp_path, *runs, live_s=None):
    models = [*runs, *([yardsticks(runs[0].trial.setting, live_s)] if live_s else [])]
    return read_results(write(tmp_path, *models))


def test_table_four_has_drops_and_rises_against_reled(tmp_path):
    table = table_four(
        results(tmp_path, *(run("RELED", seed=seed, travel_time_s=490 + 10 * seed) for seed in range(3)),
                run("IPPO", travel_time_s=600.0))
    )  # fmt: skip
    reled, ippo = table.rows
    assert (reled["seeds"], reled["travel_time_s"], reled["travel_time_s_sd"]) == (3, 500.0, 10.0)
    assert reled["reward"] == 790.0
    assert (ippo["seeds"], ippo["travel_time_s_sd"]) == (1, None)
    assert ippo["travel_time_s_change"] == pytest.approx(0.2)
    assert ippo["reward_change"] == pytest.approx(-100.0 / 790.0)
    assert ippo["arrival_rate"] == 1.0
    assert "| IPPO | 1 | 690.0 | -12.7 % | 481.6 ± 135.4 (-38.4 %) | 600.0 | +20.0 %" in table.markdown()


def test_table_four_shows_the_papers_towns_and_nothing_else_beside_others(tmp_path):
    towns = [run("RELED"), run("RELED", scenario="harbourtown"), run("RELED", demand="congested")]
    table = table_four(results(tmp_path, *towns, run("RELED", num_agents=5), run("MAPPO")))
    printed = {(row["setting"], row["method"]): row["paper_reward"] for row in table.rows}
    assert printed == {
        ("gridtown, moderate, 10 agents", "RELED"): 782.34,
        ("gridtown, moderate, 10 agents", "MAPPO"): None,
        ("gridtown, congested, 10 agents", "RELED"): None,
        ("harbourtown, moderate, 10 agents", "RELED"): 1492.91,
        ("gridtown, moderate, 5 agents", "RELED"): None,
    }


def test_changes_of_the_paper_are_those_that_it_prints(tmp_path):
    (row,) = table_four(results(tmp_path, run("RELED-alpha-0.5"))).rows
    assert row["paper_reward_change"] == pytest.approx(-1.0965, abs=1e-4)
    assert row["paper_travel_time_s_change"] == pytest.approx(2.3459, abs=1e-4)
    assert row["reward_change"] is None


def test_drawn_actions_have_a_table_of_their_own(tmp_path):
    (row,) = table_four(results(tmp_path, run("RELED", travel_time_s=500.0)), "sampled").rows
    assert row["travel_time_s"] == 510.0


def test_encoders_and_budgets_are_not_mixed(tmp_path):
    table = table_four(
        results(tmp_path, run("RELED"), run("IPPO", encoder="one_hot"), run("MAPPO", times=(500.0,) * 9))
    )
    assert table.markdown().count("| method |") == 3
    assert [row["reward_change"] for row in table.rows if row["method"] != "RELED"] == [None, None]


def test_csv_holds_every_figure(tmp_path):
    table = table_four(results(tmp_path, run("RELED"), live_s=510.0))
    read = list(csv.DictReader(io.StringIO(table.csv())))
    assert [row["method"] for row in read] == ["RELED", "free flow", "live traffic", "SUMO's rerouting"]
    assert float(read[0]["travel_time_s_iqm_low"]) == 500.0
    assert read[0]["travel_time_s_sd"] == ""
    assert read[1]["seeds"] == ""


def test_ratios_to_yardsticks_are_of_means_in_the_same_episodes(tmp_path):
    table = yardstick_table(results(tmp_path, run("RELED", travel_time_s=412.0), live_s=510.0))
    (row,) = table.rows
    assert row["over_rerouting"] == pytest.approx(412.0 / 515.0)
    assert row["over_live"] == pytest.approx(412.0 / 510.0)
    assert row["over_rerouting_low"] == pytest.approx(0.8)
    assert "0.800 [0.800, 0.800]" in table.markdown()


def test_only_shared_episodes_are_set_against_a_yardstick(tmp_path):
    one = run("RELED")
    fewer = yardsticks(one.trial.setting, 500.0)
    half = {name: evaluation(500.0, one.seeds[:3]) for name, one in fewer.drivers.items()}
    slow_elsewhere = evaluation(np.r_[np.full(3, 400.0), np.full(17, 900.0)])
    there = read_results(
        write(tmp_path, one.model_copy(update={"greedy": slow_elsewhere}), fewer.model_copy(update={"drivers": half}))
    )
    assert yardstick_table(there).rows[0]["over_live"] == pytest.approx(0.8)


def test_yardsticks_stand_in_table_four_with_the_episodes_of_the_methods(tmp_path):
    # A smoke run shares the file of its yardsticks with a short one, which has more episodes.
    few = run("RELED").model_copy(update={"greedy": evaluation(480.0, EVALUATION_SEEDS[:2])})
    there = yardsticks(few.trial.setting)
    times = evaluation(np.r_[500.0, 500.0, np.full(18, 600.0)])
    table = table_four(read_results(write(tmp_path, few, there.model_copy(update={"drivers": {"live": times}}))))
    live = next(row for row in table.rows if row["method"] == "live traffic")
    assert (live["travel_time_s"], live["travel_time_s_sd"]) == (500.0, 0.0)


def test_evaluations_without_a_common_episode_are_refused(tmp_path):
    other = run("RELED", seed=1).model_copy(update={"greedy": evaluation(500.0, range(3))})
    with pytest.raises(match=r"RELED in gridtown.*no background seed in common"):
        table_four(results(tmp_path, run("RELED"), other))


def test_tables_against_yardsticks_need_yardsticks(tmp_path):
    there = results(tmp_path, run("RELED"), run("IPPO"), run("MAPPO"), run("QMIX"))
    assert yardstick_table(there) is None
    assert overall_table(there) is None
    assert sample_efficiency(there) is None


def test_all_settings_together_are_those_that_all_methods_have(tmp_path):
    methods = ("RELED", "IPPO", "MAPPO", "QMIX")
    moderate = [run(method, travel_time_s=400.0) for method in methods]
    congested = [run(method, demand="congested", travel_time_s=600.0) for method in methods]
    rush = [run("RELED", scenario="rush", travel_time_s=1.0)]
    levels = [yardsticks(runs[0].trial.setting, 500.0) for runs in (moderate, congested, rush)]
    table = overall_table(read_results(write(tmp_path, *moderate, *congested, *rush, *levels)))
    assert [(row["method"], row["settings"], row["mean"]) for row in table.rows] == [
        (method, 2, pytest.approx(1.0)) for method in methods
    ]


METHODS = ("RELED", "IPPO", "MAPPO", "QMIX")


def together(tmp_path, *runs):
    settings = {one.trial.setting for one in runs}
    return overall_table(read_results(write(tmp_path, *runs, *(yardsticks(one, 500.0) for one in settings))))


def test_all_settings_together_weigh_the_same_for_every_method(tmp_path):
    level = {"moderate": 400.0, "congested": 800.0}
    runs = [run(method, demand=demand, travel_time_s=level[demand]) for method in METHODS for demand in level]
    # More seeds of one method in one setting, far off: they are in the mean of that setting alone.
    runs += [run("IPPO", seed=seed, demand="congested", travel_time_s=2000.0) for seed in (1, 2)]
    table = together(tmp_path, *runs)
    (reled,), (ippo,) = rows(table, "RELED"), rows(table, "IPPO")
    assert reled["iqm"] == ippo["iqm"] == pytest.approx(1.2)
    assert ippo["mean"] == pytest.approx((0.8 + (1.6 + 4.0 + 4.0) / 3) / 2)
    assert {row["shared_runs"] for row in table.rows} == {2}
    assert "per method 2 (combined, 8,000 steps)" in table.note


def test_without_a_seed_that_all_have_a_method_has_a_mean_alone(tmp_path):
    runs = [run(method, seed=int(method == "QMIX"), travel_time_s=400.0) for method in METHODS]
    table = together(tmp_path, *runs)
    assert {(row["mean"], row["iqm"], row["shared_runs"]) for row in table.rows} == {(0.8, None, 0)}
    assert "IQM |" not in table.markdown()


def test_live_shortest_times_are_resampled_with_the_runs(tmp_path):
    times = np.random.default_rng(0).uniform(300.0, 900.0, 20)
    runs = [run(method).model_copy(update={"greedy": evaluation(0.9 * times)}) for method in METHODS]
    live = yardsticks(runs[0].trial.setting)
    drivers = {name: evaluation(times) for name in live.drivers}
    fixed = interquartile_mean([[0.9 * times / times.mean()]])
    (row, *_) = overall_table(read_results(write(tmp_path, *runs, live.model_copy(update={"drivers": drivers})))).rows
    assert row["iqm"] == pytest.approx(fixed.value)
    assert row["iqm_high"] - row["iqm_low"] < fixed.high - fixed.low


FAST, SLOW, NEVER = (900.0,) + (500.0,) * 7, (900.0,) * 3 + (500.0,) * 5, (900.0,) * 8


def test_sample_efficiency_is_the_ratio_of_mean_steps(tmp_path):
    runs = [run("RELED", times=FAST), run("RELED", seed=1, times=(500.0,) * 8), run("IPPO", times=SLOW)]
    table = sample_efficiency(results(tmp_path, *runs, live_s=500.0))
    (reled,), (ippo,) = rows(table, "RELED"), rows(table, "IPPO")
    assert reled["threshold_s"] == 525.0
    assert (reled["needed"], reled["needed_min"], reled["needed_max"]) == (5500.0, 5000.0, 6000.0)
    assert (ippo["needed"], ippo["ratio"], ippo["ratio_bound"]) == (8000.0, 0.6875, None)
    assert reled["needed_with_expert"] == 5700.0
    assert "| IPPO | 1 of 1 | 8,000 | 0.69 | 8,000 | 0.71 |" in table.markdown()
    assert "5,500 (5,000 to 6,000)" in table.markdown()


def test_a_baseline_that_never_gets_there_bounds_the_ratio_from_above(tmp_path):
    table = sample_efficiency(results(tmp_path, run("RELED", times=FAST), run("IPPO", times=NEVER), live_s=500.0))
    assert "| IPPO | 0 of 1 | > 8,000 | < 0.75 |" in table.markdown()


def test_a_reled_run_that_never_gets_there_bounds_the_ratio_from_below(tmp_path):
    runs = [run("RELED", times=NEVER), run("IPPO", times=FAST), run("QMIX", times=NEVER)]
    shown = sample_efficiency(results(tmp_path, *runs, live_s=500.0)).markdown()
    assert "| RELED | 0 of 1 | > 8,000 | - |" in shown
    assert "| IPPO | 1 of 1 | 6,000 | > 1.33 |" in shown
    assert "| QMIX | 0 of 1 | > 8,000 | - |" in shown
