"""SuperSuit and Stable-Baselines3: PPO with parameters that all agents share, without and with action masks.

Shows:   `to_fixed_team(env, flatten=True)` and SuperSuit turn every agent into one entry of a vector env, so that one
         network drives all of them. Stable-Baselines3's PPO knows no action masks: the environment replaces a
         masked-out action by the nearest valid one. sb3-contrib's MaskablePPO reads the masks, which are in the infos.
Run:     python examples/interop/stable_baselines3_ppo.py      (--smoke: one short update of each)
Expect:  per algorithm how much it decided that the masks forbid (0 % for MaskablePPO), then a line that begins with
         "result:".
"""

import sys
import time
from typing import Any

import numpy as np
import supersuit
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecMonitor

import sumo_marl_env

SMOKE = "--smoke" in sys.argv
AGENTS = 3 if SMOKE else 10
STEPS = 100 if SMOKE else 500  # of the environment, per update
UPDATES = 1 if SMOKE else 5


class MasksFromInfos(VecEnvWrapper):
    """Offers `action_masks` to MaskablePPO, from each agent's last info; also takes a seed, as SuperSuit's does not."""

    _seed: int | None = None

    def seed(self, seed: int | None = None) -> list[int | None]:
        self._seed = seed
        return [seed] * self.num_envs

    def reset(self) -> np.ndarray:
        observations, infos = self.venv.venv.reset(seed=self._seed)
        self._seed = None
        self._keep(infos)
        return observations

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        observations, rewards, dones, infos = self.venv.step_wait()
        self._keep(infos)  # after the last step of an episode SuperSuit has put the next episode's entries over these
        return observations, rewards, dones, infos

    def has_attr(self, attr_name: str) -> bool:
        return attr_name == "action_masks" or super().has_attr(attr_name)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        if method_name == "action_masks":
            return self._masks
        return super().env_method(method_name, *args, indices=indices, **kwargs)

    def _keep(self, infos: list[dict[str, Any]]) -> None:
        self._masks = [info["action_mask"] for info in infos]


class InvalidShare(BaseCallback):
    """Counts decisions, and those that the mask forbade."""

    def __init__(self) -> None:
        super().__init__()
        self.decisions = self.invalid = 0
        self._deciding: set[int] = set()

    def _on_step(self) -> bool:
        infos = self.locals["infos"]
        self.decisions += len(self._deciding)
        self.invalid += sum(infos[index]["invalid_action"] for index in self._deciding)
        self._deciding = {index for index, info in enumerate(infos) if info["is_decider"]}
        return True


def make_vec_env() -> VecEnv:
    env = sumo_marl_env.parallel_env(scenario="gridtown", num_agents=AGENTS, horizon_s=600.0 if SMOKE else 2400.0)
    vec_env = supersuit.pettingzoo_env_to_vec_env_v1(sumo_marl_env.to_fixed_team(env, flatten=True))
    vec_env = supersuit.concat_vec_envs_v1(vec_env, 1, base_class="stable_baselines3")
    return VecMonitor(MasksFromInfos(vec_env))


def train(algorithm: type[PPO] | type[MaskablePPO]) -> str:
    """A few updates; returns what came out."""
    vec_env = make_vec_env()
    model = algorithm("MlpPolicy", vec_env, n_steps=STEPS, batch_size=250 if not SMOKE else 50, n_epochs=5, seed=0)
    share = InvalidShare()
    began = time.perf_counter()
    model.learn(total_timesteps=UPDATES * STEPS * AGENTS, callback=share)
    seconds = time.perf_counter() - began
    vec_env.close()
    forbidden = share.invalid / share.decisions
    assert algorithm is PPO or forbidden == 0.0
    reward = np.mean([episode["r"] for episode in model.ep_info_buffer])
    print(f"{algorithm.__name__}: the masks forbade {forbidden:.0%} of {share.decisions} decisions")
    return f"{algorithm.__name__} {reward:.0f} ({UPDATES * STEPS / seconds:.0f} steps/s, {forbidden:.0%} forbidden)"


results = [train(algorithm) for algorithm in (PPO, MaskablePPO)]
print(f"result: mean reward of the episodes up to update {UPDATES}: {', '.join(results)}")
