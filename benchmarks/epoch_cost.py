"""What an epoch costs outside SUMO: RELED against RLlib's own PPO with one module per agent.

Both train on the same environment with the same networks (two hidden layers of 128 on the environment's observation for
PPO, RELED with its encoder), the same number of interaction steps and of updates. SUMO's own wall time is subtracted
on both sides. The horizon is chosen so that one episode of untrained agents has about 1000 interaction steps.

    python benchmarks/epoch_cost.py [--agents 10 50] [--epochs 3] [--json]

RELED's epochs include its demonstrations (the live shortest time rule): one cycle per ten epochs, counted by a tenth.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from statistics import median
from typing import Any

import ray
import torch
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.examples.rl_modules.classes.action_masking_rlm import ActionMaskingTorchRLModule

from rllib_releds import RELEDConfig, RoutingMultiAgentEnv, keys

INTERACTION_STEPS = 1000
PASSES, MINIBATCHES = 10, 4
SECONDS_PER_DECISION = 23.0
"""About how long an untrained agent drives between two decisions on gridtown."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, nargs="+", default=[10, 50], help="numbers of agents (default: 10 50)")
    parser.add_argument("--epochs", type=int, default=3, help="epochs timed after one that is not (default: 3)")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    options = parser.parse_args()
    # Both on one core: with more, torch's threads measure what else the machine is doing.
    torch.set_num_threads(1)
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, address="local", configure_logging=False)
    rows = {str(agents): measure(agents, options.epochs) for agents in options.agents}
    ray.shutdown()
    ratio = {agents: row["reled_s"] / row["ppo_s"] for agents, row in rows.items()}
    print_table(rows, ratio, sys.stderr if options.json else sys.stdout)
    if options.json:
        print(json.dumps({"ratio": ratio, "seconds_outside_sumo": rows}))


def measure(agents: int, epochs: int) -> dict[str, float]:
    """Seconds outside SUMO per epoch of both, per 1000 interaction steps, medians over the epochs."""
    env_config = {
        "scenario": "gridtown",
        "num_agents": agents,
        "horizon_s": round(min(2400.0, SECONDS_PER_DECISION * INTERACTION_STEPS / agents)),
    }
    reled = reled_seconds(env_config, epochs)
    return {"reled_s": reled, "ppo_s": ppo_seconds(env_config, epochs)}


def reled_seconds(env_config: dict[str, Any], epochs: int) -> float:
    config = RELEDConfig().environment(env_config=env_config).env_runners(num_env_runners=0)
    config.training(demonstrations="live", train_batch_size_per_learner=INTERACTION_STEPS // 2)
    config.training(num_epochs=PASSES, num_minibatches=MINIBATCHES)
    algorithm = config.build_algo()
    updates = count_updates(algorithm.learner_group._learner)
    env = algorithm.env_runner.routing_env
    cycle = timed_epoch(algorithm, env)
    # The first cycle also compiles the path distance and warms everything up: take its demonstrations alone.
    demonstrations_s = max(0.0, float(cycle["result"][keys.RELED][keys.DEMONSTRATIONS_TIMER]) - cycle["expert_sumo_s"])
    seconds = []
    for _ in range(epochs):
        updates.clear()
        epoch = timed_epoch(algorithm, env)
        seconds.append(scaled(epoch, updates, int(epoch["result"][keys.RELED][keys.INTERACTION_STEPS])))
    algorithm.stop()
    return median(seconds) + demonstrations_s / algorithm.config.demonstration_interval


def ppo_seconds(env_config: dict[str, Any], epochs: int) -> float:
    agents = [f"vehicle_{index}" for index in range(env_config["num_agents"])]
    rows_per_agent = INTERACTION_STEPS // len(agents)
    config = (
        PPOConfig()
        .environment(_MaskedEnv, env_config=env_config)
        .env_runners(num_env_runners=0, batch_mode="complete_episodes", rollout_fragment_length="auto")
        .multi_agent(
            policies=set(agents),
            policy_mapping_fn=lambda agent_id, *args, **kwargs: agent_id,
            count_steps_by="agent_steps",
        )
        .rl_module(
            rl_module_spec=RLModuleSpec(
                module_class=ActionMaskingTorchRLModule,
                model_config={"fcnet_hiddens": [128, 128], "fcnet_activation": "tanh", "head_fcnet_hiddens": []},
            )
        )
        .training(
            train_batch_size_per_learner=INTERACTION_STEPS // 2,
            num_epochs=PASSES,
            minibatch_size=max(1, rows_per_agent // MINIBATCHES),
            lr=3e-4,
            grad_clip=0.5,
        )
        .debugging(seed=0, log_level="ERROR")
    )
    algorithm = config.build_algo()
    updates = count_updates(algorithm.learner_group._learner)
    env = algorithm.env_runner.env.envs[0].unwrapped.routing_env
    timed_epoch(algorithm, env)
    seconds = []
    for _ in range(epochs):
        updates.clear()
        epoch = timed_epoch(algorithm, env)
        steps = sum(len(trajectory.actions) for trajectory in env.episode())
        seconds.append(scaled(epoch, updates, steps))
    algorithm.stop()
    return median(seconds)


class _MaskedEnv(RoutingMultiAgentEnv):
    """The adapter with the observation that RLlib's action-masking module wants: "observations" and "action_mask"."""

    def __init__(self, config: Any = None) -> None:
        import gymnasium

        super().__init__(config)
        self.observation_spaces = {
            agent: gymnasium.spaces.Dict(
                {
                    "action_mask": gymnasium.spaces.Box(0.0, 1.0, space["action_mask"].shape),
                    "observations": space["observation"],
                }
            )
            for agent, space in self.observation_spaces.items()
        }

    def _observations(self, agents: Any) -> dict[str, Any]:
        return {
            agent: {"action_mask": seen["action_mask"].astype("float32"), "observations": seen["observation"]}
            for agent, seen in super()._observations(agents).items()
        }


def timed_epoch(algorithm: Any, env: Any) -> dict[str, Any]:
    simulated_s, began_s = env.simulation_wall_s, time.perf_counter()
    result = algorithm.train()
    wall_s = time.perf_counter() - began_s
    sumo_s = env.simulation_wall_s - simulated_s
    own_sumo_s = float(result.get(keys.RELED, {}).get(keys.SIMULATION_WALL_S, sumo_s))
    return {"result": result, "outside_s": wall_s - sumo_s, "expert_sumo_s": sumo_s - own_sumo_s}


def count_updates(learner: Any) -> list[float]:
    """Wall seconds of each gradient step that the learner makes from now on."""
    seconds: list[float] = []
    update = learner._update

    def timed_update(*args: Any, **kwargs: Any) -> Any:
        began_s = time.perf_counter()
        result = update(*args, **kwargs)
        seconds.append(time.perf_counter() - began_s)
        return result

    learner._update = timed_update
    return seconds


def scaled(epoch: dict[str, Any], updates: list[float], steps: int) -> float:
    """Seconds outside SUMO for 1000 interaction steps and exactly PASSES x MINIBATCHES updates.

    Episodes differ in length, and PPO's minibatches have a fixed number of rows, so that its updates grow with them.
    """
    rest_s = epoch["outside_s"] - sum(updates)
    return rest_s / steps * INTERACTION_STEPS + sum(updates) / len(updates) * PASSES * MINIBATCHES


def print_table(rows: dict[str, dict[str, float]], ratio: dict[str, float], stream: Any) -> None:
    print("seconds outside SUMO per epoch of 1000 interaction steps and 40 updates", file=stream)
    print(f"{'agents':>8}{'RELED':>10}{'PPO':>10}{'ratio':>10}", file=stream)
    for agents, row in rows.items():
        print(f"{agents:>8}{row['reled_s']:>10.2f}{row['ppo_s']:>10.2f}{ratio[agents]:>10.2f}", file=stream)


if __name__ == "__main__":
    main()
