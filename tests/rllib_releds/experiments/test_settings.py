import pytest
from pydantic import ValidationError

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


@pytest.mark.parametrize("setting", [{"seed": 2**32}, {"seed": -1}, {"minutes": 0.0}, {"minutes": float("nan")}])
def test_what_no_run_can_use_is_refused(setting):
    TrainSettings(seed=2**32 - 1, minutes=0.1)
    with pytest.raises(ValidationError, match=next(iter(setting))):
        TrainSettings(**setting)
