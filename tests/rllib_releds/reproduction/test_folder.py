"""How far a reproduction is, read from its folder."""

import pytest

from rllib_releds.reproduction.folder import ReproductionFolder, TrialState, remaining_seconds
from rllib_releds.reproduction.trial import Evaluation, Trial, Yardsticks


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


@pytest.mark.parametrize(("measured", "is_enough"), [(2, False), (3, True), (4, True)])
def test_yardsticks_on_fewer_seeds_are_measured_again(tmp_path, measured, is_enough):
    folder = ReproductionFolder(tmp_path)
    ones = tuple(range(measured))
    evaluation = Evaluation(seeds=ones, rewards=ones, travel_times_s=ones, arrival_rates=ones)
    file = folder.yardsticks_file("town")
    file.parent.mkdir()
    file.write_text(Yardsticks(setting="town", drivers={"live": evaluation}).model_dump_json())
    assert folder.has_yardsticks("town", 3) is is_enough
    assert not folder.has_yardsticks("village", 1)


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
    assert remaining_seconds(states, 2) == pytest.approx((60 * 2.0 + 100 * 1.0) / 2)
    # Nothing was trained in that traffic yet: the median of all.
    assert remaining_seconds([*states[:3], state("to do", demand="congested")], 1) == pytest.approx(320.0)
