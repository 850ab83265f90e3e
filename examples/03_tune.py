"""Ray Tune: two trials of RELED that differ in the learning rate.

Run:     python examples/03_tune.py            (--smoke: two short epochs)
Expect:  a table of two trials and the better one's learning rate.
"""

import sys
import tempfile

from ray import tune

from rllib_releds import RELED, RELEDConfig
from rllib_releds.local_ray import ray_session

SMOKE = "--smoke" in sys.argv
EPOCHS = 2 if SMOKE else 20


def main() -> None:
    config = (
        RELEDConfig()
        .environment(env_config={"scenario": "gridtown", "num_agents": 2 if SMOKE else 10})
        .training(
            lr=tune.grid_search([3e-4, 1e-3]),
            demonstrations="live",
            num_training_epochs=EPOCHS,
            train_batch_size_per_learner=50 if SMOKE else 1000,
        )
    )
    with tempfile.TemporaryDirectory() as storage:
        tuner = tune.Tuner(
            RELED,
            param_space=config,
            run_config=tune.RunConfig(
                storage_path=storage,
                stop={"training_iteration": EPOCHS},
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=1, num_to_keep=2),
                verbose=1,
            ),
        )
        results = tuner.fit()
        assert not results.errors, results.errors
        best = results.get_best_result("reled/mean_reward", mode="max")
        print(
            f"{len(results)} trials; best lr {best.config['lr']} with reward {best.metrics['reled']['mean_reward']:.0f}"
        )


with ray_session(num_cpus=2):
    main()
