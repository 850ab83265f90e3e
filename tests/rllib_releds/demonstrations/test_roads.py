"""How long vehicles took on each road."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from rllib_releds.demonstrations.roads import path_time_s, road_times
from sumo_marl_env import AgentTrajectory, Episode, Exit, RoadNetwork, Trip


def route(network: RoadNetwork, *junctions: int) -> list[int]:
    return [network.edge_index[f"{start}to{end}"] for start, end in pairwise(junctions)]


@pytest.fixture
def make_episode(network, make_trajectory):
    """Vehicles from junction 0 to 3: when each entered its roads but the last, and when it arrived."""

    def make(*drives: tuple[list[int], list[float], float | None], depart_s: float = 5.0) -> Episode:
        trajectories: list[AgentTrajectory] = []
        for number, (junctions, entered_s, arrived_s) in enumerate(drives):
            edges = route(network, *junctions)
            trip = Trip(f"vehicle_{number}", 0, 3, edges[0], depart_s)
            trajectories.append(
                make_trajectory(
                    trip,
                    range(len(entered_s)),
                    [0.0] * len(entered_s),
                    decision_times_s=np.array(entered_s),
                    edges=np.array(edges),
                    exit=Exit.HORIZON if arrived_s is None else Exit.ARRIVED,
                    travel_time_s=900.0 if arrived_s is None else arrived_s - depart_s,
                )
            )
        return Episode("grid", 0, tuple(trajectories), np.zeros((1, len(drives))), np.ones(1))

    return make


def test_times_are_means_over_all_that_took_the_same_turn(network, make_episode):
    # The last road of the trip takes three times as long as the one before it: three quarters of their time together.
    speeds = network.edge_speed_mps.copy()
    speeds[network.edge_index["2to3"]] /= 3.0
    network = replace(network, edge_speed_mps=speeds)
    episodes = [
        make_episode(([0, 1, 2, 3], [10.0, 30.0], 90.0), ([0, 1, 2, 3], [10.0, 50.0], 80.0)),
        make_episode(([0, 1, 2, 6], [10.0, 25.0, 50.0], None), ([0, 1, 2, 3], [10.0, 40.0], 100.0)),
    ]
    found = {road.key: (road.travel_time_s, road.vehicles, road.trips) for road in road_times(episodes, network)}
    assert list(found) == sorted(found)
    assert found == {
        (0, 1, 2): (pytest.approx((20.0 + 40.0 + 15.0 + 30.0) / 4), 2.0, 4.0),
        (1, 2, 3): (pytest.approx((15.0 + 7.5 + 15.0) / 3), 1.5, 3.0),
        (2, 3, -1): (pytest.approx((45.0 + 22.5 + 45.0) / 3), 1.5, 3.0),
        (1, 2, 6): (25.0, 0.5, 1.0),
    }


def test_a_vehicle_that_is_still_on_its_last_road_tells_of_none_that_it_has_not_left(network, make_episode):
    episode = make_episode(([0, 1, 2, 3], [10.0, 30.0], None))
    assert [(road.key, road.travel_time_s) for road in road_times([episode], network)] == [((0, 1, 2), 20.0)]


def test_roads_on_which_nothing_is_decided_share_the_time_with_those_before(network, make_episode):
    episode = make_episode(([0, 1, 2, 3], [10.0, 50.0], 110.0))
    (trajectory,) = episode.trajectories
    trajectory = replace(trajectory, decision_edges=np.array([0, 2]))
    network = replace(network, edge_speed_mps=np.full_like(network.edge_speed_mps, 10.0))
    found = road_times([replace(episode, trajectories=(trajectory,))], network)
    assert {road.key: road.travel_time_s for road in found} == {(0, 1, 2): 20.0, (1, 2, 3): 20.0, (2, 3, -1): 60.0}


def test_roads_far_off_everybodys_way_are_left_out(network, make_episode):
    there_and_back = [0, 4, 8, 12, 13, 14, 15, 11, 7, 3]
    episode = make_episode((there_and_back, [10.0 * k for k in range(1, 9)], 100.0))
    # All that is left of this tour is its last road.
    assert [road.key for road in road_times([episode], network)] == [(7, 3, -1)]
    straight = make_episode(([0, 1, 2, 3], [10.0, 20.0], 40.0))
    assert len(road_times([straight], network)) == 3


def test_a_path_takes_as_long_as_its_roads_with_the_turns_that_it_takes(network, make_episode):
    episode = make_episode(([0, 1, 2, 3], [10.0, 30.0], 90.0))
    roads = {road.key: road for road in road_times([episode], network)}
    assert path_time_s((0, 1, 2, 3), roads) == pytest.approx(80.0)
    assert path_time_s((1, 2, 3), roads) == pytest.approx(60.0)
    assert path_time_s((0, 1, 2), roads) is None, "nobody ended there"
    assert path_time_s((0, 1, 5), roads) is None
