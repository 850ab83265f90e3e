import doctest
import pickle

import numpy as np
import pytest

from rllib_releds.demonstrations import Program, SandboxLimits, extract_programs, run_program
from rllib_releds.demonstrations.errors import CallError, LimitError
from rllib_releds.demonstrations.execution import program_run
from rllib_releds.demonstrations.execution.sandbox import Sandbox
from sumo_marl_env import Instruction

FUNCTIONS = {
    "get_destination": lambda: 12,
    "get_shortest_time": lambda node: 10.0 * node,
    "move_to_by_shortest_path": lambda node: node != 9,
    "move_to_by_shortest_time": lambda node: True,
}


def body(text: str) -> str:
    return "def agent_0():\n" + "\n".join(f"    {line}" for line in text.split("\n")) + "\n"


def test_the_example_in_the_docstring_is_true():
    assert doctest.testmod(program_run).attempted == 3
    assert doctest.testmod(program_run).failed == 0


def test_a_run_tells_calls_movements_and_output_in_order():
    text = "print('first')\nif not move_to_by_shortest_path('9'):\n    print('no road')\n"
    run = run_program(body(text + "move_to_by_shortest_time(get_destination())"), FUNCTIONS)
    assert [(call.function, call.arguments, call.result) for call in run.calls] == [
        ("move_to_by_shortest_path", (9,), False),
        ("get_destination", (), 12),
        ("move_to_by_shortest_time", (12,), True),
    ]
    assert run.moves == (Instruction("move_to_by_shortest_path", 9), Instruction("move_to_by_shortest_time", 12))
    assert run.output == "first\nno road\n"
    assert (run.error, run.limit) == (None, None)
    assert run.seconds > 0


def test_an_error_names_the_line_and_keeps_what_was_done_before():
    run = run_program(body("get_destination()\nreturn 1 / 0"), FUNCTIONS)
    assert len(run.calls) == 1
    assert run.error == "ZeroDivisionError: division by zero (line 3: return 1 / 0)"
    assert run.limit is None


def test_an_error_of_a_host_function_reaches_the_program():
    def refuse(node):
        raise CallError(f"node {node} is closed")

    text = "try:\n    get_shortest_time(3)\nexcept ValueError as error:\n    print(error)"
    run = run_program(body(text), {"get_shortest_time": refuse})
    assert run.output == "get_shortest_time: node 3 is closed\n"
    assert run.calls[0].error == "node 3 is closed"
    assert run.moves == ()


@pytest.mark.parametrize("error", [RuntimeError("the simulator is gone"), TimeoutError("too late"), KeyError("x")])
def test_what_a_host_function_fails_of_is_not_the_programs_fault(error):
    def fail(node):
        raise error

    with pytest.raises(type(error)) as caught:
        run_program(body("get_shortest_time(3)"), {"get_shortest_time": fail})
    assert caught.value is error


def test_numbers_of_numpy_reach_the_program():
    run = run_program(body("print(get_shortest_time(3))"), {"get_shortest_time": lambda node: np.float32(1.5)})
    assert (run.error, run.output) == (None, "1.5\n")


def test_a_program_that_speaks_of_a_limit_has_hit_none():
    assert run_program(body("raise ValueError('memory limit')"), FUNCTIONS).limit is None


def test_a_function_that_is_not_given_fails_the_program():
    assert "get_origin is not given here" in run_program(body("get_origin()"), FUNCTIONS).error


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("while True:\n    get_destination()", "max_calls"),
        ("while True:\n    move_to_by_shortest_path(3)", "max_moves"),
        ("while True:\n    pass", "turn_s"),
        ("while True:\n    for _ in range(30_000):\n        pass\n    move_to_by_shortest_path(3)", "total_s"),
        ("x = [0] * 10**9", "memory_bytes"),
        ("print('x' * 1000)", "max_output_chars"),
        ("x = 1\n" * 1000, "max_source_chars"),
    ],
)
def test_a_run_names_the_limit_that_ended_it(text, limit):
    generous = {"max_calls": 10**6, "max_moves": 10**6, "turn_s": 60.0, "total_s": 60.0}
    small = {
        "max_calls": 10,
        "max_moves": 10,
        "turn_s": 0.1,
        "total_s": 0.05,
        "memory_bytes": 10**6,
        "max_output_chars": 100,
        "max_source_chars": 2000,
    }
    run = run_program(body(text), FUNCTIONS, SandboxLimits(**(generous | {limit: small[limit]})))
    assert run.limit == limit
    assert run.error


def test_a_program_cut_out_of_a_reply_runs_by_its_entry():
    reply = f"```python\n{body('move_to_by_shortest_time(get_destination())')}\n\ndef helper():\n    pass\n```"
    program = extract_programs(reply, ["vehicle_0"]).programs["vehicle_0"]
    assert isinstance(program, Program)
    assert [str(move) for move in run_program(program, FUNCTIONS).moves] == ["move_to_by_shortest_time(12)"]


def test_runs_may_share_a_sandbox_and_nothing_else():
    with Sandbox() as sandbox:
        run_program("left = 5\ndef agent_0():\n    pass\n", FUNCTIONS, sandbox=sandbox)
        run = run_program(body("print(left)"), FUNCTIONS, sandbox=sandbox)
        assert "name 'left' is not defined" in run.error
        with pytest.raises(ValueError, match="either limits or a sandbox"):
            run_program("", FUNCTIONS, SandboxLimits(), sandbox=sandbox)


def test_a_mark_at_the_beginning_of_a_text_is_none_of_the_program():
    assert run_program("\ufeffdef agent_0():\n    move_to_by_shortest_time(12)\n", FUNCTIONS).moves


def test_a_function_that_nobody_would_await_is_an_error():
    run = run_program("async def agent_0():\n    move_to_by_shortest_time(12)\n", FUNCTIONS)
    assert run.error == "agent_0() is asynchronous: a call would only make it, and run nothing; write def"


def test_only_navigation_functions_can_be_given():
    with pytest.raises(ValueError, match="'teleport' is no navigation function; they are move_to_by_shortest_path"):
        run_program("", {"teleport": print})


def test_a_hit_limit_survives_pickling():
    error = pickle.loads(pickle.dumps(LimitError("too many calls", "max_calls")))
    assert (str(error), error.limit) == ("too many calls", "max_calls")
