"""Boxes of degrees, and what a crop keeps of a map."""

from xml.etree import ElementTree

import pytest
from helpers import grid_osm

from sumo_marl_env import BoundingBox, NetworkError, import_osm, load_network
from sumo_marl_env.maps.bounding_box import crop_osm
from sumo_marl_env.maps.verdict import ImportVerdict

LUXEMBOURG_3_KM2 = BoundingBox(6.118, 49.603, 6.142, 49.619)
WHOLE = BoundingBox(2.9999, -0.0001, 3.0064, 0.0064)
"""Around the 8 x 8 grid that `town` is."""
QUARTER = BoundingBox(2.9999, -0.0001, 3.0028, 0.0028)
"""Its 4 x 4 junctions in the south-west."""


@pytest.fixture
def town(tmp_path):
    path = tmp_path / "town.osm"
    path.write_text(grid_osm(8, 8))
    return path


def test_box_is_read_and_written_in_one_order():
    box = BoundingBox.parse(" -81.3862, 28.5352,-81.3718,28.5479 ")
    assert (box.west, box.south, box.east, box.north) == (-81.3862, 28.5352, -81.3718, 28.5479)
    assert BoundingBox.parse(str(box)) == box
    assert box.contains(-81.38, 28.54)
    assert not box.contains(28.54, -81.38)


def test_area_is_that_of_the_globe():
    assert BoundingBox(0, 0, 1, 1).area_km2 == pytest.approx(12364, rel=1e-3)
    assert BoundingBox(0, 60, 1, 61).area_km2 == pytest.approx(12364 * 0.4924, rel=1e-3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not a bounding box; give four numbers"),
        ("1,2,3", "is not a bounding box"),
        ("1,2,3,4,5", "is not a bounding box"),
        ("a,b,c,d", "is not a bounding box"),
        ("nan,0,1,1", "four finite numbers"),
        ("28.5352,-181.3,28.5479,-81.3718", "leaves the globe"),
        ("-200,0,1,1", "leaves the globe"),
        ("1,0,0,1", "is empty: west must be less than east"),
        ("0,1,1,1", "is empty"),
    ],
)
def test_what_is_no_box_is_refused_with_the_order(text, words):
    with pytest.raises(NetworkError, match=rf"{words}.*WEST,SOUTH,EAST,NORTH"):
        BoundingBox.parse(text)


def test_crop_keeps_the_roads_inside_only(town, tmp_path):
    network = load_network(town, bbox=QUARTER, cache_dir=tmp_path / "cache")
    # A 4 x 4 grid without its corners, which are bends.
    assert network.num_junctions == 12
    assert load_network(town, bbox=WHOLE, cache_dir=tmp_path / "cache").num_junctions == 60


def test_crop_has_a_place_of_its_own_in_the_cache(town, tmp_path):
    cache = tmp_path / "cache"
    whole, quarter = (import_osm(town, bbox=box, cache_dir=cache) for box in (None, QUARTER))
    assert whole != quarter
    written = quarter.stat().st_mtime_ns
    assert import_osm(town, bbox=BoundingBox.parse(str(QUARTER)), cache_dir=cache) == quarter
    assert quarter.stat().st_mtime_ns == written


def test_written_crop_is_loaded_like_any_network(town, tmp_path):
    output = tmp_path / "quarter.net.xml"
    import_osm(town, output, bbox=QUARTER, cache_dir=tmp_path / "cache")
    assert load_network(output).num_junctions == 12


@pytest.mark.parametrize("box", [BoundingBox(10, 10, 11, 11), BoundingBox(2.9999, -0.0001, 3.0001, 0.0001)])
def test_crop_without_a_road_names_the_box_and_leaves_nothing(town, tmp_path, box):
    with pytest.raises(NetworkError, match=rf"town\.osm has no drivable road inside the bounding box {box}"):
        import_osm(town, bbox=box, cache_dir=tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_only_an_osm_file_can_be_cropped(grid, grid_file):
    for network in (grid, grid_file):
        with pytest.raises(NetworkError, match="cannot be cropped: a bounding box applies to"):
            load_network(network, bbox=QUARTER)


NODES = {1: 0.0, 2: 0.1, 3: 0.2, 4: 2.0, 5: 0.3, 6: 0.4}
RELATION = "<relation id='{}'>{}<tag k='type' v='{}'/></relation>"


def members(*refs):
    return "".join(f"<member type='{kind}' ref='{ref}' role='x'/>" for kind, ref in refs)


def test_road_that_leaves_and_comes_back_becomes_two_and_keeps_its_tags(tmp_path):
    """Also: only turn restrictions whose members are all kept stay."""
    source, output = tmp_path / "in.osm", tmp_path / "out.osm"
    nodes = "".join(f"<node id='{name}' lat='0.5' lon='{longitude}'/>" for name, longitude in NODES.items())
    way = "<way id='7'>" + "".join(f"<nd ref='{name}'/>" for name in NODES) + "<tag k='highway' v='primary'/></way>"
    building = "<way id='8'><nd ref='1'/><nd ref='2'/><tag k='building' v='yes'/></way>"
    relations = [
        RELATION.format(1, members(("way", 7), ("node", 2)), "restriction"),
        RELATION.format(2, members(("way", 7), ("node", 4)), "restriction"),
        RELATION.format(3, members(("way", 7)), "route"),
    ]
    source.write_text(f"<osm>{nodes}{way}{building}{''.join(relations)}</osm>")
    crop_osm(source, BoundingBox(0, 0, 1, 1), output)
    cropped = ElementTree.parse(output).getroot()
    ways = {way.get("id"): [node.get("ref") for node in way.iter("nd")] for way in cropped.iter("way")}
    assert ways == {"7": ["1", "2", "3"], "8": ["5", "6"]}
    assert [tag.get("v") for way in cropped.iter("way") for tag in way.iter("tag")] == ["primary", "primary"]
    assert [node.get("id") for node in cropped.iter("node")] == ["1", "2", "3", "5", "6"]
    assert [relation.get("id") for relation in cropped.iter("relation")] == ["1"]


def cropped_ways(tmp_path, *ways: tuple[int, list[int]]) -> list[tuple[str, list[str]]]:
    """Id and nodes of each way that a crop makes of these."""
    source, output = tmp_path / "in.osm", tmp_path / "out.osm"
    nodes = "".join(f"<node id='{name}' lat='0.5' lon='{longitude}'/>" for name, longitude in NODES.items())
    roads = []
    for name, refs in ways:
        references = "".join(f"<nd ref='{ref}'/>" for ref in refs)
        roads.append(f"<way id='{name}'>{references}<tag k='highway' v='primary'/></way>")
    source.write_text(f"<osm>{nodes}{''.join(roads)}</osm>")
    crop_osm(source, BoundingBox(0, 0, 1, 1), output)
    root = ElementTree.parse(output).getroot()
    return [(way.get("id", ""), [node.get("ref", "") for node in way.iter("nd")]) for way in root.iter("way")]


def test_pieces_of_drawn_roads_share_no_name_with_the_way_back_along_another(tmp_path):
    """Editors give new roads the ids -1, -2 ..., and netconvert calls the way back along a road 2 "-2"."""
    ways = cropped_ways(tmp_path, (-1, [1, 2, 4, 5, 6]), (-2, [2, 3, 4, 6, 5]))
    assert [name for name, _ in ways] == ["-1", "3", "-2", "5"]


def test_of_two_roads_with_one_id_the_first_counts(tmp_path):
    assert cropped_ways(tmp_path, (7, [1, 2, 3]), (7, [5, 6])) == [("7", ["1", "2", "3"])]


@pytest.mark.parametrize(
    "bad", ["<node id='9' lat='x' lon='0'/>", "<node id='9'/>", "<way id='z'><tag k='highway'/></way>"]
)
def test_map_with_senseless_parts_is_refused(tmp_path, bad):
    path = tmp_path / "bad.osm"
    path.write_text(f"<osm>{bad}</osm>")
    with pytest.raises(NetworkError, match="Download the map again"):
        crop_osm(path, QUARTER, tmp_path / "out.osm")


def test_luxembourg_imports_with_a_crop_of_3_km2(real_map, tmp_path):
    network = load_network(real_map("luxembourg/luxembourg.osm"), bbox=LUXEMBOURG_3_KM2, cache_dir=tmp_path / "cache")
    verdict = ImportVerdict.of(network)
    assert LUXEMBOURG_3_KM2.area_km2 == pytest.approx(3.08, abs=0.01)
    # The box of the junctions in metres is turned a little against that of the degrees.
    assert verdict.area_km2 == pytest.approx(3.08, rel=0.06)
    assert 150 < verdict.junctions < 220
    assert 330 < verdict.edges < 500
    assert verdict.signals > 30
    assert verdict.share_kept > 0.95
    assert verdict.is_fit
