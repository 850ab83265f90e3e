"""What several tests share: a small map, driving an env through an episode, and running the commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from sumo_marl_env import Episode, RoadNetwork, RoutingEnv
from sumo_marl_env.sumo_programs import run_program, sumo_home


def grid_osm(columns: int, rows: int, *, highway: str | None = "residential", signals: bool = False) -> str:
    """A grid of two-way streets, 100 m apart."""
    tag = "<tag k='highway' v='traffic_signals'/>" if signals else ""
    lines = [
        f"<node id='{100 * x + y + 1}' lat='{y * 0.0009:.6f}' lon='{3 + x * 0.0009:.6f}'>{tag}</node>"
        for x in range(columns)
        for y in range(rows)
    ]
    streets = [[100 * x + y + 1 for x in range(columns)] for y in range(rows)]
    streets += [[100 * x + y + 1 for y in range(rows)] for x in range(columns)]
    kind = f"<tag k='highway' v='{highway}'/>" if highway else ""
    for way, nodes in enumerate(streets, start=1):
        references = "".join(f"<nd ref='{node}'/>" for node in nodes)
        lines.append(f"<way id='{way}'>{references}{kind}</way>")
    return "\n".join(["<osm version='0.6'>", *lines, "</osm>"])


def plain_network(
    folder: Path,
    nodes: Mapping[str, tuple[float, float]],
    ways: Iterable[str],
    signals: str = "",
    *,
    with_pavements: bool = False,
) -> RoadNetwork:
    """One lane at 10 m/s for each way, such as "ab" from node a to node b; nodes at metres, some with a signal.

    Pavements are lanes at 1 m/s beside them.
    """
    kinds = {name: "traffic_light" if name in signals else "priority" for name in nodes}
    places = (f'<node id="{name}" x="{x}" y="{y}" type="{kinds[name]}"/>' for name, (x, y) in nodes.items())
    lanes = '<lane index="0" allow="pedestrian" speed="1"/>' if with_pavements else ""
    edges = (
        f'<edge id="{way}" from="{way[0]}" to="{way[1]}" numLanes="{2 if lanes else 1}" speed="10">{lanes}</edge>'
        for way in ways
    )
    (folder / "n.nod.xml").write_text(f"<nodes>{''.join(places)}</nodes>")
    (folder / "n.edg.xml").write_text(f"<edges>{''.join(edges)}</edges>")
    command = [sumo_home() / "bin" / "netconvert", "-n", "n.nod.xml", "-e", "n.edg.xml", "-o", "n.net.xml"]
    run_program([*command, "--no-turnarounds", "--xml-validation", "never"], folder)
    return RoadNetwork.from_net_file(folder / "n.net.xml")


def random_action(env: RoutingEnv, agent: str, rng: np.random.Generator) -> int:
    return int(rng.choice(np.flatnonzero(env.action_mask(agent))))


def live_shortest_time(env: RoutingEnv, agent: str) -> int:
    navigator = env.navigator(agent)
    return navigator.action_by_shortest_time(navigator.get_destination())


def run_episode(env: RoutingEnv, seed: int, policy: Callable[[RoutingEnv, str], int]) -> Episode:
    """One whole episode in which every decider follows `policy`."""
    env.reset(seed=seed)
    while env.agents:
        env.step({agent: policy(env, agent) for agent in env.deciders})
    return env.episode()


def reled(*arguments, cwd=None, **environment) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "rllib_releds.cli", *map(str, arguments)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


def one_object(result: subprocess.CompletedProcess) -> dict:
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("\n") == 1
    return json.loads(result.stdout)


UNWRITABLE = [("> /dev/full", "No space left"), (">&-", "closed")]
"""Where a shell may send a standard output that nobody can write to, and what is then said."""


def one_error(module: str) -> str:
    """What `python -m MODULE`, with its arguments, says in the one line with which it fails."""
    command = f"{sys.executable} -m {module}"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("error: ")
    return result.stderr


def kill_when(is_time: Callable[[], bool], *arguments, patience_s: float = 600.0) -> None:
    """Start `reled` and kill it, workers and all, as soon as `is_time()`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rllib_releds.cli", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + patience_s
    try:
        while not is_time():
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline, "nothing happens any more"
            time.sleep(0.005)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
