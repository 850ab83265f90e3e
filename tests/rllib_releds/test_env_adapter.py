"""The RLlib face of the environment, against the PettingZoo face."""

from collections import defaultdict

import numpy as np
import pytest

from rllib_releds.env_adapter import RoutingMultiAgentEnv
from sumo_marl_env import Exit


def live_shortest_time(env, agent):
    navigator = env.navigator(agent)
    return navigator.action_by_shortest_time(navigator.get_destination())


@pytest.fixture
def make_adapter(grid):
    made = []

    def make(**config):
        defaults = {"network": grid, "demand": "none", "num_agents": 3, "horizon_s": 900.0}
        made.append(RoutingMultiAgentEnv(defaults | config))
        return made[-1]

    yield make
    for env in made:
        env.close()


def play(env, seed, policy):
    """Every dict of one episode, first the ones of reset."""
    observations, infos = env.reset(seed=seed)
    steps = [(observations, {}, {}, {}, infos)]
    acting = list(observations)
    while env.agents:
        steps.append(env.step({agent: policy(env.routing_env, agent) for agent in acting}))
        _, _, terminated, truncated, _ = steps[-1]
        acting = [agent for agent in steps[-1][0] if not terminated[agent] and not truncated[agent]]
    return steps


def test_both_faces_give_the_same_episode_from_the_same_seed_and_actions(make_adapter, make_env):
    adapter = make_adapter()
    steps = play(adapter, 7, live_shortest_time)
    theirs = adapter.routing_env.episode()
    adapter.close()
    env = make_env()
    env.reset(seed=7)
    while env.agents:
        env.step({agent: theirs[agent].actions[len(env.episode()[agent].actions)] for agent in env.deciders})
    ours = env.episode()
    for a, b in zip(ours, theirs, strict=True):
        for name in ("observations", "action_masks", "actions", "rewards", "decision_times_s", "junctions"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert a.exit == b.exit == Exit.ARRIVED
    returns = defaultdict(float)
    for _, rewards, *_ in steps:
        for agent, reward in rewards.items():
            returns[agent] += reward
    for trajectory in ours:
        assert returns[trajectory.agent] == pytest.approx(trajectory.total_reward, rel=1e-5)


def test_only_agents_with_a_decision_or_an_end_are_in_the_dicts(make_adapter):
    adapter = make_adapter()
    for observations, rewards, terminated, truncated, infos in play(adapter, 1, live_shortest_time):
        assert set(observations) == set(infos)
        if rewards:
            assert set(rewards) == set(observations) == set(terminated) - {"__all__"} == set(truncated) - {"__all__"}
        for agent, observation in observations.items():
            ended = rewards and (terminated[agent] or truncated[agent])
            assert infos[agent]["is_decider"] or ended
            assert observation["agent_index"] == adapter.possible_agents.index(agent)
            assert adapter.get_observation_space(agent).contains(observation)


def test_rewards_are_summed_since_the_agents_last_decision(make_adapter):
    adapter = make_adapter()
    steps = play(adapter, 2, live_shortest_time)
    for trajectory in adapter.routing_env.episode():
        given = [rewards[trajectory.agent] for _, rewards, *_ in steps if trajectory.agent in rewards]
        np.testing.assert_allclose(given, trajectory.rewards, rtol=1e-5, atol=1e-3)


def test_every_live_agent_gets_a_final_observation_at_the_horizon(make_adapter):
    adapter = make_adapter(horizon_s=12.0)
    observations, _, terminated, truncated, infos = play(adapter, 3, live_shortest_time)[-1]
    assert set(observations) == set(adapter.possible_agents)
    assert truncated["__all__"]
    assert not terminated["__all__"]
    for agent in adapter.possible_agents:
        assert truncated[agent]
        assert infos[agent]["exit"] == Exit.HORIZON


def test_episode_goes_on_when_the_first_vehicle_arrives_and_ends_when_the_last_does(make_adapter):
    steps = play(make_adapter(), 4, live_shortest_time)
    arrivals = [step for step in steps[1:] if any(step[2].values())]
    assert len(arrivals) > 1
    assert not arrivals[0][2]["__all__"]
    assert arrivals[-1] is steps[-1]
    assert steps[-1][2]["__all__"]


def test_dicts_make_a_complete_rllib_episode(make_adapter):
    from ray.rllib.env.multi_agent_episode import MultiAgentEpisode

    adapter = make_adapter(horizon_s=100.0)
    steps = play(adapter, 5, live_shortest_time)
    record = {trajectory.agent: iter(trajectory.actions) for trajectory in adapter.routing_env.episode()}
    episode = MultiAgentEpisode(observation_space=adapter.observation_spaces, action_space=adapter.action_spaces)
    episode.add_env_reset(observations=steps[0][0], infos=steps[0][4])
    acting = list(steps[0][0])
    for observations, rewards, terminated, truncated, infos in steps[1:]:
        episode.add_env_step(
            observations,
            {agent: next(record[agent]) for agent in acting},
            rewards,
            infos,
            terminateds=terminated,
            truncateds=truncated,
        )
        acting = [agent for agent in observations if not terminated[agent] and not truncated[agent]]
    assert episode.is_done
    for trajectory in adapter.routing_env.episode():
        single = episode.agent_episodes[trajectory.agent]
        assert len(single) == len(trajectory.actions)
        assert single.get_return() == pytest.approx(trajectory.total_reward, rel=1e-5)
