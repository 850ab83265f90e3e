"""What programs cost in an expert episode, as a share of SUMO's time in the same episode.

Every agent of a town is demonstrated. Once by simple programs (two movements), once by programs that look at the live
travel time at every junction and move on road by road. Each episode is then driven again by the same movements as
stored plans, which costs what carrying out movements costs; the difference is what the programs cost: their
interpreter, their pauses, the answers to their queries.

    python benchmarks/program_overhead.py [--agents 100] [--scenario gridtown] [--demand moderate congested] [--json]

All seconds are CPU seconds, of this process and of the sandbox's worker, so that other load on the machine hardly
matters. SUMO's own are its wall time times the share of the CPU that the environment's steps got.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from dataclasses import dataclass
from statistics import median

import sumo_marl_env
from rllib_releds.demonstrations import Program
from rllib_releds.demonstrations.demonstrators import PlanDemonstrations, ProgramDemonstrations
from rllib_releds.demonstrations.protocol import Demonstrations
from sumo_marl_env import Plan, RoutingEnv, shortest_paths

BAR = 0.05
SIMPLE = """
def go():
    x, y = get_node_coord(get_destination())
    move_to_by_shortest_path(get_nearest_node(x - 150, y - 150))
    move_to_by_shortest_time(get_destination())
"""
ROAD_BY_ROAD = """
ROUTE = {route}


def go():
    goal = get_destination()
    for node, usual_s in ROUTE:
        if get_shortest_time(node) > 3 * usual_s + 60:
            break
        move_to_by_shortest_path(node)
    move_to_by_shortest_time(goal)
"""


@dataclass(frozen=True)
class Cost:
    """CPU seconds of one expert episode.

    Attributes:
        sumo_s: SUMO itself.
        demonstrations_s: starting, asking and ending the demonstrations, with the sandbox's worker.
        movements: how many the agents made.
    """

    sumo_s: float
    demonstrations_s: float
    movements: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=100, help="agents, all demonstrated (default: 100)")
    parser.add_argument("--scenario", default="gridtown", help="town or scenario file (default: gridtown)")
    parser.add_argument("--demand", nargs="+", default=["moderate", "congested"], help="background traffic")
    parser.add_argument("--episodes", type=int, default=3, help="episodes of each kind (default: 3)")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    options = parser.parse_args()
    rows = []
    for demand in options.demand:
        env = sumo_marl_env.parallel_env(scenario=options.scenario, num_agents=options.agents, demand=demand)
        rows += [
            {"demand": demand, "programs": kind} | measure(env, kind, options.episodes)
            for kind in ("simple", "road by road")
        ]
        env.close()
    print_table(rows, sys.stderr if options.json else sys.stdout)
    if options.json:
        print(json.dumps({"bar": BAR, "rows": rows}))


def measure(env: RoutingEnv, kind: str, episodes: int) -> dict[str, float]:
    """Medians over the episodes: the share of SUMO's time that programs take, with and without carrying them out."""
    programs, plans, shares = [], [], []
    for seed in range(episodes):
        env.reset(seed=seed)
        cost, followed = episode(env, seed, ProgramDemonstrations(make_programs(env, kind)))
        plain, _ = episode(env, seed, PlanDemonstrations(followed))
        programs.append(cost)
        plans.append(plain)
        shares.append((cost.demonstrations_s - plain.demonstrations_s) / cost.sumo_s)
    return {
        "movements": median(cost.movements for cost in programs),
        "sumo_s": median(cost.sumo_s for cost in programs),
        "plans_s": median(cost.demonstrations_s for cost in plans),
        "programs_s": median(cost.demonstrations_s for cost in programs),
        "share": median(shares),
    }


def episode(env: RoutingEnv, seed: int, demonstrations: Demonstrations) -> tuple[Cost, dict[str, Plan]]:
    """One expert episode of all agents: what it cost, and the movements that each agent began."""
    env.reset(seed=seed)
    began_s, worker_s = env.simulation_wall_s, children_cpu_s()
    demonstrations_s, steps_cpu_s, steps_wall_s = time.process_time(), 0.0, 0.0
    demonstrator = demonstrations.demonstrator(env.possible_agents)
    demonstrator.start({agent: env.navigator(agent) for agent in env.possible_agents})
    while env.agents:
        actions = {agent: demonstrator.act(agent) for agent in env.deciders}
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        env.step(actions)
        steps_cpu_s += time.process_time() - cpu_s
        steps_wall_s += time.perf_counter() - wall_s
    traces = demonstrator.finish(env.episode())
    demonstrations_s = time.process_time() - demonstrations_s - steps_cpu_s + children_cpu_s() - worker_s
    failed = [agent for agent, trace in traces.items() if trace.fell_back]
    if failed:
        raise RuntimeError(f"the program of {failed[0]} failed: {traces[failed[0]].error}")
    cost = Cost(
        (env.simulation_wall_s - began_s) * steps_cpu_s / steps_wall_s,
        demonstrations_s,
        sum(len(trace.instructions) for trace in traces.values()),
    )
    return cost, {agent: Plan(agent, trace.instructions) for agent, trace in traces.items()}


def make_programs(env: RoutingEnv, kind: str) -> dict[str, Program]:
    """One program per agent; `env` has been reset."""
    return {
        agent: Program(agent, SIMPLE if kind == "simple" else ROAD_BY_ROAD.format(route=usual_route(env, agent)), "go")
        for agent in env.possible_agents
    }


def usual_route(env: RoutingEnv, agent: str) -> list[tuple[int, int]]:
    """The junctions of the agent's shortest path on empty roads, each with the seconds to it from the one before."""
    network, trip = env.network, env.navigator(agent).trip
    edges = shortest_paths(network, "free_flow_time").route(trip.origin_edge, trip.destination)
    return [(int(network.edge_to[edge]), round(float(network.free_flow_time_s[edge]))) for edge in edges[1:]]


def children_cpu_s() -> float:
    """CPU seconds of all child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def print_table(rows: list[dict], stream) -> None:
    print(f"CPU seconds per expert episode; bar for the programs' share: {BAR:.0%} of SUMO's time", file=stream)
    print(
        f"{'demand':<12}{'programs':<14}{'moves':>7}{'SUMO':>8}{'as plans':>10}{'programs':>10}{'share':>8}",
        file=stream,
    )
    for row in rows:
        print(
            f"{row['demand']:<12}{row['programs']:<14}{row['movements']:>7.0f}{row['sumo_s']:>8.2f}"
            f"{row['plans_s']:>10.2f}{row['programs_s']:>10.2f}{row['share']:>8.1%}",
            file=stream,
        )


if __name__ == "__main__":
    main()
