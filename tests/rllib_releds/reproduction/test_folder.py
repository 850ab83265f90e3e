"""How far a reproduction is, read from its folder."""

import json

import pytest

from rllib_releds.errors import RunError
from rllib_releds.reproduction.folder import ReproductionFolder, TrialState, remaining_seconds
from rllib_releds.reproduction.trial import Trial


def state(status, *, method="RELED", demand="moderate", epochs=100, finished=0, seconds=None) -> TrialState:
    trial = Trial(method=method, demand=demand, num_epochs=epochs)
    return TrialState(trial, status, finished, seconds, None)


def test_a_trial_without_a_folder_is_to_do(tmp_path):
    found = ReproductionFolder(tmp_path / "none").state(Trial(method="IPPO"))
    assert (found.status, found.finished_epochs, found.seconds_per_epoch, found.error) == ("to do", 0, None, None)


def test_the_last_error_of_a_trial_is_its_state(tmp_path):
    folder = ReproductionFolder(tmp_path)
    file = folder.error_file(Trial(method="IPPO").name)
    file.parent.mkdir()
    file.write_text("Traceback:\n  line\nValueError: too small\n")
    assert folder.state(Trial(method="IPPO")).error == "ValueError: too small"


@pytest.mark.parametrize("is_done", [True, False])
@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("checkpoints/latest.json", '{"format": 2}', "checkpoints"),
        ("checkpoints/latest.json", '{"format": 1, "finished_epochs": 50}', "checkpoint"),
        ("metrics.csv", "epoch,epoch_wall_s\n0,soon\n", "metrics.csv"),
    ],
)
def test_a_trial_that_cannot_be_read_stops_no_other(tmp_path, name, text, words, is_done):
    folder = ReproductionFolder(tmp_path)
    trial = Trial(method="IPPO")
    file = folder.run(trial).path / name
    file.parent.mkdir(parents=True)
    file.write_text(text)
    if is_done:
        folder.result_file(trial).write_text("{}")
    found = folder.state(trial)
    assert found.status == ("done" if is_done else "to do")
    assert found.finished_epochs == (trial.num_epochs if is_done else 0)
    assert found.error is None if is_done else words in found.error


def test_nothing_is_left_where_all_is_done():
    assert remaining_seconds([state("done")], 2) == remaining_seconds([], 2) == 0.0


def test_time_left_is_unknown_before_anything_was_trained():
    assert remaining_seconds([state("to do")], 1) is None


def test_time_left_goes_by_the_most_similar_trials():
    states = [
        state("done", seconds=2.0),
        state("done", method="IPPO", seconds=1.0),
        state("part done", finished=40, seconds=2.0),
        state("to do", method="IPPO"),
    ]
    assert remaining_seconds(states, 1) == pytest.approx(60 * 2.0 + 100 * 1.0)
    assert remaining_seconds(states, 2) == pytest.approx(60 * 2.0), "one trial cannot be split"
    assert remaining_seconds([*states, states[2]], 2) == pytest.approx((2 * 60 * 2.0 + 100 * 1.0) / 2)
    # Nothing was trained in that traffic yet: the median of all.
    assert remaining_seconds([*states[:3], state("to do", demand="congested")], 1) == pytest.approx(320.0)


def test_damaged_yardsticks_are_named(tmp_path):
    file = ReproductionFolder(tmp_path).yardsticks_file("town")
    file.parent.mkdir()
    file.write_text('{"setting": "to')
    with pytest.raises(RunError, match=r"yardsticks/town\.json cannot be read .*; delete it"):
        ReproductionFolder(tmp_path).yardsticks("town")


def table_three(tmp_path, text: str) -> ReproductionFolder:
    folder = ReproductionFolder(tmp_path)
    folder.demonstrations_file.parent.mkdir()
    folder.demonstrations_file.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("refinements", "runs", "is_enough"), [(1, 3, True), (2, 3, True), (3, 3, False), (2, 1, True), (2, 4, False)]
)
def test_table_three_is_made_again_with_more_refinements_and_runs(tmp_path, refinements, runs, is_enough):
    rows = [{"model": "offline/planner", "refinements": stage, "runs": 3} for stage in (0, 1, 2)]
    folder = table_three(tmp_path, json.dumps({"rows": rows}))
    assert folder.has_demonstrations("offline/planner", refinements, runs) is is_enough


def test_table_three_of_another_model_is_refused(tmp_path):
    assert not ReproductionFolder(tmp_path).has_demonstrations("openai/gpt-4o", 0, 1)
    folder = table_three(tmp_path, json.dumps({"rows": [{"model": "offline/planner", "refinements": 2, "runs": 1}]}))
    with pytest.raises(RunError, match=r"is of offline/planner, and openai/gpt-4o is asked for; give --llm offline"):
        folder.has_demonstrations("openai/gpt-4o", 2, 1)


@pytest.mark.parametrize("text", ["{", '{"rows": [{}]}', '{"rows": [1]}'])
def test_a_damaged_table_three_is_named(tmp_path, text):
    with pytest.raises(RunError, match=r"demonstrations/table\.json cannot be read .*; delete it"):
        table_three(tmp_path, text).has_demonstrations("offline/planner", 2, 1)
