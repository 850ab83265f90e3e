import ast
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rllib_releds.demonstrations.answers.programs import extract_programs
from rllib_releds.demonstrations.answers.replies import MAX_REPLY_CHARS

AGENTS = ["vehicle_0", "vehicle_1", "vehicle_2"]
GO = "move_to_by_shortest_time(get_destination())"


def fenced(code: str, language: str = "python") -> str:
    return f"Here you are:\n\n```{language}\n{code}\n```\nGood luck!"


def functions(*numbers: int, body: str = GO) -> str:
    return "\n".join(f"def agent_{number}():\n    {body}\n" for number in numbers)


def one(reply: str, agent: str = "vehicle_0"):
    extraction = extract_programs(reply, [agent])
    assert not extraction.errors
    return extraction.programs[agent]


def test_each_agent_gets_its_function_and_only_that():
    extraction = extract_programs(fenced(functions(0, 1, 2)), AGENTS)
    assert not extraction.errors
    for number, agent in enumerate(AGENTS):
        program = extraction.programs[agent]
        assert program.entry == f"agent_{number}"
        assert program.source.count("def ") == 1


def test_an_agent_may_call_the_function_of_another_one_that_takes_an_argument():
    code = (
        f"def agent_0(by=None):\n    {GO}\n\ndef agent_1(unused):\n    agent_0(1)\n\ndef agent_2():\n    agent_1(0)\n"
    )
    extraction = extract_programs(fenced(code), AGENTS)
    assert not extraction.errors
    for agent, program in extraction.programs.items():
        called = {node.func.id for node in ast.walk(ast.parse(program.source)) if isinstance(node, ast.Call)}
        defined = {node.name for node in ast.parse(program.source).body}
        assert called - defined == {"move_to_by_shortest_time", "get_destination"}, agent
        assert program.entry in defined


@pytest.mark.parametrize(
    "reply",
    [
        fenced(functions(0, 1, 2)),
        fenced(functions(0, 1, 2), ""),
        functions(0, 1, 2),
        "Sure, the programs are:\n" + functions(0, 1, 2),
        "<think>def agent_0(): nonsense(</think>" + fenced(functions(0, 1, 2)),
        fenced(functions(0)) + fenced(functions(1, 2)),
        "```python\n" + functions(0, 1, 2),
        fenced(functions(0, 1, 2).replace("    ", "\t")),
        fenced(functions(0, 1, 2).replace("\n", "\r\n")),
        "  - first\n\n    ```python\n    def agent_0():\n        pass\n    ```\n" + fenced(functions(1, 2)),
        '{"agent_0": "pass", "agent_1": "def agent_1():\\n    pass", "vehicle_2": "```python\\npass\\n```"}',
        fenced('{"agents": [{"id": 0, "code": "pass"}, {"id": 1, "code": "pass"}, {"id": 2, "code": "pass"}]}', "json"),
        fenced(json.dumps([{"vehicle": n, "code": "pass"} for n in range(3)]), "json"),
        fenced(f"def drive():\n    {GO}\n"),
        fenced(f"def drive(agent_id):\n    {GO}\n\nfor i in range(3):\n    drive(i)\n"),
        fenced(f"def go():\n    {GO}\nPROGRAMS = {{0: go, 'agent_1': go, 'vehicle_2': lambda: {GO}}}"),
        fenced(functions(0, 1, 2).replace("agent_", "vehicle_")),
        fenced(functions(0, 1, 2).replace("def ", "async def ")),
        fenced(functions(0, 1, 2).replace("()", "(self)", 1)),
        fenced("\n".join(f">>> {line}" for line in functions(0, 1, 2).splitlines())),
        fenced(functions(0, 1, 2)).replace('"', "\u201c"),
        fenced(functions(0, 1, 2)) + "\n\nLet me know if you need def agent_9(): anything else",
        "".join(fenced(json.dumps({f"agent_{n}": functions(n)}), "json") for n in range(3)),
        "I use {nothing} but: " + json.dumps({f"agent_{n}": functions(n) for n in range(3)}) + " and {that}.",
        json.dumps({f"agent_{n}": functions(n).split("\n") for n in range(3)}),
        '{"agent_0": "pass", "agent_1": "pass", "agent_2": "pass",}',
        "{'agent_0': 'pass', 'agent_1': 'pass', 'agent_2': 'pass'}",
        fenced("PROGRAMS = {" + ", ".join(f"'agent_{n}': '''\n{functions(n)}'''" for n in range(3)) + "}"),
        fenced("\n".join(f"agent_{n} = lambda: {GO}" for n in range(3))),
        fenced(functions(0) + "agent_1 = agent_0\nagent_2 = agent_0"),
        "".join(f"### Agent {n}\n```python\n{GO}\n```\n" for n in range(3)),
        "Sure:\n\n" + "\n".join(f"    {line}" for line in functions(0, 1, 2).splitlines()) + "\n\nGood luck!",
        "<pre><code class='python'>" + functions(0, 1, 2) + "</code></pre>",
        fenced("\n".join(f">>> {line}" for line in functions(0, 1, 2).splitlines()), "pycon"),
        fenced('{"agent_0": "goes north", "agent_1": "goes south"}', "json") + fenced(functions(0, 1, 2)),
        fenced(json.dumps({"code": functions(0, 1, 2)}), "json"),
        json.dumps({"thoughts": "north first", "programs": fenced(functions(0, 1, 2))}),
        json.dumps({"answer": functions(0, 1, 2)}),
        fenced(json.dumps({"result": {"python_code": functions(0, 1, 2)}}), "json"),
        f"<tool_call>{json.dumps({'name': 'python', 'arguments': {'script': functions(0, 1, 2)}})}</tool_call>",
        json.dumps({"name": "python", "arguments": json.dumps({"script": functions(0, 1, 2)})}),
        f"<|python_tag|>{functions(0, 1, 2)}",
        fenced(json.dumps({f"agent_{n}": {"code": functions(n), "note": "go (fast)"} for n in range(3)}), "json"),
        json.dumps([{"agent": f"agent_{n}", "program": functions(n).split("\n")} for n in range(3)]),
        f"Here is the code: ```python\n{functions(0, 1, 2)}\n```\nGood luck!",
        f"The code: ```\n{functions(0, 1, 2)}\n```\nGood luck!",
        f"```python\n{functions(0, 1, 2).rstrip()}```\n\nGood luck! if needed, def agent_9(",
        "".join(f"1. Agent {n}: ```python\n   def run():\n       {GO}\n   ```\n" for n in range(3)),
        f"north, then ```python\ndef agent_0(): nonsense(\n```\n</think>\n{fenced(functions(0, 1, 2))}",
    ],
)
def test_usual_shapes_of_replies_give_all_programs(reply):
    extraction = extract_programs(reply, AGENTS)
    assert extraction.errors == {}
    for program in extraction.programs.values():
        tree = ast.parse(program.source)
        assert any(isinstance(node, ast.FunctionDef) and node.name == program.entry for node in tree.body)
        assert not any(isinstance(node, ast.Expr) for node in tree.body), "a call at top level"


def test_a_program_under_each_heading_goes_to_the_agent_of_the_heading():
    reply = "".join(f"**Agent {n}**\n\n```python\ndef run():\n    return {n + 10}\n```\n" for n in range(3))
    programs = extract_programs(reply, AGENTS).programs
    assert [f"return {n + 10}" in programs[f"vehicle_{n}"].source for n in range(3)] == [True] * 3


def test_json_that_is_cut_off_loses_only_its_end():
    reply = json.dumps({f"agent_{n}": functions(n) for n in range(3)})[:-30]
    extraction = extract_programs(reply, AGENTS)
    assert set(extraction.programs) == {"vehicle_0", "vehicle_1"}
    assert extraction.errors == {"vehicle_2": "there is no code for agent_2 in the reply"}


def test_helpers_and_constants_come_along_only_where_they_are_used():
    code = f"NODES = [1, 2]\ndef helper(n):\n    return NODES[n]\n{functions(0)}def agent_1():\n    return helper(0)\n"
    extraction = extract_programs(fenced(code), AGENTS[:2])
    assert "helper" not in extraction.programs["vehicle_0"].source
    assert "NODES = [1, 2]" in extraction.programs["vehicle_1"].source


def test_top_level_code_that_fills_a_table_is_kept():
    table = "G = {}\nfor n in range(3):\n    G[n] = n + 1\nG.update({7: 8})\n"
    code = f"{table}def agent_0():\n    return G[1]\n{functions(1)}"
    program = extract_programs(fenced(code), AGENTS[:2]).programs["vehicle_0"]
    assert "G[n] = n + 1" in program.source
    assert "G.update" in program.source


def test_top_level_calls_and_main_guards_are_dropped():
    code = functions(0) + "\nagent_0()\nresult = agent_0()\nif __name__ == '__main__':\n    agent_0()\n"
    assert one(fenced(code)).source.count("agent_0") == 1


def test_a_broken_function_fails_alone_and_the_error_names_its_line():
    code = functions(0) + "def agent_1():\n    return move_to_by_shortest_time(\n\n" + functions(2)
    extraction = extract_programs(fenced(code), AGENTS)
    assert set(extraction.programs) == {"vehicle_0", "vehicle_2"}
    assert "agent_1 does not parse" in extraction.errors["vehicle_1"]


def test_a_truncated_reply_loses_only_its_end():
    code = functions(0, 1) + "def agent_2():\n    if get_shortest_time("
    extraction = extract_programs("```python\n" + code, AGENTS)
    assert set(extraction.programs) == {"vehicle_0", "vehicle_1"}


def test_a_helper_that_does_not_parse_fails_those_who_need_it():
    code = "def helper():\n    return (\n\n" + functions(0) + "def agent_1():\n    return helper()\n"
    extraction = extract_programs(fenced(code), AGENTS[:2])
    assert set(extraction.programs) == {"vehicle_0"}
    assert "needs helper" in extraction.errors["vehicle_1"]


def test_missing_functions_are_named():
    extraction = extract_programs(fenced(functions(0)), AGENTS)
    assert extraction.errors["vehicle_1"] == "there is no function agent_1() in the reply"


def test_a_wrong_number_of_parameters_is_an_error():
    extraction = extract_programs(fenced("def agent_0(start, end):\n    return start + end"), AGENTS[:1])
    assert "agent_0 must take no arguments, it takes start, end" in extraction.errors["vehicle_0"]


def test_redefined_stubs_and_imports_of_the_navigation_functions_go():
    code = (
        "from navigation import *\nimport navigation as nav\nfrom typing import List\n"
        "def move_to_by_shortest_time(node_id):\n    raise NotImplementedError\n"
        "def agent_0():\n    from env import get_destination\n    nav.move_to_by_shortest_time(nav.get_destination())\n"
    )
    program = one(fenced(code))
    assert "NotImplementedError" not in program.source
    assert "navigation" not in program.source
    assert "    move_to_by_shortest_time(get_destination())" in program.source


def test_other_names_that_an_import_gives_to_navigation_functions_are_known():
    code = (
        "from navigation import move_to_by_shortest_time as go\n"
        "def agent_0():\n    from navigation import get_destination as goal\n    go(goal())\n"
    )
    source = one(fenced(code)).source
    assert "go = move_to_by_shortest_time" in source
    assert "    goal = get_destination" in source
    assert "import" not in source


def test_an_agent_gets_the_imports_that_stand_in_a_try():
    code = (
        "try:\n    import math\n    from navigation import *\nexcept ImportError:\n    pass\n"
        "def agent_0():\n    move_to_by_shortest_time(math.floor(3.5))\n"
    )
    assert "import math" in one(fenced(code)).source


def test_a_stub_that_stands_in_an_if_takes_no_functions_place():
    code = (
        "SIMULATED = False\nif not SIMULATED:\n    def move_to_by_shortest_time(node_id):\n        return True\n"
        "def agent_0():\n    move_to_by_shortest_time(3)\n"
    )
    assert "return True" not in one(fenced(code)).source


@pytest.mark.parametrize("end", ["\r", "\r\n", "\u2028"])
def test_lines_may_end_in_other_ways(end):
    assert (
        "    move_to_by_shortest_time(3)"
        in one(fenced(functions(0, body="move_to_by_shortest_time(3)")).replace("\n", end)).source
    )


def test_typographers_signs_are_mended():
    program = one(fenced("def agent_0()\uff1a\n    move_to_by_shortest_time(4 \u2212 1)"))
    assert "move_to_by_shortest_time(4 - 1)" in program.source


def test_a_list_of_agents_by_their_ids_is_read():
    reply = json.dumps([{"agent_id": 0, "program": "def agent_0():\n    move_to_by_shortest_time(3)"}])
    assert "move_to_by_shortest_time(3)" in one(reply).source


@pytest.mark.parametrize(
    "row",
    [
        {"id": 1, "agent_id": 0},
        {"name": "route A", "agent_id": 0},
        {"id": "plan", "vehicle": 0},
        {"id": 1, "name": "agent_0"},
        {"number": 7, "vehicle_id": "vehicle_0"},
    ],
)
def test_what_names_the_agent_of_a_row_comes_before_what_numbers_the_row(row):
    rows = [{**row, "code": "move_to_by_shortest_time(3)"}, {"agent": 1, "code": "move_to_by_shortest_time(4)"}]
    extraction = extract_programs(json.dumps(rows), AGENTS[:2])
    assert not extraction.errors
    assert "(3)" in extraction.programs["vehicle_0"].source


def test_await_and_asyncio_go():
    helper = "import asyncio\nasync def go():\n    return await move_to_by_shortest_time(3)\n"
    code = helper + "def agent_0():\n    asyncio.run(go())"
    program = one(fenced(code))
    assert "await" not in program.source
    assert "async " not in program.source


def test_the_last_definition_counts():
    program = one(fenced(functions(0, body="return 1")) + fenced(functions(0, body="return 2")))
    assert "return 2" in program.source
    assert "return 1" not in program.source


def test_a_generic_function_gets_the_agents_number():
    program = extract_programs(fenced("def drive(i):\n    return i"), AGENTS).programs["vehicle_2"]
    assert "drive(2)" in program.source


def test_code_left_in_an_unclosed_thought_is_found():
    assert one("<think>I would write\n" + fenced(functions(0))).entry == "agent_0"


@pytest.mark.parametrize(
    "code",
    [
        "\n".join(f"x{row + 1} = x{row}" for row in range(8000, 0, -1)) + "\ndef agent_0():\n    return x8000\n",
        "a b\n" * 30_000,
        "def agent_0():\n    pass\n" * 5000,
        "```python\n" * 15_000,
        "<think>" * 20_000,
        "(" * 100_000,
        "x." * 90_000,
        "1+" * 90_000 + "1",
        "agent_" * 30_000 + "0",
    ],
)
def test_degenerate_replies_are_read_in_bounded_time(code):
    began = time.process_time()
    extract_programs(fenced(code), AGENTS)
    assert time.process_time() - began < 20


def test_the_reply_for_many_agents_is_read_in_bounded_time():
    own = "".join(fenced(f"HELPER = {number}\n{functions(number)}") for number in range(100))
    began = time.process_time()
    extraction = extract_programs(own + fenced("x = 1\n" * 25_000), [f"vehicle_{number}" for number in range(100)])
    assert time.process_time() - began < 20
    assert not extraction.errors


FRAGMENTS = st.sampled_from(
    [
        *("```python\n", "```", "<think>", "</think>", "def agent_0():\n", "def agent_1(x):\n    ", "{", "}", "("),
        *(
            "    return 1\n",
            "import os\n",
            "\n",
            "async ",
            "await ",
            "'''",
            "\\",
            "lambda: ",
            "\x00",
            "\ud800",
            "del x\n",
        ),
        *("agent_0()\n", "x = ", "[" * 300, "-" * 3000, "if x:\n", "@", "nav.get_origin()", "class A:\n", "\u201c"),
        *("### Agent 0\n", "1. Agent 1: ```\n", "\ndef run():\n", "X = 1\n", '{"code": "def agent_0():\\n    pass"}'),
        *("0: agent_0,", '"agent_0": ', "0x" + "F" * 5000, "agent_0 = lambda: "),
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), st.lists(FRAGMENTS | st.text(max_size=5), max_size=25).map("".join)))
def test_extraction_never_raises_and_accounts_for_every_agent(reply):
    extraction = extract_programs(reply, AGENTS)
    assert set(extraction.programs) | set(extraction.errors) == set(AGENTS)
    assert not set(extraction.programs) & set(extraction.errors)


HUGE = "0x" + "F" * 5000  # more decimal digits than Python writes out


@pytest.mark.parametrize(
    "code",
    [
        f"agent_0 = lambda: {HUGE}",
        f"({HUGE}).bit_length()",
        f"def agent_0():\n    return ({HUGE}).bit_length()",
        f"X = {{{HUGE}: 'move(1)'}}",
        f"X = {{{HUGE}: agent_1}}",
    ],
)
def test_an_int_that_cannot_be_written_out_spoils_nobody_else(code):
    extraction = extract_programs(fenced(f"{functions(1)}\n{code}"), AGENTS[:2])
    assert set(extraction.programs) == {"vehicle_1"}
    assert set(extraction.errors) == {"vehicle_0"}
    assert extract_programs(code, AGENTS[:1]).programs == {}
    assert extract_programs(fenced(code), AGENTS[:1]).programs == {}


@pytest.mark.parametrize("line", ["x" * MAX_REPLY_CHARS, "x " * (MAX_REPLY_CHARS // 2), "`" * MAX_REPLY_CHARS])
def test_a_fence_that_never_ends_its_line_is_read_in_linear_time(line):
    began_s = time.process_time()
    assert not extract_programs(f"```{line}"[:MAX_REPLY_CHARS], AGENTS).programs
    assert time.process_time() - began_s < 5


def test_some_agents_keep_the_numbers_that_they_have_among_all():
    """In a repair turn, of ids that do not all end in numbers of their own."""
    agents = ["bus_1", "car_1", "car_2"]
    extraction = extract_programs(fenced(functions(0, 1)), agents, wanted=["bus_1", "car_2"])
    assert {agent: program.entry for agent, program in extraction.programs.items()} == {"bus_1": "agent_0"}
    assert extraction.errors == {"car_2": "there is no function agent_2() in the reply"}


@pytest.mark.parametrize(
    "notes", ['{"agent_0": "passes node 12 (north)"}', "PLAN = {'agent_0': 'passes node 12 (north)'}"]
)
def test_notes_beside_functions_of_agents_are_no_code(notes):
    extraction = extract_programs(fenced(notes, "json") + fenced(functions(0, 1, 2)), AGENTS)
    assert extraction.errors == {}
    assert "passes node" not in extraction.programs["vehicle_0"].source


def test_notes_beside_one_function_for_all_are_no_code():
    notes = '{"agent_0": "passes node 12 (north)", "agent_1": "the same (later)", "agent_2": "south (quiet)"}'
    extraction = extract_programs(fenced(notes, "json") + fenced("def drive(i):\n    return i"), AGENTS)
    assert extraction.errors == {}
    assert "drive(2)" in extraction.programs["vehicle_2"].source


def test_notes_beside_a_broken_function_do_not_hide_what_is_wrong_with_it():
    reply = fenced('{"agent_0": "passes node 12 (north)"}', "json") + fenced("def agent_0():\n    return (\n")
    assert (
        "agent_0 does not parse: SyntaxError: '(' was never closed"
        in extract_programs(reply, AGENTS).errors["vehicle_0"]
    )


@pytest.mark.parametrize("helper", ["route_1", "plan_1", "path_program_1"])
def test_beside_agents_a_helper_with_a_number_is_nobodys_program(helper):
    code = f"def {helper}():\n    {GO}\n{functions(0).replace(GO, f'{helper}()')}{functions(2)}"
    extraction = extract_programs(fenced(code), AGENTS)
    assert set(extraction.programs) == {"vehicle_0", "vehicle_2"}
    assert extraction.errors == {"vehicle_1": "there is no function agent_1() in the reply"}
    assert f"def {helper}" in extraction.programs["vehicle_0"].source


def test_beside_an_alias_called_like_an_agent_a_helper_with_a_number_is_nobodys_program():
    code = f"def route_1():\n    {GO}\nPROGRAMS = {{'agent_0': route_1, 'agent_2': route_1}}"
    assert set(extract_programs(fenced(code), AGENTS).programs) == {"vehicle_0", "vehicle_2"}


@pytest.mark.parametrize("name", ["route_{}", "plan_{}", "program_{}_north"])
def test_without_functions_of_agents_numbered_programs_are_theirs(name):
    code = "\n".join(f"def {name.format(number)}():\n    return {number}" for number in range(3))
    programs = extract_programs(fenced(code), AGENTS).programs
    assert [programs[agent].entry for agent in AGENTS] == [name.format(number) for number in range(3)]


def test_a_list_of_functions_is_data():
    helpers = f"def route_1():\n    {GO}\ndef route_2():\n    {GO}\n"
    code = f"{helpers}ROUTES = [route_1, route_2]\nWAYS = [move_to_by_shortest_path]\n"
    program = one(fenced(f"{code}def agent_0():\n    ROUTES[0]()\n    WAYS[0](3)\n"))
    assert "ROUTES = [route_1, route_2]" in program.source
    assert "WAYS = [move_to_by_shortest_path]" in program.source
    assert program.source.count("def ") == 3


def test_a_list_of_what_functions_return_would_drive():
    code = f"{functions(0, 1)}RESULTS = [agent_0(), agent_1()]\ndef agent_2():\n    return RESULTS\n"
    assert "RESULTS = " not in extract_programs(fenced(code), AGENTS).programs["vehicle_2"].source


def test_a_name_without_end_means_no_agent():
    reply = f"def {'to_' * 100}agent_0():\n    move_to_by_shortest_path(3)\n"
    agents = ["vehicle_0", "vehicle_1"]
    assert set(extract_programs(reply, agents).errors) == set(agents)
    assert set(extract_programs(reply.replace("to_" * 100, "to_" * 9), agents).programs) == {"vehicle_0"}
