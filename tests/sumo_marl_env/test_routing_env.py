import hashlib
import json
import subprocess
import sys
import warnings
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from helpers import live_shortest_time, random_action, run_episode
from pettingzoo.test import parallel_api_test, parallel_seed_test

import sumo_marl_env
from sumo_marl_env import Exit, PaperObservation, RoutingEnv, RoutingError, SimulatorError, Trip, run_yardstick


def test_passes_the_parallel_api_test_with_warnings_as_errors(make_env):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parallel_api_test(make_env(), num_cycles=200)


def test_passes_the_parallel_seed_test(make_env):
    parallel_seed_test(partial(make_env, demand="moderate", horizon_s=200.0))


def episode_hash(network: str, **how_sumo_runs) -> str:
    """Hash of every observation, reward and mask of a whole episode with traffic."""
    env = sumo_marl_env.parallel_env(network=network, num_agents=4, horizon_s=500.0, **how_sumo_runs)
    rng = np.random.default_rng(5)
    digest = hashlib.sha256()
    observations, _ = env.reset(seed=11)
    while env.agents:
        observations, rewards, *_ = env.step({a: random_action(env, a, rng) for a in env.deciders})
        for agent, observation in observations.items():
            digest.update(observation["observation"].tobytes() + observation["action_mask"].tobytes())
            digest.update(np.float64(rewards[agent]).tobytes())
    digest.update(str(env.time_s).encode())
    env.close()
    return digest.hexdigest()


def test_whole_episodes_are_the_same_across_processes_and_backends_and_isolated(grid_file):
    here = episode_hash(str(grid_file), isolate=False)
    program = f"import test_routing_env as t; print(t.episode_hash({str(grid_file)!r}))"
    environment = {"PYTHONPATH": ":".join([*sys.path, __file__.rsplit("/", 1)[0]]), "PYTHONHASHSEED": "1"}
    other = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert other.stdout.split() == [here]
    assert episode_hash(str(grid_file), backend="traci") == here
    assert episode_hash(str(grid_file), isolate=True) == here
    assert episode_hash(str(grid_file), backend="traci", isolate=True) == here


def test_another_seed_gives_other_traffic(make_env):
    env = make_env(demand="moderate")
    first = run_episode(env, 1, live_shortest_time)
    assert not np.array_equal(first.rewards, run_episode(env, 2, live_shortest_time).rewards)
    assert np.array_equal(first.rewards, run_episode(env, 1, live_shortest_time).rewards)


def test_arrived_vehicle_leaves_agents(make_env):
    env = make_env()
    env.reset(seed=0)
    gone: set[str] = set()
    while env.agents:
        assert not gone & set(env.agents)
        _, _, terminated, truncated, infos = env.step({a: live_shortest_time(env, a) for a in env.deciders})
        for agent, is_terminated in terminated.items():
            if is_terminated:
                assert not truncated[agent]
                assert infos[agent]["exit"] == Exit.ARRIVED
                assert infos[agent]["travel_time_s"] > 0
                gone.add(agent)
    assert gone == set(env.possible_agents)


def test_return_of_an_arriving_agent_is_distance_minus_travel_time_plus_bonus(make_env):
    env = make_env(demand="moderate")
    sums = dict.fromkeys(env.possible_agents, 0.0)
    env.reset(seed=3)
    while env.agents:
        _, rewards, *_ = env.step({a: live_shortest_time(env, a) for a in env.deciders})
        for agent, reward in rewards.items():
            sums[agent] += reward
    for trajectory in env.episode():
        assert trajectory.arrived
        distance = env.network.distance_m(trajectory.trip.origin, trajectory.trip.destination)
        expected = distance - trajectory.travel_time_s + 0.1 * 900.0
        assert sums[trajectory.agent] == pytest.approx(expected, abs=1e-3)
        assert trajectory.total_reward == pytest.approx(expected, abs=1e-2)


def test_agents_with_nothing_to_decide_have_one_valid_action(make_env):
    env = make_env()
    observations, infos = env.reset(seed=0)
    seen_waiting = 0
    while env.agents:
        for agent in env.agents:
            if not infos[agent]["is_decider"]:
                seen_waiting += 1
                assert observations[agent]["action_mask"].sum() == 1
        observations, _, _, _, infos = env.step({a: live_shortest_time(env, a) for a in env.deciders})
    assert seen_waiting


def test_masked_out_action_is_replaced_and_flagged(make_env):
    env = make_env()
    env.reset(seed=0)
    agent, forbidden = next(
        (a, int(np.flatnonzero(env.action_mask(a) == 0)[0])) for a in env.deciders if (env.action_mask(a) == 0).any()
    )
    *_, infos = env.step({a: forbidden if a == agent else live_shortest_time(env, a) for a in env.deciders})
    assert infos[agent]["invalid_action"]
    assert infos[agent]["executed_action"] != forbidden


def test_an_action_of_nobody_is_refused(make_env):
    env = make_env()
    env.reset(seed=0)
    with pytest.raises(RoutingError, match="there is no agent 'vehicle_99'; agents are vehicle_0"):
        env.step({"vehicle_99": 0})
    for ask in (env.observe, env.info, env.action_mask, env.navigator, env.current_edge):
        with pytest.raises(RoutingError, match="there is no agent 'vehicle_99'; agents are vehicle_0"):
            ask("vehicle_99")
    with pytest.raises(RoutingError, match="actions are a dict of agents, not None"):
        env.step(None)


def test_strict_env_refuses_masked_out_and_missing_actions(make_env):
    env = make_env(strict=True)
    env.reset(seed=0)
    with pytest.raises(RoutingError, match=r"vehicle_\d: no action at junction with valid actions"):
        env.step({})


def test_horizon_truncates_every_live_agent_with_a_reason(make_env):
    env = make_env(horizon_s=60.0)
    env.reset(seed=0)
    while env.agents:
        observations, _, terminated, truncated, infos = env.step({})
    assert set(observations) == set(env.possible_agents)
    assert all(truncated.values())
    assert not any(terminated.values())
    assert {info["exit"] for info in infos.values()} <= {Exit.HORIZON, Exit.NOT_INSERTED}
    assert env.episode().mean_travel_time_s == 60.0


def test_departure_times_delay_decisions_and_do_not_cost_reward(make_env, grid):
    trips = make_env().scenario.trips
    late = Trip("vehicle_1", trips[1].origin, trips[1].destination, trips[1].origin_edge, depart_s=100.0)
    env = make_env(trips=(trips[0], late))
    episode = run_episode(env, 0, live_shortest_time)
    trajectory = episode["vehicle_1"]
    assert trajectory.decision_times_s[0] >= 100.0
    distance = grid.distance_m(late.origin, late.destination)
    assert trajectory.total_reward == pytest.approx(distance - trajectory.travel_time_s + 90.0, abs=1e-2)


def test_step_before_reset_and_after_the_end_are_refused(make_env):
    env = make_env(horizon_s=30.0)
    with pytest.raises(RoutingError, match="no episode yet: call reset"):
        env.step({})
    env.reset(seed=0)
    while env.agents:
        env.step({})
    with pytest.raises(RoutingError, match="episode is over"):
        env.step({})


def test_questions_before_reset_are_refused(make_env):
    env = make_env()
    for question in (env.observe, env.action_mask, env.info):
        with pytest.raises(RoutingError, match="no episode yet: call reset"):
            question(env.possible_agents[0])
    for question in (env.state, env.episode):
        with pytest.raises(RoutingError, match="no episode yet: call reset"):
            question()


def test_the_record_outlives_the_simulation(make_env):
    env = make_env()
    episode = run_episode(env, 0, live_shortest_time)
    env.close()
    assert np.array_equal(env.episode().rewards, episode.rewards)


@pytest.mark.parametrize("isolate", [True, False])
def test_after_close_nobody_has_a_decision_to_make(make_env, isolate):
    env = make_env(isolate=isolate)
    env.reset(seed=0)
    agent = env.deciders[0]
    env.close()
    assert env.deciders == ()
    assert not env.info(agent)["is_decider"]
    assert env.action_mask(agent).sum() == 1


@pytest.mark.parametrize("seed", [-1, 1.7, "one"])
def test_a_refused_seed_leaves_the_episode_as_it_is(make_env, seed):
    env = make_env()
    env.reset(seed=0)
    with pytest.raises(RoutingError, match=f"a seed is .*, not {seed!r}"):
        env.reset(seed=seed)
    assert env.agents == env.possible_agents
    env.step({})


def test_a_reset_that_fails_leaves_no_agents(make_env):
    env = make_env(sumo_options=["--nonsense"])
    with pytest.raises(RoutingError, match="nonsense"):
        env.reset(seed=0)
    assert env.agents == []
    agent = env.possible_agents[0]
    for question in (lambda: env.step({}), lambda: env.observe(agent), lambda: env.info(agent), env.episode):
        with pytest.raises(RoutingError, match="call reset"):
            question()


class _Interrupting:
    """A reward that is interrupted in its third step."""

    def __init__(self, scenario):
        self._steps = 0

    def __call__(self, elapsed_s, approach_m, arrived):
        self._steps += 1
        if self._steps == 3:
            raise KeyboardInterrupt
        return -elapsed_s


def test_an_interrupted_step_is_not_in_the_record(make_env):
    env = make_env(reward=_Interrupting)
    env.reset(seed=0)
    env.step({})
    env.step({})
    before = env.episode()
    with pytest.raises(KeyboardInterrupt):
        env.step({})
    after = env.episode()
    np.testing.assert_array_equal(after.rewards, before.rewards)
    assert [len(t.actions) for t in after] == [len(t.actions) for t in before]
    assert env.agents == []
    with pytest.raises(RoutingError, match="the episode is over"):
        env.step({})


@pytest.mark.parametrize("isolate", [False, True])
def test_a_step_in_which_the_reward_fails_ends_the_episode_and_a_reset_begins_anew(make_env, isolate):
    """SUMO has told of the arrival already, and will not again."""
    failing = [True]

    def reward(elapsed_s, approach_m, arrived):
        if failing[0] and arrived.any():
            raise KeyError("bug of the user's")
        return -elapsed_s

    env = make_env(reward=reward, isolate=isolate)
    with pytest.raises(KeyError):
        run_episode(env, 0, live_shortest_time)
    assert env.agents == []
    failing[0] = False
    assert run_episode(env, 0, live_shortest_time).arrival_rate == 1.0


def test_masks_are_the_callers_own(make_env):
    """PyTorch writes into arrays of NumPy, whether they are writeable or not."""
    env, untouched = make_env(num_agents=3), make_env(num_agents=3)
    for step in range(4):
        if step == 0:
            (spoiled, infos), (expected, _) = env.reset(seed=0), untouched.reset(seed=0)
        else:
            actions = {agent: live_shortest_time(untouched, agent) for agent in untouched.deciders}
            spoiled, *_, infos = env.step(actions)
            expected, *_ = untouched.step(actions)
        for agent in expected:
            np.testing.assert_array_equal(spoiled[agent]["action_mask"], expected[agent]["action_mask"])
            assert infos[agent]["action_mask"] is spoiled[agent]["action_mask"]
            for mask in (spoiled[agent]["action_mask"], env.action_mask(agent), env.observe(agent)["action_mask"]):
                mask[:] = 0
    agent = env.possible_agents[0]
    np.testing.assert_array_equal(env.action_mask(agent), untouched.action_mask(agent))
    assert untouched.network.action_masks.any(axis=1).all()


def test_infos_can_be_written_as_json_whatever_numbers_the_trips_have(make_env):
    trips = [replace(trip, depart_s=np.float32(3.3)) for trip in make_env().scenario.trips]
    env = make_env(trips=trips)
    run_episode(env, 0, live_shortest_time)
    for agent in env.possible_agents:
        info = env.info(agent)
        assert json.loads(json.dumps({**info, "action_mask": None}))["travel_time_s"] == info["travel_time_s"] > 0


@pytest.mark.parametrize("action", [1.0, float("nan"), "1", [1]])
def test_what_is_no_whole_number_is_refused_in_words(make_env, action):
    env = make_env()
    env.reset(seed=0)
    with pytest.raises(RoutingError, match="an action is a whole number, not"):
        env.step(dict.fromkeys(env.deciders, action))


@pytest.mark.parametrize("action", [10**30, -5, np.int64(99), np.array(7)])
def test_any_whole_number_is_replaced_by_a_valid_action(make_env, action):
    env = make_env()
    env.reset(seed=0)
    deciders = env.deciders
    *_, infos = env.step(dict.fromkeys(deciders, action))
    assert any(infos[agent]["invalid_action"] for agent in deciders)


def test_a_name_is_no_scenario():
    with pytest.raises(RoutingError, match="'gridtown' is no Scenario; make one with make_scenario"):
        RoutingEnv("gridtown")


def test_vehicles_that_sumo_sends_another_way_end_the_episode_in_words(caplog):
    device = {"probability": 1, "pre-period": 5, "period": 5, "adaptation-interval": 1, "adaptation-steps": 5}
    options = [f"--device.rerouting.{name}={value}" for name, value in device.items()]
    env = sumo_marl_env.parallel_env("rush", num_agents=80, sumo_options=options, isolate=True)
    rng = np.random.default_rng(0)
    run_episode(env, 0, lambda env, agent: random_action(env, agent, rng))
    env.close()
    assert env.episode().count(Exit.SIMULATOR_FAILED) > 0
    assert "off the route that it was given; leave out sumo_options" in caplog.text


def test_close_may_be_called_twice_and_reset_begins_anew(make_env):
    env = make_env()
    env.reset(seed=0)
    env.close()
    env.close()
    assert run_episode(env, 0, live_shortest_time).arrival_rate == 1.0


def test_second_env_of_a_process_leaves_the_first_alone(make_env):
    first, second, alone = make_env(demand="moderate"), make_env(demand="moderate"), make_env(demand="moderate")
    expected = run_episode(alone, 4, live_shortest_time)
    alone.close()
    first.reset(seed=4)
    second.reset(seed=5)
    while first.agents:
        first.step({a: live_shortest_time(first, a) for a in first.deciders})
        if second.agents:
            second.step({a: live_shortest_time(second, a) for a in second.deciders})
    assert np.array_equal(first.episode().rewards, expected.rewards)


def test_libsumo_refuses_a_second_simulation_in_words(make_env):
    make_env(isolate=False).reset(seed=0)
    with pytest.raises(SimulatorError, match="close the other env"):
        make_env(isolate=False).reset(seed=0)


def test_a_simulation_of_the_users_own_is_left_alone(make_env):
    libsumo = pytest.importorskip("libsumo")
    libsumo.start(["sumo", "--net-file", str(make_env().network.net_file), "--no-step-log"])
    try:
        libsumo.simulation.step(5.0)
        env = make_env()
        env.reset(seed=0)
        assert libsumo.simulation.getTime() == 5.0
        with pytest.raises(SimulatorError, match="libsumo holds one simulation per process"):
            make_env(isolate=False).reset(seed=0)
    finally:
        libsumo.close()


def test_an_error_of_an_observation_at_reset_leaves_nothing_behind(make_env):
    class Failing(PaperObservation):
        def begin(self, scores):
            raise RuntimeError("out of ideas")

    env = make_env(observation=Failing, isolate=False)
    with pytest.raises(RuntimeError, match="out of ideas"):
        env.reset(seed=0)
    assert env.deciders == ()
    # SUMO of this process is free again.
    make_env(isolate=False).reset(seed=0)


def test_options_of_another_env_are_taken_without_its_scenario(make_env):
    env = make_env(strict=True)
    other = sumo_marl_env.RoutingEnv(env.scenario, env.options, smoothing_s=5.0)
    assert (other.options.strict, other.options.smoothing_s) == (True, 5.0)
    with pytest.raises(TypeError, match="num_agents"):
        sumo_marl_env.RoutingEnv(env.scenario, env.options, num_agents=7)


def test_an_agent_that_decides_nothing_has_observations_of_the_usual_size(make_env):
    env = make_env()
    late = replace(env.scenario.trips[0], depart_s=env.scenario.horizon_s - 1.0)
    env = make_env(trips=(late, *env.scenario.trips[1:]), num_agents=None)
    (episode,) = run_yardstick(env, "free_flow", [0])
    assert not len(episode.trajectories[0].actions)
    size = env.observation_space(late.agent)["observation"].shape[0]
    assert {trajectory.observations.shape[1] for trajectory in episode} == {size}


def test_state_has_a_fixed_size(make_env):
    env = make_env()
    env.reset(seed=0)
    sizes = set()
    while env.agents:
        sizes.add(env.state().shape)
        env.step({a: live_shortest_time(env, a) for a in env.deciders})
    assert sizes == {(4 * 3 + env.network.num_edges,)}


def test_observation_follows_table_one(make_env):
    env = make_env(demand="moderate")
    observations, infos = env.reset(seed=0)
    for agent, observation in observations.items():
        vector, network = observation["observation"], env.network
        junction = infos[agent]["junction"]
        trip = next(trip for trip in env.scenario.trips if trip.agent == agent)
        assert vector[0] == junction
        assert vector[1] == trip.destination
        ends = [network.edge_to[edge] for edge in network.outgoing[junction]]
        absent = network.max_outgoing - len(ends)
        assert vector[3::2].tolist() == [*ends, *[-1] * absent]
        assert ((vector[2::2][: len(ends)] >= 0) & (vector[2::2][: len(ends)] <= 1)).all()
        assert (vector[2::2][len(ends) :] == -1).all()


def test_live_paths_are_shared_until_the_travel_times_change(make_env):
    env = make_env(num_agents=3, demand="congested")
    env.reset(seed=0)
    changes = 0
    while env.agents:
        paths, before = env.live_paths, env.edge_times_s
        np.testing.assert_array_equal(paths.edge_cost, before)
        assert env.navigator(env.agents[0]).get_shortest_time(3) == paths.cost_to_go(3)[env.current_edge(env.agents[0])]
        env.step({agent: live_shortest_time(env, agent) for agent in env.deciders})
        has_changed = not np.array_equal(before, env.edge_times_s)
        assert (env.live_paths is not paths) >= has_changed
        changes += has_changed
    assert changes > 1
    paths = env.live_paths
    env.reset(seed=0)
    assert env.live_paths is not paths
