import os
import re
import shutil
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from helpers import grid_osm as osm
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sumo_marl_env import NetworkError, RoadNetwork, ScenarioError, import_osm, load_network, make_scenario
from sumo_marl_env.maps.bounding_box import BoundingBox
from sumo_marl_env.maps.osm import OSM_NOTICE, built_in_osm
from sumo_marl_env.maps.verdict import ImportVerdict
from sumo_marl_env.sumo_programs import program


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str, name: str = "map.osm") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_import_gives_a_network_that_can_be_loaded(write, cache):
    network = load_network(write(osm(4, 4)), cache_dir=cache)
    # The four corners are bends, not junctions.
    assert network.num_junctions == 12
    assert network.name == "map"


def test_a_network_of_osms_says_whose_data_it_is_and_ours_does_not(write, cache):
    notice = f"<!-- {OSM_NOTICE} -->"
    assert notice in import_osm(write(osm(4, 4)), cache_dir=cache).read_text()
    # Another map of that name is OpenStreetMap's, too.
    assert notice in import_osm(write(osm(4, 4), "gridtown.osm"), cache_dir=cache).read_text()
    copied = shutil.copy(built_in_osm("gridtown"), write(osm(4, 4), "gridtown.osm"))
    assert notice not in import_osm(copied, cache_dir=cache).read_text()


@pytest.mark.parametrize(
    ("name", "begins", "words"),
    [
        ("map.osm.gz", b"\x1f\x8b", "gunzip"),
        ("map.osm.bz2", b"BZh9", "bunzip2"),
        ("map.osm.xz", b"\xfd7zXZ", "unxz"),
        ("map.osm.pbf", b"\0\0\0\r\n\tOSMHeader", "osmium cat"),
    ],
)
def test_maps_in_another_form_are_named_with_the_program_that_helps(tmp_path, cache, name, begins, words):
    path = tmp_path / name
    path.write_bytes(begins)
    for read in (load_network, import_osm):
        with pytest.raises(NetworkError, match=words):
            read(path, cache_dir=cache)


def test_folders_are_called_folders(tmp_path):
    with pytest.raises(NetworkError, match="is a folder: give an"):
        load_network(tmp_path)
    with pytest.raises(ScenarioError, match="is a folder: give a scenario file"):
        make_scenario(str(tmp_path))


def test_tagged_signals_become_signals_of_90_seconds(write, cache):
    net_file = import_osm(write(osm(4, 4, signals=True)), cache_dir=cache)
    programs = list(ElementTree.parse(net_file).iter("tlLogic"))
    assert len(programs) >= 4
    assert {sum(float(phase.get("duration")) for phase in program.iter("phase")) for program in programs} == {90.0}


def test_second_import_comes_from_the_cache(write, cache):
    path = write(osm(4, 4))
    first = import_osm(path, cache_dir=cache)
    written = first.stat().st_mtime_ns
    assert import_osm(path, cache_dir=cache) == first
    assert first.stat().st_mtime_ns == written


def test_changed_content_and_changed_options_are_imported_anew(write, cache):
    first = import_osm(write(osm(4, 4)), cache_dir=cache, guess_signals=False)
    assert import_osm(write(osm(4, 5)), cache_dir=cache, guess_signals=False) != first
    assert import_osm(write(osm(4, 4)), cache_dir=cache, guess_signals=True) != first


def test_cache_holds_nothing_but_the_network(write, cache):
    net_file = import_osm(write(osm(4, 4)), cache_dir=cache, guess_signals=False)
    assert [path for path in cache.rglob("*") if path.is_file()] == [net_file]


def test_output_receives_a_copy(write, cache, tmp_path):
    output = tmp_path / "out.net.xml"
    assert import_osm(write(osm(4, 4)), output, cache_dir=cache) == output
    assert RoadNetwork.from_net_file(output).num_junctions == 12


def test_import_leaves_the_environment_variables_alone(write, cache):
    before = dict(os.environ)
    import_osm(write(osm(4, 4)), cache_dir=cache)
    assert dict(os.environ) == before


def test_import_twice_gives_the_same_network(write, tmp_path):
    path = write(osm(4, 5))
    one, other = (load_network(path, cache_dir=tmp_path / name) for name in ("one", "other"))
    assert one.edge_ids == other.edge_ids
    assert one.connections.tolist() == other.connections.tolist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not complete XML"),
        ("<osm><node id='1'", "not complete XML"),
        ("<gpx></gpx>", "root element is <gpx>"),
        ("<osm version='0.6'></osm>", "empty map"),
        (osm(3, 3, highway=None), "no drivable road"),
        (osm(3, 3, highway="footway"), "no drivable road"),
    ],
    ids=["empty file", "broken", "not osm", "empty osm", "no roads", "footways only"],
)
def test_bad_map_has_one_clear_error(write, cache, text, message):
    path = write(text)
    with pytest.raises(NetworkError, match=message) as error:
        import_osm(path, cache_dir=cache)
    assert str(path) in str(error.value)


def test_bad_map_leaves_no_network_in_the_cache(write, cache):
    with pytest.raises(NetworkError):
        import_osm(write(osm(3, 3, highway="footway")), cache_dir=cache)
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_hopeless_map_is_refused_in_words(write, cache):
    with pytest.raises(NetworkError, match=r"not fit for routing: It has 2 junctions, fewer than 4\."):
        import_osm(write(osm(2, 3)), cache_dir=cache)


def test_single_road_is_refused(write, cache):
    with pytest.raises(NetworkError, match=r"map\.osm has no road"):
        import_osm(write(osm(6, 1)), cache_dir=cache)


@pytest.mark.parametrize("name", ["nowhere.osm", "nowhere.net.xml", "folder/nowhere"])
def test_missing_file_is_named(name):
    with pytest.raises(NetworkError, match=r"no such network file: .*nowhere"):
        load_network(name)
    with pytest.raises(NetworkError, match="no such map file"):
        import_osm("nowhere.osm")


def test_unknown_name_gets_the_known_ones_and_the_closest(tmp_path):
    with pytest.raises(NetworkError, match=r"'gridtwn'. Did you mean 'gridtown'\? Known: gridtown, harbourtown"):
        load_network("gridtwn")


def test_unwritable_cache_is_named(write, tmp_path):
    occupied = tmp_path / "occupied"
    occupied.write_text("a file where the cache folder should be")
    with pytest.raises(NetworkError, match=r"cache .*occupied.* cannot be written"):
        import_osm(write(osm(4, 4)), cache_dir=occupied)


def test_unwritable_output_is_named_and_leaves_nothing_behind(write, cache, tmp_path):
    (tmp_path / "out.net.xml").mkdir()
    with pytest.raises(NetworkError, match=r"out\.net\.xml cannot be written"):
        import_osm(write(osm(4, 4)), occupied := tmp_path / "out.net.xml", cache_dir=cache)
    assert occupied.is_dir()
    assert {path.name for path in tmp_path.iterdir()} == {"map.osm", "cache", "out.net.xml"}


def test_the_map_itself_and_another_map_are_no_output(write, cache):
    path = write(text := osm(4, 4))
    for output in (path, path.parent / "." / path.name, path.with_name("other.osm")):
        with pytest.raises(NetworkError, match="give an"):
            import_osm(path, output, cache_dir=cache)
    assert path.read_text() == text


def test_a_map_may_have_a_comma_in_its_name(write, cache):
    named = load_network(write(osm(4, 4), "Hong Kong, TST.osm"), cache_dir=cache)
    assert named.edge_ids == load_network(write(osm(4, 4)), cache_dir=cache).edge_ids
    assert "," not in str(named.net_file)


def test_a_network_with_a_comma_in_its_name_is_refused(tmp_path, grid_file):
    path = tmp_path / "a,b.net.xml"
    path.write_bytes(grid_file.read_bytes())
    with pytest.raises(NetworkError, match=r"takes the comma in .* rename the file"):
        load_network(path)


def test_a_comma_in_a_folder_is_refused_where_sumo_reads_from_it(write, tmp_path, grid_file, monkeypatch):
    with pytest.raises(NetworkError, match=r"takes the comma in .* choose another cache folder"):
        load_network(write(osm(4, 4)), cache_dir=tmp_path / "a,b")
    (tmp_path / "c,d").mkdir()
    (tmp_path / "c,d" / "t.net.xml").write_bytes(grid_file.read_bytes())
    monkeypatch.chdir(tmp_path / "c,d")
    with pytest.raises(NetworkError, match=r"takes the comma in .* rename the file or its folder"):
        RoadNetwork.from_net_file("t.net.xml")


def test_a_damaged_network_in_the_cache_is_made_anew(write, cache):
    path = write(osm(4, 4))
    net_file = import_osm(path, cache_dir=cache)
    whole = load_network(net_file).edge_ids
    net_file.write_bytes(net_file.read_bytes()[:1000])
    assert load_network(path, cache_dir=cache).edge_ids == whole


def test_a_network_that_netconvert_could_not_write_to_its_end_is_not_kept(write, cache, monkeypatch):
    @contextmanager
    def full_disk(command, **options):
        with program(command, **options) as process:
            yield process
        draft = Path(command[command.index("--output-file") + 1])
        draft.write_bytes(draft.read_bytes()[:1000])

    monkeypatch.setattr("sumo_marl_env.maps.netconvert.program", full_disk)
    with pytest.raises(NetworkError, match="is the disk full"):
        import_osm(write(osm(4, 4)), cache_dir=cache)
    assert not list(cache.rglob("*.xml"))


def test_a_map_of_a_place_where_one_drives_on_the_left(write, cache):
    path = write(osm(4, 4))
    left, right = (import_osm(path, cache_dir=cache, left_hand=is_left) for is_left in (True, False))
    assert 'lefthand="true"' in left.read_text()
    assert 'lefthand="true"' not in right.read_text()
    assert load_network(left).edge_ids == load_network(right).edge_ids


def test_network_object_is_passed_through(grid):
    assert load_network(grid) is grid


def test_net_file_is_read_directly_and_once(grid_file):
    assert load_network(grid_file) is load_network(str(grid_file))


def test_the_name_of_a_town_may_come_as_a_path():
    assert load_network(Path("gridtown")) is load_network("gridtown")


def test_a_network_is_none_of_osms_maps_whatever_else_its_name_says(grid_file, tmp_path):
    network = tmp_path / "city.osm.net.xml"
    shutil.copy(grid_file, network)
    assert load_network(network).num_edges == load_network(grid_file).num_edges
    with pytest.raises(NetworkError, match="a bounding box applies to"):
        load_network(network, bbox=BoundingBox(0, 0, 1, 1))


def test_net_file_that_is_none_is_refused(write):
    with pytest.raises(NetworkError, match=r"map\.net\.xml"):
        load_network(write("<osm></osm>", "map.net.xml"))


def test_missing_built_in_is_named():
    with pytest.raises(NetworkError, match=r"built-in network 'atlantis' is missing"):
        built_in_osm("atlantis")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text(alphabet="<>/osmnode way'=id1 &", max_size=60))
def test_any_rubbish_is_a_network_error(tmp_path, text):
    path = tmp_path / "rubbish.osm"
    path.write_text(text)
    with pytest.raises(NetworkError):
        import_osm(path, cache_dir=tmp_path / "cache")


def test_verdict_counts_what_the_network_has(grid):
    verdict = ImportVerdict.of(grid)
    assert (verdict.junctions, verdict.edges, verdict.m_out) == (16, 48, 4)
    assert verdict.one_way_share == 0.0
    assert verdict.share_kept == 1.0
    assert verdict.is_fit
    assert "Fit for routing" in verdict.in_words()


def test_verdict_counts_islands_that_were_cut_off(write, cache):
    here = osm(4, 4)
    there = re.sub(r"(node id|way id|nd ref)='(\d+)'", lambda match: f"{match[1]}='{int(match[2]) + 5000}'", here)
    there = there.replace("lon='3.0", "lon='3.1").removeprefix("<osm version='0.6'>")
    verdict = ImportVerdict.of(load_network(write(here.replace("</osm>", there)), cache_dir=cache))
    assert verdict.share_kept == 0.5
    assert 0.5 <= verdict.unreachable_share < 0.6
    assert "Much of the map is cut off" in verdict.in_words()


def test_verdict_counts_roads_that_were_cut_off(real_map, cache):
    verdict = ImportVerdict.of(load_network(real_map("hong_kong_tsimshatsui/tsimshatsui.osm"), cache_dir=cache))
    assert 0.6 < verdict.share_kept < 1.0
    assert verdict.is_fit


def test_guessed_signals_add_signals_to_a_real_map(real_map, cache):
    path = real_map("hong_kong_tsimshatsui/tsimshatsui.osm")
    tagged, guessed = (
        int(load_network(path, guess_signals=guess, cache_dir=cache).junction_has_signal.sum())
        for guess in (False, True)
    )
    assert guessed > tagged + 5


def test_likely_signals_are_added_only_where_hardly_any_are_mapped(real_map, cache):
    sparse = real_map("hong_kong_tsimshatsui/tsimshatsui.osm")
    assert import_osm(sparse, cache_dir=cache) == import_osm(sparse, cache_dir=cache, guess_signals=True)
    town = built_in_osm("gridtown")
    assert import_osm(town, cache_dir=cache) == import_osm(town, cache_dir=cache, guess_signals=False)


@pytest.mark.parametrize("first", [0, 3], ids=["out body; >; out skel;", "the same with some nodes of its own"])
def test_a_map_with_nodes_after_its_ways_is_imported(write, cache, first):
    """As Overpass writes it for common queries."""
    text = osm(4, 4)
    root = ElementTree.fromstring(text)
    root[first:] = sorted(root[first:], key=lambda element: element.tag != "way")
    turned = load_network(write(ElementTree.tostring(root, encoding="unicode"), "turned.osm"), cache_dir=cache)
    plain = load_network(write(text), cache_dir=cache)
    assert np.array_equal(turned.junction_xy, plain.junction_xy)
    path = write(ElementTree.tostring(root, encoding="unicode"), "turned.osm")
    cropped = load_network(path, bbox=box(text), cache_dir=cache)
    assert cropped.num_edges == plain.num_edges


def box(text: str) -> BoundingBox:
    nodes = list(ElementTree.fromstring(text).iter("node"))
    longitudes, latitudes = ([float(node.get(name)) for node in nodes] for name in ("lon", "lat"))
    return BoundingBox(min(longitudes) - 1, min(latitudes) - 1, max(longitudes) + 1, max(latitudes) + 1)


def test_what_netconvert_says_of_a_damaged_map_is_told(write, cache):
    with pytest.raises(NetworkError, match="Attribute 'lat' is missing"):
        import_osm(write(osm(4, 4).replace("lat=", "latitude=", 1)), cache_dir=cache)


@pytest.mark.parametrize(
    ("content", "remedy"),
    [(b"\x1f\x8b\x08rest", "is compressed: unpack it"), (b"\0\0\0\x0d\n\x09OSMHeader\x18", r"\(\.pbf\): convert it")],
)
def test_maps_in_other_forms_are_named_with_the_remedy(tmp_path, cache, content, remedy):
    path = tmp_path / "city.osm"
    path.write_bytes(content)
    with pytest.raises(NetworkError, match=remedy):
        import_osm(path, cache_dir=cache)


def test_files_of_another_kind_are_no_networks_and_say_what_they_are(write):
    with pytest.raises(NetworkError, match=r"is an OpenStreetMap map: give it a name that ends in \.osm"):
        RoadNetwork.from_net_file(write(osm(4, 4), "city.xml"))
    with pytest.raises(NetworkError, match="it begins with <routes>"):
        RoadNetwork.from_net_file(write("<routes><vehicle/></routes>", "traffic.rou.xml"))


def test_an_output_of_another_form_is_refused(write, cache, tmp_path):
    with pytest.raises(NetworkError, match=r"plain XML under another name"):
        import_osm(write(osm(4, 4)), output=tmp_path / "city.net.xml.gz", cache_dir=cache)


def test_an_output_that_sumo_could_not_read_is_refused_before_it_is_written(write, tmp_path):
    with pytest.raises(NetworkError, match="SUMO takes the comma"):
        import_osm(write(osm(4, 4)), output=tmp_path / "a,b.net.xml", cache_dir=tmp_path / "cache")
    assert not (tmp_path / "a,b.net.xml").exists()


def test_roads_that_lead_nowhere_are_no_matter_of_cars(write, cache):
    line = osm(3, 1, highway="motorway")
    assert line.count("<way") == 4  # three of them are of one node
    with pytest.raises(NetworkError, match="leads anywhere"):
        import_osm(write(line), cache_dir=cache)
