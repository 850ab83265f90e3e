import numpy as np
import pytest
from helpers import live_shortest_time, run_episode

from rllib_releds.plots.curves import dtw_and_weight, learning_curve
from rllib_releds.plots.maps import routes_map


@pytest.fixture
def table():
    epochs = np.arange(5.0)
    return {
        "epoch": epochs,
        "interaction_steps_lifetime": 1000.0 * (epochs + 1),
        "mean_reward": np.linspace(-1000, 700, 5),
        "mean_travel_time_s": np.linspace(2000, 500, 5),
        "expert_mean_reward": np.array([np.nan, 800, 800, 810, 810]),
        "expert_mean_travel_time_s": np.array([np.nan, 500, 500, 490, 490]),
        "dtw_m": np.linspace(3000, 200, 5),
        "agent_weight": np.linspace(0.4, 1.0, 5),
    }


def test_learning_curve_shows_agents_demonstrations_and_yardsticks(table):
    yardsticks = {"live shortest time": {"mean_reward": 780.0, "mean_travel_time_s": 510.0}}
    figure = learning_curve(table, yardsticks)
    reward, travel_time = figure.axes
    assert [line.get_label() for line in reward.lines] == ["agents", "demonstrations", "live shortest time"]
    assert np.array_equal(reward.lines[0].get_ydata(), table["mean_reward"])
    assert len(reward.lines[1].get_ydata()) == 4
    assert set(travel_time.lines[2].get_ydata()) == {510.0}


def test_learning_curve_does_without_demonstrations(table):
    without = {name: column for name, column in table.items() if not name.startswith("expert")}
    assert [line.get_label() for line in learning_curve(without, {}).axes[0].lines] == ["agents"]


def test_weight_has_an_axis_of_its_own(table):
    distance, weight = dtw_and_weight(table).axes
    assert np.array_equal(distance.lines[0].get_ydata(), table["dtw_m"])
    assert np.array_equal(weight.lines[0].get_ydata(), table["agent_weight"])


def test_map_draws_every_street_that_was_used(make_env):
    env = make_env()
    trips = list(run_episode(env, 0, live_shortest_time))
    experts, agents = routes_map(env.network, trips, trips[:1]).axes
    streets = {pair for trip in trips for pair in zip(trip.path(), trip.path()[1:], strict=False)}
    assert len(agents.collections[0].get_segments()) == env.network.num_edges
    assert len(agents.collections[1].get_segments()) == len(streets)
    assert len(experts.collections[1].get_segments()) == len(trips[0].path()) - 1
