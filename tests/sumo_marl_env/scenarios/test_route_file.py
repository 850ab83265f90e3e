from dataclasses import replace

import numpy as np
import pytest

from sumo_marl_env import DEMANDS, RoutingEnv, ScenarioError, make_scenario, run_yardstick

START, END = "A0A1", "C2C3"
"""Edges of the grid."""

TRIP = f'<trip id="bus" depart="0" from="{START}" to="{END}"/>'


@pytest.fixture
def route_file(tmp_path):
    def write(inside: str):
        path = tmp_path / "own.rou.xml"
        path.write_text(f"<routes>{inside}</routes>")
        return path

    return write


def test_its_vehicles_drive_in_the_episode(make_env, route_file):
    flow = f'<flow id="cars" begin="0" end="200" period="2" from="{START}" to="{END}"/>'
    busy = make_env(demand=route_file(flow), horizon_s=200.0)
    run_yardstick(busy, "free_flow", [0])
    assert (busy.edge_times_s > 1.5 * busy.network.free_flow_time_s).any()


def test_the_same_seed_gives_the_same_episode_with_a_route_file(make_env, route_file):
    env = make_env(
        demand=route_file(f'<flow id="cars" begin="0" end="300" probability="0.3" from="{START}" to="{END}"/>')
    )
    one, other = run_yardstick(env, "live", [5, 5])
    np.testing.assert_array_equal(one.rewards, other.rewards)


def test_rerouting_meets_the_route_file_too(make_env, route_file):
    flow = f'<flow id="cars" begin="0" end="500" period="2" from="{START}" to="{END}"/>'
    scenario = make_env(demand=route_file(flow)).scenario
    # Behind the flow: who departs with it is ahead of it all the way.
    late = replace(scenario, trips=tuple(replace(trip, depart_s=100.0) for trip in scenario.trips))
    (with_flow,) = run_yardstick(RoutingEnv(late), "rerouting", [0])
    (alone,) = run_yardstick(RoutingEnv(replace(late, demand=DEMANDS["none"])), "rerouting", [0])
    assert with_flow.mean_travel_time_s != alone.mean_travel_time_s


def test_everything_that_is_allowed_passes(grid, route_file):
    inside = (
        '<vType id="truck" length="12"/><route id="there" edges="A0A1 A1A2"/>'
        '<vehicle id="v" depart="0" type="truck" route="there"/>'
        '<vehicle id="w" depart="1.5"><route edges="A0A1 A1A2"/></vehicle>'
        f'<trip id="bus" depart="2" from="{START}" to="{END}"/>'
        f'<flow id="f" begin="3" end="60" number="4" from="{START}" to="{END}"/>'
    )
    assert make_scenario(network=grid, demand=route_file(inside)).demand.name == "own"


def test_a_flow_without_a_beginning_begins_with_its_interval(grid, route_file):
    late = f'<interval begin="600" end="1200"><flow id="f" number="4" from="{START}" to="{END}"/></interval>'
    early = f'<trip id="early" depart="100" from="{START}" to="{END}"/>'
    make_scenario(network=grid, demand=route_file(early + late))
    with pytest.raises(ScenarioError, match="'early' departs at 100 s, after one that departs at 600 s"):
        make_scenario(network=grid, demand=route_file(late + early))


@pytest.mark.parametrize("agent", ["bus", "cars.1"])
def test_an_agent_named_like_one_of_its_vehicles_is_refused(grid, route_file, agent):
    flow = f'<flow id="cars" begin="0" end="60" number="4" from="{START}" to="{END}"/>'
    trip = replace(make_scenario(network=grid, num_agents=1).trips[0], agent=agent)
    with pytest.raises(ScenarioError, match=f"named like the agent '{agent}'; rename one"):
        make_scenario(network=grid, demand=route_file(TRIP + flow), trips=[trip])


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        ('<trip id="bus" depart="0" from="A0A1" to="Z9Z8"/>', "does not fit grid.net.xml: SUMO's duarouter failed"),
        ('<vehicle id="v" depart="0" route="nowhere"/>', "does not fit"),
        ('<trip id="bus" depart="nan" from="A0A1" to="C2C3"/>', "depart='nan'; give its departure in seconds"),
        ('<trip id="bus" depart="inf" from="A0A1" to="C2C3"/>', "depart='inf'; give its departure in seconds"),
        ('<vehicle id="v" depart="0"><route edges="A0A1 C2C3"/></vehicle>', "no lane leads there"),
        ('<trip id="bus" depart="0" type="tram" from="A0A1" to="C2C3"/>', "'tram'"),
        (TRIP + TRIP, "'bus'"),
        (TRIP.replace('"0"', '"9"') + TRIP.replace("bus", "late"), "sort the file by departure"),
        (TRIP.replace('"0"', '"triggered"'), "departure in seconds"),
        (TRIP.replace('"0"', '"-10"'), "give its departure in seconds from 0 on"),
        (TRIP.replace("bus", "vehicle_3"), "rename this <trip>"),
        ('<vType id="DEFAULT_VEHTYPE" length="50"/>', "give this one another name"),
        (
            '<vTypeDistribution id="d"><vType id="DEFAULT_VEHTYPE" probability="1"/></vTypeDistribution>',
            "give this one another name",
        ),
        (
            '<vTypeDistribution id="DEFAULT_VEHTYPE"><vType id="slow" maxSpeed="3"/></vTypeDistribution>' + TRIP,
            "give this one another name",
        ),
        (TRIP.replace('id="bus" ', ""), "has no id"),
        ('<person id="p" depart="0"/>', "<person> is not background traffic"),
        (TRIP.replace("/>", ' departLane="9"/>'), "does not fit grid.net.xml: SUMO's sumo failed"),
        (TRIP.replace("/>", ' departSpeed="100"/>').replace('"0"', '"40"'), "SUMO's sumo failed"),
        ('<vType id="truck"/>', "has no vehicle"),
        ("<trip", "not complete XML"),
    ],
)
def test_a_bad_file_gives_one_error_with_the_file_and_the_remedy(grid, route_file, inside, words):
    path = route_file(inside)
    with pytest.raises(ScenarioError) as caught:
        make_scenario(network=grid, demand=path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize("encoding", ["GBK", "x-foo"])
def test_a_file_in_an_unreadable_encoding_is_refused_in_words(grid, tmp_path, encoding):
    path = tmp_path / "own.rou.xml"
    path.write_text(f'<?xml version="1.0" encoding="{encoding}"?><routes>{TRIP}</routes>')
    with pytest.raises(ScenarioError, match="is not complete XML"):
        make_scenario(network=grid, demand=path)


def test_other_and_missing_files_are_refused(grid, tmp_path, grid_file):
    with pytest.raises(ScenarioError, match="no such route file"):
        make_scenario(network=grid, demand=tmp_path / "missing.rou.xml")
    with pytest.raises(ScenarioError, match="root element is <net>"):
        make_scenario(network=grid, demand=grid_file)
