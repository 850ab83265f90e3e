from dataclasses import replace

import numpy as np
import pytest

from sumo_marl_env import Scenario, ScenarioError, Trip, UnknownJunctionError, make_scenario
from sumo_marl_env.scenarios.demand import DEMANDS, NO_TRAFFIC


@pytest.mark.parametrize(("town", "length_m"), [("gridtown", 1047.0), ("harbourtown", 1770.0)])
def test_pairs_of_the_towns_have_the_length_of_the_paper(town, length_m):
    for seed in range(5):
        scenario = make_scenario(town, trips_seed=seed)
        lengths = [scenario.network.distance_m(trip.origin, trip.destination) for trip in scenario.trips]
        assert np.mean(lengths) == pytest.approx(length_m, rel=0.03)


def test_pairs_depend_on_their_seed_only(grid):
    trips = make_scenario(network=grid, num_agents=5, trips_seed=1).trips
    assert trips == make_scenario(network=grid, num_agents=5, trips_seed=1, demand="congested").trips
    assert trips != make_scenario(network=grid, num_agents=5, trips_seed=2).trips


def test_many_agents_share_origins(grid):
    trips = make_scenario(network=grid, num_agents=100).trips
    assert [trip.agent for trip in trips] == [f"vehicle_{k}" for k in range(100)]


def test_unknown_junction_is_named(grid):
    edge = 0
    origin = int(grid.edge_from[edge])
    with pytest.raises(UnknownJunctionError, match="vehicle_0: unknown destination junction 999"):
        Scenario("test", grid, (Trip("vehicle_0", origin, 999, edge),), NO_TRAFFIC)


def test_trip_that_starts_elsewhere_is_refused(grid):
    with pytest.raises(ScenarioError, match="does not begin at its origin"):
        Scenario("test", grid, (Trip("vehicle_0", int(grid.edge_to[0]), 3, 0),), NO_TRAFFIC)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"depart_s": "5"}, "vehicle_0: depart_s must be a number of seconds, not '5'"),
        ({"depart_s": None}, "vehicle_0: depart_s must be a number of seconds, not None"),
        ({"agent": 5}, "the name of an agent must be a text, not 5"),
        ({"agent": "bus\x07"}, "is no name of a vehicle: SUMO wants no blanks, no control characters and"),
    ],
)
def test_trips_of_the_wrong_kind_are_refused_in_words(grid, change, words):
    """As they come out of a user's own JSON."""
    trip = make_scenario(network=grid, num_agents=1).trips[0]
    with pytest.raises(ScenarioError, match=words):
        make_scenario(network=grid, trips=[replace(trip, **change)])


def test_impossible_lengths_and_counts_are_refused(grid):
    for length_m in (1.0, 50_000.0):
        with pytest.raises(ScenarioError, match=r"its pairs are 150 to 636 m apart; give a trip_length_m in between"):
            make_scenario(network=grid, trip_length_m=length_m)
    for count in (0, 10**7, 10**20):
        with pytest.raises(ScenarioError, match=f"num_agents must be from 1 to 100000, not {count}"):
            make_scenario(network=grid, num_agents=count)


def test_a_scenario_is_changed_by_names_as_it_is_made(grid):
    scenario = make_scenario(network=grid, num_agents=2)
    assert replace(scenario, demand="none").demand == DEMANDS["none"]
    for changes, message in (
        ({"network": "gridtown"}, "network of a Scenario must be a RoadNetwork, not 'gridtown'"),
        ({"horizon_s": "600"}, "horizon_s of a Scenario must be a Real, not '600'"),
        ({"trips": [1]}, "trips of a Scenario must be Trips, not 1"),
        ({"trips": 5}, "trips of a Scenario must be Trips, not 5"),
    ):
        with pytest.raises(ScenarioError, match=message):
            replace(scenario, **changes)
