"""What a worker process does with one trial, in this process."""

import importlib.util
import json
from dataclasses import replace

import pytest
from chat_server import ChatServer, planned
from synthetic import result, write

from rllib_releds.errors import RunError
from rllib_releds.experiments.evaluation import EVALUATION_SEED
from rllib_releds.experiments.metrics_table import MetricsTable
from rllib_releds.experiments.records import RunFolder
from rllib_releds.files import write_text
from rllib_releds.local_ray import ray_session
from rllib_releds.reproduction import work
from rllib_releds.reproduction.folder import ReproductionFolder
from rllib_releds.reproduction.grid import trial_settings
from rllib_releds.reproduction.trial import Trial, TrialResult, Yardsticks
from rllib_releds.reproduction.work import TrialTask, YardsticksTask
from sumo_marl_env import QUICK_YARDSTICKS, Episode, make_scenario


@pytest.fixture(scope="module", autouse=True)
def one_ray():
    with ray_session():
        yield


def small_trial(grid_file, method: str) -> Trial:
    return Trial(
        method=method,
        scenario=str(grid_file),
        demand="none",
        num_agents=2,
        encoder="one_hot",
        num_epochs=3,
        interaction_steps_per_epoch=20,
    )


def forbidden(progress) -> None:
    raise AssertionError(f"a finished task was repeated: {progress}")


@pytest.mark.parametrize("method", ["RELED-logit", "QMIX"])
def test_a_trial_ends_with_a_result_and_is_not_repeated(method, grid_file, tmp_path):
    trial = small_trial(grid_file, method)
    task = TrialTask(trial, tmp_path, "live", evaluation_episodes=2)
    folder = ReproductionFolder(tmp_path)
    reports = []
    task.run(lambda progress: reports.append(dict(progress)))
    assert [report.get("epoch") for report in reports] == [1, 2, 3, None]

    made = TrialResult.model_validate_json(folder.result_file(trial).read_text())
    assert made.trial == trial
    assert made.demonstrator == ("logit" if method == "RELED-logit" else None)
    curve = made.curve
    assert all(len(column) == 3 for column in curve.model_dump().values())
    assert list(curve.interaction_steps) == sorted(curve.interaction_steps)
    assert curve.interaction_steps[0] >= 20
    has_expert = method != "QMIX"
    assert [value is not None for value in curve.dtw_m] == [has_expert] * 3
    for evaluation in (made.greedy, made.sampled):
        assert evaluation.seeds == (EVALUATION_SEED, EVALUATION_SEED + 1)
        assert len(evaluation.rewards) == len(evaluation.arrival_rates) == 2
    assert 0.0 < made.simulation_wall_s <= made.wall_s

    stored = [Episode.load(file) for file in folder.run(trial).episodes.glob("agent_*.npz")]
    assert sum(made.agent_edge_counts.values()) == sum(len(one.edges) for episode in stored for one in episode)
    assert bool(made.expert_edge_counts) is has_expert

    assert folder.state(trial).status == "done"
    task.run(forbidden)


def test_the_last_ten_agent_episodes_are_kept_across_epochs(grid_file, tmp_path):
    trial = small_trial(grid_file, "IPPO").model_copy(update={"num_epochs": 12})
    TrialTask(trial, tmp_path, "live", evaluation_episodes=1).run(lambda progress: None)
    run = ReproductionFolder(tmp_path).run(trial)
    stored = sorted(file.stem for file in run.episodes.glob("agent_*.npz"))
    episodes = MetricsTable(run.path / "metrics.csv").read()["episodes"]
    played = [f"agent_{epoch:05d}_{index:03d}" for epoch, n in enumerate(episodes) for index in range(int(n))]
    assert stored == played[-10:]


def test_a_trial_begun_with_other_settings_is_refused(grid_file, tmp_path):
    trial = small_trial(grid_file, "RELED")
    run = ReproductionFolder(tmp_path).run(trial)
    run.path.mkdir(parents=True)
    (run.path / "config.json").write_text(json.dumps({"method": "LEED"}))
    with pytest.raises(RunError, match="begun with other settings"):
        TrialTask(trial, tmp_path, "live", evaluation_episodes=1).run(forbidden)


def test_yardsticks_drive_on_the_seeds_of_the_trials(grid_file, tmp_path):
    trial = small_trial(grid_file, "IPPO")
    task = YardsticksTask(trial, tmp_path, evaluation_episodes=2)
    task.run(lambda progress: None)
    file = ReproductionFolder(tmp_path).yardsticks_file(trial.setting)
    yardsticks = Yardsticks.model_validate_json(file.read_text())
    assert tuple(yardsticks.drivers) == QUICK_YARDSTICKS
    assert {evaluation.seeds for evaluation in yardsticks.drivers.values()} == {(EVALUATION_SEED, EVALUATION_SEED + 1)}
    assert yardsticks.drivers["free_flow"].arrival_rates == (1.0, 1.0)
    task.run(forbidden)
    # On more seeds they are measured again.
    assert not replace(task, evaluation_episodes=3).is_done(ReproductionFolder(tmp_path))


def test_what_changes_no_result_is_not_asked_of_a_trial_that_goes_on(grid_file, tmp_path):
    trial = small_trial(grid_file, "IPPO")
    folder = ReproductionFolder(tmp_path)
    # As `reled resume OUT/trials/NAME --minutes` leaves it, and with a demonstrator that IPPO has no use for.
    changes = {"minutes": 1e-6, "storage": str(tmp_path / "copy"), "keep_checkpoints": 5}
    RunFolder.create(folder.run(trial).path, trial_settings(trial, "offline/planner").model_copy(update=changes))
    TrialTask(trial, tmp_path, "live", evaluation_episodes=1).run(lambda progress: None)
    made = TrialResult.model_validate_json(folder.result_file(trial).read_text())
    assert len(made.curve.rewards) == 3, "trained to its end, whatever the minutes"
    assert made.curve.epochs == (1, 1, 1)
    assert made.demonstrator is None
    assert (tmp_path / "copy" / "metrics.csv").is_file()


@pytest.mark.parametrize(("later", "is_refused"), [({"max_cost": "5"}, False), ({"temperature": "0"}, True)])
def test_a_trial_that_goes_on_may_have_another_budget_and_no_other_model(grid_file, tmp_path, later, is_refused):
    trial = small_trial(grid_file, "RELED")
    folder = ReproductionFolder(tmp_path)
    asked = {"max_cost": "1", "temperature": "0.5"}
    RunFolder.create(folder.run(trial).path, trial_settings(trial, "offline/planner", asked))
    task = TrialTask(trial, tmp_path, "offline/planner", evaluation_episodes=1, llm=asked | later)
    if is_refused:
        with pytest.raises(RunError, match="begun with other settings"):
            task.run(forbidden)
    else:
        task.run(lambda progress: None)
        assert folder.run(trial).settings.llm == asked | later
        assert folder.result(trial).demonstrator == "offline/planner"


@pytest.mark.skipif(importlib.util.find_spec("litellm") is None, reason="the extra [llm] is not installed")
def test_a_killed_trial_is_trained_again_by_the_answers_that_it_had(grid_file, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    trial = small_trial(grid_file, "RELED")

    def killed(progress):
        if progress.get("epoch") == 2:
            raise KeyboardInterrupt

    with ChatServer(planned) as server:
        llm = {"api_base": server.address, "max_retries": 0}
        task = TrialTask(trial, tmp_path, "openai/planner", evaluation_episodes=1, llm=llm)
        with pytest.raises(KeyboardInterrupt):
            task.run(killed)
        assert ReproductionFolder(tmp_path).run(trial).finished_epochs() < 2
        before = len(server.requests)
        task.run(lambda progress: None)
    asked = [json.dumps(request.body["messages"]) for request in server.requests]
    assert len(asked) == len(set(asked)) > before > 0


def test_a_trial_that_another_process_trains_is_left_alone(grid_file, tmp_path):
    trial = small_trial(grid_file, "IPPO")
    run = RunFolder.create(ReproductionFolder(tmp_path).run(trial).path, trial_settings(trial, "live"))
    with run.training(), pytest.raises(RunError, match="another process trains"):
        TrialTask(trial, tmp_path, "live", evaluation_episodes=1).run(forbidden)


@pytest.mark.parametrize(
    ("method", "stored", "asked", "is_same"),
    [
        ("RELED", "openai/gpt-4o", "openai/gpt-4o", True),
        ("RELED", "openai/gpt-4o", "offline/planner", False),
        ("RELED", None, "offline/planner", False),
        ("RELED-logit", "logit", "openai/gpt-4o", True),
        ("IPPO", None, "openai/gpt-4o", True),
    ],
)
def test_a_finished_trial_is_not_taken_for_one_of_another_demonstrator(method, stored, asked, is_same, tmp_path):
    trial = Trial(method=method)
    write(tmp_path, result(trial).model_copy(update={"demonstrator": stored}))
    task = TrialTask(trial, tmp_path, asked, evaluation_episodes=1)
    if is_same:
        assert task.is_done(ReproductionFolder(tmp_path))
    else:
        there, remedy = (stored, f"give --llm {stored}, or another") if stored else ("none", "give another")
        with pytest.raises(RunError, match=rf"{there} demonstrated, and {asked} is asked for; {remedy} --out"):
            task.is_done(ReproductionFolder(tmp_path))


def test_what_is_there_is_not_taken_for_another_scenario_of_the_same_name(tmp_path):
    file = tmp_path / "morning.json"
    make_scenario("gridtown", "none", 2).save(file)
    trial = Trial(method="IPPO", scenario=str(file), demand=None, num_agents=2)
    tasks = [TrialTask(trial, tmp_path, "live", 1), YardsticksTask(trial, tmp_path, 0)]
    known = make_scenario(file).fingerprint
    write(tmp_path, result(trial).model_copy(update={"scenario_sha256": known}))
    folder = ReproductionFolder(tmp_path)
    yardsticks = Yardsticks(setting=trial.setting, drivers={}, scenario_sha256=known)
    write_text(folder.yardsticks_file(trial.setting), yardsticks.model_dump_json())
    assert all(task.is_done(folder) for task in tasks)
    file.write_text(file.read_text().replace('"none"', '"moderate"'))
    work._fingerprint.cache_clear()
    for task in tasks:
        with pytest.raises(RunError, match="is of another scenario than morning_2-agents is now"):
            task.is_done(folder)
