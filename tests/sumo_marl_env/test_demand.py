import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sumo_marl_env import DEMANDS, Demand, ScenarioError
from sumo_marl_env.demand import INSERTION_WINDOW_S, resolve_demand, route_is_connected


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


def test_congested_has_more_vehicles_than_moderate(grid):
    rng = np.random.default_rng(0)
    moderate, congested = (DEMANDS[name].draw(grid, 2400.0, rng) for name in ("moderate", "congested"))
    assert len(congested) > 2 * len(moderate)


def test_bad_demands_are_refused_in_words():
    with pytest.raises(ScenarioError, match="unknown demand 'rush'; choose moderate, congested, none, or give"):
        resolve_demand("rush")
    with pytest.raises(ScenarioError, match="negative"):
        Demand("test", -1)
    with pytest.raises(ScenarioError, match="demand 'test' has something else than a number in"):
        Demand("test", "90")  # type: ignore[arg-type]
    with pytest.raises(ScenarioError, match="mode"):
        Demand("test", 1, mode="sometimes")  # type: ignore[arg-type]
