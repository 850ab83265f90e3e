"""Env runners are killed, and SUMO crashes, in the middle of sampling."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import ray
from ray import cloudpickle

from rllib_releds import RELED, RELEDConfig, keys
from rllib_releds.demonstrations.callbacks import StatelessCallback
from rllib_releds.demonstrations.demonstrators import GivenDemonstrations, live_demonstrations
from sumo_marl_env import Exit

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module", autouse=True)
def ray_session():
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    # The env runners of a test cannot import it, so what it hands them travels by value.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    address = os.environ.get("RAY_ADDRESS")
    local = {} if address else {"num_cpus": 8, "include_dashboard": False, "address": "local"}
    ray.init(**local, log_to_driver=False, configure_logging=False)
    yield
    ray.shutdown()
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@pytest.fixture
def make_algorithm(grid_file):
    made: list[RELED] = []

    def make(num_env_runners: int = 2, env_config=None, timeout_s: float = 1800.0, **settings) -> RELED:
        defaults = {
            "demonstrations": "live",
            "num_training_epochs": 6,
            "demonstration_interval": 2,
            "train_batch_size_per_learner": 60,
            "num_epochs": 2,
            "hidden_size": 16,
        }
        env = {"network": str(grid_file), "demand": "none", "num_agents": 4, "horizon_s": 240.0}
        config = RELEDConfig().environment(env_config=env | (env_config or {})).training(**(defaults | settings))
        config = config.env_runners(num_env_runners=num_env_runners, sample_timeout_s=timeout_s)
        made.append(config.debugging(seed=11).build_algo())
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


def assert_runners_have_current_weights(algorithm: RELED) -> None:
    runners = algorithm.env_runner_group
    # Every epoch begins with this; on a busy machine a process takes longer than an epoch to start again.
    while runners.num_healthy_remote_workers() < runners.num_remote_workers():
        algorithm.restore_env_runners(runners)
        time.sleep(0.1)
    expected = algorithm.routing_module().get_state(inference_only=True)
    states = runners.foreach_env_runner(
        lambda runner: runner.module[keys.MODULE_ID].get_state(), local_env_runner=False
    )
    assert len(states) == runners.num_remote_workers()
    for state in states:
        assert state.keys() == expected.keys()
        for name in state:
            np.testing.assert_array_equal(state[name], expected[name], err_msg=name)


@dataclass(frozen=True, kw_only=True)
class Interrupted(GivenDemonstrations):
    """The first that are carried out kill whoever carries them out."""

    mark: Path

    def demonstrator(self, agents):
        try:
            self.mark.open("x").close()
        except FileExistsError:
            return super().demonstrator(agents)
        os.kill(os.getpid(), signal.SIGKILL)


def test_expert_rollouts_lost_with_their_runner_are_redone_elsewhere(make_algorithm, tmp_path):
    def demonstrate(context):
        return live_demonstrations(context.trips)

    def interrupted(context):
        return Interrupted(live_demonstrations(context.trips).contents, mark=tmp_path / "killed")

    undisturbed = make_algorithm(demonstrations=StatelessCallback(demonstrate))
    disturbed = make_algorithm(demonstrations=StatelessCallback(interrupted))
    for epoch in range(3):
        expected, result = figures(undisturbed.train()), figures(disturbed.train())
        assert (tmp_path / "killed").exists()
        assert result == pytest.approx(expected, nan_ok=True), epoch
    assert_runners_have_current_weights(disturbed)


def test_a_runner_killed_in_mid_sampling_changes_nothing_and_comes_back_with_current_weights(make_algorithm):
    undisturbed = make_algorithm(train_batch_size_per_learner=300)
    disturbed = make_algorithm(train_batch_size_per_learner=300)
    expected = [figures(undisturbed.train()) for _ in range(3)]
    assert figures(disturbed.train()) == pytest.approx(expected[0], nan_ok=True)
    pid = disturbed.env_runner_group.foreach_env_runner(lambda runner: os.getpid(), local_env_runner=False)[0]
    killer = threading.Timer(0.05, os.kill, (pid, signal.SIGKILL))
    killer.start()
    assert figures(disturbed.train()) == pytest.approx(expected[1], nan_ok=True)
    killer.join()
    assert figures(disturbed.train()) == pytest.approx(expected[2], nan_ok=True)
    assert_runners_have_current_weights(disturbed)


def processes(algorithm: RELED) -> list[int]:
    return algorithm.env_runner_group.foreach_env_runner(lambda runner: os.getpid(), local_env_runner=False)


def test_a_runner_that_died_and_came_back_between_two_tasks_does_not_play_untrained(make_algorithm):
    undisturbed, disturbed = make_algorithm(1), make_algorithm(1)
    assert figures(disturbed.train()) == pytest.approx(figures(undisturbed.train()), nan_ok=True)
    (pid,) = processes(disturbed)
    os.kill(pid, signal.SIGKILL)
    actor = disturbed.env_runner_group._worker_manager.actors()[1]
    while not answers(actor):
        time.sleep(0.1)
    # Nobody has told RLlib.
    assert disturbed.env_runner_group.num_healthy_remote_workers() == 1
    for _ in range(2):
        assert figures(disturbed.train()) == pytest.approx(figures(undisturbed.train()), nan_ok=True)
    assert_runners_have_current_weights(disturbed)


def answers(actor) -> bool:
    try:
        return ray.get(actor.ping.remote()) == "pong"
    except ray.exceptions.RayActorError:
        return False


def hang(runner) -> None:
    runner.agent_rollout = lambda rng: time.sleep(3600)


def test_a_runner_that_hangs_is_started_again_and_holds_up_one_epoch_alone(make_algorithm, caplog):
    undisturbed, disturbed = (
        make_algorithm(2, demonstrations=None),
        make_algorithm(2, timeout_s=5.0, demonstrations=None),
    )
    assert figures(disturbed.train()) == pytest.approx(figures(undisturbed.train()), nan_ok=True)
    pid = processes(disturbed)[0]
    disturbed.env_runner_group.foreach_env_runner(hang, local_env_runner=False, remote_worker_ids=[1])
    assert figures(disturbed.train()) == pytest.approx(figures(undisturbed.train()), nan_ok=True)
    assert "env runner 1 did not answer for 5 s (sample_timeout_s)" in caplog.text
    assert_runners_have_current_weights(disturbed)
    assert pid not in processes(disturbed)
    assert figures(disturbed.train()) == pytest.approx(figures(undisturbed.train()), nan_ok=True)


def kill_simulation(runner) -> int:
    """Kill the child of this runner in which SUMO runs, in the middle of its next episode; returns its id."""
    env = runner.routing_env
    env.reset(seed=0)
    pid, advance = env._steering.pid, env.advance

    def advance_and_die(actions):
        if env.time_s >= 20.0:
            env.advance = advance
            os.kill(pid, signal.SIGKILL)
        return advance(actions)

    env.advance = advance_and_die
    return pid


@pytest.mark.parametrize("num_env_runners", [0, 1])
def test_a_crash_of_sumo_inside_a_runner_leaves_no_trace_in_training(make_algorithm, num_env_runners):
    settings = {"env_config": {"isolate": True}, "train_batch_size_per_learner": 300, "demonstrations": None}
    undisturbed, disturbed = (make_algorithm(num_env_runners, **settings) for _ in range(2))
    assert figures(disturbed.train()) == pytest.approx(figures(undisturbed.train()), nan_ok=True)
    group = disturbed.env_runner_group
    (pid,) = group.foreach_env_runner(kill_simulation, local_env_runner=not num_env_runners)
    assert figures(disturbed.train()) == pytest.approx(figures(undisturbed.train()), nan_ok=True)
    assert not Path(f"/proc/{pid}").exists()
    exits = {trajectory.exit for rollout in disturbed.agent_rollouts for trajectory in rollout.episode}
    assert Exit.SIMULATOR_FAILED not in exits
    # The new child serves the epochs after it, too.
    assert figures(disturbed.train()) == pytest.approx(figures(undisturbed.train()), nan_ok=True)
