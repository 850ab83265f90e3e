import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from ray.rllib.core.columns import Columns

from rllib_releds import keys
from rllib_releds.algorithm.connectors import MAX_EXPERT_ADVANTAGE, TrainingTargets
from rllib_releds.algorithm.joint import JointSteps
from rllib_releds.algorithm.returns import lambda_returns
from sumo_marl_env import Exit

GAMMA, LAMBDA, SCALE = 0.9, 0.8, 0.01


@pytest.fixture
def run(make_module):
    independent = make_module()

    def run(
        rollouts, expert_advantage="agent_value", num_minibatches=4, standardise_advantages=True, module=independent
    ):
        connector = TrainingTargets(
            gamma=GAMMA,
            lambda_=LAMBDA,
            reward_scale=SCALE,
            expert_advantage=expert_advantage,
            num_minibatches=num_minibatches,
            standardise_advantages=standardise_advantages,
        )
        batch = connector(rl_module={keys.MODULE_ID: module}, batch={}, episodes=rollouts)[keys.MODULE_ID]
        return {name: column.numpy() for name, column in batch.items()}, module

    return run


def values_of(module, agent, observations, masks, *, of_expert=False):
    """V of one agent's rows, each evaluated in its agent's network."""
    with torch.no_grad():
        encoded = module.encoder(
            *(torch.tensor(column).expand(module.num_agents, *column.shape) for column in (observations, masks))
        )
        values = module.expert_values(encoded) if of_expert else module.agent_values(encoded)
        return values[agent].numpy()


def expected_returns(module, rollout, agent, *, of_expert=False):
    trip = rollout.episode.trajectories[agent]
    values = values_of(module, agent, trip.observations, trip.action_masks, of_expert=of_expert)
    last = values_of(
        module, agent, rollout.final_observations[[agent]], rollout.final_masks[[agent]], of_expert=of_expert
    )[0]
    final = 0.0 if trip.exit == Exit.ARRIVED else float(last)
    return lambda_returns(trip.rewards * np.float32(SCALE), values, final, gamma=GAMMA, lambda_=LAMBDA), values


def own_columns(batch, agent, name):
    return batch[name][agent][batch[keys.OWN_ROWS][agent] > 0]


def expert_columns(batch, agent, name):
    return batch[name][agent][batch[keys.EXPERT_ROWS][agent] > 0]


def test_rows_are_grouped_by_agent_and_padded_to_whole_minibatches(run, make_rollout):
    batch, _ = run([make_rollout((5, 3, 4), seed=1), make_rollout((1, 2, 0), seed=2)])
    assert batch[keys.OWN_ROWS].sum(axis=1).tolist() == [6, 5, 4]
    assert batch[keys.OWN_ROWS].shape == (3, 8)
    assert not batch[keys.EXPERT_ROWS].any()


def test_own_targets_are_returns_of_scaled_rewards_bootstrapped_unless_the_agent_arrived(run, make_rollout):
    rollout = make_rollout(exits=(Exit.ARRIVED, Exit.HORIZON, Exit.LOST))
    batch, module = run([rollout])
    for agent in range(3):
        returns, _ = expected_returns(module, rollout, agent)
        np.testing.assert_allclose(own_columns(batch, agent, keys.VALUE_TARGETS), returns, rtol=1e-4, atol=1e-5)


def test_each_of_several_episodes_is_bootstrapped_with_its_own_end(run, make_rollout):
    rollouts = [make_rollout(exits=(exit,) * 3, seed=seed) for seed, exit in enumerate((Exit.HORIZON, Exit.LOST))]
    batch, module = run(rollouts)
    for agent in range(3):
        returns = np.concatenate([expected_returns(module, rollout, agent)[0] for rollout in rollouts])
        np.testing.assert_allclose(own_columns(batch, agent, keys.VALUE_TARGETS), returns, rtol=1e-4, atol=1e-5)


def test_own_advantages_are_standardised_per_agent(run, make_rollout):
    batch, _ = run([make_rollout(seed=1), make_rollout(seed=2)])
    for agent in range(3):
        advantages = own_columns(batch, agent, keys.ADVANTAGES)
        assert advantages.mean() == pytest.approx(0.0, abs=1e-5)
        assert advantages.std() == pytest.approx(1.0, abs=1e-3)


def test_old_log_probabilities_are_those_of_the_current_weights_for_both_sources(run, make_rollout):
    own, expert = make_rollout(seed=1), make_rollout(seed=2, expert=(0, 2))
    batch, module = run([own, expert])
    for rollout, select, agents in ((own, own_columns, (0, 1, 2)), (expert, expert_columns, (0, 2))):
        for agent in agents:
            trip = rollout.episode.trajectories[agent]
            policy = module.single_policy(agent)
            logits = policy.logits(torch.tensor(trip.observations), torch.tensor(trip.action_masks))
            logps = logits.log_softmax(-1)[np.arange(len(trip.actions)), trip.actions.tolist()]
            np.testing.assert_allclose(select(batch, agent, Columns.ACTION_LOGP), logps.detach(), atol=1e-5)


def test_only_agents_with_a_demonstration_that_worked_have_expert_rows(run, make_rollout):
    batch, _ = run([make_rollout(seed=1), make_rollout(seed=2, expert=(0, 1), failed=(1,))])
    assert batch[keys.EXPERT_ROWS].sum(axis=1).tolist() == [5, 0, 0]


@pytest.mark.parametrize("rule", ["agent_value", "paper"])
def test_expert_advantages_are_measured_in_deviations_of_the_agents_own_and_clamped(run, make_rollout, rule):
    own, expert = make_rollout(seed=1), make_rollout(seed=2, expert=(0, 1, 2))
    batch, module = run([own, expert], rule)
    for agent in range(3):
        own_returns, own_values = expected_returns(module, own, agent)
        deviation = (own_returns - own_values).std()
        returns, expert_values = expected_returns(module, expert, agent, of_expert=True)
        trip = expert.episode.trajectories[agent]
        agent_values = values_of(module, agent, trip.observations, trip.action_masks)
        baseline = expert_values if rule == "paper" else agent_values
        expected = np.clip((returns - baseline) / deviation, -MAX_EXPERT_ADVANTAGE, MAX_EXPERT_ADVANTAGE)
        np.testing.assert_allclose(expert_columns(batch, agent, keys.ADVANTAGES), expected, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(expert_columns(batch, agent, keys.VALUE_TARGETS), returns, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("length", [0, 1])
def test_an_agent_too_seldom_asked_to_have_a_deviation_takes_that_of_the_others(run, make_rollout, length):
    own, expert = make_rollout(lengths=(5, 4, length), seed=1), make_rollout(seed=2, expert=(2,))
    batch, module = run([own, expert], "agent_value")
    own_advantages = [np.subtract(*expected_returns(module, own, agent)) for agent in (0, 1)]
    deviation = np.mean([advantages.std() for advantages in own_advantages])
    returns, _ = expected_returns(module, expert, 2, of_expert=True)
    trip = expert.episode.trajectories[2]
    difference = returns - values_of(module, 2, trip.observations, trip.action_masks)
    expected = np.clip(difference / deviation, -MAX_EXPERT_ADVANTAGE, MAX_EXPERT_ADVANTAGE)
    np.testing.assert_allclose(expert_columns(batch, 2, keys.ADVANTAGES), expected, rtol=1e-3, atol=1e-3)


def test_one_demonstration_far_better_or_worse_counts_as_five_deviations(run, make_rollout):
    expert = make_rollout(seed=2, expert=(0, 1, 2))
    trips = tuple(
        replace(trip, rewards=np.full_like(trip.rewards, earned))
        for trip, earned in zip(expert.episode, (1e6, -1e6, 0.0), strict=True)
    )
    batch, _ = run([make_rollout(seed=1), replace(expert, episode=replace(expert.episode, trajectories=trips))])
    assert (expert_columns(batch, 0, keys.ADVANTAGES) == 5.0).all()
    assert (expert_columns(batch, 1, keys.ADVANTAGES) == -5.0).all()
    assert (np.abs(expert_columns(batch, 2, keys.ADVANTAGES)) < 5.0).all()


def test_unstandardised_advantages_are_returns_less_values(run, make_rollout):
    own, expert = make_rollout(seed=1), make_rollout(seed=2, expert=(0, 1, 2))
    batch, module = run([own, expert], "paper", standardise_advantages=False)
    for agent in range(3):
        for rollout, select, of_expert in ((own, own_columns, False), (expert, expert_columns, True)):
            returns, values = expected_returns(module, rollout, agent, of_expert=of_expert)
            np.testing.assert_allclose(select(batch, agent, keys.ADVANTAGES), returns - values, rtol=1e-3, atol=1e-5)


def test_behaviour_cloning_values_every_demonstrated_action_alike(run, make_rollout):
    batch, _ = run([make_rollout(seed=1), make_rollout(seed=2, expert=(0,))], "behaviour_cloning")
    assert (expert_columns(batch, 0, keys.ADVANTAGES) == 1).all()


def test_rollouts_are_not_changed_and_give_the_same_batch_again(run, make_rollout):
    rollouts = [make_rollout(seed=1), make_rollout(seed=2, expert=(0, 1))]
    before = copy.deepcopy(rollouts)
    first, _ = run(rollouts)
    second, _ = run(rollouts)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    for old, new in zip(before, rollouts, strict=True):
        for a, b in zip(old.episode, new.episode, strict=True):
            np.testing.assert_array_equal(a.observations, b.observations)
            np.testing.assert_array_equal(a.rewards, b.rewards)


def test_agent_without_any_decision_gets_padding_only(run, make_rollout):
    batch, _ = run([make_rollout((4, 0, 2))])
    assert batch[keys.OWN_ROWS][1].sum() == 0
    assert all(np.isfinite(column).all() for column in batch.values() if column.dtype.kind == "f")


def test_without_agent_episodes_demonstrated_rows_carry_their_plain_discounted_returns(run, make_rollout):
    rollout = make_rollout(expert=(0, 2), exits=(Exit.ARRIVED, Exit.ARRIVED, Exit.HORIZON))
    batch, module = run([rollout])
    assert not batch[keys.OWN_ROWS].any()
    assert batch[keys.EXPERT_ROWS].sum(axis=1).tolist() == [5, 0, 4]
    for agent in (0, 2):
        rewards = rollout.episode.trajectories[agent].rewards * np.float32(SCALE)
        seen = module, agent, rollout.final_observations[[agent]], rollout.final_masks[[agent]]
        # V^a stands for the rest of a trip that was cut off.
        rewards = [*rewards, values_of(*seen)[0] if agent == 2 else 0.0]
        expected = [sum(GAMMA**k * reward for k, reward in enumerate(rewards[row:])) for row in range(len(rewards) - 1)]
        np.testing.assert_allclose(expert_columns(batch, agent, keys.VALUE_TARGETS), expected, rtol=1e-4)


def test_a_central_critic_values_what_the_team_was_in_at_each_decision_and_at_the_end(run, make_module, make_rollout):
    module = make_module(central_critic=True)
    rollout = make_rollout(exits=(Exit.ARRIVED, Exit.HORIZON, Exit.LOST))
    steps, num_agents = len(rollout), module.num_agents
    rng = np.random.default_rng(0)
    states = rng.random((steps + 1, 4 * num_agents + len(module.state_encoder.edge_ends))).astype(np.float32)
    states[:, 0 : 4 * num_agents : 4] = rng.integers(0, 5, (steps + 1, num_agents))
    states[:, 1 : 4 * num_agents : 4] = rng.integers(0, 5, (steps + 1, num_agents))
    nothing = np.zeros((steps + 1, num_agents, 1))
    joint = JointSteps(states, nothing, nothing, nothing, nothing[1:])
    batch, _ = run([replace(rollout, joint=joint)], module=module)
    for agent, trip in enumerate(rollout.episode):
        seen = np.concatenate([trip.observations, rollout.final_observations[[agent]]])
        masks = np.concatenate([trip.action_masks, rollout.final_masks[[agent]]])
        team = states[[*trip.decision_steps, -1]]
        rows = (torch.tensor(column).expand(num_agents, *column.shape) for column in (seen, masks, team))
        with torch.no_grad():
            encoded = module.encoder(next(rows), next(rows))
            values = module.agent_values(encoded, next(rows))[agent].numpy()
        final = 0.0 if trip.exit == Exit.ARRIVED else float(values[-1])
        rewards = trip.rewards * np.float32(SCALE)
        returns = lambda_returns(rewards, values[:-1], final, gamma=GAMMA, lambda_=LAMBDA)
        np.testing.assert_allclose(own_columns(batch, agent, keys.VALUE_TARGETS), returns, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(own_columns(batch, agent, keys.STATES), team[:-1])
