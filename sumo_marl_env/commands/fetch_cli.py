"""`sumo-marl fetch`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from sumo_marl_env.commands.console import JsonOption, clean_output
from sumo_marl_env.maps.bounding_box import ORDER, BoundingBox
from sumo_marl_env.maps.download import Downloader
from sumo_marl_env.maps.fetch import NOMINATIM_SERVER, OVERPASS_SERVER, FetchedMap, fetch_osm, find_place
from sumo_marl_env.maps.osm import OSM_NOTICE


def fetch(
    output: Annotated[Path, typer.Option(metavar="FILE.osm", help="Where to write the map.")],
    bbox: Annotated[str | None, typer.Option(metavar=ORDER, help="The area, in degrees.")] = None,
    place: Annotated[str | None, typer.Option(help="Instead, a place by name: its whole bounding box.")] = None,
    server: Annotated[str, typer.Option(help="An Overpass interpreter.")] = OVERPASS_SERVER,
    place_server: Annotated[str, typer.Option(help="A Nominatim search, for --place.")] = NOMINATIM_SERVER,
    timeout: Annotated[float, typer.Option(min=1.0, help="Longest download in seconds.")] = 180.0,
    attempts: Annotated[int, typer.Option(min=1, help="Requests before giving up on a busy server.")] = 5,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask again even if the cache has this area.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Download the roads of an area from OpenStreetMap, for `sumo-marl import`.

    Answers are cached: the same area is downloaded once.
    """
    if (bbox is None) == (place is None):
        raise typer.BadParameter("give either --bbox or --place")
    with clean_output():
        downloader = Downloader(timeout_s=timeout, attempts=attempts, tell=lambda line: typer.echo(line, err=True))
        found = None
        if bbox is not None:
            box = BoundingBox.parse(bbox)
        else:
            box, found = find_place(place or "", server=place_server, refresh=refresh, downloader=downloader)
            typer.echo(f"Found {found}: {box}", err=True)
        fetched = fetch_osm(box, output, server=server, refresh=refresh, downloader=downloader)
    if as_json:
        typer.echo(json.dumps(_report(fetched, found)))
        return
    source = "from the cache; --refresh asks again" if fetched.is_from_cache else f"from {server}"
    typer.echo(f"{fetched.file}: {fetched.roads} roads in {box.area_km2:.2f} km2, {source}. {OSM_NOTICE}")
    network = fetched.file.name.removesuffix(".xml").removesuffix(".osm") + ".net.xml"
    output = fetched.file.with_name(network)
    command = ["sumo-marl", "import", str(fetched.file), f"--bbox={box}", "--output", str(output)]
    typer.echo(f"Next: {shlex.join(command)}")


def _report(fetched: FetchedMap, found: str | None) -> dict[str, object]:
    return {
        "file": str(fetched.file),
        "place": found,
        "bbox": str(fetched.bbox),
        "area_km2": round(fetched.bbox.area_km2, 3),
        "roads": fetched.roads,
        "is_from_cache": fetched.is_from_cache,
        "licence": OSM_NOTICE,
    }
