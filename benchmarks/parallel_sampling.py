"""Interaction steps per second while sampling, with env runners against without, and how long runners stand idle.

Both train RELED with the offline planner and take turns, one epoch each, so that whatever else the machine does meets
both. Only the sampling of agent episodes is timed, from the second epoch on: before, nobody has learnt anything.
`--demonstrations none` measures agents that have not: they wander, so that an epoch of 1000 interaction steps has only
three episodes, and two runners cannot be more than one and a half times as fast as none.

On a machine with other work, look at the steps per CPU second: what two runners cost over none is lost whatever the
number of free cores.

Run:     python benchmarks/parallel_sampling.py            (--smoke: without traffic, two short epochs)
Expect:  a table, and the ratio of the medians.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import dataclass
from statistics import median

from rich.console import Console
from rich.table import Table

from rllib_releds import RELED, RELEDConfig
from rllib_releds.algorithm.rollouts import Rollout
from rllib_releds.local_ray import ray_session


@dataclass(frozen=True)
class Sampling:
    """What sampling one epoch took.

    Attributes:
        episodes: episodes kept.
        steps: their interaction steps.
        wall_s: of the driver, from the first episode's begin to the last one's end.
        cpu_s: of the driver and all runners.
        busy: share of the runners' wall time in which they played episodes that were kept.
    """

    episodes: int
    steps: int
    wall_s: float
    cpu_s: float
    busy: float


class WatchedRELED(RELED):
    """Notes what sampling takes.

    Attributes:
        samplings: one per epoch.
    """

    def setup(self, config: RELEDConfig) -> None:
        super().setup(config)
        self.samplings: list[Sampling] = []

    def _sample_agent_episodes(self, epoch: int) -> list[Rollout]:
        began_cpu_s, began_s = self._cpu_s(), time.perf_counter()
        rollouts = super()._sample_agent_episodes(epoch)
        wall_s, cpu_s = time.perf_counter() - began_s, self._cpu_s() - began_cpu_s
        num_runners = max(1, self.env_runner_group.num_remote_workers())
        played_s = sum(rollout.wall_s for rollout in rollouts)
        steps = sum(rollout.agent_steps() for rollout in rollouts)
        self.samplings.append(Sampling(len(rollouts), steps, wall_s, cpu_s, played_s / (num_runners * wall_s)))
        return rollouts

    def _cpu_s(self) -> float:
        """Of this process and of all runners so far."""
        group = self.env_runner_group
        runners = group.foreach_env_runner(lambda runner: time.process_time(), local_env_runner=False)
        return time.process_time() + sum(runners)


def build(num_env_runners: int, arguments: argparse.Namespace) -> WatchedRELED:
    return (
        RELEDConfig(algo_class=WatchedRELED)
        .environment(
            env_config={"scenario": "gridtown", "demand": arguments.demand, "num_agents": arguments.agents},
        )
        .env_runners(num_env_runners=num_env_runners)
        .training(
            demonstrations=None if arguments.demonstrations == "none" else arguments.demonstrations,
            train_batch_size_per_learner=arguments.steps,
        )
        .debugging(seed=0)
        .build_algo()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runners", type=int, default=2)
    parser.add_argument("--demand", default="congested")
    parser.add_argument("--agents", type=int, default=10)
    parser.add_argument("--demonstrations", default="offline/planner", help="none: agents that have learnt nothing")
    parser.add_argument("--steps", type=int, default=1000, help="interaction steps per epoch")
    parser.add_argument("--epochs", type=int, default=8, help="of each; one more goes before them and is not counted")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.smoke:
        arguments.demand, arguments.agents, arguments.steps, arguments.epochs = "none", 3, 60, 2
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with ray_session(arguments.runners + 1):
        algorithms = {number: build(number, arguments) for number in (0, arguments.runners)}
        for _ in range(arguments.epochs + 1):
            for algorithm in algorithms.values():
                algorithm.train()
        taken = {number: algorithm.samplings[1:] for number, algorithm in algorithms.items()}
        for algorithm in algorithms.values():
            algorithm.stop()
    show(taken, arguments)


def show(taken: dict[int, list[Sampling]], arguments: argparse.Namespace) -> None:
    """Medians over the epochs."""
    rows = {
        number: {
            "steps_per_s": median(one.steps / one.wall_s for one in samplings),
            "steps_per_cpu_s": median(one.steps / one.cpu_s for one in samplings),
            "busy": median(one.busy for one in samplings),
            "episodes": median(one.episodes for one in samplings),
            "steps": median(one.steps for one in samplings),
        }
        for number, samplings in taken.items()
    }
    alone, together = rows[0], rows[arguments.runners]
    ratios = {name: together[name] / alone[name] for name in ("steps_per_s", "steps_per_cpu_s")}
    load = os.getloadavg()[0]
    if arguments.json:
        print(json.dumps({"rows": {str(number): row for number, row in rows.items()}, "ratios": ratios, "load": load}))
        return
    table = Table("env runners", "steps per s", "steps per CPU s", "runners busy", "episodes", "steps per epoch")
    for number, row in rows.items():
        figures = (f"{row['steps_per_s']:.0f}", f"{row['steps_per_cpu_s']:.0f}", f"{row['busy']:.0%}")
        table.add_row(str(number), *figures, f"{row['episodes']:.0f}", f"{row['steps']:.0f}")
    Console().print(table)
    print(
        f"{arguments.runners} env runners against none: {ratios['steps_per_s']:.2f} times the interaction steps per "
        f"second, {ratios['steps_per_cpu_s']:.2f} times per CPU second (load average {load:.1f}, "
        f"{len(os.sched_getaffinity(0))} cores)"
    )


if __name__ == "__main__":
    main()
