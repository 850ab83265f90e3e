"""Steering in a child process: several simulations beside one another, and a crash of SUMO that harms nobody.

libsumo holds one simulation per process and takes the process along when it crashes. So an isolated env has `Steering`
and libsumo in a child of its own, and exchanges one pair of messages with it per environment step, not per simulated
second: choices there, and back what has changed. The child is a fresh interpreter, because a fork of a process that
has libsumo or Ray loaded does not work, and it never imports the caller's main module.

The child ends when the channel closes. That covers every end of the parent, also by SIGKILL; in case somebody else
holds the parent's end of the channel open (a process forked from the parent), the kernel kills it or it notices that
it was orphaned.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sumo_marl_env.errors import SimulatorError
from sumo_marl_env.maps.network import RoadNetwork
from sumo_marl_env.scenarios.demand import BackgroundVehicle
from sumo_marl_env.simulation.channel import Channel
from sumo_marl_env.simulation.fleet import Fleet
from sumo_marl_env.simulation.sumo_options import check_options
from sumo_marl_env.sumo_programs import standard_error
from sumo_marl_env.types import Backend, Exit, Trip

_log = logging.getLogger(__name__)

SILENCE_S = 300.0
"""A child that gives no sign of life for this long is given up. Only loading a network or one second of simulation
can keep it silent: in between it tells that it is alive."""

CLOSING_S = 10.0
"""A child that has not ended this long after its channel was closed is killed."""

_PROGRAM = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); sys.path.insert(0, sys.argv[1]); "
    "from sumo_marl_env.simulation.child import serve; serve(*map(int, sys.argv[2:]))"
)


class _ChildLostError(SimulatorError):
    """The child process died or does not answer."""


class IsolatedSteering(Fleet):
    """`Steering` with its own SUMO in a child process, which the first reset starts and `close` ends.

    Args:
        network: the road network.
        trips: the agents' trips.
        horizon_s: when an episode is cut off.
        smoothing_s: time constant of the moving average of edge speeds; 0 for instantaneous speeds.
        backend: see `SumoSimulator`.
        sumo_options: see `SumoSimulator`.
    """

    def __init__(
        self,
        network: RoadNetwork,
        trips: Sequence[Trip],
        horizon_s: float,
        smoothing_s: float,
        backend: Backend,
        sumo_options: Sequence[str],
    ) -> None:
        super().__init__(network, trips, horizon_s)
        self._smoothing_s = smoothing_s
        check_options(sumo_options)
        self._backend, self._sumo_options = backend, tuple(sumo_options)
        self._child: _Child | None = None
        self._wall_of_ended_s = 0.0
        self._wall_of_child_s = 0.0

    @property
    def wall_s(self) -> float:
        return self._wall_of_ended_s + self._wall_of_child_s

    @property
    def pid(self) -> int | None:
        """Of the child process; None while there is none."""
        return None if self._child is None else self._child.process.pid

    def reset(self, seed: int, background: Iterable[BackgroundVehicle], route_file: Path | None = None) -> None:
        self._clear()
        vehicles = list(background)
        if self._child is not None and self._child.owner != os.getpid():
            # Of the process that this one is a fork of, which goes on using it.
            self._child, self._wall_of_ended_s, self._wall_of_child_s = None, self.wall_s, 0.0
        try:
            self._reset_child(seed, vehicles, route_file)
        except _ChildLostError as error:
            # It died between two episodes or while it loaded, or the last one had left it in a bad state.
            _log.warning("%s; starting another one", error)
            self._reset_child(seed, vehicles, route_file)

    def _reset_child(self, seed: int, vehicles: list[BackgroundVehicle], route_file: Path | None) -> None:
        if self._child is None:
            setup = (self.network, self.trips, self.horizon_s, self._smoothing_s, self._backend, self._sumo_options)
            self._child = _Child(setup)
        self._exchange("reset", seed, vehicles, route_file)

    def advance(self, choices: Mapping[int, int]) -> None:
        for agent in self.deciders:
            self.vehicles[agent].choice = choices[agent]
        self._exchange("advance", {agent: choices[agent] for agent in self.deciders})

    def positions(self) -> dict[str, tuple[float, float]]:
        return {} if self._child is None else self._ask("positions")

    def close(self) -> None:
        child, self._child = self._child, None
        self._wall_of_ended_s, self._wall_of_child_s = self.wall_s, 0.0
        if child is not None:
            child.end()

    def _exchange(self, verb: str, *arguments: Any) -> None:
        self._apply(self._ask(verb, *arguments))

    def _ask(self, verb: str, *arguments: Any) -> Any:
        if self._child is None:
            raise SimulatorError("no simulation is running; reset the env first")
        if self._child.owner != os.getpid():
            raise SimulatorError("the simulation belongs to the process that this one is a fork of; reset the env here")
        try:
            return self._child.ask(verb, *arguments)
        except BaseException:
            # Whatever happened, its answer may still be on the way and would be taken for that to the next question.
            child, self._child = self._child, None
            child.kill()
            self.close()
            raise

    def _apply(self, report: tuple) -> None:
        """Take over a `Told.report`."""
        self.time_s, self.deciders, changed, deviations, self._wall_of_child_s, speeds, vehicles = report
        self._changed.update(changed)
        self._deviations.update(deviations)
        if speeds is not None:
            self.speed_samples, values = speeds
            self.edge_speeds_mps = np.frombuffer(values)
        for agent, edges, choice, route, departed_s, entered_s, exit, end_s in vehicles:
            vehicle = self.vehicles[agent]
            if edges:
                vehicle.edges += edges
                vehicle.junctions += self.network.edge_from[edges].tolist()
                vehicle.edge = edges[-1]
            vehicle.choice, vehicle.route = choice, route
            vehicle.departed_s, vehicle.entered_s, vehicle.end_s = departed_s, entered_s, end_s
            vehicle.exit = None if exit is None else Exit(exit)


class _Child:
    """The child process, seen from the parent. It also ends when this object is forgotten, or with the interpreter.

    Args:
        setup: arguments of `sumo_marl_env.simulation.child.simulate`.

    Raises:
        SimulatorError: if no process can be started.
    """

    def __init__(self, setup: tuple) -> None:
        ours, theirs = map(_above_standard, socket.socketpair())
        # The kernel's signal on the parent's death is one on the death of the *thread* that started the child.
        in_main_thread = threading.current_thread() is threading.main_thread()
        arguments = [str(Path(__file__).parents[2]), str(theirs.fileno()), str(os.getpid()), str(int(in_main_thread))]
        try:
            with theirs:
                self.process = subprocess.Popen(
                    # -P: no modules from the working directory. Standard output belongs to the caller.
                    [sys.executable, "-P", "-c", _PROGRAM, *arguments],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=standard_error(),
                    stderr=standard_error(),
                )
        except OSError as error:
            ours.close()
            raise SimulatorError(f"cannot start a process for SUMO: {error}") from error
        self.owner = os.getpid()
        """The process that started it: after a fork both hold the channel, and only one may use it."""
        self._channel = Channel(ours, SILENCE_S)
        self._setup: tuple | None = setup
        self._finalizer = weakref.finalize(self, _end, self.process, ours, os.getpid())

    def ask(self, verb: str, *arguments: Any) -> Any:
        """Let the child's steering do something.

        Returns:
            What its method returns; a `Told.report` for one that returns nothing.

        Raises:
            SimulatorError: if SUMO failed.
            _ChildLostError: if the child died or is silent for too long.
            RuntimeError: for an error in the child that is not SUMO's.
        """
        try:
            if self._setup is not None:
                self._channel.send(self._setup)
                self._setup = None
            self._channel.send((verb, arguments))
            outcome, content = self._channel.receive()
        except BlockingIOError as error:
            raise _ChildLostError(f"SUMO's process has given no sign of life for {SILENCE_S:.0f} s") from error
        except (OSError, EOFError) as error:
            self.end()
            raise _ChildLostError(f"SUMO's process ended with exit code {self.process.returncode}") from error
        if outcome == "failed":
            raise SimulatorError(content)
        if outcome == "broken":
            raise RuntimeError(f"steering failed in its child process:\n{content}")
        return content

    def end(self) -> None:
        """Close the channel and wait until the child has ended. May be called twice."""
        self._finalizer()

    def kill(self) -> None:
        self.process.kill()
        self.end()


def _above_standard(end: socket.socket) -> socket.socket:
    """Where standard input, output or error are closed their numbers are free, and what a child says goes there."""
    if end.fileno() > 2:
        return end
    with end:
        return socket.socket(fileno=fcntl.fcntl(end.fileno(), fcntl.F_DUPFD_CLOEXEC, 3))


def _end(process: subprocess.Popen, connection: socket.socket, owner: int) -> None:
    if os.getpid() != owner:
        # A fork of the owner, which inherited the object but not the child.
        return
    # An error means that the child closed its end first.
    with contextlib.suppress(OSError):
        # Reaches the child also if forked processes hold copies of the socket.
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
    try:
        process.wait(CLOSING_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
