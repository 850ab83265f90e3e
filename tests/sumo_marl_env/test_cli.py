"""The command line as a user meets it: in its own process."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from helpers import UNWRITABLE, grid_osm, live_shortest_time, one_error, run_episode

import sumo_marl_env

Result = TypeVar("Result")


def sumo_marl(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sumo_marl_env.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "command", [[], ["import"], ["inspect"], ["yardsticks"], ["fetch"], ["doctor"], ["replay"], ["scenario", "check"]]
)
def test_help_tells_what_it_does(command):
    result = sumo_marl(*command, "--help")
    assert result.returncode == 0
    assert "Usage" in result.stdout


def test_version_names_sumo_too():
    assert "SUMO 1." in sumo_marl("--version").stdout


def test_inspect_prints_one_json_object():
    result = sumo_marl("inspect", "gridtown", "--json")
    assert result.returncode == 0
    report = json.loads(result.stdout)
    assert report["name"] == "gridtown"
    assert report["is_fit"]


def test_inspect_shows_a_person_the_verdict_and_the_whole_path_of_the_network():
    shown = sumo_marl("inspect", "harbourtown").stdout
    assert "Fit for routing" in shown
    cells = [line.split("│")[2].strip() for line in shown.splitlines() if "│" in line]
    assert "…" not in shown
    assert "harbourtown.net.xml" in "".join(cells)


def test_import_writes_the_network_where_asked_and_drives_on_it(tmp_path, grid_file):
    from sumo_marl_env.maps.osm import built_in_osm

    output = tmp_path / "town.net.xml"
    result = sumo_marl("import", built_in_osm("gridtown"), "--output", output, "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["net_file"] == str(output)
    assert output.is_file()
    assert report["dry_run"]["lost"] == report["dry_run"]["teleported"] == 0


def test_import_says_of_a_network_on_which_no_trips_can_be_drawn_why_and_where_it_is(tmp_path):
    source, output = tmp_path / "flat_land.osm", tmp_path / "flat_land.net.xml"
    # Roads of ten kilometres in place of a hundred metres.
    wide = re.sub(
        r"lat='(.*?)' lon='3(.*?)'", lambda m: f"lat='{100 * float(m[1])}' lon='{100 * float(m[2])}'", grid_osm(5, 5)
    )
    source.write_text(wide)
    result = sumo_marl("import", source, "--output", output)
    assert result.returncode == 0, result.stderr
    assert "No dry run: flat_land has no origin-destination pair about 1047 m apart" in result.stdout
    assert f"Network: {output}" in result.stdout
    assert output.is_file()


def test_import_with_a_box_writes_a_crop_that_other_commands_take(tmp_path):
    source, output = tmp_path / "town.osm", tmp_path / "quarter.net.xml"
    source.write_text(grid_osm(8, 8))
    # A negative number after the option, as everywhere west of Greenwich.
    result = sumo_marl("import", source, "--bbox", "-0.0001,-0.0001,3.0028,0.0028", "--output", output, "--no-dry-run")
    assert result.returncode == 0, result.stderr
    assert json.loads(sumo_marl("inspect", output, "--json").stdout)["junctions"] == 12


def test_inspect_compares_with_the_paper():
    result = sumo_marl("inspect", "gridtown", "--compare", "orlando", "--json")
    comparison = json.loads(result.stdout)["comparison"]
    assert comparison["edges"] == {"here": 263, "published": 269, "ratio": 0.978}
    assert "paper, orlando" in sumo_marl("inspect", "gridtown", "--compare", "orlando").stdout


def test_yardsticks_give_one_json_object_and_no_other_output(grid_file):
    result = sumo_marl(
        "yardsticks", "--network", grid_file, "--agents", 2, "--episodes", 1, "--demand", "none", "--json"
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert set(report["yardsticks"]) == {"random", "free_flow", "live", "rerouting"}
    live = report["yardsticks"]["live"]
    assert live["arrival_rate"] == 1.0
    (alone,) = live["per_seed"]
    assert alone == {"seed": 0} | {key: live[key] for key in ("mean_reward", "mean_travel_time_s", "arrival_rate")}


def test_a_written_scenario_is_checked_and_measured(tmp_path, grid_file):
    file = tmp_path / "rush.json"
    written = sumo_marl("scenario", "write", file, "--network", grid_file, "--trips", "rush", "--agents", 4, "--json")
    assert written.returncode == 0, written.stderr
    again = sumo_marl("scenario", "write", file, "--agents", 5)
    assert "exists already; give another file, or --force to replace it" in again.stderr
    checked = sumo_marl("scenario", "check", file, "--json")
    assert json.loads(checked.stdout) == json.loads(written.stdout)
    measured = sumo_marl(
        "yardsticks", "--scenario", file, "--episodes", 1, "--yardsticks", "free_flow,rerouting", "--json"
    )
    report = json.loads(measured.stdout)
    assert report["agents"] == 4
    assert list(report["yardsticks"]) == ["free_flow", "rerouting"]


def test_yardsticks_show_a_person_a_table(grid_file):
    result = sumo_marl("yardsticks", "--network", grid_file, "--agents", 2, "--episodes", 1, "--demand", "none")
    assert "free_flow" in result.stdout


def test_brackets_in_names_are_no_markup(tmp_path, grid_file):
    file, network = tmp_path / "own.json", tmp_path / "n[red]b.net.xml"
    shutil.copy(grid_file, network)
    scenario = sumo_marl_env.make_scenario(network=network, demand="none", num_agents=2, horizon_s=30.0)
    replace(scenario, name="peak [/day] [bold]x").save(file)
    told = sumo_marl("yardsticks", "--scenario", file, "--yardsticks", "live", "--episodes", 1)
    assert (told.returncode, "peak [/day] [bold]x" in told.stdout) == (0, True)
    assert "n[red]b" in sumo_marl("inspect", network).stdout


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("yardstick", ["rerouting", "equilibrium"])
def test_programs_of_sumo_end_with_the_command_that_started_them(tmp_path, yardstick, end):
    command = [sys.executable, "-m", "sumo_marl_env.cli", "yardsticks", "--scenario", "rush", "--demand", "congested"]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    process = subprocess.Popen([*command, "--yardsticks", yardstick, "--episodes", "9"], env=environment)
    wanted = {"rerouting": "sumo", "equilibrium": "duaIterate.py"}[yardstick]
    try:
        program = eventually(lambda: named_child(process.pid, wanted))
        process.send_signal(end)
        assert process.wait(60) == (143 if end == signal.SIGTERM else -signal.SIGKILL)
        eventually(lambda: not Path(f"/proc/{program}").exists())
    finally:
        process.kill()
    if end == signal.SIGTERM:
        assert not list(tmp_path.glob("sumo_marl_env_*"))


def named_child(parent: int, program: str) -> int | None:
    """A child process that runs this program."""
    for number in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        with suppress(OSError):
            if program in [Path(part).name for part in Path(f"/proc/{number}/cmdline").read_text().split("\0")]:
                return int(number)
    return None


def eventually(what: Callable[[], Result]) -> Result:
    deadline = time.monotonic() + 60.0
    while not (result := what()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return result


def test_replay_writes_a_page_beside_the_record_and_says_whether_it_is_the_same_episode(tmp_path, make_env):
    file = tmp_path / "episode.npz"
    env = make_env(num_agents=2)
    episode = run_episode(env, 0, live_shortest_time)
    env.close()
    episode.save(file)
    report = json.loads(sumo_marl("replay", file, "--json").stdout)
    assert report["page"] == str(tmp_path / "episode.html")
    assert report["is_faithful"] is True
    assert (tmp_path / "episode.html").stat().st_size == report["bytes"]
    assert "equal to the record" in sumo_marl("replay", file, "--output", tmp_path / "other.html").stdout
    before = file.read_bytes()
    assert "give another --output" in sumo_marl("replay", file, "--output", file).stderr
    assert file.read_bytes() == before
    replace(episode, seed=1).save(file)
    other_traffic = sumo_marl("replay", file, "--demand", "congested")
    assert "warning: simulated again" in other_traffic.stderr
    assert "equal" not in other_traffic.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["inspect", "gridtwn"], "Did you mean 'gridtown'"),
        (["import", "missing.osm"], "no such map file: missing.osm"),
        (["import", "missing.osm", "--bbox", "1,2,3"], "'1,2,3' is not a bounding box"),
        (["inspect", "gridtown", "--compare", "paris"], "compare with orlando or hong_kong"),
        (["yardsticks", "--demand", "heavy"], "unknown demand 'heavy'"),
        (["yardsticks", "--scenario", "atlantis", "--json"], "unknown scenario 'atlantis'"),
        (["yardsticks", "--yardsticks", "live,psychic"], "unknown yardstick 'psychic'; choose random, free_flow"),
        (["yardsticks", "--yardsticks", "none"], "no yardstick is chosen; choose random, free_flow"),
        (["replay", "missing.npz"], "no such episode file: missing.npz"),
        (["scenario", "check", "missing.json"], "no such scenario file: missing.json"),
        (["scenario", "write", "town.toml"], "must end in .json"),
        (["replay", "."], "is a folder; give one of the .npz files"),
        (["scenario", "write", "/proc/no/town.json"], "/proc/no"),
    ],
    ids=[
        "network",
        "file",
        "box",
        "published",
        "demand",
        "scenario",
        "yardstick",
        "no yardstick",
        "episode",
        "scenario file",
        "suffix",
        "folder",
        "place",
    ],
)
def test_bad_input_is_one_line_on_standard_error_and_exit_code_1(arguments, words):
    result = sumo_marl(*arguments)
    assert result.returncode == 1
    assert result.stdout == ""
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [["yardsticks", "--agents", 0], ["yardsticks", "--scenario", "gridtown", "--network", "x.osm"], ["import"]],
    ids=["no agents", "two networks", "no file"],
)
def test_wrong_usage_has_exit_code_2(arguments):
    result = sumo_marl(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""


@pytest.mark.parametrize(("output", "words"), UNWRITABLE)
def test_an_output_that_cannot_be_written_is_one_line(output, words):
    assert words in one_error("sumo_marl_env.cli inspect gridtown " + output)


def test_a_reader_that_has_seen_enough_ends_it_quietly():
    command = f"set -o pipefail; {sys.executable} -m sumo_marl_env.cli inspect gridtown | true"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert result.stderr == ""
