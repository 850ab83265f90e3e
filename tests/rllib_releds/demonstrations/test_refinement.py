"""Cycles without training, in SUMO on a small grid."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

from rllib_releds.demonstrations.callbacks import StatelessCallback, make_callback
from rllib_releds.demonstrations.demonstrators import GivenDemonstrations, live_demonstrations
from rllib_releds.demonstrations.episodes import demonstrated_episode
from rllib_releds.demonstrations.execution.limits import SandboxLimits
from rllib_releds.demonstrations.gate import content_key
from rllib_releds.demonstrations.language_model import LanguageModelCallback
from rllib_releds.demonstrations.models.chat import ChatSettings, ScriptedChat
from rllib_releds.demonstrations.models.recorded import RecordedChat
from rllib_releds.demonstrations.protocol import DemonstrationCallback
from rllib_releds.demonstrations.records.stored import stored_cycles
from rllib_releds.demonstrations.refinement import Refinement, habit_log_probabilities, refine
from rllib_releds.demonstrations.routing_domain import ROUTING
from sumo_marl_env import Exit, Instruction, Plan, Trip


@pytest.fixture
def env(make_env):
    return make_env(num_agents=4)


def detour(context) -> GivenDemonstrations:
    """Everybody drives by another corner first in every cycle but the first."""
    if context.cycle == 0:
        return live_demonstrations(context.trips)
    plans = {}
    for trip in context.trips:
        corner = max(
            range(context.network.num_junctions), key=lambda j: context.network.distance_m(j, trip.destination)
        )
        moves = [Instruction("move_to_by_shortest_path", node) for node in (corner, trip.destination)]
        plans[trip.agent] = Plan(trip.agent, tuple(moves))
    return GivenDemonstrations(plans)


def test_each_cycle_asks_rolls_out_every_subset_and_feeds_back(env):
    first, second = refine(env, make_callback("offline/planner"), 2)
    assert first.context.feedback is None
    assert second.context.feedback is first.feedback
    assert second.feedback.execution_rate == 1.0
    for cycle in (first, second):
        assert sorted(agent for rollout in cycle.rollouts for agent in rollout.agents) == env.possible_agents
        assert len(cycle.rollouts) == len(cycle.feedback.subsets) == 2
        assert cycle.feedback.roads
    assert {"expert_mean_reward", "kept_demonstration_reward", "llm_requests"} <= set(second.metrics)


def test_cycles_in_an_old_folder_leave_nothing_of_it_whoever_demonstrates(env, tmp_path):
    class Own(DemonstrationCallback):
        def __call__(self, context):
            return live_demonstrations(context.trips)

    list(refine(env, make_callback("offline/planner", folder=tmp_path), 2))
    next(refine(env, make_callback(Own(), folder=tmp_path), 1))
    (cycle,) = stored_cycles(tmp_path)
    assert (cycle.number, cycle.usage) == (0, {})
    assert not (cycle.folder / "reply.txt").exists()


def test_the_same_seed_gives_the_same_cycles(env):
    one, other = (list(refine(env, make_callback("offline/planner"), 2, seed=3)) for _ in range(2))
    assert [cycle.feedback for cycle in one] == [cycle.feedback for cycle in other]
    different = next(refine(env, make_callback("offline/planner"), 1, seed=4))
    assert different.agent_episodes[0].seed != one[0].agent_episodes[0].seed


def test_an_endless_program_does_not_end_a_replay(make_env, tmp_path):
    # The seconds that it took are in no prompt.
    env = make_env(num_agents=2)
    answer = "def agent_0():\n    while True: pass\n    move_to_by_shortest_time(get_destination())\n"
    answer += answer.replace("agent_0", "agent_1").replace("while True: pass", "pass")
    told = []
    for chat in (ScriptedChat([f"```python\n{answer}```"]), None):
        settings = ChatSettings(model="prepared/answers")
        callback = LanguageModelCallback(RecordedChat(tmp_path, chat), settings, limits=SandboxLimits(turn_s=0.1))
        cycles = list(refine(env, callback, 2))
        assert callback.failure is None
        told.append([sorted(str(outcome.error) for outcome in cycle.feedback.outcomes) for cycle in cycles])
    assert told[0] == told[1]
    assert "endless loop" in told[0][1][1]


def test_a_worse_revision_is_tried_and_not_kept(env):
    cycles = Refinement(env, StatelessCallback(detour))
    first, second = cycles.cycle(), cycles.cycle()
    assert second.feedback.mean_reward < first.feedback.mean_reward
    assert not any(kept.is_latest for kept in second.feedback.kept.values())
    rule = live_demonstrations(env.scenario.trips)
    assert demonstrated_episode(env, 5, cycles.best).mean_reward == demonstrated_episode(env, 5, rule).mean_reward


def test_an_answer_of_prose_lowers_the_execution_rate_though_earlier_programs_drive_everybody_home(env):
    programs = "\n".join(
        f"```python\ndef agent_{number}():\n    move_to_by_shortest_time(get_destination())\n```" for number in range(4)
    )
    callback = make_callback(ScriptedChat([programs, "I am sorry."]))
    cycles = Refinement(env, callback)
    first, second = cycles.cycle(), cycles.cycle()
    assert first.feedback.execution_rate == 1.0
    assert second.feedback.execution_rate == 0.0
    assert all(outcome.arrived for outcome in second.feedback.outcomes)
    cycles.cycle()
    told = callback.model.requests[-2][-1].content
    assert "0 of 4 agents reached their destination by it" in told
    assert "by its earlier answer, for the last one had nothing usable" in told


def test_best_versions_are_carried_out_by_the_domain_of_the_callback(env):
    class OtherWords(type(ROUTING)):
        """Routing with a wording of its own."""

    callback = make_callback("offline/planner")
    callback.domain = OtherWords()
    cycles = Refinement(env, callback)
    cycles.cycle()
    assert isinstance(cycles.gate.demonstrations().domain, OtherWords)


def test_without_the_gate_a_worse_revision_replaces_a_better_one(env):
    cycles = Refinement(env, StatelessCallback(detour), gate=False)
    cycles.cycle()
    assert cycles.cycle().feedback.metrics()["demonstration_revisions_kept"] == 1.0
    rule = live_demonstrations(env.scenario.trips)
    assert demonstrated_episode(env, 5, cycles.best).mean_reward < demonstrated_episode(env, 5, rule).mean_reward


def test_a_policy_of_ones_own_drives_everybody_else(env):
    """Far from what the policy does, the demonstrated actions diverge from it; its own do not."""
    by_rule = live_demonstrations(env.scenario.trips)
    same = next(refine(env, make_callback("live"), 1, policy=by_rule, num_agent_episodes=2))
    callback = StatelessCallback(detour)
    other = list(refine(env, callback, 2, policy=by_rule, num_agent_episodes=2))[1]
    assert len(same.agent_episodes) == 2
    assert other.metrics["policy_divergence"] > same.metrics["policy_divergence"]
    assert other.metrics["nonstationarity_bound"] > same.metrics["nonstationarity_bound"]


def test_a_restart_continues_with_the_same_cycles(env):
    whole = Refinement(env, make_callback("offline/planner"), seed=1)
    whole.cycle()
    state = pickle.loads(pickle.dumps(whole.get_state()))
    again = Refinement(env, make_callback("offline/planner"), seed=1)
    again.set_state(state)
    assert again.cycle().feedback == whole.cycle().feedback


def test_habits_are_what_the_agent_did_at_a_junction(env):
    own = demonstrated_episode(env, 0, live_demonstrations(env.scenario.trips)).trajectories[0]
    alone = habit_log_probabilities(own, [])
    known = habit_log_probabilities(own, [own, own, own])
    assert alone.dtype == np.float32
    assert len(known) == len(own.actions)
    np.testing.assert_allclose(np.exp(alone), 1.0 / own.action_masks.sum(axis=1), rtol=1e-6)
    assert (known >= alone).all()


@pytest.mark.parametrize("name", ["num_agent_episodes", "num_subsets"])
def test_episodes_and_subsets_are_needed(env, name):
    with pytest.raises(ValueError, match=name):
        Refinement(env, make_callback("live"), **{name: 0})


def test_neither_ray_nor_torch_is_imported():
    code = (
        "import sys, json, rllib_releds.demonstrations.refinement; "
        "print(json.dumps([name for name in ('ray', 'torch', 'litellm') if name in sys.modules]))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(result.stdout) == []


def test_a_vehicle_that_was_taken_out_before_its_first_junction_has_habits(network, make_trajectory):
    """As a teleported one: it decided once, and passed nothing but its origin."""
    trip = Trip("vehicle_0", 0, 15, network.edge_index["0to1"])
    taken_out = make_trajectory(trip, [0], [0.0], junctions=np.array([trip.origin]), exit=Exit.TELEPORTED)
    np.testing.assert_allclose(np.exp(habit_log_probabilities(taken_out, [])), [0.25])
    np.testing.assert_allclose(np.exp(habit_log_probabilities(taken_out, [taken_out, taken_out])), [0.25])
    whole = make_trajectory(trip, [0, 1], [0.0, 0.0])
    assert np.exp(habit_log_probabilities(whole, [taken_out])).tolist() == [0.25, 0.25]


def test_habits_are_shares_of_all_that_was_done_at_the_junction_ahead(network, make_trajectory):
    trip = Trip("vehicle_0", 0, 15, network.edge_index["0to1"])

    def drive(*decisions):
        ahead, actions = zip(*decisions, strict=True)
        masks = [[1, 1, 1, 0] if junction == 2 else [1, 1, 1, 1] for junction in ahead]
        junctions = np.array([trip.origin, *ahead])
        steps, rewards = range(len(actions)), [0.0] * len(actions)
        return make_trajectory(trip, steps, rewards, actions=actions, action_masks=masks, junctions=junctions)

    own = [drive((1, 0), (2, 1), (1, 3)), drive((1, 0), (2, 2)), drive((1, 0), (3, 0))]
    shares = np.exp(habit_log_probabilities(drive((1, 0), (2, 1), (1, 1), (3, 0), (7, 2)), own))
    # At 1: 0 three times and 3 once, and each of four once more; at 2: 1 and 2 once, and each of three once more.
    np.testing.assert_allclose(shares, [4 / 8, 2 / 5, 1 / 8, 2 / 5, 1 / 4], rtol=1e-6)


def test_trips_of_agents_that_follow_their_best_demonstrations_count_for_these(env):
    cycles = Refinement(env, make_callback("offline/planner"), num_agent_episodes=2)
    cycles.cycle()
    assert {version.trips for version in cycles.gate.kept.values()} == {1}
    before = cycles.gate.kept
    answered = cycles.cycle().demonstrations.contents
    kept = [agent for agent, version in cycles.gate.kept.items() if version.content == before[agent].content]
    assert kept
    for agent in kept:
        # Two agent episodes and the expert episode of the other subset, and its own one if nothing was revised.
        is_same = content_key(answered[agent]) == content_key(before[agent].content)
        assert cycles.gate.kept[agent].trips == 4 + is_same
