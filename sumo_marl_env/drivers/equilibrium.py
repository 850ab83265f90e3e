"""User equilibrium from SUMO's duaIterate: routes that no agent would leave alone, learnt over many simulated days."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from importlib import metadata
from itertools import pairwise
from pathlib import Path

import numpy as np

from sumo_marl_env.drivers.sumo_inputs import numbered, write_traffic, write_zones
from sumo_marl_env.errors import ScenarioError, SimulatorError
from sumo_marl_env.files import cache_folder, write_whole
from sumo_marl_env.maps.paths import shortest_paths
from sumo_marl_env.routing_env import RoutingEnv
from sumo_marl_env.scenarios.demand import route_is_connected
from sumo_marl_env.scenarios.scenario import Scenario
from sumo_marl_env.simulation.sumo import TIME_TO_TELEPORT_S
from sumo_marl_env.simulation.sumo_options import further_options
from sumo_marl_env.sumo_programs import errors_in, program, read_output, sumo_home
from sumo_marl_env.types import AgentID

ITERATIONS = 30
"""Days of duaIterate. Mean travel times on rush hardly change after 20."""

AGGREGATION_S = 120
"""Travel times are averaged over this long: an agents' jam builds up and dissolves within minutes."""

SEED = 1_000_003
"""Traffic of the days on which the equilibrium is learnt: not that of any episode it is measured on."""

LOGS = ("--log", "-l", "--message-log", "--error-log", "--verbose", "-v")
"""Options of SUMO that change no drive; duaIterate has its own."""

OWN_SWITCHES = {"--no-internal-links": "--nointernal-link", "--eager-insert": "--eager-insert"}
"""Options of SUMO that duaIterate sets, by its own names for them."""

IterationProgress = Callable[[int, int], None]
"""Told the number of iterations done and their total."""


class EquilibriumDriver:
    """Drives every agent along its route in the equilibrium of the scenario, whatever the traffic of the day.

    Args:
        iterations: days of duaIterate.
        progress: told after each of them; not called if the routes are in the cache.
        cache_dir: the cache, in which equilibria have a folder of their own; None is the user's.
    """

    def __init__(
        self,
        iterations: int = ITERATIONS,
        progress: IterationProgress | None = None,
        cache_dir: Path | str | None = None,
    ) -> None:
        _check_iterations(iterations)
        self._iterations = iterations
        self._progress = progress
        self._cache_dir = cache_dir
        self._known: tuple[Scenario, tuple[str, ...]] | None = None

    def begin(self, env: RoutingEnv, seed: int) -> None:
        wanted = env.scenario, tuple(map(str, env.options.sumo_options))
        if self._known is None or self._known[0] is not wanted[0] or self._known[1] != wanted[1]:
            routes = equilibrium_routes(wanted[0], self._iterations, self._progress, self._cache_dir, wanted[1])
            self._following = {agent: dict(pairwise(route)) for agent, route in routes.items()}
            self._known = wanted

    def act(self, env: RoutingEnv, agent: AgentID) -> int:
        edge = env.current_edge(agent)
        following = self._following[agent].get(edge)
        if following is None:
            # A vehicle that was trapped in a wrong lane is off its route; it goes on as on empty roads.
            destination = env.navigator(agent).get_destination()
            following = shortest_paths(env.network, "free_flow_time").next_edges(destination)[edge]
        return env.network.slot(edge, following)


def equilibrium_routes(
    scenario: Scenario,
    iterations: int = ITERATIONS,
    progress: IterationProgress | None = None,
    cache_dir: Path | str | None = None,
    sumo_options: Sequence[str] = (),
) -> dict[AgentID, tuple[int, ...]]:
    """Route of each agent, as edge indices, after `iterations` of duaIterate; cached per scenario and options.

    Background vehicles are there but keep their routes. Of the env's options of SUMO those hold that say how vehicles
    drive, and additional files.

    Raises:
        ScenarioError: for fewer than one iteration.
        SimulatorError: if duaIterate fails, cannot take an option, or the cache cannot be written.
    """
    _check_iterations(iterations)
    with tempfile.TemporaryDirectory(prefix="sumo_marl_env_") as name:
        folder = Path(name)
        write_traffic(folder / "agents.trips.xml", scenario, [], agents="trips")
        write_traffic(folder / "background.add.xml", scenario, scenario.background(SEED))
        write_zones(folder / "zones.add.xml", scenario)
        others, additional = further_options(sumo_options, LOGS)
        files = [Path(file).resolve() for file in additional]
        for file in files:
            if not file.is_file():
                raise SimulatorError(f"there is no additional file {file}, which sumo_options names")
        options = _arguments(others)
        cached = cache_folder("equilibria", cache_dir) / f"{_key(folder, scenario, iterations, options, files)}.json"
        routes = _recall(cached, scenario)
        if routes is None:
            _iterate(folder, scenario, iterations, options, files, progress)
            by_vehicle = _routes_of(folder, iterations)
            routes = _checked(scenario, by_vehicle)
            _keep(cached, by_vehicle)
    return routes


def _check_iterations(iterations: int) -> None:
    if iterations < 1:
        raise ScenarioError(f"an equilibrium takes 1 iteration or more, not {iterations}")


def _arguments(options: Sequence[str]) -> list[str]:
    """Options of SUMO as duaIterate takes them: by their long names, each with its value."""
    given: dict[str, str | None] = {}
    name = ""
    for token in options:
        if token.startswith("--"):
            name = token
            given[name] = None
        elif name and given[name] is None:
            given[name] = token
        else:
            raise SimulatorError(f"duaIterate takes no option {token!r} of SUMO; write out its name (--name=value)")
    own = [OWN_SWITCHES[name] for name, value in given.items() if name in OWN_SWITCHES and value in (None, "true", "1")]
    rest = {name: value for name, value in given.items() if name not in OWN_SWITCHES}
    return [*own, *(f"sumo{name}" if value is None else f"sumo{name}={value}" for name, value in rest.items())]


def _key(folder: Path, scenario: Scenario, iterations: int, options: list[str], additional: list[Path]) -> str:
    said = [metadata.version("eclipse-sumo"), iterations, AGGREGATION_S, scenario.horizon_s, *options]
    digest = hashlib.sha256(f"{' '.join(map(str, said))}\n".encode())
    files = [scenario.network.net_file, *sorted(folder.iterdir())]
    for path in [*files, *([scenario.demand.route_file] if scenario.demand.route_file else []), *additional]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _iterate(
    folder: Path,
    scenario: Scenario,
    iterations: int,
    options: list[str],
    additional: list[Path],
    progress: IterationProgress | None,
) -> None:
    # Additional files may say what kind of vehicles the others are.
    background = [*map(str, additional), "background.add.xml", "zones.add.xml"]
    if scenario.demand.route_file is not None:
        background.append(str(scenario.demand.route_file))
    home = sumo_home()
    command: list[str | Path] = [sys.executable, home / "tools" / "assign" / "duaIterate.py"]
    command += ["--net-file", scenario.network.net_file.resolve(), "--trips", "agents.trips.xml"]
    command += ["--additional", ",".join(background), "--districts", "zones.add.xml", "--path", home / "bin"]
    command += ["--end", str(int(np.ceil(scenario.horizon_s))), "--last-step", str(iterations)]
    command += ["--aggregation", str(AGGREGATION_S), "--time-to-teleport", str(TIME_TO_TELEPORT_S)]
    command += ["--weight-memory", "--no-gzip", "--disable-summary", "--disable-tripinfos", "--disable-warnings"]
    # Its own arguments come first, and then those of the programs that it calls.
    command += [
        *options,
        "sumo--seed",
        str(SEED),
        "sumo--xml-validation",
        "never",
        "duarouter--xml-validation",
        "never",
    ]
    last: deque[str] = deque(maxlen=20)
    done = 0
    with program(command, folder, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        for line in process.stdout:
            last.append(line)
            if line.startswith("< Step"):
                done += 1
                if progress is not None:
                    progress(done, iterations)
    if process.returncode or done < iterations:
        log = folder / "dua.log"
        said = log.read_text() if log.is_file() else ""
        raise SimulatorError(f"duaIterate stopped in iteration {done}: {errors_in(said + ''.join(last))}")


def _routes_of(folder: Path, iterations: int) -> dict[str, list[str]]:
    """By the name of the vehicle in `agents.trips.xml`."""
    last = f"{iterations - 1:03d}"
    return {
        vehicle.attrib["id"]: route.attrib["edges"].split()
        for vehicle in read_output(folder / last / f"agents_{last}.rou.xml").iter("vehicle")
        if (route := vehicle.find("route")) is not None
    }


def _checked(scenario: Scenario, by_vehicle: dict[str, list[str]]) -> dict[AgentID, tuple[int, ...]]:
    """The routes as edge indices. Raises SimulatorError, naming the agent, if one is missing or leads elsewhere."""
    network, routes = scenario.network, {}
    for row, trip in enumerate(scenario.trips):
        edges = by_vehicle.get(numbered(row), ())
        route = tuple(network.edge_index[edge] for edge in edges if edge in network.edge_index)
        is_whole = route and len(route) == len(edges) and route_is_connected(network, route)
        if not is_whole or network.edge_to[route[-1]] != trip.destination:
            raise SimulatorError(f"duaIterate gave {trip.agent} no route that leads to its destination")
        routes[trip.agent] = route
    return routes


def _recall(path: Path, scenario: Scenario) -> dict[AgentID, tuple[int, ...]] | None:
    """What the cache has; None if that is nothing, or damaged."""
    try:
        return _checked(scenario, json.loads(path.read_text()))
    except (OSError, ValueError, AttributeError, TypeError, SimulatorError):
        return None


def _keep(path: Path, routes: dict[str, list[str]]) -> None:
    try:
        write_whole(path, json.dumps(routes).encode())
    except OSError as error:
        raise SimulatorError(
            f"the equilibrium cache {path.parent} cannot be written: {error.strerror}. Choose another cache folder, "
            "for instance by XDG_CACHE_HOME."
        ) from error
