"""A replay as one HTML page that needs nothing else: data, drawing and controls are all in it.

The page's parts are in `templates/`. Numbers travel as whole ones (decimetres, tenths of reward), as differences from
one to the next, compressed: SUMO's own text of the same positions is 50 times as long.
"""

from __future__ import annotations

import base64
import html
import json
import re
import zlib
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sumo_marl_env.episode import AgentTrajectory, Episode
from sumo_marl_env.errors import EpisodeError
from sumo_marl_env.maps.network import RoadNetwork
from sumo_marl_env.maps.osm import OSM_NOTICE, is_built_in
from sumo_marl_env.pictures.replay import Replay, Track

UNIT_M = 0.1
UNIT_REWARD = 0.1
"""Of rewards in the hundreds, as they are by default."""


def write_page(replay: Replay, path: Path | str) -> None:
    """Write the page.

    Raises:
        EpisodeError: if the file cannot be written.
    """
    try:
        Path(path).write_text(page(replay), encoding="utf-8")
    except OSError as error:
        raise EpisodeError(f"{path} cannot be written: {error.strerror}. Choose another --output.") from error


def page(replay: Replay) -> str:
    """The page's text."""
    parts = {
        "title": html.escape(f"{replay.episode.scenario}, seed {replay.episode.seed}"),
        "style": _template("replay.css"),
        "script": _template("replay_data.js") + _template("replay_map.js") + _template("replay.js"),
        # What ends a script element must not occur in it.
        "data": json.dumps(_data(replay), separators=(",", ":")).replace("<", "\\u003c"),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _template("replay.html"))


def _template(name: str) -> str:
    return resources.files("sumo_marl_env.pictures").joinpath("templates", name).read_text(encoding="utf-8")


def _data(replay: Replay) -> dict[str, Any]:
    scenario, episode = replay.scenario, replay.episode
    network = scenario.network
    corner = np.floor(np.concatenate(network.edge_shapes).min(axis=0))
    end_s = float(episode.times_s[-1]) if len(episode.times_s) else 0.0
    return {
        "end_s": end_s,
        "notice": OSM_NOTICE if _is_from_osm(network) else "",
        "differences": list(replay.differences),
        "unit_m": UNIT_M,
        "roads": _roads(network, corner),
        "agents": [_agent(network, corner, trajectory, end_s) for trajectory in episode],
        "rewards": _rewards(episode),
        "tracks": _tracks(replay.tracks, corner, scenario.agents),
    }


def _is_from_osm(network: RoadNetwork) -> bool:
    """netconvert's road types tell; the built-in towns are our own."""
    return not is_built_in(network) and any(kind.startswith("highway.") for kind in network.edge_types)


def _units(xy_m: NDArray[np.float64], corner: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint((xy_m - corner) / UNIT_M).astype(np.int64)


def _packed(values: ArrayLike, dtype: str) -> str:
    """Little-endian, deflated, in base64."""
    return base64.b64encode(zlib.compress(np.asarray(values, dtype).tobytes(), 9)).decode()


def _roads(network: RoadNetwork, corner: NDArray[np.float64]) -> dict[str, list]:
    """Per edge its lanes and its centre line x, y, x, y ...; per connection where it begins and ends."""
    shapes = [_units(shape, corner) for shape in network.edge_shapes]
    links = [[*shapes[edge][-1].tolist(), *shapes[following][0].tolist()] for edge, following in network.connections]
    return {"lanes": network.edge_num_lanes.tolist(), "shapes": [s.ravel().tolist() for s in shapes], "links": links}


def _agent(
    network: RoadNetwork, corner: NDArray[np.float64], trajectory: AgentTrajectory, end_s: float
) -> dict[str, Any]:
    trip = trajectory.trip
    return {
        "name": trip.agent,
        "origin": _units(network.edge_shapes[trip.origin_edge][0], corner).tolist(),
        "destination": _units(network.junction_xy[trip.destination], corner).tolist(),
        "depart_s": trip.depart_s,
        "departed_s": trajectory.departed_s,
        "end_s": min(trip.depart_s + trajectory.travel_time_s, end_s),
        "exit": str(trajectory.exit),
        "decisions_s": trajectory.decision_times_s.tolist(),
    }


def _rewards(episode: Episode) -> dict[str, Any]:
    """Every agent's sum of rewards after each environment step, one agent after the other."""
    sums = np.cumsum(episode.rewards, axis=0, dtype=np.float64)
    largest = float(np.abs(sums).max(initial=0.0))
    if not np.isfinite(largest):
        raise EpisodeError("rewards of this episode are not finite: mend the reward, and record it again")
    # A reward of a user's own may be in hours, or in millions; whole numbers of 32 bits have to do.
    unit = min(max(UNIT_REWARD, largest / 1e9), largest / 1e3) or UNIT_REWARD
    return {
        "unit": unit,
        "times_s": _packed(episode.times_s, "<f4"),
        "steps": _packed(np.diff(np.rint(sums / unit), axis=0, prepend=0).T, "<i4"),
    }


def _tracks(tracks: tuple[Track, ...], corner: NDArray[np.float64], agents: list[str]) -> dict[str, Any]:
    """Per track the agent's row (-1: background), begin, number of positions, first x and y; then the steps of all."""
    rows = {agent: row for row, agent in enumerate(agents)}
    places = [_units(track.xy_m, corner) for track in tracks]
    heads = [
        [rows.get(track.vehicle, -1), track.begin_s, len(xy), *xy[0].tolist()]
        for track, xy in zip(tracks, places, strict=True)
    ]
    steps = np.concatenate([np.zeros((0, 2)), *(np.diff(xy, axis=0) for xy in places)])
    return {"heads": heads, "dx": _packed(steps[:, 0], "<i2"), "dy": _packed(steps[:, 1], "<i2")}
