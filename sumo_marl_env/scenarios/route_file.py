"""A user's own SUMO route file as background traffic: what is allowed in it, and a check before the first episode.

Allowed: `vehicle`, `trip`, `flow` (also inside `interval`), `route`, `routeDistribution`, `vType` and
`vTypeDistribution`, with departures in seconds and in order of departure, as SUMO wants them. Not allowed: persons,
containers, calibrators, names that the env gives its own vehicles (`vehicle_0`, `background_0`, `route_0`), and a type
named `DEFAULT_VEHTYPE`, which would change the agents' vehicles.
"""

from __future__ import annotations

import contextlib
import math
import re
import tempfile
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

from sumo_marl_env.errors import ScenarioError, SimulatorError
from sumo_marl_env.files import XML_ERRORS, refuse_comma, xml_elements
from sumo_marl_env.sumo_programs import run_program, sumo_home
from sumo_marl_env.types import AgentID

_DEPARTING = ("vehicle", "trip", "flow")
_ALLOWED = (*_DEPARTING, "interval", "route", "routeDistribution", "vType", "vTypeDistribution")
_OWN_NAMES = re.compile(r"(vehicle|background|route)_\d+")


def check_route_file(net_file: Path, path: Path, agents: Iterable[AgentID], horizon_s: float) -> None:
    """Raises ScenarioError, with the file, the element and the remedy, if the file is no background traffic.

    SUMO's own router reads the file once for each network, and SUMO drives it up to its last departure, so that an
    unknown edge, a route with a gap or a lane that is not there is found now and not in the middle of every episode.

    Args:
        net_file: the network.
        path: the route file.
        agents: names that its vehicles must not have.
        horizon_s: SUMO drives who departs until then; its router reads all of the file.
    """
    if not path.is_file():
        raise ScenarioError(f"no such route file: {path}")
    refuse_comma(path, ScenarioError, "rename the file or its folder")
    modified_ns = path.stat().st_mtime_ns, net_file.stat().st_mtime_ns
    taken = _check(net_file, path, modified_ns, horizon_s)
    for agent in agents:
        # The vehicles of a flow are numbered: flow.0, flow.1 ...
        if agent in taken or re.sub(r"\.\d+$", "", agent) in taken:
            raise ScenarioError(f"{path}: a vehicle or flow is named like the agent {agent!r}; rename one of the two")


@lru_cache(maxsize=64)
def _check(net_file: Path, path: Path, modified_ns: tuple[int, int], horizon_s: float) -> frozenset[str]:
    """Names of the file's vehicles and flows."""
    try:
        root = ElementTree.parse(path).getroot()
    except OSError as error:
        raise ScenarioError(f"{path} cannot be read: {error.strerror}") from error
    except XML_ERRORS as error:
        raise ScenarioError(f"{path} is not complete XML ({error}); give an uncompressed SUMO route file") from error
    if root.tag != "routes":
        raise ScenarioError(f"{path} is not a SUMO route file: its root element is <{root.tag}>, expected <routes>")
    last_s = _check_elements(path, root)
    if any(kind.get("id") == "DEFAULT_VEHTYPE" for tag in ("vType", "vTypeDistribution") for kind in root.iter(tag)):
        raise ScenarioError(f"{path}: the agents' vehicles have the type DEFAULT_VEHTYPE; give this one another name")
    names = frozenset(element.get("id", "") for element, _ in _elements(root) if element.tag in _DEPARTING)
    if not names:
        raise ScenarioError(f"{path} has no vehicle, trip or flow; add one, or use the demand 'none'")
    _check_routes(net_file, path, root)
    programs, end_s = sumo_home() / "bin", math.ceil(min(last_s, horizon_s)) + 1
    inputs: list[str | Path] = ["--net-file", net_file.resolve(), "--route-files", path.absolute()]
    inputs += ["--xml-validation", "never", "--no-step-log", "--no-warnings"]
    with tempfile.TemporaryDirectory(prefix="sumo_marl_env_") as folder:
        try:
            run_program([programs / "duarouter", *inputs, "--output-file", "routed.rou.xml"], Path(folder))
            run_program([programs / "sumo", *inputs, "--end", str(end_s)], Path(folder))
        except SimulatorError as error:
            raise ScenarioError(f"{path} does not fit {net_file.name}: {error}") from error
    return names


def _check_elements(path: Path, root: ElementTree.Element) -> float:
    """The last departure, seconds."""
    last_s = 0.0
    for element, interval in _elements(root):
        _check_element(path, element)
        if element.tag in _DEPARTING:
            departs_s = _departure_s(path, element, interval)
            if departs_s < last_s:
                raise ScenarioError(
                    f"{path}: {_name(element)} departs at {departs_s:g} s, after one that departs at {last_s:g} s; "
                    "sort the file by departure"
                )
            last_s = departs_s
    return last_s


def _check_routes(net_file: Path, path: Path, root: ElementTree.Element) -> None:
    """SUMO's router mends a route with a gap, SUMO itself stops there in the middle of an episode."""
    routes = [route.get("edges", "").split() for route in root.iter("route")]
    if not routes:
        return
    connections = set()
    for element in xml_elements(net_file):
        if element.tag == "connection":
            connections.add((element.get("from"), element.get("to")))
    for edges in routes:
        for pair in pairwise(edges):
            if pair not in connections:
                raise ScenarioError(
                    f"{path} does not fit {net_file.name}: a route ({' '.join(edges)}) goes from edge {pair[0]!r} to "
                    f"{pair[1]!r}, and no lane leads there; give it as a <trip>, or mend it"
                )


def _elements(root: ElementTree.Element) -> Iterator[tuple[ElementTree.Element, ElementTree.Element | None]]:
    """Top-level elements, and those inside intervals with their interval."""
    for outer in root:
        if outer.tag == "interval":
            yield from ((inner, outer) for inner in outer)
        else:
            yield outer, None


def _check_element(path: Path, element: ElementTree.Element) -> None:
    name = element.get("id", "")
    if element.tag not in _ALLOWED:
        raise ScenarioError(f"{path}: <{element.tag}> is not background traffic; allowed are {', '.join(_ALLOWED)}")
    if element.tag in _DEPARTING and not name:
        raise ScenarioError(f"{path}: a <{element.tag}> has no id; give it one")
    if _OWN_NAMES.fullmatch(name):
        raise ScenarioError(f"{path}: the env uses the name {name!r} itself; rename this <{element.tag}>")


def _departure_s(path: Path, element: ElementTree.Element, interval: ElementTree.Element | None) -> float:
    attribute, default = "depart", ""
    if element.tag == "flow":
        attribute, default = "begin", "0" if interval is None else interval.get("begin", "0")
    value = element.get(attribute, default)
    with contextlib.suppress(ValueError):
        if 0.0 <= (departure_s := float(value)) < math.inf:
            return departure_s
    raise ScenarioError(f"{path}: {_name(element)} has {attribute}={value!r}; give its departure in seconds from 0 on")


def _name(element: ElementTree.Element) -> str:
    return f"<{element.tag}> {element.get('id')!r}"
