"""The built-in towns keep to the published figures that they imitate."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import sumo_marl_env
from sumo_marl_env.drivers.yardsticks import run_yardstick, summary
from sumo_marl_env.maps.osm import BUILT_IN_NETWORKS, built_in_osm, load_network
from sumo_marl_env.maps.verdict import ImportVerdict

NETWORKS = Path(__file__).parents[2] / "networks"
PUBLISHED = {
    "gridtown": {"signals": 115, "edges": 269, "area_km2": 1.99},
    "harbourtown": {"signals": 144, "edges": 239, "area_km2": 3.87},
}
TRIP_LENGTH_M = {"gridtown": 1047.0, "harbourtown": 1770.0}

towns = pytest.mark.parametrize("town", BUILT_IN_NETWORKS)


@pytest.fixture(scope="module")
def make_towns() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_towns", NETWORKS / "make_towns.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_towns"] = module
    spec.loader.exec_module(module)
    return module


@towns
@pytest.mark.parametrize("figure", ["signals", "edges", "area_km2"])
def test_figures_are_within_a_tenth_of_the_published_ones(town, figure):
    published = PUBLISHED[town][figure]
    assert getattr(ImportVerdict.of(load_network(town)), figure) == pytest.approx(published, rel=0.1)


@towns
def test_all_junctions_have_signals_and_all_edges_survive_the_import(town):
    verdict = ImportVerdict.of(load_network(town))
    assert verdict.signals == verdict.junctions
    assert verdict.share_kept == 1.0


@towns
def test_streets_are_mostly_one_way_with_some_two_way_ones(town):
    assert 0.5 < ImportVerdict.of(load_network(town)).one_way_share < 0.9


@towns
def test_at_most_four_ways_lead_out_of_a_junction(town):
    assert load_network(town).max_outgoing == 4


@towns
def test_main_streets_are_faster_than_side_streets(town):
    network = load_network(town)
    speed = {kind: network.edge_speed_mps[np.array(network.edge_types) == kind] for kind in set(network.edge_types)}
    assert speed["highway.primary"].min() > speed["highway.residential"].max()


@towns
def test_script_writes_the_shipped_file(town, make_towns):
    plan = {"gridtown": make_towns.GRIDTOWN, "harbourtown": make_towns.HARBOURTOWN}[town]
    assert make_towns.to_osm(plan) == built_in_osm(town).read_text(encoding="utf-8")


@towns
def test_signal_programs_last_90_seconds(town):
    from xml.etree import ElementTree

    programs = ElementTree.parse(load_network(town).net_file).iter("tlLogic")
    cycles = {sum(float(phase.get("duration")) for phase in program.iter("phase")) for program in programs}
    assert cycles == {90.0}


@towns
def test_trips_have_the_published_mean_length(town):
    scenario = sumo_marl_env.make_scenario(town)
    lengths = [scenario.network.distance_m(trip.origin, trip.destination) for trip in scenario.trips]
    assert np.mean(lengths) == pytest.approx(TRIP_LENGTH_M[town], rel=0.05)


@towns
def test_live_shortest_time_needs_the_published_time_and_clearly_more_when_congested(town):
    figures = {}
    for demand in ("moderate", "congested"):
        env = sumo_marl_env.parallel_env(town, demand)
        figures[demand] = summary(run_yardstick(env, "live", range(3)))
        env.close()
    for demand_figures in figures.values():
        assert demand_figures["arrival_rate"] == 1.0
        assert demand_figures["lost"] == demand_figures["teleported"] == demand_figures["stuck"] == 0
    moderate, congested = (figures[demand]["mean_travel_time_s"] for demand in ("moderate", "congested"))
    assert 420.0 <= moderate <= 650.0
    assert congested >= 1.08 * moderate


@towns
@pytest.mark.parametrize("demand", ["moderate", "congested"])
def test_random_drivers_strand_nobody(town, demand):
    env = sumo_marl_env.parallel_env(town, demand)
    figures = summary(run_yardstick(env, "random", [0]))
    env.close()
    assert figures["lost"] == figures["teleported"] == figures["stuck"] == 0
