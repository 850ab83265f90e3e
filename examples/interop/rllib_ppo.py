"""RLlib: its own PPO on the new API stack, through `rllib_releds.RoutingMultiAgentEnv` (nothing of RELED's training).

Shows:   an ordinary PPOConfig with one policy that all agents share, and RLlib's own action-masking module. Only agents
         that have a decision to make are in the batch.
Run:     python examples/interop/rllib_ppo.py      (--smoke: one short iteration)
Expect:  one line per iteration, then a line that begins with "result:".
"""

import sys
import time
from typing import Any

import gymnasium
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.examples.rl_modules.classes.action_masking_rlm import ActionMaskingTorchRLModule

from rllib_releds import RoutingMultiAgentEnv
from rllib_releds.local_ray import ray_session

SMOKE = "--smoke" in sys.argv
ITERATIONS = 1 if SMOKE else 5
DECISIONS = 100 if SMOKE else 1000  # of all agents, per iteration
ENV_CONFIG = {"scenario": "gridtown", "num_agents": 3 if SMOKE else 10, "horizon_s": 600.0 if SMOKE else 2400.0}


class MaskedRoutingEnv(RoutingMultiAgentEnv):
    """The adapter with the names that RLlib's action-masking module looks for."""

    def __init__(self, config: dict[str, Any] | None = None) -> None:
        super().__init__(config)
        self.observation_spaces = {
            agent: gymnasium.spaces.Dict(
                {
                    "observations": space["observation"],
                    "action_mask": gymnasium.spaces.Box(0.0, 1.0, space["action_mask"].shape),
                }
            )
            for agent, space in self.observation_spaces.items()
        }

    def _observations(self, agents: Any) -> dict[str, Any]:
        return {
            agent: {"observations": seen["observation"], "action_mask": seen["action_mask"].astype("float32")}
            for agent, seen in super()._observations(agents).items()
        }


class InvalidActions(RLlibCallback):
    """Counts the agents whose last decision the mask forbade."""

    def on_episode_step(self, *, episode: Any, metrics_logger: Any, **kwargs: Any) -> None:
        infos = episode.get_infos(-1)
        metrics_logger.log_value("invalid", sum(i.get("invalid_action", False) for i in infos.values()), reduce="sum")


def main() -> None:
    config = (
        PPOConfig()
        .environment(MaskedRoutingEnv, env_config=ENV_CONFIG)
        .env_runners(num_env_runners=0, batch_mode="complete_episodes", rollout_fragment_length="auto")
        .multi_agent(
            policies={"driver"},
            policy_mapping_fn=lambda agent_id, *args, **kwargs: "driver",
            count_steps_by="agent_steps",
        )
        .rl_module(rl_module_spec=RLModuleSpec(module_class=ActionMaskingTorchRLModule))
        .training(train_batch_size_per_learner=DECISIONS, minibatch_size=DECISIONS // 4, num_epochs=5, lr=3e-4)
        .callbacks(InvalidActions)
        .debugging(seed=0, log_level="ERROR")
    )
    algorithm = config.build_algo()
    began, decisions = time.perf_counter(), 0
    for iteration in range(ITERATIONS):
        sampled = algorithm.train()["env_runners"]
        decisions += sampled["num_module_steps_sampled"]["driver"]
        reward = sampled["episode_return_mean"] / ENV_CONFIG["num_agents"]
        assert sampled["invalid"] == 0, f"{sampled['invalid']:.0f} masked-out actions"
        print(f"iteration {iteration}: mean reward of an agent {reward:.0f}")
    seconds = time.perf_counter() - began
    algorithm.stop()
    print(f"result: mean reward after {ITERATIONS} iterations {reward:.0f}, {decisions / seconds:.0f} decisions/s")


with ray_session():
    main()
