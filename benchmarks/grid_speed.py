"""CPU time with many agents against the raw `sumo` binary: `python benchmarks/grid_speed.py`.

As `env_speed.py`, but the agents are all the traffic there is: 100, 500 and 1000 of them, for at most 20 simulated
minutes on a 30 x 30 grid of SUMO's own `netgenerate`. The bar is 1.4. Agents that act at random need a new route in
SUMO at every junction, 12 us each, which the raw binary does not; `--driver free_flow` shows the cost without that.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
from dataclasses import asdict
from pathlib import Path

from env_speed import Pair, measure, output_to_stderr

import sumo_marl_env
from sumo_marl_env import RoadNetwork
from sumo_marl_env.sumo_programs import sumo_home

BAR = 1.4
SIDE = 30
HORIZON_S = 1200.0


def grid(folder: Path) -> RoadNetwork:
    """Two-way streets, 100 m apart."""
    file = folder / f"grid_{SIDE}.net.xml"
    netgenerate = sumo_home() / "bin" / "netgenerate"
    command = [netgenerate, "--grid", "--grid.number", str(SIDE), "--no-turnarounds", "--output-file", file]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return RoadNetwork.from_net_file(file)


def run(network: RoadNetwork, num_agents: int, pairs: int, driver: str, isolate: bool) -> list[Pair]:
    """Interleaved pairs, after a reset that fills the caches."""
    env = sumo_marl_env.parallel_env(
        network=network, demand="none", num_agents=num_agents, horizon_s=HORIZON_S, isolate=isolate
    )
    try:
        env.reset(seed=pairs)
        return [measure(env, [seed], driver) for seed in range(pairs)]
    finally:
        env.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU time of many agents against the raw sumo binary.")
    parser.add_argument("--agents", type=int, nargs="+", default=[100, 500, 1000], help="how many (default all three)")
    parser.add_argument("--pairs", type=int, default=2, help="interleaved pairs of one episode (default 2)")
    parser.add_argument("--driver", choices=("random", "free_flow"), default="random", help="how agents act")
    parser.add_argument("--isolated", action="store_true", help="run SUMO in a child process")
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    arguments = parser.parse_args()
    with output_to_stderr(), tempfile.TemporaryDirectory() as folder:
        network = grid(Path(folder))
        results = {n: run(network, n, arguments.pairs, arguments.driver, arguments.isolated) for n in arguments.agents}
    if arguments.json:
        rows = {n: [{**asdict(pair), "ratio": pair.ratio} for pair in pairs] for n, pairs in results.items()}
        print(json.dumps({"bar": BAR, "isolated": arguments.isolated, "agents": rows}))
        return
    print("agents  sim steps  decisions  env CPU s  sumo CPU s  ratio   bar  reset ms  inside SUMO")
    for n, pairs in results.items():
        for pair in pairs:
            print(
                f"{n:6d} {pair.sim_steps:10d} {pair.decisions:10d} {pair.env_s:10.2f} {pair.raw_s:11.2f} "
                f"{pair.ratio:6.2f} {BAR:5.2f} {pair.reset_ms:9.0f} {pair.inside_sumo_share:12.1%}"
            )
        print(f"{n} agents: median ratio {statistics.median(pair.ratio for pair in pairs):.3f}, bar {BAR}")


if __name__ == "__main__":
    main()
