"""What runs in the child process of an isolated env: SUMO, `Steering`, and the answers to `IsolatedSteering`."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Sequence
from typing import Any

from sumo_marl_env.errors import SimulatorError
from sumo_marl_env.maps.network import RoadNetwork
from sumo_marl_env.simulation.channel import Channel
from sumo_marl_env.simulation.steering import Steering
from sumo_marl_env.simulation.sumo import SumoSimulator
from sumo_marl_env.sumo_programs import PR_SET_PDEATHSIG
from sumo_marl_env.types import Backend, Trip

SIGN_OF_LIFE_S = 5.0
"""How often a child that simulates tells its parent so."""

PARENT_CHECK_S = 5.0
"""How often an idle child looks whether it was orphaned."""


def serve(descriptor: int, parent: int, dies_with_thread: int) -> None:
    """The child's whole life: answer one request after the other until the channel closes.

    Args:
        descriptor: the inherited end of the socket pair.
        parent: process id of the parent.
        dies_with_thread: 1 if the parent's main thread started this process.
    """
    if dies_with_thread and sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    channel = Channel(socket.socket(fileno=descriptor), PARENT_CHECK_S)
    try:
        setup = _next_request(channel, parent)
        if setup is not None:
            simulate(channel, parent, *setup)
    except (BrokenPipeError, ConnectionResetError):
        # The parent went away while this process was busy; nobody is left to tell.
        return


def _next_request(channel: Channel, parent: int) -> Any:
    """None if there will be none."""
    while os.getppid() == parent:
        try:
            return channel.receive()
        except BlockingIOError:
            # Nothing to do for a while.
            continue
        except EOFError:
            break
    return None


def simulate(
    channel: Channel,
    parent: int,
    network: RoadNetwork,
    trips: tuple[Trip, ...],
    horizon_s: float,
    smoothing_s: float,
    backend: Backend,
    sumo_options: tuple[str, ...],
) -> None:
    simulator = _AudibleSimulator(channel, backend, sumo_options)
    steering = Steering(simulator, network, trips, horizon_s, smoothing_s)
    told = Told(steering)
    try:
        while (request := _next_request(channel, parent)) is not None:
            verb, arguments = request
            try:
                if verb == "reset":
                    told = Told(steering)
                returned = getattr(steering, verb)(*arguments)
                answer: tuple[str, Any] = ("done", told.report() if returned is None else returned)
            except SimulatorError as error:
                answer = ("failed", str(error))
            except Exception:
                # A fault of this package: the parent raises it, with the traceback of this side.
                answer = ("broken", traceback.format_exc())
            channel.send(answer)
    finally:
        simulator.close()


class _AudibleSimulator(SumoSimulator):
    """Tells the parent now and then that it is at work."""

    def __init__(self, channel: Channel, backend: Backend, sumo_options: Sequence[str]) -> None:
        super().__init__(backend, sumo_options)
        self._channel = channel
        self._next_sign = 0.0

    def step(self, until_s: float = 0.0) -> None:
        super().step(until_s)
        now = time.monotonic()
        if now > self._next_sign:
            self._channel.send_sign_of_life()
            self._next_sign = now + SIGN_OF_LIFE_S


class Told:
    """What the parent knows of the steering in this episode, so that a report holds only what is new."""

    def __init__(self, steering: Steering) -> None:
        self._steering = steering
        self._edges = [1] * len(steering.trips)
        self._speed_samples = 0
        self._is_first = True

    def report(self) -> tuple:
        """(time_s, deciders, changed, deviations, wall_s, edge speeds or None, vehicles), as plain data."""
        steering = self._steering
        changed, deviations = steering.take_changed(), steering.take_deviations()
        speeds = None
        if self._speed_samples != steering.speed_samples:
            self._speed_samples = steering.speed_samples
            speeds = (self._speed_samples, steering.edge_speeds_mps.tobytes())
        concerned = range(len(self._edges)) if self._is_first else changed | deviations.keys()
        self._is_first = False
        vehicles = [self._vehicle(agent) for agent in concerned]
        return steering.time_s, steering.deciders, changed, deviations, steering.wall_s, speeds, vehicles

    def _vehicle(self, agent: int) -> tuple:
        vehicle = self._steering.vehicles[agent]
        edges = vehicle.edges[self._edges[agent] :]
        self._edges[agent] = len(vehicle.edges)
        exit = None if vehicle.exit is None else vehicle.exit.value
        return agent, edges, vehicle.choice, vehicle.route, vehicle.departed_s, vehicle.entered_s, exit, vehicle.end_s
