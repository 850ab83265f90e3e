"""Writes scenario files; `sumo_marl_env.scenarios.scenario_file` describes them."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from sumo_marl_env.errors import ScenarioError
from sumo_marl_env.files import cache_folder, open_unpacked, plain_number, refuse_comma, write_whole
from sumo_marl_env.maps.network import RoadNetwork
from sumo_marl_env.maps.osm import is_built_in
from sumo_marl_env.scenarios.demand import DEMANDS, Demand
from sumo_marl_env.scenarios.scenario import Scenario
from sumo_marl_env.scenarios.scenario_file import FORMAT
from sumo_marl_env.types import Trip


def save_scenario(scenario: Scenario, path: Path | str, drawn: dict[str, Any] | None = None) -> None:
    """Write a scenario file with its trips spelled out.

    A network or route file that is not in the folder of the file is copied there, so that the folder can be shared.

    Args:
        scenario: what to write.
        path: the file, ending in .json.
        drawn: write how the trips were drawn (`draw`, `num_agents`, `seed`, `length_m`) and not the trips.

    Raises:
        ScenarioError: if the file cannot be written, or a copy would replace another file.
    """
    path = Path(path)
    if path.suffix != ".json":
        raise ScenarioError(f"a scenario file must end in .json, not {path.name!r}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        content = _content(scenario, partial(_beside, folder=path.parent))
        write_whole(path, _in_lines(content if drawn is None else {**content, "trips": drawn}).encode())
    except OSError as error:
        raise ScenarioError(f"{path} cannot be written: {error.strerror}. Choose another file.") from error


def scenario_as_json(scenario: Scenario) -> str:
    """The text of a scenario file that names a network or route file by its absolute path and copies nothing."""
    return json.dumps(_content(scenario, lambda source: str(source.resolve())), default=plain_number)


def scenario_fingerprint(scenario: Scenario) -> str:
    """Hexadecimal SHA-256 of all that episodes depend on beside their seed; neither names nor places of files count."""
    network, route_file = scenario.network, scenario.demand.route_file
    nameless = replace(scenario, name="", demand=replace(scenario.demand, name=""))
    content = {**_content(nameless, lambda source: ""), "network": ""}
    digest = hashlib.sha256(json.dumps(content, default=plain_number).encode())
    # Lanes, turns and signals count as well. In its comments netconvert says when it wrote the file, and from what.
    with open_unpacked(network.net_file) as file:
        digest.update(re.sub(rb"\s*<!--.*?-->\s*", b"", file.read(), flags=re.DOTALL))
    if route_file is not None:
        digest.update(route_file.read_bytes())
    return digest.hexdigest()


def _content(scenario: Scenario, place: Callable[[Path], str]) -> dict[str, Any]:
    """What a scenario file says; `place` gives the name under which it finds another file."""
    return {
        "format": FORMAT,
        "name": scenario.name,
        "network": _saved_network(scenario.network, place),
        "demand": _saved_demand(scenario.demand, place),
        "horizon_s": float(scenario.horizon_s),
        "trips": [_saved_trip(scenario, trip) for trip in scenario.trips],
    }


def _saved_network(network: RoadNetwork, place: Callable[[Path], str]) -> str:
    return network.name if is_built_in(network) else place(network.net_file)


def _saved_demand(demand: Demand, place: Callable[[Path], str]) -> str | dict[str, Any]:
    if DEMANDS.get(demand.name) == demand:
        return demand.name
    spelled = {field.name: getattr(demand, field.name) for field in fields(Demand)}
    route_file = spelled.pop("route_file")
    return spelled if route_file is None else {**spelled, "route_file": place(route_file)}


def _saved_trip(scenario: Scenario, trip: Trip) -> dict[str, Any]:
    network = scenario.network
    return {
        "agent": trip.agent,
        "origin_edge": network.edge_ids[trip.origin_edge],
        "destination": network.junction_ids[trip.destination],
        "depart_s": float(trip.depart_s),
    }


def _beside(source: Path, folder: Path) -> str:
    """The path of `source` relative to `folder`, after copying it there if it is elsewhere."""
    source, folder, cache = source.resolve(), folder.resolve(), cache_folder().resolve()
    # The cache may lie in the folder, such as a home, and goes with nobody who takes the file along.
    is_kept = not source.is_relative_to(cache) or folder.is_relative_to(cache)
    if source.is_relative_to(folder) and is_kept:
        return source.relative_to(folder).as_posix()
    copy = folder / source.name
    refuse_comma(copy, ScenarioError, "choose another folder")
    if not copy.exists():
        shutil.copyfile(source, copy)
    elif copy.read_bytes() != source.read_bytes():
        raise ScenarioError(f"{copy} exists and is another file than {source}; choose another folder for the scenario")
    return copy.name


def _in_lines(content: dict[str, Any]) -> str:
    """JSON with one trip per line."""
    trips = content["trips"]
    if isinstance(trips, dict):
        return json.dumps(content, indent=2, default=plain_number) + "\n"
    head = json.dumps({**content, "trips": []}, indent=2, default=plain_number).removesuffix("[]\n}")
    return head + "[\n" + ",\n".join(f"    {json.dumps(trip, default=plain_number)}" for trip in trips) + "\n  ]\n}\n"
