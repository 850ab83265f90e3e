import pytest

from sumo_marl_env import SimulatorError, make_scenario, run_yardstick, summary
from sumo_marl_env.demand import route_is_connected
from sumo_marl_env.equilibrium import EquilibriumDriver, equilibrium_routes


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
    (cached,) = tmp_path.iterdir()
    for damaged in (cached.read_text()[:50], "[]", "{}", '{"vehicle_0": 3}', '{"vehicle_0": ["nowhere"]}'):
        cached.write_text(damaged)
        assert equilibrium_routes(rush, 1, cache_dir=tmp_path) == first


def test_another_scenario_is_not_taken_from_the_cache(rush, grid, tmp_path):
    equilibrium_routes(rush, 1, cache_dir=tmp_path)
    equilibrium_routes(make_scenario(network=grid, num_agents=5, demand="none"), 1, cache_dir=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


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


def test_a_cache_that_cannot_be_written_is_named(rush, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SimulatorError, match="equilibrium cache"):
        equilibrium_routes(rush, 1, cache_dir=tmp_path / "file")
