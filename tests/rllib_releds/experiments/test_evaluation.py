"""Policies as drivers, without a simulation."""

from types import SimpleNamespace

import numpy as np

from rllib_releds.experiments.evaluation import PolicyDriver

AGENTS = ["vehicle_0", "vehicle_1", "vehicle_2"]


def probabilities(rows, observations, masks):
    """Each agent prefers the slot of its own number, and now and then takes the one before it."""
    assert (observations[:, 0] == rows).all()
    likely = 0.7 * np.eye(3)[rows] + 0.3 * np.eye(3)[rows - 1]
    return likely * masks / (likely * masks).sum(axis=1, keepdims=True)


def seen(agent: str, mask=(1, 1, 1)) -> dict[str, np.ndarray]:
    return {"observation": np.array([AGENTS.index(agent)], np.float32), "action_mask": np.array(mask, np.int8)}


def drive(seed: int, *, is_greedy: bool, mask=(1, 1, 1), decisions: int = 200, order=AGENTS) -> np.ndarray:
    """(decisions, agents) slots."""
    driver = PolicyDriver(SimpleNamespace(probabilities=probabilities), AGENTS, is_greedy=is_greedy)
    env = SimpleNamespace(possible_agents=order, observe=lambda agent: seen(agent, mask))
    driver.begin(env, seed)
    return np.array([[driver.act(env, agent) for agent in AGENTS] for _ in range(decisions)])


def test_each_agent_is_driven_by_its_own_policy():
    assert drive(0, is_greedy=True, decisions=3).tolist() == [[0, 1, 2]] * 3
    shares = (drive(0, is_greedy=False) == [0, 1, 2]).mean(axis=0)
    assert (np.abs(shares - 0.7) < 0.12).all()


def test_an_agents_policy_is_that_of_its_name_wherever_it_stands():
    assert drive(0, is_greedy=True, decisions=1, order=AGENTS[::-1]).tolist() == [[0, 1, 2]]


def test_agents_of_other_names_get_policies_by_their_position():
    driver = PolicyDriver(SimpleNamespace(probabilities=lambda rows, *_: np.eye(3)[rows]), AGENTS, is_greedy=True)
    observed = {"observation": np.zeros(1), "action_mask": np.ones(3, np.int8)}
    env = SimpleNamespace(possible_agents=["bus", "tram", "van"], observe=lambda agent: observed)
    driver.begin(env, 0)
    assert [driver.act(env, agent) for agent in env.possible_agents] == [0, 1, 2]


def test_slots_that_are_masked_out_are_never_taken():
    for is_greedy in (True, False):
        assert (drive(0, is_greedy=is_greedy, mask=(0, 1, 1)) > 0).all()


def test_what_is_drawn_follows_from_the_seed():
    first, again, other = (drive(seed, is_greedy=False) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
