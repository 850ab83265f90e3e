"""Demonstrations made into a folder that a stopped process goes on with."""

import pytest
from chat_server import BEHAVIOURS, ChatServer, planned

from rllib_releds.demonstrations.errors import BudgetExceededError, RejectedKeyError, StoredDemonstrationError
from rllib_releds.demonstrations.records.making import DemosSettings, make_demonstrations
from rllib_releds.demonstrations.records.stored import stored_cycles
from rllib_releds.errors import RunError
from rllib_releds.files import alone_in
from sumo_marl_env import make_scenario


@pytest.fixture
def settings(grid_file) -> DemosSettings:
    return DemosSettings(scenario="gridtown", network=str(grid_file), demand="none", num_agents=2, model="live")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("demos.json", b"{"),
        ("demos.json", b"[1]"),
        ("demos.json", b"3"),
        ("state.pickle", b""),
        ("state.pickle", b"not a pickle"),
        ("state.pickle", None),
    ],
)
def test_a_damaged_file_is_named_with_the_remedy(settings, tmp_path, name, content):
    folder = tmp_path / "demos"
    make_demonstrations(folder, settings, 1)
    file = folder / name
    file.write_bytes(file.read_bytes()[:-20] if content is None else content)
    with pytest.raises(StoredDemonstrationError, match=f"{file} is damaged .*: delete {folder}, or give another --out"):
        make_demonstrations(folder, settings, 2)


def test_a_scenario_that_was_changed_meanwhile_is_refused(settings, grid_file, tmp_path):
    file, folder = tmp_path / "own.json", tmp_path / "demos"
    asked = settings.model_copy(update={"network": None, "demand": None, "num_agents": None, "scenario": str(file)})
    make_scenario(network=grid_file, demand="none", num_agents=2).save(file)
    make_demonstrations(folder, asked, 1)
    make_scenario(network=grid_file, demand="none", num_agents=2, trips_seed=9).save(file)
    with pytest.raises(StoredDemonstrationError, match=r"trips or traffic of .*own\.json are not those with which"):
        make_demonstrations(folder, asked, 2)


def test_a_make_that_was_killed_while_it_wrote_its_settings_goes_on(settings, tmp_path):
    (tmp_path / ".writing.1234.demos.json").write_text('{"scena')
    assert len(make_demonstrations(tmp_path, settings, 1)) == 1


def test_a_folder_in_which_another_process_works_is_refused(settings, tmp_path):
    with alone_in(tmp_path / "demos", "reled demos"), pytest.raises(RunError, match="another `reled demos` works in"):
        make_demonstrations(tmp_path / "demos", settings, 1)
    assert len(make_demonstrations(tmp_path / "demos", settings, 1)) == 1


def test_cycles_in_which_a_model_cannot_be_asked_are_made_when_it_can(settings, tmp_path):
    folder = tmp_path / "demos"
    with ChatServer(planned) as server:
        llm = {"api_base": server.address, "max_retries": 0}
        asked = settings.model_copy(update={"model": "openai/planner", "llm": llm})
        make_demonstrations(folder, asked, 1)
        server.behaviour = BEHAVIOURS["refuses the key"]
        with pytest.raises(RejectedKeyError):
            make_demonstrations(folder, asked, 3)
        assert [cycle.is_complete for cycle in stored_cycles(folder)] == [True, False]
        server.behaviour = planned
        made = make_demonstrations(folder, asked, 3)
    assert [cycle.manifest["figures"]["execution_rate"] for cycle in made] == [1.0, 1.0, 1.0]


def test_a_spent_budget_can_be_raised_and_nothing_else_be_changed(settings, tmp_path):
    folder = tmp_path / "demos"

    def asked(**llm) -> DemosSettings:
        return settings.model_copy(update={"model": "offline/planner", "llm": llm})

    with pytest.raises(BudgetExceededError, match="max_requests=1 is used up"):
        make_demonstrations(folder, asked(max_requests=1), 2)
    with pytest.raises(StoredDemonstrationError, match="was begun with llm="):
        make_demonstrations(folder, asked(max_requests=2, temperature=0.1), 2)
    assert len(make_demonstrations(folder, asked(max_requests=2), 2)) == 2
