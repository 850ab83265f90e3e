"""A saved run against the yardsticks. Its policies are untrained: what counts is what is driven, and with whom."""

import json
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_LEARNER_GROUP, COMPONENT_RL_MODULE
from rich.console import Console

from rllib_releds import keys
from rllib_releds.algorithm.encoder import road_tables
from rllib_releds.algorithm.module import RoutingModule
from rllib_releds.errors import RunError
from rllib_releds.experiments.comparison import Question, compare, in_tables, save
from rllib_releds.experiments.evaluation import load_newest
from rllib_releds.experiments.records import RunFolder
from rllib_releds.experiments.settings import TrainSettings
from sumo_marl_env import make_scenario

SHORT = {"episodes": 2, "yardsticks": ("free_flow", "live")}


@pytest.fixture(scope="module")
def run(tmp_path_factory, grid_file, grid) -> RunFolder:
    """Three agents on the grid, without traffic."""
    settings = TrainSettings(network=grid_file, demand="none", num_agents=3, method="IPPO")
    run = RunFolder.create(tmp_path_factory.mktemp("runs") / "run", settings)
    module = RoutingModule(
        observation_space=gymnasium.spaces.Dict({}),
        action_space=gymnasium.spaces.Discrete(grid.max_outgoing),
        model_config={
            "num_agents": 3,
            "encoder": "combined",
            "tables": road_tables(grid),
            "hidden_size": 8,
            "seed": 0,
            "central_critic": False,
        },
    )
    below = (COMPONENT_LEARNER_GROUP, COMPONENT_LEARNER, COMPONENT_RL_MODULE, keys.MODULE_ID)
    run.save_checkpoint(4, lambda folder: module.save_to_path(folder.joinpath(*below)))
    return run


def test_policies_and_yardsticks_drive_the_same_seeds(run):
    comparison = compare(run, Question(**SHORT, first_seed=7))
    assert (comparison.label, comparison.epoch, comparison.has_other_pairs) == ("IPPO", 4, False)
    for played in (comparison.policy, *comparison.yardsticks.values()):
        assert [episode.seed for episode in played] == [7, 8]
    best = min(np.mean([one.mean_travel_time_s for one in played]) for played in comparison.yardsticks.values())
    own = np.mean([episode.mean_travel_time_s for episode in comparison.policy])
    assert comparison.team_regret.mean_s == pytest.approx(own - best)
    assert own > 2 * best


def test_every_agent_is_compared_with_what_is_best_for_it(run):
    comparison = compare(run, Question(**SHORT))
    for agent, trip in zip(comparison.agents, comparison.scenario.trips, strict=True):
        assert (agent.agent, agent.origin, agent.destination) == (trip.agent, trip.origin, trip.destination)
        times = [episode[trip.agent].travel_time_s for episode in comparison.policy]
        assert agent.mean_travel_time_s == pytest.approx(np.mean(times))
        assert agent.sd_travel_time_s == pytest.approx(np.std(times, ddof=1))
        rivals = [
            np.mean([episode[trip.agent].travel_time_s for episode in played])
            for played in comparison.yardsticks.values()
        ]
        assert agent.regret.yardstick_s == pytest.approx(min(rivals))
        assert agent.distance_m >= 150.0


def test_other_pairs_and_traffic_are_driven_and_said(run):
    comparison = compare(run, Question(**SHORT, demand="moderate", trips_seed=3))
    assert comparison.has_other_pairs
    assert comparison.scenario.demand.name == "moderate"
    assert comparison.scenario.trips == make_scenario(**run.settings.env_config() | {"trips_seed": 3}).trips
    console = Console(width=200, record=True)
    in_tables(comparison, console)
    shown = console.export_text()
    assert "not those of training" in shown
    assert "vehicle_2" in shown
    assert "yardstick" in shown


def test_every_agents_regret_is_shown_with_its_interval_within_100_columns(run):
    comparison = compare(run, Question(**SHORT))
    console = Console(width=100, record=True)
    in_tables(comparison, console)
    shown = console.export_text()
    for agent in comparison.agents:
        regret = agent.regret
        assert f"{regret.mean_s:+.1f} [{regret.low_s:+.1f}, {regret.high_s:+.1f}]" in shown
    assert "…" not in shown


def test_the_order_of_agents_in_a_file_changes_nothing(run, tmp_path):
    trained = make_scenario(**run.settings.env_config())
    backwards = replace(trained, name="x" * 300, trips=trained.trips[::-1])
    backwards.save(tmp_path / "backwards.json")
    alone = {"episodes": 1, "yardsticks": (), "is_greedy": True}
    first = compare(run, Question(**alone))
    second = compare(run, Question(**alone, scenario=str(tmp_path / "backwards.json")))
    assert not second.has_other_pairs
    paths = [{one.agent: one.path() for one in made.policy[0]} for made in (first, second)]
    assert paths[0] == paths[1]
    assert save(run, second).is_file(), "a name may be longer than a file's can be"


def test_one_episode_without_yardsticks_has_neither_spread_nor_regret(run):
    comparison = compare(run, Question(episodes=1, yardsticks=()))
    console = Console(width=80, record=True)
    in_tables(comparison, console)
    shown = console.export_text()
    assert "vehicle_2" in shown
    assert [word for word in ("±", "yardstick", "behind", "regret", "…") if word in shown] == []


def test_greedy_episodes_are_the_same_each_time_and_sampled_ones_follow_from_the_seed(run):
    alone = {"episodes": 1, "yardsticks": ()}
    for is_greedy in (True, False):
        first, second = (compare(run, Question(**alone, is_greedy=is_greedy)).policy[0] for _ in range(2))
        np.testing.assert_array_equal(first.rewards, second.rewards)


def test_the_file_holds_every_episode(run):
    comparison = compare(run, Question(**SHORT, is_greedy=True))
    file = save(run, comparison)
    assert file.parent == run.path
    assert file.name.startswith("evaluation-")
    content = json.loads(file.read_text())
    assert content["seeds"] == [1_000_000, 1_000_001]
    assert set(content["per_episode"]) == set(content["drivers"]) == {"IPPO", "free_flow", "live"}
    assert len(content["agents"]) == 3
    assert content["regret"]["yardstick"] in SHORT["yardsticks"]
    assert content["note"] is None
    assert content["episodes"] == 2


def test_answers_about_other_trips_or_traffic_are_kept_beside_one_another(run):
    asked = ({}, {"trips_seed": 7}, {"demand": "moderate"}, {"yardsticks": ("free_flow",)})
    questions = [Question(**({"episodes": 1, "yardsticks": ()} | changes)) for changes in asked]
    answers = [compare(run, question) for question in questions]
    answers += [replace(answers[0], epoch=99), compare(run, questions[0])]
    assert len({save(run, answer) for answer in answers}) == 5


def test_a_checkpoint_that_training_removes_meanwhile_is_not_missed(run, monkeypatch):
    newest, asked = run.latest_checkpoint(), []

    def latest():
        asked.append(1)
        return (0, run.checkpoint(99)) if len(asked) == 1 else newest

    monkeypatch.setattr(run, "latest_checkpoint", latest)
    assert load_newest(run)[0] == newest[0]
    assert len(asked) == 2


def test_a_scenario_of_another_size_is_refused(run, grid_file, tmp_path):
    file = tmp_path / "two.json"
    make_scenario(network=grid_file, demand="none", num_agents=2).save(file)
    with pytest.raises(RunError, match=r"one policy for each of its 3 agents, and .* has 2 agents; give a scenario"):
        compare(run, Question(scenario=str(file)))


def test_another_network_is_refused(run):
    with pytest.raises(RunError, match=r"is on another network; give a scenario on that one"):
        compare(run, Question(scenario="gridtown"))
