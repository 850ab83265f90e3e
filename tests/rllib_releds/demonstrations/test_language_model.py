import json
import logging
import pickle
from dataclasses import replace

import numpy as np
import pytest

from rllib_releds.demonstrations.callbacks import make_callback
from rllib_releds.demonstrations.demonstrators import GivenDemonstrations
from rllib_releds.demonstrations.episodes import partition
from rllib_releds.demonstrations.errors import (
    BadReplyError,
    MissingKeyError,
    ModelUnavailableError,
    RecordingError,
    RefusedRequestError,
    StoredDemonstrationError,
)
from rllib_releds.demonstrations.feedback import CycleFeedback
from rllib_releds.demonstrations.language_model import LanguageModelCallback
from rllib_releds.demonstrations.logit import LogitDemonstrations
from rllib_releds.demonstrations.models.chat import ChatSettings, Reply, ScriptedChat, estimate_tokens
from rllib_releds.demonstrations.protocol import DemonstrationCallback
from rllib_releds.demonstrations.records.store import DemonstrationStore
from rllib_releds.demonstrations.routing_domain import RoutingDomain
from sumo_marl_env import Instruction, Plan

AGENTS = ["vehicle_0", "vehicle_1", "vehicle_2", "vehicle_3"]
GO = "    move_to_by_shortest_time(get_destination())\n"


def reply(*numbers: int, body: str = GO) -> str:
    return "```python\n" + "".join(f"def agent_{number}():\n{body}" for number in numbers) + "```"


def callback(*answers, **options):
    settings = ChatSettings(**{"model": "scripted/model", **options.pop("settings", {})})
    return LanguageModelCallback(ScriptedChat(list(answers)), settings, **options)


def later(context, cycle: int = 1):
    return replace(context, epoch=10 * cycle, cycle=cycle, feedback=CycleFeedback(10 * cycle - 10, cycle - 1, (), ()))


def roles(request) -> list[str]:
    return [message.role for message in request]


def test_a_model_of_ones_own_that_returns_something_else_is_named(context):
    class Careless:
        def complete(self, messages, settings):
            return reply(0)

    with pytest.raises(TypeError, match="complete of Careless must return a Reply, not '```python"):
        make_callback(Careless())(context)


def test_a_request_that_nobody_was_asked_with_costs_no_budget(context):
    def no_key(messages, settings):
        raise MissingKeyError("no key in OPENAI_API_KEY")

    made = callback("", settings={"max_requests": 1})
    made.model.complete = no_key
    for cycle in range(2):
        made(later(context, cycle))
        assert "no key in OPENAI_API_KEY" in made.failure
    assert made.usage.requests == 0


def test_one_request_gives_programs_for_all(context, world):
    made = callback(reply(0, 1, 2, 3))
    demonstrations = made(context)
    assert set(demonstrations.contents) == set(AGENTS)
    assert [roles(request) for request in made.model.requests] == [["system", "user"]]
    _, traces = world.drive(demonstrations.demonstrator(AGENTS), AGENTS)
    assert not any(trace.fell_back for trace in traces.values())
    assert demonstrations.metrics["llm_answered"] == 1.0
    assert demonstrations.metrics["llm_requests"] == 1.0


def test_failing_agents_are_asked_for_once_more_and_nobody_else(context):
    made = callback(reply(0, 1) + reply(2, body="    return undefined_thing\n"), reply(2, 3))
    demonstrations = made(context)
    assert set(demonstrations.contents) == set(AGENTS)
    assert not demonstrations.missing
    repair = made.model.requests[1][-1].content
    assert "agent_2: " in repair
    assert "undefined_thing" in repair
    assert "there is no function agent_3()" in repair
    assert "agent_0" not in repair
    assert roles(made.model.requests[1]) == ["system", "user", "assistant", "user"]


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([ModelUnavailableError("the server is down")], "no answer from the model: the server is down"),
        (["I cannot help with that."], "no usable program for 4 of 4 agents (vehicle_0: "),
        ([reply(7)], "no usable program for 4 of 4 agents (vehicle_0: there is no function agent_0()"),
    ],
)
def test_a_cycle_in_which_nobody_gets_anything_names_the_reason_once(context, caplog, answers, reason):
    made = callback(*answers)
    with caplog.at_level(logging.WARNING):
        made(context)
    assert reason in made.failure
    (record,) = caplog.records
    assert made.failure in record.message


def test_a_cycle_in_which_some_get_a_program_warns_once_and_did_not_fail(context, caplog):
    made = callback(reply(0, 1), reply(2))
    with caplog.at_level(logging.WARNING):
        made(context)
    assert made.failure is None
    (record,) = caplog.records
    assert "no usable program for 1 of 4 agents (vehicle_3: " in record.message


def test_an_answer_that_was_cut_off_says_which_setting_helps(context, caplog):
    made = callback("")
    made.model.complete = lambda messages, settings: Reply("def agent_0(): pa", 10, 0.0, 0.0, 5, is_cut_off=True)
    made(context)
    assert made.failure.endswith("the answer was cut off: raise max_reply_tokens")


def test_there_is_one_repair_turn_only(context):
    made = callback(reply(0), reply(1), reply(2))
    demonstrations = made(context)
    assert len(made.model.requests) == 2
    assert set(demonstrations.contents) == {"vehicle_0", "vehicle_1"}
    assert set(demonstrations.missing) == {"vehicle_2", "vehicle_3"}


def test_feedback_continues_the_conversation(context):
    made = callback(reply(0, 1, 2, 3))
    made(context)
    made(later(context))
    assert roles(made.model.requests[1]) == ["system", "user", "assistant", "user"]
    assert made.model.requests[1][-1].content.startswith("RESULTS of your last programs")


def test_without_refinement_every_cycle_begins_anew(context):
    made = callback(reply(0, 1, 2, 3), refine=False)
    made(context)
    made(later(context))
    assert made.model.requests[0] == made.model.requests[1]


def test_without_interfaces_node_lists_become_plans(context, world):
    answer = json.dumps({"agent_0": [0, 1, 2, 3, 7, 11, 15], "agent_1": [3, 2, 9]})
    made = callback(answer, interfaces=False)
    demonstrations = made(context)
    assert set(demonstrations.contents) == {"vehicle_0"}
    assert isinstance(demonstrations.contents["vehicle_0"], Plan)
    assert (
        "no road leads from 2 to 9" in made.model.requests[1][-1].content
        or "ends at 9" in made.model.requests[1][-1].content
    )


def test_a_model_that_fails_leaves_the_last_good_programs_with_one_warning(context, caplog):
    made = callback(reply(0, 1, 2, 3), ModelUnavailableError("the server is down"))
    first = made(context)
    with caplog.at_level(logging.WARNING):
        second = made(later(context))
    assert second.contents == first.contents
    assert second.metrics["llm_failed"] == 1.0
    (record,) = caplog.records
    assert "the server is down" in record.message
    assert "last good demonstrations" in record.message


def test_a_missing_key_in_the_first_cycle_leaves_the_fallback_and_says_so(context, world, caplog):
    made = callback(MissingKeyError("set OPENAI_API_KEY"))
    with caplog.at_level(logging.WARNING):
        demonstrations = made(context)
    assert "set OPENAI_API_KEY" in caplog.text
    assert "fallback" in caplog.text
    paths, traces = world.drive(demonstrations.demonstrator(AGENTS), AGENTS)
    assert all(len(path) == 7 for path in paths.values())
    assert all(trace.fell_back for trace in traces.values())


def test_a_repair_that_is_not_answered_is_not_taken_for_a_model_that_never_answered(context, caplog):
    made = callback("I am sorry.", ModelUnavailableError("down"))
    with caplog.at_level(logging.WARNING):
        demonstrations = made(context)
    assert demonstrations.metrics["llm_failed"] == 1.0
    assert made.failure.startswith("no usable program for 4 of 4 agents")
    assert "the repair was not answered: down" in made.failure
    assert "no answer from the model" not in caplog.text
    assert demonstrations.missing["vehicle_0"].startswith("there is no function agent_0()")


def test_a_failing_repair_keeps_what_the_first_answer_gave(context, caplog):
    made = callback(reply(0, 1), ModelUnavailableError("down"))
    with caplog.at_level(logging.WARNING):
        demonstrations = made(context)
    assert set(demonstrations.contents) == {"vehicle_0", "vehicle_1"}
    assert set(demonstrations.missing) == {"vehicle_2", "vehicle_3"}
    # It did answer, and that is in use.
    assert demonstrations.metrics["llm_failed"] == 0.0
    assert made.failure is None
    assert "no usable program for 2 of 4 agents" in caplog.text
    assert "the repair was not answered: down" in caplog.text
    assert "no answer from the model" not in caplog.text


def test_who_must_answer_raises_where_the_model_cannot_be_asked(context):
    made = callback(ModelUnavailableError("down"), reply(0, 1, 2, 3), must_answer=True)
    with pytest.raises(ModelUnavailableError, match="down"):
        made(context)
    assert set(made(context).contents) == set(AGENTS)


@pytest.mark.parametrize("answered", [(), (0, 1, 2)])
def test_who_must_answer_is_told_of_a_recording_that_does_not_fit(context, answered):
    # Also in the repair, when most of the answer is there.
    answers = [reply(*answered)] if answered else []
    made = callback(*answers, RecordingError("the replay is not the run that was recorded"), must_answer=True)
    with pytest.raises(RecordingError, match="not the run"):
        made(context)


@pytest.mark.parametrize(
    "answer", [BadReplyError("no choice"), RefusedRequestError("against the rules"), "I cannot help with that."]
)
def test_what_the_model_does_answer_is_its_answer_also_for_who_must(context, answer):
    made = callback(answer, answer, must_answer=True)
    assert set(made(context).missing) == set(AGENTS)


def test_an_agent_that_the_model_forgets_keeps_its_last_program(context):
    made = callback(reply(0, 1, 2, 3), reply(0), reply(1))
    first = made(context)
    second = made(later(context))
    assert second.contents["vehicle_3"] == first.contents["vehicle_3"]
    assert not second.missing


@pytest.mark.parametrize("answer", ["", "I cannot help with that.", "```python\n", "{", "\x00" * 100, "def agent_0(:"])
def test_no_answer_stops_training(context, answer):
    assert set(callback(answer)(context).missing) == set(AGENTS)


def test_the_budget_ends_requests_and_not_training(context, caplog):
    made = callback(reply(0, 1, 2, 3), settings={"max_requests": 1})
    first = made(context)
    with caplog.at_level(logging.WARNING):
        assert made(later(context)).contents == first.contents
    assert "max_requests=1" in caplog.text
    assert len(made.model.requests) == 1


def test_answers_without_text_count_towards_the_budget(context, caplog):
    made = callback(BadReplyError("no text", 600, 0.25), settings={"max_tokens": 1000})
    for cycle in range(4):
        made(later(context, cycle) if cycle else context)
    assert len(made.model.requests) == 2
    assert (made.usage.tokens, made.usage.cost) == (1200, 0.5)
    assert "max_tokens=1000" in caplog.text


def test_the_conversation_stays_within_the_context(context):
    made = callback(reply(0, 1, 2, 3, body=GO + "    # " + "x" * 3000 + "\n"), settings={"context_tokens": 6000})
    for cycle in range(6):
        made(later(context, cycle) if cycle else context)
    lengths = [sum(estimate_tokens(message.content) for message in request) for request in made.model.requests]
    assert 4000 < max(lengths) <= 6000
    assert all(roles(request)[:2] == ["system", "user"] for request in made.model.requests)


def test_state_survives_a_restart(context):
    made = callback(reply(0, 1, 2, 3))
    made(context)
    state = json.loads(json.dumps(made.get_state()))
    again = callback(ModelUnavailableError("down"))
    again.set_state(state)
    assert again(later(context)).contents == made(later(context)).contents
    assert roles(again.model.requests[0]) == ["system", "user", "assistant", "user"]
    assert again.usage.requests == 2, "a request that fails counts, too"


def test_a_budget_counts_what_a_stopped_process_asked_after_its_last_checkpoint(context, tmp_path):
    made = make_callback(ScriptedChat([reply(0, 1, 2, 3)]), folder=tmp_path)
    state = json.loads(json.dumps(made.get_state()))
    made(context)
    made(later(context))
    DemonstrationStore(tmp_path).begin(0)
    resumed = make_callback(ScriptedChat([reply(0, 1, 2, 3)]), folder=tmp_path)
    resumed.set_state(state)
    assert resumed.usage == made.usage
    resumed(context)
    assert resumed.usage.requests == 3
    # A new run in the folder has a budget of its own.
    new = make_callback(ScriptedChat([reply(0, 1, 2, 3)]), folder=tmp_path)
    new(context)
    assert json.loads((tmp_path / "usage.json").read_text())["requests"] == new.usage.requests == 1


def test_a_request_counts_before_it_is_answered(context, tmp_path):
    store = DemonstrationStore(tmp_path)
    model = ScriptedChat([reply(0, 1, 2, 3)])
    answer, seen = model.complete, []
    model.complete = lambda *request: (seen.append(store.spent().requests), answer(*request))[1]
    make_callback(model, folder=tmp_path)(context)
    assert seen == [1]


def test_what_a_recording_gives_again_is_not_counted_twice(context, tmp_path):
    def callback() -> DemonstrationCallback:
        return make_callback("offline/planner", folder=tmp_path / "run", record=tmp_path / "replies")

    made = callback()
    state = json.loads(json.dumps(made.get_state()))
    made(context)
    resumed = callback()
    resumed.set_state(state)
    resumed(context)
    assert resumed.usage.requests == made.usage.requests


@pytest.mark.parametrize("content", ["{", '{"requests": "x"}'])
def test_a_damaged_count_of_what_was_used_is_named(tmp_path, content):
    made = make_callback(ScriptedChat([reply(0, 1, 2, 3)]), folder=tmp_path)
    (tmp_path / "usage.json").write_text(content)
    with pytest.raises(StoredDemonstrationError, match=r"usage\.json is damaged .*: delete it"):
        made.set_state(made.get_state())


def test_artefacts_are_written(context, tmp_path):
    made = make_callback(ScriptedChat([reply(0, 1, 2), "nothing"]), folder=tmp_path)
    made(context)
    folder = tmp_path / "cycle_000"
    assert {path.name for path in folder.iterdir()} == {
        "prompt.txt", "reply.txt", "repair_prompt.txt", "repair_reply.txt", "usage.json"
    }  # fmt: skip
    usage = json.loads((folder / "usage.json").read_text())
    assert usage["run"]["requests"] == 2
    assert "agent_3" in usage["unusable"]


def test_partition_is_disjoint_complete_balanced_and_seeded():
    agents = [f"vehicle_{row}" for row in range(11)]
    subsets = partition(agents, 3, np.random.default_rng(0))
    assert sorted(agent for subset in subsets for agent in subset) == sorted(agents)
    assert sorted(len(subset) for subset in subsets) == [3, 4, 4]
    assert subsets == partition(agents, 3, np.random.default_rng(0))
    assert subsets != partition(agents, 3, np.random.default_rng(1))
    assert partition(agents[:2], 5, np.random.default_rng(0)) in (
        (("vehicle_0",), ("vehicle_1",)),
        (("vehicle_1",), ("vehicle_0",)),
    )
    with pytest.raises(ValueError, match="num_subsets"):
        partition(agents, 0, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("live", GivenDemonstrations), ("logit", LogitDemonstrations), ("offline/planner", GivenDemonstrations)],
)
def test_callbacks_by_name_drive_everybody_home(context, world, name, kind):
    made = make_callback(name)
    assert isinstance(made, DemonstrationCallback)
    demonstrations = pickle.loads(pickle.dumps(made(context)))
    assert isinstance(demonstrations, kind)
    paths, _ = world.drive(demonstrations.demonstrator(AGENTS), AGENTS, max_decisions=1000)
    for trip in world.trips:
        assert paths[trip.agent][-1] == trip.destination
    made.set_state(json.loads(json.dumps(made.get_state())))


def test_a_function_of_the_users_own_is_a_callback(context):
    demonstrations = GivenDemonstrations({})
    assert make_callback(lambda context: demonstrations)(context) is demonstrations
    with pytest.raises(TypeError, match="must return Demonstrations"):
        make_callback(lambda context: {"vehicle_0": "left"})(context)


@pytest.mark.parametrize(
    ("contents", "error", "words"),
    [
        ({"agent_0": Plan("agent_0", ())}, ValueError, "demonstrations for 'agent_0', and the agents are vehicle_0"),
        ({"vehicle_0": "def agent_0(): ..."}, TypeError, "vehicle_0: 'def .* is neither a Program nor a Plan"),
        ({"vehicle_0": Plan("vehicle_0", ())}, ValueError, "vehicle_0: a plan of no instructions"),
        (
            {"vehicle_0": Plan("vehicle_0", (Instruction("move_to_by_shortest_path", 99999),))},
            ValueError,
            r"move_to_by_shortest_path\(99999\), and .* has junctions 0 to",
        ),
    ],
)
def test_what_a_function_of_the_users_own_gets_wrong_is_named(context, contents, error, words):
    with pytest.raises(error, match=words):
        make_callback(lambda context: GivenDemonstrations(contents))(context)


def test_a_class_that_remembers_something_must_say_that_it_is_a_callback(context):
    class Counting:
        def __call__(self, context): ...
        def get_state(self): ...

    with pytest.raises(ValueError, match="derive Counting from DemonstrationCallback"):
        make_callback(Counting())


def test_a_callback_is_returned_as_it_is_with_a_store_if_a_folder_is_given(tmp_path):
    made = callback(reply(0))
    assert make_callback(made) is made
    assert make_callback(made, folder=tmp_path).store.folder == tmp_path


@pytest.mark.parametrize("option", ["refine", "interfaces", "stationarity"])
def test_options_of_language_models_are_refused_for_rules(option):
    with pytest.raises(ValueError, match="for language models, and 'live' is none"):
        make_callback("live", **{option: False})


def test_an_unknown_name_lists_the_choices():
    with pytest.raises(ValueError, match="live, logit, offline/planner"):
        make_callback("gpt")


def test_replies_are_recorded_and_replayed(context, tmp_path):
    made = make_callback("offline/planner", record=tmp_path)(context)
    assert len(list(tmp_path.glob("*.json"))) == 1
    assert make_callback("offline/planner", replay=tmp_path)(context).contents == made.contents


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"replay": "empty"}, "no recorded replies in empty"),
        ({"replay": "here", "record": "there"}, "not both"),
        ({"model": "live", "record": "here"}, "only replies of a model"),
    ],
)
def test_what_cannot_be_recorded_or_replayed_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_callback(**{"model": "offline/planner", **options})


def with_ids(context, *agents: str):
    return replace(context, trips=tuple(replace(trip, agent=a) for trip, a in zip(context.trips, agents, strict=False)))


@pytest.mark.parametrize("interfaces", [True, False])
def test_a_repair_goes_to_the_agents_whom_the_prompt_numbered(context, interfaces):
    """Of ids that do not all end in numbers of their own, the failing ones alone would get other numbers."""
    context = with_ids(context, "bus_1", "car_1", "car_2")
    answers = [reply(1), reply(0, 2)]
    if not interfaces:
        routes = [[0, 1, 2, 3, 7, 11, 15], [3, 2, 1, 0, 4, 8, 12], [12, 8, 4, 0, 1, 2, 3]]
        answers = [json.dumps({f"agent_{n}": routes[n] for n in numbers}) for numbers in ([1], [0, 2])]
    demonstrations = callback(*answers, interfaces=interfaces)(context)
    assert not demonstrations.missing
    if interfaces:
        entries = {agent: program.entry for agent, program in demonstrations.contents.items()}
        assert entries == {"bus_1": "agent_0", "car_1": "agent_1", "car_2": "agent_2"}
    else:
        assert {agent: plan.instructions[-1].target for agent, plan in demonstrations.contents.items()} == {
            "bus_1": 15, "car_1": 12, "car_2": 3
        }  # fmt: skip


def test_what_nobody_foresaw_in_an_answer_is_an_error_of_the_agents(context, caplog, monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError("a bug of ours")

    made = callback(reply(0, 1, 2, 3))
    first = made(context)
    monkeypatch.setattr("rllib_releds.demonstrations.language_model.extract_programs", fail)
    with caplog.at_level(logging.WARNING):
        assert made(later(context)).contents == first.contents
    assert "the answer could not be read: ZeroDivisionError: a bug of ours" in made.failure
    assert "the answer could not be read: ZeroDivisionError" in made.model.requests[-1][-1].content, "the repair turn"
    assert any(record.exc_info for record in caplog.records)


def test_a_repair_may_use_helpers_of_the_answer_that_it_repairs(context):
    helper = "def follow(nodes):\n    for node in nodes:\n        move_to_by_shortest_path(node)\n"
    first = f"```python\n{helper}def agent_0():\n    follow([get_destination()])\n```" + reply(1, 2)
    made = callback(first, reply(3, body="    follow([get_destination()])\n"))
    demonstrations = made(context)
    assert set(demonstrations.contents) == set(AGENTS)
    assert "def follow" in demonstrations.contents["vehicle_3"].source


@pytest.mark.parametrize("helper", ["drive", "follow"])
@pytest.mark.parametrize("broken", ["", "def {helper}(route):\n    for node in route\n", "import heapq\n"])
def test_a_repair_may_be_a_helper_alone(context, helper, broken):
    """The agents' functions, which call it, stay as they were said."""
    functions = "".join(f"def agent_{number}():\n    {helper}([{number}, get_destination()])\n" for number in range(4))
    mended = f"def {helper}(route):\n    for node in route:\n        move_to_by_shortest_path(node)\n"
    first = broken.format(helper=helper) + (
        mended.replace("for", "heapq.heapify(route)\n    for") if "heapq" in broken else ""
    )
    demonstrations = callback(f"```python\n{first}{functions}```", f"The helper, corrected:\n```python\n{mended}```")(
        context
    )
    for number, agent in enumerate(AGENTS):
        source = demonstrations.contents[agent].source
        assert f"{helper}([{number}, get_destination()])" in source
        assert "for node in route:\n        move_to_by_shortest_path(node)" in source
        assert "heapq" not in source


def test_a_repair_of_one_agent_is_its_program_and_no_other_agents(context):
    first = f"```python\ndef drive(n):\n    undefined_thing(n)\n\ndef agent_3():\n    drive(3)\n```{reply(0, 1, 2)}"
    repaired = callback(first, "```python\ndef route():\n    move_to_by_shortest_path(7)\n```")(context)
    assert "move_to_by_shortest_path(7)" in repaired.contents["vehicle_3"].source
    assert "move_to_by_shortest_path(7)" not in repaired.contents["vehicle_0"].source


def test_a_repair_that_mends_nothing_leaves_its_own_reason(context):
    made = callback(reply(0, 1, 2) + reply(3, body="    return undefined_thing\n"), reply(3, body="    pass\n"))
    assert "goes nowhere" in made(context).missing["vehicle_3"]


@pytest.mark.parametrize(
    "body", ["    pass  # TODO\n", "    return get_destination()\n", "    route = [1, 2]\n    return route\n"]
)
def test_a_program_without_a_movement_is_sent_back_for_repair(context, body):
    made = callback(reply(0, 1, 2) + reply(3, body=body), reply(3))
    assert set(made(context).contents) == set(AGENTS)
    assert "agent_3: agent_3() goes nowhere: it calls none of move_to" in made.model.requests[1][-1].content


def test_a_program_that_would_fail_in_every_episode_is_sent_back_for_repair(context):
    body = "    x, y = get_node_coord(get_destination())\n    move_to_by_shortest_path(int(x / 0.0))\n"
    made = callback(reply(0, 1, 2) + reply(3, body=body), reply(3))
    assert made(context).contents.keys() == set(AGENTS)
    assert "agent_3: ZeroDivisionError" in made.model.requests[1][-1].content


def test_what_depends_on_the_moment_is_left_to_the_episode(context, world):
    body = "    move_to_by_shortest_path(int(get_shortest_time(7) / 0.0))\n"
    made = callback(reply(0, 1, 2) + reply(3, body=body))
    demonstrations = made(context)
    assert len(made.model.requests) == 1
    _, traces = world.drive(demonstrations.demonstrator(AGENTS), AGENTS)
    assert "ZeroDivisionError" in traces["vehicle_3"].error


def test_thoughts_do_not_push_the_answer_out_of_the_conversation(context):
    made = callback("<think>" + "or the other way round? " * 9000 + "</think>" + reply(0, 1, 2), reply(3))
    made(context)
    repair = made.model.requests[1]
    assert roles(repair) == ["system", "user", "assistant", "user"]
    assert repair[2].content == reply(0, 1, 2)


def test_who_keeps_an_earlier_answer_is_told_of_on_disk(context, tmp_path):
    made = make_callback(ScriptedChat([reply(0, 1, 2, 3), "prose", "prose"]), folder=tmp_path)
    made(context)
    made(later(context))
    usage = json.loads((tmp_path / "cycle_001" / "usage.json").read_text())
    assert set(usage["unusable"]) == {f"agent_{number}" for number in range(4)}


def test_a_request_that_was_refused_is_not_sent_again(context):
    made = callback(reply(0, 1, 2, 3), RefusedRequestError("against the rules"), reply(0, 1, 2, 3))
    made(context)
    made(later(context))
    made(later(context, 2))
    assert [roles(request) for request in made.model.requests[1:]] == [
        ["system", "user", "assistant", "user"], ["system", "user"]
    ]  # fmt: skip


def test_a_prompt_that_cannot_be_brief_enough_is_said_once(context, caplog):
    made = callback(reply(0, 1, 2, 3), settings={"context_tokens": 600})
    with caplog.at_level(logging.WARNING):
        made(context)
        made(later(context))
    (record,) = caplog.records
    said = record.getMessage()
    assert "more than half of context_tokens=600, and cannot be cut further: raise context_tokens to " in said
    tokens = int(said.rsplit("context_tokens to ", 1)[1].split()[0])
    caplog.clear()
    callback(reply(0, 1, 2, 3), settings={"context_tokens": tokens})(context)
    assert not caplog.records


class WordyDomain(RoutingDomain):
    """Its feedback cannot be brief."""

    def feedback_prompt(self, *_, max_tokens, **options):
        return "word " * (max_tokens + 100)


@pytest.mark.parametrize(("model", "is_said"), [("scripted/model", True), ("offline/planner", False)])
def test_a_request_that_cannot_be_brief_enough_is_said_once(context, caplog, model, is_said):
    made = callback(reply(0, 1, 2, 3), settings={"model": model}, domain=WordyDomain())
    for cycle in (context, later(context), later(context, 2)):
        made(cycle)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == is_said
    assert all(
        "more than context_tokens=10000, and cannot be cut further: raise context_tokens to 1" in s for s in said
    )
