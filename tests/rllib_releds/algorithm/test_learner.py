import numpy as np
import pytest
import torch

from rllib_releds import keys
from rllib_releds.algorithm.learner import clip_per_agent, explained_variance, minibatches
from rllib_releds.algorithm.networks import StackedNetwork


def block(lengths, width):
    return np.array([[1.0] * length + [0.0] * (width - length) for length in lengths], np.float32)


@pytest.mark.parametrize(
    ("own_lengths", "expert_lengths"), [((7, 1, 4), (0, 3, 5)), ((8, 8, 8), None), ((1, 0, 2), (1, 0, 0))]
)
def test_every_row_of_every_agent_is_seen_once_per_pass(own_lengths, expert_lengths):
    """Counted over 3 passes of 4 minibatches, for agents with very different numbers of rows."""
    own = block(own_lengths, 8)
    expert = np.zeros((3, 0), np.float32) if expert_lengths is None else block(expert_lengths, 8)
    zeros = np.zeros_like
    rows = {
        keys.OWN_ROWS: torch.tensor(np.concatenate([own, zeros(expert)], axis=1)),
        keys.EXPERT_ROWS: torch.tensor(np.concatenate([zeros(own), expert], axis=1)),
    }
    width = own.shape[1] + expert.shape[1]
    rows["number"] = torch.arange(3 * width).reshape(3, width)
    rng = np.random.default_rng(0)
    seen = np.zeros(3 * width)
    for _ in range(3):
        parts = list(minibatches(rows, 4, rng))
        assert len(parts) == 4
        for part in parts:
            marked = (part[keys.OWN_ROWS] + part[keys.EXPERT_ROWS]) > 0
            np.add.at(seen, part["number"][marked].numpy(), 1)
    marked = (rows[keys.OWN_ROWS] + rows[keys.EXPERT_ROWS]).numpy().ravel() > 0
    assert (seen[marked] == 3).all()
    assert (seen[~marked] == 0).all()


def test_rows_are_dealt_out_evenly_and_every_minibatch_has_its_share_of_demonstrations():
    own, expert = block((8, 6), 8), block((4, 8), 8)
    rows = {
        keys.OWN_ROWS: torch.tensor(np.concatenate([own, np.zeros_like(expert)], axis=1)),
        keys.EXPERT_ROWS: torch.tensor(np.concatenate([np.zeros_like(own), expert], axis=1)),
    }
    for part in minibatches(rows, 4, np.random.default_rng(0)):
        assert part[keys.OWN_ROWS].sum(-1)[0] == 2
        assert part[keys.OWN_ROWS].sum(-1)[1] in (1, 2)
        assert part[keys.EXPERT_ROWS].sum(-1).tolist() == [1, 2]


def test_own_and_demonstrated_rows_are_dealt_out_by_themselves_though_there_are_fewer_of_these():
    own, expert = block((8, 8), 8), block((4, 4), 4)
    rows = {
        keys.OWN_ROWS: torch.tensor(np.hstack([own, np.zeros_like(expert)])),
        keys.EXPERT_ROWS: torch.tensor(np.hstack([np.zeros_like(own), expert])),
    }
    for part in minibatches(rows, 4, np.random.default_rng(0)):
        assert part[keys.OWN_ROWS].sum(-1).tolist() == [2, 2]
        assert part[keys.EXPERT_ROWS].sum(-1).tolist() == [1, 1]


def test_order_follows_from_the_generator():
    rows = {
        keys.OWN_ROWS: torch.ones(2, 8),
        keys.EXPERT_ROWS: torch.zeros(2, 8),
        "number": torch.arange(16).reshape(2, 8),
    }

    def order(seed):
        return torch.cat([part["number"] for part in minibatches(rows, 4, np.random.default_rng(seed))], dim=1)

    assert torch.equal(order(1), order(1))
    assert not torch.equal(order(1), order(2))


@pytest.fixture
def network():
    network = StackedNetwork(
        num_agents=2,
        num_features=3,
        num_junctions=0,
        num_outputs=2,
        hidden_size=4,
        head_gain=1.0,
        generator=torch.Generator().manual_seed(0),
    )
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
        parameter.grad[0] *= 1e-3
    return network


def norms(network):
    return torch.stack([p.grad.flatten(1).square().sum(1) for p in network.parameters()]).sum(0).sqrt()


def test_gradients_are_clipped_per_agent(network):
    before = norms(network)
    clip_per_agent(network, 0.5)
    after = norms(network)
    assert after[0] == before[0] < 0.5
    assert after[1] == pytest.approx(0.5)


def test_clipping_can_be_switched_off(network):
    before = norms(network)
    clip_per_agent(network, None)
    assert torch.equal(norms(network), before)


def test_a_gradient_that_is_not_finite_names_the_agent(network):
    network.head_weight.grad[1, 0, 0] = float("nan")
    with pytest.raises(FloatingPointError, match=r"agents \[1\]"):
        clip_per_agent(network, 0.5)


def test_explained_variance_is_1_for_perfect_values_and_0_for_constant_ones():
    targets = torch.tensor([[1.0, 2.0, 4.0, 99.0]] * 3)
    rows = torch.tensor([[1.0, 1.0, 1.0, 0.0]] * 3)
    values = torch.stack([targets[0], torch.full((4,), 7.0), targets[0]])
    targets[2, :3] = 5.0
    torch.testing.assert_close(explained_variance(targets, values, rows), torch.tensor([1.0, 0.0, 0.0]))
