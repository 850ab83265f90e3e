"""What the mixing network makes of the agents' values before it has learnt anything."""

import torch

from rllib_releds.baselines.qmix_module import MixingNetwork

NUM_AGENTS, NUM_FEATURES = 10, 460


def slopes(seed: int) -> torch.Tensor:
    """(64, n) of Q_tot in each agent's value, in states as large as those of a town."""
    generator = torch.Generator().manual_seed(seed)
    mixer = MixingNetwork(NUM_AGENTS, NUM_FEATURES, generator)
    states = torch.rand(64, NUM_FEATURES, generator=generator)
    values = torch.zeros(64, NUM_AGENTS, requires_grad=True)
    mixer(states, values).sum().backward()
    assert values.grad is not None
    return values.grad


def test_no_agents_value_lowers_that_of_the_team():
    assert (slopes(0) >= 0.0).all()


def test_the_team_begins_near_the_mean_of_its_agents():
    for seed in range(3):
        total = slopes(seed).sum(dim=1)
        assert total.min() > 0.3
        assert total.max() < 3.0
