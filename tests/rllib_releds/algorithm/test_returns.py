import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rllib_releds.algorithm.returns import lambda_returns

numbers = st.floats(-100, 100, width=32)
rows = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=12)
share = st.floats(0, 1)


@given(rows, numbers, share)
def test_lambda_1_is_the_discounted_sum_of_rewards(rows, final_value, gamma):
    rewards, values = np.array(rows, np.float32).T
    returns = lambda_returns(rewards, values, final_value, gamma=gamma, lambda_=1.0)
    n = len(rewards)
    for k in range(n):
        expected = sum(gamma ** (i - k) * float(rewards[i]) for i in range(k, n)) + gamma ** (n - k) * final_value
        assert np.isclose(returns[k], expected, rtol=1e-4, atol=1e-2)


@given(rows, numbers, share, share)
def test_returns_minus_values_is_the_sum_of_discounted_td_errors(rows, final_value, gamma, lambda_):
    rewards, values = np.array(rows, np.float64).T
    returns = lambda_returns(rewards, values, final_value, gamma=gamma, lambda_=lambda_)
    following = np.append(values[1:], final_value)
    errors = rewards + gamma * following - values
    n = len(rewards)
    for k in range(n):
        expected = sum((gamma * lambda_) ** (i - k) * errors[i] for i in range(k, n))
        assert np.isclose(returns[k] - values[k], expected, rtol=1e-4, atol=1e-2)


def test_arrival_bootstraps_with_0_and_truncation_with_the_value_of_what_was_seen_last():
    rewards, values = np.array([1.0], np.float32), np.array([5.0], np.float32)
    assert lambda_returns(rewards, values, 0.0, gamma=0.9, lambda_=0.95)[0] == 1.0
    np.testing.assert_allclose(lambda_returns(rewards, values, 10.0, gamma=0.9, lambda_=0.95)[0], 10.0)
