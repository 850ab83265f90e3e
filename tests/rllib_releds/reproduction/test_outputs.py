import builtins
import json
import re
import shutil
import sys

import pytest
from synthetic import result, write, yardsticks
from typer.testing import CliRunner

from rllib_releds.cli import app
from rllib_releds.demonstrations.records.published import TABLE_III
from rllib_releds.demonstrations.records.table import TableRow, written_table
from rllib_releds.errors import RunError
from rllib_releds.reproduction.cli import _show
from rllib_releds.reproduction.folder import ReproductionFolder
from rllib_releds.reproduction.keeping import MAX_ENTRIES, keep, small, thinned
from rllib_releds.reproduction.outputs import write_outputs
from rllib_releds.reproduction.results import read_results
from rllib_releds.reproduction.sample_efficiency import sample_efficiency
from rllib_releds.reproduction.tables import table_four, yardstick_table
from rllib_releds.reproduction.trial import Trial


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """Two methods in one setting, a trial that has not finished, and demonstrations."""
    trials = [Trial(method=method, seed=seed) for method in ("RELED", "IPPO") for seed in range(2)]
    out = write(tmp_path_factory.mktemp("out"), *map(result, trials), yardsticks(trials[0].setting))
    phase = TABLE_III["GPT-3.5 Turbo"][True, True][0]
    rows = [TableRow("offline/planner", True, True, 0, 2, phase, "GPT-3.5 Turbo", 0, phase)]
    (out / "demonstrations").mkdir()
    (out / "demonstrations" / "table.json").write_text(written_table(rows, "json"))
    write_outputs(out, [*trials, Trial(method="MAPPO")])
    return out


def test_outputs_are_tables_figures_and_a_page(out):
    names = sorted(str(path.relative_to(out)) for folder in ("tables", "figures") for path in (out / folder).iterdir())
    tables = ["sample_efficiency", "table_3", "table_4", "table_4_sampled", "yardsticks"]
    figures = [f"figure_{number}_combined_100000-steps" for number in (4, 5, 7)]
    expected = [f"tables/{name}.{ending}" for name in tables for ending in ("md", "csv")]
    expected += [f"figures/{name}.{ending}" for name in figures for ending in ("png", "svg")]
    assert names == sorted(expected)


def test_the_page_shows_what_is_there_and_names_what_is_not(out):
    page = (out / "README.md").read_text()
    links = re.findall(r"\]\(([^)]+)\)", page)
    assert links
    assert [link for link in links if not (out / link).is_file()] == []
    assert "4 finished trials in 1 comparison" in page
    assert "evaluated in 20 episodes; seeds: RELED 2, IPPO 2" in page
    missing = page.partition("## Missing")[2]
    assert f"- trial {Trial(method='MAPPO').name}: it has not finished." in missing
    for figure in ("Figure 6", "Figure 8", "Figure 9", "all settings together"):
        assert f"- {figure}: " in missing


def test_results_in_json_say_on_what_they_rest(out):
    results = json.loads((out / "results.json").read_text())
    assert results["rests_on"] == [
        {
            "setting": "gridtown_moderate_10-agents",
            "encoder": "combined",
            "steps": 100000,
            "seeds": {"RELED": [0, 1], "IPPO": [0, 1]},
            "episodes": 20,
            "yardsticks": ["random", "free_flow", "live", "rerouting"],
        }
    ]
    assert results["versions"] == {"rllib-releds": ["0.1.0"]}
    assert [row["method"] for row in results["tables"]["sample_efficiency"]] == ["RELED", "IPPO"]
    assert all((out / name).is_file() for name in results["files"])


def test_the_same_results_give_the_same_files(out):
    before = {path: path.read_bytes() for folder in ("tables", "figures") for path in (out / folder).iterdir()}
    written = write_outputs(out, [Trial(method="MAPPO")])
    assert [path.name for path in written if path in before and path.read_bytes() != before[path]] == []
    assert before.keys() <= set(written)


def test_kept_results_give_the_same_tables_again(out, tmp_path):
    kept = keep(out, tmp_path / "results")
    assert all(path.is_file() for path in kept)
    names = {str(path.relative_to(tmp_path / "results")) for path in kept}
    assert {"README.md", "results.json", "tables/table_4.md", "demonstrations/table.json"} <= names
    before, after = read_results(out), read_results(tmp_path / "results")
    assert [run.trial for run in after.trials] == [run.trial for run in before.trials]
    assert after.comparisons[0].yardsticks.keys() == before.comparisons[0].yardsticks.keys()
    for make in (table_four, yardstick_table, sample_efficiency):
        whole, small_copy = make(before), make(after)
        for one, other in zip(whole.rows, small_copy.rows, strict=True):
            assert other == {k: pytest.approx(v, rel=1e-4) if isinstance(v, float) else v for k, v in one.items()}


def test_somebody_elses_page_is_not_overwritten(out, tmp_path):
    (tmp_path / "README.md").write_text("# my project")
    with pytest.raises(RunError, match=r"has a README.md that is of no reproduction"):
        keep(out, tmp_path)
    answer = CliRunner().invoke(app, ["reproduce", "--figures-only", "--out", str(tmp_path)])
    assert answer.exit_code == 1
    assert [file.name for file in tmp_path.iterdir()] == ["README.md"]


def test_kept_yardsticks_say_which_scenario_they_are_of(tmp_path):
    trial = Trial(method="IPPO", num_epochs=20)
    driven = yardsticks(trial.setting).model_copy(update={"scenario_sha256": "0123"})
    out = write(tmp_path / "out", result(trial), driven)
    (out / "results.json").write_text('{"files": []}')
    (out / "README.md").write_text("")
    keep(out, tmp_path / "kept")
    kept = ReproductionFolder(tmp_path / "kept").yardsticks(trial.setting)
    assert kept is not None
    assert kept.scenario_sha256 == "0123"
    assert kept.drivers.keys() == driven.drivers.keys()


def test_nothing_can_be_kept_before_outputs_are_written(tmp_path):
    with pytest.raises(match="no finished outputs"):
        keep(write(tmp_path, result(Trial(method="RELED"))), tmp_path / "results")


def test_small_copies_do_not_replace_what_they_are_copies_of(out, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for folder in (out, link):
        with pytest.raises(RunError, match="would lose its full curves"):
            keep(out, folder)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_thinned_curves_end_where_the_whole_ones_end():
    whole = result(Trial(method="RELED", num_epochs=250)).curve
    thin = thinned(whole)
    assert len(thin.rewards) == 84
    assert thin.interaction_steps[:2] == (3000.0, 6000.0)
    assert thin.interaction_steps[-1] == whole.interaction_steps[-1] == 250000.0
    assert thin.rewards[0] == pytest.approx(sum(whole.rewards[:3]) / 3)
    assert thin.rewards[-1] == whole.rewards[-1]


def test_short_curves_are_not_thinned():
    whole = result(Trial(method="IPPO", num_epochs=MAX_ENTRIES)).curve
    assert thinned(whole) is whole
    assert set(thinned(result(Trial(method="IPPO", num_epochs=MAX_ENTRIES + 1)).curve).dtw_m) == {None}


def test_kept_results_name_no_folders_of_this_machine():
    trial = Trial(method="IPPO", scenario="/maps/town.osm", demand="/maps/day.rou.xml")
    kept = small(result(trial)).trial
    assert (kept.scenario, kept.demand) == ("town.osm", "day.rou.xml")
    assert kept.name == trial.name


def test_a_hundred_kept_trials_stay_below_two_megabytes():
    edges = [f"-1234567{number}#1" for number in range(270)]
    kept = small(result(Trial(method="RELED", num_epochs=500), edges=edges))
    assert len(kept.model_dump_json()) < 20_000


def test_without_matplotlib_the_error_says_what_to_install(out, monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name == "rllib_releds.reproduction.figures":
            raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(match=r"figures need Matplotlib: pip install"):
        write_outputs(out)


def test_kept_long_curves_give_the_same_sample_efficiency_but_for_the_length_of_an_entry(tmp_path):
    trial = Trial(method="RELED", num_epochs=500)
    models = [result(trial, level_s=400.0, speed=0.3), yardsticks(trial.setting)]
    whole = sample_efficiency(read_results(write(tmp_path / "out", *models))).rows[0]["needed"]
    thin = sample_efficiency(read_results(write(tmp_path / "kept", small(models[0]), models[1]))).rows[0]["needed"]
    assert whole <= thin < whole + 5000.0


def test_kept_results_say_who_demonstrated_without_folders_of_this_machine():
    made = result(Trial(method="IPPO"))
    assert small(made.model_copy(update={"demonstrator": "stored:/home/me/demos"})).demonstrator == "stored:demos"
    assert small(made.model_copy(update={"demonstrator": "openai/gpt-4o"})).demonstrator == "openai/gpt-4o"
    assert small(made).demonstrator is None


@pytest.fixture
def table_three_alone(out, tmp_path):
    shutil.copytree(out / "demonstrations", tmp_path / "alone" / "demonstrations")
    return tmp_path / "alone"


def test_table_three_alone_gives_a_page(table_three_alone, tmp_path):
    arguments = ["--out", str(table_three_alone), "--experiments", "demonstrations"]
    told = CliRunner().invoke(app, ["reproduce", *arguments, "--figures-only", "--keep", str(tmp_path / "kept")])
    assert told.exit_code == 0, told.stderr
    page = (table_three_alone / "README.md").read_text()
    assert "## Table III: demonstrations" in page
    assert "- Table IV: no trial has finished." in page
    assert (tmp_path / "kept" / "tables" / "table_3.md").is_file()


def test_who_asks_for_table_three_is_told_where_it_lies(table_three_alone, capfd):
    (table_three_alone / "demonstrations" / "table.md").write_text("| model |")
    _show(ReproductionFolder(table_three_alone), [], [], [table_three_alone / "README.md"], False, sys.stdout)
    assert capfd.readouterr().out == (
        f"Tables and figures: {table_three_alone / 'README.md'}\n"
        f"Table III: {table_three_alone / 'demonstrations' / 'table.md'}\n"
    )


def test_table_three_needs_a_model(tmp_path):
    arguments = ["--out", str(tmp_path / "new"), "--experiments", "demonstrations", "--llm", "live"]
    told = CliRunner().invoke(app, ["reproduce", *arguments])
    assert told.exit_code == 1
    assert "error: Table III is of a language model or offline/planner, not of live" in told.stderr
    assert not (tmp_path / "new").exists()


def test_a_seed_that_no_generator_takes_is_refused(tmp_path):
    told = CliRunner().invoke(app, ["reproduce", "--out", str(tmp_path / "new"), "--seeds", f"0,{2**32}"])
    assert told.exit_code == 1
    assert "error: --seeds takes whole numbers up to 4294967295" in told.stderr


def test_another_demonstrator_is_refused_before_anything_is_trained(out):
    arguments = ["--out", str(out), "--methods", "RELED", "--scenarios", "gridtown", "--demands", "moderate"]
    told = CliRunner().invoke(app, ["reproduce", *arguments, "--experiments", "comparison", "--llm", "live"])
    assert told.exit_code == 1
    assert "offline/planner demonstrated, and live is asked for; give --llm offline/planner" in told.stderr
