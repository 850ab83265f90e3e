"""Whether demonstrations get better over refinements: fifty cycles without training, with the offline planner.

    python benchmarks/refinement.py --out runs/refinement [--settings rush] [--seeds 0 1 2] [--cycles 50]
    python benchmarks/refinement.py --out runs/refinement --table

All figures are mean rewards per agent over the same held-out episodes, in which every agent follows what is measured:
the demonstrations of the first cycle, the best ones after the last cycle, what the planner answers when it gets no
feedback, and simple drivers. A run that was stopped goes on after its last finished cycle. Several processes may work
on different settings or seeds in the same folder.
"""

from __future__ import annotations

import argparse
import json
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import sumo_marl_env
from rllib_releds import keys
from rllib_releds.demonstrations.callbacks import make_callback
from rllib_releds.demonstrations.episodes import demonstrated_episode
from rllib_releds.demonstrations.protocol import DemonstrationContext, Demonstrations
from rllib_releds.demonstrations.refinement import Refinement
from rllib_releds.files import write_json
from sumo_marl_env import Episode, RoutingEnv, run_yardstick

SETTINGS: dict[str, dict[str, Any]] = {
    "gridtown congested": {"scenario": "gridtown", "demand": "congested"},
    "harbourtown congested": {"scenario": "harbourtown", "demand": "congested"},
    "rush": {"scenario": "rush"},
    "gridtown moderate": {"scenario": "gridtown", "demand": "moderate"},
}

DRIVERS = {"rush": ("free_flow", "live", "equilibrium")}

FIRST_HELD_OUT_SEED = 1_000_000
"""Of the episodes that everything is measured on; cycles draw theirs from the whole range of seeds."""

MODEL = "offline/planner"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of states and figures")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS)[:3])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--cycles", type=int, default=50)
    parser.add_argument("--episodes", type=int, default=10, help="held-out episodes (default: 10)")
    parser.add_argument("--table", action="store_true", help="only print the table of what is there")
    options = parser.parse_args()
    if not options.table:
        for setting in options.settings:
            env = sumo_marl_env.parallel_env(**SETTINGS[setting])
            for seed in options.seeds:
                measure(env, setting, seed, options)
            measure_drivers(env, setting, options)
            env.close()
    print(table(options.out))


def measure(env: RoutingEnv, setting: str, seed: int, options: argparse.Namespace) -> None:
    """One run of cycles, and what its demonstrations earn; nothing if that is known already."""
    name = f"{setting} {seed}".replace(" ", "_")
    result, state = options.out / f"{name}.json", options.out / f"{name}.pickle"
    if result.is_file():
        known = json.loads(result.read_text())
        if (known["cycles"], known.get("episodes", options.episodes)) != (options.cycles, options.episodes):
            raise SystemExit(f"{result} was measured with other --cycles or --episodes; give another --out")
        return
    refinement = Refinement(env, make_callback(MODEL, folder=options.out / name), seed=seed)
    history: list[dict[str, Any]] = []
    if state.is_file():
        saved = pickle.loads(state.read_bytes())
        history, refined = saved["history"], saved["refinement"]
        refinement.set_state(refined)
    while refinement.num_cycles < options.cycles:
        cycle = refinement.cycle()
        history.append({**cycle.metrics, "first": None if history else cycle.demonstrations})
        options.out.mkdir(parents=True, exist_ok=True)
        write_whole(state, pickle.dumps({"history": history, "refinement": refinement.get_state()}))
        print(f"{name} cycle {refinement.num_cycles}: {history[-1][keys.EXPERT_REWARD]:.0f}", flush=True)
    first = history[0].pop("first")
    figures = {
        "setting": setting,
        "seed": seed,
        "cycles": options.cycles,
        "episodes": options.episodes,
        "start": held_out(env, first, options.episodes),
        "end": held_out(env, refinement.best, options.episodes),
        "no feedback": held_out(env, without_feedback(env, options.cycles), options.episodes),
        "execution_rate": min(row["execution_rate"] for row in history),
        "history": [{key: value for key, value in row.items() if key != "first"} for row in history],
    }
    write_json(result, figures)


def measure_drivers(env: RoutingEnv, setting: str, options: argparse.Namespace) -> None:
    path = options.out / f"drivers_{setting}.json".replace(" ", "_")
    if not path.is_file():
        seeds = range(FIRST_HELD_OUT_SEED, FIRST_HELD_OUT_SEED + options.episodes)
        names = DRIVERS.get(setting, ("free_flow", "live"))
        write_json(path, {name: figures_of(run_yardstick(env, name, seeds)) for name in names})


def without_feedback(env: RoutingEnv, cycles: int) -> Demonstrations:
    """What the planner answers when each of the cycles sends the initial prompt again."""
    callback = make_callback(MODEL, refine=False)
    context = DemonstrationContext.of(env.scenario, epoch=0, cycle=0, feedback=None, seed=0)
    demonstrations = callback(context)
    for cycle in range(1, cycles):
        demonstrations = callback(replace(context, epoch=cycle, cycle=cycle, seed=cycle))
    return demonstrations


def held_out(env: RoutingEnv, demonstrations: Demonstrations, episodes: int) -> dict[str, float]:
    return figures_of([demonstrated_episode(env, FIRST_HELD_OUT_SEED + row, demonstrations) for row in range(episodes)])


def figures_of(episodes: Sequence[Episode]) -> dict[str, float]:
    return {
        "reward": mean(episode.mean_reward for episode in episodes),
        "travel_time_s": mean(episode.mean_travel_time_s for episode in episodes),
        "arrival_rate": mean(episode.arrival_rate for episode in episodes),
    }


def table(folder: Path) -> str:
    """Markdown: mean reward (mean travel time) per setting, mean and standard deviation over seeds."""
    lines = [
        "| setting | seeds | first cycle | after the last | no feedback | free flow | live | equilibrium | execution |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for setting in SETTINGS:
        runs = [
            json.loads(path.read_text()) for path in sorted(folder.glob(f"{setting.replace(' ', '_')}_[0-9]*.json"))
        ]
        drivers = folder / f"drivers_{setting}.json".replace(" ", "_")
        if not runs or not drivers.is_file():
            continue
        known = json.loads(drivers.read_text())
        cells = [cell([run[column] for run in runs]) for column in ("start", "end", "no feedback")]
        cells += [cell([known[name]]) if name in known else "-" for name in ("free_flow", "live", "equilibrium")]
        rate = min(run["execution_rate"] for run in runs)
        lines.append(f"| {setting} | {len(runs)} | {' | '.join(cells)} | {rate:.0%} |")
    return "\n".join(lines)


def cell(figures: Sequence[dict[str, float]]) -> str:
    rewards = [one["reward"] for one in figures]
    spread = f" ± {stdev(rewards):.0f}" if len(rewards) > 1 else ""
    return f"{mean(rewards):.0f}{spread} ({mean(one['travel_time_s'] for one in figures):.0f} s)"


def write_whole(path: Path, data: bytes) -> None:
    """A crash leaves the old file."""
    temporary = path.with_suffix(".part")
    temporary.write_bytes(data)
    temporary.replace(path)


if __name__ == "__main__":
    main()
