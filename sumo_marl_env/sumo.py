"""SUMO through libsumo (in this process, fast) or traci (a child process, slower). The only importer of either."""

from __future__ import annotations

import contextlib
import importlib
import io
import itertools
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from sumo_marl_env.errors import SimulatorError

Backend = Literal["auto", "libsumo", "traci"]

TIME_TO_TELEPORT_S = 300
_labels = itertools.count()


def sumo_home() -> Path:
    """Folder of the SUMO that the `eclipse-sumo` wheel brings, with its `bin`, `data` and `tools`."""
    import sumo

    return Path(sumo.SUMO_HOME)


def _not_loaded(vehicle: str) -> str:
    raise SimulatorError(f"no simulation is loaded that could have a vehicle {vehicle!r}; reset the env first")


def _import(name: str) -> ModuleType:
    os.environ["SUMO_HOME"] = str(sumo_home())
    # libsumo prints a warning about the pyarrow that ray brings along; it uses arrow only to write parquet output.
    with contextlib.redirect_stdout(io.StringIO()):
        return importlib.import_module(name)


class SumoSimulator:
    """Implements `sumo_marl_env.simulator.Simulator`.

    libsumo holds one simulation per process, and a second start silently replaces the first. So the first simulator of
    a process gets libsumo, and as long as it is open further ones run SUMO in a child process through traci.

    Args:
        backend: "libsumo", "traci", or "auto" for the rule above.

    Raises:
        SimulatorError: if libsumo is asked for while another simulator of this process holds it.
    """

    _libsumo_owner: ClassVar[SumoSimulator | None] = None

    def __init__(self, backend: Backend = "auto") -> None:
        if backend not in ("auto", "libsumo", "traci"):
            raise SimulatorError(f"unknown backend {backend!r}; choose auto, libsumo or traci")
        self._requested = backend
        self._api: Any = None
        self._routes = itertools.count()
        self.wall_s = 0.0
        """Wall-clock seconds spent in SUMO so far."""
        self.road: Callable[[str], str] = _not_loaded
        """`Simulator.road`: SUMO's own function, because it is called for every agent in every step."""

    @property
    def backend(self) -> str:
        """ "libsumo", "traci", or "" before the first load."""
        if self._api is None:
            return ""
        return "libsumo" if SumoSimulator._libsumo_owner is self else "traci"

    def load(self, net_file: Path, seed: int, route_file: Path | None = None) -> None:
        begin = time.perf_counter()
        options = [
            *("--net-file", str(net_file), "--seed", str(seed)),
            *("--time-to-teleport", str(TIME_TO_TELEPORT_S)),
            *("--xml-validation", "never", "--no-step-log", "--no-warnings", "--duration-log.disable"),
            *(() if route_file is None else ("--route-files", str(route_file))),
        ]
        try:
            if self._api is None:
                self._start(options)
            else:
                self._api.load(options)
        except Exception as error:
            # libsumo and traci raise their own exception types, which only exist once one of them is imported.
            self.close()
            raise SimulatorError(f"SUMO could not load {net_file}: {error}") from error
        self._routes = itertools.count()
        self.wall_s += time.perf_counter() - begin

    def _start(self, options: list[str]) -> None:
        owner = SumoSimulator._libsumo_owner
        if self._requested == "libsumo" and owner is not None:
            raise SimulatorError("libsumo holds one simulation per process; close the other env or use backend='traci'")
        command = [str(sumo_home() / "bin" / "sumo"), *options]
        if self._requested == "traci" or owner is not None:
            traci = _import("traci")
            label = f"sumo_marl_env_{os.getpid()}_{next(_labels)}"
            # Standard output belongs to the caller; traci prints its connection attempts there.
            with contextlib.redirect_stdout(sys.stderr):
                traci.start(command, label=label, stdout=sys.stderr)
            self._api = traci.getConnection(label)
        else:
            libsumo = _import("libsumo")
            libsumo.start(command)
            self._api = libsumo
            SumoSimulator._libsumo_owner = self
        self.road = self._api.vehicle.getRoadID

    def add_vehicle(self, vehicle: str, route: Sequence[str], depart_s: float, *, is_agent: bool) -> None:
        route_id = f"route_{next(self._routes)}"
        self._api.route.add(route_id, list(route))
        placement = ("best", "base") if is_agent else ("random", "random_free")
        self._api.vehicle.add(
            vehicle, route_id, depart=f"{depart_s:.2f}", departLane=placement[0], departPos=placement[1]
        )

    def step(self) -> None:
        begin = time.perf_counter()
        try:
            self._api.simulation.step()
        except Exception as error:
            self.close()
            raise SimulatorError(f"SUMO stopped in mid-episode: {error}. Reset the env to go on.") from error
        self.wall_s += time.perf_counter() - begin

    def set_route(self, vehicle: str, route: Sequence[str]) -> None:
        self._api.vehicle.setRoute(vehicle, list(route))

    def arrived(self) -> Sequence[str]:
        return self._api.simulation.getArrivedIDList()

    def teleporting(self) -> Sequence[str]:
        return self._api.simulation.getStartingTeleportIDList()

    def remove_vehicle(self, vehicle: str) -> None:
        self._api.vehicle.remove(vehicle)

    def lane_exits_when_blocked(self, vehicle: str, waiting_s: float, within_m: float) -> tuple[str, ...] | None:
        if self._api.vehicle.getWaitingTime(vehicle) < waiting_s:
            return None
        lane = self._api.vehicle.getLaneID(vehicle)
        if not lane or self._api.lane.getLength(lane) - self._api.vehicle.getLanePosition(vehicle) > within_m:
            return None
        return tuple(dict.fromkeys(link[0].rsplit("_", 1)[0] for link in self._api.lane.getLinks(lane)))

    def edge_speeds_mps(self, edge_ids: Sequence[str]) -> NDArray[np.float64]:
        return np.fromiter(map(self._api.edge.getLastStepMeanSpeed, edge_ids), np.float64, len(edge_ids))

    def close(self) -> None:
        if self._api is None:
            return
        api, self._api = self._api, None
        is_libsumo = SumoSimulator._libsumo_owner is self
        if is_libsumo:
            SumoSimulator._libsumo_owner = None
        try:
            api.close()
        except Exception as error:
            # After a failed load or a crash there is nothing left to close; anything else would leak a simulation.
            if is_libsumo and api.isLoaded():
                raise SimulatorError(f"SUMO did not close: {error}") from error
