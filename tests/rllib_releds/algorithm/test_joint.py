"""What the whole team sees and does, as recorded for central critics and mixing networks."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import live_shortest_time

from rllib_releds.algorithm.joint import JointRecorder, JointSteps
from sumo_marl_env import Episode, Exit, RoutingEnv


def drive(env: RoutingEnv) -> JointRecorder:
    recorder = JointRecorder()
    env.begin(0)
    while env.agents:
        recorder.look(env)
        env.advance({agent: live_shortest_time(env, agent) for agent in env.deciders})
    return recorder


def record(env: RoutingEnv) -> tuple[JointSteps, Episode]:
    return drive(env).joint_steps(env, env.episode()), env.episode()


def live_flags(joint: JointSteps) -> np.ndarray:
    """(T + 1, n) as the state tells them."""
    return joint.states[:, 3 : 4 * joint.is_live.shape[1] : 4].astype(bool)


def test_nobody_is_under_way_once_all_have_arrived(make_env):
    joint, episode = record(make_env())
    assert episode.arrival_rate == 1.0
    assert not joint.is_live[-1].any()
    np.testing.assert_array_equal(live_flags(joint), joint.is_live)


def test_agents_that_the_horizon_cuts_off_are_still_under_way_in_the_last_row(make_env):
    env = make_env()
    _, whole = record(env)
    fastest = min(trajectory.travel_time_s for trajectory in whole)
    joint, episode = record(make_env(horizon_s=fastest + 1.0))
    arrived = [trajectory.arrived for trajectory in episode]
    assert any(arrived)
    assert not all(arrived)
    np.testing.assert_array_equal(joint.is_live[-1], np.logical_not(arrived))
    np.testing.assert_array_equal(live_flags(joint), joint.is_live)


@pytest.mark.parametrize("exit", [Exit.TELEPORTED, Exit.LOST])
def test_an_agent_that_is_removed_in_the_last_step_is_not_under_way_any_more(make_env, exit):
    env = make_env(horizon_s=5.0)
    recorder = drive(env)
    first, *others = env.episode()
    assert not any(trajectory.arrived for trajectory in env.episode())
    removed = replace(env.episode(), trajectories=(replace(first, exit=exit), *others))
    joint = recorder.joint_steps(env, removed)
    assert joint.is_live[-1].tolist() == [False, *[True] * len(others)]
    np.testing.assert_array_equal(live_flags(joint), joint.is_live)


def test_actions_are_valid_and_those_of_the_episode(make_env):
    joint, episode = record(make_env(num_agents=8))
    assert np.take_along_axis(joint.action_masks[:-1], joint.actions[..., None], -1).all()
    for agent, trajectory in enumerate(episode):
        np.testing.assert_array_equal(joint.actions[trajectory.decision_steps, agent], trajectory.actions)


def test_rows_are_what_every_agent_saw_before_each_step(make_env):
    env, recorder = make_env(demand="moderate"), JointRecorder()
    env.begin(0)
    seen, masks, states = [], [], []
    while env.agents:
        rows = [env.observe(agent) for agent in env.possible_agents]
        seen.append([row["observation"] for row in rows])
        masks.append([row["action_mask"] for row in rows])
        states.append(env.state())
        recorder.look(env)
        env.advance({agent: live_shortest_time(env, agent) for agent in env.deciders})
    joint = recorder.joint_steps(env, env.episode())
    np.testing.assert_array_equal(joint.observations[:-1], seen)
    np.testing.assert_array_equal(joint.action_masks[:-1], masks)
    np.testing.assert_array_equal(joint.states[:-1], states)
