from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from street_grid import grid_network

from sumo_marl_env import DEMANDS, Demand, RoadNetwork, ScenarioError
from sumo_marl_env.scenarios.demand import (
    INSERTION_WINDOW_S,
    MAX_DESTINATIONS,
    arterial_edges,
    destination_pool,
    resolve_demand,
    route_is_connected,
)


def draw(demand: Demand, network: RoadNetwork, horizon_s: float):
    return demand.draw(network, horizon_s, np.random.default_rng(0))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), name=st.sampled_from(sorted(DEMANDS)))
def test_routes_are_connected_and_departures_sorted(grid, seed, name):
    vehicles = DEMANDS[name].draw(grid, 600.0, np.random.default_rng(seed))
    assert all(route_is_connected(grid, vehicle.route) for vehicle in vehicles)
    departures = [vehicle.depart_s for vehicle in vehicles]
    assert departures == sorted(departures)
    assert all(0.0 <= depart <= 600.0 for depart in departures)


def test_constant_population_enters_at_once_and_drives_past_the_horizon(grid):
    vehicles = Demand("test", 30).draw(grid, 1200.0, np.random.default_rng(0))
    assert len(vehicles) == 30
    assert all(vehicle.depart_s <= INSERTION_WINDOW_S for vehicle in vehicles)
    assert all(grid.free_flow_time_s[list(vehicle.route[1:])].sum() >= 1200.0 for vehicle in vehicles)


def test_departures_are_spread_over_the_episode(grid):
    vehicles = Demand("test", 200, mode="departures").draw(grid, 1000.0, np.random.default_rng(0))
    assert 400.0 < np.median([vehicle.depart_s for vehicle in vehicles]) < 600.0


def test_each_departure_is_of_one_trip(grid):
    for vehicle in draw(Demand("test", 50, mode="departures"), grid, 1000.0):
        assert grid.free_flow_time_s[list(vehicle.route[1:])].sum() < 200.0


def test_nobody_departs_after_a_horizon_that_is_within_the_first_minute(grid):
    assert max(vehicle.depart_s for vehicle in draw(Demand("test", 50), grid, 20.0)) <= 20.0


def test_origins_are_drawn_in_proportion_to_length_and_never_too_short():
    plain = grid_network()
    lengths_m = np.where(np.arange(plain.num_edges) % 2, 15.0, 100.0)
    lengths_m[0] = 900.0
    network = replace(plain, edge_length_m=lengths_m)
    vehicles = draw(Demand("test", 2000, mode="departures"), network, 1000.0)
    shares = np.bincount([vehicle.route[0] for vehicle in vehicles], minlength=network.num_edges) / 2000
    assert shares[0] == pytest.approx(900.0 / lengths_m[::2].sum(), rel=0.1)
    assert not shares[1::2].any()


def test_background_trips_end_in_a_pool_that_stays_small_on_large_networks():
    assert destination_pool(grid_network()) == list(range(16))
    large = grid_network(9)
    pool = destination_pool(large)
    assert len(pool) <= MAX_DESTINATIONS
    ends = {int(large.edge_to[vehicle.route[-1]]) for vehicle in draw(Demand("test", 300), large, 60.0)}
    assert ends == set(pool)


def test_arterials_are_tagged_roads_or_those_with_most_lanes():
    plain = grid_network()
    lanes = np.where(np.arange(plain.num_edges) < 5, 2, 1).astype(np.int32)
    untagged = replace(plain, edge_num_lanes=lanes)
    assert arterial_edges(untagged).tolist() == [0, 1, 2, 3, 4]
    types = ["highway.residential"] * plain.num_edges
    types[7], types[9] = "highway.primary", "highway.secondary_link"
    assert arterial_edges(replace(untagged, edge_types=tuple(types))).tolist() == [7, 9]


def test_arterial_traffic_crosses_the_network_from_arterial_to_arterial_all_the_time():
    plain = grid_network()
    is_arterial = (plain.edge_from < 4) & (plain.edge_to < 4)
    network = replace(plain, edge_num_lanes=np.where(is_arterial, 2, 1).astype(np.int32))
    vehicles = draw(Demand("test", arterial_vehicles_per_hour=100.0), network, 7200.0)
    assert len(vehicles) == pytest.approx(200, abs=45)
    assert 3000.0 < np.median([vehicle.depart_s for vehicle in vehicles]) < 4200.0
    for vehicle in vehicles:
        start, end = int(network.edge_from[vehicle.route[0]]), int(network.edge_to[vehicle.route[-1]])
        assert is_arterial[vehicle.route[0]]
        assert end in range(4)
        # Half the diagonal is 212 m, and a way along the row is at most 300 m.
        assert network.distance_m(start, end) == (300.0 if start in (0, 3) else 200.0)


def test_a_limit_of_the_load_holds_for_arterial_traffic_too_and_never_adds_to_it(grid):
    literal = Demand("test", 400, arterial_vehicles_per_hour=3600.0)
    late = [
        sum(vehicle.depart_s > INSERTION_WINDOW_S for vehicle in draw(demand, grid, 600.0))
        for demand in (replace(literal, max_load=0.3), literal, replace(literal, max_load=10.0))
    ]
    assert 0 < late[0] < 0.8 * late[1]
    assert late[1] == late[2]


def test_congested_has_more_vehicles_than_moderate(grid):
    rng = np.random.default_rng(0)
    moderate, congested = (DEMANDS[name].draw(grid, 2400.0, rng) for name in ("moderate", "congested"))
    assert len(congested) > 2 * len(moderate)


def test_bad_demands_are_refused_in_words():
    with pytest.raises(ScenarioError, match="unknown demand 'rush'; choose moderate, congested, none, or give"):
        resolve_demand("rush")
    with pytest.raises(ScenarioError, match="negative"):
        Demand("test", -1)
    with pytest.raises(ScenarioError, match="not finite"):
        Demand("test", arterial_vehicles_per_hour=np.inf)
    with pytest.raises(ScenarioError, match="demand 'test' has something else than a number in"):
        Demand("test", "90")  # type: ignore[arg-type]
    with pytest.raises(ScenarioError, match=r"demand 'test' has 4\.5 vehicles; give a whole number"):
        Demand("test", 4.5)  # type: ignore[arg-type]
    with pytest.raises(ScenarioError, match="mode"):
        Demand("test", 1, mode="sometimes")  # type: ignore[arg-type]


def test_a_route_file_is_traffic_by_its_name_wherever_somebody_works(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    demand = resolve_demand("own/morning.rou.xml")
    assert (demand.name, demand.route_file) == ("morning", Path(tmp_path / "own" / "morning.rou.xml"))
