"""Pictures of a running env, by their pixels."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from helpers import live_shortest_time

from sumo_marl_env.pictures.render import agent_color, draw


def has_color(frame, color):
    return bool((frame == np.array(color, np.uint8)).all(axis=-1).any())


@pytest.mark.parametrize("isolate", [False, True])
def test_frame_shows_agents_and_background_wherever_sumo_runs(make_env, isolate):
    env = make_env(demand="moderate", isolate=isolate)
    env.reset(seed=0)
    for _ in range(3):
        env.step({agent: live_shortest_time(env, agent) for agent in env.deciders})
    positions = env.fleet.positions()
    assert set(env.agents) <= set(positions)
    assert len(positions) > len(env.agents)
    frame = draw(env)
    assert frame.dtype == np.uint8
    assert frame.ndim == 3
    assert max(frame.shape[1], frame.shape[0] - 28) in (800, 801)
    assert all(has_color(frame, agent_color(env.possible_agents.index(agent))) for agent in env.agents)


def test_an_isolated_env_gives_the_same_frame(make_env):
    frames = []
    for isolate in (False, True):
        env = make_env(demand="moderate", isolate=isolate)
        env.reset(seed=4)
        env.step({agent: live_shortest_time(env, agent) for agent in env.deciders})
        frames.append(draw(env))
    assert np.array_equal(*frames)


def test_looking_changes_nothing(make_env):
    rewards = []
    for is_drawn in (False, True):
        env = make_env(demand="moderate", isolate=True)
        env.reset(seed=1)
        while env.agents:
            env.step({agent: live_shortest_time(env, agent) for agent in env.deciders})
            if is_drawn:
                draw(env)
        rewards.append(env.episode().rewards)
    assert np.array_equal(*rewards)


def test_agents_that_left_are_not_drawn_and_a_closed_env_has_no_vehicles(make_env):
    env = make_env()
    env.reset(seed=0)
    while env.agents:
        env.step({agent: live_shortest_time(env, agent) for agent in env.deciders})
    assert not has_color(draw(env), agent_color(0))
    env.close()
    assert env.fleet.positions() == {}


def test_a_crash_noticed_while_drawing_truncates_at_the_next_step(make_env, caplog):
    env = make_env(isolate=True)
    env.reset(seed=0)
    os.kill(env.fleet.pid, signal.SIGKILL)
    draw(env)
    assert "no vehicles to draw: SUMO's process ended with exit code -9" in caplog.text
    *_, truncations, infos = env.step({agent: live_shortest_time(env, agent) for agent in env.deciders})
    assert all(truncations.values())
    assert {info["exit"] for info in infos.values()} == {"simulator_failed"}
    env.reset(seed=0)
    assert env.fleet.positions()


def test_the_same_with_a_program_of_sumo_beside_this_process(make_env, caplog):
    env = make_env(backend="traci")
    env.reset(seed=0)
    env.fleet.simulator._api._process.kill()
    env.fleet.simulator._api._process.wait()
    draw(env)
    assert "no vehicles to draw: SUMO failed in mid-episode" in caplog.text
    # Whoever does not go on as SUMO would have it needs a new route, the first thing that is asked of it.
    *_, infos = env.step({agent: int(np.flatnonzero(env.action_mask(agent))[-1]) for agent in env.deciders})
    assert {info["exit"] for info in infos.values()} == {"simulator_failed"}
    env.reset(seed=0)
    assert env.fleet.positions()


def test_frames_differ_only_by_what_moves(make_env):
    env = make_env(num_agents=1)
    env.reset(seed=0)
    before = draw(env)
    assert np.array_equal(before, draw(env))
    env.step({agent: live_shortest_time(env, agent) for agent in env.deciders})
    changed = (before != draw(env)).any(axis=-1)
    assert 0 < changed.mean() < 0.05


def test_human_mode_without_a_display_warns_once_and_goes_on():
    program = (
        "import numpy as np; from sumo_marl_env.pictures.render import show; frame = np.zeros((4, 4, 3), np.uint8); "
        "show(frame); show(frame)"
    )
    without_display = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=without_display
    )
    assert result.returncode == 0
    assert result.stderr.count("shows nothing here") == 1
    assert "rgb_array" in result.stderr


def test_render_mode_rgb_array_gives_the_frame(make_env):
    env = make_env(render_mode="rgb_array")
    env.reset(seed=0)
    frame = env.render()
    assert np.array_equal(frame, draw(env))
    frame[:10] = 0  # a picture may be drawn on
