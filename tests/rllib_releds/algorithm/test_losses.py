"""Every term of the hybrid loss, recomputed row by row in NumPy."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from rllib_releds.algorithm.losses import LossInputs, LossTerms, hybrid_loss, imitation_loss

CLIP, ENTROPY, VALUE = 0.2, 0.03, 0.5
SETTINGS = {
    "clip_param": CLIP,
    "entropy_coeff": ENTROPY,
    "vf_loss_coeff": VALUE,
    "is_cloning": False,
    "surrogate": "ppo",
}


@pytest.fixture
def inputs() -> LossInputs:
    """3 agents, 6 rows, 4 slots: own rows, expert rows, padding; the last agent has no expert row."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1, (3, 6, 4))
    logits[:, :, 3] = np.where(rng.random((3, 6)) < 0.5, -1e9, logits[:, :, 3])
    source = np.array([[1, 1, 1, 2, 2, 0], [1, 0, 0, 2, 0, 0], [1, 1, 1, 1, 0, 0]])

    def column(scale: float = 1.0) -> torch.Tensor:
        return torch.tensor(rng.normal(0, scale, (3, 6)), dtype=torch.float64)

    return LossInputs(
        logits=torch.tensor(logits),
        actions=torch.tensor(rng.integers(0, 3, (3, 6))),
        old_logps=-column().abs(),
        advantages=column(),
        agent_values=column(),
        expert_values=column(),
        value_targets=column(),
        own_rows=torch.tensor(source == 1, dtype=torch.float64),
        expert_rows=torch.tensor(source == 2, dtype=torch.float64),
        agent_weights=torch.tensor([0.3, 0.8, 1.0], dtype=torch.float64),
    )


def recomputed(inputs: LossInputs, agent: int, is_cloning: bool, is_printed: bool = False) -> dict[str, float]:
    row = {field.name: getattr(inputs, field.name)[agent].numpy() for field in fields(LossInputs)}
    sums = {name: [] for name in ("agent_policy", "expert_policy", "entropy", "agent_value", "expert_value")}
    for k in range(row["logits"].shape[0]):
        weights = np.exp(row["logits"][k] - row["logits"][k].max())
        probabilities = weights / weights.sum()
        logp = np.log(probabilities[row["actions"][k]])
        ratio, advantage = np.exp(logp - row["old_logps"][k]), row["advantages"][k]
        clipped = np.clip(ratio, 1 - CLIP, 1 + CLIP)
        surrogate = min(ratio, clipped) * advantage if is_printed else min(ratio * advantage, clipped * advantage)
        if row["own_rows"][k]:
            positive = probabilities[probabilities > 0]
            sums["agent_policy"].append(-surrogate)
            sums["entropy"].append(-(positive * np.log(positive)).sum())
            sums["agent_value"].append((row["agent_values"][k] - row["value_targets"][k]) ** 2)
        if row["expert_rows"][k]:
            sums["expert_policy"].append(-logp if is_cloning else -surrogate)
            sums["expert_value"].append((row["expert_values"][k] - row["value_targets"][k]) ** 2)
    terms = {name: float(np.mean(values)) if values else 0.0 for name, values in sums.items()}
    weight = float(row["agent_weights"])
    terms["policy"] = weight * terms["agent_policy"] + (1 - weight) * terms["expert_policy"]
    terms["total"] = (
        terms["policy"] - ENTROPY * terms["entropy"] + VALUE * (terms["agent_value"] + terms["expert_value"])
    )
    return terms


@pytest.mark.parametrize(("is_cloning", "surrogate"), [(False, "ppo"), (True, "ppo"), (False, "printed")])
def test_every_term_and_the_total_equal_their_numpy_recomputation(inputs, is_cloning, surrogate):
    terms = hybrid_loss(inputs, **{**SETTINGS, "is_cloning": is_cloning, "surrogate": surrogate})
    for agent in range(3):
        for name, expected in recomputed(inputs, agent, is_cloning, surrogate == "printed").items():
            assert float(getattr(terms, name)[agent]) == pytest.approx(expected, abs=1e-9), (name, agent)


def test_agent_weight_1_leaves_the_agent_loss_alone_and_0_the_expert_loss(inputs):
    own = hybrid_loss(replace(inputs, agent_weights=torch.ones(3)), **SETTINGS)
    expert = hybrid_loss(replace(inputs, agent_weights=torch.zeros(3)), **SETTINGS)
    torch.testing.assert_close(own.policy, own.agent_policy)
    torch.testing.assert_close(expert.policy, expert.expert_policy)


def test_padded_rows_change_no_term_and_no_gradient(inputs):
    changed = {}
    for name in ("logits", "old_logps", "advantages", "agent_values", "expert_values", "value_targets"):
        column = getattr(inputs, name).clone()
        column[(inputs.own_rows + inputs.expert_rows) == 0] = 7.0
        changed[name] = column
    logits = changed["logits"].requires_grad_()
    before, after = hybrid_loss(inputs, **SETTINGS), hybrid_loss(replace(inputs, **changed), **SETTINGS)
    for field in fields(LossTerms):
        torch.testing.assert_close(getattr(before, field.name), getattr(after, field.name))
    after.total.sum().backward()
    assert (logits.grad[(inputs.own_rows + inputs.expert_rows) == 0] == 0).all()


def test_entropy_counts_own_rows_only(inputs):
    logits = inputs.logits.clone()
    logits[inputs.expert_rows > 0] = torch.tensor([50.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    changed = hybrid_loss(replace(inputs, logits=logits), **SETTINGS)
    torch.testing.assert_close(changed.entropy, hybrid_loss(inputs, **SETTINGS).entropy)


def test_without_expert_values_their_loss_is_zero(inputs):
    terms = hybrid_loss(replace(inputs, expert_values=None), **SETTINGS)
    assert (terms.expert_value == 0).all()
    none = replace(inputs, expert_values=None, expert_rows=torch.zeros_like(inputs.expert_rows))
    assert (imitation_loss(none, vf_loss_coeff=VALUE).total == 0).all()


def test_masked_slots_leave_loss_and_gradient_finite(inputs):
    logits = torch.full_like(inputs.logits, -1e9)
    logits[..., 0] = 0.0
    logits.requires_grad_()
    terms = hybrid_loss(replace(inputs, logits=logits, actions=torch.zeros_like(inputs.actions)), **SETTINGS)
    terms.total.sum().backward()
    assert torch.isfinite(terms.total).all()
    assert torch.isfinite(logits.grad).all()


def test_imitation_fits_policy_and_both_values_to_the_demonstrated_rows_alone(inputs):
    terms = imitation_loss(inputs, vf_loss_coeff=VALUE)
    for agent in range(3):
        row = recomputed(inputs, agent, is_cloning=True)
        assert float(terms.policy[agent]) == pytest.approx(row["expert_policy"])
        assert float(terms.expert_value[agent]) == pytest.approx(row["expert_value"])
        demonstrated = inputs.expert_rows[agent] > 0
        errors = (inputs.agent_values - inputs.value_targets)[agent][demonstrated].square()
        expected = float(errors.mean()) if len(errors) else 0.0
        assert float(terms.agent_value[agent]) == pytest.approx(expected)
        total = row["expert_policy"] + VALUE * (expected + row["expert_value"])
        assert float(terms.total[agent]) == pytest.approx(total)


def test_the_entropy_of_an_imitation_is_that_of_the_rows_it_imitates(inputs):
    own = imitation_loss(replace(inputs, expert_rows=inputs.own_rows), vf_loss_coeff=VALUE)
    torch.testing.assert_close(own.entropy, hybrid_loss(inputs, **SETTINGS).entropy)
