from types import SimpleNamespace

import numpy as np
import pytest

from rllib_releds.experiments.regret import agent_results, regret
from sumo_marl_env import Trip


def test_regret_is_paired_and_against_the_best_yardstick():
    slow, fast = [300.0, 400.0, 500.0], [200.0, 300.0, 400.0]
    found = regret([210.0, 310.0, 413.0], {"slow": slow, "fast": fast})
    assert found is not None
    assert (found.yardstick, found.yardstick_s) == ("fast", 300.0)
    assert found.mean_s == pytest.approx(11.0)
    assert found.share == pytest.approx(11.0 / 300.0)
    # Differences 10, 10, 13: standard error 1, and 4.303 of them to each side with two degrees of freedom.
    assert (found.low_s, found.high_s) == pytest.approx((11.0 - 4.303, 11.0 + 4.303), abs=1e-3)


def test_traffic_that_slows_everybody_is_no_regret():
    traffic = np.random.default_rng(0).normal(500.0, 100.0, 20)
    found = regret((traffic - 7.0).tolist(), {"live": traffic.tolist()})
    assert found is not None
    assert (found.low_s, found.mean_s, found.high_s) == pytest.approx((-7.0, -7.0, -7.0))


def test_one_episode_has_no_interval():
    found = regret([210.0], {"live": [200.0]})
    assert found is not None
    assert (found.mean_s, found.low_s, found.high_s) == (10.0, None, None)


def test_without_yardsticks_there_is_no_regret():
    assert regret([210.0], {}) is None


def test_each_agent_is_described_by_its_own_trips_and_against_what_is_best_for_it():
    network = SimpleNamespace(junction_xy=np.array([[0.0, 0.0], [7.0, 7.0], [300.0, 400.0]]))
    scenario = SimpleNamespace(network=network, trips=(Trip("vehicle_0", 0, 2, 0), Trip("vehicle_1", 1, 0, 0)))

    def episode(*times_s):
        """A negative time is that of a vehicle that did not arrive."""
        trips = [SimpleNamespace(travel_time_s=abs(time_s), arrived=time_s > 0) for time_s in times_s]
        return {f"vehicle_{agent}": trip for agent, trip in enumerate(trips)}

    yardsticks = {"north": [episode(80.0, 999.0)] * 2, "south": [episode(999.0, 450.0)] * 2}
    first, second = agent_results(scenario, [episode(100.0, -900.0), episode(300.0, 500.0)], yardsticks)
    assert (first.arrival_rate, second.arrival_rate) == (1.0, 0.5)
    assert (first.mean_travel_time_s, second.mean_travel_time_s) == (200.0, 700.0)
    assert first.sd_travel_time_s == pytest.approx(100.0 * np.sqrt(2.0))
    assert (first.origin, first.destination, first.distance_m) == (0, 2, 500.0)
    assert [(one.regret.yardstick, one.regret.mean_s) for one in (first, second)] == [
        ("north", 120.0),
        ("south", 250.0),
    ]
