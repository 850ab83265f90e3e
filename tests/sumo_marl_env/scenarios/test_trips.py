from dataclasses import replace

import numpy as np
import pytest
from street_grid import grid_network

from sumo_marl_env import ScenarioError, Trip, load_network, make_scenario, shortest_paths
from sumo_marl_env.scenarios.trips import (
    RUSH_DESTINATIONS,
    RUSH_HEADWAY_S,
    RUSH_ORIGINS,
    default_trip_length_m,
    draw_trips,
)


def test_spread_trips_begin_apart_and_are_as_long_as_asked(grid):
    for seed in range(5):
        trips = draw_trips(grid, 12, 300.0, np.random.default_rng(seed))
        lengths_m = [grid.distance_m(trip.origin, trip.destination) for trip in trips]
        assert np.mean(lengths_m) == pytest.approx(300.0, rel=0.02)
        assert 0.65 * 300.0 <= min(lengths_m) <= max(lengths_m) <= 1.35 * 300.0
        assert len({trip.origin_edge for trip in trips}) == 12


def test_only_the_towns_themselves_have_the_lengths_of_the_paper(grid):
    namesake = replace(grid, name="gridtown")
    assert default_trip_length_m(load_network("gridtown")) == 1047.0
    assert default_trip_length_m(namesake) == default_trip_length_m(grid) == pytest.approx(0.45 * grid.diagonal_m)


def test_trips_begin_on_edges_with_room_and_do_not_end_with_them():
    plain = grid_network()
    network = replace(plain, edge_length_m=np.where(np.arange(plain.num_edges) % 2, 20.0, 100.0))
    trips = draw_trips(network, 40, 100.0, np.random.default_rng(0))
    assert not any(trip.origin_edge % 2 for trip in trips)
    assert not any(network.edge_to[trip.origin_edge] == trip.destination for trip in trips)


def test_rush_goes_from_few_origins_to_few_destinations():
    scenario = make_scenario("rush", num_agents=100)
    assert scenario.network.name == "gridtown"
    assert len({trip.origin_edge for trip in scenario.trips}) == RUSH_ORIGINS
    assert len({trip.destination for trip in scenario.trips}) == RUSH_DESTINATIONS


def test_from_each_origin_of_a_rush_somebody_goes_to_each_destination():
    trips = make_scenario("rush", num_agents=RUSH_ORIGINS * RUSH_DESTINATIONS).trips
    assert len({(trip.origin_edge, trip.destination) for trip in trips}) == len(trips)


def test_agents_of_a_rush_depart_evenly():
    departures_s = [trip.depart_s for trip in make_scenario("rush", num_agents=20).trips]
    assert departures_s == pytest.approx([k * RUSH_HEADWAY_S / RUSH_ORIGINS for k in range(20)], abs=0.01)


def test_rush_has_fifty_agents_unless_told_otherwise():
    assert len(make_scenario("rush").trips) == 50
    assert len(make_scenario("rush", num_agents=7).trips) == 7


def test_fastest_paths_of_a_rush_share_a_corridor():
    scenario = make_scenario("rush")
    paths = shortest_paths(scenario.network, "free_flow_time")
    routes = [set(paths.route(trip.origin_edge, trip.destination)) for trip in scenario.trips]
    shared = list(set.intersection(*routes))
    assert scenario.network.edge_length_m[shared].sum() > 500.0


def test_vehicles_of_one_origin_depart_one_after_the_other():
    departures: dict[int, list[float]] = {}
    for trip in make_scenario("rush", num_agents=60).trips:
        departures.setdefault(trip.origin_edge, []).append(trip.depart_s)
    for times in departures.values():
        assert np.diff(times).min() == pytest.approx(RUSH_HEADWAY_S, abs=0.02)


def test_rush_depends_on_its_seed_only(grid):
    def rush(seed, demand):
        return make_scenario(network=grid, num_agents=12, trips="rush", trips_seed=seed, demand=demand).trips

    assert rush(1, "none") == rush(1, "congested")
    assert rush(1, "none") != rush(2, "none")


def test_every_agent_of_a_rush_finds_room_to_start(make_env):
    env = make_env(num_agents=30, trips="rush", horizon_s=300.0)
    env.reset(seed=0)
    while env.agents:
        env.step({})
    assert all(len(trajectory.actions) for trajectory in env.episode())


def test_unknown_trips_are_named_with_the_known_ones(grid):
    with pytest.raises(ScenarioError, match=r"unknown trips 'rus'.*spread, rush"):
        make_scenario(network=grid, trips="rus")


@pytest.mark.parametrize("depart_s", [-1.0, 2400.0, 2399.2, float("nan")])
def test_departures_outside_the_episode_are_refused(grid, depart_s):
    trip = make_scenario(network=grid, num_agents=1).trips[0]
    late = Trip(trip.agent, trip.origin, trip.destination, trip.origin_edge, depart_s)
    with pytest.raises(ScenarioError, match="outside the episode"):
        make_scenario(network=grid, trips=(late,))


def test_two_agents_of_one_name_are_refused(grid):
    trip = make_scenario(network=grid, num_agents=1).trips[0]
    with pytest.raises(ScenarioError, match="two agents of the name"):
        make_scenario(network=grid, trips=(trip, trip))
