"""AgileRL: IPPO with parameters that all agents share, acting under action masks.

Shows:   `to_fixed_team(env, flatten=True)`: plain vectors as observations, and the action masks in the infos, where
         AgileRL looks for them. AgileRL groups the agents by their names ("vehicle") and gives a group one network.
Run:     python examples/interop/agilerl_ippo.py      (--smoke: one short iteration)
Expect:  AgileRL's table after each iteration, no masked-out action, then a line that begins with "result:".
"""

import sys
import time
from collections.abc import Mapping
from typing import Any

import torch
from agilerl.algorithms import IPPO
from agilerl.training.train_multi_agent_on_policy import train_multi_agent_on_policy
from agilerl.vector.dummy_vec_env import PzDummyVecEnv

import sumo_marl_env

SMOKE = "--smoke" in sys.argv
ITERATIONS = 1 if SMOKE else 5
STEPS = 100 if SMOKE else 500  # of the environment, per iteration
MAX_STEPS = 100 if SMOKE else 10_000  # of the environment, in an evaluation episode


class MaskedVecEnv(PzDummyVecEnv):
    """Gives AgileRL the masks as lists, which it reads, and those of the new episode after the last step of an old one.

    PzDummyVecEnv resets its env by itself, and drops the infos of that reset.
    """

    invalid = 0

    def reset(self, **kwargs: Any) -> tuple[dict, dict]:
        observations, _ = super().reset(**kwargs)
        return observations, self._masks()

    def step(self, actions: Mapping[str, Any], *args: Any, **kwargs: Any) -> tuple[dict, dict, dict, dict, dict]:
        deciders = self._env.deciders
        observations, rewards, terminations, truncations, infos = super().step(actions, *args, **kwargs)
        self.invalid += sum(infos[agent]["invalid_action"] for agent in deciders)
        return observations, rewards, terminations, truncations, self._masks()

    def _masks(self) -> dict[str, dict[str, list[int]]]:
        return {agent: {"action_mask": self._env.action_mask(agent).tolist()} for agent in self.agents}


def main() -> None:
    torch.manual_seed(0)
    routing_env = sumo_marl_env.parallel_env(
        scenario="gridtown", num_agents=3 if SMOKE else 10, horizon_s=600.0 if SMOKE else 2400.0
    )
    env = sumo_marl_env.to_fixed_team(routing_env, flatten=True)
    vec_env = MaskedVecEnv(env)
    agents = env.possible_agents
    learner = IPPO(
        [env.observation_space(agent) for agent in agents],
        [env.action_space(agent) for agent in agents],
        agent_ids=agents,
        learn_step=STEPS,
        batch_size=50 if SMOKE else 250,
        lr=3e-4,
    )
    began = time.perf_counter()
    _, fitnesses = train_multi_agent_on_policy(
        vec_env,
        "sumo_routing_v0",
        "IPPO",
        [learner],
        max_steps=ITERATIONS * STEPS,
        evo_steps=STEPS,
        eval_steps=MAX_STEPS,
        verbose=not SMOKE,
    )
    seconds = time.perf_counter() - began
    assert vec_env.invalid == 0, f"{vec_env.invalid} masked-out actions"
    print(
        f"result: mean reward after {ITERATIONS} iterations of {STEPS} steps {fitnesses[0] / len(agents):.0f}, "
        f"{ITERATIONS * STEPS / seconds:.0f} steps/s including evaluations"
    )


main()
