"""Whom a demonstration can still teach."""

from types import SimpleNamespace

import pytest

from rllib_releds.algorithm.teaching import Rehearsal, Teaching

AGENTS = ("vehicle_0", "vehicle_1")


def episodes(*rewards):
    """Agent episodes; each entry is what the agents earned in one."""
    return [
        SimpleNamespace(episode=SimpleNamespace(trajectories=[SimpleNamespace(total_reward=reward) for reward in row]))
        for row in rewards
    ]


def cycle(rewards, kept=None, trips=1):
    """A cycle whose demonstrations worked and earned this; with `kept` the gate knows this mean of all their trips."""
    rows = [(0, SimpleNamespace(agent=agent, total_reward=reward)) for agent, reward in rewards.items()]
    known = {agent: SimpleNamespace(reward=reward, trips=trips) for agent, reward in (kept or {}).items()}
    return SimpleNamespace(in_use=[SimpleNamespace(training_rows=lambda: rows)], feedback=SimpleNamespace(kept=known))


def test_nobody_is_taught_without_a_demonstration_that_works():
    teaching = Teaching()
    teaching.remember(AGENTS, episodes((1.0, 2.0)))
    assert teaching.better_demonstrated(None) == set()
    assert teaching.take_beginners(cycle({})) == []


@pytest.mark.parametrize(("earned", "demonstrated"), [(100.0, 100.0 / 0.95), (-100.0, -100.0 / 1.05)])
def test_a_demonstration_must_be_better_by_a_twentieth_of_what_it_earned(earned, demonstrated):
    teaching = Teaching()
    teaching.remember(AGENTS, episodes((earned - 5.0, earned), (earned + 5.0, earned)))
    better = cycle(dict.fromkeys(AGENTS, demonstrated + 0.1))
    assert teaching.better_demonstrated(better) == set(AGENTS)
    lucky = cycle(dict.fromkeys(AGENTS, demonstrated - 0.1))
    assert teaching.better_demonstrated(lucky) == set()


def test_of_a_demonstration_that_the_gate_knows_all_trips_count():
    teaching = Teaching()
    teaching.remember(AGENTS, episodes((100.0, 100.0)))
    assert teaching.better_demonstrated(cycle({"vehicle_0": 150.0}, {"vehicle_0": 105.0})) == set()
    assert teaching.better_demonstrated(cycle({"vehicle_0": 50.0}, {"vehicle_0": 150.0})) == {"vehicle_0"}


def test_the_more_trips_a_demonstration_rests_on_the_smaller_a_lead_teaches():
    teaching = Teaching()
    teaching.remember(AGENTS, episodes((100.0, 100.0)))
    lead = {"vehicle_0": 103.0}
    assert teaching.better_demonstrated(cycle(lead, lead, trips=2)) == set()
    assert teaching.better_demonstrated(cycle(lead, lead, trips=4)) == {"vehicle_0"}


def test_agents_begin_once_and_are_then_judged_by_what_they_earn_afterwards():
    teaching = Teaching()
    teaching.remember(AGENTS, episodes((-1000.0, 500.0)))
    demonstrated = cycle({"vehicle_0": 400.0, "vehicle_1": 400.0})
    assert teaching.take_beginners(demonstrated) == ["vehicle_0"]
    teaching.remember(AGENTS, episodes((410.0, 300.0)))
    assert "vehicle_0" not in teaching.better_demonstrated(demonstrated)
    assert teaching.take_beginners(demonstrated) == []


def test_the_weight_of_a_rehearsal_falls_to_nothing():
    rehearsal = Rehearsal(first_epoch=5, last_epoch=8, rollouts=())
    weights = [rehearsal.weight(epoch) for epoch in range(5, 10)]
    assert weights == pytest.approx([0.5, 0.375, 0.25, 0.125, 0.0])


def test_only_agents_whose_demonstration_worked_in_some_episode_rehearse(make_rollout):
    rollouts = (make_rollout(expert=(0, 1, 2), failed=(1, 2)), make_rollout(expert=(0, 1, 2), failed=(1,)))
    assert Rehearsal(first_epoch=0, last_epoch=1, rollouts=rollouts).agents == {"vehicle_0", "vehicle_2"}


def test_state_continues_as_if_nothing_had_happened():
    teaching, restored = Teaching(), Teaching()
    teaching.remember(AGENTS, episodes((100.0, 80.0), (100.0, 120.0)))
    teaching.take_beginners(cycle({"vehicle_0": 500.0}))
    restored.set_state(teaching.get_state())
    for one in (teaching, restored):
        one.remember(AGENTS, episodes((90.0, 130.0)))
    assert restored.get_state() == teaching.get_state()
    better = cycle({"vehicle_1": 125.0})
    assert restored.better_demonstrated(better) == teaching.better_demonstrated(better)


def test_of_what_an_agent_earned_the_last_five_epochs_count_most():
    teaching = Teaching()
    teaching.remember(AGENTS, episodes((1000.0, 0.0)))
    teaching.remember(AGENTS, episodes((500.0, 0.0)))
    # Four fifths of 1000 and one fifth of 500.
    assert teaching.better_demonstrated(cycle({"vehicle_0": 900.0 / 0.95 - 0.1})) == set()
    assert teaching.better_demonstrated(cycle({"vehicle_0": 900.0 / 0.95 + 0.1})) == {"vehicle_0"}


def test_who_was_better_than_its_first_demonstration_never_begins():
    teaching = Teaching()
    teaching.remember(AGENTS, episodes((500.0, 500.0)))
    demonstrated = cycle({"vehicle_0": 400.0})
    assert teaching.take_beginners(demonstrated) == []
    for _ in range(20):
        teaching.remember(AGENTS, episodes((0.0, 0.0)))
    assert teaching.better_demonstrated(demonstrated) == {"vehicle_0"}
    assert teaching.take_beginners(demonstrated) == []
