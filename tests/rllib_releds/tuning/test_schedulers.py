"""Search spaces, what trials report, and schedulers that remember it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ray.tune.schedulers import TrialScheduler
from ray.tune.search.sample import Domain, Float

from rllib_releds import RELEDConfig, keys
from rllib_releds.baselines.qmix import QMIXConfig
from rllib_releds.errors import RunError
from rllib_releds.experiments.methods import METHODS
from rllib_releds.experiments.settings import TrainSettings
from rllib_releds.tuning.records import TrialRecords
from rllib_releds.tuning.report import TrialRow, draw_trials, trial_row, write_tables
from rllib_releds.tuning.running import run_search, search_config
from rllib_releds.tuning.schedulers import METRIC, TIME, RecordedASHA, make_scheduler
from rllib_releds.tuning.settings import TuneFolder, TuneSettings, default_spaces
from rllib_releds.tuning.spaces import SPACES, mutations, search_space


class FakeTrial(SimpleNamespace):
    def __str__(self):
        return self.trial_id


def result(epoch: int, reward: float) -> dict:
    figures = {keys.EPOCH: epoch, keys.MEAN_REWARD: reward, keys.MEAN_TRAVEL_TIME_S: 100.0}
    return {keys.RELED: figures, METRIC: reward, TIME: epoch + 1}


@pytest.mark.parametrize("name", sorted(SPACES))
def test_every_value_of_a_space_is_a_setting_that_the_algorithm_accepts(name, grid_file):
    space = search_space([name])
    for _ in range(20):
        drawn = {setting: domain.sample() for setting, domain in space.items()}
        config = QMIXConfig() if name == "values" else RELEDConfig().training(demonstrations="live")
        config.training(**drawn)
        config.environment(env_config={"network": str(grid_file), "demand": "none", "num_agents": 2})
        config.validate()
        assert all(getattr(config, setting) == value for setting, value in drawn.items())


@pytest.mark.parametrize("name", METHODS)
def test_what_is_searched_by_default_is_a_setting_of_the_method(name):
    train = TrainSettings(method=name, demand="none")
    wanted = TuneSettings(train=train, spaces=default_spaces(train), scheduler="asha", interval=1, samples=2)
    config, space = search_config(wanted)
    assert "lr" in space
    assert all(isinstance(getattr(config, setting), Domain) for setting in space)


def test_population_based_training_moves_choices_to_their_neighbours():
    moved = mutations(search_space(SPACES))
    assert moved["num_subsets"] == [1, 2, 3, 5]
    assert isinstance(moved["lr"], Domain)


def test_an_epoch_that_is_trained_again_replaces_the_old_row_and_those_after_it(tmp_path):
    records = TrialRecords(tmp_path / "metrics")
    trial = FakeTrial(trial_id="trial_00000")
    for epoch, reward in [(0, -5.0), (1, -4.0), (2, -3.0), (1, -2.0)]:
        records.on_trial_result(0, [], trial, result(epoch, reward))
    assert records.read("trial_00000")[keys.EPOCH].tolist() == [0.0, 1.0]
    assert records.read("trial_00000")[keys.MEAN_REWARD].tolist() == [-5.0, -2.0]


def test_asha_compares_with_trials_that_reported_before_the_restart(tmp_path):
    train = TrainSettings(num_training_epochs=8)
    settings = TuneSettings(train=train, spaces=("learning",), scheduler="asha", interval=2, samples=4)
    records = TrialRecords(tmp_path / "metrics")
    good = FakeTrial(trial_id="trial_00000", last_result={TIME: 2})
    for epoch in range(3):
        records.on_trial_result(0, [], good, result(epoch, -10.0))
    bad = FakeTrial(trial_id="trial_00001", last_result={})

    scheduler = make_scheduler(settings, {}, records)
    assert isinstance(scheduler, RecordedASHA)
    scheduler.on_trial_add(None, good)
    scheduler.on_trial_add(None, bad)
    assert scheduler.on_trial_result(None, bad, result(0, -99.0)) == TrialScheduler.CONTINUE
    assert scheduler.on_trial_result(None, bad, result(1, -99.0)) == TrialScheduler.STOP
    # The third epoch of the good one was not judged before the restart; it is reported again.
    assert scheduler.on_trial_result(None, good, result(2, -10.0)) == TrialScheduler.CONTINUE


def test_asha_does_not_stop_a_trial_before_an_epoch_that_it_let_it_train(tmp_path):
    train = TrainSettings(num_training_epochs=8)
    settings = TuneSettings(train=train, spaces=("learning",), scheduler="asha", interval=1, samples=4)
    records = TrialRecords(tmp_path / "metrics")
    # Three epochs were trained, and Tune's newest note is that of the first.
    early = FakeTrial(trial_id="trial_00000", last_result={TIME: 1})
    for epoch in range(3):
        records.on_trial_result(0, [], early, result(epoch, -50.0))
    better = FakeTrial(trial_id="trial_00001", last_result={})

    scheduler = make_scheduler(settings, {}, records)
    for trial in (better, early):
        scheduler.on_trial_add(None, trial)
    for epoch in range(2):
        assert scheduler.on_trial_result(None, better, result(epoch, -10.0)) == TrialScheduler.CONTINUE
    for epoch in range(1, 3):
        assert scheduler.on_trial_result(None, early, result(epoch, -50.0)) == TrialScheduler.CONTINUE
    assert scheduler.on_trial_result(None, better, result(3, -10.0)) == TrialScheduler.CONTINUE
    assert scheduler.on_trial_result(None, early, result(3, -50.0)) == TrialScheduler.STOP


@pytest.mark.parametrize("name", sorted(SPACES))
def test_the_defaults_lie_within_the_ranges_of_every_space(name):
    config = QMIXConfig() if name == "values" else RELEDConfig()
    for setting, domain in search_space([name]).items():
        default = getattr(config, setting)
        if isinstance(domain, Float):
            assert domain.lower < default < domain.upper, setting
            assert not hasattr(domain.get_sampler(), "base") or domain.lower <= default / 2, setting
        else:
            assert default in domain.categories, setting


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scheduler": "asha", "interval": 10}, r"asha would first compare after 10 epochs, and a trial has 4"),
        ({"scheduler": "pbt", "spaces": ()}, r"pbt changes what is searched, and nothing is"),
        ({"scheduler": "pbt", "interval": 4}, r"pbt would exchange nothing: .*, the first exchange is after 4"),
        ({"scheduler": "pbt", "samples": 1}, r"pbt would exchange nothing: .*trials: 1;"),
    ],
)
def test_what_a_scheduler_cannot_use_binds_no_folder(changes, message, tmp_path):
    train = TrainSettings(num_training_epochs=4)
    wanted = {"train": train, "spaces": ("learning",), "scheduler": "asha", "interval": 1, "samples": 2, **changes}
    with pytest.raises(RunError, match=message):
        run_search(TuneFolder(tmp_path / "search"), TuneSettings(**wanted), 1)
    assert not (tmp_path / "search").exists()


SEARCH = TuneSettings(train=TrainSettings(), spaces=(), scheduler="none", interval=1, samples=1)


def begin(folder: TuneFolder, scenario: str | None = None) -> None:
    folder.begin(SEARCH, scenario or search_config(SEARCH)[0].scenario.fingerprint)


def test_a_damaged_search_is_named(tmp_path):
    folder = TuneFolder(tmp_path / "search")
    begin(folder)
    begin(folder)
    folder.search.write_text("{")
    with pytest.raises(RunError, match=r"search\.json cannot be read"):
        begin(folder)


def test_what_a_killed_process_left_half_written_is_no_search(tmp_path):
    folder = TuneFolder(tmp_path / "search")
    folder.path.mkdir()
    (folder.path / ".writing.12.34.search.json").touch()
    begin(folder)
    assert folder.search.is_file()


def test_a_search_does_not_go_on_with_another_scenario(tmp_path):
    folder = TuneFolder(tmp_path / "search")
    begin(folder)
    with pytest.raises(RunError, match="was begun on another scenario"):
        begin(folder, "another")


def test_a_search_that_was_moved_says_where_it_belongs(tmp_path):
    begin(TuneFolder(tmp_path / "search"))
    (tmp_path / "search").rename(tmp_path / "moved")
    with pytest.raises(RunError, match=r"was begun in .*/search, which Ray Tune's own files name"):
        begin(TuneFolder(tmp_path / "moved"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics/trial_00000.csv", "epoch,mean_reward\n0,bad\n"),
        ("tune/experiment_state-2026-11-28_12-00-00.json", '{"trial_data": ['),
        ("tune/basic-variant-state-2026-11-28_12-00-00.json", ""),
    ],
)
def test_a_damaged_file_of_a_search_is_named_and_no_trial_begins_anew(name, content, tmp_path):
    folder = TuneFolder(tmp_path / "search")
    begin(folder)
    (folder.path / name).parent.mkdir()
    (folder.path / name).write_text(content)
    with pytest.raises(RunError, match=name.split("/")[1].split("-")[0]):
        run_search(folder, SEARCH, 1)
    assert (folder.path / name).read_text() == content


def test_a_search_whose_state_is_lost_keeps_what_its_trials_trained(tmp_path):
    folder = TuneFolder(tmp_path / "search")
    begin(folder)
    checkpoint = folder.storage / "trial_00000" / "checkpoint_000000"
    checkpoint.mkdir(parents=True)
    with pytest.raises(RunError, match="is lost, and what its trials trained cannot go on: give another --out"):
        run_search(folder, SEARCH, 1)
    assert checkpoint.is_dir()


def test_a_trial_whose_table_got_no_further_than_its_header_has_trained_no_epoch(tmp_path):
    records = TrialRecords(tmp_path)
    (tmp_path / "trial_00000.csv").write_text("epoch,mean_reward\n")
    full = SimpleNamespace(path=str(tmp_path / "trial_00000"), config={}, error=OSError("disk full"), checkpoint=None)
    assert trial_row(full, ["lr"], records, epochs=4).epochs == 0


@pytest.mark.usefixtures("no_matplotlib")
def test_trials_that_died_before_their_first_epoch_are_rows_without_settings(tmp_path):
    folder = TuneFolder(tmp_path)
    records = TrialRecords(folder.metrics)
    dead = SimpleNamespace(path=str(tmp_path / "trial_00001"), config=None, error=OSError("no memory"), checkpoint=None)
    row = trial_row(dead, ["lr"], records, epochs=4)
    assert (row.status, row.epochs, row.parameters, row.error) == ("failed", 0, {"lr": None}, "no memory")
    assert write_tables(folder, [row]) == [tmp_path / name for name in ("trials.csv", "trials.md", "results.json")]
    assert draw_trials(folder, [row], records) == []
    assert "| trial_00001 | failed | 0 |" in (tmp_path / "trials.md").read_text()


@pytest.mark.usefixtures("no_matplotlib")
def test_without_matplotlib_the_error_says_what_to_install(tmp_path):
    row = TrialRow("trial_00000", "finished", 1, -5.0, 100.0, 1.0, {"lr": 0.1}, None, None)
    folder = TuneFolder(tmp_path)
    with pytest.raises(RunError, match=r"pip install 'rllib-releds\[plot\]', then the same command"):
        draw_trials(folder, [row], TrialRecords(folder.metrics))
