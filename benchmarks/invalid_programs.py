"""Training when half of the language model's programs are invalid on purpose, beside training without any (IPPO).

A server on loopback breaks the programs of all odd agents, in four ways: a syntax error, an unknown name, a node that
does not exist, an endless loop. The final reward is the mean over episodes with equal seeds after the last epoch.

    python benchmarks/invalid_programs.py --out results [--seeds 0 1 2] [--epochs 60] [--scenario gridtown]

One file per training lies in --out; those that are there are not trained again, so that it can be stopped at any time.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import ray
import torch
from chat_server import ChatServer, spoiled

from rllib_releds import RELEDConfig, keys
from rllib_releds.demonstrations.callbacks import make_callback
from rllib_releds.demonstrations.models.chat import ChatSettings
from rllib_releds.experiments.evaluation import EVALUATION_SEED, PolicyDriver, drive

WAYS = ("IPPO", "half invalid")
SETTINGS = ("scenario", "epochs", "steps", "episodes")
"""Options that every training in a folder must share."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds (default: 0 1 2)")
    parser.add_argument("--epochs", type=int, default=60, help="epochs of each training (default: 60)")
    parser.add_argument("--steps", type=int, default=1000, help="interaction steps per epoch (default: 1000)")
    parser.add_argument("--episodes", type=int, default=20, help="episodes of the evaluation (default: 20)")
    parser.add_argument("--scenario", default="gridtown", help="scenario (default: gridtown)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, address="local", configure_logging=False)
    options.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed in options.seeds:
        for way in WAYS:
            file = options.out / f"{way.replace(' ', '_')}_{seed}.json"
            if not file.is_file():
                file.write_text(json.dumps(measure(way, seed, options)))
            rows.append(json.loads(file.read_text()))
            other = {name for name in SETTINGS if rows[-1]["settings"][name] != str(getattr(options, name))}
            if other:
                parser.error(f"{file} was measured with another {', '.join(sorted(other))}; give another --out")
            print(
                "seed {seed}  {way:<14} final reward {reward:7.1f}  execution rate {execution_rate}".format(**rows[-1])
            )
    ray.shutdown()
    for way in WAYS:
        rewards = [row["reward"] for row in rows if row["way"] == way]
        noise = f" +- {stdev(rewards):.1f}" if len(rewards) > 1 else ""
        print(f"{way:<14} mean {mean(rewards):.1f}{noise} over {len(rewards)} seeds")


def measure(way: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """One training, and the reward of its last policies on seeds that all trainings share."""
    with ChatServer(spoiled) as server:
        settings = ChatSettings(model="openai/planner", api_base=server.address)
        config = RELEDConfig().environment(env_config={"scenario": options.scenario})
        config.training(
            demonstrations=None if way == "IPPO" else make_callback(settings.model, settings=settings),
            num_training_epochs=options.epochs,
            train_batch_size_per_learner=options.steps,
        )
        algorithm = config.debugging(seed=seed).build_algo()
        epochs = [algorithm.train()[keys.RELED] for _ in range(options.epochs)]
    seeds = range(EVALUATION_SEED, EVALUATION_SEED + options.episodes)
    driver = PolicyDriver(algorithm.routing_module().sampling_policies(), algorithm.scenario.agents)
    algorithm.stop()
    reward = mean(episode.mean_reward for episode in drive(config.env_config, {way: driver}, seeds)[way])
    rates = {float(epoch[keys.EXECUTION_RATE]) for epoch in epochs if keys.EXECUTION_RATE in epoch}
    return {
        "seed": seed,
        "way": way,
        "reward": reward,
        "execution_rate": sorted(rates),
        "rewards": [float(epoch[keys.MEAN_REWARD]) for epoch in epochs],
        "settings": {name: str(value) for name, value in vars(options).items() if name != "out"},
    }


if __name__ == "__main__":
    main()
