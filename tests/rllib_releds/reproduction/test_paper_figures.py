"""What is drawn, by artists, labels and data."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PolyCollection
from synthetic import result, write, yardsticks

from rllib_releds.experiments.methods import METHODS
from rllib_releds.reproduction.drawing.agent_counts import boxes_over_agents
from rllib_releds.reproduction.drawing.flows import flow_maps, normalised_flow
from rllib_releds.reproduction.drawing.styles import method_style
from rllib_releds.reproduction.drawing.training import dtw_and_reward, learning_curves, wall_clock
from rllib_releds.reproduction.figures import draw
from rllib_releds.reproduction.results import read_results
from rllib_releds.reproduction.statistics import rolling_mean
from rllib_releds.reproduction.trial import Trial
from sumo_marl_env import make_scenario

YARDSTICK_NAMES = ["free flow", "live traffic", "SUMO's rerouting"]


def comparisons(tmp_path, *trials, live_s=510.0, **options):
    made = [result(trial, **options) for trial in trials]
    levels = [yardsticks(setting, live_s) for setting in {trial.setting for trial in trials}] if live_s else []
    return read_results(write(tmp_path, *made, *levels))


def seeds(method, number, **options):
    return [Trial(method=method, seed=seed, num_epochs=20, **options) for seed in range(number)]


def line(axes, label):
    return next(one for one in axes.lines if one.get_label() == label)


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_every_method_looks_different():
    styles = [method_style(name) for name in METHODS]
    assert len(set(styles)) == len({style.color for style in styles}) == len(METHODS)
    assert method_style("a method of tomorrow") not in styles


def test_learning_curves_have_bands_and_yardsticks(tmp_path):
    there = comparisons(tmp_path, *seeds("RELED", 3), *seeds("IPPO", 1)).comparisons
    figure = learning_curves(there, ["RELED", "IPPO"], "Curves")
    reward, travel_time = figure.axes
    assert legend(figure) == ["RELED", "IPPO", "within 5 % of live traffic", *YARDSTICK_NAMES]
    assert line(reward, "RELED").get_color() == method_style("RELED").color
    assert [line(reward, name).get_ydata()[0] for name in YARDSTICK_NAMES] == [765.0, 780.0, 775.0]
    assert [line(travel_time, name).get_ydata()[0] for name in YARDSTICK_NAMES] == [525.0, 510.0, 515.0]
    bands = [one for one in reward.collections if isinstance(one, PolyCollection)]
    assert len(bands) == 1, "a single run has no spread"
    assert "1 to 3 seeds" in figure.get_suptitle()
    assert "20,000 interaction steps without those of demonstrations" in figure.get_suptitle()


def test_a_single_run_is_drawn_as_it_is(tmp_path):
    (there,) = comparisons(tmp_path, *seeds("IPPO", 1), live_s=None).comparisons
    reward = learning_curves([there], ["IPPO"], "Curves").axes[0]
    curve = there.runs["IPPO"][0].curve
    drawn = line(reward, "IPPO")
    assert drawn.get_xdata()[[0, -1]].tolist() == [1.0, 20.0]
    smooth = rolling_mean(curve.rewards)
    assert drawn.get_ydata()[[0, -1]] == pytest.approx(smooth[[0, -1]])
    assert [one.get_label() for one in reward.lines] == ["IPPO"]
    assert "demonstrations" not in reward.figure.get_suptitle()


def test_the_end_of_training_fills_the_panel_of_travel_times(tmp_path):
    there = comparisons(tmp_path, *seeds("RELED", 2), speed=1.0).comparisons
    travel_time = learning_curves(there, ["RELED"], "Curves").axes[1]
    assert line(travel_time, "RELED").get_ydata().max() > 1900.0
    assert travel_time.get_ylim()[1] == pytest.approx(1020.0)


def test_slow_methods_stay_in_the_panel(tmp_path):
    there = comparisons(tmp_path, *seeds("QMIX", 2), level_s=1900.0).comparisons
    travel_time = learning_curves(there, ["QMIX"], "Curves").axes[1]
    assert travel_time.get_ylim()[1] > line(travel_time, "QMIX").get_ydata()[-1]


def test_settings_have_a_column_each_and_methods_only_where_they_ran(tmp_path):
    trials = [*seeds("RELED", 1), *seeds("IPPO", 1), *seeds("RELED", 1, demand="congested")]
    figure = learning_curves(comparisons(tmp_path, *trials).comparisons, ["RELED", "IPPO"], "Curves")
    assert [axes.get_title() for axes in figure.axes[:2]] == [
        "(a) gridtown, moderate, 10 agents",
        "(b) gridtown, congested, 10 agents",
    ]
    shown = [[one.get_label() for one in axes.lines if one.get_label() in METHODS] for axes in figure.axes]
    assert shown == [["IPPO", "RELED"], ["RELED"]] * 2


def test_wall_clock_is_in_minutes(tmp_path):
    (there,) = comparisons(tmp_path, *seeds("IPPO", 1)).comparisons
    (axes,) = wall_clock([there], ["IPPO"], "Time").axes
    assert line(axes, "IPPO").get_xdata()[-1] == pytest.approx(1.8 * 20 / 60)
    assert axes.get_xlabel() == "wall-clock time (minutes)"


def test_dtw_has_an_axis_of_its_own(tmp_path):
    (there,) = comparisons(tmp_path, *seeds("RELED", 2)).comparisons
    distance, reward = dtw_and_reward([there], "RELED", "Distance").axes
    smooth = rolling_mean(there.runs["RELED"][0].curve.dtw_m)
    assert line(distance, "DTW distance").get_ydata()[-1] == pytest.approx(smooth[-1])
    assert line(reward, "reward").get_ydata()[-1] > 0
    assert [name for name in YARDSTICK_NAMES if line(reward, name)] == YARDSTICK_NAMES


def test_flow_is_logarithmic_and_normalised(tmp_path):
    network = make_scenario(scenario="gridtown").network
    first, second, *_ = network.edge_ids
    flow = normalised_flow(network, {first: 9, second: 99, "elsewhere": 1000})
    assert flow[:3] == pytest.approx([0.5, 1.0, 0.0])
    assert not normalised_flow(network, {}).any()


def test_flow_maps_show_experts_beside_agents(tmp_path):
    scenario = make_scenario(scenario="gridtown")
    (there,) = comparisons(tmp_path, *seeds("RELED", 2), edges=scenario.network.edge_ids).comparisons
    figure = flow_maps([(there, scenario)], "RELED", "Flows")
    for axes, who in zip(figure.axes, ("expert", "agent"), strict=False):
        used = {edge for run in there.runs["RELED"] for edge, n in getattr(run, f"{who}_edge_counts").items() if n}
        streets, flows = [one for one in axes.collections if isinstance(one, LineCollection)]
        assert len(streets.get_segments()) == scenario.network.num_edges
        assert len(flows.get_segments()) == len(used)
        assert flows.get_array().max() == 1.0
    assert "demonstrations" in figure.axes[0].get_title()


def test_boxes_hold_every_episode_of_every_run(tmp_path):
    trials = [trial for number in (5, 10, 50) for trial in seeds("RELED", 3, num_agents=number)]
    there = comparisons(tmp_path, *trials, *seeds("IPPO", 3)).comparisons
    ordered = sorted(there, key=lambda one: one.trial.num_agents)
    figure = boxes_over_agents([ordered], ["RELED", "IPPO"], "Agents")
    (axes,) = figure.axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["5", "10", "50"]
    assert legend(figure) == ["RELED", "IPPO", *YARDSTICK_NAMES]
    assert len(axes.patches) == 4, "one box per method and number of agents"
    widths = [np.ptp(box.get_path().vertices[:, 0]) for box in axes.patches]
    assert widths == pytest.approx([widths[0]] * 4), "a group with fewer methods has no wider boxes"
    medians = [one for one in axes.lines if one.get_color() == "black" and len(one.get_ydata())]
    assert medians[0].get_ydata()[0] == pytest.approx(np.median(ordered[0].scores("RELED", "rewards")))


def test_every_figure_comes_from_complete_results(tmp_path):
    edges = make_scenario(scenario="gridtown").network.edge_ids
    trials = [*seeds("RELED", 2), *seeds("IPPO", 2), *seeds("RELED-logit", 1), *seeds("RELED", 1, num_agents=5)]
    drawings, missing = draw(comparisons(tmp_path, *trials, edges=edges))
    assert missing == []
    names = {drawing.name.split("_")[1] for drawing in drawings}
    assert names == {"4", "5", "6", "7", "8", "9"}


def test_figures_without_data_are_named_and_not_drawn(tmp_path):
    drawings, missing = draw(comparisons(tmp_path, *seeds("IPPO", 1)))
    assert drawings == []
    assert [one.what for one in missing] == ["Figures 4 and 5", "Figure 6", "Figure 7", "Figure 8", "Figure 9"]


def test_a_scenario_file_that_lists_its_trips_has_a_flow_map(tmp_path):
    scenario, file = make_scenario(scenario="gridtown", demand="none", num_agents=2), tmp_path / "two.json"
    scenario.save(file)
    trials = seeds("RELED", 1, scenario=str(file), demand=None, num_agents=2)
    drawings, missing = draw(comparisons(tmp_path, *trials, edges=scenario.network.edge_ids))
    assert "figure_6_combined_20000-steps" in [drawing.name for drawing in drawings]
    assert not [one for one in missing if one.what.startswith("Figure 6")]


def test_a_map_that_is_gone_is_named(tmp_path):
    drawings, missing = draw(comparisons(tmp_path, *seeds("RELED", 1, scenario="/gone.osm"), edges=["a", "b", "c"]))
    (gone,) = [one for one in missing if one.what.startswith("Figure 6")]
    assert "gone.osm" in gone.why
    assert not [drawing for drawing in drawings if drawing.name.startswith("figure_6")]


def test_more_than_four_settings_go_onto_further_figures(tmp_path):
    trials = [trial for n in range(1, 6) for method in ("RELED", "IPPO") for trial in seeds(method, 1, num_agents=n)]
    drawings, _ = draw(comparisons(tmp_path, *trials))
    assert [one.name for one in drawings if one.name.startswith("figure_4")] == [
        "figure_4_combined_20000-steps",
        "figure_4_combined_20000-steps_2",
    ]
