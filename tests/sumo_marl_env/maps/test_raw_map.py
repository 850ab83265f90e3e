"""The map before its connected part is taken."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sumo_marl_env import NetworkError, load_network
from sumo_marl_env.maps.published import PUBLISHED, compare
from sumo_marl_env.maps.raw_map import RawMap, _unreachable_share
from sumo_marl_env.maps.verdict import ImportVerdict


def by_search(ends, connections) -> float:
    """The same share, by a search from every junction."""
    pairs = unreachable = 0
    for origin in {start for start, _ in ends}:
        seen = [edge for edge, (start, _) in enumerate(ends) if start == origin]
        for edge in seen:
            seen += [following for one, following in connections if one == edge and following not in seen]
        reached = {ends[edge][1] for edge in seen}
        for destination in {end for _, end in ends} - {origin}:
            pairs += 1
            unreachable += destination not in reached
    return unreachable / pairs if pairs else 0.0


@given(seed=st.integers(0, 10_000), edges=st.integers(1, 14), junctions=st.integers(1, 6))
def test_unreachable_share_equals_a_search_from_every_junction(seed, edges, junctions):
    rng = np.random.default_rng(seed)
    ends = [(str(start), str(end)) for start, end in rng.integers(junctions, size=(edges, 2))]
    connections = {
        (one, other)
        for one in range(edges)
        for other in range(edges)
        if ends[one][1] == ends[other][0] and rng.random() < 0.6
    }
    assert _unreachable_share(ends, connections) == pytest.approx(by_search(ends, connections))


def test_one_way_street_to_nowhere_is_half_unreachable():
    assert _unreachable_share([("a", "b"), ("b", "c")], {(0, 1)}) == 0.0
    assert _unreachable_share([("a", "b"), ("b", "c")], set()) == pytest.approx(1 / 3)
    assert _unreachable_share([], set()) == 0.0


def test_grid_has_no_unreachable_pair(grid):
    assert RawMap.read(grid.net_file) == RawMap(edges=48, unreachable_share=0.0)


def test_a_network_may_be_compressed(grid_file, tmp_path):
    packed = tmp_path / "grid.net.xml.gz"
    packed.write_bytes(gzip.compress(grid_file.read_bytes()))
    assert RawMap.read(packed) == RawMap.read(grid_file)
    assert ImportVerdict.of(load_network(packed)).name == "grid"


def test_real_map_has_some_and_the_verdict_says_so(real_map):
    verdict = ImportVerdict.of(load_network(real_map("manhattan/manhattan.net.xml")))
    assert verdict.unreachable_share == 0.069
    assert verdict.to_dict()["unreachable_share"] == 0.069
    assert "7% of the origin-destination pairs would have no route" in verdict.in_words()


@pytest.mark.parametrize(("town", "published"), [("gridtown", "orlando"), ("harbourtown", "hong_kong")])
def test_towns_are_near_to_the_published_networks(town, published):
    comparison = compare(ImportVerdict.of(load_network(town)), published)
    assert list(comparison) == ["signals", "edges", "area_km2", "m_out"]
    assert all(0.9 <= figure["ratio"] <= 1.1 for figure in comparison.values())


def test_published_figures_are_those_of_the_paper():
    orlando, hong_kong = PUBLISHED["orlando"], PUBLISHED["hong_kong"]
    assert (orlando.signals, orlando.edges, orlando.area_km2) == (115, 269, 1.99)
    assert (hong_kong.signals, hong_kong.edges, hong_kong.area_km2) == (144, 239, 3.87)


def test_unknown_published_network_gets_the_known_ones(grid):
    with pytest.raises(NetworkError, match="no published figures of 'paris'; compare with orlando or hong_kong"):
        compare(ImportVerdict.of(grid), "paris")
