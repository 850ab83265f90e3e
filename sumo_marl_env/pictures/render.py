"""Pictures of a running env: streets, vehicles, the agents' routes and decision points. Needs no display.

The streets of a network are drawn once and kept; a frame then copies them and adds what moves. Everything is drawn at
twice its size and scaled down, which smooths the edges.
"""

from __future__ import annotations

import colorsys
import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sumo_marl_env.errors import SimulatorError
from sumo_marl_env.maps.network import RoadNetwork
from sumo_marl_env.simulation.fleet import Vehicle

if TYPE_CHECKING:
    from sumo_marl_env.routing_env import RoutingEnv

_log = logging.getLogger(__name__)

LONGER_SIDE_PX = 800
CAPTION_PX = 28

_SMOOTHING = 2
_MARGIN_PX = 24
_LANE_M = 3.2

_GROUND, _ROAD, _CAR, _TEXT = (251, 251, 252), (207, 213, 221), (139, 149, 165), (28, 36, 48)

Color = tuple[int, int, int]
Point = tuple[float, float]


def draw(env: RoutingEnv) -> NDArray[np.uint8]:
    """The env as it is now.

    Grey dots are background vehicles. Each agent has a colour: a dot where its vehicle is, a pale line along its way so
    far, a strong one to the end of the edge that it has chosen, a square at its destination. An agent that has a
    decision to make has a ring, and so has the junction at which it will turn.

    Returns:
        (H, W, 3) uint8, RGB; the longer side of the map has 800 pixels, and above it is a line of text.
    """
    frame = _streets(env.network)
    image = frame.image.copy()
    pen = ImageDraw.Draw(image)
    positions = _positions(env)
    vehicles = env.fleet.vehicles
    agents = {vehicle.trip.agent for vehicle in vehicles}
    _dots(pen, (frame.place(xy) for name, xy in positions.items() if name not in agents), 2.0, _CAR)
    under_way = [(row, vehicle) for row, vehicle in enumerate(vehicles) if vehicle.exit is None]
    ways = {
        row: _ways(frame, env.network, vehicle, positions[vehicle.trip.agent])
        for row, vehicle in under_way
        if vehicle.trip.agent in positions
    }
    for row, (so_far, _) in ways.items():
        _line(pen, so_far, _SMOOTHING * 2.0, _pale(agent_color(row)))
    for row, (_, ahead) in ways.items():
        _line(pen, ahead, _SMOOTHING * 2.5, agent_color(row))
    for row, vehicle in under_way:
        _square(pen, frame.place(env.network.junction_xy[vehicle.trip.destination]), agent_color(row))
    for row, (_, (here, *_)) in ways.items():
        _dots(pen, [here], 5.0, _GROUND)
        _dots(pen, [here], 4.0, agent_color(row))
        if row in env.fleet.deciders:
            ahead_xy = env.network.junction_xy[env.network.edge_to[vehicles[row].edge]]
            _ring(pen, here, 9.0, agent_color(row))
            _ring(pen, frame.place(ahead_xy), 6.0, agent_color(row))
    caption = (
        f"{env.scenario.name}   {env.time_s:.0f} s   {len(under_way)} of {len(vehicles)} agents under way, "
        f"{len(env.fleet.deciders)} deciding"
    )
    pen.text((_SMOOTHING * 10, _SMOOTHING * 7), caption, _TEXT, _font())
    # A copy, which may be drawn on.
    return np.array(image.reduce(_SMOOTHING))


def _positions(env: RoutingEnv) -> dict[str, Point]:
    try:
        return env.fleet.positions()
    except SimulatorError as error:
        # Looking must not end a training run: the next step truncates the agents, as after any failure of SUMO.
        _log.warning("no vehicles to draw: %s", error)
        return {}


def show(frame: NDArray[np.uint8]) -> None:
    """Show a frame in a window, the same one for every frame of the process.

    Where there is no display, one warning says so and frames are dropped: a program that was written at a desk goes on
    on a server. So they are once the window has been closed.

    Args:
        frame: (H, W, 3) uint8, as `draw` returns it.
    """
    window = _window()
    if window is not None:
        window.show(frame)


def agent_color(row: int) -> Color:
    """A colour per agent: neighbours in the list differ most, as in the replay page."""
    red, green, blue = colorsys.hls_to_rgb((row * 137.508 + 210.0) % 360.0 / 360.0, (0.50, 0.42, 0.58)[row % 3], 0.72)
    return round(255 * red), round(255 * green), round(255 * blue)


def _pale(color: Color) -> Color:
    red, green, blue = (round(0.35 * part + 0.65 * ground) for part, ground in zip(color, _GROUND, strict=True))
    return red, green, blue


@dataclass(frozen=True, eq=False)
class _Streets:
    """The map without vehicles, and where on it a place is.

    Attributes:
        image: not to be drawn on.
        corner_m: (2,) left and top of the picture.
        scale: its pixels per metre.
    """

    image: Image.Image
    corner_m: NDArray[np.float64]
    scale: float

    def place(self, xy_m: Sequence[float] | NDArray[np.float64]) -> Point:
        x, y = (xy_m[0] - self.corner_m[0]) * self.scale, (self.corner_m[1] - xy_m[1]) * self.scale
        return float(x), float(y)


@lru_cache(maxsize=4)
def _streets(network: RoadNetwork) -> _Streets:
    points = np.concatenate(network.edge_shapes)
    low, high = points.min(axis=0), points.max(axis=0)
    scale = _SMOOTHING * (LONGER_SIDE_PX - 2 * _MARGIN_PX) / float((high - low).max())
    margin_m = _SMOOTHING * _MARGIN_PX / scale
    width, height = (math.ceil((side * scale) / _SMOOTHING) + 2 * _MARGIN_PX for side in (high - low).tolist())
    image = Image.new("RGB", (_SMOOTHING * width, _SMOOTHING * (height + CAPTION_PX)), _GROUND)
    corner_m = np.array([low[0] - margin_m, high[1] + margin_m + _SMOOTHING * CAPTION_PX / scale])
    streets = _Streets(image, corner_m, scale)
    pen = ImageDraw.Draw(image)
    for shape, lanes in zip(network.edge_shapes, network.edge_num_lanes.tolist(), strict=True):
        _line(pen, map(streets.place, shape), max(_SMOOTHING * 1.5, lanes * _LANE_M * scale), _ROAD)
    for edge, following in network.connections.tolist():
        ends = (network.edge_shapes[edge][-1], network.edge_shapes[following][0])
        _line(pen, map(streets.place, ends), max(_SMOOTHING * 1.5, _LANE_M * scale), _ROAD)
    return streets


def _ways(frame: _Streets, network: RoadNetwork, vehicle: Vehicle, xy: Point) -> tuple[list[Point], list[Point]]:
    """Pixels of the vehicle's way so far, and of what it is committed to: its edge's rest and the edge it chose."""
    current = network.edge_shapes[vehicle.edge]
    nearest = max(1, int(np.linalg.norm(current - xy, axis=1).argmin()))
    before = [point for edge in vehicle.edges[:-1] for point in network.edge_shapes[edge]]
    chosen = network.edge_shapes[vehicle.choice] if vehicle.choice >= 0 else ()
    so_far, ahead = [*before, *current[:nearest], xy], [xy, *current[nearest:], *chosen]
    return [frame.place(point) for point in so_far], [frame.place(point) for point in ahead]


def _line(pen: ImageDraw.ImageDraw, points: Iterable[Point], width: float, color: Color) -> None:
    pen.line(list(points), color, round(width), joint="curve")


def _dots(pen: ImageDraw.ImageDraw, points: Iterable[Point], radius_px: float, color: Color) -> None:
    for point in points:
        pen.circle(point, _SMOOTHING * radius_px, color)


def _ring(pen: ImageDraw.ImageDraw, point: Point, radius_px: float, color: Color) -> None:
    pen.circle(point, _SMOOTHING * radius_px, outline=color, width=_SMOOTHING * 2)


def _square(pen: ImageDraw.ImageDraw, point: Point, color: Color) -> None:
    half = _SMOOTHING * 5
    pen.rectangle((point[0] - half, point[1] - half, point[0] + half, point[1] + half), _GROUND, color, _SMOOTHING * 2)


@cache
def _font() -> Any:
    return ImageFont.load_default(_SMOOTHING * 13)


class _Window:
    """A window of the standard library's Tk; raises its TclError where there is no display."""

    def __init__(self) -> None:
        import tkinter

        self._image = tkinter.PhotoImage
        self._root = tkinter.Tk()
        self._root.title("sumo_marl_env")
        self._root.protocol("WM_DELETE_WINDOW", self._close)
        self._label = tkinter.Label(self._root, borderwidth=0)
        self._label.pack()
        self._is_open = True

    def show(self, frame: NDArray[np.uint8]) -> None:
        if not self._is_open:
            return
        height, width, _ = frame.shape
        # Portable pixmap: a header and the bytes. Tk forgets an image that nobody else holds.
        self._shown = self._image(data=b"P6 %d %d 255\n" % (width, height) + frame.tobytes())
        self._label.configure(image=self._shown)
        self._root.update()

    def _close(self) -> None:
        self._is_open = False
        self._root.destroy()


@cache
def _window() -> _Window | None:
    try:
        return _Window()
    # An ImportError where Python was built without Tk, a TclError (a plain Exception) where there is no display.
    except Exception as error:
        _log.warning(
            'render_mode="human" shows nothing here: %s. Use render_mode="rgb_array" and keep the frames, or save '
            "env.episode() and watch it with `sumo-marl replay`.",
            error,
        )
        return None
