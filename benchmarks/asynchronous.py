"""What a model's inference time costs: training beside a server that answers at once, and one that takes its time.

Three ways to train on gridtown, in turn, so that other work on the machine meets all of them alike:

    instant        the server answers at once; training waits for it (the demonstrations cost no inference time)
    synchronous    the server takes 7.35 s (the paper's inference time) per request; training waits for it
    asynchronous   the same slow server, asked beside training

Same answers (the offline planner's), same epochs, same number of expert episodes if every request is answered in time.

    python benchmarks/asynchronous.py [--epochs 60] [--rounds 3] [--seconds 7.35] [--json]

The bar: asynchronous takes at most 1.02 times as long as instant. `demos s` is the part of the wall time that an epoch
spends on demonstrations, expert episodes included: what a model can delay. On a busy machine its difference to
`instant`, as a share of the wall time, says more than the ratio of two trainings does; it is printed as "lost".
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
from rllib_releds.demonstrations.models.chat import ChatSettings

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
    columns = ("round", "way", "wall_s", "demos_s", "cpu_s", "cycles", "expert_steps", "reward")
    print(*(f"{column:>12}" for column in columns), file=stream)
    rows = []
    for round_ in range(options.rounds):
        # The order turns, so that nobody is always the first.
        for way in WAYS[round_ % 3 :] + WAYS[: round_ % 3]:
            rows.append({"round": round_, "way": way, **measure(way, options)})
            shown = [f"{value:.1f}" if isinstance(value, float) else value for value in rows[-1].values()]
            print(*(f"{value:>12}" for value in shown), file=stream, flush=True)
    ray.shutdown()
    figures = {way: compared(rows, way) for way in WAYS[1:]}
    for way, (ratio, lost) in figures.items():
        print(f"{way} / instant: {ratio:.3f}, lost {lost:+.1%} (medians of {options.rounds})", file=stream)
    print(f"bar for asynchronous: {BAR}", file=stream)
    if options.json:
        print(json.dumps({"ratio_and_lost_median": figures, "bar": BAR, "trainings": rows}))


def compared(rows: list[dict[str, Any]], way: str) -> tuple[float, float]:
    """Wall time beside that of `instant`, and share of it lost to demonstrations; medians over the rounds."""
    pairs = [
        (row, other)
        for row in rows
        for other in rows
        if row["way"] == way and (other["way"], other["round"]) == ("instant", row["round"])
    ]
    ratio = median(row["wall_s"] / other["wall_s"] for row, other in pairs)
    return ratio, median((row["demos_s"] - other["demos_s"]) / other["wall_s"] for row, other in pairs)


def measure(way: str, options: argparse.Namespace) -> dict[str, Any]:
    """One training in this way: wall and CPU seconds of its epochs, and what came of it."""
    behaviour: Behaviour = planned if way == "instant" else late(options.seconds)
    with ChatServer(behaviour) as server:
        algorithm = build(way == "asynchronous", server.address, options)
        algorithm.train()  # imports and compiles what all of them need
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        demos_s = 0.0
        for _ in range(options.epochs):
            result = algorithm.train()[keys.RELED]
            demos_s += float(result[keys.DEMONSTRATIONS_TIMER])
        wall_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
        algorithm.stop()
    return {
        "wall_s": wall_s,
        "demos_s": demos_s,
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
