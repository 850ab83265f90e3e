from dataclasses import replace

import numpy as np
import pytest

from rllib_releds import keys
from rllib_releds.demonstrations.feedback import (
    AgentOutcome,
    CycleFeedback,
    KeptVersion,
    agent_outcome,
    cycle_feedback,
)
from rllib_releds.demonstrations.protocol import DemonstrationTrace, SubsetRollout
from rllib_releds.demonstrations.stationarity import (
    MAX_DIVERGENCE,
    divergence_per_decision,
    nonstationarity_bound,
    outside_rewards,
    policy_divergence,
    reward_bound,
    reward_volatility,
    subset_feedback,
    volatile_steps,
)
from sumo_marl_env import Episode, Exit, Instruction, Trip

NAMES = ("vehicle_0", "vehicle_1", "vehicle_2")
TRIPS = tuple(Trip(name, row, 9, 0) for row, name in enumerate(NAMES))
NORTH, SOUTH = Instruction("move_to_by_shortest_path", 7), Instruction("move_to_by_shortest_time", 9)


@pytest.fixture
def make_episode(make_trajectory):
    def make(rewards, steps=((0,), (0,), (0,)), **changes) -> Episode:
        rewards = np.array(rewards, np.float32)
        trajectories = tuple(
            make_trajectory(trip, rows, **({"rewards": [1.0] * len(rows)} | changes.get(trip.agent, {})))
            for trip, rows in zip(TRIPS, steps, strict=True)
        )
        return Episode("grid", 0, trajectories, rewards, np.arange(1, len(rewards) + 1) * 10.0)

    return make


@pytest.fixture
def agent_episodes(make_episode):
    return [make_episode([[0, -2, -3], [1, 4, -1]]), make_episode([[0, 1, 1], [9, -3, -4]])]


@pytest.fixture
def rollout(make_episode):
    """Subset {vehicle_0}: it decides at steps 0 and 2, and is driving until 35 s, that is during steps 0 to 3."""
    episode = make_episode(
        [[-1, -3, -3], [0, -7, -1], [50, -4, -5], [0, -7, -0.5], [0, -20, 0]],
        steps=((0, 2), (0,), (0,)),
        vehicle_0={"travel_time_s": 35.0},
    )
    trace = DemonstrationTrace((NORTH, SOUTH), np.array([0, 1], np.int32))
    return SubsetRollout(
        ("vehicle_0",), episode, {"vehicle_0": trace}, {"vehicle_0": np.log(np.array([0.5, 0.125], np.float32))}
    )


def test_outside_rewards_leave_the_subset_out(rollout):
    np.testing.assert_allclose(outside_rewards(rollout.episode, rollout.agents), [-6, -8, -9, -7.5, -20])


def test_reward_bound_is_the_largest_absolute_sum_over_all_agent_episodes(agent_episodes):
    assert reward_bound(agent_episodes, ["vehicle_0"]) == 7.0  # |-3 - 4| in the second
    assert reward_bound(agent_episodes, ["vehicle_2"]) == 6.0  # |9 - 3|
    assert reward_bound(agent_episodes, NAMES) == 0.0


def test_reward_bound_needs_an_agent_episode():
    with pytest.raises(ValueError, match="at least one agent episode"):
        reward_bound([], NAMES)


def test_volatile_steps_are_those_below_the_negative_bound(rollout):
    assert volatile_steps(rollout.episode, rollout.agents, 7.0).tolist() == [1, 2, 3, 4]
    assert volatile_steps(rollout.episode, rollout.agents, 8.0).tolist() == [2, 4]


def test_steps_in_which_the_others_earn_much_are_not_volatile(make_episode):
    episode = make_episode([[0, 90, 40], [0, -50, -40], [0, 200, -10]])
    assert volatile_steps(episode, ["vehicle_0"], 80.0).tolist() == [1]


def test_a_step_that_begins_when_the_trip_ends_is_no_part_of_it(rollout):
    trips = tuple(replace(one, travel_time_s=30.0) if one.agent == "vehicle_0" else one for one in rollout.episode)
    ended = replace(rollout, episode=replace(rollout.episode, trajectories=trips))
    assert [pair.step for pair in reward_volatility(ended, np.array([1, 2, 3]))] == [2, 1]


def test_volatility_pairs_name_the_instruction_of_that_step_and_end_with_the_trip(rollout):
    pairs = reward_volatility(rollout, np.array([1, 2, 3, 4]))
    assert [(pair.step, pair.reward, pair.instruction) for pair in pairs] == [
        (2, 9.0, SOUTH),  # decided at step 2 itself
        (1, 8.0, NORTH),
        (3, 7.5, SOUTH),
    ]  # at step 4 the vehicle had arrived
    assert pairs[0].time_s == 30.0


def test_pairs_say_where_and_when_the_agent_decided_by_an_instruction_that_lasts_for_several_decisions(make_episode):
    late = replace(TRIPS[0], depart_s=20.0)
    episode = make_episode([[0, -9, 0]] * 5, steps=((0, 2, 3), (0,), (0,)), vehicle_0={"travel_time_s": 15.0})
    trips = (replace(episode["vehicle_0"], trip=late), *episode.trajectories[1:])
    trace = DemonstrationTrace((NORTH, SOUTH), np.array([0, 0, 1], np.int32))
    logps = {"vehicle_0": np.array([-1.0, -3.0, -2.0], np.float32)}
    rollout = SubsetRollout(("vehicle_0",), replace(episode, trajectories=trips), {"vehicle_0": trace}, logps)
    # It is under way until 35 s, that is up to step 3.
    pairs = reward_volatility(rollout, np.arange(5))
    assert [(pair.step, pair.junction, pair.instruction) for pair in pairs] == [
        (0, 0, NORTH), (1, 0, NORTH), (2, 4, NORTH), (3, 5, SOUTH),
    ]  # fmt: skip
    (pair,) = policy_divergence(rollout)
    assert (pair.decision, pair.time_s, pair.instruction) == (1, 20.0, NORTH)


def test_divergence_is_the_largest_negative_log_probability(rollout):
    (pair,) = policy_divergence(rollout)
    assert pair.divergence == pytest.approx(np.log(8))
    assert (pair.decision, pair.instruction, pair.agent) == (1, SOUTH, "vehicle_0")
    assert len(pair.observation) == 10


def test_divergence_is_never_infinite():
    logps = np.array([0.0, -np.inf, np.nan, -1.0, -1e9, 1e-7], np.float32)
    assert divergence_per_decision(logps).tolist() == [0.0, MAX_DIVERGENCE, MAX_DIVERGENCE, 1.0, MAX_DIVERGENCE, 0.0]


def test_nonstationarity_bound_is_theorem_1():
    assert nonstationarity_bound(0.9, 7.0, [1.0, 2.0]) == pytest.approx(np.sqrt(2) / 0.1**2 * 7 * 3)
    with pytest.raises(ValueError, match="gamma"):
        nonstationarity_bound(1.0, 1.0, [])


def test_cycle_feedback_collects_everything_worst_first(agent_episodes, rollout, make_episode):
    other = SubsetRollout(
        ("vehicle_1", "vehicle_2"),
        make_episode(
            [[-1, -3, -3]],
            steps=((0,), (0,), ()),
            vehicle_1={"rewards": [-50.0]},
            vehicle_2={"exit": Exit.STUCK, "junctions": [2]},
        ),
        {
            "vehicle_1": DemonstrationTrace((NORTH,), np.array([0]), "broken"),
            "vehicle_2": DemonstrationTrace((), np.zeros(0, np.int32)),
        },
        {"vehicle_1": np.array([-2.0]), "vehicle_2": np.zeros(0)},
    )
    feedback = cycle_feedback(epoch=20, cycle=2, agent_episodes=agent_episodes, rollouts=[other, rollout], gamma=0.9)
    assert [outcome.agent for outcome in feedback.outcomes] == ["vehicle_1", "vehicle_2", "vehicle_0"]
    assert feedback.execution_rate == pytest.approx(1 / 3)
    assert [subset.agents for subset in feedback.subsets] == [("vehicle_0",), ("vehicle_1", "vehicle_2")]
    # The others lost 20 in a step of the expert episode, more than ever in the agent episodes.
    assert feedback.subsets[0].nonstationarity_bound == pytest.approx(np.sqrt(2) / 0.01 * 20.0 * np.log(8), rel=1e-6)
    assert feedback.subsets[1].nonstationarity_bound == pytest.approx(np.sqrt(2) / 0.01 * 9.0 * 2.0, rel=1e-6)
    assert [pair.divergence for pair in feedback.divergence] == pytest.approx([np.log(8), 2.0])
    assert [pair.step for pair in feedback.volatility] == [2, 1, 3]
    failed = feedback.outcomes[0]
    assert (failed.error, failed.executed) == ("broken", False)
    assert failed.policy_reward == 1.0
    assert failed.policy_best_time_s == 1000.0
    assert all(np.isfinite(value) for value in feedback.metrics().values())


def test_volatility_pairs_are_cut_to_the_worst(agent_episodes, rollout):
    feedback = subset_feedback(rollout, agent_episodes, gamma=0.9, max_pairs=1)
    assert [pair.step for pair in feedback.volatility] == [2]
    assert feedback.num_volatile_steps == 4


def test_rollouts_with_mismatched_rows_are_refused(rollout):
    with pytest.raises(ValueError, match="logps"):
        SubsetRollout(rollout.agents, rollout.episode, rollout.traces, {"vehicle_0": np.zeros(5)})


def test_an_outcome_names_the_fastest_of_the_agents_own_trips_that_arrived(make_episode):
    def own(travel_time_s, reward, exit=Exit.ARRIVED):
        changes = {"travel_time_s": travel_time_s, "rewards": [reward], "exit": exit, "junctions": [0, travel_time_s]}
        return make_episode([[0, 0, 0]], vehicle_0=changes)

    trips = [own(500, 10.0), own(300, 20.0), own(100, -90.0, Exit.LOST), own(400, 30.0)]
    trace = DemonstrationTrace((NORTH,), np.zeros(1, np.int32))
    outcome = agent_outcome(own(700, 1.0)["vehicle_0"], trace, trips)
    assert (outcome.policy_best_time_s, outcome.policy_best_path) == (300, (0, 300))
    assert outcome.policy_reward == pytest.approx(-30.0 / 4)
    lost = agent_outcome(own(700, 1.0)["vehicle_0"], trace, trips[2:3])
    assert (lost.policy_best_time_s, lost.policy_best_path) == (None, ())


def test_figures_of_a_cycle_are_of_its_outcomes_and_of_its_worst_subset(agent_episodes, rollout):
    (subset,) = cycle_feedback(epoch=0, cycle=0, agent_episodes=agent_episodes, rollouts=[rollout], gamma=0.9).subsets
    milder = replace(subset, volatility=subset.volatility[1:], num_volatile_steps=9, nonstationarity_bound=1.0)
    stuck = {"arrived": False, "exit": "stuck", "path": (), "instructions": (), "policy_reward": 0.0}
    none = {"error": None, "policy_best_time_s": None, "policy_best_path": ()}
    outcomes = (
        AgentOutcome("vehicle_0", travel_time_s=100.0, reward=10.0, **stuck, **none),
        AgentOutcome("vehicle_1", travel_time_s=300.0, reward=50.0, **(stuck | {"arrived": True}), **none),
        AgentOutcome(
            "vehicle_2", travel_time_s=200.0, reward=0.0, **(stuck | {"arrived": True}), **none, unanswered=""
        ),
    )
    kept = {
        "vehicle_0": KeptVersion(0, False, 1, 70.0, 1.0, (), ()),
        "vehicle_1": KeptVersion(1, True, 1, 90.0, 1.0, (), ()),
    }
    figures = CycleFeedback(0, 0, outcomes, (milder, subset), (), kept).metrics()
    assert figures[keys.EXPERT_REWARD] == 20.0
    assert figures[keys.EXPERT_TRAVEL_TIME_S] == 200.0
    assert figures[keys.EXPERT_ARRIVAL_RATE] == pytest.approx(2 / 3)
    assert figures[keys.EXECUTION_RATE] == pytest.approx(1 / 3)
    assert figures[keys.REWARD_VOLATILITY] == 9.0
    assert figures[keys.VOLATILE_STEPS] == 9.0 + subset.num_volatile_steps
    assert figures[keys.NONSTATIONARITY_BOUND] == subset.nonstationarity_bound
    assert (figures[keys.KEPT_REWARD], figures[keys.REVISIONS_KEPT]) == (80.0, 0.5)
