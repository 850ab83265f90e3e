"""What programs cost in an expert episode, as a share of SUMO's time in the same episode.

Every agent of a town is demonstrated, by three kinds of programs: two movements; the junctions of a route one after the
other, as the offline planner writes them; and the same with a look at the live travel time at every junction.

Each episode is driven three times, from the same seed and with the same actions: by the programs, by their movements as
stored plans, and by the recorded actions, as an episode in which nobody thinks. Two shares of SUMO's time follow:

    programs    what the demonstrator costs with programs, less what it costs with plans: interpreters, their pauses,
                and the answers to their queries. This is the overhead of programs.
    expert      the whole episode with programs, less the whole episode with recorded actions: the former and the
                carrying out of movements, which a policy's forward passes stand for in other episodes.

What the environment does itself is paid in all three, and is in neither.

Before the first episode each program has its dry run, as when a model has answered, and what that took is given on its
own. A program that asks nothing about the moment need not run in an episode then. The share of the programs is given
for the first episode and for the following ones.

    python benchmarks/program_overhead.py [--agents 100] [--scenario gridtown] [--demand moderate congested] [--json]

All seconds are CPU seconds, of this process and of the sandbox's worker, so that other load on the machine matters
little. SUMO's own are its wall time times the share of the CPU that the episode got.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import sumo_marl_env
from rllib_releds.demonstrations import Program, SandboxLimits
from rllib_releds.demonstrations.demonstrators import GivenDemonstrations
from rllib_releds.demonstrations.execution.dry_run import dry_run
from rllib_releds.demonstrations.execution.sandbox import Sandbox
from rllib_releds.demonstrations.execution.transcripts import forget_all
from rllib_releds.demonstrations.protocol import DemonstrationContext, DemonstrationTrace, Demonstrator
from rllib_releds.demonstrations.routing_domain import ROUTING
from sumo_marl_env import AgentID, Episode, Plan, RoadNetwork, RoutingEnv, Trip, shortest_paths

BAR = 0.05
# Limits are in wall time, and this measures on busy machines, too.
LIMITS = SandboxLimits(turn_s=60.0, total_s=60.0)
SIMPLE = """
def go():
    x, y = get_node_coord(get_destination())
    move_to_by_shortest_path(get_nearest_node(x - 150, y - 150))
    move_to_by_shortest_time(get_destination())
"""
LISTED = """
ROUTE = {route}


def go():
    for node, usual_s in ROUTE:
        move_to_by_shortest_path(node)
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
KINDS = {"simple": SIMPLE, "listed": LISTED, "road by road": ROAD_BY_ROAD}


@dataclass(frozen=True)
class Cost:
    """CPU seconds of one episode, with the sandbox's worker.

    Attributes:
        sumo_s: SUMO itself.
        demonstrator_s: starting, asking and ending the demonstrator.
        episode_s: all of it.
    """

    sumo_s: float
    demonstrator_s: float
    episode_s: float


class Timed:
    """A demonstrator that counts its CPU seconds, without those of the worker."""

    def __init__(self, demonstrator: Demonstrator) -> None:
        self.used_s = 0.0
        self._demonstrator = demonstrator

    def start(self, navigators: Mapping[AgentID, Any]) -> None:
        began_s = time.process_time()
        self._demonstrator.start(navigators)
        self.used_s += time.process_time() - began_s

    def act(self, agent: AgentID) -> int:
        began_s = time.process_time()
        slot = self._demonstrator.act(agent)
        self.used_s += time.process_time() - began_s
        return slot

    def finish(self) -> dict[AgentID, DemonstrationTrace]:
        began_s = time.process_time()
        traces = self._demonstrator.finish()
        self.used_s += time.process_time() - began_s
        return traces


class Recorded:
    """Does what every agent did in a recorded episode."""

    def __init__(self, episode: Episode) -> None:
        self._actions = {trajectory.agent: iter(trajectory.actions.tolist()) for trajectory in episode}

    def start(self, navigators: Mapping[AgentID, Any]) -> None:
        """There is nothing to begin."""

    def act(self, agent: AgentID) -> int:
        return next(self._actions[agent])

    def finish(self) -> dict[AgentID, DemonstrationTrace]:
        return {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=100, help="agents, all demonstrated (default: 100)")
    parser.add_argument("--scenario", default="gridtown", help="town or scenario file (default: gridtown)")
    parser.add_argument("--demand", nargs="+", default=["moderate", "congested"], help="background traffic")
    parser.add_argument("--episodes", type=int, default=3, help="of each kind, after the first one (default: 3)")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    options = parser.parse_args()
    with Sandbox() as sandbox:
        # Loads the interpreter, which no episode should pay for.
        sandbox.check(Program("", "", ""))
    rows = []
    for demand in options.demand:
        env = sumo_marl_env.parallel_env(scenario=options.scenario, num_agents=options.agents, demand=demand)
        rows += [{"demand": demand, "programs": kind} | measure(env, kind, options.episodes) for kind in KINDS]
        env.close()
    print_table(rows, sys.stderr if options.json else sys.stdout)
    if options.json:
        print(json.dumps({"bar": BAR, "rows": rows}))


def measure(env: RoutingEnv, kind: str, episodes: int) -> dict[str, float]:
    """Medians over the episodes, the programs' share in the first one, and what their dry runs took before it."""
    rows = []
    forget_all()
    demonstrations = GivenDemonstrations(make_programs(env, kind), limits=LIMITS)
    dry_run_s = dry_runs(env, demonstrations)
    for seed in range(1 + episodes):
        programs, episode, traces = drive(env, seed, demonstrations.demonstrator(env.possible_agents))
        failed = [agent for agent, trace in traces.items() if trace.fell_back]
        if failed:
            raise RuntimeError(f"the program of {failed[0]} failed: {traces[failed[0]].error}")
        followed = GivenDemonstrations({agent: Plan(agent, trace.instructions) for agent, trace in traces.items()})
        plans, _, _ = drive(env, seed, followed.demonstrator(env.possible_agents))
        recorded, again, _ = drive(env, seed, Recorded(episode))
        if again.mean_reward != episode.mean_reward:
            raise RuntimeError("the recorded actions lead to another episode")
        rows.append(
            {
                "movements": sum(len(trace.instructions) for trace in traces.values()),
                "sumo_s": recorded.sumo_s,
                "recorded_s": recorded.episode_s,
                "plans_s": plans.episode_s,
                "programs_s": programs.episode_s,
                "share": (programs.demonstrator_s - plans.demonstrator_s) / recorded.sumo_s,
                "expert_share": (programs.episode_s - recorded.episode_s) / recorded.sumo_s,
            }
        )
    first, *following = rows
    medians = {name: median(row[name] for row in following) for name in first}
    return {"dry_run_s": dry_run_s, "first_share": first["share"]} | medians


def dry_runs(env: RoutingEnv, demonstrations: GivenDemonstrations) -> float:
    """CPU seconds of a dry run of every program, with the sandbox's worker."""
    context = DemonstrationContext.of(env.scenario, epoch=0, cycle=0, feedback=None, seed=0)
    began_s = time.process_time() + children_cpu_s()
    with Sandbox(demonstrations.limits) as sandbox:
        for agent, program in demonstrations.contents.items():
            if error := dry_run(program, sandbox, ROUTING.host_at_start(context, agent)):
                raise RuntimeError(f"the program of {agent} failed: {error}")
    return time.process_time() + children_cpu_s() - began_s


def drive(
    env: RoutingEnv, seed: int, demonstrator: Demonstrator
) -> tuple[Cost, Episode, dict[AgentID, DemonstrationTrace]]:
    """One episode in which the demonstrator drives all agents: what it cost after the reset, and what came of it."""
    env.begin(seed)
    timed = Timed(demonstrator)
    worker_s, simulated_s = children_cpu_s(), env.simulation_wall_s
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    timed.start({agent: env.navigator(agent) for agent in env.possible_agents})
    while env.agents:
        env.advance({agent: timed.act(agent) for agent in env.deciders})
    episode = env.episode()
    traces = timed.finish()
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    simulated_s, worker_s = env.simulation_wall_s - simulated_s, children_cpu_s() - worker_s
    return Cost(simulated_s * cpu_s / wall_s, timed.used_s + worker_s, cpu_s + worker_s), episode, traces


def make_programs(env: RoutingEnv, kind: str) -> dict[str, Program]:
    """One program per agent."""
    text = KINDS[kind]
    return {
        trip.agent: Program(trip.agent, text.replace("{route}", str(usual_route(env.network, trip))), "go")
        for trip in env.scenario.trips
    }


def usual_route(network: RoadNetwork, trip: Trip) -> list[tuple[int, int]]:
    """The junctions of the agent's shortest path on empty roads, each with the seconds to it from the one before."""
    edges = shortest_paths(network, "free_flow_time").route(trip.origin_edge, trip.destination)
    return [(int(network.edge_to[edge]), round(float(network.free_flow_time_s[edge]))) for edge in edges[1:]]


def children_cpu_s() -> float:
    """CPU seconds of all child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def print_table(rows: list[dict], stream) -> None:
    print(f"CPU seconds per expert episode; bar for the programs' share: {BAR:.0%} of SUMO's time", file=stream)
    titles = f"{'demand':<12}{'programs':<14}{'moves':>7}{'SUMO':>8}{'recorded':>10}{'plans':>8}{'programs':>10}"
    print(f"{titles}{'dry run':>11}{'first':>8}{'share':>8}{'expert':>8}", file=stream)
    for row in rows:
        print(
            f"{row['demand']:<12}{row['programs']:<14}{row['movements']:>7.0f}{row['sumo_s']:>8.2f}"
            f"{row['recorded_s']:>10.2f}{row['plans_s']:>8.2f}{row['programs_s']:>10.2f}"
            f"{row['dry_run_s']:>11.3f}{row['first_share']:>8.1%}{row['share']:>8.1%}{row['expert_share']:>8.1%}",
            file=stream,
        )


if __name__ == "__main__":
    main()
