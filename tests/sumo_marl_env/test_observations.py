from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from helpers import live_shortest_time, random_action
from hypothesis import given, settings
from hypothesis import strategies as st

from sumo_marl_env import OBSERVATIONS, ConfigError, FeatureObservation, PaperObservation, Trip, make_scenario


class DestinationOnly:
    """What a user may write."""

    def __init__(self, scenario):
        self.xy = scenario.network.junction_xy.astype(np.float32)
        self.space = gymnasium.spaces.Box(self.xy.min(), self.xy.max(), (2,), np.float32)

    def begin(self, edge_scores):
        self.scores = edge_scores

    def encode(self, trip, edge):
        return self.xy[trip.destination]


@pytest.mark.parametrize("observation", [*OBSERVATIONS, DestinationOnly])
def test_observations_stay_inside_their_space(make_env, observation):
    env = make_env(observation=observation, demand="moderate", num_agents=5)
    observations, _ = env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(60):
        for agent, seen in observations.items():
            assert env.observation_space(agent).contains(seen)
        if not env.agents:
            break
        observations, *_ = env.step({agent: random_action(env, agent, rng) for agent in env.deciders})


def test_the_papers_space_has_every_junction_and_no_other(make_env):
    scenario = make_env().scenario
    network, space = scenario.network, PaperObservation(scenario).space
    last = network.num_junctions - 1
    assert space.low.tolist() == [0.0, 0.0] + [-1.0, -1.0] * network.max_outgoing
    assert space.high.tolist() == [last, last] + [1.0, last] * network.max_outgoing


@pytest.mark.parametrize("observation", OBSERVATIONS.values())
def test_what_was_seen_once_stays_as_it_is(make_env, observation):
    scenario = make_env().scenario
    seeing, scores = observation(scenario), np.ones(scenario.network.num_edges, np.float32)
    seeing.begin(scores)
    seen = seeing.encode(Trip("vehicle_0", 0, 5, 0), 0)
    before = seen.copy()
    seeing.begin(0.5 * scores)
    seeing.encode(Trip("vehicle_1", 0, 6, 0), 0)
    seeing.encode(Trip("vehicle_0", 0, 5, 0), 0)
    assert np.array_equal(seen, before)


SCENES = [make_scenario(town) for town in ("gridtown", "harbourtown")]


@settings(max_examples=200, deadline=None)
@given(data=st.data(), scenario=st.sampled_from(SCENES))
def test_features_of_every_edge_and_destination_are_inside_their_space(scenario, data):
    network = scenario.network
    observation = FeatureObservation(scenario)
    scores = data.draw(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=9))
    observation.begin(np.resize(np.array(scores, np.float32), network.num_edges))
    edge = data.draw(st.integers(0, network.num_edges - 1))
    destination = data.draw(st.integers(0, network.num_junctions - 1))
    seen = observation.encode(Trip("vehicle_0", 0, destination, edge), edge)
    assert observation.space.contains(seen)
    assert np.abs(seen).max() < 10.0


def test_features_follow_their_table(make_env):
    env = make_env(observation="features", demand="moderate")
    env.reset(seed=0)
    for _ in range(2):
        observations, *_, infos = env.step({agent: live_shortest_time(env, agent) for agent in env.deciders})
    network = env.network
    middle = (network.junction_xy.min(axis=0) + network.junction_xy.max(axis=0)) / 2.0
    for trip in env.scenario.trips:
        seen, junction = observations[trip.agent]["observation"], infos[trip.agent]["junction"]
        here, goal = network.junction_xy[junction] - middle, network.junction_xy[trip.destination] - middle
        to_go_m = network.distance_m(junction, trip.destination)
        assert seen[:7] == pytest.approx([*here / 1000, *goal / 1000, *(goal - here) / 1000, to_go_m / 1000], abs=1e-5)
        for slot in range(network.max_outgoing):
            columns = seen[7 + 7 * slot : 14 + 7 * slot]
            if slot >= len(network.outgoing[junction]):
                assert not columns.any()
                continue
            edge = network.outgoing[junction][slot]
            end = int(network.edge_to[edge])
            end_to_go_m = network.distance_m(end, trip.destination)
            leap = (network.junction_xy[end] - network.junction_xy[junction]) / 200
            free_flow_s = network.free_flow_time_s[edge]
            expected = [1.0, *leap, (to_go_m - end_to_go_m) / 200, end_to_go_m / 1000, free_flow_s / 30]
            assert columns[:6] == pytest.approx(expected, abs=1e-5)
            assert columns[6] == pytest.approx(min(1.0, free_flow_s / env.edge_times_s[edge]), abs=1e-5)


def test_features_do_not_tell_where_the_map_has_its_origin(make_env):
    scenario = make_env().scenario
    elsewhere = replace(scenario.network, junction_xy=scenario.network.junction_xy - (700.0, -4000.0))
    here, there = FeatureObservation(scenario), FeatureObservation(replace(scenario, network=elsewhere))
    for trip in scenario.trips:
        seen = here.encode(trip, trip.origin_edge)
        assert there.encode(trip, trip.origin_edge) == pytest.approx(seen, abs=1e-5)
    assert there.space.high == pytest.approx(here.space.high, abs=1e-5)


def test_observation_is_chosen_by_name_class_or_instance(make_env, monkeypatch):
    plain = make_env()
    by_instance = make_env(observation=PaperObservation(plain.scenario))
    assert make_env(observation=PaperObservation).observation_space("vehicle_0") == plain.observation_space("vehicle_0")
    assert by_instance.observation_space("vehicle_0") == plain.observation_space("vehicle_0")
    monkeypatch.setitem(OBSERVATIONS, "destination", DestinationOnly)
    assert make_env(observation="destination").observation_space("vehicle_0")["observation"].shape == (2,)


def test_observation_that_does_not_keep_to_its_space_is_refused(make_env):
    class TooShort(DestinationOnly):
        def encode(self, trip, edge):
            return self.xy[trip.destination][:1]

    with pytest.raises(ConfigError, match=r"TooShort.* returned shape \(1,\).* must be \(2,\) real numbers"):
        make_env(observation=TooShort).reset(seed=0)


@pytest.mark.parametrize(
    ("encoded", "words"),
    [
        ([0.0, np.nan], "not finite"),
        ([np.inf, 0.0], "not finite"),
        ([0.0, 1j], "real numbers"),
        ([0.0, "a"], "real numbers"),
    ],
)
def test_what_an_observation_encodes_must_be_numbers(make_env, encoded, words):
    class Odd(DestinationOnly):
        def encode(self, trip, edge):
            return encoded

    env = make_env(observation=Odd)
    with pytest.raises(ConfigError, match=words):
        env.reset(seed=0)
    assert env.agents == []


def test_what_was_not_finite_is_asked_for_again_and_is_no_other_agents_fault(make_env):
    class Odd(DestinationOnly):
        is_odd = True

        def encode(self, trip, edge):
            return super().encode(trip, edge) * (np.nan if self.is_odd and trip.agent == "vehicle_1" else 1.0)

    env = make_env(observation=Odd, num_agents=3)
    env.begin(0)
    for _ in range(2):
        with pytest.raises(ConfigError, match="not finite"):
            env.observe("vehicle_1")
        assert np.isfinite(env.observe("vehicle_0")["observation"]).all()
    Odd.is_odd = False
    assert np.isfinite(env.observe("vehicle_1")["observation"]).all()


def test_changing_what_was_seen_changes_nothing_else(make_env):
    """Observations of one step lie in one block of memory."""
    env, untouched = make_env(num_agents=3), make_env(num_agents=3)
    spoiled, (expected, _) = env.reset(seed=0)[0], untouched.reset(seed=0)
    spoiled["vehicle_0"]["observation"][:] = 7.0
    assert np.array_equal(spoiled["vehicle_1"]["observation"], expected["vehicle_1"]["observation"])
    for agent in env.agents:
        assert np.array_equal(env.observe(agent)["observation"], expected[agent]["observation"])
    env.observe("vehicle_1")["observation"][:] = 7.0
    first = env.step({agent: int(env.action_mask(agent).argmax()) for agent in env.deciders})[0]
    second = untouched.step({agent: int(untouched.action_mask(agent).argmax()) for agent in untouched.deciders})[0]
    for agent in first:
        assert np.array_equal(first[agent]["observation"], second[agent]["observation"])


@pytest.mark.parametrize(
    "space",
    [gymnasium.spaces.Box(0, 1, (2, 3), np.float32), gymnasium.spaces.Dict({"x": gymnasium.spaces.Discrete(2)})],
)
def test_a_space_that_is_no_vector_is_refused(make_env, space):
    class Shaped(DestinationOnly):
        def __init__(self, scenario):
            super().__init__(scenario)
            self.space = space

    with pytest.raises(ConfigError, match="must have a Box of one dimension"):
        make_env(observation=Shaped)


def test_a_space_of_whole_numbers_is_refused(make_env):
    class Whole(DestinationOnly):
        def __init__(self, scenario):
            super().__init__(scenario)
            self.space = gymnasium.spaces.Box(0, 10, self.space.shape, np.int64)

    with pytest.raises(ConfigError, match="a Box of floats as its space, not of int64"):
        make_env(observation=Whole)


def test_infos_tell_the_time_since_departure_in_every_step(make_env):
    trips = make_env().scenario.trips
    env = make_env(trips=tuple(replace(trip, depart_s=40.0 * k) for k, trip in enumerate(trips)))
    draw = np.random.default_rng(0)
    for seed in range(2):
        _, infos = env.reset(seed=seed)
        while env.agents:
            for agent, info in infos.items():
                trip = env.scenario.trips[env.possible_agents.index(agent)]
                assert info["elapsed_s"] == max(env.time_s - trip.depart_s, 0.0)
            live = env.agents
            _, _, _, _, infos = env.step({agent: random_action(env, agent, draw) for agent in env.deciders})
            for agent in set(live) - set(env.agents):
                ended = infos.pop(agent)
                assert ended["elapsed_s"] == ended["travel_time_s"] == env.episode()[agent].travel_time_s
