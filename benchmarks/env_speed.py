"""CPU time of the environment against the raw `sumo` binary on the same traffic: `python benchmarks/env_speed.py`.

One side is whole episodes through the PettingZoo interface: reset, actions, observations, masks, rewards, infos and the
recording. The other is SUMO's own program, which simulates the same seconds of the same background vehicles, with the
agents as ordinary vehicles on the routes that they drove. Both read the network anew in each episode; starting Python
does not count. The bar is 1.15, and 1.35 with `--isolated`, where SUMO runs in a child process that counts as well. A
reset may take 80 ms.

By default agents act at random, which is the hardest case: all of them drive, and decide, until the horizon. With
`--driver free_flow` they take the fastest route and the episode ends when the last one arrives.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

import sumo_marl_env
from sumo_marl_env import AgentID, RoutingEnv, shortest_paths
from sumo_marl_env.simulation.sumo import TIME_TO_TELEPORT_S
from sumo_marl_env.sumo_programs import sumo_home

BAR, ISOLATED_BAR, RESET_BAR_MS = 1.15, 1.35, 80.0

Choose = Callable[[AgentID, NDArray[np.int8]], int]
"""The action slot of an agent, given its mask."""


@dataclass(frozen=True)
class Pair:
    """CPU seconds of the same episodes on both sides.

    Attributes:
        seeds: of the episodes.
        sim_steps: simulated seconds on both sides.
        decisions: actions that the agents took.
        env_s: CPU time of the environment, with that of its child process if it has one.
        raw_s: CPU time of the binary.
        reset_ms: median wall time of `reset`, until the first decision.
        inside_sumo_share: wall time inside SUMO's loading and stepping over wall time of the environment.
    """

    seeds: list[int]
    sim_steps: int
    decisions: int
    env_s: float
    raw_s: float
    reset_ms: float
    inside_sumo_share: float

    @property
    def ratio(self) -> float:
        return self.env_s / self.raw_s


def measure(env: RoutingEnv, seeds: list[int], driver: str) -> Pair:
    """Some episodes in the environment and in the binary, in turn, so that both meet the same other load."""
    env_s, raw_s, inside_s, wall_s, sim_steps, decisions = 0.0, 0.0, 0.0, 0.0, 0, 0
    resets_ms = []
    for seed in seeds:
        wall, inside, begin = time.perf_counter(), env.simulation_wall_s, _cpu_s()
        resets_ms.append(_drive(env, seed, driver))
        env_s += _cpu_s() - begin
        wall_s += time.perf_counter() - wall
        inside_s += env.simulation_wall_s - inside
        with tempfile.TemporaryDirectory() as folder:
            raw_s += _raw(env, _write_routes(env, seed, Path(folder) / "traffic.rou.xml"), seed, int(env.time_s))
        sim_steps += int(env.time_s)
        decisions += sum(len(trajectory.actions) for trajectory in env.episode())
    return Pair(seeds, sim_steps, decisions, env_s, raw_s, statistics.median(resets_ms), inside_s / wall_s)


def _cpu_s() -> float:
    """CPU seconds of this process and of its running children."""
    own = os.getpid()
    children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
    return time.process_time() + sum(_cpu_of(child) for child in children)


def _cpu_of(pid: str) -> float:
    """From the scheduler's own account, in nanoseconds: the usual one has a resolution of 10 ms."""
    return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def _drive(env: RoutingEnv, seed: int, driver: str) -> float:
    """One episode; returns the wall time of its reset in milliseconds."""
    choose = _random(random.Random(seed)) if driver == "random" else _free_flow(env)
    begin = time.perf_counter()
    observations, _ = env.reset(seed=seed)
    reset_ms = 1000.0 * (time.perf_counter() - begin)
    while env.agents:
        actions = {agent: choose(agent, observations[agent]["action_mask"]) for agent in env.deciders}
        observations, *_ = env.step(actions)
    return reset_ms


def _random(draw: random.Random) -> Choose:
    # The time to choose is no time of the environment: 0.2 us instead of 2.
    valid: dict[bytes, list[int]] = {}

    def choose(agent: AgentID, mask: NDArray[np.int8]) -> int:
        key = mask.tobytes()
        if key not in valid:
            valid[key] = mask.nonzero()[0].tolist()
        return draw.choice(valid[key])

    return choose


def _free_flow(env: RoutingEnv) -> Choose:
    paths = shortest_paths(env.network, "free_flow_time")
    next_edges = {trip.agent: paths.next_edges(trip.destination) for trip in env.scenario.trips}

    def choose(agent: AgentID, mask: NDArray[np.int8]) -> int:
        edge = env.current_edge(agent)
        return env.network.slot(edge, next_edges[agent][edge])

    return choose


def _raw(env: RoutingEnv, routes: Path, seed: int, sim_steps: int) -> float:
    """CPU seconds of the `sumo` binary."""
    command = [
        *(str(sumo_home() / "bin" / "sumo"), "--net-file", str(env.network.net_file), "--route-files", str(routes)),
        *("--seed", str(seed), "--end", str(sim_steps), "--time-to-teleport", str(TIME_TO_TELEPORT_S)),
        *("--xml-validation", "never", "--no-step-log", "--no-warnings", "--duration-log.disable"),
    ]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "SUMO_HOME": str(sumo_home())}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _write_routes(env: RoutingEnv, seed: int, path: Path) -> Path:
    """The episode's vehicles as SUMO's route file, in order of departure."""
    scenario = env.scenario
    background = scenario.background(seed)
    rows = [
        (vehicle.depart_s, f"background_{k}", list(vehicle.route), 'departLane="random" departPos="random_free"')
        for k, vehicle in enumerate(background)
    ]
    rows += [(t.trip.depart_s, t.agent, t.edges.tolist(), 'departLane="best" departPos="base"') for t in env.episode()]
    lines = ["<routes>"]
    for depart_s, name, route, placement in sorted(rows, key=lambda row: row[0]):
        edges = " ".join(env.network.edge_ids[edge] for edge in route)
        lines.append(
            f'<vehicle id="{name}" depart="{depart_s:.2f}" departSpeed="0" {placement}>'
            f"<route edges={quoteattr(edges)}/></vehicle>"
        )
    path.write_text("\n".join([*lines, "</routes>"]), encoding="utf-8")
    return path


@contextlib.contextmanager
def output_to_stderr() -> Iterator[None]:
    """SUMO writes past Python, so file descriptors are exchanged."""
    standard_output = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(standard_output, 1)
        os.close(standard_output)


def run(num_pairs: int, episodes: int, scenario: str, driver: str, isolate: bool) -> list[Pair]:
    """Interleaved pairs, after one episode that fills the caches."""
    env = sumo_marl_env.parallel_env(scenario, sumo_marl_env.Demand("90 constant", 90), isolate=isolate)
    try:
        measure(env, [num_pairs * episodes], driver)
        return [measure(env, list(range(k * episodes, (k + 1) * episodes)), driver) for k in range(num_pairs)]
    finally:
        env.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU time of the environment against the raw sumo binary.")
    parser.add_argument("--pairs", type=int, default=5, help="interleaved pairs (default 5)")
    parser.add_argument("--episodes", type=int, default=12, help="episodes in each pair (default 12)")
    parser.add_argument("--driver", choices=("random", "free_flow"), default="random", help="how agents act")
    parser.add_argument("--scenario", default="gridtown", help="built-in town (default gridtown)")
    parser.add_argument("--isolated", action="store_true", help="run SUMO in a child process")
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    arguments = parser.parse_args()
    with output_to_stderr():
        results = run(arguments.pairs, arguments.episodes, arguments.scenario, arguments.driver, arguments.isolated)
    bar = ISOLATED_BAR if arguments.isolated else BAR
    ratio = statistics.median(pair.ratio for pair in results)
    if arguments.json:
        pairs = [{**asdict(pair), "ratio": pair.ratio} for pair in results]
        setting = {
            "bar": bar,
            "scenario": arguments.scenario,
            "driver": arguments.driver,
            "isolated": arguments.isolated,
        }
        print(json.dumps({"ratio_median": ratio, **setting, "pairs": pairs}))
        return
    print("pair  sim steps  decisions  env CPU s  sumo CPU s  ratio  reset ms  inside SUMO")
    for k, pair in enumerate(results):
        print(
            f"{k:4d} {pair.sim_steps:10d} {pair.decisions:10d} {pair.env_s:10.3f} {pair.raw_s:11.3f} "
            f"{pair.ratio:6.2f} {pair.reset_ms:9.1f} {pair.inside_sumo_share:12.1%}"
        )
    reset_ms = statistics.median(pair.reset_ms for pair in results)
    print(f"median ratio {ratio:.3f}, bar {bar}; median reset {reset_ms:.0f} ms, bar {RESET_BAR_MS:.0f} ms")


if __name__ == "__main__":
    main()
