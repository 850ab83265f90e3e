"""Maps from OpenStreetMap servers: roads of a bounding box by the Overpass protocol, places by Nominatim's.

SUMO's tools/osmGet.py speaks Overpass too, but without a timeout, a size limit, a check of what came, or Retry-After.

Maps are (c) OpenStreetMap contributors, ODbL 1.0.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlencode

from sumo_marl_env.errors import FetchError, NetworkError
from sumo_marl_env.files import XML_ERRORS, cache_folder, write_whole
from sumo_marl_env.maps.bounding_box import BoundingBox
from sumo_marl_env.maps.download import Busy, Downloader
from sumo_marl_env.maps.osm import survey

OVERPASS_SERVER = "https://overpass-api.de/api/interpreter"
NOMINATIM_SERVER = "https://nominatim.openstreetmap.org/search"
MAX_AREA_KM2 = 100.0
"""Larger areas are refused before a server is asked; the paper's networks cover 2 and 4 km2."""

_SERVER_TIMEOUT_S = 120
_REMARK = re.compile(rb"<remark>(.*?)</remark>", re.DOTALL)
_TOO_BUSY = (b"too busy", b"rate_limited", b"Dispatcher_Client")


@dataclass(frozen=True)
class FetchedMap:
    """A downloaded map.

    Attributes:
        file: the .osm file.
        bbox: the area asked for; roads that cross its border are complete and stick out.
        roads: number of ways with a highway tag.
        is_from_cache: whether no server was asked.
    """

    file: Path
    bbox: BoundingBox
    roads: int
    is_from_cache: bool


def fetch_osm(
    bbox: BoundingBox,
    output: Path | str | None = None,
    *,
    server: str = OVERPASS_SERVER,
    refresh: bool = False,
    cache_dir: Path | str | None = None,
    downloader: Downloader | None = None,
) -> FetchedMap:
    """Download the roads of an area, with their nodes and turn restrictions.

    Args:
        bbox: the area, at most `MAX_AREA_KM2`.
        output: where to write the map; None leaves it in the cache only.
        server: address of an Overpass interpreter.
        refresh: ask the server even if the cache has this area.
        cache_dir: the cache, in which maps and places have folders of their own; None is the user's.
        downloader: timeouts and retries.

    Raises:
        FetchError: if the area is too large or has no roads; if the server cannot be reached, is busy, or sends
            anything but a complete map; if the cache or `output` cannot be written.
    """
    if bbox.area_km2 > MAX_AREA_KM2:
        raise FetchError(
            f"the area {bbox} has {bbox.area_km2:.0f} km2; at most {MAX_AREA_KM2:.0f} are downloaded. Choose a smaller "
            "one: 1 to 4 km2 make a good routing network."
        )
    query = _overpass_query(bbox)
    cached = _cache_file(cache_dir, "maps", f"{server}\n{query}", ".osm")
    is_from_cache = not refresh and _roads_in(cached) > 0
    if not is_from_cache:
        form = urlencode({"data": query}).encode()
        _write(cached, (downloader or Downloader()).get(server, form, lambda body: _check_map(body, server, bbox)))
    file = cached if output is None else _write(Path(output), cached.read_bytes())
    return FetchedMap(file, bbox, survey(cached)[2], is_from_cache)


def find_place(
    name: str,
    *,
    server: str = NOMINATIM_SERVER,
    refresh: bool = False,
    cache_dir: Path | str | None = None,
    downloader: Downloader | None = None,
) -> tuple[BoundingBox, str]:
    """Where a place is.

    Args:
        name: as one would type it into a map search, such as "Tsim Sha Tsui, Hong Kong".
        server: address of a Nominatim search.
        refresh, cache_dir, downloader: see `fetch_osm`.

    Returns:
        Its bounding box, and the full name of what was found.

    Raises:
        FetchError: if no such place is found, or the server does not answer as it should.
    """
    if not name.strip():
        raise FetchError("the name of the place is empty; give one such as 'Tsim Sha Tsui, Hong Kong'")
    url = f"{server}?{urlencode({'q': name, 'format': 'jsonv2', 'limit': 1})}"
    cached = _cache_file(cache_dir, "places", url, ".json")
    if not refresh and cached.is_file():
        # What is damaged is asked for again, as with maps.
        with contextlib.suppress(FetchError):
            return _read_place(cached.read_bytes(), name, server)
    body = replace(downloader or Downloader(), option="--place-server").get(url)
    place = _read_place(body, name, server)
    _write(cached, body)
    return place


def _overpass_query(bbox: BoundingBox) -> str:
    """Ordered by id, which puts nodes before the ways that use them, as netconvert wants them."""
    return (
        f"[out:xml][timeout:{_SERVER_TIMEOUT_S}];"
        f'way["highway"]({bbox.south:.7f},{bbox.west:.7f},{bbox.north:.7f},{bbox.east:.7f})->.roads;'
        'rel(bw.roads)["type"="restriction"]->.restrictions;'
        "(.roads;node(w.roads);.restrictions;);out body;"
    )


def _check_map(body: bytes, server: str, bbox: BoundingBox) -> None:
    """Accept a complete map only. Overpass reports most failures in the middle of an answer 200 OK."""
    if b"<osm" not in body[:2000]:
        if any(sign in body for sign in _TOO_BUSY):
            raise Busy("it is too busy")
        start = " ".join(body[:200].decode(errors="replace").split())[:80]
        raise FetchError(
            f"{server} answered something that is no OpenStreetMap data ({start!r}). Check --server: it must be the "
            "address of an Overpass interpreter."
        )
    remark = _REMARK.search(body)
    if remark is not None and b"error" in remark[1]:
        words = " ".join(remark[1].decode(errors="replace").split())
        if any(sign in remark[1] for sign in _TOO_BUSY):
            raise Busy(f"it is too busy ({words})")
        raise FetchError(f"{server} gave up: {words} Ask for a smaller area than {bbox}, or try again later.")
    try:
        _, _, roads = survey(io.BytesIO(body))
    except XML_ERRORS as error:
        raise Busy("its answer broke off") from error
    if roads == 0:
        raise FetchError(f"the area {bbox} has no roads on {server}. Choose another one, as WEST,SOUTH,EAST,NORTH.")


def _read_place(body: bytes, name: str, server: str) -> tuple[BoundingBox, str]:
    try:
        places = json.loads(body)
        if places == []:
            raise FetchError(f"{server} knows no place {name!r}. Check the spelling, add the country, or use --bbox.")
        south, north, west, east = map(float, places[0]["boundingbox"])
        found = str(places[0].get("display_name", name))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise FetchError(
            f"{server} did not answer with a place and its bounding box. Check the address: it must be a Nominatim "
            "search. Or use --bbox."
        ) from error
    try:
        return BoundingBox(west, south, east, north), found
    except NetworkError as error:
        # Such as Fiji, which lies on both sides of the 180th meridian.
        raise FetchError(f"the area of {found!r} is of no use: {error}. Use --bbox for a part of it.") from error


def _cache_file(cache_dir: Path | str | None, kind: str, question: str, suffix: str) -> Path:
    return cache_folder(kind, cache_dir) / (hashlib.sha256(question.encode()).hexdigest()[:16] + suffix)


def _write(path: Path, content: bytes) -> Path:
    try:
        write_whole(path, content)
    except OSError as error:
        raise FetchError(f"{path} cannot be written: {error.strerror}. Choose another file or cache folder.") from error
    return path


def _roads_in(cached: Path) -> int:
    """Number of roads in a cached map; 0 if there is none, or a damaged one."""
    try:
        return survey(cached)[2]
    except (OSError, *XML_ERRORS):
        return 0
