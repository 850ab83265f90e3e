"""Does our IPPO learn as RLlib's own PPO does? Learning curves of both on one small grid, over seeds.

RLlib's PPO runs through the adapter with one policy per agent. Both have the same encoder, networks, kind of initial
weights, rewards, lr, passes, minibatches, lambda, clip and entropy. What differs is RLlib's own: minibatches of a fixed
number of rows, advantages standardised over artificial rows too, one gradient norm for policy and value, Adam's
epsilon. Without those, one epoch of both is equal up to rounding (tests/rllib_releds/algorithm/test_rllib_ppo.py).

    python benchmarks/ppo_curves.py [--seeds 3] [--epochs 15] [--json]

Measured with 12 epochs of 300 interaction steps, seeds 0 and 1: mean reward of the whole training and of its last third
IPPO 253 and 246, 283 and 285; RLlib's PPO 255 and 240, 285 and 282.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import ValueFunctionAPI
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor

from rllib_releds import RELEDConfig, RoutingMultiAgentEnv, keys
from rllib_releds.algorithm.encoder import Encoded, RoutingEncoder, road_tables
from rllib_releds.algorithm.module import mask_logits
from rllib_releds.algorithm.networks import StackedNetwork
from rllib_releds.local_ray import ray_session
from sumo_marl_env import make_scenario
from sumo_marl_env.sumo_programs import sumo_home

AGENTS, HORIZON_S = 3, 600.0
STEPS_PER_EPOCH, PASSES, MINIBATCHES = 300, 10, 4
REWARD_SCALE = 0.01

Curve = list[tuple[float, float]]
"""(interaction steps so far, mean reward per agent) of each epoch."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="runs of each (default: 3)")
    parser.add_argument("--epochs", type=int, default=15, help="epochs of each run (default: 15)")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in ("ray", "ray.rllib"):
        logging.getLogger(name).setLevel(logging.ERROR)
    curves: dict[str, list[Curve]] = {"IPPO": [], "RLlib's PPO": []}
    with tempfile.TemporaryDirectory() as folder, ray_session():
        env_config = small_grid(Path(folder))
        for seed in range(options.seeds):
            curves["IPPO"].append(our_curve(env_config, seed, options.epochs))
            curves["RLlib's PPO"].append(rllib_curve(env_config, seed, options.epochs))
            ends = {name: round(found[-1][-1][1]) for name, found in curves.items()}
            print(f"seed {seed}: reward of the last epoch {ends}", file=sys.stderr)
    rows = {name: figures(found) for name, found in curves.items()}
    print_table(rows, sys.stderr if options.json else sys.stdout)
    if options.json:
        print(json.dumps({"figures": rows, "curves": curves}))


def small_grid(folder: Path) -> dict[str, Any]:
    """A 4 x 4 grid of two-way streets with signals, without other traffic."""
    file = folder / "grid.net.xml"
    command = [str(sumo_home() / "bin" / "netgenerate"), "--grid", "--grid.number", "4", "--grid.length", "150"]
    options = ["--default-junction-type", "traffic_light", "--no-turnarounds", "true", "--output-file", str(file)]
    subprocess.run([*command, *options], check=True, capture_output=True)
    return {"network": str(file), "demand": "none", "num_agents": AGENTS, "horizon_s": HORIZON_S}


def our_curve(env_config: dict[str, Any], seed: int, epochs: int) -> Curve:
    config = RELEDConfig().environment(env_config=env_config).debugging(seed=seed)
    config.training(train_batch_size_per_learner=STEPS_PER_EPOCH, num_epochs=PASSES, num_minibatches=MINIBATCHES)
    algorithm = config.build_algo()
    curve = []
    for _ in range(epochs):
        result = algorithm.train()[keys.RELED]
        curve.append((float(result[keys.INTERACTION_STEPS_LIFETIME]), float(result[keys.MEAN_REWARD])))
    algorithm.stop()
    return curve


def rllib_curve(env_config: dict[str, Any], seed: int, epochs: int) -> Curve:
    agents = [f"vehicle_{index}" for index in range(AGENTS)]
    tables = road_tables(make_scenario(**env_config).network)
    specs = {
        agent: RLModuleSpec(module_class=OneAgent, model_config={"tables": tables, "seed": seed * AGENTS + index})
        for index, agent in enumerate(agents)
    }
    config = (
        PPOConfig()
        .environment(WatchedEnv, env_config=env_config)
        .env_runners(num_env_runners=0, batch_mode="complete_episodes", rollout_fragment_length="auto")
        .multi_agent(
            policies=set(agents),
            policy_mapping_fn=lambda agent_id, *args, **kwargs: agent_id,
            count_steps_by="agent_steps",
        )
        .rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=specs))
        .training(
            train_batch_size_per_learner=STEPS_PER_EPOCH,
            num_epochs=PASSES,
            minibatch_size=STEPS_PER_EPOCH // AGENTS // MINIBATCHES,
            lr=3e-4,
            gamma=0.99,
            lambda_=0.95,
            clip_param=0.2,
            entropy_coeff=0.01,
            vf_loss_coeff=0.5,
            vf_clip_param=float("inf"),
            use_kl_loss=False,
            grad_clip=0.5,
            grad_clip_by="global_norm",
        )
        .debugging(seed=seed, log_level="ERROR")
    )
    algorithm = config.build_algo()
    env = algorithm.env_runner.env.envs[0].unwrapped
    curve: Curve = []
    for _ in range(epochs):
        env.finished.clear()
        algorithm.train()
        steps, rewards = zip(*env.finished, strict=True)
        before = curve[-1][0] if curve else 0.0
        curve.append((before + float(sum(steps)), float(np.mean(rewards))))
    algorithm.stop()
    return curve


class WatchedEnv(RoutingMultiAgentEnv):
    """The adapter with scaled rewards; keeps what it would have been paid unscaled.

    Attributes:
        finished: (interaction steps, mean reward per agent) of each finished episode.
    """

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self.finished: list[tuple[int, float]] = []

    def step(self, action_dict: Any) -> tuple[dict, dict, dict, dict, dict]:
        seen, rewards, terminated, truncated, infos = super().step(action_dict)
        if terminated["__all__"] or truncated["__all__"]:
            episode = self.routing_env.episode()
            self.finished.append((sum(len(trajectory.actions) for trajectory in episode), episode.mean_reward))
        scaled = {agent: REWARD_SCALE * reward for agent, reward in rewards.items()}
        return seen, scaled, terminated, truncated, infos


class OneAgent(TorchRLModule, ValueFunctionAPI):
    """One agent's policy and value function, built as ours are."""

    def setup(self) -> None:
        self.encoder = RoutingEncoder("combined", self.model_config["tables"])
        shape = {
            "num_agents": 1,
            "num_features": self.encoder.num_features,
            "num_junctions": self.encoder.num_junctions,
            "hidden_size": 128,
            "generator": torch.Generator().manual_seed(self.model_config["seed"]),
        }
        self.policy = StackedNetwork(num_outputs=int(self.action_space.n), head_gain=0.01, **shape)
        self.value = StackedNetwork(num_outputs=1, head_gain=1.0, **shape)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Tensor]:
        encoded = self._encoded(batch)
        logits = self.policy(encoded.features, encoded.junctions)[0]
        return {Columns.ACTION_DIST_INPUTS: mask_logits(logits, batch[Columns.OBS]["action_mask"])}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> Tensor:
        encoded = self._encoded(batch)
        return self.value(encoded.features, encoded.junctions)[0].squeeze(-1)

    def _encoded(self, batch: dict[str, Any]) -> Encoded:
        seen = batch[Columns.OBS]
        return self.encoder(seen["observation"].unsqueeze(0), seen["action_mask"].unsqueeze(0))


def figures(curves: list[Curve]) -> dict[str, Any]:
    """Per seed: the mean reward over all epochs, and over the last third of them; and interaction steps per run."""
    rewards = [[reward for _, reward in curve] for curve in curves]
    return {
        "whole": [float(np.mean(run)) for run in rewards],
        "end": [float(np.mean(run[-max(1, len(run) // 3) :])) for run in rewards],
        "interaction_steps": [curve[-1][0] for curve in curves],
    }


def print_table(rows: dict[str, dict[str, Any]], stream: Any) -> None:
    print("mean reward per agent, mean and standard deviation over seeds", file=stream)
    print(f"{'':14}{'whole training':>20}{'last third':>20}{'interaction steps':>20}", file=stream)
    for name, row in rows.items():
        cells = [f"{np.mean(row[key]):.1f} ± {np.std(row[key]):.1f}" for key in ("whole", "end")]
        steps = f"{np.mean(row['interaction_steps']):.0f}"
        print(f"{name:14}{cells[0]:>20}{cells[1]:>20}{steps:>20}", file=stream)


if __name__ == "__main__":
    main()
