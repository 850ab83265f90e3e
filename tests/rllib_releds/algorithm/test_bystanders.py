"""Agents that have nothing to imitate, while others do."""

from __future__ import annotations

import pytest
import torch

from rllib_releds.algorithm.bystanders import Bystanders

IDLE = torch.tensor([True, False, True])


def stacked() -> tuple[torch.nn.Parameter, torch.optim.Adam]:
    """Weights of three agents, each in a row."""
    weights = torch.nn.Parameter(torch.arange(6.0).reshape(3, 2))
    return weights, torch.optim.Adam([weights], lr=0.1)


def step(weights: torch.nn.Parameter, optimizer: torch.optim.Adam, gradient: torch.Tensor) -> None:
    weights.grad = gradient
    optimizer.step()


def test_weights_and_moments_of_bystanders_stay():
    weights, optimizer = stacked()
    step(weights, optimizer, torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    before, state = weights.detach().clone(), {k: v.clone() for k, v in optimizer.state[weights].items()}
    bystanders = Bystanders(optimizer, IDLE)
    for _ in range(5):
        step(weights, optimizer, torch.tensor([[0.0, 0.0], [1e-4, 1e-4], [0.0, 0.0]]))
    moved = weights.detach().clone()
    bystanders.restore()
    bystanders.renew_adam_of_the_others()
    assert torch.equal(weights[IDLE], before[IDLE])
    assert torch.equal(weights[~IDLE], moved[~IDLE])
    assert not torch.equal(moved, before)
    for name in ("exp_avg", "exp_avg_sq"):
        assert torch.equal(optimizer.state[weights][name][IDLE], state[name][IDLE])


def test_bystanders_learn_on_as_if_nobody_had_imitated():
    draw = torch.Generator().manual_seed(0)
    gradients = [torch.randn(3, 2, generator=draw) for _ in range(60)]
    ends = []
    for imitates in (False, True):
        weights, optimizer = stacked()
        for gradient in gradients[:40]:
            step(weights, optimizer, gradient)
        if imitates:
            bystanders = Bystanders(optimizer, IDLE)
            for _ in range(320):
                step(weights, optimizer, torch.where(IDLE[:, None], 0.0, 0.1).expand(3, 2))
            bystanders.restore()
            bystanders.renew_adam_of_the_others()
        for gradient in gradients[40:]:
            step(weights, optimizer, gradient)
        ends.append(weights.detach()[IDLE])
    assert torch.equal(*ends)


def test_who_imitated_goes_on_with_steps_of_usual_size():
    weights, optimizer = stacked()
    usual = torch.tensor([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]])
    for _ in range(1000):
        step(weights, optimizer, usual)
    bystanders = Bystanders(optimizer, IDLE)
    for _ in range(1000):
        step(weights, optimizer, torch.where(IDLE[:, None], 0.0, 1e-6).expand(3, 2))
    bystanders.restore()
    bystanders.renew_adam_of_the_others()
    before = weights.detach().clone()
    for _ in range(50):
        step(weights, optimizer, usual)
    moved = (weights.detach() - before).abs()
    assert (moved[~IDLE] <= 1.1 * moved[IDLE].max()).all()


@pytest.mark.parametrize(
    ("updates_before", "idle"), [(0, [False] * 3), (0, [True, False, True]), (5, [False] * 3)], ids=str
)
def test_adam_begins_anew_if_there_is_nothing_to_keep(updates_before, idle):
    weights, optimizer = stacked()
    for _ in range(updates_before):
        step(weights, optimizer, torch.ones(3, 2))
    bystanders = Bystanders(optimizer, torch.tensor(idle))
    step(weights, optimizer, torch.ones(3, 2))
    bystanders.restore()
    bystanders.renew_adam_of_the_others()
    assert not optimizer.state
    step(weights, optimizer, torch.ones(3, 2))
    assert torch.isfinite(weights).all()
