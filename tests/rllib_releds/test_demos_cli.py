"""`reled demos` as a user runs it."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import one_object, reled
from typer.testing import CliRunner

from rllib_releds.demonstrations.records.stored import StoredCycle
from rllib_releds.demos_cli import app

FIGURES = {"execution_rate", "reward", "travel_time_s", "kept_reward", "tokens", "cost", "seconds"}


def run(*arguments):
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    return result


def make(out: Path, grid_file: Path, *more) -> list:
    small = ["--network", grid_file, "--demand", "none", "--agents", 3, "--out", out, "--json"]
    return one_object(reled("demos", "make", *small, *more))["cycles"]


@pytest.fixture(scope="module")
def made(tmp_path_factory, grid_file) -> Path:
    """Two cycles by the planner, the second in a process of its own, with their replies beside."""
    out = tmp_path_factory.mktemp("demos") / "made"
    record = ("--record", out.parent / "replies")
    first = make(out, grid_file, "--cycles", 1, *record)
    # As a process that was killed in the middle of the second cycle would leave it.
    (out / "demonstrations" / "cycle_001" / "programs").mkdir(parents=True)
    (out / "demonstrations" / "cycle_001" / "programs" / "agent_9.py").touch()
    both = make(out, grid_file, "--cycles", 2, *record)
    assert both[0] == first[0]
    assert both[1]["cycle"] == 1
    return out


def without_clock(row: dict) -> dict:
    return {name: value for name, value in row.items() if name != "seconds"}


def test_make_goes_on_as_if_it_had_never_stopped(made, grid_file, tmp_path):
    whole = make(tmp_path / "whole", grid_file, "--cycles", 2)
    stopped = one_object(reled("demos", "list", made, "--json"))["cycles"]
    assert [without_clock(row) for row in whole] == [without_clock(row) for row in stopped]
    assert set(whole[0]) == FIGURES | {"cycle"}


def test_a_replayed_make_writes_the_same_cycles(made, grid_file, tmp_path):
    make(tmp_path / "again", grid_file, "--cycles", 2, "--replay", made.parent / "replies")
    for name in ("cycle_000", "cycle_001"):
        then, now = (StoredCycle(folder / "demonstrations" / name).manifest for folder in (made, tmp_path / "again"))
        assert then["files_sha256"] == now["files_sha256"]
        assert then["figures"] == now["figures"]


@pytest.mark.parametrize("variant", ["--no-refine", "--no-interfaces", "--no-stationarity", "--no-gate"])
def test_the_variants_run_by_options_alone(grid_file, tmp_path, variant):
    rows = make(tmp_path / "variant", grid_file, "--cycles", 2, variant)
    assert [row["execution_rate"] for row in rows] == [1.0, 1.0]
    second = StoredCycle(tmp_path / "variant" / "demonstrations" / "cycle_001")
    prompt = second.text("prompt.txt")
    assert ("RESULTS of your last" in prompt) == (variant != "--no-refine")
    assert ("node by node" in prompt) == bool(second.plans) == (variant == "--no-interfaces")
    if variant == "--no-stationarity":
        assert "POLICY DIVERGENCE" not in prompt
    if variant == "--no-gate":
        assert second.manifest["figures"]["demonstration_revisions_kept"] == 1.0


def test_other_settings_are_refused_in_the_same_folder(made, grid_file):
    result = run("make", "--network", grid_file, "--demand", "none", "--agents", 2, "--out", made)
    assert result.exit_code == 1


def test_wrong_models_are_one_line(tmp_path):
    for arguments in (
        ["--llm", "gpt"],
        ["--llm", "nobody/x"],
        ["--llm", "live", "--llm-option", "timeout_s=3"],
        ["--replay", tmp_path],
    ):
        result = reled("demos", "make", "--out", tmp_path / "made", *arguments)
        assert result.returncode == 1
        assert result.stderr.startswith("error: ")
        assert "Traceback" not in result.stderr
        assert not (tmp_path / "made").exists()


def test_cycles_are_listed_shown_and_compared(made):
    listed = reled("demos", "list", made)
    assert re.search(r"0 +100%", listed.stdout)
    shown = one_object(reled("demos", "show", made, 0, "agent_1", "--json"))
    assert list(shown["agents"]) == ["agent_1"]
    assert "def agent_1" in shown["agents"]["agent_1"]["demonstrated"]
    assert "ROAD NETWORK" in shown["prompt"]
    plain = reled("demos", "show", made, 0, "vehicle_1").stdout.splitlines()
    program = shown["agents"]["agent_1"]["demonstrated"].splitlines()
    assert set(program) <= set(plain), "to a file or another program, lines are neither cut nor filled up"
    change = one_object(reled("demos", "diff", made, 0, 1, "--json"))["agents"]["agent_0"]
    assert change["outcome"].count("arrived after") == 2
    assert "arrived after" in reled("demos", "diff", made, 0, 1).stdout
    assert "there is no agent" in reled("demos", "show", made, 0, "agent_7").stderr


def test_a_cycle_that_was_not_carried_out_shows_what_there_is(made, tmp_path):
    shutil.copytree(made / "demonstrations" / "cycle_000", tmp_path / "cycle_000")
    (tmp_path / "cycle_000" / "cycle.json").unlink()
    plain = reled("demos", "show", tmp_path, 0, "agent_1")
    assert "ROAD NETWORK" in plain.stdout
    assert "not finished" in plain.stdout
    assert one_object(reled("demos", "show", tmp_path, 0, "--json"))["agents"] == {}


def test_a_replay_without_a_model_is_equal_bit_for_bit(made):
    assert one_object(reled("demos", "replay", made, "--json")) == {
        "is_equal": True, "differences": {"0": [], "1": []}
    }  # fmt: skip


def test_a_replay_that_differs_says_so(made, tmp_path):
    folder = tmp_path / "cycle_000"
    folder.mkdir()
    for file in (made / "demonstrations" / "cycle_000").rglob("*"):
        if file.is_file():
            (folder / file.relative_to(made / "demonstrations" / "cycle_000")).parent.mkdir(exist_ok=True)
            (folder / file.relative_to(made / "demonstrations" / "cycle_000")).write_bytes(file.read_bytes())
    (folder / "programs" / "agent_0.py").write_text("def agent_0():\n    pass\n")
    result = reled("demos", "replay", tmp_path)
    assert result.returncode == 2
    assert "programs/agent_0.py was changed since" in result.stdout


def test_table_three_is_made_goes_on_and_stands_beside_the_paper(grid_file, tmp_path):
    small = ["--network", grid_file, "--demand", "none", "--agents", 3, "--cycles", 2, "--out", tmp_path]
    first = reled("demos", "table", *small)
    assert first.returncode == 0, first.stderr
    assert first.stdout.count("offline/planner") == 10
    assert "| 0 (0) | 100.00 (92.00 ± 4.00) |" in first.stdout
    again = reled("demos", "table", *small, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(again.stdout)))
    assert [(row["interfaces"], row["refinement"]) for row in rows[::3]] == [
        ("True", "True"), ("True", "False"), ("False", "True")
    ]  # fmt: skip
    assert [row["refinements"] for row in rows[:3]] == ["0", "1", "2"]
    assert rows[0]["measured_dtw_m"] == ""
    assert float(rows[2]["measured_dtw_m"]) >= 0.0
    assert rows[2]["paper_reward"] == "684.76"
    assert json.loads((tmp_path / "table.json").read_text())["rows"][8]["paper_execution_rate"] == 67


def test_neither_ray_nor_torch_is_imported():
    heavy = ("ray", "torch", "litellm", "dtaidistance")
    code = f"import sys, rllib_releds.cli; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_table_is_of_language_models(tmp_path):
    result = reled("demos", "table", "--out", tmp_path / "new", "--llm", "live")
    assert result.returncode == 1
    assert "'live' is none; name one as provider/name" in result.stderr
    assert not (tmp_path / "new").exists()


def test_a_table_is_not_made_among_other_things(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    result = reled("demos", "table", "--out", tmp_path, "--cycles", 2)
    assert result.returncode == 1
    assert "holds something else (config.json)" in result.stderr
