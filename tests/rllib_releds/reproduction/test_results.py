import pytest
from synthetic import result, write, yardsticks

from rllib_releds.reproduction.results import read_results
from rllib_releds.reproduction.trial import Trial


def test_methods_and_seeds_stand_in_their_order(tmp_path):
    trials = [Trial(method=method, seed=seed) for method, seed in (("QMIX", 0), ("RELED", 2), ("RELED", 0))]
    (comparison,) = read_results(write(tmp_path, *map(result, trials))).comparisons
    assert list(comparison.runs) == ["RELED", "QMIX"]
    assert [run.trial.seed for run in comparison.runs["RELED"]] == [0, 2]


def test_the_papers_settings_come_first(tmp_path):
    trials = [
        Trial(method="RELED", scenario="rush", demand=None, num_agents=50),
        Trial(method="RELED", num_agents=5),
        Trial(method="RELED", demand="congested"),
        Trial(method="RELED"),
    ]
    titles = [one.title for one in read_results(write(tmp_path, *map(result, trials))).comparisons]
    assert titles == [
        "gridtown, moderate, 10 agents",
        "gridtown, congested, 10 agents",
        "gridtown, moderate, 5 agents",
        "rush, 50 agents",
    ]


def test_a_map_is_named_without_its_folder(tmp_path):
    trial = Trial(method="RELED", scenario="/maps/tsim_sha_tsui.osm")
    assert read_results(write(tmp_path, result(trial))).comparisons[0].title == "tsim_sha_tsui, moderate, 10 agents"


def test_what_is_not_there_is_named(tmp_path):
    finished = [Trial(method="RELED", seed=0), Trial(method="RELED", seed=1), Trial(method="IPPO", seed=1)]
    started, wanted = Trial(method="QMIX"), Trial(method="MAPPO")
    write(tmp_path, *map(result, finished))
    (tmp_path / "trials" / started.name).mkdir()
    missing = read_results(tmp_path, [*finished, wanted]).missing
    assert [one.what for one in missing] == [
        f"trial {wanted.name}",
        f"trial {started.name}",
        "IPPO in gridtown, moderate, 10 agents, combined, 100,000 steps",
        "yardsticks of gridtown_moderate_10-agents",
    ]
    assert missing[2].why == "seed 0 is not there; other methods have it"


def test_complete_results_miss_nothing(tmp_path):
    trial = Trial(method="RELED")
    assert read_results(write(tmp_path, result(trial), yardsticks(trial.setting)), [trial]).missing == ()


def test_no_finished_trial_is_an_error_that_says_what_to_run(tmp_path):
    with pytest.raises(match="holds no finished trial; run `reled reproduce"):
        read_results(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", '{"trial": {"method": 3}}', "\udcff".encode(errors="surrogateescape")])
def test_a_result_that_cannot_be_read_is_named(tmp_path, text):
    path = write(tmp_path, result(Trial(method="RELED"))) / "trials" / "broken" / "result.json"
    path.parent.mkdir()
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(match=r"broken/result.json cannot be read .*; delete it"):
        read_results(tmp_path)


def test_columns_of_unequal_length_are_no_result(tmp_path):
    made = result(Trial(method="RELED"))
    cut = made.greedy.model_copy(update={"rewards": made.greedy.rewards[:-1]})
    write(tmp_path, made.model_copy(update={"greedy": cut}))
    with pytest.raises(match="greedy has columns of unequal length"):
        read_results(tmp_path)


@pytest.mark.parametrize("text", ["[]", '{"rows": 3}', "{"])
def test_demonstrations_that_cannot_be_read_are_named(tmp_path, text):
    write(tmp_path, result(Trial(method="RELED")))
    (tmp_path / "demonstrations").mkdir()
    (tmp_path / "demonstrations" / "table.json").write_text(text)
    with pytest.raises(match=r"demonstrations/table.json cannot be read"):
        read_results(tmp_path)
