"""The commands as a user runs them: in processes of their own."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import typer
from helpers import UNWRITABLE, one_error, one_object, reled
from typer.testing import CliRunner

from rllib_releds import RELEDConfig
from rllib_releds.cli import app
from rllib_releds.console import reported_errors
from rllib_releds.errors import RolloutError
from rllib_releds.experiments.records import RunFolder

SMALL = ["--agents", "3", "--demand", "none", "--epochs", "4"]
# What depends on the clock, not on the run.
CLOCK = ("_s", "_seconds")


def deterministic_rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return [
            {name: value for name, value in row.items() if not name.endswith(CLOCK) or "travel_time" in name}
            for row in csv.DictReader(file)
        ]


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory, grid_file) -> Path:
    """Four epochs on the grid, demonstrated by the offline planner."""
    # Brackets are what rich takes for its markup.
    run = tmp_path_factory.mktemp("runs") / "finished [small]"
    report = one_object(
        reled("train", "--network", grid_file, *SMALL, "--out", run, "--storage", f"{run}_stored", "--json")
    )
    assert report["epochs"] == 4
    return run


def test_run_folder_holds_what_the_readme_promises(finished_run):
    for name in ("config.json", "versions.json", "metrics.csv", "report.json", "checkpoints/latest.json"):
        assert (finished_run / name).stat().st_size > 0
    for figure in ("learning_curve", "dtw_and_weight", "routes"):
        assert (finished_run / "figures" / f"{figure}.png").read_bytes().startswith(b"\x89PNG")
    assert list((finished_run / "tensorboard").glob("events*"))
    cycle = finished_run / "demonstrations" / "cycle_000"
    for name in ("prompt.txt", "reply.txt", "usage.json"):
        assert (cycle / name).stat().st_size > 0
    assert len(list((cycle / "programs").iterdir())) == 3


def test_episodes_of_a_run_can_be_replayed(finished_run):
    recorded = sorted((finished_run / "episodes").glob("*.npz"))
    assert {file.name.split("_")[0] for file in recorded} == {"agent", "expert"}
    for file in (recorded[0], recorded[-1]):
        command = [sys.executable, "-m", "sumo_marl_env.cli", "replay", str(file), "--json"]
        replay = subprocess.run(command, capture_output=True, text=True, check=False)
        assert one_object(replay)["is_faithful"] is True


def test_demonstrations_of_a_run_can_be_listed_and_replayed_without_its_policies(finished_run):
    rows = one_object(reled("demos", "list", finished_run, "--json"))["cycles"]
    assert len(rows) == 1 + RELEDConfig().first_refinements
    assert {row["execution_rate"] for row in rows} == {1.0}
    assert one_object(reled("demos", "replay", finished_run, "--json"))["is_equal"] is True


def test_demonstrations_of_other_trips_are_refused_before_there_is_a_run(finished_run, grid_file, tmp_path):
    other = ("--network", grid_file, "--agents", 2, "--demand", "none", "--epochs", 1)
    result = reled("train", *other, "--llm", f"stored:{finished_run}", "--out", tmp_path / "run")
    assert result.returncode == 1
    assert result.stderr.startswith("error: the demonstrations in")
    assert "for other roads or trips" in result.stderr
    assert not (tmp_path / "run").exists()


def test_report_compares_with_the_yardsticks_on_the_same_seeds(finished_run):
    report = json.loads((finished_run / "report.json").read_text())
    best, _ = RunFolder.open(finished_run).best_checkpoint()
    assert 0 < best < 4, "the policies after the last epoch are not measured in training"
    assert list(report) == [
        "random policy",
        "free-flow shortest path",
        "live shortest time",
        "RELED at epoch 0",
        f"RELED at epoch {best} (--best)",
        "RELED at epoch 4",
    ]
    assert {row["episodes"] for row in report.values()} == {10}
    assert report["live shortest time"]["arrival_rate"] == 1.0
    assert report["RELED at epoch 4"]["mean_reward"] > report["RELED at epoch 0"]["mean_reward"]


def test_status_and_evaluate_print_one_object(finished_run):
    status = one_object(reled("status", finished_run, "--json"))
    assert status["epochs"] == 4
    assert status["is_finished"] is True
    options = ["--episodes", 3, "--greedy", "--trips-seed", 1, "--yardsticks", "live"]
    evaluation = one_object(reled("evaluate", finished_run, *options, "--json"))
    keys = {"episodes", "mean_reward", "mean_travel_time_s", "arrival_rate", "lost", "teleported", "stuck"}
    assert keys <= set(evaluation)
    assert (evaluation["episodes"], evaluation["lost"]) == (3, 0)
    assert evaluation["regret"]["yardstick"] == "live"
    assert "not those of training" in evaluation["note"]
    kept = json.loads(Path(evaluation["file"]).read_text())
    assert kept == {name: value for name, value in evaluation.items() if name != "file"}


def test_a_run_can_be_fetched_from_its_storage_and_used(finished_run, tmp_path):
    status = one_object(reled("fetch", f"{finished_run}_stored", "--out", tmp_path / "back", "--json"))
    assert (status["epochs"], status["run"]) == (4, str(tmp_path / "back"))
    best = one_object(reled("evaluate", tmp_path / "back", "--best", "--episodes", 1, "--json"))
    assert best["episodes"] == 1
    assert (tmp_path / "back" / "report.json").read_text() == (finished_run / "report.json").read_text()


@pytest.mark.faults
def test_killed_run_resumes_as_if_nothing_had_happened(finished_run, tmp_path, grid_file):
    run = tmp_path / "killed"
    command = [sys.executable, "-m", "rllib_releds.cli", "train", "--network", grid_file, *SMALL, "--out", run]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # as `reled` does: sums depend on the number of threads
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True, env=environment)
    pointer = run / "checkpoints" / "latest.json"
    deadline = time.monotonic() + 240
    try:
        while not (pointer.is_file() and json.loads(pointer.read_text())["finished_epochs"] >= 1):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    before = one_object(reled("status", run, "--json"))["epochs"]
    assert 1 <= before < 4
    prompt = (run / "demonstrations" / "cycle_000" / "prompt.txt").read_text()

    assert one_object(reled("resume", run, "--json"))["epochs"] == 4
    assert [row["epoch"] for row in deterministic_rows(run)] == ["0.0", "1.0", "2.0", "3.0"]
    assert deterministic_rows(run) == deterministic_rows(finished_run)
    assert (run / "demonstrations" / "cycle_000" / "prompt.txt").read_text() == prompt


@pytest.fixture
def damaged(finished_run, tmp_path):
    """A copy of the run that goes on for one more epoch, and a function that cuts files of its newest checkpoint."""
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "num_training_epochs": 5, "storage": None}))

    def cut(name: str) -> Path:
        (found,) = (run / "checkpoints" / "epoch_00004").glob(name)
        os.truncate(found, found.stat().st_size // 2)
        return run

    return cut


@pytest.mark.parametrize("command", ["evaluate", "export"])
def test_damaged_policies_are_named_with_the_checkpoint_to_go_back_to(damaged, command):
    run = damaged("learner_group/learner/rl_module/*/module_state.pkl")
    result = CliRunner().invoke(app, [command, str(run)])
    assert (result.exit_code, type(result.exception)) == (1, SystemExit)
    told = result.stderr.splitlines()[-1]
    assert told.startswith(f"error: the checkpoint {run / 'checkpoints' / 'epoch_00004'} cannot be read")
    assert "epoch_00003 is kept: to go back to it, write" in told


def test_damaged_files_of_a_run_are_named(finished_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    for name in ("config.json", "checkpoints/latest.json", "metrics.csv", "demonstrations/failures.json"):
        whole = (run / name).read_text() if (run / name).is_file() else None
        (run / name).write_text("{\n0,1\n")
        result = CliRunner().invoke(app, ["status", str(run)])
        assert isinstance(result.exception, SystemExit)
        assert result.exit_code == 1
        assert result.stderr.startswith("error: ")
        assert str(run / name) in result.stderr
        if whole is None:
            (run / name).unlink()
        else:
            (run / name).write_text(whole)


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "inf"])
def test_no_time_at_all_is_refused_before_anything_is_written(finished_run, minutes, tmp_path):
    before = (finished_run / "config.json").read_text()
    for command in (["train", "--out", str(tmp_path / "run")], ["resume", str(finished_run)]):
        result = CliRunner().invoke(app, [*command, "--minutes", minutes])
        assert result.exit_code == 2
        assert "is not a number of minutes above 0" in " ".join(result.stderr.replace("│", " ").split())
    assert (finished_run / "config.json").read_text() == before
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["train", "tune"])
def test_a_seed_that_no_generator_takes_is_refused(command, tmp_path):
    result = CliRunner().invoke(app, [command, "--out", str(tmp_path / "out"), "--seed", str(2**32)])
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_a_run_that_is_trained_is_not_trained_again(finished_run, damaged):
    run = RunFolder.open(damaged("algorithm_state.pkl"))
    before = (run.path / "config.json").read_text()
    with run.training():
        result = reled("resume", run.path, "--minutes", 3)
    assert result.returncode == 1
    assert result.stderr == f"error: another process trains {run.path}; wait for its end\n"
    assert (run.path / "config.json").read_text() == before


def test_errors_of_training_that_a_user_can_mend_are_one_line(capfd):
    for error in (RolloutError("no env runner answers"), FloatingPointError("the gradient is not finite; lower lr")):
        with pytest.raises(typer.Exit), reported_errors("`reled resume`"):
            raise error
        assert capfd.readouterr().err == f"error: {error}. What was finished is safe; mend that, then `reled resume`.\n"
    with pytest.raises(RuntimeError, match="a defect"), reported_errors():
        raise RuntimeError("a defect")


@pytest.mark.parametrize("code", [None, 1])
def test_whoever_is_told_to_stop_says_how_to_go_on(capfd, code):
    def wait() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except SystemExit:
            # Ray does so where it waits.
            sys.exit(code)

    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(typer.Exit) as stopped, reported_errors(), reported_errors("`reled resume runs/first`"):
        wait()
    assert stopped.value.exit_code == 143
    assert capfd.readouterr().err == "told to stop; `reled resume runs/first` goes on after what was finished\n"
    assert signal.getsignal(signal.SIGTERM) == handler


def test_what_is_interrupted_before_there_is_a_run_is_not_to_be_resumed(monkeypatch, tmp_path):
    def interrupt(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rllib_releds.cli.make_scenario", interrupt)
    result = CliRunner().invoke(app, ["train", "--out", str(tmp_path / "run")])
    assert result.exit_code == 130
    assert result.stderr == "interrupted; the same command goes on after what was finished\n"


def test_resuming_a_finished_run_trains_no_further_and_says_where_it_lies(finished_run):
    rows = deterministic_rows(finished_run)
    result = reled("resume", finished_run, "--json")
    assert one_object(result)["epochs"] == 4
    assert deterministic_rows(finished_run) == rows
    assert f"Run folder: {finished_run}\n" in result.stderr


def test_a_run_that_ends_before_the_first_answer_says_that_nobody_demonstrated(tmp_path, grid_file):
    options = ("--network", grid_file, "--agents", 2, "--demand", "none", "--epochs", 1, "--llm", "live")
    result = reled("train", *options, "--asynchronous", "--out", tmp_path / "run", "--json")
    assert one_object(result)["demonstration_cycles"] == 0
    assert "No demonstration was used: the first answer came too late, or not at all.\n" in result.stderr


def test_missing_key_is_said_and_survived(tmp_path, grid_file):
    result = reled(
        *("train", "--network", grid_file, "--agents", 2, "--demand", "none", "--epochs", 1),
        *("--llm", "openai/gpt-3.5-turbo", "--out", "runs/relative", "--json"),
        cwd=tmp_path,
        OPENAI_API_KEY="",
    )
    report = one_object(result)
    assert report["run"] == str(tmp_path / "runs" / "relative")
    assert result.stderr.count("set the environment variable OPENAI_API_KEY") == 2, "in the warning and below the table"
    assert report["failed_demonstration_cycles"] == report["demonstration_cycles"] == 1
    status = one_object(reled("status", report["run"], "--json"))
    assert "set the environment variable OPENAI_API_KEY" in status["last_failure"]


def test_a_run_asks_beside_training_with_the_models_settings(tmp_path, grid_file):
    run = tmp_path / "run"
    options = ["--asynchronous", "--no-gate", "--llm-option", "max_requests=1", "--llm-option", "temperature=none"]
    options += ["--set", "encoder=one_hot", "--set", "first_refinements=0", "--set", "grad_clip=None"]
    assert one_object(reled("train", "--network", grid_file, *SMALL, *options, "--out", run, "--json"))["epochs"] == 4
    config = json.loads((run / "config.json").read_text())
    assert config["asynchronous"] is True
    assert config["llm"] == {"max_requests": "1", "temperature": "none"}
    assert config["algorithm"] == {
        "demonstration_gate": False,
        "encoder": "one_hot",
        "first_refinements": 0,
        "grad_clip": None,
    }
    assert "is_asking" in deterministic_rows(run)[0]
    refused = reled("resume", run, "--llm-option", "temperature=1")
    assert refused.returncode == 1
    assert "may change timeout_s" in refused.stderr
    one_object(reled("resume", run, "--llm-option", "max_requests=9", "--json"))
    assert json.loads((run / "config.json").read_text())["llm"] == {"max_requests": "9", "temperature": "none"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--network", "nowhere.osm"], "nowhere.osm"),
        (["--scenario", "gridtwon"], "Did you mean 'gridtown'"),
        (["--demand", "heavy"], "unknown demand 'heavy'"),
        (["--llm", "gpt"], "unknown demonstrations 'gpt'"),
        (["--llm-option", "api_key=sk-0123456789"], "unknown model setting 'api_key'"),
        (["--llm-option", "sk-0123456789"], "--llm-option takes NAME=VALUE"),
        (["--llm-option", "timeout_s=soon"], "model setting timeout_s: input should be a valid number"),
        (["--llm", "live", "--llm-option", "timeout_s=1"], "model settings (timeout_s) need a language model"),
        (["--method", "LEED", "--llm", "live"], "are for language models, and 'live' is none"),
        (["--llm", "none", "--gate"], "nobody demonstrates, so there is no gate"),
        (
            ["--method", "RELED-alpha-0.2", "--llm", "none"],
            "RELED-alpha-0.2 is about demonstrations; leave out --llm none, or take --method IPPO",
        ),
        (["--llm", "none", "--asynchronous"], "nobody demonstrates, so there is nothing to ask for beside training"),
        (["--method", "IPPO", "--set", "dtw_scale=5"], "nobody demonstrates, so dtw_scale would do nothing"),
        (["--set", "encoder"], "--set takes NAME=VALUE, such as encoder=raw"),
        (["--set", "encoder=onehot"], "encoder='onehot': it must be one of"),
        (["--set", "clip_parm=0.1"], "RELED has no setting 'clip_parm'; did you mean clip_param?"),
        (["--set", "clip_param=wide"], "clip_param='wide': it must be a number, such as 0.2"),
        (["--set", "num_subsets=1.5"], "num_subsets=1.5: it must be a whole number, such as 2"),
        (["--set", "lr_annealing=1"], "lr_annealing=1: it must be true or false"),
        (["--set", "lr=NaN"], "lr='NaN': it must be a number"),
        (["--set", "lr=1e400"], "lr=inf: it must be a finite number"),
        (["--set", "dtw_scale=-5"], "dtw_scale=-5: it must be positive"),
        (["--set", "reward_scale=0"], "reward_scale=0: it must be positive"),
        (["--set", "minibatch_size=64"], "RELED has no setting 'minibatch_size'"),
        (["--set", "demonstrations=live"], "--set demonstrations: give --llm in its place"),
        (["--out", "/proc/run"], "cannot write the run folder /proc/run"),
    ],
)
def test_bad_input_gets_one_clear_error(arguments, message, tmp_path):
    out = [] if "--out" in arguments else ["--out", tmp_path / "run"]
    result = reled("train", *arguments, *out)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert "sk-0" not in result.stderr
    assert not (tmp_path / "run").exists()


def test_settings_that_were_edited_are_checked_before_a_run_goes_on(finished_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "algorithm": {"foo": 3}}))
    result = reled("resume", run)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert "has no setting 'foo'" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--scenario", "gridtown", "--network", "x.osm"], "give --scenario or --network"),
        (["--method", "QMIX", "--llm", "live"], "with --method QMIX nobody demonstrates"),
        (["--method", "RELED-logit", "--llm", "live"], "with --method RELED-logit logit demonstrates"),
    ],
)
def test_options_that_exclude_each_other_are_refused(arguments, words):
    result = reled("train", *arguments)
    assert result.returncode == 2
    assert words in result.stderr


@pytest.mark.parametrize("command", ["train", "resume", "status", "evaluate"])
def test_every_command_explains_itself(command):
    result = reled(command, "--help")
    assert result.returncode == 0
    assert "--json" in result.stdout


@pytest.mark.parametrize(("output", "words"), UNWRITABLE)
def test_an_output_that_cannot_be_written_is_one_line(output, words):
    assert words in one_error("rllib_releds.cli reproduce --list " + output)
