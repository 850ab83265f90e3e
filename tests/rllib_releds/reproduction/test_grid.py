"""Which trials belong to what a user asks for."""

import subprocess
import sys
from itertools import product

import pytest

from rllib_releds.errors import RunError
from rllib_releds.experiments.methods import METHODS
from rllib_releds.reproduction.grid import EXPERIMENTS, SMOKE_STEPS, Selection, trial_settings
from rllib_releds.reproduction.trial import Trial
from sumo_marl_env import make_scenario


def test_comparison_is_the_papers_four_settings_with_every_main_method_and_seed():
    trials = Selection(experiments=("comparison",)).trials()
    assert len(trials) == 4 * 4 * 3
    assert {(trial.scenario, trial.demand) for trial in trials} == {
        (town, demand) for town in ("gridtown", "harbourtown") for demand in ("moderate", "congested")
    }
    assert {trial.method for trial in trials} == {"RELED", "IPPO", "MAPPO", "QMIX"}
    assert {trial.num_epochs * trial.interaction_steps_per_epoch for trial in trials} == {100_000}


def test_paper_budget_is_500_epochs_of_1000_interaction_steps():
    (trial,) = Selection(budget="paper", experiments=("ablation",), methods=("RELED",), seeds=(1,)).trials()
    assert (trial.num_epochs, trial.interaction_steps_per_epoch, trial.seed) == (500, 1000, 1)


def test_smoke_budget_runs_every_method_once_and_two_with_one_more_agent():
    trials = Selection(budget="smoke").trials()
    assert sorted(trial.method for trial in trials if trial.num_agents == 4) == sorted(METHODS)
    assert {trial.method for trial in trials if trial.num_agents == 5} == {"RELED", "IPPO"}
    assert len({trial.setting for trial in trials}) == 2
    assert 4 not in {trial.num_agents for trial in Selection(budget="short").trials()}


def test_trials_that_two_experiments_share_run_once():
    both = Selection(experiments=("comparison", "ablation"), scenarios=("gridtown",), demands=("moderate",)).trials()
    assert (
        len(both)
        == len(set(both))
        == 3 * len({"RELED", "IPPO", "MAPPO", "QMIX"} | set(EXPERIMENTS["ablation"].methods))
    )


def test_options_replace_what_the_experiments_say():
    trials = Selection(
        experiments=("ablation",),
        methods=("RELED-as-printed", "LEED"),
        scenarios=("harbourtown",),
        encoders=("raw", "one_hot"),
        agents=(15,),
        seeds=(7,),
    ).trials()
    assert {(t.method, t.encoder) for t in trials} == {
        (method, encoder) for method in ("RELED-as-printed", "LEED") for encoder in ("raw", "one_hot")
    }
    assert {(t.setting, t.seed) for t in trials} == {("harbourtown_moderate_15-agents", 7)}


def test_each_town_and_map_gets_each_demand_that_is_asked_for():
    asked = {"demands": ("none", "/traffic/own.rou.xml"), "methods": ("IPPO",), "seeds": (0,)}
    for chosen, places in (
        ({"experiments": ("comparison",)}, ("gridtown", "harbourtown")),
        ({"maps": ("/maps/orlando.osm",)}, ("/maps/orlando.osm",)),
    ):
        trials = Selection(**chosen, **asked).trials()
        assert [(trial.scenario, trial.demand) for trial in trials] == list(product(places, asked["demands"]))


def test_rush_belongs_to_its_own_experiment():
    everything = Selection().trials()
    assert {t.num_agents for t in everything if t.scenario == "rush"} == {50, 100}
    assert all(t.scenario != "rush" for t in Selection(scenarios=("gridtown", "harbourtown")).trials())
    assert all(t.scenario == "rush" and t.demand is None for t in Selection(scenarios=("rush",)).trials())


def test_maps_are_settings_of_their_own():
    trials = Selection(maps=("/maps/orlando.osm", "/maps/tst.net.xml"), methods=("IPPO",), seeds=(0,)).trials()
    assert [trial.setting for trial in trials] == ["orlando_moderate_10-agents", "tst_moderate_10-agents"]
    settings = trial_settings(trials[1], "live")
    assert (settings.scenario, str(settings.network)) == ("gridtown", "/maps/tst.net.xml")
    assert settings.env_config()["demand"] == "moderate"


def test_settings_of_the_model_are_for_methods_that_ask_it():
    options = {"max_cost": "5"}
    trial = Trial(method="RELED")
    assert trial_settings(trial, "openai/gpt-4o", options).chat_settings().max_cost == 5.0
    for method in ("RELED-logit", "IPPO"):
        assert trial_settings(trial.model_copy(update={"method": method}), "openai/gpt-4o", options).llm == {}
    with pytest.raises(ValueError, match="need a language model"):
        trial_settings(trial, "live", options).chat_settings()


def test_table_three_belongs_to_the_whole_and_to_its_name():
    assert Selection().has_table_three
    assert Selection(budget="smoke").has_table_three
    parts = {"scenarios": ("rush",), "demands": ("none",), "encoders": ("raw",), "seeds": (1,), "agents": (5,)}
    for field, asked in (parts | {"methods": ("IPPO",)}).items():
        assert not Selection(**{field: asked}).has_table_three
        assert Selection(experiments=("demonstrations",), **{field: asked}).has_table_three
    assert not Selection(experiments=("rush",)).has_table_three
    alone = Selection(experiments=("demonstrations",))
    assert alone.has_table_three
    assert alone.trials() == []


def test_scenario_files_say_their_own_traffic_unless_told_otherwise():
    (trial,) = Selection(
        experiments=("ablation",), scenarios=("/a/morning.json",), methods=("IPPO",), seeds=(0,)
    ).trials()
    assert trial.demand is None
    assert trial_settings(trial, None).scenario == "/a/morning.json"


def test_a_scenario_file_that_lists_its_trips_says_how_many_agents_there_are(tmp_path):
    make_scenario("gridtown", "none", 4).save(tmp_path / "listed.json")
    asked = {"scenarios": (str(tmp_path / "listed.json"),), "methods": ("IPPO",), "seeds": (0,)}
    for agents in ((), (4,)):
        (trial,) = Selection(experiments=("ablation",), agents=agents, **asked).trials()
        assert trial.num_agents == 4
        assert len(make_scenario(**trial_settings(trial, None).env_config()).trips) == 4
    with pytest.raises(RunError, match="lists the trips of 4 agents; leave out --agents"):
        Selection(agents=(5,), **asked).trials()


def test_a_scenario_file_that_draws_its_trips_takes_any_number_of_agents(tmp_path):
    (tmp_path / "drawn.json").write_text('{"trips": {"draw": "rush", "num_agents": 50}}')
    asked = {"scenarios": (str(tmp_path / "drawn.json"),), "methods": ("IPPO",), "seeds": (0,)}
    trials = Selection(experiments=("ablation",), agents=(5, 7), **asked).trials()
    assert [trial_settings(trial, None).num_agents for trial in trials] == [5, 7]


def test_a_trial_is_a_run_with_the_same_settings():
    trial = Trial(method="MAPPO", num_agents=5, encoder="one_hot", seed=3, num_epochs=7, interaction_steps_per_epoch=50)
    settings = trial_settings(trial, "live")
    assert (settings.method, settings.num_agents, settings.seed) == ("MAPPO", 5, 3)
    assert (settings.num_training_epochs, settings.interaction_steps_per_epoch) == (7, 50)
    assert settings.algorithm == {"encoder": "one_hot"}
    assert settings.num_env_runners == 0
    assert settings.demonstrations == "live"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"experiments": ("table",)}, "unknown experiment 'table'; choose smoke, smoke-agents, comparison"),
        ({"methods": ("PPO",)}, "unknown method 'PPO'; choose RELED"),
        ({"budget": "long"}, "unknown budget 'long'; choose smoke, short, paper"),
        ({"experiments": ("maps",)}, "needs --maps FILE"),
        ({"scenarios": ("nosuch",)}, "unknown scenario 'nosuch'; choose gridtown, harbourtown, rush"),
        ({"demands": ("foo",)}, "unknown demand 'foo'; choose moderate, congested, none"),
        ({"scenarios": ("gridtown",), "maps": ("a.osm",)}, "name both in --experiments"),
        ({"experiments": ("rush",), "maps": ("a.osm",)}, "--maps is for the experiment maps"),
        ({"experiments": ("rush",), "scenarios": ("gridtown",)}, "no trial fits"),
        ({"maps": ("/a/town.osm", "/b/town.osm")}, "have the same name in results"),
    ],
)
def test_what_cannot_be_run_is_refused_with_the_remedy(asked, message):
    with pytest.raises(RunError, match=message):
        Selection(**asked).trials()


def test_reading_the_grid_and_the_folder_needs_neither_ray_nor_torch():
    program = (
        "import sys, rllib_releds.reproduction.cli, rllib_releds.reproduction.folder; "
        "print([name for name in ('ray', 'torch', 'litellm') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(("num_epochs", "interval"), [(500, 10), (100, 2), (2, 1)])
def test_less_training_has_as_many_demonstration_cycles_as_the_papers(num_epochs, interval):
    trial = Trial(scenario="gridtown", demand=None, num_agents=5, method="LEED", encoder="raw", seed=3, num_epochs=2)
    settings = trial_settings(trial.model_copy(update={"num_epochs": num_epochs}), "live")
    assert settings.algorithm["demonstration_interval"] == interval
    baseline = trial_settings(trial.model_copy(update={"method": "MAPPO"}), "live")
    assert baseline.algorithm == {"encoder": "raw"}


@pytest.mark.parametrize(("method", "changed"), [("RELED", True), ("RELED-without-imitation", False), ("QMIX", False)])
def test_a_trial_that_only_shows_that_everything_runs_imitates_little(method, changed):
    trial = Trial(scenario="gridtown", demand=None, num_agents=5, method=method, encoder="raw", seed=3, num_epochs=2)
    smoke = trial.model_copy(update={"interaction_steps_per_epoch": SMOKE_STEPS // 2})
    assert "imitation_episodes" not in trial_settings(trial, "live").algorithm
    assert ("imitation_episodes" in trial_settings(smoke, "live").algorithm) == changed
