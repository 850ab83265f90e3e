import numpy as np
import pytest
from helpers import plain_network

from sumo_marl_env import DEMANDS, Demand, RoadNetwork, load_network
from sumo_marl_env.maps.capacity import SATURATION_PER_S, busiest_lane_load


@pytest.fixture(scope="module")
def crossing(tmp_path_factory) -> RoadNetwork:
    """Two-way streets round a block, one signal in a corner of it."""
    folder = tmp_path_factory.mktemp("crossing")
    corners = {"a": (0, 0), "b": (300, 0), "c": (300, 300), "d": (0, 300)}
    ways = [way for street in ("ab", "bc", "cd", "da", "ac") for way in (street, street[::-1])]
    return plain_network(folder, corners, ways, signals="c")


def test_a_route_loads_each_lane_by_how_often_it_passes(crossing):
    """Once round the block in s seconds asks each lane for one vehicle per s seconds."""
    ring = [crossing.edge_index[edge] for edge in ("ab", "bc", "cd", "da")]
    once, twice = busiest_lane_load(crossing, [ring * 50]), busiest_lane_load(crossing, [ring * 50] * 2)
    assert once == pytest.approx(twice)
    duration_s = crossing.free_flow_time_s[ring].sum() + 25.0 + 3 * 5.0
    # A signal is green for less than two thirds of its cycle, and no lane is better than one with priority.
    assert 1.0 < once * SATURATION_PER_S * duration_s < 1.0 / 0.05


def test_a_signal_lets_less_through_than_priority(crossing):
    index = crossing.edge_index
    past_signal = busiest_lane_load(crossing, [[index["bc"], index["cd"]]])
    past_priority = busiest_lane_load(crossing, [[index["ab"], index["bc"]]])
    assert past_signal > past_priority


def test_towns_bear_the_whole_congestion():
    rng = np.random.default_rng(0)
    for town in ("gridtown", "harbourtown"):
        network = load_network(town)
        for name, count in (("moderate", 90), ("congested", 400)):
            vehicles = DEMANDS[name].draw(network, 2400.0, rng)
            assert sum(vehicle.depart_s <= 60.0 for vehicle in vehicles) >= count


def test_a_small_network_gets_less_of_a_limited_demand(grid):
    limited, literal = Demand("limited", 400, max_load=0.85), Demand("literal", 400)
    counts = [len(demand.draw(grid, 600.0, np.random.default_rng(0))) for demand in (limited, literal)]
    assert 0 < counts[0] < counts[1]


def test_twice_the_load_is_twice_the_traffic(grid):
    counts = [len(Demand("x", 400, max_load=load).draw(grid, 600.0, np.random.default_rng(0))) for load in (0.3, 0.6)]
    assert counts[1] == pytest.approx(2 * counts[0], abs=1)
