import json
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import grid_osm

import sumo_marl_env
from sumo_marl_env import Demand, NetworkError, Scenario, ScenarioError, make_scenario
from sumo_marl_env.scenarios.demand import DEMANDS
from sumo_marl_env.scenarios.scenario_saving import save_scenario

GOOD = {"format": 1, "network": "gridtown", "trips": {"draw": "spread", "num_agents": 2}}


def written(tmp_path: Path, **changes) -> Path:
    """A scenario file; a key set to None is left out."""
    content = {key: value for key, value in (GOOD | changes).items() if value is not None}
    path = tmp_path / "town.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("name", ["gridtown", "harbourtown", "rush"])
def test_a_saved_scenario_loads_as_it_was(tmp_path, name):
    scenario = make_scenario(name, demand="congested", horizon_s=1200.0)
    scenario.save(tmp_path / "saved.json")
    assert Scenario.load(tmp_path / "saved.json") == scenario


def test_own_network_and_route_file_travel_with_the_scenario(tmp_path, grid, grid_file):
    routes = tmp_path / "buses.rou.xml"
    routes.write_text('<routes><trip id="bus" depart="0" from="A0A1" to="C2C3"/></routes>')
    demand = Demand("buses", 5, arterial_vehicles_per_hour=10.0, route_file=routes)
    scenario = make_scenario(network=grid, demand=demand, num_agents=3)
    (tmp_path / "shared").mkdir()
    scenario.save(tmp_path / "shared" / "grid.json")
    (tmp_path / "shared").rename(tmp_path / "moved")
    loaded = Scenario.load(tmp_path / "moved" / "grid.json")
    assert loaded.network.net_file == tmp_path / "moved" / grid_file.name
    assert loaded.demand.route_file == tmp_path / "moved" / "buses.rou.xml"
    assert loaded.trips == scenario.trips
    assert loaded.fingerprint == scenario.fingerprint
    loaded.demand.route_file.write_text('<routes><trip id="bus" depart="9" from="A0A1" to="C2C3"/></routes>')
    assert Scenario.load(tmp_path / "moved" / "grid.json").fingerprint != scenario.fingerprint


@pytest.mark.parametrize(
    "changes",
    [{"demand": "congested"}, {"horizon_s": 1200.0}, {"num_agents": 3}, {"trips_seed": 5}, {"network": "harbourtown"}],
)
def test_whatever_changes_episodes_changes_the_fingerprint(changes):
    usual = {"scenario": "gridtown", "num_agents": 2}
    assert make_scenario(**usual).fingerprint == make_scenario(**usual).fingerprint
    assert make_scenario(**usual).fingerprint != make_scenario(**(usual | changes)).fingerprint


def test_equal_numbers_have_equal_fingerprints():
    scenario = make_scenario("gridtown", num_agents=1)
    (trip,), demand = scenario.trips, Demand("mine", 3, max_load=1)
    whole = replace(scenario, demand=demand, horizon_s=2400, trips=(replace(trip, depart_s=5),))
    also = replace(
        whole, demand=Demand("mine", 3.0, max_load=1.0), horizon_s=2400.0, trips=(replace(trip, depart_s=5.0),)
    )
    assert whole == also
    assert whole.fingerprint == also.fingerprint


def test_signals_count_in_the_fingerprint_and_comments_do_not(tmp_path, grid_file):
    text = grid_file.read_text()
    prints = []
    for name, content in (
        ("same", text.replace("?>", "?>\n<!-- made elsewhere -->", 1)),
        ("slow", text.replace('duration="42"', 'duration="84"')),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "grid.net.xml").write_text(content)
        assert content != text
        prints.append(make_scenario(network=tmp_path / name / "grid.net.xml", num_agents=2).fingerprint)
    assert prints[0] == make_scenario(network=grid_file, num_agents=2).fingerprint
    assert prints[1] != prints[0]


def test_a_folder_may_have_the_network_already(tmp_path, grid, grid_file):
    (tmp_path / grid_file.name).symlink_to(grid_file)
    scenario = make_scenario(network=grid, num_agents=3)
    scenario.save(tmp_path / "grid.json")
    assert Scenario.load(tmp_path / "grid.json").trips == scenario.trips


def test_a_byte_order_mark_does_no_harm(tmp_path):
    path = written(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(Scenario.load(path).trips) == 2


def test_saving_does_not_replace_another_network(tmp_path, grid, grid_file):
    (tmp_path / grid_file.name).write_text("something else")
    with pytest.raises(ScenarioError, match="exists and is another file"):
        make_scenario(network=grid, num_agents=1).save(tmp_path / "grid.json")


def test_a_network_in_the_map_cache_is_copied_beside_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "town.osm").write_text(grid_osm(5, 5, signals=True))
    scenario = make_scenario(network=tmp_path / "maps" / "town.osm", num_agents=1, trip_length_m=250.0)
    assert scenario.network.net_file.is_relative_to(tmp_path / ".cache")
    scenario.save(tmp_path / "own.json")
    assert Scenario.load(tmp_path / "own.json").network.net_file == tmp_path / "town.net.xml"


def test_drawn_trips_are_those_of_the_same_seed(tmp_path):
    path = tmp_path / "rush.json"
    scenario = make_scenario("rush", trips_seed=3, num_agents=20)
    save_scenario(scenario, path, {"draw": "rush", "num_agents": 20, "seed": 3})
    assert Scenario.load(path) == scenario


def test_an_env_accepts_a_file_and_arguments_replace_what_it_says(tmp_path):
    path = written(tmp_path)
    env = sumo_marl_env.parallel_env(scenario=path)
    assert env.possible_agents == ["vehicle_0", "vehicle_1"]
    assert env.scenario.name == "town"
    changed = make_scenario(str(path), demand="none", num_agents=4, horizon_s=600.0)
    assert changed.name == "town-4-agents-none-600-s", "with other trips and traffic it is another scenario"
    assert (changed.demand.name, len(changed.trips), changed.horizon_s) == ("none", 4, 600.0)
    rush = make_scenario(str(path), trips="rush")
    assert rush.trips == make_scenario("gridtown", num_agents=2, trips="rush").trips, "as many as the file says"
    assert rush.name == "town-rush"
    assert make_scenario(str(path), network="harbourtown", trips="spread", trips_seed=7).name == (
        "town-harbourtown-spread-seed-7"
    )
    assert make_scenario(str(path), trip_length_m=900).name == "town-900-m"
    assert make_scenario(str(path), trips=rush.trips).name == "town-given-trips"
    assert make_scenario("gridtown", num_agents=4, trips_seed=7).name == "gridtown-moderate"


def test_trips_drawn_in_place_of_listed_ones_are_as_many(tmp_path):
    path = tmp_path / "listed.json"
    save_scenario(make_scenario("gridtown", num_agents=3), path)
    assert make_scenario(str(path), trips="rush").trips == make_scenario("gridtown", num_agents=3, trips="rush").trips


def test_number_of_listed_trips_cannot_be_changed(tmp_path):
    make_scenario(num_agents=2).save(tmp_path / "listed.json")
    with pytest.raises(ScenarioError, match="lists its trips"):
        make_scenario(tmp_path / "listed.json", num_agents=4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": None}, "'network' is missing"),
        ({"netwrok": "gridtown"}, "unknown key 'netwrok'; did you mean 'network'"),
        ({"format": 7}, "format is 7; this version reads format 1"),
        ({"network": "gridtwon"}, "Did you mean 'gridtown'"),
        ({"network": "maps/missing.osm"}, "no such network file"),
        ({"horizon_s": "long"}, "'horizon_s' must be a number, not \"long\""),
        ({"horizon_s": True}, "'horizon_s' must be a number, not true"),
        ({"horizon_s": -5}, "horizon_s must be positive"),
        ({"horizon_s": 1e8}, "horizon_s must be positive, and at most 604800 s"),
        ({"demand": {"name": "jam", "arterial_vehicles_per_hour": 1e9}}, "'jam' has more than 100000 vehicles"),
        ({"demand": "heavy"}, "unknown demand 'heavy'; choose moderate"),
        ({"demand": {"num_vehicles": 4}}, "demand: 'name' is missing"),
        ({"demand": {"name": "x", "num_vehicles": -4}}, "has a number that is negative"),
        ({"demand": {"name": "x", "arterial_vehicles_per_hour": float("nan")}}, "per_hour' must be a finite number"),
        ({"horizon_s": float("inf")}, "'horizon_s' must be a finite number"),
        ({"horizon_s": 10**400}, "'horizon_s' must be a finite number"),
        ({"demand": {"name": "x", "route_file": "missing.rou.xml"}}, "no such route file"),
        ({"trips": {"draw": "crush"}}, "unknown trips 'crush'; choose spread, rush"),
        ({"trips": {"draw": "spread", "num_agents": 0}}, "num_agents must be from 1 to"),
        ({"trips": {"draw": "spread", "seed": -1}}, "seed must be 0 or more"),
        ({"trips": {"draw": "spread", "length_m": 0}}, "trip_length_m must be positive"),
        ({"trips": []}, "has no agents"),
        ({"trips": "rush"}, "'trips' must be a list or an object"),
        ({"trips": [{"origin_edge": "22#2"}]}, "trips[0]: 'destination' is missing"),
        ({"trips": [7]}, "trips[0]: must be an object"),
        ({"trips": [{"origin_edge": "22#99", "destination": "1107"}]}, "origin_edge '22#99' is not in gridtown; did"),
        ({"trips": [{"origin_edge": "1107", "destination": "1501"}]}, "something else in gridtown: <junction>"),
        ({"trips": [{"origin_edge": "22#2", "destination": "22#2"}]}, "something else in gridtown: <edge>"),
        ({"trips": [{"origin_edge": "22#2_0", "destination": "1107"}]}, "something else in gridtown: <lane>"),
        ({"name": "\ud800"}, "surrogates not allowed"),
        ({"trips": [{"origin_edge": "22#2", "destination": "x"}]}, "destination 'x' is not in gridtown; look them up"),
        ({"trips": [{"origin_edge": "22#2", "destination": "1107", "depart_s": 9000}]}, "outside the episode"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_the_file_and_the_remedy(tmp_path, changes, words):
    path = written(tmp_path, **changes)
    with pytest.raises(ScenarioError) as caught:
        Scenario.load(path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_mistakes_are_named_at_once(tmp_path):
    with pytest.raises(ScenarioError) as caught:
        Scenario.load(written(tmp_path, network="gridtwon", demand="heavy"))
    assert "has 2 mistakes" in str(caught.value)
    assert "gridtwon" in str(caught.value)
    assert "heavy" in str(caught.value)
    trips = [{"origin_edge": "22#2"}, {"origin_edge": "22#99", "destination": "1107"}, {"destination": 5}]
    with pytest.raises(ScenarioError) as caught:
        Scenario.load(written(tmp_path, format=2, nme="x", demand={"num_vehicles": 4}, horizon_s=-5, trips=trips))
    words = ["has 8 mistakes", "format is 2", "did you mean 'name'", "demand: 'name' is missing", "must be positive"]
    words += ["trips[0]: 'destination' is missing", "'22#99' is not in gridtown", "trips[2]: 'origin_edge' is missing"]
    assert [word for word in words if word not in str(caught.value)] == []


def test_a_bad_route_file_is_one_of_the_mistakes(tmp_path):
    (tmp_path / "own.rou.xml").write_text("<routes/>")
    trips = [{"origin_edge": "22#99", "destination": "1107"}]
    with pytest.raises(ScenarioError) as caught:
        Scenario.load(written(tmp_path, demand="own.rou.xml", horizon_s=1e9, trips=trips))
    words = ["has 3 mistakes", "horizon_s must be positive, and at most", "'22#99' is not in", "has no vehicle, trip"]
    assert [word for word in words if word not in str(caught.value)] == []


def test_all_mistakes_of_listed_trips_are_named_at_once(tmp_path):
    usual = {"origin_edge": "22#2", "destination": "1107"}
    trips = [{"depart_s": 700}, {"depart_s": -5}, {"agent": "a", "destination": "x"}, {"agent": "a"}]
    trips += [{"agent": "background_0"}, {"agent": "bus driver"}, {"agent": "b"}]
    with pytest.raises(ScenarioError) as caught:
        Scenario.load(written(tmp_path, horizon_s=600, trips=[usual | trip for trip in trips]))
    words = ["has 6 mistakes", "departs at 700", "departs at -5", "two agents of the name 'a'", "of background traffic"]
    words += ["'x' is not in", "'bus driver' is no name of a vehicle"]
    assert [word for word in words if word not in str(caught.value)] == []


def test_mistakes_come_before_what_arguments_would_replace(tmp_path):
    path = written(tmp_path, trips={"drawn": "rush"})
    with pytest.raises(ScenarioError, match=r"trips: 'draw' is missing"):
        make_scenario(path, num_agents=4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"format": 1,}', "line 1, column 14: not JSON"),
        ("[]", "one JSON object"),
        ('{"format": 1, "format": 1, "network": "gridtown", "trips": []}', "'format' appears twice"),
        ('{"format": ' + "1" * 5000 + "}", "Exceeds the limit"),
        ("[" * 100_000, "recursion depth"),
    ],
    ids=["comma", "list", "double", "digits", "depth"],
)
def test_a_file_that_is_no_scenario_is_refused_in_words(tmp_path, text, words):
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(ScenarioError) as caught:
        Scenario.load(path)
    assert words in str(caught.value)


def test_bytes_and_missing_files_are_refused_in_words(tmp_path):
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ScenarioError, match="not a text file"):
        Scenario.load(tmp_path / "bytes.json")
    with pytest.raises(ScenarioError, match="no such scenario file"):
        make_scenario(tmp_path / "missing.json")


def test_unknown_scenarios_are_refused_with_those_that_there_are():
    with pytest.raises(ScenarioError, match=r"unknown scenario 'ruhs'. Did you mean 'rush'\? Known: gridtown, .*rush"):
        make_scenario("ruhs")
    with pytest.raises(NetworkError, match=r"no such network file: atlantis\.osm"):
        make_scenario("atlantis.osm")


def test_an_object_with_the_name_of_a_built_in_demand_is_that_demand_with_changes(tmp_path):
    demand = Scenario.load(written(tmp_path, demand={"name": "moderate", "max_load": 0.3})).demand
    assert demand == replace(DEMANDS["moderate"], max_load=0.3)
    own = Scenario.load(written(tmp_path, demand={"name": "mine", "num_vehicles": 5})).demand
    assert own == Demand("mine", num_vehicles=5)
