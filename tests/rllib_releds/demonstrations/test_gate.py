import pickle
from dataclasses import replace

import numpy as np
import pytest

from rllib_releds.demonstrations.answers.programs import Program
from rllib_releds.demonstrations.demonstrators import GivenDemonstrations, live_demonstrations
from rllib_releds.demonstrations.feedback import AgentOutcome, CycleFeedback
from rllib_releds.demonstrations.gate import (
    MAX_VERSIONS,
    ROADS_TRIPS,
    DemonstrationGate,
    Version,
    content_key,
    expected_rewards,
)
from rllib_releds.demonstrations.logit import LogitDemonstrations
from rllib_releds.demonstrations.roads import RoadTime
from sumo_marl_env import Episode, Exit, Instruction, Plan, Trip

AGENT = "vehicle_0"


def program(body: str) -> Program:
    return Program(AGENT, f"def agent_0():\n    {body}\n", "agent_0")


def judged(gate: DemonstrationGate, cycle: int, body: str, reward: float, *, roads=(), **changes) -> CycleFeedback:
    """One cycle with one program that earned `reward`."""
    values = {
        "agent": AGENT,
        "arrived": True,
        "exit": "arrived",
        "travel_time_s": 1000.0 - reward,
        "reward": reward,
        "path": (0, 1, cycle),
        "instructions": (Instruction("move_to_by_shortest_time", 15),),
        "error": None,
        "policy_reward": 0.0,
        "policy_best_time_s": None,
        "policy_best_path": (),
    }
    outcome = AgentOutcome(**(values | changes))
    demonstrations = GivenDemonstrations({AGENT: program(body)})
    return gate.judge(demonstrations, CycleFeedback(cycle, cycle, (outcome,), (), tuple(roads)))


def kept_body(gate: DemonstrationGate) -> str:
    return gate.demonstrations().contents[AGENT].source.split("\n    ")[1].strip()


def test_a_worse_revision_does_not_replace_a_better_one():
    gate = DemonstrationGate()
    judged(gate, 0, "good()", 500.0)
    feedback = judged(gate, 1, "worse()", 300.0)
    assert kept_body(gate) == "good()"
    kept = feedback.kept[AGENT]
    assert (kept.cycle, kept.is_latest, kept.reward, kept.path) == (0, False, 500.0, (0, 1, 0))


def test_a_better_revision_replaces_a_worse_one():
    gate = DemonstrationGate()
    judged(gate, 0, "good()", 500.0)
    assert judged(gate, 1, "better()", 600.0).kept[AGENT].is_latest
    assert kept_body(gate) == "better()"


def test_without_the_gate_the_latest_one_always_stays():
    gate = DemonstrationGate(is_on=False)
    judged(gate, 0, "good()", 500.0)
    assert not judged(gate, 1, "worse()", 300.0).kept
    assert kept_body(gate) == "worse()"


def test_a_version_that_was_only_lucky_loses_its_lead_when_it_is_driven_again():
    gate = DemonstrationGate()
    judged(gate, 0, "steady()", 500.0)
    judged(gate, 1, "lucky()", 700.0)
    feedback = judged(gate, 2, "lucky()  # once more", 100.0)
    assert kept_body(gate) == "steady()"
    assert feedback.kept[AGENT].trips == 1


def test_a_version_that_was_lucky_on_slow_roads_is_not_kept():
    slow, quick = (0, 1, 2), (0, 5, 2)
    roads = [RoadTime(0, 1, 180.0, 1.0, 2, 50.0), RoadTime(1, 2, 160.0, 1.0, None, 50.0)]
    roads += [RoadTime(0, 5, 150.0, 1.0, 2, 50.0), RoadTime(5, 2, 150.0, 1.0, None, 50.0)]
    gate = DemonstrationGate()
    judged(gate, 0, "quick()", 500.0, path=quick, roads=roads)
    kept = judged(gate, 1, "slow()", 520.0, path=slow, roads=roads).kept[AGENT]
    # Told is what may be expected: both earned 510 at 320 s on average, and the quick one takes 300 s.
    assert (kept.path, kept.reward) == (quick, pytest.approx((500.0 + ROADS_TRIPS * 530.0) / (1.0 + ROADS_TRIPS)))
    # That it is better in spite of what its roads took is believed in the end.
    for cycle in range(2, 9):
        feedback = judged(gate, cycle, "slow()", 700.0, path=slow, roads=roads)
    assert feedback.kept[AGENT].path == slow


def test_a_version_that_never_arrived_is_not_taken_for_one_whose_way_takes_no_time():
    roads = [RoadTime(0, 1, 250.0, 1.0, 2, 50.0), RoadTime(1, 2, 250.0, 1.0, None, 50.0)]
    gate = DemonstrationGate()
    judged(gate, 0, "good()", 500.0, path=(0, 1, 2), roads=roads)
    feedback = judged(gate, 1, "jammed()", -300.0, arrived=False, exit="teleported", path=(0, 1), roads=roads)
    assert (kept_body(gate), feedback.kept[AGENT].reward) == ("good()", 500.0)


def test_what_is_expected_of_a_version_is_between_its_trips_and_its_roads():
    roads = [RoadTime(0, 1, 100.0, 1.0, None, 9.0), RoadTime(0, 2, 150.0, 1.0, None, 9.0)]
    one, other = (
        Version(0, program("go()"), True, 1, reward, 0.0, path) for reward, path in ((500.0, (0, 1)), (520.0, (0, 2)))
    )
    failed, unknown = replace(one, works=False, reward=-900.0), replace(one, path=(0, 3), reward=444.0)
    expected = expected_rewards({"one": one, "other": other, "failed": failed, "unknown": unknown}, roads)
    # Both earned 510 at 125 s on average.
    assert expected["one"] == pytest.approx((500.0 + ROADS_TRIPS * 535.0) / (1.0 + ROADS_TRIPS))
    assert expected["other"] == pytest.approx((520.0 + ROADS_TRIPS * 485.0) / (1.0 + ROADS_TRIPS))
    assert (expected["failed"], expected["unknown"]) == (-900.0, 444.0)


def test_old_trips_fade():
    gate = DemonstrationGate()
    for cycle in range(60):
        judged(gate, cycle, "same()", 500.0 if cycle < 20 else 300.0)
    assert gate.kept[AGENT].trips == 60
    assert gate.kept[AGENT].reward == pytest.approx(300.0, abs=5.0)


def test_a_version_that_fails_is_never_kept_instead_of_one_that_works():
    gate = DemonstrationGate()
    judged(gate, 0, "works()", 100.0)
    judged(gate, 1, "fails()", 900.0, error="NameError")
    assert kept_body(gate) == "works()"


def test_a_trip_that_does_not_arrive_counts_with_what_it_earned():
    gate = DemonstrationGate()
    judged(gate, 0, "good()", 500.0)
    judged(gate, 1, "jammed()", 600.0)
    feedback = judged(gate, 2, "jammed()", -1400.0, arrived=False, exit="horizon", path=(0, 1))
    assert kept_body(gate) == "good()"
    judged(gate, 3, "good()", -2400.0, arrived=False, exit="horizon")
    feedback = judged(gate, 4, "other()", -2000.0)
    assert (kept_body(gate), feedback.kept[AGENT].path) == ("jammed()", (0, 1, 1))


def test_an_agent_that_got_nothing_new_keeps_what_it_had():
    gate = DemonstrationGate()
    feedback = judged(gate, 0, "good()", 500.0)
    outcome = feedback.outcomes[0]
    nothing = GivenDemonstrations({}, {AGENT: "the model forgot it"})
    feedback = gate.judge(nothing, CycleFeedback(1, 1, (outcome,), ()))
    assert kept_body(gate) == "good()"
    assert not feedback.kept[AGENT].is_latest


def test_comments_and_layout_make_no_new_version():
    assert content_key(program("go()  # quickly")) == content_key(program("go( )"))
    assert content_key(program("go()")) != content_key(program("go_on()"))
    assert content_key(Program(AGENT, "def broken(:", "broken")) == content_key(
        Program(AGENT, "def broken(:", "broken")
    )


def test_plans_have_versions_too(world):
    gate = DemonstrationGate()
    outcome = judged(gate, 0, "good()", 500.0).outcomes[0]
    plan = Plan(AGENT, (Instruction("move_to_by_shortest_path", 15),))
    better = replace(outcome, reward=600.0)
    gate.judge(GivenDemonstrations({AGENT: plan}), CycleFeedback(1, 1, (better,), ()))
    assert gate.demonstrations().contents == {AGENT: plan}
    demonstrator = gate.demonstrations().demonstrator([AGENT])
    paths, _ = world.drive(demonstrator, [AGENT])
    assert paths[AGENT][-1] == 15


def test_demonstrations_without_programs_or_plans_are_left_alone():
    gate = DemonstrationGate()
    outcome = judged(DemonstrationGate(), 0, "good()", 500.0).outcomes[0]
    feedback = gate.judge(LogitDemonstrations(), CycleFeedback(0, 0, (outcome,), ()))
    assert not gate.kept
    assert not feedback.kept


def test_road_times_are_remembered_over_cycles():
    gate = DemonstrationGate()
    nothing = live_demonstrations(())
    straight_on = RoadTime(1, 2, 50.0, 4.0, then=3, trips=10.0)
    gate.judge(nothing, CycleFeedback(0, 0, (), (), (straight_on,)))
    again, left = replace(straight_on, travel_time_s=100.0, trips=1.0), RoadTime(1, 2, 90.0, 1.0, then=7)
    first, second = gate.judge(nothing, CycleFeedback(1, 1, (), (), (again, left))).roads
    # Nine trips are left of the ten before.
    assert (first.then, first.travel_time_s, first.trips) == (3, pytest.approx(55.0), pytest.approx(10.0))
    assert first.vehicles == pytest.approx(4.0)
    assert (second.then, second.travel_time_s, second.trips) == (7, 90.0, 1.0)
    assert second.vehicles == pytest.approx(0.1)
    for cycle in range(40):
        feedback = gate.judge(nothing, CycleFeedback(cycle, cycle, (), ()))
    assert not feedback.roads


def test_memory_has_an_end():
    gate = DemonstrationGate()
    for cycle in range(3 * MAX_VERSIONS):
        judged(gate, cycle, f"version_{cycle}()", float(cycle))
    assert len(gate.get_state()["versions"][AGENT]) <= MAX_VERSIONS + 1
    assert kept_body(gate) == f"version_{3 * MAX_VERSIONS - 1}()"


def test_without_the_gate_the_latest_of_many_is_remembered_though_it_is_the_worst():
    gate = DemonstrationGate(is_on=False)
    for cycle in range(2 * MAX_VERSIONS):
        judged(gate, cycle, f"version_{cycle}()", -float(cycle))
        assert kept_body(gate) == f"version_{cycle}()"


def test_state_survives_a_restart_as_plain_data():
    gate = DemonstrationGate()
    judged(gate, 0, "good()", 500.0)
    judged(gate, 1, "worse()", 300.0)
    again = DemonstrationGate()
    again.set_state(pickle.loads(pickle.dumps(gate.get_state())))
    assert again.kept == gate.kept
    assert judged(again, 2, "worse()", 900.0) == judged(gate, 2, "worse()", 900.0)


def test_trips_beside_the_demonstrated_ones_count_for_the_version_in_use(make_trajectory):
    gate = DemonstrationGate()
    judged(gate, 0, "good()", 500.0)
    judged(gate, 1, "worse()", 300.0)
    trip = Trip(AGENT, 0, 2, 0)
    other = make_trajectory(replace(trip, agent="vehicle_1"), [0], [0.0])
    for earned, exit in ((700.0, Exit.ARRIVED), (300.0, Exit.HORIZON)):
        driven = make_trajectory(trip, [0], [earned], junctions=np.array([0, 2]), exit=exit, travel_time_s=200.0)
        gate.credit(Episode("grid", 0, (driven, other), np.zeros((1, 2)), np.ones(1)), [AGENT, "vehicle_1"])
        kept = gate.kept[AGENT]
    assert (kept.trips, kept.reward, kept.path) == (3, pytest.approx(500.0), (0, 2))
    assert kept.travel_time_s == pytest.approx(900.0 / 3)
    assert list(gate.kept) == [AGENT]


def test_trips_that_have_faded_are_no_reason_to_believe_a_version_more():
    roads = [RoadTime(0, 1, 100.0, 1.0, None, 9.0), RoadTime(0, 2, 210.0, 1.0, None, 9.0)]
    often, once = Version(0, program("go()"), True, 10, 600.0, 0.0, (0, 1)), Version(0, program("go()"), True, 1, 50.0)
    expected, faded = (
        expected_rewards({"often": replace(often, trips=trips), "once": replace(once, path=(0, 2))}, roads)
        for trips in (10, 1000)
    )
    assert faded == expected
    # Eleven trips earned 550 on average, at 110 s on average.
    assert expected["often"] == pytest.approx((10.0 * 600.0 + ROADS_TRIPS * 560.0) / (10.0 + ROADS_TRIPS))
    assert expected["once"] == pytest.approx((50.0 + ROADS_TRIPS * 450.0) / (1.0 + ROADS_TRIPS))
