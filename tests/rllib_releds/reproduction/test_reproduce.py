"""`reled reproduce` as a user runs it: in a process of its own, through Ray Tune."""

import json

import pytest
from helpers import kill_when, one_object, reled

from rllib_releds.reproduction.folder import ReproductionFolder
from rllib_releds.reproduction.grid import Selection


@pytest.mark.faults
@pytest.mark.timeout(1500)  # half a minute on idle cores; most of it is Ray that starts
def test_a_killed_reproduction_goes_on_and_names_what_fails(tmp_path, tmp_path_factory, grid_file):
    kept = tmp_path_factory.mktemp("kept")
    arguments = ["--maps", grid_file, "--demands", "none", "--agents", 2, "--seeds", 0, "--budget", "smoke"]
    arguments += ["--jobs", 1, "--out", tmp_path]
    trials = Selection(
        maps=(str(grid_file),),
        demands=("none",),
        agents=(2,),
        seeds=(0,),
        budget="smoke",
        methods=("IPPO", "RELED-logit", "MAPPO"),
    ).trials()
    folder = ReproductionFolder(tmp_path)
    first, second, broken = trials

    kill_when(folder.result_file(first).is_file, "reproduce", "--methods", "IPPO,RELED-logit", *arguments)
    assert folder.state(first).status == "done"
    before = folder.result_file(first).stat()

    # Somebody else's run lies where the third trial wants to train.
    folder.run(broken).path.mkdir()
    (folder.run(broken).path / "config.json").write_text(json.dumps({"method": "LEED"}))
    result = reled("reproduce", "--methods", "IPPO,RELED-logit,MAPPO", *arguments, "--keep", kept, "--json")
    assert result.returncode == 1, result.stderr
    told = json.loads(result.stdout)
    assert (told["trials"], told["done"]) == (3, 2)
    (failure,) = told["failed"]
    assert failure["name"] == broken.name
    assert "begun with other settings" in failure["error"]
    assert "begun with other settings" in folder.error_file(broken.name).read_text()
    assert f"failed: {broken.name}" in result.stderr

    assert folder.state(second).status == "done"
    assert folder.yardsticks_file(first.setting).is_file()
    after = folder.result_file(first).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns), "a finished trial was repeated"
    assert not (tmp_path / ".tune").exists()
    assert (kept / "README.md").read_bytes() == (tmp_path / "README.md").read_bytes()
    assert {one.parent.name for one in kept.glob("trials/*/result.json")} == {first.name, second.name}

    listed = one_object(reled("reproduce", "--methods", "IPPO,RELED-logit,MAPPO", *arguments, "--list", "--json"))
    assert (listed["done"], listed["to do"]) == (2, 1)
    assert "begun with other settings" in listed["trials"][2]["error"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods", "PPO"], "unknown method 'PPO'"),
        (["--seeds", "0,x"], "--seeds takes whole numbers from 0 on"),
        (["--agents", "0"], "--agents takes whole numbers from 1 on"),
        (["--encoders", "pixels"], "unknown encoder 'pixels'; choose combined"),
        (["--maps", "nowhere.osm"], "nowhere.osm"),
        (["--llm", "gpt", "--methods", "RELED"], "unknown demonstrations 'gpt'"),
        (
            ["--llm", "live", "--llm-option", "max_cost=5", "--methods", "RELED"],
            "need a language model as provider/name",
        ),
        (["--llm-option", "budget=5", "--methods", "RELED"], "unknown model setting 'budget'"),
        (["--demands", "heavy"], "unknown demand 'heavy'"),
    ],
)
def test_bad_input_gets_one_clear_error_and_trains_nothing(arguments, message, tmp_path):
    result = reled("reproduce", *arguments, "--out", tmp_path / "out")
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()
