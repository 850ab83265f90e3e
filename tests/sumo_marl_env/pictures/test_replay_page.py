"""The replay page in a headless Chromium."""

from dataclasses import replace

import pytest
from browser import Browser
from helpers import live_shortest_time, run_episode

import sumo_marl_env
from sumo_marl_env.pictures.replay import recorded_scenario, simulate_again
from sumo_marl_env.pictures.replay_page import write_page

TABLE = "return [...document.querySelectorAll('#agents tr')].map(r => [...r.cells].map(c => c.innerText.trim()))"
# Where the map shows agents: their rows and pixels.
PLACES = """
return player.tracks.filter(t => t.agent >= 0 && t.at(player.time)).map(t => {
  const {x, y} = t.at(player.time);
  return [t.agent, ...player.view.toScreen(x, y).map(Math.round)];
})
"""
COLORS = """
const map = document.getElementById("map"), ratio = window.devicePixelRatio;
// A copy: the map is drawn for looking, not for reading, and Chromium would say so on its console.
const copy = new OffscreenCanvas(map.width, map.height), pen = copy.getContext("2d", { willReadFrequently: true });
pen.drawImage(map, 0, 0);
return arguments[0].map(([, left, top]) => [...pen.getImageData(left * ratio, top * ratio, 1, 1).data]);
"""


@pytest.fixture(scope="module")
def episode(grid):
    env = sumo_marl_env.parallel_env(network=grid, demand="moderate", num_agents=4, horizon_s=900.0)
    try:
        return run_episode(env, 3, live_shortest_time)
    finally:
        env.close()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def browser(chromium, episode, tmp_path):
    """With the page open, and a clean console at the end."""
    write_page(simulate_again(episode, recorded_scenario(episode)), tmp_path / "page.html")
    chromium.resize(1200, 800)
    chromium.open(tmp_path / "page.html")
    chromium.wait_until("return document.body.dataset.ready === 'true'")
    yield chromium
    assert chromium.console() == []


def move_slider(browser, time_s):
    browser.run(
        "const s = document.getElementById('time'); s.value = arguments[0]; s.dispatchEvent(new Event('input'))", time_s
    )


def test_moving_the_slider_moves_the_agents_and_changes_the_table(browser, episode):
    move_slider(browser, 20)
    places, table = browser.run(PLACES), browser.run(TABLE)
    assert [row for row, *_ in places] == [0, 1, 2, 3]
    assert [name for name, *_ in table] == [t.agent for t in episode]
    assert {state for _, state, *_ in table} == {"driving"}
    move_slider(browser, 40)
    later = browser.run(PLACES)
    assert places != later
    # What the map says about itself is also what is on it: opaque dots in the agents' colours.
    assert len({tuple(color[:3]) for color in browser.run(COLORS, later)}) == len(later)
    assert browser.run(TABLE) != table
    assert browser.run("return document.getElementById('clock').innerText") == "0:40"


def test_the_table_ends_with_what_the_record_says(browser, episode):
    move_slider(browser, 900)
    for (agent, state, travel_time, reward), trajectory in zip(browser.run(TABLE), episode, strict=True):
        assert (agent, state) == (trajectory.agent, "arrived")
        assert travel_time == f"{trajectory.travel_time_s:.0f} s"
        assert float(reward) == pytest.approx(trajectory.total_reward, abs=0.11)
    assert browser.run("return document.getElementById('arrived').innerText") == "4 of 4"


def test_small_rewards_are_shown_with_the_digits_that_they_need(chromium, episode, tmp_path):
    hours = replace(episode, rewards=episode.rewards / 3600.0)
    write_page(simulate_again(hours, recorded_scenario(hours)), tmp_path / "page.html")
    chromium.open(tmp_path / "page.html")
    chromium.wait_until("return document.body.dataset.ready === 'true'")
    chromium.run("player.seek(900)")
    returns = hours.rewards.sum(axis=0)
    for (*_, reward), total in zip(chromium.run(TABLE), returns, strict=True):
        assert float(reward) == pytest.approx(total, rel=0.01)


def test_keys_move_in_time_and_choose_agents(browser):
    browser.press("\ue014", "\ue014", "\ue012")  # right, right, left
    assert browser.run("return player.time") == 10
    browser.press("\ue015", "\ue015")  # down
    assert browser.run("return document.querySelector('tr.chosen').innerText").startswith("vehicle_1")
    assert browser.run("return document.querySelector('tr.chosen button').getAttribute('aria-pressed')") == "true"
    browser.press("\ue00c")  # escape
    assert browser.run("return document.querySelector('tr.chosen')") is None


def test_space_plays_until_the_end_and_stops(browser):
    browser.run("document.getElementById('speed').value = '1'")
    browser.press(" ")
    assert browser.run("return document.getElementById('play').getAttribute('aria-label')") == "Pause"
    browser.run("document.getElementById('speed').value = '60'")
    browser.wait_until("return player.time > 5")
    browser.wait_until("return player.time >= player.data.end_s && !player.isPlaying")


def test_a_click_on_a_vehicle_chooses_it_and_magnified_follows_it(browser):
    move_slider(browser, 20)
    row, left, top = browser.run(PLACES)[2]
    corner = browser.run("const r = document.getElementById('map').getBoundingClientRect(); return [r.left, r.top]")
    browser.click(round(left + corner[0]), round(top + corner[1]))
    assert browser.run("return player.chosen") == row
    browser.press("\ue00c")
    browser.run("document.getElementById('zoom-in').click(); document.getElementById('zoom-in').click()")
    browser.run("document.querySelectorAll('#agents tr')[2].click()")
    for time_s in (22, 30):
        move_slider(browser, time_s)
        middle = browser.run("return [player.view.width / 2, player.view.height / 2]")
        here = next(place for place in browser.run(PLACES) if place[0] == 2)
        assert here[1:] == pytest.approx(middle, abs=2)


def test_a_narrow_window_shows_all_of_it_below_one_another(browser):
    browser.resize(500, 900)
    browser.wait_until("return window.innerWidth <= 500 && document.documentElement.scrollWidth <= window.innerWidth")
    tops = browser.run("return ['stage', 'controls', 'list'].map(i => document.getElementById(i).offsetTop)")
    assert tops == sorted(tops)


def test_a_difference_from_the_record_is_told_on_the_page(chromium, episode, tmp_path):
    replay = simulate_again(episode, recorded_scenario(episode))
    write_page(replace(replay, differences=("vehicle_1: took another way",)), tmp_path / "page.html")
    chromium.open(tmp_path / "page.html")
    chromium.wait_until("return document.body.dataset.ready === 'true'")
    words = chromium.run("return document.getElementById('warning').innerText")
    assert "not the recorded episode" in words
    assert "vehicle_1: took another way" in words
