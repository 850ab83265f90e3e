"""Downloads from a real server on loopback: maps, errors, garbage, silence."""

import email.utils
import json
import math
import re
import shlex
import socket
import subprocess
import sys
import time

import pytest
from helpers import grid_osm
from map_server import Answer, serving

from sumo_marl_env import FetchError, NetworkError, import_osm
from sumo_marl_env.maps.bounding_box import BoundingBox
from sumo_marl_env.maps.download import Downloader
from sumo_marl_env.maps.fetch import fetch_osm, find_place

BOX = BoundingBox(2.999, -0.001, 3.004, 0.004)
MAP = grid_osm(4, 4).encode()
REMARK = "<osm version='0.6'><meta/><remark> runtime error: {} </remark></osm>"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server():
    with serving() as running:
        yield running


@pytest.fixture
def pauses():
    """The pauses that a downloader of `fetch` made, in seconds."""
    return []


@pytest.fixture
def fetch(server, pauses, tmp_path):
    """Fetch the box from the server, which answers as told."""

    def fetch(*answers, output=None, refresh=False, bbox=BOX, **options):
        if answers:
            server.answers = list(answers)
        downloader = Downloader(sleep=pauses.append, **options)
        cache = tmp_path / "cache"
        return fetch_osm(bbox, output, server=server.url, refresh=refresh, cache_dir=cache, downloader=downloader)

    return fetch


def test_fetched_map_is_what_the_server_sent_and_can_be_imported(fetch, tmp_path):
    fetched = fetch(Answer(MAP), output=tmp_path / "town.osm")
    assert fetched.file == tmp_path / "town.osm"
    assert fetched.file.read_bytes() == MAP
    assert fetched.roads == 8
    assert import_osm(fetched.file, cache_dir=tmp_path / "networks").is_file()


def test_real_extract_is_fetched_and_imported_with_a_crop(fetch, real_map, tmp_path):
    original = real_map("hong_kong_tsimshatsui/tsimshatsui.osm")
    box = BoundingBox.parse("114.16479,22.29228,114.17906,22.30048")
    fetched = fetch(Answer.zipped(original.read_bytes()), output=tmp_path / "tst.osm", bbox=box)
    assert fetched.file.read_bytes() == original.read_bytes()
    assert import_osm(fetched.file, bbox=box, cache_dir=tmp_path / "networks").is_file()


def test_query_asks_for_roads_and_restrictions_of_the_box_and_says_who_asks(fetch, server):
    fetch(Answer(MAP))
    method, path, headers, form = server.asked[0]
    assert (method, path) == ("POST", "/api/interpreter")
    query = form["data"][0]
    # Overpass wants south, west, north, east.
    assert 'way["highway"](-0.0010000,2.9990000,0.0040000,3.0040000)' in query
    assert '["type"="restriction"]' in query
    assert "[timeout:" in query
    assert headers["User-Agent"].startswith("sumo-marl/")


def test_same_area_is_asked_for_once_unless_refreshed(fetch, server, tmp_path):
    assert not fetch(Answer(MAP)).is_from_cache
    again = fetch(output=tmp_path / "again.osm")
    assert again.is_from_cache
    assert again.file.read_bytes() == MAP
    assert len(server.asked) == 1
    assert not fetch(refresh=True).is_from_cache
    assert len(server.asked) == 2


def test_a_damaged_map_in_the_cache_is_fetched_anew(fetch, server, tmp_path):
    cached = fetch(Answer(MAP)).file
    cached.write_bytes(MAP[:300])
    again = fetch(Answer(MAP))
    assert (again.file.read_bytes(), again.is_from_cache, len(server.asked)) == (MAP, False, 2)


def test_other_area_and_other_server_are_asked_anew(fetch, server, tmp_path):
    fetch(Answer(MAP))
    fetch(bbox=BoundingBox(2.998, -0.001, 3.004, 0.004))
    fetch_osm(BOX, server=f"{server.url}2", cache_dir=tmp_path / "cache")
    assert len(server.asked) == 3


def test_packed_answer_is_unpacked(fetch, server):
    assert fetch(Answer.zipped(MAP)).file.read_bytes() == MAP
    assert server.asked[0][2]["Accept-Encoding"] == "gzip"


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_busy_server_is_asked_again_with_growing_pauses(fetch, pauses, status):
    busy = Answer(b"<html>busy</html>", status)
    assert fetch(busy, busy, busy, Answer(MAP)).roads == 8
    assert pauses == [5.0, 10.0, 20.0]


def test_retry_after_in_seconds_is_obeyed(fetch, pauses):
    fetch(Answer(status=429, headers={"Retry-After": "17"}), Answer(MAP))
    assert pauses == [17.0]


def test_retry_after_as_a_date_is_obeyed(fetch, pauses):
    date = email.utils.formatdate(time.time() + 60, usegmt=True)
    fetch(Answer(status=503, headers={"Retry-After": date}), Answer(MAP))
    assert 50 < pauses[0] <= 60


def test_senseless_retry_after_is_ignored(fetch, pauses):
    fetch(Answer(status=429, headers={"Retry-After": "soon"}), Answer(MAP))
    assert pauses == [5.0]


def test_too_long_a_retry_after_is_an_error_that_names_it(fetch, pauses):
    with pytest.raises(FetchError, match=r"asks to wait 3600 s: it answered 429 .* Try again after that"):
        fetch(Answer(status=429, headers={"Retry-After": "3600"}))
    assert pauses == []


def test_server_that_stays_busy_is_left_in_peace_after_five_attempts(fetch, server, pauses):
    with pytest.raises(FetchError, match=r"did not deliver in 5 attempts: it answered 504 .* Try again later"):
        fetch(Answer(status=504))
    assert len(server.asked) == 5
    assert len(pauses) == 4


def test_own_pauses_grow_no_longer_than_what_a_server_may_ask_for(fetch, server, pauses):
    with pytest.raises(FetchError, match="did not deliver in 9 attempts"):
        fetch(Answer(status=503), attempts=9)
    assert pauses[-2:] == [Downloader().longest_wait_s] * 2


BROKEN_OFF = {
    "short of its length": Answer(MAP[:900], claimed_length=len(MAP)),
    "without an end": Answer(MAP[:900]),
    "after a whole element": Answer(MAP[: MAP.index(b"</way>") + 6]),
    "in a packed answer": Answer(Answer.zipped(MAP).body[:-20], headers={"Content-Encoding": "gzip"}),
    "garbage for a packed answer": Answer(b"not packed at all", headers={"Content-Encoding": "gzip"}),
    "too busy, in html": Answer(b"<html>Dispatcher_Client::timeout. The server is probably too busy</html>"),
    "an encoding that nobody knows": Answer(b'<?xml version="1.0" encoding="x-foo"?>' + MAP),
    "too busy, in a remark": Answer(REMARK.format("open64: 0 Success Dispatcher_Client::request").encode()),
}


@pytest.mark.parametrize("answer", BROKEN_OFF.values(), ids=BROKEN_OFF)
def test_answer_that_breaks_off_is_asked_for_again(fetch, pauses, answer):
    assert fetch(answer, Answer(MAP)).roads == 8
    assert pauses == [5.0]


@pytest.mark.parametrize("answer", BROKEN_OFF.values(), ids=BROKEN_OFF)
def test_answer_that_always_breaks_off_is_an_error_and_leaves_no_file(fetch, tmp_path, answer):
    with pytest.raises(FetchError, match=r"did not deliver in 2 attempts: (its answer broke off|it is too busy)"):
        fetch(answer, attempts=2, output=tmp_path / "town.osm")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


REFUSALS = {
    "not a map": (Answer(b"<!DOCTYPE html><p>Please log in</p>"), r"no OpenStreetMap data .*log in.* Check --server"),
    "nothing": (Answer(b""), "no OpenStreetMap data"),
    "binary": (Answer(bytes(range(256))), "no OpenStreetMap data"),
    "out of memory": (Answer(REMARK.format("Query run out of memory").encode()), "out of memory Ask for a smaller"),
    "timed out": (Answer(REMARK.format("Query timed out in query").encode()), r"timed out .*Ask for a smaller area"),
    "no roads": (Answer(b"<osm version='0.6'><node id='1' lat='0' lon='3'/></osm>"), "has no roads .*Choose another"),
    "bad request": (Answer(status=400), "refuses: it answered 400 .*Check --server"),
    "forbidden": (Answer(status=403), "refuses: it answered 403"),
    "moved": (
        Answer(status=301, headers={"Location": "https://elsewhere.example/api"}),
        "Give --server https://elsewh",
    ),
    "moved nearby": (
        Answer(status=302, headers={"Location": "/other"}),
        r"Give --server http://127\.0\.0\.1:\d+/other\.",
    ),
    "moved, who knows where": (Answer(status=302), r"Give another --server\."),
}


@pytest.mark.parametrize(("answer", "words"), REFUSALS.values(), ids=REFUSALS)
def test_refusal_is_an_error_at_once(fetch, server, pauses, tmp_path, answer, words):
    with pytest.raises(FetchError, match=words):
        fetch(answer)
    assert len(server.asked) == 1
    assert pauses == []
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_harmless_remark_is_no_error(fetch):
    assert fetch(Answer(MAP.replace(b"</osm>", b"<remark>runtime remark: fine</remark></osm>"))).roads == 8


@pytest.mark.parametrize("answer", [Answer(MAP), Answer.zipped(MAP)], ids=["plain", "packed"])
def test_answer_above_the_size_limit_is_refused(fetch, answer):
    with pytest.raises(FetchError, match=r"more than 1000 bytes\. Ask for a smaller area"):
        fetch(answer, max_bytes=1000)


def test_silent_server_runs_into_the_timeout(fetch, pauses):
    with pytest.raises(FetchError, match=r"in 2 attempts: it took longer than 0\.1 s"):
        fetch(Answer(MAP, pause_s=0.5, paused_bytes=1), timeout_s=0.1, attempts=2)


def test_server_that_sends_byte_after_byte_runs_into_the_timeout_too(fetch):
    with pytest.raises(FetchError, match=r"it took longer than 0\.2 s"):
        fetch(Answer(MAP, pause_s=0.02, paused_bytes=100), timeout_s=0.2, attempts=1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("address", ["http://127.0.0.1:{}/api", "http://127.0.0.1:x{}"], ids=["closed", "no port"])
def test_server_out_of_reach_is_an_error_at_once(address, pauses, tmp_path):
    downloader = Downloader(sleep=pauses.append)
    with pytest.raises(FetchError, match=r"cannot be reached .* Check the network, your proxy, and --server"):
        fetch_osm(BOX, server=address.format(free_port()), cache_dir=tmp_path, downloader=downloader)
    assert pauses == []


def test_unknown_host_is_an_error_at_once(fetch, server, pauses, monkeypatch):
    def no_name(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_name)
    with pytest.raises(FetchError, match=r"cannot be reached \(.*Name or service not known\). Check the network"):
        fetch()
    assert pauses == []


@pytest.mark.parametrize("address", ["file:///etc/hosts", "overpass.example", "", "http://", "http://[::1"])
def test_what_is_no_web_address_is_refused(address, tmp_path):
    with pytest.raises(FetchError, match="is not a server; give a web address"):
        fetch_osm(BOX, server=address, cache_dir=tmp_path)


def test_absurd_area_is_refused_before_asking(fetch, server):
    with pytest.raises(FetchError, match=r"has 12\d\d\d km2; at most 100 are downloaded\. Choose a smaller"):
        fetch(bbox=BoundingBox(2, 0, 3, 1))
    assert server.asked == []


def test_unwritable_output_is_named_and_leaves_nothing_behind(fetch, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "town.osm").mkdir()
    with pytest.raises(FetchError, match=r"town\.osm cannot be written"):
        fetch(Answer(MAP), output=tmp_path / "folder" / "town.osm")
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["town.osm"]


@pytest.mark.parametrize("settings", [{"attempts": 0}, {"timeout_s": 0.0}, {"timeout_s": math.inf}])
def test_what_is_no_downloader_is_refused(settings):
    with pytest.raises(FetchError, match="at least one attempt and a positive timeout of no more than"):
        Downloader(**settings)


PLACE = {"boundingbox": ["-0.001", "0.004", "2.999", "3.004"], "display_name": "Gridtown, Nowhere"}


def test_place_has_the_box_that_the_server_gives_and_is_asked_for_once(server, tmp_path):
    server.answers = [Answer(json.dumps([PLACE]).encode())]
    for _ in range(2):
        found = find_place("Gridtown & more", server=server.url, cache_dir=tmp_path)
        assert found == (BOX, "Gridtown, Nowhere")
    method, path, headers, _ = server.asked[0]
    assert method == "GET"
    assert "q=Gridtown+%26+more" in path
    assert headers["User-Agent"].startswith("sumo-marl/")
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[]", r"knows no place 'Atlantis'\. Check the spelling"),
        (b"<html>", "did not answer with a place"),
        (b"{}", "did not answer with a place"),
        (b"[" * 100_000, "did not answer with a place"),
        (b"[{}]", "did not answer with a place"),
        (b'[{"boundingbox": ["a", "b", "c", "d"]}]', "did not answer with a place"),
        (b'[{"boundingbox": ["9", "8", "7", "6"]}]', "area of 'Atlantis' is of no use.*Use --bbox for a part"),
    ],
)
def test_unknown_place_and_senseless_answers_are_errors_and_not_cached(server, tmp_path, body, words):
    server.answers = [Answer(body)]
    with pytest.raises(FetchError, match=words):
        find_place("Atlantis", server=server.url, cache_dir=tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_damaged_place_in_the_cache_is_asked_for_anew(server, tmp_path):
    server.answers = [Answer(json.dumps([PLACE]).encode())]
    find_place("Gridtown", server=server.url, cache_dir=tmp_path)
    (cached,) = (tmp_path / "places").iterdir()
    cached.write_bytes(b"")
    assert find_place("Gridtown", server=server.url, cache_dir=tmp_path) == (BOX, "Gridtown, Nowhere")
    assert len(server.asked) == 2


def test_a_refused_place_names_the_option_of_its_own_server(server, tmp_path):
    server.answers = [Answer(status=403)]
    with pytest.raises(FetchError, match=r"refuses: .*Check --place-server"):
        find_place("Gridtown", server=server.url, cache_dir=tmp_path)


def test_empty_place_is_refused():
    with pytest.raises(FetchError, match="name of the place is empty"):
        find_place(" ")


def sumo_marl(*arguments, cache) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sumo_marl_env.cli", *map(str, arguments)]
    environment = {"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(cache), "no_proxy": "127.0.0.1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_command_fetches_a_place_and_names_the_next_command_which_works(server, tmp_path):
    server.answers = [
        Answer(json.dumps([PLACE]).encode()),
        Answer(status=429, headers={"Retry-After": "0"}),
        Answer(MAP),
    ]
    output = tmp_path / "my town.osm"
    options = ["--place", "Gridtown", "--place-server", server.url, "--server", server.url, "--output", output]
    result = sumo_marl("fetch", *options, cache=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "Found Gridtown, Nowhere" in result.stderr
    assert "asking again in 0 s" in result.stderr
    assert "OpenStreetMap contributors, ODbL" in result.stdout
    next_command = re.search(r"Next: sumo-marl (import .*)", result.stdout)[1]
    imported = sumo_marl(*shlex.split(next_command), "--no-dry-run", cache=tmp_path)
    assert imported.returncode == 0, imported.stderr
    assert (tmp_path / "my town.net.xml").is_file()


def test_command_with_json_prints_one_object(server, tmp_path):
    server.answers = [Answer(MAP)]
    output = tmp_path / "town.osm"
    result = sumo_marl("fetch", "--bbox", BOX, "--output", output, "--server", server.url, "--json", cache=tmp_path)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert (report["file"], report["bbox"], report["roads"]) == (str(output), str(BOX), 8)


def test_command_reports_an_error_in_one_line(tmp_path):
    options = ["--bbox=2,0,3,1", "--output", tmp_path / "town.osm"]
    result = sumo_marl("fetch", *options, cache=tmp_path)
    assert result.returncode == 1
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("options", [[], ["--bbox", BOX, "--place", "Gridtown"]])
def test_command_wants_either_a_box_or_a_place(options, tmp_path):
    assert sumo_marl("fetch", *options, "--output", tmp_path / "town.osm", cache=tmp_path).returncode == 2


def test_errors_of_boxes_are_network_errors():
    with pytest.raises(NetworkError):
        BoundingBox.parse("1,2,3")
