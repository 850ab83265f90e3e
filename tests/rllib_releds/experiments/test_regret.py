import numpy as np
import pytest

from rllib_releds.experiments.regret import regret


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
