"""Envs with SUMO in a child process: side by side, crashing, and ending with their parent."""

import gc
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from helpers import live_shortest_time, run_episode
from pettingzoo.test import parallel_seed_test

import sumo_marl_env
from sumo_marl_env import Exit, RoutingError, SimulatorError
from sumo_marl_env.simulation import isolated
from sumo_marl_env.simulation.isolated import IsolatedSteering


def child_of(env) -> int:
    """Process id of the env's child."""
    assert isinstance(env._steering, IsolatedSteering)
    assert env._steering.pid is not None
    return env._steering.pid


def children() -> set[int]:
    """Processes, also dead ones, whose parent is this one."""
    return {
        int(child) for task in Path("/proc/self/task").iterdir() for child in (task / "children").read_text().split()
    }


def sumo_programs(of: int | str = "self") -> list[int]:
    """Processes of SUMO's own program among the descendants of a process."""
    found = []
    for task in Path(f"/proc/{of}/task").iterdir():
        for child in (task / "children").read_text().split():
            name = Path(f"/proc/{child}/comm").read_text().strip()
            found += [int(child)] if name == "sumo" else sumo_programs(child)
    return found


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def resident_mb(pid: int | str = "self") -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def step(env):
    return env.step({agent: live_shortest_time(env, agent) for agent in env.deciders})


def test_two_isolated_envs_in_one_process_pass_the_seed_test_side_by_side(make_env):
    parallel_seed_test(partial(make_env, demand="moderate", horizon_s=200.0, isolate=True))


def test_only_the_second_env_of_a_process_is_isolated(make_env):
    first, second = make_env(), make_env()
    first.reset(seed=0)
    assert not children()
    second.reset(seed=0)
    assert children() == {child_of(second)}
    first.close()
    third = make_env()
    third.reset(seed=0)
    assert children() == {child_of(second)}


def test_time_in_sumo_goes_on_when_an_env_becomes_isolated(make_env):
    first, second = make_env(), make_env()
    first.reset(seed=0)
    before_s = first.simulation_wall_s
    first.close()
    second.reset(seed=0)
    first.reset(seed=0)
    assert children() == {child_of(first)}
    assert first.simulation_wall_s > before_s


def test_an_env_that_is_forgotten_leaves_neither_its_child_nor_libsumo_taken(make_env, grid):
    env = sumo_marl_env.parallel_env(network=grid, demand="none", num_agents=3, isolate=True)
    env.reset(seed=0)
    del env
    env = sumo_marl_env.parallel_env(network=grid, demand="none", num_agents=3, isolate=False)
    env.reset(seed=0)
    del env
    gc.collect()
    assert not children()
    make_env(isolate=False).reset(seed=0)


def test_isolated_episodes_record_what_episodes_in_process_do(make_env):
    here, there = (
        run_episode(make_env(demand="moderate", isolate=isolate), 3, live_shortest_time) for isolate in (False, True)
    )
    for a, b in zip(here, there, strict=True):
        assert (a.exit, a.travel_time_s, a.departed_s) == (b.exit, b.travel_time_s, b.departed_s)
        for name in ("observations", "actions", "rewards", "junctions", "edges", "decision_times_s"):
            assert np.array_equal(getattr(a, name), getattr(b, name))


def test_killed_child_truncates_every_live_agent_and_reset_starts_another(make_env):
    env = make_env(demand="moderate", isolate=True)
    expected = run_episode(env, 7, live_shortest_time)
    env.reset(seed=1)
    step(env)
    live, dead = list(env.agents), child_of(env)
    os.kill(dead, signal.SIGKILL)
    observations, rewards, terminated, truncated, infos = step(env)
    assert set(observations) == set(live)
    assert all(env.observation_space(agent).contains(observations[agent]) for agent in live)
    assert all(np.isfinite(reward) for reward in rewards.values())
    assert all(truncated[agent] and not terminated[agent] for agent in live)
    assert all(infos[agent]["exit"] == "simulator_failed" for agent in live)
    assert not env.agents
    assert env.episode().count(Exit.SIMULATOR_FAILED) == len(live)
    with pytest.raises(RoutingError, match="call reset"):
        step(env)
    assert not is_running(dead)
    again = run_episode(env, 7, live_shortest_time)
    assert np.array_equal(again.rewards, expected.rewards)


def test_child_that_dies_between_episodes_goes_unnoticed(make_env):
    env = make_env(isolate=True)
    run_episode(env, 0, live_shortest_time)
    os.kill(child_of(env), signal.SIGKILL)
    assert run_episode(env, 0, live_shortest_time).arrival_rate == 1.0


def test_child_that_is_killed_while_it_loads_is_replaced_once(make_env, monkeypatch):
    killed = []

    def dying(self, verb, *arguments):
        if verb == "reset" and len(killed) < num_deaths:
            killed.append(self.process.pid)
            os.kill(self.process.pid, signal.SIGKILL)
        return ask(self, verb, *arguments)

    ask = isolated._Child.ask
    monkeypatch.setattr(isolated._Child, "ask", dying)
    num_deaths = 1
    assert run_episode(make_env(isolate=True), 0, live_shortest_time).arrival_rate == 1.0
    num_deaths = 3
    with pytest.raises(SimulatorError, match="exit code -9"):
        make_env(isolate=True).reset(seed=0)
    assert len(killed) == 3


@pytest.mark.parametrize("isolate", [True, False])
def test_sumo_that_dies_between_episodes_goes_unnoticed(make_env, isolate):
    env = make_env(backend="traci", isolate=isolate)
    run_episode(env, 0, live_shortest_time)
    (pid,) = sumo_programs()
    os.kill(pid, signal.SIGKILL)
    assert run_episode(env, 0, live_shortest_time).arrival_rate == 1.0


def test_child_that_hangs_is_given_up(make_env):
    env = make_env(isolate=True)
    env.reset(seed=0)
    env._steering._child._channel.set_patience(0.5)
    os.kill(child_of(env), signal.SIGSTOP)
    *_, infos = step(env)
    assert {info["exit"] for info in infos.values()} == {"simulator_failed"}
    assert not children()


def test_interrupted_step_does_not_take_a_late_answer_for_the_next_one(make_env, monkeypatch):
    env = make_env(isolate=True)
    env.reset(seed=0)

    def interrupted():
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(env._steering._child._channel, "receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            step(env)
    *_, truncated, _ = step(env)
    assert all(truncated.values())
    assert run_episode(env, 0, live_shortest_time).arrival_rate == 1.0


def test_an_interrupt_in_a_step_loses_no_agent_in_silence(make_env, monkeypatch):
    env = make_env(isolate=False)
    env.reset(seed=0)
    step(env)

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(env._steering.simulator, "arrived", interrupted)
    with pytest.raises(KeyboardInterrupt):
        step(env)
    monkeypatch.undo()
    live = env.agents
    _, _, terminated, truncated, infos = step(env)
    assert {infos[agent]["exit"] for agent in live} == {"simulator_failed"}
    assert all(truncated.values())
    assert not any(terminated.values())
    assert run_episode(env, 1, live_shortest_time).arrival_rate == 1.0


def test_a_fork_does_not_use_its_parents_simulation(make_env):
    env = make_env(isolate=True)
    env.reset(seed=0)
    reader, writer = os.pipe()
    if os.fork() == 0:
        try:
            exits = {info["exit"] for info in step(env)[-1].values()}
            mean_s = run_episode(env, 1, live_shortest_time).mean_travel_time_s
            env.close()
            os.write(writer, f"{exits} {mean_s}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        exits, mean_s = answer.read().split()
    os.wait()
    assert exits == "{'simulator_failed'}"
    assert all(info["exit"] is None for info in step(env)[-1].values()), "the parent's episode goes on"
    assert float(mean_s) == run_episode(env, 1, live_shortest_time).mean_travel_time_s


def test_a_forked_copy_of_a_traci_env_leaves_its_parents_program_alone(make_env):
    env = make_env(backend="traci", isolate=False)
    env.reset(seed=1)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            env.reset(seed=2)
            step(env)
            env.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert all(info["exit"] is None for info in step(env)[-1].values())


@pytest.mark.parametrize("backend", ["libsumo", "traci"])
def test_closed_standard_descriptors_do_no_harm(grid_file, tmp_path, backend):
    program = f"""
import os, sumo_marl_env
for descriptor in range(3):
    os.close(descriptor)
env = sumo_marl_env.parallel_env(
    network={str(grid_file)!r}, demand="none", num_agents=2, backend={backend!r}, isolate=True,
    sumo_options=["--verbose"],
)
env.reset(seed=0)
while env.agents:
    env.step({{}})
with open({str(tmp_path / "arrived")!r}, "w") as file:
    file.write(str(env.episode().count("simulator_failed")))
env.close()
"""
    subprocess.run([sys.executable, "-c", program], timeout=120, check=False)
    assert (tmp_path / "arrived").read_text() == "0"


def test_a_traci_env_that_is_forgotten_leaves_no_program(make_env, grid):
    before = set(sumo_programs())
    env = sumo_marl_env.parallel_env(network=grid, demand="none", num_agents=2, backend="traci")
    env.reset(seed=0)
    (program,) = set(sumo_programs()) - before
    del env
    gc.collect()
    assert not is_running(program)


def test_failure_in_process_truncates_every_live_agent(make_env, monkeypatch):
    env = make_env(isolate=False)
    env.reset(seed=0)

    def fail(until_s):
        raise SimulatorError("SUMO stopped")

    monkeypatch.setattr(env._steering.simulator, "step", fail)
    *_, truncated, infos = step(env)
    assert all(truncated.values())
    assert {info["exit"] for info in infos.values()} == {"simulator_failed"}
    monkeypatch.undo()
    assert run_episode(env, 0, live_shortest_time).arrival_rate == 1.0


@pytest.mark.parametrize("backend", ["libsumo", "traci"])
def test_errors_that_sumo_itself_raises_in_mid_episode_truncate(make_env, backend):
    env = make_env(backend=backend, isolate=False)
    env.reset(seed=0)
    api = env._steering.simulator._api
    if backend == "traci":
        api._process.kill()
    else:
        api.vehicle.remove("vehicle_0")  # so that its next route is refused
    *_, infos = step(env)
    assert infos["vehicle_1"]["exit"] == "simulator_failed"
    assert not children()
    assert run_episode(env, 0, live_shortest_time).arrival_rate == 1.0


def test_sumo_that_cannot_load_is_an_error_and_no_truncation(make_env):
    env = make_env(isolate=True, sumo_options=["--no-such-option", "1"])
    with pytest.raises(SimulatorError, match="could not load"):
        env.reset(seed=0)
    assert not children()


def test_faults_of_this_package_in_the_child_are_raised_with_their_traceback(make_env):
    env = make_env(isolate=True)
    env.reset(seed=0)
    with pytest.raises(RuntimeError, match="no_such_verb"):
        env._steering._exchange("no_such_verb")


def test_close_may_be_called_twice_and_ends_the_child(make_env):
    env = make_env(isolate=True)
    env.close()
    env.reset(seed=0)
    env.close()
    env.close()
    assert not children()
    assert run_episode(env, 0, live_shortest_time).arrival_rate == 1.0


PARENT = """
import os, sys, time, threading, sumo_marl_env
def main():
    env = sumo_marl_env.parallel_env(network=sys.argv[1], demand="none", num_agents=3, isolate=True)
    env.reset(seed=0)
    if sys.argv[3] == "fork" and os.fork() == 0:
        # Holds a copy of the parent's end of the channel, which so does not close when the parent dies.
        sys.stdout.close(), os.close(1)
        time.sleep(600)
        os._exit(0)
    print(env._steering.pid, flush=True)
    if sys.argv[3] == "exit":
        sys.exit(3)
    time.sleep(600)
thread = threading.Thread(target=main)
thread.start() if sys.argv[2] == "thread" else main()
"""


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 60.0
    while is_running(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("caller", "end"), [("main", "kill"), ("thread", "kill"), ("main", "fork"), ("thread", "fork"), ("main", "exit")]
)
def test_child_ends_with_its_parent(grid_file, caller, end):
    command = [sys.executable, "-c", PARENT, str(grid_file), caller, end]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as parent:
        child = int(parent.stdout.readline())
        if end != "exit":
            assert is_running(child)
            parent.kill()
        parent.wait()
        wait_until_gone(child)
        if end == "fork":
            os.killpg(parent.pid, signal.SIGKILL)
    assert parent.returncode == (3 if end == "exit" else -signal.SIGKILL)


def exercise(env, resets: int, crashes: int) -> tuple[float, float]:
    """Resets and crashes; returns the growth in MB of this process and of a child over all resets but the first."""
    for seed in range(crashes + 1):
        if seed:
            os.kill(child_of(env), signal.SIGKILL)
            *_, truncated, _ = step(env)
            assert all(truncated.values())
        env.reset(seed=seed)
        step(env)
    gc.collect()
    here, there = resident_mb(), resident_mb(child_of(env))
    for seed in range(resets):
        env.reset(seed=seed)
        step(env)
    gc.collect()
    return resident_mb() - here, resident_mb(child_of(env)) - there


def test_resets_and_crashes_leave_nothing_behind(make_env):
    """200 resets and 20 crashes."""
    env = make_env(demand="moderate", isolate=True)
    env.reset(seed=0)
    before, files, memory = children(), len(os.listdir("/proc/self/fd")), resident_mb()
    exercise(env, resets=20, crashes=1)
    growth = exercise(env, resets=180, crashes=19)
    print(f"growth over 180 resets: {growth[0]:.1f} MB here, {growth[1]:.1f} MB in the child")
    assert max(growth) < 5.0
    assert resident_mb() - memory < 5.0 + 5.0
    assert len(children()) == len(before) == 1
    # Libraries that earlier tests have loaded may open one meanwhile; a leak would be one for each reset or crash.
    assert len(os.listdir("/proc/self/fd")) <= files + 2
    env.close()
    assert not children()
