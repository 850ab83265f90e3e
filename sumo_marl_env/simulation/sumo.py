"""SUMO through libsumo (in this process, fast) or traci (its own program, slower). The only importer of either."""

from __future__ import annotations

import contextlib
import importlib
import io
import itertools
import logging
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, get_args

import numpy as np
from numpy.typing import NDArray

from sumo_marl_env.errors import SimulatorError
from sumo_marl_env.maps.network import VEHICLE_CLASS
from sumo_marl_env.simulation.sumo_options import check_options, is_foreseeable
from sumo_marl_env.sumo_programs import standard_error, sumo_home
from sumo_marl_env.types import Backend

_log = logging.getLogger(__name__)

TIME_TO_TELEPORT_S = 300
_labels = itertools.count()


def _not_loaded(_: object) -> str:
    raise SimulatorError("no simulation is loaded; reset the env first")


def _import(name: str) -> ModuleType:
    os.environ["SUMO_HOME"] = str(sumo_home())
    # libsumo prints a warning about the pyarrow that ray brings along; it uses arrow only to write parquet output.
    with contextlib.redirect_stdout(io.StringIO()):
        return importlib.import_module(name)


def _is_libsumo_in_use() -> bool:
    """Whether this process has a simulation that no simulator of ours began."""
    libsumo = sys.modules.get("libsumo")
    return libsumo is not None and libsumo.isLoaded()


def _end(program: subprocess.Popen, owner: int) -> None:
    # A forked process has the object, and the program is its parent's.
    if os.getpid() == owner:
        program.kill()
        program.wait()


class SumoSimulator:
    """Implements `sumo_marl_env.simulation.simulator.Simulator`.

    libsumo holds one simulation per process, and a second start silently replaces the first: it belongs to the first
    simulator that claims it, until that is closed or forgotten.

    Args:
        backend: "libsumo": SUMO in this process; "traci": SUMO's own program, through a socket, half as fast.
        sumo_options: further options of SUMO's command line, such as ("--tripinfo-output", "trips.xml"). SUMO refuses
            options that it does not know or that are set already: network, seed, and what `load` sets.

    Raises:
        SimulatorError: if the backend is unknown, or an option would change what the env relies on.
    """

    _libsumo_owner: ClassVar[weakref.ref[SumoSimulator] | None] = None
    _libsumo_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, backend: Backend = "libsumo", sumo_options: Sequence[str] = ()) -> None:
        if backend not in get_args(Backend):
            raise SimulatorError(f"unknown backend {backend!r}; choose {' or '.join(get_args(Backend))}")
        check_options(sumo_options)
        self.backend = backend
        self._options = tuple(map(str, sumo_options))
        self.is_foreseeable = is_foreseeable(self._options)
        self._api: Any = None
        self._failures: tuple[type[Exception], ...] = ()
        self._connection_lost: tuple[type[Exception], ...] = ()
        self._program: weakref.finalize[Any, Any] | None = None
        self._owner = os.getpid()
        self._routes: dict[tuple[str, ...], str] = {}
        self.wall_s = 0.0
        """Wall-clock seconds spent in SUMO so far."""
        self.road: Callable[[str], str] = _not_loaded
        """`Simulator.road`: SUMO's own function, because it is called so often. So are those below."""
        self._step: Callable[[float], object] = _not_loaded
        self._position: Callable[[str], float] = float
        self._speed: Callable[[str], float] = float
        self._edge_speed: Callable[[str], float] = float
        self.arrived: Callable[[], Sequence[str]] = tuple
        self.teleporting: Callable[[], Sequence[str]] = tuple

    def claim(self) -> bool:
        if self.backend == "traci":
            return True
        with SumoSimulator._libsumo_lock:
            if SumoSimulator._libsumo_owner is None and _is_libsumo_in_use():
                return False
            owner = SumoSimulator._libsumo_owner and SumoSimulator._libsumo_owner()
            if owner is None:
                SumoSimulator._libsumo_owner = weakref.ref(self)
            return owner is None or owner is self

    def _release(self) -> None:
        with SumoSimulator._libsumo_lock:
            if SumoSimulator._libsumo_owner and SumoSimulator._libsumo_owner() is self:
                SumoSimulator._libsumo_owner = None

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        try:
            yield
        except self._failures as error:
            self.close()
            raise SimulatorError(f"SUMO failed in mid-episode: {error}") from error
        except BaseException:
            # Ctrl-C: what had been simulated but not noticed would be lost, and agents with it.
            self.close()
            raise

    def load(self, net_file: Path, seed: int, route_file: Path | None = None) -> None:
        begin = time.perf_counter()
        options = [
            *("--net-file", str(net_file), "--seed", str(seed)),
            *("--time-to-teleport", str(TIME_TO_TELEPORT_S)),
            *("--xml-validation", "never", "--no-step-log", "--no-warnings", "--duration-log.disable"),
            *(() if route_file is None else ("--route-files", str(route_file))),
            *self._options,
        ]
        if self.backend == "traci" and self._owner != os.getpid():
            self._forget()
        try:
            if self._api is None or not self._reloaded(options):
                self._start(options)
        except Exception as error:
            # libsumo and traci raise their own exception types, which only exist once one of them is imported.
            self.close()
            given = f" with sumo_options {' '.join(self._options)!r}" if self._options else ""
            raise SimulatorError(f"SUMO could not load {net_file}{given}: {error}") from error
        self._routes = {}
        self.wall_s += time.perf_counter() - begin

    def _reloaded(self, options: list[str]) -> bool:
        """Load into the SUMO that runs; False if it has died meanwhile, which only a program of its own can."""
        try:
            self._api.load(options)
        except self._connection_lost as error:
            _log.warning("SUMO ended between two episodes (%s); starting it again", error)
            self.close()
            return False
        return True

    def _start(self, options: list[str]) -> None:
        command = [str(sumo_home() / "bin" / "sumo"), *options]
        if self.backend == "traci":
            traci = _import("traci")
            label = f"sumo_marl_env_{os.getpid()}_{next(_labels)}"
            # Standard output belongs to the caller; traci prints its connection attempts there.
            with contextlib.redirect_stdout(sys.stderr):
                traci.start(command, label=label, stdout=standard_error())
            self._api = traci.getConnection(label)
            # An env that is forgotten without being closed must leave no process.
            self._program = weakref.finalize(self, _end, self._api._process, os.getpid())
            # The connection of a SUMO that was killed fails as a socket.
            self._connection_lost = (traci.FatalTraCIError, OSError)
            self._failures = (traci.TraCIException, *self._connection_lost)
        else:
            if not self.claim():
                raise SimulatorError(
                    "libsumo holds one simulation per process; close the other env, or leave isolate=None or True"
                )
            libsumo = _import("libsumo")
            if libsumo.isLoaded():
                # Left by an env that was forgotten without being closed.
                libsumo.close()
            # Before the start: what fails in it may have begun, and is to be closed.
            self._api = libsumo
            libsumo.start(command)
            self._failures = (libsumo.TraCIException, libsumo.FatalTraCIError)
        self.road = self._function("vehicle", "getRoadID")
        self._step = self._function("simulation", "step")
        self._position = self._function("vehicle", "getLanePosition")
        self._speed = self._function("vehicle", "getSpeed")
        self._edge_speed = self._function("edge", "getLastStepMeanSpeed")
        self.arrived = self._function("simulation", "getArrivedIDList")
        self.teleporting = self._function("simulation", "getStartingTeleportIDList")

    def _function(self, domain: str, name: str) -> Callable[..., Any]:
        """SUMO's function of that name."""
        if self.backend == "libsumo":
            # Without the Python function around it, which takes longer than the reading: 40 us for 344 edges, not 94.
            function: Callable[..., Any] = getattr(self._api._libsumo, f"{domain}_{name}")
        else:
            function = getattr(getattr(self._api, domain), name)
        return function

    def add_vehicle(self, vehicle: str, route: Sequence[str], depart_s: float, *, is_agent: bool) -> None:
        lane, position = ("best", "base") if is_agent else ("random", "random_free")
        # SUMO counts milliseconds. Traffic departs in hundredths: others would draw other episodes.
        depart = f"{depart_s:.3f}" if is_agent else f"{depart_s:.2f}"
        self._api.vehicle.add(vehicle, self._route_id(route), depart=depart, departLane=lane, departPos=position)

    def step(self, until_s: float = 0.0) -> None:
        begin = time.perf_counter()
        try:
            self._step(until_s)
        except Exception as error:
            self.close()
            raise SimulatorError(f"SUMO stopped in mid-episode: {error}.") from error
        self.wall_s += time.perf_counter() - begin

    def motion(self, vehicle: str) -> tuple[float, float]:
        return self._position(vehicle), self._speed(vehicle)

    def temperament(self, vehicle: str) -> tuple[float, float]:
        return self._api.vehicle.getSpeedFactor(vehicle), self._api.vehicle.getAccel(vehicle)

    def red_until_s(self, vehicle: str, within_m: float) -> float:
        for signal, _, distance_m, state in self._api.vehicle.getNextTLS(vehicle)[:1]:
            if state == "r" and distance_m <= within_m + 1.0:
                return self._api.trafficlight.getNextSwitch(signal)
        return 0.0

    def ways_inside_junction_m(self, edge: str) -> Mapping[str, float]:
        ways: dict[str, float] = {}
        for lane in range(self._api.edge.getLaneNumber(edge)):
            for following, _, _, _, via, _, _, length_m in self._api.lane.getLinks(f"{edge}_{lane}"):
                following = following.rsplit("_", 1)[0]
                # Without lanes inside junctions vehicles jump across, whatever length SUMO tells.
                way_m = length_m if via else 0.0
                ways[following] = min(way_m, ways.get(following, way_m))
        return ways

    def set_route(self, vehicle: str, route: Sequence[str]) -> None:
        if self._api is None:
            _not_loaded(vehicle)
        # A third of the time of setRoute, which makes a route of SUMO's each time.
        self._api.vehicle.setRouteID(vehicle, self._route_id(route))

    def _route_id(self, route: Sequence[str]) -> str:
        edges = tuple(route)
        if edges not in self._routes:
            self._routes[edges] = f"route_{len(self._routes)}"
            self._api.route.add(self._routes[edges], edges)
        return self._routes[edges]

    def remove_vehicle(self, vehicle: str) -> None:
        self._api.vehicle.remove(vehicle)

    def lane_exits_when_blocked(self, vehicle: str, waiting_s: float, within_m: float) -> tuple[str, ...] | None:
        if self._api.vehicle.getWaitingTime(vehicle) < waiting_s:
            return None
        lane = self._api.vehicle.getLaneID(vehicle)
        # Inside a junction there is nothing left to choose; the vehicle may even have crossed a very short edge unseen.
        if (
            not lane
            or lane[0] == ":"
            or self._api.lane.getLength(lane) - self._api.vehicle.getLanePosition(vehicle) > within_m
        ):
            return None
        return tuple(dict.fromkeys(link[0].rsplit("_", 1)[0] for link in self._api.lane.getLinks(lane)))

    def edge_speeds_mps(self, edge_ids: Sequence[str]) -> NDArray[np.float64]:
        return np.fromiter(map(self._edge_speed, edge_ids), np.float64, len(edge_ids))

    def car_lanes_mps(self, edge: str) -> Mapping[str, float]:
        lane = self._api.lane
        lanes = [f"{edge}_{index}" for index in range(self._api.edge.getLaneNumber(edge))]
        # Nobody is named where all may drive.
        return {one: lane.getMaxSpeed(one) for one in lanes if VEHICLE_CLASS in (lane.getAllowed(one) or VEHICLE_CLASS)}

    def share_of_limits(self, lanes_mps: Mapping[str, float]) -> float:
        lane = self._api.lane
        weights = {one: max(1, lane.getLastStepVehicleNumber(one)) for one in lanes_mps}
        driven = sum(weight * lane.getLastStepMeanSpeed(one) for one, weight in weights.items())
        return driven / sum(weight * lanes_mps[one] for one, weight in weights.items())

    def positions(self) -> dict[str, tuple[float, float]]:
        if self._api is None:
            return {}
        place = self._api.vehicle.getPosition
        return {vehicle: tuple(place(vehicle)[:2]) for vehicle in self._api.vehicle.getIDList()}

    def close(self) -> None:
        api = self._forget()
        try:
            if api is not None:
                api.close()
        except Exception as error:
            # After a failed load or a crash there is nothing left to close; anything else would leak a simulation.
            if self.backend == "libsumo" and api.isLoaded():
                raise SimulatorError(f"SUMO did not close: {error}") from error
            if self.backend == "traci":
                _end(api._process, os.getpid())
        finally:
            self._release()

    def _forget(self) -> Any:
        """Leave the SUMO that runs; returns it, unless it belongs to the process from which this one was forked."""
        api, self._api = self._api, None
        self.road = self._step = _not_loaded
        if self._program is not None:
            self._program.detach()
            self._program = None
        is_own = self.backend == "libsumo" or self._owner == os.getpid()
        self._owner = os.getpid()
        return api if is_own else None
