"""Cycles on disk, read and carried out again, in SUMO on a small grid."""

import json
import shutil
from dataclasses import replace

import pytest

from rllib_releds.demonstrations.callbacks import RULES, StatelessCallback, make_callback
from rllib_releds.demonstrations.demonstrators import GivenDemonstrations
from rllib_releds.demonstrations.errors import StoredDemonstrationError
from rllib_releds.demonstrations.models.chat import ScriptedChat
from rllib_releds.demonstrations.protocol import DemonstrationContext
from rllib_releds.demonstrations.records.replaying import replay_cycle
from rllib_releds.demonstrations.records.store import DemonstrationStore
from rllib_releds.demonstrations.records.stored import StoredCallback, StoredCycle, stored_cycle, stored_cycles
from rllib_releds.demonstrations.records.summaries import shown_agents
from rllib_releds.demonstrations.refinement import Refinement, refine

REPLY = """```python
def agent_0():
    move_to_by_shortest_time(get_destination())

def agent_1():
    if get_shortest_time(get_destination()) >= 0:
        raise ValueError("lost")
    move_to_by_shortest_time(get_destination())
```"""


@pytest.fixture
def env(make_env):
    return make_env(horizon_s=400.0)


@pytest.fixture
def folder(env, tmp_path):
    """Two cycles of a model that programs agents 0 and 1, the second one badly, and forgets agent 2."""
    list(refine(env, make_callback(ScriptedChat([REPLY]), folder=tmp_path), 2))
    return tmp_path


def test_a_cycle_on_disk_holds_all_that_happened(folder, env):
    first, second = stored_cycles(folder)
    assert first.is_complete
    assert first.text("prompt.txt")
    assert first.text("reply.txt") == REPLY
    assert {agent: program.entry for agent, program in first.programs.items()} == {
        "vehicle_0": "agent_0", "vehicle_1": "agent_1"
    }  # fmt: skip
    assert first.changed_files() == second.changed_files() == []
    assert {"prompt.txt", "reply.txt", "programs/agent_0.py", "feedback.json", "expert_0.npz"} <= set(
        first.manifest["files_sha256"]
    )
    assert first.manifest["scenario_sha256"] == second.manifest["scenario_sha256"]
    assert first.manifest["figures"]["execution_rate"] == pytest.approx(1 / 3)
    assert first.manifest["figures"]["llm_requests"] == 2.0
    assert "lost" in first.outcomes["vehicle_1"]["error"]
    assert {agent: one["error"] is not None for agent, one in first.outcomes.items()} == {
        "vehicle_0": False, "vehicle_1": True, "vehicle_2": True
    }  # fmt: skip
    assert str(first.instructions["vehicle_0"].instructions[0]).startswith("move_to_by_shortest_time")
    assert sorted(agent for agents, _ in first.episodes() for agent in agents) == env.possible_agents


@pytest.mark.parametrize("name", ["offline/planner", "live", "logit"])
def test_a_replay_is_equal_bit_for_bit(env, tmp_path, name):
    list(refine(env, make_callback(name, folder=tmp_path), 1))
    replayed = replay_cycle(stored_cycle(tmp_path, 0))
    assert (replayed.num_episodes, replayed.differences) == (2, ())


def test_a_replay_of_failing_programs_and_of_plans_is_equal_too(folder, env, tmp_path):
    assert replay_cycle(stored_cycle(folder, 1), env).differences == ()
    routes = make_callback("offline/planner", interfaces=False, folder=tmp_path / "routes")
    list(refine(env, routes, 1))
    assert replay_cycle(stored_cycle(tmp_path / "routes", 0), env).differences == ()


def test_a_replay_names_what_differs(folder, env):
    program = folder / "cycle_000" / "programs" / "agent_0.py"
    program.write_text("def agent_0():\n    move_to_by_shortest_path(15)\n    move_to_by_shortest_path(0)\n")
    differences = replay_cycle(stored_cycle(folder, 0), env).differences
    assert differences[0] == "programs/agent_0.py was changed since"
    assert any(line.startswith("vehicle_0: ") for line in differences)


def test_stored_demonstrations_demonstrate_again(folder, env):
    made = make_callback(f"stored:{folder}")
    cycles = Refinement(env, made)
    again = [cycles.cycle() for _ in range(3)]
    first = StoredCycle(folder / "cycle_000")
    assert again[0].demonstrations.contents == first.programs
    assert again[0].feedback.execution_rate == first.manifest["figures"]["execution_rate"]
    assert again[2].demonstrations == again[1].demonstrations, "the last one stays"
    alone = StoredCallback(folder / "cycle_001")
    assert alone(again[0].context).contents == stored_cycle(folder, 1).programs


def test_cycles_are_demonstrated_in_the_epochs_in_which_they_were_in_use(folder, env):
    # As a run leaves them: all refinements of its first demonstrations in epoch 0, the next cycle in epoch 10.
    shutil.copytree(folder / "cycle_001", folder / "cycle_002")
    for number, epoch in enumerate((0, 0, 10)):
        file = folder / f"cycle_{number:03d}" / "cycle.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "epoch": epoch}))
    programs = folder / "cycle_002" / "programs"
    (programs / "agent_0.py").write_text("# the last one\n")
    context = DemonstrationContext.of(env.scenario, epoch=0, cycle=0, feedback=None, seed=0)
    given = [StoredCallback(folder)(replace(context, epoch=epoch)).contents for epoch in (0, 9, 10, 99)]
    second, third = (StoredCycle(folder / f"cycle_00{number}").programs for number in (1, 2))
    assert given == [second, second, third, third]


def test_demonstrations_are_not_stored_over_those_that_are_given_again(folder, env):
    with pytest.raises(ValueError, match="would be overwritten"):
        make_callback(f"stored:{folder}", folder=folder)
    with pytest.raises(ValueError, match="would be overwritten"):
        make_callback(StoredCallback(folder), folder=folder)
    list(refine(env, make_callback(f"stored:{folder}", folder=folder / "again"), 1))
    assert replay_cycle(stored_cycle(folder, 0), env).differences == ()


def test_a_stored_cycle_knows_who_followed_an_earlier_answer(env, tmp_path):
    model = ScriptedChat([REPLY, REPLY, "I am sorry.", "I am sorry."])
    _, second = refine(env, make_callback(model, folder=tmp_path), 2)
    assert second.demonstrations.unanswered
    again = StoredCallback(tmp_path / "cycle_001")(second.context)
    assert again.unanswered == second.demonstrations.unanswered
    assert (
        "by its earlier answer (there is no function" in shown_agents(stored_cycle(tmp_path, 1))["agent_0"]["outcome"]
    )


def test_stored_demonstrations_of_other_trips_are_refused(folder, make_env):
    with pytest.raises(StoredDemonstrationError, match="for other roads or trips"):
        next(refine(make_env(trips_seed=5), make_callback(f"stored:{folder}"), 1))


def test_stored_demonstrations_of_other_trips_are_refused_before_training(folder, env, make_env):
    callback = make_callback(f"stored:{folder}")
    callback.check(env.scenario)
    with pytest.raises(StoredDemonstrationError, match="for other roads or trips"):
        callback.check(make_env(trips_seed=5).scenario)


def test_folders_without_demonstrations_are_refused(tmp_path, env):
    with pytest.raises(StoredDemonstrationError, match="no demonstrations in"):
        stored_cycles(tmp_path)
    (tmp_path / "demonstrations" / "cycle_000").mkdir(parents=True)
    with pytest.raises(StoredDemonstrationError, match="has no cycle"):
        stored_cycle(tmp_path, 0).demonstrations()
    with pytest.raises(StoredDemonstrationError, match="there are 0 to 0"):
        stored_cycle(tmp_path, 3)
    with pytest.raises(StoredDemonstrationError, match="is complete"):
        make_callback(f"stored:{tmp_path}")


def test_a_damaged_or_newer_file_is_named(folder):
    file = folder / "cycle_000" / "cycle.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 99}))
    with pytest.raises(StoredDemonstrationError, match="has format"):
        stored_cycle(folder, 0).demonstrations()
    file.write_text("{")
    with pytest.raises(StoredDemonstrationError, match="damaged"):
        stored_cycle(folder, 0).demonstrations()


def test_a_rule_of_ones_own_is_stored_with_what_it_did(env, tmp_path):
    def rule(context):
        return replace(RULES["live"](context), metrics={"mine": 1.0})

    next(refine(env, StatelessCallback(rule, DemonstrationStore(tmp_path)), 1))
    assert stored_cycle(tmp_path, 0).manifest["figures"]["mine"] == 1.0
    assert isinstance(rule(Refinement(env, StatelessCallback(rule)).cycle().context), GivenDemonstrations)


def test_a_folder_that_was_put_aside_is_no_cycle(folder):
    aside = (folder / "cycle_001").rename(folder / "cycle_001.bak")
    assert [cycle.number for cycle in stored_cycles(folder)] == [0]
    with pytest.raises(StoredDemonstrationError, match="no demonstrations in"):
        stored_cycles(aside)


@pytest.mark.parametrize("content", ["{}", "[]", '{"format": "one"}'])
def test_a_manifest_without_a_format_is_named(folder, content):
    (folder / "cycle_000" / "cycle.json").write_text(content)
    with pytest.raises(
        StoredDemonstrationError, match=r"cycle\.json is damaged \(it names no format\); make the cycle anew"
    ):
        stored_cycle(folder, 0).demonstrations()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"vehicle_2": [["move_to_by_shortest_path", 9999]]}', "vehicle_2: .*9999.* has junctions 0 to"),
        ('{"vehicle_2": []}', "vehicle_2: a plan of no instructions"),
        ('{"vehicle_99": [["move_to_by_shortest_path", 1]]}', "demonstrations for 'vehicle_99'"),
    ],
)
def test_plans_that_were_changed_into_none_are_named_before_anything_is_simulated(folder, env, content, words):
    context = DemonstrationContext.of(env.scenario, epoch=0, cycle=0, feedback=None, seed=0)
    (folder / "cycle_000" / "plans.json").write_text(content)
    with pytest.raises(ValueError, match=words):
        StoredCallback(folder)(context)


@pytest.mark.parametrize("name", ["plans.json", "instructions.json"])
@pytest.mark.parametrize("content", ['{"vehicle_2": [["fly_to", 3]]}', '{"vehicle_2": 3}', "[1]"])
def test_plans_that_cannot_be_read_are_named(folder, env, name, content):
    (folder / "cycle_000" / name).write_text(content)
    with pytest.raises(StoredDemonstrationError, match=f"{name} is damaged .*; make the cycle anew"):
        replay_cycle(stored_cycle(folder, 0), env)
