from rllib_releds.experiments.settings import TrainSettings
from sumo_marl_env import make_scenario


def test_what_is_not_set_is_what_a_scenario_file_says(tmp_path):
    file = tmp_path / "own.json"
    make_scenario(demand="none", num_agents=3, horizon_s=600.0).save(file)
    scenario = make_scenario(**TrainSettings(scenario=str(file)).env_config())
    assert (scenario.demand.name, len(scenario.trips), scenario.horizon_s) == ("none", 3, 600.0)
    assert len(make_scenario(**TrainSettings(scenario="rush", num_agents=60).env_config()).trips) == 60


def test_a_plain_town_has_ten_agents_in_moderate_traffic():
    scenario = make_scenario(**TrainSettings().env_config())
    assert (scenario.name, len(scenario.trips)) == ("gridtown-moderate", 10)
