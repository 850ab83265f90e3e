import gzip
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from sumo_marl_env import NetworkError, RoadNetwork, make_scenario


def test_every_edge_reaches_every_edge(grid):
    reached = np.eye(grid.num_edges, dtype=bool)
    step = np.zeros_like(reached)
    step[grid.connections[:, 0], grid.connections[:, 1]] = True
    for _ in range(grid.num_edges):
        reached |= reached @ step
    assert reached.all()


def test_masks_follow_lane_connections(grid):
    for edge in range(grid.num_edges):
        slots = np.flatnonzero(grid.action_masks[edge])
        assert {grid.outgoing[grid.edge_to[edge]][slot] for slot in slots} == set(grid.successors[edge])


def test_a_grid_without_turnarounds_offers_three_of_four_ways_inside(grid):
    inner = [e for e in range(grid.num_edges) if len(grid.outgoing[grid.edge_to[e]]) == 4]
    assert inner
    assert (grid.action_masks[inner].sum(axis=1) == 3).all()
    assert grid.max_outgoing == 4


def test_arrays_are_read_only(grid):
    for array in (grid.edge_length_m, grid.free_flow_time_s, grid.edge_shapes[0]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0.0


@pytest.mark.parametrize("name", ["edge_length_m", "edge_types", "junction_xy"])
def test_arrays_of_another_length_are_refused_by_name(grid, name):
    with pytest.raises(NetworkError, match=f"{name} must have one row for each"):
        replace(grid, **{name: getattr(grid, name)[:3]})


def test_manhattan_has_the_published_counts(real_map):
    network = RoadNetwork.from_net_file(real_map("manhattan/manhattan.net.xml"))
    counts = (network.num_junctions, network.num_edges, int(network.junction_has_signal.sum()))
    assert counts == (124, 230, 113)


@pytest.mark.parametrize("content", ["", "no xml", "<net></net>", "<routes/>"])
def test_what_is_not_a_network_is_refused_by_name(tmp_path, content):
    path = tmp_path / "broken.net.xml"
    path.write_text(content)
    with pytest.raises(NetworkError, match=r"broken\.net\.xml"):
        RoadNetwork.from_net_file(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(NetworkError, match=r"no such network file: .*nowhere\.net\.xml"):
        RoadNetwork.from_net_file(tmp_path / "nowhere.net.xml")


def test_where_a_network_lies_does_not_depend_on_the_working_folder(grid_file, monkeypatch):
    monkeypatch.chdir(grid_file.parent)
    assert RoadNetwork.from_net_file(grid_file.name).net_file == grid_file


def test_the_speed_of_an_edge_is_that_of_its_fastest_lane(grid_file, tmp_path):
    """An agent must be looked at as soon as it can be at the end, on whichever lane."""
    tree = ElementTree.parse(grid_file)
    edge = next(e for e in tree.iter("edge") if e.get("function") is None)
    (lane,) = edge.iter("lane")
    slow = ElementTree.SubElement(edge, "lane", lane.attrib)
    slow.attrib |= {"id": f"{edge.get('id')}_1", "index": "1", "speed": "4.00"}
    tree.write(tmp_path / "lanes.net.xml")
    network = RoadNetwork.from_net_file(tmp_path / "lanes.net.xml")
    assert network.edge_speed_mps[network.edge_index[edge.get("id")]] == float(lane.get("speed"))


def test_a_compressed_network_takes_traffic(grid_file, tmp_path):
    packed = tmp_path / "grid.net.xml.gz"
    packed.write_bytes(gzip.compress(grid_file.read_bytes()))
    routes = tmp_path / "one.rou.xml"
    edges = RoadNetwork.from_net_file(packed)
    pair = [edges.edge_ids[row] for row in edges.connections[0]]
    routes.write_text(f'<routes><vehicle id="bus" depart="0"><route edges="{" ".join(pair)}"/></vehicle></routes>')
    for demand in ("moderate", str(routes)):
        assert make_scenario(packed, demand, num_agents=2).background(0) is not None
