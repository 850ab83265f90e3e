"""Results of trials that never ran: reward and travel time approach a level of one's choice."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rllib_releds.reproduction.grid import trial_settings
from rllib_releds.reproduction.trial import Curve, Evaluation, Trial, TrialResult, Yardsticks

EVALUATION_SEEDS = tuple(range(100, 120))
DISTANCE_M = 1050.0


def evaluation(travel_times_s, seeds=EVALUATION_SEEDS) -> Evaluation:
    """Agents that all arrive: return = distance - travel time + 240."""
    times = np.broadcast_to(np.asarray(travel_times_s, dtype=float), len(seeds))
    rewards = DISTANCE_M - times + 240.0
    return Evaluation(
        seeds=tuple(seeds), rewards=tuple(rewards), travel_times_s=tuple(times), arrival_rates=(1.0,) * len(seeds)
    )


def curve(travel_times_s, *, expert=False, steps_per_epoch=1000.0) -> Curve:
    times = np.asarray(travel_times_s, dtype=float)
    epochs = np.arange(1, len(times) + 1)
    nothing = (None,) * len(times)
    return Curve(
        interaction_steps=tuple(steps_per_epoch * epochs),
        expert_interaction_steps=tuple(200.0 * (1 + (epochs - 1) // 10)) if expert else nothing,
        rewards=tuple(DISTANCE_M - times + 240.0),
        travel_times_s=tuple(times),
        arrival_rates=(1.0,) * len(times),
        wall_s=tuple(1.8 * epochs + (6.0 * (1 + epochs // 10) if expert else 0.0)),
        dtw_m=tuple(200.0 + 900.0 * np.exp(-epochs / 15)) if expert else nothing,
        expert_rewards=(780.0,) * len(times) if expert else nothing,
        agent_weights=tuple(epochs / len(times)) if expert else nothing,
    )


def result(trial: Trial, *, level_s=500.0, speed=0.1, noise_s=10.0, edges=()) -> TrialResult:
    """A run whose travel time falls from 2000 s to `level_s`."""
    rng = np.random.default_rng([trial.seed, len(trial.method), trial.num_agents])
    epochs = np.arange(trial.num_epochs)
    expert = trial.method.startswith(("RELED", "LEED"))
    times = level_s + (2000.0 - level_s) * np.exp(-speed * epochs) + rng.normal(0.0, 2 * noise_s, len(epochs))
    greedy = level_s + rng.normal(0.0, noise_s) + rng.normal(0.0, noise_s, len(EVALUATION_SEEDS))
    counts = dict(zip(edges, (rng.pareto(1.0, len(edges)) * 5).astype(int).tolist(), strict=True))
    return TrialResult(
        trial=trial,
        demonstrator=trial_settings(trial, "offline/planner").demonstrator,
        curve=curve(times, expert=expert),
        greedy=evaluation(greedy),
        sampled=evaluation(greedy + noise_s),
        wall_s=2.0 * trial.num_epochs,
        simulation_wall_s=1.2 * trial.num_epochs,
        agent_edge_counts=counts,
        expert_edge_counts={edge: count // 2 for edge, count in counts.items() if count > 1} if expert else {},
        versions={"rllib-releds": "0.1.0"},
    )


def yardsticks(setting: str, live_s=510.0) -> Yardsticks:
    drivers = {"random": 1900.0, "free_flow": live_s + 15, "live": live_s, "rerouting": live_s + 5}
    return Yardsticks(setting=setting, drivers={name: evaluation(time) for name, time in drivers.items()})


def write(out: Path, *models: TrialResult | Yardsticks) -> Path:
    """Where `reled reproduce` puts them."""
    for model in models:
        if isinstance(model, Yardsticks):
            path = out / "yardsticks" / f"{model.setting}.json"
        else:
            path = out / "trials" / model.trial.name / "result.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(model.model_dump_json())
    return out
