"""Whom a demonstration can still teach."""

from types import SimpleNamespace

import pytest

from rllib_releds.algorithm.teaching import Teaching

AGENTS = ("vehicle_0", "vehicle_1")


def episodes(*rewards):
    """Agent episodes; each entry is what the agents earned in one."""
    return [
        SimpleNamespace(episode=SimpleNamespace(trajectories=[SimpleNamespace(total_reward=reward) for reward in row]))
        for row in rewards
    ]


def cycle(rewards, trips=None):
    """A cycle whose demonstrations worked and earned this; with `trips` the gate has counted so many of each."""
    rows = [(0, SimpleNamespace(agent=agent, total_reward=reward)) for agent, reward in rewards.items()]
    kept = {agent: SimpleNamespace(reward=rewards[agent], trips=count) for agent, count in (trips or {}).items()}
    return SimpleNamespace(in_use=[SimpleNamespace(training_rows=lambda: rows)], feedback=SimpleNamespace(kept=kept))


def test_nobody_is_taught_without_a_demonstration_that_works():
    teaching = Teaching()
    teaching.remember(AGENTS, episodes((1.0, 2.0)))
    assert teaching.better_demonstrated(None, 0.0) == set()
    assert teaching.take_beginners(cycle({}), 0.0) == []


@pytest.mark.parametrize(("progress", "lead"), [(0.0, 0.0), (0.5, 20.0), (1.0, 40.0)])
def test_the_lead_asked_for_grows_to_two_standard_errors(progress, lead):
    teaching = Teaching()
    # Both earn 100 on average; the second one's episodes differ by 20 from that.
    teaching.remember(AGENTS, episodes((100.0, 80.0), (100.0, 120.0)))
    above = cycle({"vehicle_0": 101.0, "vehicle_1": 101.0 + lead})
    assert teaching.better_demonstrated(above, progress) == {"vehicle_0", "vehicle_1"}
    below = cycle({"vehicle_0": 99.0, "vehicle_1": 99.0 + lead})
    assert teaching.better_demonstrated(below, progress) == set()


def test_a_demonstration_that_was_driven_often_needs_a_smaller_lead():
    teaching = Teaching()
    teaching.remember(AGENTS, episodes((100.0, 80.0), (100.0, 120.0)))
    assert teaching.better_demonstrated(cycle({"vehicle_1": 111.0}, {"vehicle_1": 1}), 0.5) == set()
    assert teaching.better_demonstrated(cycle({"vehicle_1": 111.0}, {"vehicle_1": 4}), 0.5) == {"vehicle_1"}


def test_agents_begin_once_and_are_then_judged_by_what_they_earn_afterwards():
    teaching = Teaching()
    teaching.remember(AGENTS, episodes((-1000.0, 500.0)))
    demonstrated = cycle({"vehicle_0": 400.0, "vehicle_1": 400.0})
    assert teaching.take_beginners(demonstrated, 0.5) == ["vehicle_0"]
    teaching.remember(AGENTS, episodes((410.0, 300.0)))
    assert "vehicle_0" not in teaching.better_demonstrated(demonstrated, 0.5)
    assert teaching.take_beginners(demonstrated, 0.5) == []


def test_state_continues_as_if_nothing_had_happened():
    teaching, restored = Teaching(), Teaching()
    teaching.remember(AGENTS, episodes((100.0, 80.0), (100.0, 120.0)))
    teaching.take_beginners(cycle({"vehicle_0": 500.0}), 0.0)
    restored.set_state(teaching.get_state())
    for one in (teaching, restored):
        one.remember(AGENTS, episodes((90.0, 130.0)))
    assert restored.get_state() == teaching.get_state()
    better = cycle({"vehicle_1": 125.0})
    assert restored.better_demonstrated(better, 0.5) == teaching.better_demonstrated(better, 0.5)
