import contextlib
import gc
import math
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rllib_releds.demonstrations.answers.programs import Program
from rllib_releds.demonstrations.errors import CallError, ProgramError
from rllib_releds.demonstrations.execution.limits import SandboxLimits
from rllib_releds.demonstrations.execution.running_program import RunningProgram
from rllib_releds.demonstrations.execution.sandbox import Sandbox
from rllib_releds.demonstrations.functions import NavigatorHost, routing_functions
from sumo_marl_env import Instruction

LIMITS = SandboxLimits(max_calls=200, max_moves=20, turn_s=1.0, total_s=20.0, memory_bytes=2_000_000)


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(LIMITS) as sandbox:
        yield sandbox


def program(body: str) -> Program:
    lines = "\n".join(f"    {line}" for line in body.strip("\n").split("\n"))
    return Program("vehicle_0", f"def agent_0():\n{lines}\n", "agent_0")


class DoubtfulHost(NavigatorHost):
    """A host under which programs wait for the outcome of every movement."""

    def is_certain(self, name):
        return False


def begin(sandbox, world, body: str, host=NavigatorHost):
    running = RunningProgram(sandbox, program(body), host(world.navigator("vehicle_0")))
    running.begin()
    return running


def moves(sandbox, world, body: str, answers=(), host=NavigatorHost) -> list[int]:
    """Targets of the movements, each answered with True or with what `answers` says."""
    running = begin(sandbox, world, body, host)
    targets = []
    answers = list(answers)
    while running.waiting_for is not None:
        targets.append(running.waiting_for.target)
        running.resume(answers.pop(0) if answers else True)
    return targets


def test_a_program_waits_at_each_movement(sandbox, world):
    running = begin(sandbox, world, "move_to_by_shortest_path(5)\nmove_to_by_shortest_time(get_destination())")
    assert running.waiting_for == Instruction("move_to_by_shortest_path", 5)
    running.resume(True)
    assert running.waiting_for == Instruction("move_to_by_shortest_time", 15)
    running.resume(True)
    assert running.waiting_for is None


def test_queries_see_the_traffic_of_their_moment(sandbox, world):
    before = "a = get_shortest_time(15)\nmove_to_by_shortest_path(5)\n"
    body = before + "b = get_shortest_time(15)\nmove_to_by_shortest_path(int(b - a) % 16)"
    running = begin(sandbox, world, body)
    world.times_s[:] *= 1.2
    running.resume(True)
    assert running.waiting_for.target == 10


def test_the_result_of_a_movement_reaches_the_program(sandbox, world):
    body = "if not move_to_by_shortest_path(5):\n    move_to_by_shortest_path(6)\nmove_to_by_shortest_path(7)"
    assert moves(sandbox, world, body, [True], DoubtfulHost) == [5, 7]
    assert moves(sandbox, world, body, [False], DoubtfulHost) == [5, 6, 7]


def test_a_certain_movement_that_fails_ends_the_program(sandbox, world):
    with pytest.raises(ProgramError, match=r"move_to_by_shortest_path\(5\) failed, although its host was certain"):
        moves(sandbox, world, "move_to_by_shortest_path(5)\nmove_to_by_shortest_path(7)", [False])


@pytest.mark.parametrize(
    "body",
    [
        "for node in [1, 5, 6, get_destination()]:\n    move_to_by_shortest_path(node)",
        "for node in [1, 5, 6]:\n    t = get_shortest_time(node)\n    move_to_by_shortest_path(int(t) % 16)",
        "move_to_by_shortest_path(5)\nt = get_shortest_time(15)\nmove_to_by_shortest_time(7)\nreturn t / 0",
        "move_to_by_shortest_path(5)\nmove_to_by_shortest_path(99)",
        "move_to_by_shortest_path(5)\ntry: get_shortest_dist(99)\nexcept ValueError: move_to_by_shortest_path(3)",
        "while True: move_to_by_shortest_path(get_nearest_node(1e308, -1e308))",
        "import random\nwhile get_shortest_dist(15) > 0: move_to_by_shortest_path(random.randrange(16))",
        "print('a')\nmove_to_by_shortest_path(5)\nprint('b' * 30000)",
    ],
)
def test_running_ahead_of_certain_movements_changes_nothing(sandbox, world, body):
    def story(host):
        told = []
        world.times_s[:] = world.network.free_flow_time_s
        world.edges["vehicle_0"] = edge = 0
        try:
            running = begin(sandbox, world, body, host)
            while running.waiting_for is not None:
                told.append(running.waiting_for)
                if running.waiting_for.target == 15:
                    # The vehicle has arrived, and nobody asks any more.
                    break
                # Time passes: the vehicle is elsewhere and the traffic another one.
                world.edges["vehicle_0"] = edge = (edge + 7) % world.network.num_edges
                world.times_s[:] *= 1.1
                running.resume(True)
        except ProgramError as error:
            told.append(str(error))
        return told

    assert story(NavigatorHost) == story(DoubtfulHost) != []


def test_a_program_that_only_moves_is_never_parked(sandbox, world, monkeypatch):
    running = begin(sandbox, world, "for node in [1, 5, 6]:\n    move_to_by_shortest_path(node)")
    monkeypatch.setattr(sandbox, "session", lambda: pytest.fail("the program has ended"))
    while running.waiting_for is not None:
        running.resume(True)


@pytest.mark.parametrize("argument", ["5", "5.0", "'5'", "' 5 '", "node_id=5"])
def test_node_ids_are_coerced(sandbox, world, argument):
    assert moves(sandbox, world, f"move_to_by_shortest_path({argument})") == [5]


@pytest.mark.parametrize(
    "argument", ["True", "None", "'five'", "5.5", "[5]", "float('nan')", "float('inf')", "5, 6", "x=5", ""]
)
def test_other_arguments_are_refused_with_the_reason(sandbox, world, argument):
    with pytest.raises(ProgramError, match="move_to_by_shortest_path"):
        begin(sandbox, world, f"move_to_by_shortest_path({argument})")


def test_an_unknown_node_is_named_and_the_program_may_catch_it(sandbox, world):
    with pytest.raises(ProgramError, match="shortest_path: unknown junction 99; little_grid has junctions 0 to 15"):
        begin(sandbox, world, "move_to_by_shortest_path(99)")
    assert moves(
        sandbox, world, "try:\n    get_node_coord(-1)\nexcept ValueError:\n    move_to_by_shortest_path(3)"
    ) == [3]


@pytest.mark.parametrize(
    ("body", "target"),
    [
        ("move_to_by_shortest_path(min([3, 5, 14], key=get_shortest_dist))", 5),
        ("move_to_by_shortest_path(max([3, 5, 15], key=lambda n: get_shortest_dist(n)))", 15),
        ("move_to_by_shortest_path(sorted([15, 3], key=get_shortest_time)[0])", 3),
        ("xs = [15, 3]\nxs.sort(key=get_shortest_time)\nmove_to_by_shortest_path(xs[0])", 3),
        ("xs = [15, 3]\nxs.sort(key=get_shortest_time, reverse=True)\nmove_to_by_shortest_path(xs[0])", 15),
        ("d = {'a': [15, 3]}\nd['a'].sort(key=lambda n: get_shortest_time(n))\nmove_to_by_shortest_path(d['a'][0])", 3),
        ("times = {3: 9.0, 5: 1.0}\nmove_to_by_shortest_path(min(times, key=times.get))", 5),
        ("a, b = {3: 9.0, 5: 1.0}, {}\nmove_to_by_shortest_path(min(a, key=(a or b).get))", 5),
        ("a, b = [], [15, 3]\n(a or b).sort(key=get_shortest_time)\nmove_to_by_shortest_path(b[0])", 3),
        ("names = ['b5', 'A3']\nmove_to_by_shortest_path(sorted(names, key=str.lower)[0][1])", 3),
        ("move_to_by_shortest_path([n for n, d in zip([3, 15], map(get_shortest_dist, [3, 15])) if d > 400][0])", 15),
        ("move_to_by_shortest_path(list(filter(lambda n: get_shortest_dist(n) > 400, [3, 15]))[0])", 15),
        ("move_to_by_shortest_path(next(n for n in [3, 15] if get_shortest_dist(n) > 400))", 15),
        ("nodes = (n for n in [3, 15])\nnext(nodes)\nmove_to_by_shortest_path(next(nodes))", 15),
        ("route = map(int, '3 15'.split())\nfirst = next(route)\nfor n in route: move_to_by_shortest_path(n)", 15),
        ("move_to_by_shortest_path(min(7, 9))", 7),
        ("move_to_by_shortest_path(max([], default=4))", 4),
        ("f = get_destination\nmove_to_by_shortest_path(f())", 15),
        ("import math\nmove_to_by_shortest_path(int(math.sqrt(16)))", 4),
        ("import math\nmove_to_by_shortest_path(int(dict(key=math.pi)['key']))", 3),
        ("def first(key):\n    return key\nclass N:\n    i = 3\nmove_to_by_shortest_path(first(key=N().i))", 3),
        (
            "class N:\n    def sort(self, key): self.i = key\nn = N()\nn.sort(key=3)\nmove_to_by_shortest_path(n.i)",
            3,
        ),
        ("x, y = get_node_coord(6)\nmove_to_by_shortest_path(get_nearest_node(x + 3, y - 2))", 6),
    ],
)
def test_ordinary_python_works_around_calls(sandbox, world, body, target):
    assert moves(sandbox, world, body) == [target]


ABUSE = {
    "endless loop": "while True: pass",
    "endless loop that catches all": "while True:\n    try:\n        while True: pass\n    except: pass",
    "endless queries": "while True: get_origin()",
    "endless queries that catch all": "while True:\n    try:\n        while True: get_origin()\n    except: pass",
    "endless movements": "while True: move_to_by_shortest_path(5)",
    "endless movements that catch all": "while True:\n    try:\n        move_to_by_shortest_path(5)\n    except: pass",
    "endless bad calls": "while True:\n    try:\n        get_node_coord('x')\n    except: pass",
    "endless recursion": "def f(): f()\nf()",
    "big list": "x = [0] * 10**9",
    "growing list": "x = [1]\nwhile True: x += x",
    "big power": "10 ** 10 ** 8",
    "big text": "x = 'a'\nwhile True: x += x",
    "big format": "'%1000000000d' % 1",
    "regex bomb": "import re\nwhile True: re.match('(a+)+$', 'a' * 40 + 'b')",
    "shell": "import os\nos.system('ls')",
    "file": "open('/etc/passwd').read()",
    "file by pathlib": "from pathlib import Path\nPath('/etc/passwd').read_text()",
    "network": "import socket",
    "process": "import subprocess\nsubprocess.run(['ls'])",
    "import by name": "__import__('os').system('ls')",
    "environment": "import os\nos.environ['HOME']",
    "class walk": "().__class__.__base__.__subclasses__()",
    "frame walk": "move_to_by_shortest_path.__globals__",
    "format leak": "'{0.__class__.__mro__}'.format(1)",
    "exit": "raise SystemExit",
    "printing": "while True: print('x' * 10000)",
    "generator": "yield 1",
    "nested data": "x = []\nfor _ in range(10**6): x = [x]",
    "input": "input()",
    "unknown function": "teleport(5)",
    "compile": "exec(compile('import os', 'x', 'exec'))",
    "interrupt": "raise KeyboardInterrupt",
}


@pytest.mark.parametrize("name", ABUSE)
def test_abuse_ends_with_an_error_and_harms_nobody(sandbox, world, name, capfd):
    began = time.perf_counter()
    with pytest.raises(ProgramError) as caught:
        moves(sandbox, world, ABUSE[name])
    assert str(caught.value)
    assert time.perf_counter() - began < 60
    assert capfd.readouterr() == ("", "")
    assert moves(sandbox, world, "move_to_by_shortest_path(7)") == [7]


def test_an_error_names_the_line(sandbox, world):
    with pytest.raises(ProgramError, match=r"ZeroDivisionError.*line 3: return x / 0"):
        begin(sandbox, world, "x = 1\nreturn x / 0")


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("# one\nxs = [3]\nxs.sort(key=get_shortest_time)\n# two\nreturn xs / 0", 6),
        ("return min([], key=get_shortest_time)", 2),
        ("times = {}\nreturn min([[3]], key=times.get)", 3),
    ],
    ids=["behind a rewritten line", "in the prelude", "in a rewritten line"],
)
def test_lines_are_those_of_the_program(sandbox, world, body, line):
    last = body.splitlines()[-1]
    with pytest.raises(ProgramError, match=re.escape(f"(line {line}: {last})")):
        begin(sandbox, world, body)


def test_check_ends_also_where_a_text_computes_before_it_is_called(world):
    text = "from pathlib import Path\nfor _ in range(100):\n    try: Path('x').exists()\n    except Exception: pass\n"
    text += "    for _ in range(2_000_000): pass\n"
    with Sandbox(SandboxLimits(total_s=0.5)) as sandbox:
        assert "0.5 s of computing" in sandbox.check(Program("agent_0", text, ""))


def test_a_hundred_programs_share_one_worker(sandbox, world):
    body = "for n in [5, 6, 7]:\n    move_to_by_shortest_path(n)"
    running = [begin(sandbox, world, body) for _ in range(100)]
    for target in (5, 6, 7):
        assert {run.waiting_for.target for run in running} == {target}
        for run in running:
            run.resume(True)
    assert all(run.waiting_for is None for run in running)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("move_to_by_shortest_time()", "node_id"),
        ("move_to_by_shortest_tim(5)", "move_to_by_shortest_tim"),
        ("move_to_by_shortest_time(5, 6)", "expected 1, got 2"),
        ("import heapq", "heapq"),
        ("class A(Exception): pass", "inheritance"),
    ],
)
def test_check_finds_what_is_bound_to_fail(sandbox, body, error):
    assert error in sandbox.check(program(body))


@pytest.mark.parametrize(
    ("line", "words"),
    [("class Blocked(Exception): pass", "inheritance"), ("del X[0]", "del"), ("Y = X[7]", "IndexError")],
)
def test_check_sees_the_rest_of_a_program_that_is_loosely_typed_alone(sandbox, line, words):
    text = f"X = [1]\n{line}\n\ndef follow(route: list = None) -> bool:\n    move_to_by_shortest_time(route)\n"
    loose = f"{text}\ndef agent_0():\n    follow(3)\n"
    assert words in sandbox.check(Program("vehicle_0", loose, "agent_0"))
    assert sandbox.check(Program("vehicle_0", loose.replace(line, ""), "agent_0")) is None


@pytest.mark.parametrize("module", ["heapq", "heapq as h", "numpy as np, math"])
def test_check_sees_the_rest_of_a_program_that_imports_what_is_not_there(sandbox, module):
    error = sandbox.check(Program("vehicle_0", f"import {module}\n\ndef f():\n    undefined_function(1)\n", "f"))
    assert module.split()[0] in error
    assert "undefined_function" in error


@pytest.mark.parametrize(
    "body",
    [
        "move_to_by_shortest_time('5')",
        "for n in map(int, '1 2'.split()): move_to_by_shortest_time(n)",
        "return list(filter(None, [0, 1])), getattr([], 'y', None), hasattr([], 'y'), format(3.14159, '.2f')",
        "best = None\nfor n in [1, 2]:\n    if best is None or n < best: best = n\nmove_to_by_shortest_time(best)",
        "while True: pass",
        "return min([1, 2], key=get_shortest_time)",
        "class N: pass\nsetattr(N(), 'x', 3)",
        "try:\n    import math\nexcept (ImportError, ModuleNotFoundError, UnboundLocalError):\n    math = None",
    ],
)
def test_check_lets_loose_typing_pass_and_runs_nothing(sandbox, body):
    assert sandbox.check(program(body)) is None


@pytest.mark.parametrize(
    "line",
    [
        "min(NODES, key=lambda node: get_shortest_time(node))",
        "next(node for node in NODES if get_shortest_time(node) > 0)",
        "NODES.sort(key=get_shortest_time)",
    ],
)
def test_check_accepts_at_top_level_what_runs_there(sandbox, line):
    text = f"NODES = [1, 2, 3]\nNEAR = {line}\n\ndef agent_0():\n    move_to_by_shortest_path(2)\n"
    assert sandbox.check(Program("vehicle_0", text, "agent_0")) is None


def test_check_accepts_a_call_at_top_level(sandbox, world):
    source = "GOAL = get_destination()\n\n\ndef go():\n    move_to_by_shortest_time(GOAL)\n"
    constant = Program("vehicle_0", source, "go")
    assert sandbox.check(constant) is None
    running = RunningProgram(sandbox, constant, NavigatorHost(world.navigator("vehicle_0")))
    running.begin()
    assert running.waiting_for.target == 15


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, True, "5"])
@pytest.mark.parametrize("name", ["total_s", "max_moves"])
def test_limits_that_are_none_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} of SandboxLimits must be a positive number"):
        SandboxLimits(**{name: value})


def test_check_finds_a_text_that_is_too_long_or_does_not_parse(sandbox):
    assert "more than 50000; shorten it" in sandbox.check(program("pass" + " " * 60_000 + "# end"))
    assert "invalid-syntax" in sandbox.check(program("return '" + "''x"))


def test_programs_see_no_clock(sandbox, world):
    body = "import time, datetime\nreturn print(time.time(), datetime.datetime.now())"
    outputs = [begin(sandbox, world, body).output for _ in range(2)]
    assert outputs[0] == outputs[1] == "946684800.0 2000-01-01 00:00:00\n"


def test_the_random_numbers_of_programs_are_the_same_in_every_run(sandbox, world):
    body = (
        "import random\nmove_to_by_shortest_path(random.randrange(16))\nmove_to_by_shortest_path(random.randrange(16))"
    )
    assert moves(sandbox, world, body) == moves(sandbox, world, body)


def test_an_abandoned_sandbox_ends_its_worker():
    sandbox = Sandbox().__enter__()
    with sandbox.session() as session:
        worker = Path(f"/proc/{session.worker_pid}")
    assert worker.exists()
    del session, sandbox
    gc.collect()
    deadline = time.monotonic() + 60
    while worker.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not worker.exists()


def test_a_closed_sandbox_says_so(world):
    with pytest.raises(RuntimeError, match="context manager"):
        begin(Sandbox(), world, "pass")


def test_the_table_has_the_eight_functions_of_the_paper():
    assert list(routing_functions().functions) == [
        "move_to_by_shortest_path",
        "move_to_by_shortest_time",
        "get_origin",
        "get_destination",
        "get_shortest_dist",
        "get_shortest_time",
        "get_nearest_node",
        "get_node_coord",
    ]
    assert (
        routing_functions().functions["get_node_coord"].signature
        == "get_node_coord(node_id: int) -> tuple[float, float]"
    )
    assert routing_functions().type_stubs().count("def ") == 8


def test_calls_are_checked_by_signature():
    assert routing_functions().check_call("get_nearest_node", [1], {"y": "2.5"}) == (1.0, 2.5)
    with pytest.raises(CallError, match=r"get_origin\(\) -> int"):
        routing_functions().check_call("get_origin", [1], {})
    with pytest.raises(CallError, match="not defined"):
        routing_functions().check_call("teleport", [], {})


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.none().map(lambda _: 10**5000),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(
    st.sampled_from(list(routing_functions().functions)),
    st.lists(ANYTHING, max_size=3),
    st.dictionaries(st.text(), ANYTHING),
)
def test_any_arguments_become_numbers_or_one_error(name, arguments, by_name):
    with contextlib.suppress(CallError):
        values = routing_functions().check_call(name, arguments, by_name)
        assert all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
