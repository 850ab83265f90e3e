"""IPPO is PPO of each agent alone: one epoch of ours, for all agents at once, against RLlib's own learner per agent.

Same networks, episodes, passes and optimiser; whole batches, since both deal out minibatches by numbers of their own.
Two things that RLlib does otherwise are taken out: it standardises advantages over the artificial row that it adds to
every episode as well, and Adam's epsilon is 1e-8.
"""

import copy

import gymnasium
import numpy as np
import pytest
import torch
from made_up import NUM_AGENTS, NUM_SLOTS
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import ValueFunctionAPI
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.evaluation.postprocessing import Postprocessing

from rllib_releds import keys
from rllib_releds.algorithm.config import RELEDConfig
from rllib_releds.algorithm.module import RoutingModule, mask_logits
from rllib_releds.algorithm.networks import SingleNetwork
from sumo_marl_env import Exit

PASSES = 5
COMMON = {
    "lr": 1e-2,
    "gamma": 0.95,
    "lambda_": 0.9,
    "clip_param": 0.1,
    "entropy_coeff": 0.02,
    "vf_loss_coeff": 0.5,
    "num_epochs": PASSES,
    "grad_clip": None,
}
REWARD_SCALE = 0.01


class OneAgent(TorchRLModule, ValueFunctionAPI):
    """Policy and value of one agent, cut out of our stacked module, as RLlib's PPO wants them."""

    def setup(self) -> None:
        whole, agent = self.model_config["whole"], self.model_config["agent"]
        self.encoder = whole.encoder
        self.policy = SingleNetwork(whole.policy, agent)
        self.value = SingleNetwork(whole.agent_value, agent)

    def _forward(self, batch, **kwargs):
        encoded, masks = self._encode(batch)
        logits = mask_logits(self.policy(encoded.features, encoded.junctions), masks)
        return {Columns.ACTION_DIST_INPUTS: logits}

    def compute_values(self, batch, embeddings=None):
        encoded, _ = self._encode(batch)
        return self.value(encoded.features, encoded.junctions).squeeze(-1)

    def _encode(self, batch):
        seen = batch[Columns.OBS]
        return self.encoder(seen["observation"], seen["action_mask"]), seen["action_mask"]


class OverDecisions(ConnectorV2):
    """Standardises advantages over what the agent decided, without the rows that RLlib adds."""

    def __call__(self, *, batch, **kwargs):
        for columns in batch.values():
            advantages, mask = columns[Postprocessing.ADVANTAGES], columns[Columns.LOSS_MASK]
            decided = advantages[mask]
            columns[Postprocessing.ADVANTAGES] = (advantages - decided.mean()) / decided.std(correction=0)
        return batch


class Learner(PPOTorchLearner):
    def configure_optimizers_for_module(self, module_id, config=None) -> None:
        parameters = list(self.get_parameters(self.module[module_id]))
        optimizer = torch.optim.Adam(parameters, lr=config.lr, eps=1e-5)
        self.register_optimizer(
            module_id=module_id, optimizer=optimizer, params=parameters, lr_or_lr_schedule=config.lr
        )


SPACE = gymnasium.spaces.Dict(
    {
        "observation": gymnasium.spaces.Box(-np.inf, np.inf, (2 * NUM_SLOTS + 2,), np.float32),
        "action_mask": gymnasium.spaces.Box(0, 1, (NUM_SLOTS,), np.int8),
    }
)


@pytest.fixture
def rollouts(make_rollout):
    """Three episodes: some agents arrive, some are cut off."""
    arrived, horizon = Exit.ARRIVED, Exit.HORIZON
    return [
        make_rollout((9, 7, 8), (arrived, horizon, arrived), seed=1),
        make_rollout((6, 11, 5), (horizon, arrived, arrived), seed=2),
        make_rollout((8, 8, 12), (arrived, arrived, horizon), seed=3),
    ]


def our_networks(module: RoutingModule, rollouts) -> RoutingModule:
    """After one epoch of IPPO."""
    config = RELEDConfig().training(**COMMON, num_minibatches=1, reward_scale=REWARD_SCALE)
    spec = RLModuleSpec(
        module_class=RoutingModule,
        observation_space=module.observation_space,
        action_space=module.action_space,
        model_config=module.model_config,
    )
    specs = MultiRLModuleSpec(rl_module_specs={keys.MODULE_ID: spec})
    learner = config.get_default_learner_class()(config=config, module_spec=specs)
    learner.build()
    learner.routing_module.load_state_dict(module.state_dict())
    timesteps = {keys.EPOCH: 0, keys.AGENT_WEIGHTS: [1.0] * NUM_AGENTS}
    learner.update(episodes=list(rollouts), timesteps=timesteps, num_epochs=PASSES)
    return learner.routing_module


def rllib_networks(module: RoutingModule, rollouts, agent: int) -> OneAgent:
    """One agent's networks after one iteration of RLlib's PPO."""
    config = PPOConfig().training(
        **COMMON,
        use_kl_loss=False,
        vf_clip_param=float("inf"),
        minibatch_size=None,
        learner_connector=lambda *_: [],
    )
    spec = RLModuleSpec(
        module_class=OneAgent,
        observation_space=SPACE,
        action_space=module.action_space,
        model_config={"whole": copy.deepcopy(module), "agent": agent},
    )
    learner = Learner(config=config, module_spec=MultiRLModuleSpec(rl_module_specs={DEFAULT_MODULE_ID: spec}))
    learner.build()
    learner._learner_connector.append(OverDecisions())
    one = learner.module[DEFAULT_MODULE_ID].unwrapped()
    learner.update(episodes=[episode(one, rollout, agent) for rollout in rollouts], num_epochs=PASSES)
    return one


@torch.no_grad()
def episode(one: OneAgent, rollout, agent: int) -> SingleAgentEpisode:
    """One agent's part of a rollout as RLlib's env runner would have sampled it with these networks."""
    trip = rollout.episode.trajectories[agent]
    seen = np.concatenate([trip.observations, rollout.final_observations[agent][None]])
    masks = np.concatenate([trip.action_masks, rollout.final_masks[agent][None]])
    batch = {Columns.OBS: {"observation": torch.tensor(seen[:-1]), "action_mask": torch.tensor(masks[:-1])}}
    logits = one._forward(batch)[Columns.ACTION_DIST_INPUTS]
    logps = logits.log_softmax(-1)[torch.arange(len(trip.actions)), torch.tensor(trip.actions)]
    return SingleAgentEpisode(
        observations=[{"observation": row, "action_mask": mask} for row, mask in zip(seen, masks, strict=True)],
        actions=list(trip.actions),
        rewards=(trip.rewards * np.float32(REWARD_SCALE)).tolist(),
        extra_model_outputs={Columns.ACTION_DIST_INPUTS: logits.numpy(), Columns.ACTION_LOGP: logps.numpy()},
        terminated=trip.arrived,
        truncated=not trip.arrived,
        observation_space=SPACE,
        action_space=one.action_space,
        len_lookback_buffer=0,
    )


def test_an_epoch_of_ippo_is_an_iteration_of_rllibs_ppo_for_each_agent(make_module, rollouts):
    before = make_module()
    after = our_networks(before, rollouts)
    for agent in range(NUM_AGENTS):
        theirs = rllib_networks(before, rollouts, agent)
        for name, stacked in (("policy", after.policy), ("value", after.agent_value)):
            ours = SingleNetwork(stacked, agent).state_dict()
            for key, expected in getattr(theirs, name).state_dict().items():
                torch.testing.assert_close(ours[key], expected, atol=2e-5, rtol=1e-4)
        moved = after.policy.head_weight[agent] - before.policy.head_weight[agent]
        assert moved.abs().max() > 0.01
