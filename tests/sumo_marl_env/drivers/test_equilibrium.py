from dataclasses import replace

import pytest

from sumo_marl_env import (
    RoadNetwork,
    ScenarioError,
    SimulatorError,
    make_scenario,
    run_yardstick,
    shortest_paths,
    summary,
)
from sumo_marl_env.drivers.equilibrium import EquilibriumDriver, equilibrium_routes
from sumo_marl_env.scenarios.demand import route_is_connected


@pytest.fixture
def rush(grid):
    return make_scenario(network=grid, num_agents=40, trips="rush", demand="none", horizon_s=1200.0)


def test_routes_lead_from_origin_to_destination(rush, tmp_path):
    routes = equilibrium_routes(rush, iterations=3, cache_dir=tmp_path)
    assert list(routes) == rush.agents
    for trip in rush.trips:
        route = routes[trip.agent]
        assert route[0] == trip.origin_edge
        assert rush.network.edge_to[route[-1]] == trip.destination
        assert route_is_connected(rush.network, route)


def test_a_second_call_takes_them_from_the_cache(rush, tmp_path):
    heard = []
    first = equilibrium_routes(rush, 2, lambda *progress: heard.append(progress), tmp_path)
    assert heard == [(1, 2), (2, 2)]
    assert equilibrium_routes(rush, 2, lambda *progress: heard.append(progress), tmp_path) == first
    assert len(heard) == 2


def test_a_damaged_cache_is_made_anew(rush, tmp_path):
    first = equilibrium_routes(rush, 1, cache_dir=tmp_path)
    (cached,) = tmp_path.rglob("*.json")
    for damaged in (
        cached.read_text()[:50],
        "[]",
        "{}",
        '{"vehicle_0": 3}',
        '{"vehicle_0": ["nowhere"]}',
        '{"vehicle_0": []}',
    ):
        cached.write_text(damaged)
        assert equilibrium_routes(rush, 1, cache_dir=tmp_path) == first


def test_another_scenario_is_not_taken_from_the_cache(rush, grid, tmp_path):
    equilibrium_routes(rush, 1, cache_dir=tmp_path)
    equilibrium_routes(make_scenario(network=grid, num_agents=5, demand="none"), 1, cache_dir=tmp_path)
    assert len(list(tmp_path.rglob("*.json"))) == 2


def shortest_routes(scenario):
    paths = shortest_paths(scenario.network, "length")
    return {trip.agent: tuple(paths.route(trip.origin_edge, trip.destination)) for trip in scenario.trips}


def test_whatever_makes_another_equilibrium_makes_another_file(grid_file, tmp_path, monkeypatch):
    (tmp_path / "own.rou.xml").write_text('<routes><trip id="bus" depart="0" from="A0A1" to="C2C3"/></routes>')
    (tmp_path / "other.net.xml").write_text(grid_file.read_text() + "<!-- another -->")
    one = make_scenario(network=RoadNetwork.from_net_file(grid_file), num_agents=2, demand=tmp_path / "own.rou.xml")
    ids = {agent: [one.network.edge_ids[edge] for edge in route] for agent, route in shortest_routes(one).items()}
    monkeypatch.setattr("sumo_marl_env.drivers.equilibrium._iterate", lambda *arguments: None)
    monkeypatch.setattr("sumo_marl_env.drivers.equilibrium._routes_of", lambda *arguments: ids)

    def num_files(scenario, iterations=1):
        equilibrium_routes(scenario, iterations, cache_dir=tmp_path / "cache")
        return len(list((tmp_path / "cache" / "equilibria").iterdir()))

    assert [num_files(one), num_files(one)] == [1, 1]
    assert num_files(one, iterations=2) == 2
    assert num_files(replace(one, horizon_s=one.horizon_s + 1.0)) == 3
    assert num_files(replace(one, network=RoadNetwork.from_net_file(tmp_path / "other.net.xml"))) == 4
    (tmp_path / "own.rou.xml").write_text('<routes><trip id="bus" depart="9" from="A0A1" to="C2C3"/></routes>')
    assert num_files(one) == 5


@pytest.mark.parametrize("edges", [None, [], ["A0A1"], ["nowhere"]])
def test_a_route_that_is_missing_or_leads_elsewhere_is_named_and_not_kept(rush, tmp_path, monkeypatch, edges):
    ids = {agent: [rush.network.edge_ids[edge] for edge in route] for agent, route in shortest_routes(rush).items()}
    wrong = {**ids, "vehicle_1": edges}
    if edges is None:
        del wrong["vehicle_1"]
    monkeypatch.setattr("sumo_marl_env.drivers.equilibrium._iterate", lambda *arguments: None)
    monkeypatch.setattr("sumo_marl_env.drivers.equilibrium._routes_of", lambda *arguments: wrong)
    with pytest.raises(SimulatorError, match="gave vehicle_1 no route that leads to its destination"):
        equilibrium_routes(rush, 1, cache_dir=tmp_path)
    assert not list(tmp_path.rglob("*.json"))


def test_a_driver_takes_the_routes_of_the_scenario_that_it_drives_in(make_env, monkeypatch):
    monkeypatch.setattr(
        "sumo_marl_env.drivers.equilibrium.equilibrium_routes", lambda scenario, *_: shortest_routes(scenario)
    )
    driver = EquilibriumDriver()
    for env in (make_env(), make_env(trips_seed=1)):
        (episode,) = run_yardstick(env, driver, [0])
        driven = {trajectory.agent: tuple(trajectory.edges) for trajectory in episode}
        assert driven == shortest_routes(env.scenario)


def test_who_is_off_its_route_goes_on_as_on_empty_roads(make_env, monkeypatch):
    def begun(scenario, *_):
        return {trip.agent: (trip.origin_edge,) for trip in scenario.trips}

    monkeypatch.setattr("sumo_marl_env.drivers.equilibrium.equilibrium_routes", begun)
    env = make_env()
    (episode,), (expected,) = (run_yardstick(env, driver, [0]) for driver in (EquilibriumDriver(), "free_flow"))
    assert [one.path() for one in episode] == [one.path() for one in expected]


def test_agents_drive_their_routes(make_env, rush, tmp_path):
    env = make_env(trips=rush.trips, horizon_s=1200.0)
    driver = EquilibriumDriver(iterations=3, cache_dir=tmp_path)
    (episode,) = run_yardstick(env, driver, [0])
    routes = equilibrium_routes(env.scenario, 3, cache_dir=tmp_path)
    for trajectory in episode:
        planned = [env.network.edge_from[edge] for edge in routes[trajectory.agent]]
        assert trajectory.path() == (*planned, trajectory.trip.destination)


def test_in_a_rush_the_equilibrium_beats_what_is_fastest_on_empty_roads_and_live(make_env, tmp_path):
    env = make_env(network="gridtown", trips="rush", num_agents=100, horizon_s=2400.0, demand="moderate")
    equilibrium = summary(run_yardstick(env, EquilibriumDriver(iterations=12, cache_dir=tmp_path), [0]))
    assert equilibrium["arrival_rate"] == 1.0
    for name in ("free_flow", "live"):
        assert equilibrium["mean_travel_time_s"] < 0.93 * summary(run_yardstick(env, name, [0]))["mean_travel_time_s"]


def test_options_of_sumo_hold_on_the_days_on_which_it_is_learnt(rush, tmp_path, monkeypatch):
    (tmp_path / "own.add.xml").write_text('<additional><vType id="DEFAULT_VEHTYPE" maxSpeed="3"/></additional>')
    monkeypatch.chdir(tmp_path)
    usual = equilibrium_routes(rush, 2, cache_dir=tmp_path)
    switches = [
        "--default.speeddev",
        "0",
        "--no-internal-links",
        "--eager-insert=true",
        "--log",
        "own.log",
        "--verbose",
    ]
    options = [*switches, "-a", "own.add.xml", "--tripinfo-output", "trips.xml"]
    slow = equilibrium_routes(rush, 2, cache_dir=tmp_path, sumo_options=options)
    assert slow != usual, "what is slow in another way is jammed elsewhere"
    assert not {"trips.xml", "own.log"} & {path.name for path in tmp_path.iterdir()}
    for wrong, message in ((["--no-such", "1"], "no-such"), (["-W"], "no option '-W'"), (["-a", "no.xml"], "no.xml")):
        with pytest.raises(SimulatorError, match=message):
            equilibrium_routes(rush, 2, cache_dir=tmp_path, sumo_options=wrong)


def test_agents_may_have_any_name_that_sumo_takes(rush, tmp_path):
    trips = tuple(replace(trip, agent=f"車{row}") for row, trip in enumerate(rush.trips))
    routes = equilibrium_routes(replace(rush, trips=trips), 1, cache_dir=tmp_path)
    assert list(routes) == [trip.agent for trip in trips]


def test_there_is_no_equilibrium_of_no_iterations(rush):
    with pytest.raises(ScenarioError, match="1 iteration or more"):
        EquilibriumDriver(iterations=0)


def test_a_cache_that_cannot_be_written_is_named(rush, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SimulatorError, match="equilibrium cache"):
        equilibrium_routes(rush, 1, cache_dir=tmp_path / "file")
