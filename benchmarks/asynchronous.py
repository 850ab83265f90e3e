"""What a model's inference time costs: training beside a server that answers at once, and one that takes its time.

Three ways to train on gridtown, in turn, so that other work on the machine meets all of them alike:

    instant        the server answers at once; training waits for it (the demonstrations cost no inference time)
    synchronous    the server takes 7.35 s (the paper's inference time) per request; training waits for it
    asynchronous   the same slow server, asked beside training

Same answers (the offline planner's), same epochs, same number of expert episodes if every request is answered in time.

    python benchmarks/asynchronous.py [--epochs 60] [--rounds 3] [--seconds 7.35] [--json]

The bar: asynchronous takes at most 1.02 times as long as instant.
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
from chat_server import Behaviour, ChatServer, late, planned

from rllib_releds import RELED, RELEDConfig, keys
from rllib_releds.demonstrations.callbacks import make_callback
from rllib_releds.demonstrations.chat import ChatSettings

WAYS = ("instant", "synchronous", "asynchronous")
BAR = 1.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=60, help="epochs of each training (default: 60)")
    parser.add_argument("--rounds", type=int, default=3, help="trainings of each way (default: 3)")
    parser.add_argument("--seconds", type=float, default=7.35, help="inference time per request (default: 7.35)")
    parser.add_argument("--agents", type=int, default=10, help="number of agents (default: 10)")
    parser.add_argument("--steps", type=int, default=1000, help="interaction steps per epoch (default: 1000)")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, address="local", configure_logging=False)
    stream = sys.stderr if options.json else sys.stdout
    print(
        f"{'round':>5}  {'way':<14}{'wall s':>8}{'CPU s':>8}{'cycles':>8}{'expert steps':>14}{'reward':>8}", file=stream
    )
    rows = []
    for round_ in range(options.rounds):
        # The order turns, so that nobody is always the first.
        for way in WAYS[round_ % 3 :] + WAYS[: round_ % 3]:
            rows.append({"round": round_, "way": way, **measure(way, options)})
            print("{round:>5}  {way:<14}{wall_s:>8.1f}{cpu_s:>8.1f}{cycles:>8}{expert_steps:>14}{reward:>8.0f}".format(
                **rows[-1]), file=stream, flush=True)  # fmt: skip
    ray.shutdown()
    ratios = {way: median(ratio(rows, way)) for way in WAYS[1:]}
    for way, value in ratios.items():
        print(f"{way} / instant: {value:.3f} (median of {options.rounds})", file=stream)
    print(f"bar for asynchronous: {BAR}", file=stream)
    if options.json:
        print(json.dumps({"ratio_median": ratios, "bar": BAR, "trainings": rows}))


def ratio(rows: list[dict[str, Any]], way: str) -> list[float]:
    """Wall time beside that of `instant` in each round."""
    wall_s = {(row["round"], row["way"]): row["wall_s"] for row in rows}
    return [wall_s[round_, way] / wall_s[round_, "instant"] for round_, other in wall_s if other == way]


def measure(way: str, options: argparse.Namespace) -> dict[str, Any]:
    """One training in this way: wall and CPU seconds of its epochs, and what came of it."""
    behaviour: Behaviour = planned if way == "instant" else late(options.seconds)
    with ChatServer(behaviour) as server:
        algorithm = build(way == "asynchronous", server.address, options)
        algorithm.train()  # imports and compiles what all of them need
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        for _ in range(options.epochs):
            result = algorithm.train()[keys.RELED]
        wall_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
        algorithm.stop()
    return {
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "cycles": int(result[keys.DEMONSTRATION_CYCLES]),
        "expert_steps": int(result[keys.EXPERT_STEPS_LIFETIME]),
        "reward": float(result[keys.MEAN_REWARD]),
    }


def build(asynchronous: bool, address: str, options: argparse.Namespace) -> RELED:
    settings = ChatSettings(model="openai/planner", api_base=address)
    config = RELEDConfig().environment(env_config={"scenario": "gridtown", "num_agents": options.agents})
    config.training(
        demonstrations=make_callback(settings.model, settings=settings),
        asynchronous=asynchronous,
        num_training_epochs=options.epochs,
        train_batch_size_per_learner=options.steps,
    )
    return config.build_algo()


if __name__ == "__main__":
    main()
