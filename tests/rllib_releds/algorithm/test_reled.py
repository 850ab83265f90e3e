"""The algorithm end to end, on the smallest real scenario."""

from __future__ import annotations

import math
import os
import shutil
import signal
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import ray
import torch
from ray import cloudpickle
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    EPISODE_RETURN_MEAN,
    LEARNER_RESULTS,
    NUM_ENV_STEPS_SAMPLED,
    NUM_EPISODES,
)

from rllib_releds import RELED, RELEDConfig, keys
from rllib_releds.algorithm.rollouts import ImitationTask
from rllib_releds.demonstrations.callbacks import StatelessCallback, make_callback
from rllib_releds.demonstrations.demonstrators import GivenDemonstrations, live_demonstrations
from rllib_releds.demonstrations.errors import DemonstrationError, ProgramError
from rllib_releds.demonstrations.protocol import Demonstrations
from rllib_releds.demonstrations.routing_domain import ROUTING, RoutingDomain
from rllib_releds.errors import RolloutError
from rllib_releds.experiments.evaluation import PolicyDriver, drive
from rllib_releds.weighting import mean_path_distance
from sumo_marl_env import ScenarioError, Trip


@pytest.fixture(scope="module", autouse=True)
def ray_session():
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    # The env runners of a test cannot import it, so what it hands them travels by value.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray.init(num_cpus=8, include_dashboard=False, log_to_driver=False, address="local", configure_logging=False)
    yield
    ray.shutdown()
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@pytest.fixture
def make_config(grid_file):
    def make(**settings) -> RELEDConfig:
        defaults = {
            "demonstrations": "live",
            "num_training_epochs": 6,
            "demonstration_interval": 2,
            "train_batch_size_per_learner": 30,
            "num_epochs": 2,
            "hidden_size": 16,
            "imitation_episodes": 0,
        }
        return (
            RELEDConfig()
            .environment(env_config={"network": str(grid_file), "demand": "none", "num_agents": 4, "horizon_s": 240.0})
            .training(**(defaults | settings))
            .debugging(seed=11)
        )

    return make


@pytest.fixture
def make_algorithm(make_config):
    made: list[RELED] = []

    def make(num_env_runners: int = 0, **settings) -> RELED:
        made.append(make_config(**settings).env_runners(num_env_runners=num_env_runners).build_algo())
        return made[-1]

    yield make
    for algorithm in made:
        algorithm.stop()


def figures(result: dict) -> dict[str, float]:
    """What an epoch reports, without wall times."""
    return {
        name: value
        for name, value in result[keys.RELED].items()
        if not isinstance(value, dict) and not name.endswith(("_timer", "wall_s")) and name not in keys.TIMERS
    }


def weights(algorithm: RELED) -> dict[str, np.ndarray]:
    return {name: value.copy() for name, value in algorithm.routing_module().get_state().items()}


def assert_same(first: dict, second: dict) -> None:
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def test_an_epoch_reports_every_documented_figure(make_algorithm):
    algorithm = make_algorithm()
    result = algorithm.train()[keys.RELED]
    expected = {
        keys.EPOCH, keys.EPISODES, keys.INTERACTION_STEPS, keys.INTERACTION_STEPS_LIFETIME, keys.MEAN_REWARD,
        keys.MEAN_TRAVEL_TIME_S, keys.ARRIVAL_RATE, keys.AGENT_WEIGHT, keys.AGENT_WEIGHT_PER_AGENT, keys.DTW_M,
        keys.DTW_NORMALISED, keys.EXPERT_REWARD, keys.EXPERT_TRAVEL_TIME_S, keys.EXPERT_ARRIVAL_RATE,
        keys.EXECUTION_RATE, keys.REWARD_VOLATILITY, keys.POLICY_DIVERGENCE, keys.NONSTATIONARITY_BOUND,
        keys.SIMULATION_WALL_S, keys.EPOCH_WALL_S, *keys.LEARNER_RESULTS, *keys.TIMERS,
    } - {keys.EPSILON}  # fmt: skip
    assert expected <= set(result)
    assert result[keys.INTERACTION_STEPS] >= 30
    assert set(result[keys.AGENT_WEIGHT_PER_AGENT]) == set(algorithm.scenario.agents)
    for name in (
        keys.NONSTATIONARITY_BOUND_PER_SUBSET, keys.REWARD_VOLATILITY_PER_SUBSET, keys.POLICY_DIVERGENCE_PER_SUBSET,
    ):  # fmt: skip
        assert set(result[name]) == {"0", "1"}
    assert max(result[keys.POLICY_DIVERGENCE_PER_SUBSET].values()) == result[keys.POLICY_DIVERGENCE]
    assert result[keys.REVISIONS_KEPT] == 1.0
    assert result[keys.KEPT_REWARD] == pytest.approx(result[keys.EXPERT_REWARD])
    assert result[keys.NUM_UPDATES] == 2 * 4
    assert result[keys.EXECUTION_RATE] == 1.0
    assert result[keys.DTW_TO_FIRST_M] == 0.0


def test_rllibs_own_results_are_of_the_agents_episodes_alone(make_algorithm):
    algorithm = make_algorithm(imitation_episodes=2)
    result = algorithm.train()
    assert result[keys.RELED][keys.EXPERT_STEPS_LIFETIME] > 0
    own, rollouts = result[ENV_RUNNER_RESULTS], algorithm.agent_rollouts
    assert own[NUM_EPISODES] == result[keys.RELED][keys.EPISODES] == len(rollouts)
    assert own[NUM_ENV_STEPS_SAMPLED] == sum(len(rollout) for rollout in rollouts)
    returns = [sum(trajectory.total_reward for trajectory in rollout.episode) for rollout in rollouts]
    assert own[EPISODE_RETURN_MEAN] == pytest.approx(np.mean(returns))


def test_demonstrations_are_renewed_every_interval_and_reused_between(make_algorithm):
    algorithm = make_algorithm()
    cycles = []
    for _ in range(3):
        algorithm.train()
        cycles.append(algorithm.last_cycle)
    assert cycles[0] is cycles[1]
    assert cycles[2].context.cycle == 1
    assert cycles[2].context.feedback is cycles[0].feedback
    agents = [agent for rollout in cycles[2].subset_rollouts for agent in rollout.agents]
    assert sorted(agents) == sorted(algorithm.scenario.agents)


class _TwiceAsFar(RoutingDomain):
    def coordinates(self, network, path):
        return 2.0 * super().coordinates(network, path)


def test_paths_are_compared_where_the_callbacks_domain_says_that_they_are(make_algorithm):
    # With weights that do not depend on distances, so that both learn the same.
    settings = {"weight_rule": 0.5, "only_better_demonstrations": False}
    callbacks = [make_callback("logit"), make_callback("logit")]
    callbacks[1].domain = _TwiceAsFar()
    roads, own = (make_algorithm(demonstrations=callback, **settings) for callback in callbacks)
    for _ in range(3):
        once, twice = roads.train()[keys.RELED], own.train()[keys.RELED]
        for name in (keys.DTW_M, keys.DTW_NORMALISED, keys.DTW_TO_FIRST_M):
            assert twice[name] == pytest.approx(2.0 * once[name])
    assert min(once[name] for name in (keys.DTW_M, keys.DTW_NORMALISED, keys.DTW_TO_FIRST_M)) > 0.0


def test_how_far_demonstrations_have_moved_from_the_first_ones_is_reported_also_after_a_restart(make_algorithm):
    algorithm = make_algorithm(demonstrations="logit")
    figures, paths = [], []
    for _ in range(3):
        figures.append(algorithm.train()[keys.RELED][keys.DTW_TO_FIRST_M])
        paths.append({outcome.agent: outcome.path for outcome in algorithm.last_cycle.feedback.outcomes})
    assert figures[:2] == [0.0, 0.0]
    network = algorithm.scenario.network
    apart_m = [mean_path_distance(ROUTING, network, [paths[0][agent]], path).raw_m for agent, path in paths[2].items()]
    assert figures[2] == pytest.approx(np.mean(apart_m))
    assert figures[2] > 0.0
    again = make_algorithm(demonstrations="logit")
    again.set_state(algorithm.get_state())
    assert again.train()[keys.RELED][keys.DTW_TO_FIRST_M] == figures[2]


def test_without_demonstrations_it_is_ippo(make_algorithm):
    algorithm = make_algorithm(demonstrations=None)
    before = weights(algorithm)
    result = algorithm.train()[keys.RELED]
    after = weights(algorithm)
    assert result[keys.AGENT_WEIGHT] == 1.0
    assert algorithm.last_cycle is None
    for name in before:
        is_changed = not np.array_equal(before[name], after[name])
        assert is_changed != name.startswith("expert_value"), name


def test_same_seed_gives_the_same_run(make_algorithm):
    first, second = make_algorithm(), make_algorithm()
    for _ in range(2):
        assert_same(figures(first.train()), figures(second.train()))
    assert_same(weights(first), weights(second))


def test_run_restored_from_a_checkpoint_continues_as_if_it_had_not_stopped(make_algorithm, tmp_path):
    algorithm = make_algorithm()
    algorithm.train()
    path = algorithm.save_to_path(tmp_path / "checkpoint")
    expected = [figures(algorithm.train()) for _ in range(2)]
    restored = RELED.from_checkpoint(str(path))
    try:
        assert restored.epoch == 1
        assert restored.last_cycle.context.network.edge_ids == algorithm.scenario.network.edge_ids
        for epoch in expected:
            assert_same(epoch, figures(restored.train()))
        assert_same(weights(algorithm), weights(restored))
        assert restored.training_iteration == 3
    finally:
        restored.stop()


def test_with_env_runners_a_restored_run_continues_exactly_even_if_one_of_them_dies(make_algorithm, tmp_path):
    algorithm = make_algorithm(2)
    algorithm.train()
    states = algorithm.env_runner_group.foreach_env_runner(
        lambda runner: runner.module[keys.MODULE_ID].get_state(), local_env_runner=False
    )
    assert len(states) == 2
    for state in states:
        assert_same(algorithm.routing_module().get_state(inference_only=True), state)
    path = algorithm.save_to_path(tmp_path / "checkpoint")
    expected = [figures(algorithm.train()) for _ in range(2)]
    algorithm.stop()
    restored = RELED.from_checkpoint(str(path))
    try:
        process = restored.env_runner_group.foreach_env_runner(lambda runner: os.getpid(), local_env_runner=False)[0]
        os.kill(process, signal.SIGKILL)
        for epoch in expected:
            assert_same(epoch, figures(restored.train()))
    finally:
        restored.stop()


def test_going_back_to_an_older_checkpoint_in_the_same_process_brings_its_weights_back(make_algorithm, tmp_path):
    algorithm = make_algorithm()
    algorithm.train()
    path = algorithm.save_to_path(tmp_path / "checkpoint")
    expected = figures(algorithm.train())
    algorithm.restore_from_path(str(path))
    assert algorithm.epoch == 1
    assert_same(expected, figures(algorithm.train()))


def test_first_demonstrations_are_imitated_once_and_before_the_agents_learn_on_their_own(make_algorithm, tmp_path):
    algorithm = make_algorithm(imitation_episodes=3, imitation_passes=60, lr=3e-3)
    first = algorithm.train()[keys.RELED]
    assert first[keys.NUM_UPDATES] == 60 * 4
    second = algorithm.train()[keys.RELED]
    assert second[keys.NUM_UPDATES] == 2 * 4
    assert second[keys.EXPERT_PROBABILITY] > 0.8 > first[keys.EXPERT_PROBABILITY]
    in_cycle = sum(rollout.agent_steps() for rollout in algorithm.last_cycle.rollouts)
    assert first[keys.EXPERT_STEPS_LIFETIME] == second[keys.EXPERT_STEPS_LIFETIME] > in_cycle
    path = algorithm.save_to_path(tmp_path / "checkpoint")
    expected = figures(algorithm.train())
    assert expected[keys.NUM_UPDATES] == 2 * 4
    restored = RELED.from_checkpoint(str(path))
    try:
        assert_same(expected, figures(restored.train()))
    finally:
        restored.stop()


@pytest.mark.parametrize(("dtw_unit", "logged"), [("metres", keys.DTW_M), ("diagonal", keys.DTW_NORMALISED)])
def test_the_weight_rule_gets_the_distance_in_the_unit_that_is_logged(make_algorithm, dtw_unit, logged):
    distances: list[float] = []

    def rule(distance: float, epoch: int, num_epochs: int) -> float:
        distances.append(distance)
        return 0.5

    settings = {"imitation_episodes": 0, "first_refinements": 0, "only_better_demonstrations": False}
    result = make_algorithm(weight_rule=rule, dtw_unit=dtw_unit, **settings).train()[keys.RELED]
    assert result[logged] == pytest.approx(np.mean(distances))


@pytest.mark.parametrize(("rehearsal_epochs", "highest"), [(2, 2 / 3), (0, 1.0)])
def test_what_was_imitated_is_rehearsed(make_algorithm, rehearsal_epochs, highest):
    algorithm = make_algorithm(imitation_episodes=2, rehearsal_epochs=rehearsal_epochs)
    algorithm.train()
    weights = algorithm.train()[keys.RELED][keys.AGENT_WEIGHT_PER_AGENT].values()
    assert max(weights) == pytest.approx(highest)


@pytest.mark.parametrize(("lr_annealing", "rates"), [(True, [3e-4, 2e-4, 1e-4]), (False, [3e-4] * 3)])
def test_learning_rate_falls_to_nothing_over_all_epochs_unless_it_is_to_stay(
    make_algorithm, tmp_path, lr_annealing, rates
):
    def used(result: dict) -> float:
        return result["learners"][keys.MODULE_ID]["default_optimizer_learning_rate"]

    algorithm = make_algorithm(demonstrations=None, num_training_epochs=3, lr_annealing=lr_annealing)
    measured = [used(algorithm.train()), used(algorithm.train())]
    restored = RELED.from_checkpoint(str(algorithm.save_to_path(tmp_path / "checkpoint")))
    try:
        measured.append(used(restored.train()))
    finally:
        restored.stop()
    assert measured == pytest.approx(rates)


@pytest.mark.parametrize(("judged", "is_meant"), [("behaviour_cloning", True), ("agent_value", False)])
def test_rewards_judge_the_actions_that_were_carried_out(make_algorithm, judged, is_meant):
    algorithm = make_algorithm(
        demonstrations="live", imitation_episodes=3, imitation_noise=0.5, expert_advantage=judged
    )
    algorithm.train()
    (rehearsal,) = algorithm._rehearsals
    differ = [
        (meant.actions != driven.actions).any()
        for rollout in rehearsal.rollouts
        for meant, driven in zip(rollout.episode, rollout.expert.episode, strict=True)
    ]
    assert any(differ) == is_meant


def test_agents_without_a_demonstration_that_works_imitate_nothing(make_algorithm):
    def demonstrate(context):
        return GivenDemonstrations({}, {trip.agent: "no plan" for trip in context.trips})

    algorithm = make_algorithm(demonstrations=StatelessCallback(demonstrate), imitation_episodes=3)
    assert algorithm.train()[keys.RELED][keys.NUM_UPDATES] == 2 * 4


def test_a_demonstration_that_fails_off_its_route_leaves_imitation_out(make_algorithm, monkeypatch, caplog):
    algorithm = make_algorithm(imitation_episodes=3)
    roll = algorithm._roll_experts

    def roll_undisturbed(tasks):
        if isinstance(tasks[0], ImitationTask):
            raise ProgramError("I know my own route alone")
        return roll(tasks)

    monkeypatch.setattr(algorithm, "_roll_experts", roll_undisturbed)
    assert algorithm.train()[keys.RELED][keys.NUM_UPDATES] == 2 * 4
    assert "I know my own route alone. Nobody imitates; training goes on." in caplog.text
    assert algorithm.train()[keys.RELED][keys.EPOCH] == 1


@pytest.mark.parametrize("cycle", [0, 2])
def test_who_imitates_leaves_the_others_alone(make_algorithm, cycle):
    def demonstrate(context):
        first, *others = context.trips
        contents = {} if context.cycle < cycle else live_demonstrations([first]).contents
        return GivenDemonstrations(contents, {trip.agent: "no plan" for trip in others})

    def trained(imitation_episodes: int) -> dict[str, np.ndarray]:
        algorithm = make_algorithm(
            demonstrations=StatelessCallback(demonstrate),
            demonstration_interval=1,
            imitation_episodes=imitation_episodes,
            imitation_passes=20,
        )
        for _ in range(cycle):
            assert algorithm.train()[keys.RELED][keys.NUM_UPDATES] == 2 * 4
        results = algorithm.train()
        assert results[LEARNER_RESULTS][keys.MODULE_ID][keys.NUM_UPDATES] == 2 * 4
        result = results[keys.RELED]
        # Those of both updates together; and what only the usual one measures.
        assert result[keys.NUM_UPDATES] == 2 * 4 + (20 * 4 if imitation_episodes else 0)
        assert np.isfinite(result[keys.KL])
        assert result[keys.KL] != 0.0
        return weights(algorithm)

    imitated, usual = trained(3), trained(0)
    for name in ("policy.feature_weight", "agent_value.feature_weight"):
        assert not np.allclose(imitated[name][0], usual[name][0], atol=1e-3)
        np.testing.assert_array_equal(imitated[name][1:], usual[name][1:])


def test_who_imitates_late_goes_on_with_steps_of_usual_size(make_algorithm, monkeypatch):
    def demonstrate(context):
        first, *others = context.trips
        contents = {} if context.cycle < 8 else live_demonstrations([first]).contents
        return GivenDemonstrations(contents, {trip.agent: "no plan" for trip in others})

    algorithm = make_algorithm(
        demonstrations=StatelessCallback(demonstrate),
        demonstration_interval=1,
        imitation_episodes=3,
        imitation_passes=200,
        num_training_epochs=20,
    )
    for _ in range(8):
        algorithm.train()
    step, moved = torch.optim.Adam.step, []

    def watched(self, *arguments):
        parameters = self.param_groups[0]["params"]
        before = [parameter.detach().clone() for parameter in parameters]
        step(self, *arguments)
        moved.append([(now - old).abs().flatten(1).amax(1) for now, old in zip(parameters, before, strict=True)])

    monkeypatch.setattr(torch.optim.Adam, "step", watched)
    assert algorithm.train()[keys.RELED][keys.NUM_UPDATES] == len(moved) == 2 * 4 + 200 * 4
    assert all((move[1:] == 0.0).all() for moves in moved[2 * 4 :] for move in moves), "the others have nothing to do"
    moved.clear()
    algorithm.train()
    imitator, others = (
        max(float(move[agents].max()) for moves in moved for move in moves) for agents in (slice(1), slice(1, 4))
    )
    assert 0.0 < imitator < 2.0 * others


def test_demonstrations_without_versions_are_imitated_as_they_are(make_algorithm):
    algorithm = make_algorithm(demonstrations="logit", imitation_episodes=2, imitation_passes=3)
    assert algorithm.train()[keys.RELED][keys.NUM_UPDATES] == 3 * 4, "in place of the first update"


@pytest.mark.parametrize(("asked", "played"), [({}, 1), ({"num_episodes": 0}, 0), ({"num_episodes": 2}, 2)])
def test_env_runners_play_as_many_episodes_as_rllib_asks_for(make_algorithm, asked, played):
    assert len(make_algorithm(demonstrations=None).env_runner.sample(**asked)) == played


def test_failing_demonstrations_leave_the_previous_ones_in_use(make_algorithm, caplog):
    def demonstrate(context):
        if context.cycle == 1:
            raise DemonstrationError("the model is asleep")
        return live_demonstrations(context.trips)

    algorithm = make_algorithm(demonstrations=StatelessCallback(demonstrate))
    first = algorithm.train()
    cycle = algorithm.last_cycle
    for _ in range(2):
        result = algorithm.train()
    assert algorithm.last_cycle is cycle
    assert result[keys.RELED][keys.FAILED_CYCLES] == 1
    assert first[keys.RELED][keys.FAILED_CYCLES] == 0


@pytest.mark.parametrize("num_env_runners", [0, 1])
def test_programming_errors_in_demonstrations_stop_the_run(make_algorithm, num_env_runners):
    algorithm = make_algorithm(num_env_runners, demonstrations=StatelessCallback(lambda context: _Broken()))
    with pytest.raises((AttributeError, RolloutError), match="no_such_thing"):
        algorithm.train()


class _Broken(Demonstrations):
    def demonstrator(self, agents):
        return self.no_such_thing


def test_policies_in_training_are_evaluated_by_seeds_alone_and_without_changing_it(make_algorithm):
    algorithm, other = make_algorithm(), make_algorithm()
    driver = PolicyDriver(algorithm.routing_module().sampling_policies(), algorithm.scenario.agents)
    episodes = drive(algorithm.config.env_config, {"own": driver}, [5, 6, 5])["own"]
    assert [episode.seed for episode in episodes] == [5, 6, 5]
    np.testing.assert_array_equal(episodes[0].rewards, episodes[2].rewards)
    assert_same(figures(algorithm.train()), figures(other.train()))


def test_dict_overrides_as_ray_tune_makes_them_are_accepted(make_config):
    config = make_config().to_dict() | {"lr": 1e-3, "encoder": "features", "weight_rule": 0.5}
    config["only_better_demonstrations"] = False
    algorithm = RELED(config)
    try:
        assert algorithm.config.lr == 1e-3
        assert algorithm.routing_module().policy.junction_weight is None
        assert algorithm.train()[keys.RELED][keys.AGENT_WEIGHT] == pytest.approx(0.5)
    finally:
        algorithm.stop()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"encoder": "pixels"}, "encoder='pixels'"),
        ({"expert_advantage": "mine"}, "expert_advantage='mine'"),
        ({"lambda_": 1.5}, "lambda_=1.5"),
        ({"num_subsets": 0}, "num_subsets=0"),
        ({"imitation_episodes": -2}, "imitation_episodes=-2"),
        ({"first_refinements": -2}, "first_refinements=-2"),
        ({"rehearsal_epochs": -2}, "rehearsal_epochs=-2"),
        ({"imitation_noise": 1.5}, "imitation_noise=1.5"),
        ({"gamma": 1.0}, "gamma=1.0"),
        ({"lr": -1e-3}, "lr=-0.001"),
        ({"grad_clip": 0.0}, "grad_clip=0.0"),
        ({"clip_param": -0.5}, "clip_param=-0.5"),
        ({"lr": [[0, 1e-3], [1000, 0.0]]}, "lr=.* be a number"),
        ({"clip_param": math.nan}, "clip_param=nan: it must be a finite number"),
        ({"train_batch_size_per_learner": math.inf}, "train_batch_size_per_learner=inf"),
        ({"demonstration_interval": math.nan}, "demonstration_interval=nan"),
        ({"imitation_episodes": 1.5}, "imitation_episodes=1.5: it must be a whole number"),
        ({"asynchronous": "no"}, "asynchronous='no': it must be true or false"),
        ({"lambda_": None}, "lambda_=None"),
        ({"weight_rule": "best"}, "unknown weight rule 'best'"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(make_config, settings, message):
    with pytest.raises(ValueError, match=message):
        make_config(**settings).build_algo()


def test_gpus_are_refused_for_what_computes_on_the_cpu(make_config):
    with pytest.raises(ValueError, match="num_gpus_per_learner=1"):
        make_config().learners(num_gpus_per_learner=1).validate()
    with pytest.raises(ValueError, match="num_gpus_per_env_runner=1"):
        make_config().env_runners(num_gpus_per_env_runner=1).validate()


def test_what_rllib_would_run_and_this_cannot_is_refused(make_config):
    many = make_config().multi_agent(policies={"first", "second"}, policy_mapping_fn=lambda *_, **__: "first")
    with pytest.raises(ValueError, match=r"policies=.*one module holds the networks of all agents"):
        many.validate()
    old = make_config().api_stack(enable_rl_module_and_learner=False, enable_env_runner_and_connector_v2=False)
    with pytest.raises(ValueError, match="new API stack must stay enabled"):
        old.validate()
    with pytest.raises(ValueError, match="explore=False"):
        make_config().env_runners(explore=False).validate()
    for seed in (-1, 2**32, 1.5):
        with pytest.raises(ValueError, match=f"seed={seed}"):
            make_config().debugging(seed=seed).validate()


def test_an_episode_may_end_in_its_first_step(make_config, grid):
    edge = next(row for row, following in enumerate(grid.successors) if len(following) > 1)
    next_door = int(grid.edge_to[grid.successors[edge][0]])
    trip = Trip("vehicle_0", int(grid.edge_from[edge]), next_door, edge, 0.0)
    config = make_config(demonstrations=None)
    algorithm = config.environment(env_config={"trips": (trip,), "num_agents": 1}).build_algo()
    try:
        assert algorithm.train()[keys.RELED][keys.ARRIVAL_RATE] > 0.0
    finally:
        algorithm.stop()


def test_evaluations_of_a_restored_run_are_those_of_an_uninterrupted_one(make_config, tmp_path):
    config = make_config(demonstrations=None).evaluation(evaluation_interval=1, evaluation_duration=1)

    def evaluated(algorithm: RELED) -> float:
        return algorithm.train()["evaluation"][ENV_RUNNER_RESULTS][EPISODE_RETURN_MEAN]

    algorithm = config.build_algo()
    first = evaluated(algorithm)
    algorithm.save_to_path(str(tmp_path))
    then = evaluated(algorithm)
    algorithm.stop()
    restored = RELED.from_checkpoint(str(tmp_path))
    assert evaluated(restored) == then != first
    restored.stop()


def test_demonstrations_with_fewer_decisions_than_minibatches_can_be_imitated(make_algorithm):
    algorithm = make_algorithm(imitation_episodes=1, num_minibatches=16)
    assert np.isfinite(algorithm.train()[keys.RELED][keys.TOTAL_LOSS])


def test_observation_that_the_encoder_cannot_read_is_refused(make_config):
    config = make_config()
    config.environment(env_config={"observation": "features"})
    with pytest.raises(ValueError, match="observation must be 'paper'"):
        config.build_algo()


def test_environments_of_another_kind_are_refused(make_config):
    for env in ("CartPole-v1", gymnasium.Env):
        with pytest.raises(ValueError, match=r"env=.* it must be RoutingMultiAgentEnv or derive from it"):
            make_config().environment(env).validate()


@pytest.mark.parametrize("other", [{"num_agents": 3}, {"network": "gridtown"}])
def test_evaluation_of_another_team_or_town_is_refused(make_config, other):
    config = make_config().evaluation(evaluation_interval=1, evaluation_config={"env_config": other})
    with pytest.raises(ValueError, match=r"evaluation_config: .* and training 4 on grid"):
        config.validate()
    make_config().evaluation(evaluation_interval=1, evaluation_config={"env_config": {"demand": "moderate"}}).validate()


def test_files_of_this_folder_are_found_in_every_other_one(make_config, grid_file, tmp_path, monkeypatch):
    shutil.copy(grid_file, tmp_path / "town.net.xml")
    (tmp_path / "traffic.rou.xml").write_text(
        '<routes><vehicle id="v" depart="0"><route edges="A0A1"/></vehicle></routes>'
    )
    monkeypatch.chdir(tmp_path)
    config = make_config(demonstrations="stored:kept")
    config.environment(env_config={"network": "town.net.xml", "demand": Path("traffic.rou.xml"), "num_agents": 2})
    monkeypatch.chdir("/")
    # As a trial of Ray Tune gets it.
    trial = RELEDConfig().update_from_dict(config.to_dict())
    assert trial.scenario.network.net_file == tmp_path / "town.net.xml"
    assert trial.scenario.demand.route_file == tmp_path / "traffic.rou.xml"
    assert trial.demonstrations == f"stored:{tmp_path / 'kept'}"
    assert make_config().environment(env_config={"scenario": "rush"}).env_config["scenario"] == "rush"


def test_impossible_scenario_is_refused_before_anything_starts(make_config):
    config = make_config()
    config.environment(env_config={"num_agents": 0})
    with pytest.raises(ScenarioError, match="num_agents"):
        config.build_algo()
