"""Makes the pictures of docs/environment.md. Needs matplotlib and, for the replay, Chromium.

Run:     python docs/make_pictures.py
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyArrowPatch, Rectangle
from PIL import Image

import sumo_marl_env
from sumo_marl_env.pictures.replay import recorded_scenario, simulate_again
from sumo_marl_env.pictures.replay_page import write_page

IMAGES = Path(__file__).parent / "images"
ROAD, STREET_LINE, TEXT, QUIET = "#d5dae1", "#ffffff", "#1c2430", "#667085"
BLUE, ORANGE, RED = "#2f6fed", "#e8590c", "#c92a2a"
WEST, EAST, SOUTH, NORTH = (-1.0, 0.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0)
J, K = (4.0, 3.0), (9.0, 3.0)


def decision_picture() -> None:
    """Three moments of two vehicles."""
    figure, panels = plt.subplots(1, 3, figsize=(13.5, 3.9))
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.0, top=1.0, wspace=0.08)
    for axes in panels:
        _streets(axes)

    first, second, third = panels
    _car(first, (1.0, 2.72), BLUE, "A")
    _car(first, (8.72, 5.2), ORANGE, "B")
    _outgoing(first, J, {NORTH: 0, EAST: 1, SOUTH: 2}, BLUE, forbidden=NORTH)
    _caption(
        first,
        "1  A enters an edge: it decides",
        "At the junction ahead, J, it may take edge 1 or 2;\nno lane of its edge leads to edge 0.\n"
        "action_mask = [0, 1, 1]",
    )

    _car(second, (2.9, 2.72), BLUE, "A")
    _way(second, [(3.25, 2.72), (4.0, 2.72), (6.0, 2.72)], BLUE)
    _car(second, (7.3, 3.28), ORANGE, "B")
    _way(second, [(8.72, 5.2), (8.72, 3.28), (7.6, 3.28)], ORANGE, is_dotted=True)
    _caption(
        second,
        "2  A has chosen edge 1: SUMO runs on",
        "step returns as soon as another vehicle, B, enters an\nedge. A has nothing to decide then:\n"
        "action_mask = [0, 1, 0], the edge it will take",
    )

    _car(third, (5.0, 2.72), BLUE, "A")
    _outgoing(third, K, {NORTH: 0, EAST: 1, SOUTH: 2}, BLUE)
    _caption(
        third,
        "3  A enters edge 1: it decides again",
        "this time for junction K. Rewards since its last decision:\n"
        "minus the seconds that passed, plus the metres by\n"
        "which J is nearer to its destination than it was before",
    )
    figure.savefig(IMAGES / "decisions.png", dpi=100)
    plt.close(figure)
    _shrink(IMAGES / "decisions.png")


def _streets(axes: Axes) -> None:
    axes.set_xlim(0, 12)
    axes.set_ylim(-3.4, 7.2)
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.add_patch(Rectangle((0, 2.45), 12, 1.1, color=ROAD, linewidth=0))
    for name, (x, y) in {"J": J, "K": K}.items():
        axes.add_patch(Rectangle((x - 0.55, 0), 1.1, 6, color=ROAD, linewidth=0))
        axes.text(x + 0.95, y + 0.9, name, color=QUIET, ha="center", va="center", fontsize=13)
        for begin, end in (((x, 0), (x, 2.3)), ((x, 3.7), (x, 6))):
            axes.plot(*zip(begin, end, strict=True), color=STREET_LINE, linewidth=1, dashes=(4, 4))
    for begin, end in ((0, 3.3), (4.7, 8.3), (9.7, 12)):
        axes.plot((begin, end), (3, 3), color=STREET_LINE, linewidth=1, dashes=(4, 4))


def _car(axes: Axes, place: tuple[float, float], color: str, name: str) -> None:
    axes.add_patch(Circle(place, 0.36, facecolor=color, edgecolor="white", linewidth=1.5, zorder=5))
    axes.text(*place, name, color="white", ha="center", va="center", fontsize=10, fontweight="bold", zorder=6)


def _outgoing(
    axes: Axes,
    junction: tuple[float, float],
    slots: dict[tuple[float, float], int],
    color: str,
    forbidden: tuple[float, float] | None = None,
) -> None:
    """An arrow with its number for each way out."""
    for direction, slot in slots.items():
        # On the right-hand side of the street.
        side = np.array([direction[1], -direction[0]]) * 0.28
        begin, end = (np.array(junction) + np.array(direction) * reach + side for reach in (0.75, 2.1))
        is_forbidden = direction == forbidden
        arrow_color = QUIET if is_forbidden else color
        style = {"linestyle": (0, (2, 2))} if is_forbidden else {}
        axes.add_patch(
            FancyArrowPatch(begin, end, arrowstyle="-|>", mutation_scale=14, color=arrow_color, linewidth=2, **style)
        )
        axes.text(
            *(end + np.array(direction) * 0.38), str(slot), color=arrow_color, ha="center", va="center", fontsize=11
        )
        if is_forbidden:
            axes.plot(*((begin + end) / 2), marker="x", color=RED, markersize=10, markeredgewidth=2.5)


def _way(axes: Axes, points: list[tuple[float, float]], color: str, *, is_dotted: bool = False) -> None:
    axes.plot(*zip(*points[:-1], strict=True), color=color, linewidth=2, linestyle=":" if is_dotted else "-", zorder=4)
    axes.add_patch(FancyArrowPatch(*points[-2:], arrowstyle="-|>", mutation_scale=14, color=color, linewidth=2,
                                   linestyle=":" if is_dotted else "-", shrinkA=0))  # fmt: skip


def _caption(axes: Axes, title: str, words: str) -> None:
    axes.text(0, 6.7, title, color=TEXT, fontsize=12.5, fontweight="bold", va="center")
    axes.text(0, -0.45, words, color=TEXT, fontsize=10.5, va="top", linespacing=1.5)


def frame_and_replay_pictures() -> None:
    """A frame of `render` and a screenshot of the replay page, both of the rush driven by live travel times."""
    env = sumo_marl_env.parallel_env("rush", render_mode="rgb_array")
    env.reset(seed=3)
    frame = None
    while env.agents:
        actions = {}
        for agent in env.deciders:
            navigator = env.navigator(agent)
            actions[agent] = navigator.action_by_shortest_time(navigator.get_destination())
        env.step(actions)
        if frame is None and env.time_s >= 400:
            frame = env.render()
    episode = env.episode()
    env.close()
    Image.fromarray(frame).save(IMAGES / "frame.png")
    _shrink(IMAGES / "frame.png")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "replay.html"
        write_page(simulate_again(episode, recorded_scenario(episode)), page)
        _screenshot(f"{page.as_uri()}#t=400&agent=vehicle_20", Path(folder) / "profile", IMAGES / "replay.png")
    _shrink(IMAGES / "replay.png")


def _screenshot(address: str, profile: Path, output: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("the picture of the replay needs Chromium: apt-get install chromium")
    options = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    more = (
        "--disable-component-update --disable-sync --hide-scrollbars --window-size=1200,800 --virtual-time-budget=5000"
    )
    command = [
        chromium,
        *options.split(),
        *more.split(),
        f"--user-data-dir={profile}",
        f"--screenshot={output}",
        address,
    ]
    subprocess.run(command, check=True, capture_output=True)


def _shrink(path: Path) -> None:
    """256 colours are enough for drawings; this method keeps the rare ones."""
    picture = Image.open(path).convert("RGB")
    picture.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=4, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    decision_picture()
    frame_and_replay_pictures()
