"""A training whose metrics go to MLflow, to Weights & Biases, or to both, by Ray Tune's own callbacks.

Run:     python examples/05_watch.py mlflow wandb     (without names: TensorBoard alone; --smoke: two short epochs)
Expect:  the folder with the metrics. Names are in docs/metrics.md; `mlflow ui --backend-store-uri sqlite:///mlflow.db`,
         `wandb` or `tensorboard --logdir` shows them.

The libraries are yours to install: `pip install "mlflow>=3" wandb`, without constraints.txt, whose pyarrow is too new
for MLflow. WANDB_MODE=offline keeps W&B on this machine.
"""

import sys
import tempfile

from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.air.integrations.wandb import WandbLoggerCallback

from rllib_releds import RELED, RELEDConfig
from rllib_releds.local_ray import ray_session

SMOKE = "--smoke" in sys.argv
EPOCHS = 2 if SMOKE else 20
WATCHERS = {
    "mlflow": lambda: MLflowLoggerCallback(tracking_uri="sqlite:///mlflow.db", experiment_name="reled"),
    "wandb": lambda: WandbLoggerCallback(project="reled"),
}


def main(storage: str) -> None:
    config = (
        RELEDConfig()
        .environment(env_config={"scenario": "gridtown", "num_agents": 2 if SMOKE else 10})
        .training(
            demonstrations="live",
            num_training_epochs=EPOCHS,
            train_batch_size_per_learner=50 if SMOKE else 1000,
        )
    )
    run_config = tune.RunConfig(
        storage_path=storage,
        stop={"training_iteration": EPOCHS},
        callbacks=[make() for name, make in WATCHERS.items() if name in sys.argv],
        verbose=1,
    )
    (result,) = tune.Tuner(RELED, param_space=config, run_config=run_config).fit()
    assert result.error is None, result.error
    print(f"{result.metrics['training_iteration']} epochs logged; TensorBoard reads {result.path}")


with ray_session(num_cpus=2):
    main(tempfile.mkdtemp(prefix="reled_"))
