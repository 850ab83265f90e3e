"""BenchMARL: IPPO, MAPPO and QMIX on the same task, with action masks and, for MAPPO and QMIX, the global state.

Shows:   a task class for the environment. All agents form one group and share their parameters; `to_fixed_team` keeps
         those that have arrived in the group until the episode ends, which BenchMARL needs.
Run:     python examples/interop/benchmarl_three.py      (--smoke: two short iterations of each algorithm)
Expect:  per algorithm BenchMARL's progress bar and its mean returns, then a line that begins with "result:".
"""

import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count

from benchmarl.algorithms import IppoConfig, MappoConfig, QmixConfig
from benchmarl.algorithms.common import AlgorithmConfig
from benchmarl.environments.common import TaskClass
from benchmarl.experiment import Callback, Experiment, ExperimentConfig
from benchmarl.models.mlp import MlpConfig
from tensordict import TensorDictBase
from torchrl.data import Composite
from torchrl.envs import EnvBase
from torchrl.envs.libs.pettingzoo import PettingZooWrapper

import sumo_marl_env

SMOKE = "--smoke" in sys.argv
ITERATIONS = 2 if SMOKE else 3
FRAMES = 200 if SMOKE else 400
CONFIG = {"scenario": "gridtown", "num_agents": 3 if SMOKE else 10, "horizon_s": 600.0 if SMOKE else 2400.0}


class RoutingTask(TaskClass):
    """Traffic routing; `config` holds the arguments of `sumo_marl_env.parallel_env`."""

    def get_env_fun(
        self, num_envs: int, continuous_actions: bool, seed: int | None, device: str
    ) -> Callable[[], EnvBase]:
        seeds = count(seed or 0)  # BenchMARL calls the function once per env: each gets traffic of its own

        def make() -> EnvBase:
            env = sumo_marl_env.to_fixed_team(sumo_marl_env.parallel_env(**self.config))
            return PettingZooWrapper(
                sumo_marl_env.numeric_infos(env),
                return_state=True,
                done_on_any=False,
                seed=next(seeds),
                device=device,
            )

        return make

    def supports_continuous_actions(self) -> bool:
        return False

    def supports_discrete_actions(self) -> bool:
        return True

    def has_render(self, env: EnvBase) -> bool:
        return False

    def max_steps(self, env: EnvBase) -> int:
        return int(self.config["horizon_s"])  # every step takes a second of simulated time, or more

    def group_map(self, env: EnvBase) -> dict[str, list[str]]:
        return env.group_map

    def observation_spec(self, env: EnvBase) -> Composite:
        return self._only("observation", env)

    def info_spec(self, env: EnvBase) -> Composite:
        return self._only("info", env)

    def action_mask_spec(self, env: EnvBase) -> Composite:
        return self._only("action_mask", env)

    def state_spec(self, env: EnvBase) -> Composite:
        return Composite(state=env.observation_spec["state"].clone())

    def action_spec(self, env: EnvBase) -> Composite:
        return env.full_action_spec

    @staticmethod
    def env_name() -> str:
        return "sumo_routing"

    def _only(self, key: str, env: EnvBase) -> Composite:
        """The part of each group's observation spec that stands under `key`."""
        spec = env.observation_spec.clone()
        del spec["state"]
        for group in self.group_map(env):
            for other in set(spec[group].keys()) - {key}:
                del spec[group][other]
        return spec


class Returns(Callback):
    """Keeps the mean return of each iteration, and counts masked-out actions."""

    def __init__(self) -> None:
        super().__init__()
        self.returns: list[float] = []
        self.invalid = 0

    def on_batch_collected(self, batch: TensorDictBase) -> None:
        self.returns.append(self.experiment.mean_return)
        self.invalid += int(batch["next", "vehicle", "info", "invalid_action"].sum())


def train(algorithm: AlgorithmConfig) -> str:
    """Train for a few iterations; returns what came out."""
    config = ExperimentConfig.get_from_yaml()
    config.lr = 3e-4
    config.max_n_iters, config.max_n_frames = ITERATIONS, None
    config.on_policy_collected_frames_per_batch = config.off_policy_collected_frames_per_batch = FRAMES
    config.on_policy_n_envs_per_worker = config.off_policy_n_envs_per_worker = 1
    config.on_policy_n_minibatch_iters, config.on_policy_minibatch_size = 5, 100
    config.off_policy_n_optimizer_steps = 50
    config.evaluation, config.loggers, config.create_json = False, [], False
    returns = Returns()
    with tempfile.TemporaryDirectory() as folder:
        config.save_folder = folder
        experiment = Experiment(
            task=RoutingTask("gridtown", CONFIG),
            algorithm_config=algorithm,
            model_config=MlpConfig.get_from_yaml(),
            critic_model_config=MlpConfig.get_from_yaml(),
            seed=0,
            config=config,
            callbacks=[returns],
        )
        began = time.perf_counter()
        experiment.run()
        seconds = time.perf_counter() - began
    assert returns.invalid == 0, f"{experiment.algorithm_name}: {returns.invalid} masked-out actions"
    shown = " ".join(f"{value:.0f}" for value in returns.returns)
    print(f"{experiment.algorithm_name}: mean return of each iteration {shown}")
    return f"{experiment.algorithm_name} {returns.returns[-1]:.0f} ({ITERATIONS * FRAMES / seconds:.0f} steps/s)"


results = [train(config.get_from_yaml()) for config in (IppoConfig, MappoConfig, QmixConfig)]
print(f"result: mean return after {ITERATIONS} iterations of {FRAMES} steps: {', '.join(results)}")
