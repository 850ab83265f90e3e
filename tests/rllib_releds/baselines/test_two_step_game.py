"""QMIX and MAPPO on a problem with a known answer; see `two_step_game`."""

import gymnasium
import numpy as np
import pytest
import torch
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.utils.metrics.metrics_logger import MetricsLogger
from two_step_game import GAME_A, GAME_B, PAYOFF_B, START, TABLES, observation, play, state

from rllib_releds import keys
from rllib_releds.algorithm.config import RELEDConfig
from rllib_releds.algorithm.inference import choose
from rllib_releds.algorithm.module import RoutingModule
from rllib_releds.baselines.qmix import QMIXConfig
from rllib_releds.baselines.qmix_module import QMIXModule

AGENTS = np.arange(2)


class TwoStepQMIXConfig(QMIXConfig):
    team_discount = 0.99


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def build_learner(config, module_class, **model_config):
    observation_space = gymnasium.spaces.Dict({})
    action_space = gymnasium.spaces.Discrete(2)
    spec = RLModuleSpec(
        module_class=module_class,
        observation_space=observation_space,
        action_space=action_space,
        model_config={
            "num_agents": 2,
            "encoder": "one_hot",
            "tables": TABLES,
            "hidden_size": 64,
            "seed": 0,
            **model_config,
        },
    )
    specs = MultiRLModuleSpec(rl_module_specs={keys.MODULE_ID: spec})
    learner = config.get_default_learner_class()(config=config, module_spec=specs)
    learner.build()
    return learner


def test_qmix_finds_the_joint_action_that_independent_values_miss():
    config = TwoStepQMIXConfig().training(
        num_segments=32, segment_length=2, lambda_=0.0, reward_scale=1.0, lr=1e-3, num_updates=20, final_epsilon=1.0
    )
    learner = build_learner(config, QMIXModule)
    rng = np.random.default_rng(0)
    for epoch in range(40):
        games = [play(lambda _, masks: rng.integers(0, 2, len(masks)))[0] for _ in range(16)]
        learner.update(episodes=games, timesteps={keys.EPOCH: epoch})
    module = learner.routing_module
    module.epsilon.fill_(0.0)
    policies = module.sampling_policies()
    _, paid = play(lambda seen, masks: choose(policies.probabilities(AGENTS, seen, masks), None))
    assert paid == 8.0
    np.testing.assert_allclose(team_values(module, GAME_B), PAYOFF_B, atol=0.5)
    assert team_values(module, START)[0].max() == pytest.approx(0.99 * 7.0, abs=0.5)
    assert team_values(module, START)[1].max() == pytest.approx(0.99 * 8.0, abs=0.5)


@pytest.mark.parametrize("central_critic", [True, False], ids=["MAPPO", "IPPO"])
def test_policy_gradients_find_the_best_game(central_critic):
    """They begin with the safe 7 of game A, and come to 8 as long as they still try game B now and then."""
    config = RELEDConfig().training(central_critic=central_critic, reward_scale=0.1)
    learner = build_learner(config, RoutingModule, central_critic=central_critic)
    policies = learner.routing_module.sampling_policies()
    rng = np.random.default_rng(0)

    def act(seen, masks):
        return choose(policies.probabilities(AGENTS, seen, masks), rng)

    for epoch in range(30):
        games = [play(act)[0] for _ in range(32)]
        timesteps = {keys.EPOCH: epoch, keys.AGENT_WEIGHTS: [1.0, 1.0]}
        learner.update(episodes=games, timesteps=timesteps, num_epochs=10)
    assert np.mean([play(act)[1] for _ in range(50)]) > 7.5


@pytest.mark.parametrize(("central_critic", "expected"), [(True, (7.0, 8.0)), (False, (7.5, 7.5))])
def test_a_central_critic_knows_what_the_agents_do_not_see(central_critic, expected):
    """The agents see the same in both games; they draw the first action and then play 1."""
    config = RELEDConfig().training(central_critic=central_critic, reward_scale=0.1, lr=3e-3)
    learner = build_learner(config, RoutingModule, central_critic=central_critic)
    rng = np.random.default_rng(0)
    is_first = True

    def act(seen, masks):
        nonlocal is_first
        is_first, was_first = not is_first, is_first
        return rng.integers(0, 2, 2) if was_first else np.ones(2, np.int64)

    games = [play(act, is_blind=True)[0] for _ in range(64)]
    for epoch in range(20):
        timesteps = {keys.EPOCH: epoch, keys.AGENT_WEIGHTS: [1.0, 1.0]}
        learner.update(episodes=games, timesteps=timesteps, num_epochs=10)
    assert critic_values(learner.routing_module) == pytest.approx(expected, abs=0.4)


def test_the_reported_divergence_is_that_of_the_policies_before_from_those_after_the_update():
    config = RELEDConfig().training(reward_scale=0.1, lr=1e-2)
    learner = build_learner(config, RoutingModule, central_critic=False)
    policies = learner.routing_module.sampling_policies()
    rng = np.random.default_rng(0)
    games = [play(lambda _, masks: rng.integers(0, 2, len(masks)))[0] for _ in range(16)]

    def logps() -> np.ndarray:
        rows = [(agent, trip) for game in games for agent, trip in enumerate(game.episode)]
        return np.array(
            [policies.log_probabilities(a, t.observations, t.action_masks, t.actions) for a, t in rows], np.float64
        )

    before = logps()
    timesteps = {keys.EPOCH: 0, keys.AGENT_WEIGHTS: [1.0, 1.0]}
    figures = MetricsLogger.peek_results(learner.update(episodes=games, timesteps=timesteps, num_epochs=5))
    after = logps()
    assert np.abs(before - after).max() > 0.01
    assert figures[keys.MODULE_ID][keys.KL] == pytest.approx((before - after).mean(), abs=1e-5)


@torch.no_grad()
def critic_values(module) -> tuple[float, ...]:
    """What V^a of agent 0 says of each game, as far as it can tell them apart."""
    seen = torch.as_tensor(observation(START))
    encoded = module.encoder(seen.expand(2, 2, -1), torch.ones(2, 2, 2))
    states = torch.as_tensor(np.stack([state(GAME_A), state(GAME_B)])).expand(2, 2, -1)
    return tuple(10.0 * float(value) for value in module.agent_values(encoded, states)[0])


@torch.no_grad()
def team_values(module, situation: int) -> np.ndarray:
    """(2, 2) Q_tot of each joint action."""
    seen = torch.as_tensor(np.stack([observation(situation)] * 2)[None])
    values = module.agent_action_values(seen, torch.ones(1, 2, 2))[0]
    states, live = torch.as_tensor(state(situation)), torch.ones(2)
    joint = [[torch.stack([values[0, a], values[1, b]]) for b in (0, 1)] for a in (0, 1)]
    return np.array([[float(module.team_value(states, chosen, live)) for chosen in row] for row in joint])
