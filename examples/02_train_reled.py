"""Train RELED by its Python API: the offline planner demonstrates, a checkpoint is saved and loaded again.

Run:     python examples/02_train_reled.py            (--smoke: two short epochs)
Expect:  the mean reward rises from about -1500 to above 600 within ten epochs.
"""

import sys
import tempfile

from rllib_releds import RELED, RELEDConfig
from rllib_releds.experiments.evaluation import PolicyDriver, drive
from rllib_releds.local_ray import ray_session

SMOKE = "--smoke" in sys.argv


def main() -> None:
    config = (
        RELEDConfig()
        .environment(env_config={"scenario": "gridtown", "demand": "moderate", "num_agents": 2 if SMOKE else 10})
        .training(
            demonstrations="offline/planner",  # or "openai/gpt-3.5-turbo", "live", "logit"; None is IPPO
            num_training_epochs=2 if SMOKE else 20,
            train_batch_size_per_learner=50 if SMOKE else 1000,
        )
    )
    algorithm = config.build_algo()
    for _ in range(config.num_training_epochs):
        result = algorithm.train()["reled"]
        print(f"epoch {algorithm.epoch}: reward {result['mean_reward']:.0f}, arrived {result['arrival_rate']:.0%}")

    with tempfile.TemporaryDirectory() as folder:
        algorithm.save_to_path(folder)
        algorithm.stop()
        restored = RELED.from_checkpoint(folder)
        policies = restored.routing_module().sampling_policies()
        driver = PolicyDriver(policies, restored.scenario.agents, is_greedy=True)
        episode = drive(restored.config.env_config, {"own": driver}, [12345])["own"][0]
        print(f"restored at epoch {restored.epoch}: {episode.arrival_rate:.0%} arrive on fresh traffic")
        restored.stop()


with ray_session():
    main()
