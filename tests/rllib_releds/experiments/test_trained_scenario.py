"""A run stays on the scenario that it was begun on."""

import json

import pytest

from rllib_releds.errors import RunError
from rllib_releds.experiments.records import RunFolder
from rllib_releds.experiments.settings import TrainSettings
from rllib_releds.experiments.trained_scenario import note_scenario, trained_scenario
from sumo_marl_env import make_scenario


@pytest.fixture
def morning(grid_file, tmp_path):
    file = tmp_path / "morning.json"
    make_scenario(network=grid_file, demand="none", num_agents=3).save(file)
    return file


def edit(file, **changes):
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_a_scenario_file_that_changes_under_a_run_is_refused_until_it_is_put_back(morning, tmp_path):
    run = RunFolder.create(tmp_path / "run", TrainSettings(scenario=str(morning)))
    note_scenario(run)
    before = morning.read_text()
    edit(morning, horizon_s=1200.0)
    for ask in (trained_scenario, note_scenario):
        with pytest.raises(RunError, match="was trained on another scenario"):
            ask(run)
    morning.write_text(before)
    note_scenario(run)
    assert len(trained_scenario(run).trips) == 3


def test_an_edited_number_of_agents_is_refused(grid_file, tmp_path):
    run = RunFolder.create(tmp_path / "run", TrainSettings(network=grid_file, num_agents=2))
    note_scenario(run)
    edit(run.path / "config.json", num_agents=3)
    with pytest.raises(RunError, match=r"what config\.json says"):
        trained_scenario(run)


@pytest.mark.parametrize(("name", "other"), [("method", "IPPO"), ("seed", 7)])
def test_another_method_or_seed_is_refused(grid_file, tmp_path, name, other):
    settings = TrainSettings(network=grid_file, num_agents=2)
    run = RunFolder.create(tmp_path / "run", settings)
    note_scenario(run)
    edit(run.path / "config.json", **{name: other})
    with pytest.raises(RunError, match=rf"begun with {name}={getattr(settings, name)!r}, .* says {other!r}\. Put that"):
        note_scenario(run)
    edit(run.path / "config.json", **{name: getattr(settings, name)})
    note_scenario(run)


def test_a_damaged_note_is_named(morning, tmp_path):
    run = RunFolder.create(tmp_path / "run", TrainSettings(scenario=str(morning)))
    note_scenario(run)
    for damaged in ('{"finger', "[]", "{}"):
        (run.path / "trained_on.json").write_text(damaged)
        with pytest.raises(RunError, match=r"trained_on\.json is damaged"):
            trained_scenario(run)


def test_a_run_that_has_not_noted_its_scenario_takes_it_as_it_is(morning, tmp_path):
    run = RunFolder.create(tmp_path / "run", TrainSettings(scenario=str(morning)))
    edit(morning, horizon_s=1200.0)
    assert trained_scenario(run).horizon_s == 1200.0
