from types import SimpleNamespace

import numpy as np
import pytest
import torch
from made_up import NUM_AGENTS, NUM_JUNCTIONS, NUM_SLOTS, random_observations
from ray.rllib.core.columns import Columns

from rllib_releds.algorithm.encoder import RoutingEncoder
from rllib_releds.algorithm.inference import choose
from rllib_releds.algorithm.module import MASKED_LOGIT
from rllib_releds.algorithm.networks import SingleNetwork, StackedNetwork

ENCODERS = ["combined", "features", "one_hot", "raw"]


@pytest.fixture
def rows(tables):
    """20 rows per agent: (n, 20, obs_dim), (n, 20, m_out)."""
    rng = np.random.default_rng(1)
    columns = [random_observations(rng, tables, agent, 20) for agent in range(NUM_AGENTS)]
    observations, masks = zip(*columns, strict=True)
    return np.array(observations), np.array(masks)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_rows_of_mixed_agents_get_the_logits_of_their_own_agent(make_module, rows, encoder):
    module = make_module(encoder)
    observations, masks = (torch.from_numpy(column) for column in rows)
    encoded = module.encoder(observations, masks)
    assert encoded.features.shape == (NUM_AGENTS, 20, module.encoder.num_features)
    grouped = module.logits(encoded, masks)
    order = torch.randperm(NUM_AGENTS * 20)
    mixed = module._forward(
        {
            Columns.OBS: {
                "observation": observations.flatten(0, 1)[order],
                "action_mask": masks.flatten(0, 1)[order],
                "agent_index": torch.arange(NUM_AGENTS).repeat_interleave(20)[order],
            }
        }
    )[Columns.ACTION_DIST_INPUTS]
    torch.testing.assert_close(mixed, grouped.flatten(0, 1)[order])


@pytest.mark.parametrize("encoder", ENCODERS)
def test_fast_policies_give_the_modules_probabilities(make_module, rows, encoder):
    module = make_module(encoder)
    observations, masks = rows
    logits = module.logits(module.encoder(*map(torch.from_numpy, rows)), torch.from_numpy(masks))
    agents = np.repeat(np.arange(NUM_AGENTS), 20)
    fast = module.sampling_policies()
    probabilities = fast.probabilities(agents, observations.reshape(60, -1), masks.reshape(60, -1))
    expected = logits.softmax(-1).flatten(0, 1).detach().numpy()
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    actions = masks[1].argmax(axis=1)
    logps = fast.log_probabilities(1, observations[1], masks[1], actions)
    np.testing.assert_allclose(logps, np.log(expected[20:40][np.arange(20), actions]), atol=1e-5)


def test_fast_policies_follow_new_weights(make_module, rows):
    module, other = make_module(seed=1), make_module(seed=2)
    fast = module.sampling_policies()
    module.set_state(other.get_state())
    arguments = np.zeros(20, np.int64), rows[0][0], rows[1][0]
    np.testing.assert_array_equal(fast.probabilities(*arguments), other.sampling_policies().probabilities(*arguments))


def test_masked_slots_are_never_chosen(make_module, rows):
    module = make_module()
    observations, masks = rows[0].reshape(60, -1), rows[1].reshape(60, -1)
    probabilities = module.sampling_policies().probabilities(np.zeros(60, np.int64), observations, masks)
    assert (probabilities[masks == 0] == 0).all()
    rng = np.random.default_rng(0)
    for _ in range(50):
        assert masks[np.arange(60), choose(probabilities, rng)].all()
    assert masks[np.arange(60), choose(probabilities, None)].all()


def test_drawn_actions_have_the_given_probabilities():
    probabilities = np.tile([0.2, 0.0, 0.5, 0.3], (20000, 1))
    counts = np.bincount(choose(probabilities, np.random.default_rng(0)), minlength=4) / 20000
    np.testing.assert_allclose(counts, probabilities[0], atol=0.02)


def test_one_agents_policy_can_be_exported_alone(make_module, rows):
    module = make_module()
    observations, masks = (torch.from_numpy(column) for column in rows)
    together = module.logits(module.encoder(observations, masks), masks)
    for agent in range(NUM_AGENTS):
        policy = module.single_policy(agent)
        torch.testing.assert_close(policy.logits(observations[agent], masks[agent]), together[agent])
        torch.testing.assert_close(policy(observations[agent], masks[agent]), together[agent].softmax(-1))
    assert (together[masks == 0] == MASKED_LOGIT).all()
    with pytest.raises(IndexError, match="no agent 3"):
        module.single_policy(NUM_AGENTS)


def test_policies_start_uniform_over_valid_slots_and_differ_between_agents(make_module, rows):
    module = make_module()
    masks = torch.from_numpy(rows[1])
    probabilities = module.logits(module.encoder(*map(torch.from_numpy, rows)), masks).softmax(-1)
    torch.testing.assert_close(probabilities, masks / masks.sum(-1, keepdim=True), atol=0.02, rtol=0)
    assert not torch.equal(module.policy.hidden_weight[0], module.policy.hidden_weight[1])


def test_module_for_sampling_has_no_value_networks(make_module, tables):
    module = make_module()
    names = module.get_state(inference_only=True)
    assert names
    assert all(name.startswith("policy.") for name in names)


def test_unknown_encoder_is_refused(tables):
    with pytest.raises(ValueError, match="unknown encoder 'pixels'; known: combined"):
        RoutingEncoder("pixels", tables)


@pytest.mark.parametrize("num_junctions", [0, NUM_JUNCTIONS])
def test_stacked_training_equals_training_n_separate_networks(num_junctions):
    """Same losses, Adam, and clipping per network: after 20 steps the weights agree."""
    from rllib_releds.algorithm.learner import clip_per_agent

    n, rows, features = 3, 12, 5
    stacked = StackedNetwork(
        num_agents=n,
        num_features=features,
        num_junctions=num_junctions,
        num_outputs=NUM_SLOTS,
        hidden_size=16,
        head_gain=1.0,
        generator=torch.Generator().manual_seed(0),
    ).double()
    alone = [SingleNetwork(stacked, agent).double() for agent in range(n)]
    settings = {"lr": 1e-2, "eps": 1e-5}
    stacked_optimizer = torch.optim.Adam(stacked.parameters(), fused=True, **settings)
    optimizers = [torch.optim.Adam(network.parameters(), **settings) for network in alone]
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        inputs = torch.randn(n, rows, features, generator=generator, dtype=torch.float64)
        junctions = torch.randint(0, NUM_JUNCTIONS, (n, rows), generator=generator)
        # Agents with gradients of very different size: a norm over all of them together would show.
        targets = torch.randn(n, rows, NUM_SLOTS, generator=generator, dtype=torch.float64)
        targets *= torch.tensor([0.01, 1.0, 100.0], dtype=torch.float64).view(-1, 1, 1)
        stacked_optimizer.zero_grad()
        (stacked(inputs, junctions) - targets).square().mean((1, 2)).sum().backward()
        clip_per_agent(stacked, 0.5)
        stacked_optimizer.step()
        for agent, (network, optimizer) in enumerate(zip(alone, optimizers, strict=True)):
            optimizer.zero_grad()
            (network(inputs[agent], junctions[agent]) - targets[agent]).square().mean().backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
            optimizer.step()
    for agent, network in enumerate(alone):
        together, single = SingleNetwork(stacked, agent).state_dict(), network.state_dict()
        for name, weight in single.items():
            torch.testing.assert_close(together[name].double(), weight, atol=1e-5, rtol=1e-4)


def test_rounding_draws_no_action_that_is_masked_out():
    row = np.array([[0.1] * 10 + [0.0]])
    assert row.cumsum()[-1] <= np.nextafter(1.0, 0.0), "so all of it lies below the draw"
    highest = SimpleNamespace(random=lambda rows: np.full(rows, np.nextafter(1.0, 0.0)))
    assert choose(row, highest) == [9]
