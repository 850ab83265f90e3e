"""From a map to a `RoadNetwork`: OpenStreetMap import by SUMO's netconvert, cached, and networks by name.

Networks derived from OpenStreetMap are under the Open Database License: whoever publishes one must say so, as a comment
in each file that is made here does.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

from sumo_marl_env.errors import NetworkError, hint
from sumo_marl_env.files import XML_ERRORS, cache_folder, refuse_comma, write_whole
from sumo_marl_env.maps.bounding_box import BoundingBox, crop_osm, has_nodes_after_ways, sort_osm
from sumo_marl_env.maps.netconvert import FLAGS, GUESSED_SIGNALS, LEFT_HAND, TYPE_MAPS, WITH_ISLANDS, netconvert
from sumo_marl_env.maps.network import RoadNetwork
from sumo_marl_env.maps.raw_map import RawMap
from sumo_marl_env.maps.verdict import ImportVerdict

OSM_NOTICE = "Map data (c) OpenStreetMap contributors, ODbL 1.0"

BUILT_IN_NETWORKS = ("gridtown", "harbourtown")
MAP_ENDINGS = (".osm", ".osm.xml")
"""What a file of that name holds is OpenStreetMap's data; any other is a SUMO network."""

FEW_SIGNALS = 0.05
"""Below this share of signals among the junctions, a map counts as one whose signals are not mapped."""


def import_osm(
    path: Path | str,
    output: Path | str | None = None,
    *,
    bbox: BoundingBox | None = None,
    guess_signals: bool | None = None,
    left_hand: bool = False,
    cache_dir: Path | str | None = None,
) -> Path:
    """Turn an OpenStreetMap extract into a SUMO network with 90 s signal programs.

    The result is cached by the content of the file, the options and SUMO's version, so a second import is free.

    Args:
        path: an .osm file.
        output: where to copy the network to; None leaves it in the cache only.
        bbox: import only the roads inside; None imports the whole file.
        guess_signals: also put signals where the map has none but the streets suggest one. None does so if fewer than
            1 in 20 junctions have a signal: without them, side streets of a busy road jam for good.
        left_hand: vehicles keep to the left, as in Hong Kong or London; the map itself does not say so.
        cache_dir: the cache, in which networks have a folder of their own; None is the user's.

    Returns:
        Path of the .net.xml file (`output` if given).

    Raises:
        NetworkError: if the file is missing, broken, empty, without drivable roads (in `bbox`), or not fit for
            routing; if the cache or `output` cannot be written, or `output` is the map itself or named like one.
        SimulatorError: if netconvert is missing.
    """
    path = Path(path)
    if output is not None:
        _check_output(path, Path(output))
    content = _read_osm(path)
    if guess_signals is None:
        as_mapped = import_osm(path, bbox=bbox, guess_signals=False, left_hand=left_hand, cache_dir=cache_dir)
        guess_signals = bool(_load(as_mapped, as_mapped.stat().st_mtime_ns).junction_has_signal.mean() < FEW_SIGNALS)
    flags = FLAGS | (GUESSED_SIGNALS if guess_signals else {}) | (LEFT_HAND if left_hand else {})
    key = _key(content, flags, bbox)
    folder = cache_folder("networks", cache_dir) / key
    # SUMO takes a comma for the end of a file's name.
    net_file = folder / f"{path.name.removesuffix('.xml').removesuffix('.osm').replace(',', '_')}.net.xml"
    if not _is_usable(net_file):
        _convert(path, net_file, flags, bbox)
    return net_file if output is None else _copy(net_file, Path(output))


def load_network(
    network: str | Path | RoadNetwork,
    *,
    bbox: BoundingBox | None = None,
    guess_signals: bool | None = None,
    cache_dir: Path | str | None = None,
) -> RoadNetwork:
    """The road network of a built-in name or a file.

    Args:
        network: a name of `BUILT_IN_NETWORKS`, the path of an .osm or .net.xml file, or a network, which is returned.
        bbox: see `import_osm`; only for .osm files.
        guess_signals: see `import_osm`; applies to .osm files.
        cache_dir: see `import_osm`.

    Raises:
        NetworkError: if there is no such name or file, the map is not fit for routing, or `bbox` is given for
            something else than an .osm file.
    """
    if isinstance(network, RoadNetwork) and bbox is None:
        return network
    path = network.net_file if isinstance(network, RoadNetwork) else _path_of(network)
    if path.name.endswith(MAP_ENDINGS):
        path = import_osm(path, bbox=bbox, guess_signals=guess_signals, cache_dir=cache_dir)
    elif ".osm" in path.suffixes and ".net" not in path.suffixes:
        with path.open("rb") as file:
            _check_form(path, file.read(100))
    elif bbox is not None:
        raise NetworkError(
            f"{path} cannot be cropped: a bounding box applies to .osm files. Import the .osm file again."
        )
    return _load(path.resolve(), path.stat().st_mtime_ns)


def _path_of(network: str | Path) -> Path:
    return built_in_osm(network) if str(network) in BUILT_IN_NETWORKS else _existing(network)


def built_in_osm(name: str | Path) -> Path:
    """The .osm file of a built-in network: inside an installed package, or in a checkout's `networks` folder."""
    package = Path(__file__).resolve().parents[1]
    candidates = [folder / "networks" / f"{name}.osm" for folder in (package, package.parent)]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise NetworkError(f"the built-in network {str(name)!r} is missing: no {candidates[-1]}. Reinstall the package.")


@lru_cache(maxsize=16)
def _load(path: Path, modified_ns: int) -> RoadNetwork:
    """Read once per process: networks are immutable, and shortest paths are cached per network object."""
    network = RoadNetwork.from_net_file(path)
    ImportVerdict.of(network).raise_if_hopeless()
    return network


def _existing(network: str | Path) -> Path:
    path = Path(network)
    if path.is_file():
        return path
    known = ", ".join(BUILT_IN_NETWORKS)
    if path.is_dir():
        raise NetworkError(f"{path} is a folder: give an .osm or .net.xml file, or one of: {known}.")
    if path.suffix or len(path.parts) > 1:
        raise NetworkError(f"no such network file: {path}. Give an .osm or .net.xml file, or one of: {known}.")
    guess = hint(str(network).lower(), BUILT_IN_NETWORKS, " Did you mean")
    raise NetworkError(
        f"unknown network {str(network)!r}.{guess} Known: {known}, or the path of an .osm or .net.xml file."
    )


def _read_osm(path: Path) -> bytes:
    """The file's bytes, after a look at what netconvert would only report as a missing output."""
    if not path.is_file():
        raise NetworkError(f"no such map file: {path}")
    try:
        content = path.read_bytes()
        _check_form(path, content)
        root, nodes, roads = survey(path)
    except OSError as error:
        raise NetworkError(f"{path} cannot be read: {error.strerror}") from error
    except XML_ERRORS as error:
        raise NetworkError(f"{path} is not complete XML ({error}). Download the map again.") from error
    if root != "osm":
        raise NetworkError(f"{path} is not an OpenStreetMap file: its root element is <{root}>, expected <osm>.")
    if nodes == 0:
        raise NetworkError(f"{path} is an empty map: it has no nodes. Download an area with streets.")
    if roads == 0:
        raise NetworkError(f"{path} has no drivable road: none of its ways has a highway tag. Choose another area.")
    return content


def _check_form(path: Path, content: bytes) -> None:
    """Maps are often downloaded in other forms."""
    for beginning, program in ((b"\x1f\x8b", "gunzip"), (b"BZh", "bunzip2"), (b"\xfd7zXZ", "unxz")):
        if content.startswith(beginning):
            raise NetworkError(f"{path} is compressed: unpack it, for instance with {program}.")
    if b"OSMHeader" in content[:64]:
        raise NetworkError(
            f"{path} is in OpenStreetMap's binary form (.pbf): convert it, for instance with `osmium cat -o map.osm`."
        )


def survey(source: Path | IO[bytes]) -> tuple[str, int, int]:
    """Root element, number of nodes, number of ways with a highway tag. Raises an error of `XML_ERRORS`, or OSError."""
    root, nodes, roads = "", 0, 0
    for event, element in ElementTree.iterparse(source, events=("start", "end")):
        if event == "start":
            root = root or element.tag
        elif element.tag == "node":
            nodes += 1
            element.clear()
        elif element.tag == "way":
            roads += any(tag.get("k") == "highway" for tag in element.iter("tag"))
            element.clear()
    return root, nodes, roads


def _key(content: bytes, flags: dict[str, str], bbox: BoundingBox | None) -> str:
    options = "\n".join([*TYPE_MAPS, *(f"{name}={value}" for name, value in sorted(flags.items()))])
    if bbox is not None:
        options += f"\ncrop={bbox}"
    header = f"{metadata.version('eclipse-sumo')}\n{options}\n{WITH_ISLANDS}\n".encode()
    return hashlib.sha256(header + content).hexdigest()[:16]


def _convert(path: Path, net_file: Path, flags: dict[str, str], bbox: BoundingBox | None) -> None:
    """Crop, run netconvert, judge the result, and only then let it appear under its name, complete."""
    remedy = "choose another cache folder, for instance by XDG_CACHE_HOME"
    refuse_comma(net_file.parent.absolute(), NetworkError, remedy)
    try:
        net_file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=net_file.parent) as folder:
            draft, source = Path(folder) / net_file.name, Path(folder) / "map.osm"
            if bbox is None and has_nodes_after_ways(path):
                sort_osm(path, source)
            elif bbox is None:
                # The user's file may have a comma in its name.
                source.symlink_to(path.resolve())
            else:
                crop_osm(path, bbox, source)
            netconvert(source, draft, flags, path)
            whole = Path(folder) / "whole.net.xml"
            netconvert(source, whole, flags | WITH_ISLANDS, path)
            _add_comment(draft, RawMap.read(whole).note)
            _judge_draft(path, draft)
            if is_from_osm(path):
                _add_comment(draft, f"<!-- {OSM_NOTICE} -->")  # the ODbL wants it on whatever is made of the data
            os.replace(draft, net_file)
    except OSError as error:
        raise NetworkError(
            f"the network cache {net_file.parent} cannot be written: {error.strerror}; {remedy}."
        ) from error


def is_built_in(network: RoadNetwork) -> bool:
    """Whether it is one of our own towns, not another map of that name."""
    return network.name in BUILT_IN_NETWORKS and load_network(network.name).net_file == network.net_file


def is_from_osm(path: Path) -> bool:
    """Whether a map is OpenStreetMap's, under its licence; the built-in towns and their copies are our own."""
    town = path.stem.removesuffix(".net")
    return town not in BUILT_IN_NETWORKS or (
        path.suffix == ".osm" and path.read_bytes() != built_in_osm(town).read_bytes()
    )


def _add_comment(net_file: Path, comment: str) -> None:
    declaration, _, rest = net_file.read_bytes().partition(b"\n")
    net_file.write_bytes(declaration + f"\n{comment}\n".encode() + rest)


def _judge_draft(path: Path, draft: Path) -> None:
    """Raises NetworkError, naming the user's file, if the network is of no use."""
    try:
        ImportVerdict.of(RoadNetwork.from_net_file(draft)).raise_if_hopeless()
    except NetworkError as error:
        raise NetworkError(str(error).replace(str(draft), str(path))) from error


def _check_output(path: Path, output: Path) -> None:
    if output.resolve() == path.resolve():
        raise NetworkError(f"{output} is the map itself, which would be lost; give another --output, a .net.xml file")
    if output.name.endswith(MAP_ENDINGS):
        raise NetworkError(f"{output} has the name of an OpenStreetMap file; give an --output that ends in .net.xml")
    refuse_comma(output.absolute(), NetworkError, "give another --output")
    if output.suffix != ".xml":
        raise NetworkError(f"{output} would be plain XML under another name; give an --output that ends in .net.xml")


def _is_usable(net_file: Path) -> bool:
    """Whether the cache has the network: a damaged file counts as none."""
    try:
        return net_file.is_file() and _load(net_file.resolve(), net_file.stat().st_mtime_ns) is not None
    except NetworkError:
        return False


def _copy(net_file: Path, output: Path) -> Path:
    try:
        write_whole(output, net_file.read_bytes())
    except OSError as error:
        raise NetworkError(f"{output} cannot be written: {error.strerror}. Choose another output file.") from error
    return output
