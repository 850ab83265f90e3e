"""What a program takes along from the top level of a reply, and which function is meant to be it."""

import pytest

from rllib_releds.demonstrations.answers.programs import Program, extract_programs

AGENTS = ["vehicle_0", "vehicle_1", "vehicle_2"]
GO = "move_to_by_shortest_time(get_destination())"


def fenced(code: str) -> str:
    return f"```python\n{code}\n```"


def one(reply: str) -> Program:
    extraction = extract_programs(reply, AGENTS[:1])
    assert not extraction.errors
    return extraction.programs["vehicle_0"]


ALL = ", ".join(f"agent_{number}" for number in range(3))


@pytest.mark.parametrize(
    "code",
    [
        "class Team:\n" + "".join(f"    def agent_{n}(self):\n        go({n})\n" for n in range(3))
        + "def main():\n    Team().agent_0()\n    Team().agent_1()\n",
        "".join(f"agent_{n} = make_route([{n}])\n" for n in range(3)) + f"def main():\n    for f in ({ALL}): f()\n",
        "".join(f"agent_{n} = partial(drive, [{n}])\n" for n in range(3)) + "def drive(route):\n    go(route)\n",
        "def run():\n" + "".join(f"    def agent_{n}():\n        go({n})\n    agent_{n}()\n" for n in range(3)),
    ],
)  # fmt: skip
def test_what_calls_everybody_is_nobodys_program(code):
    """Else each agent would drive the routes of all."""
    extraction = extract_programs(fenced(code), AGENTS)
    assert not extraction.programs
    assert "; write def agent_1(): and its movements" in extraction.errors["vehicle_1"]


@pytest.mark.parametrize("parameter", ["route", "nodes", "*nodes", "waypoints"])
def test_a_function_for_everybody_is_told_the_agent_and_nothing_else(parameter):
    code = f"def drive({parameter}):\n    for node in {parameter.strip('*')}:\n        move_to_by_shortest_path(node)\n"
    extraction = extract_programs(fenced(code), AGENTS)
    assert extraction.errors["vehicle_2"] == (
        f"drive takes {parameter.strip('*')}; write def agent_2(): and its movements"
    )


@pytest.mark.parametrize(
    ("parameter", "data", "told"),
    [
        ("agent", "{0: [1]}", "2"),
        ("agent_id: int", "{}", "2"),
        ("i", "[[1], [2], [3]]", "2"),
        ("agent_id", "{'agent_0': [1], 'agent_1': [2], 'agent_2': [3]}", "'agent_2'"),
        ("agent_id", "{'agent_0': [1]}", "'agent_2'"),
        ("agent_name: str", "{}", "'agent_2'"),
        ("index", "['agent_0', 'agent_1', 'agent_2']", "2"),
        ("i", "{f'agent_{n}': [n] for n in range(3)}", "2"),
        ("who", "{'agent_' + str(n): [n] for n in range(3)}", "2"),
        ("ego", "{}", "2"),
    ],
)
def test_a_function_for_everybody_is_told_the_agent_as_it_knows_it(parameter, data, told):
    code = f"ROUTES = {data}\ndef drive({parameter}):\n    return ROUTES[{parameter.split(':')[0]}]\n"
    assert f"return drive({told})" in extract_programs(fenced(code), AGENTS).programs["vehicle_2"].source


@pytest.mark.parametrize(
    "code",
    [
        "".join(f"agent_{n}_route = [{n}]\n" for n in range(3)) + "def drive(agent):\n    return agent_0_route\n",
        "agent_0, agent_1, agent_2 = 0, 1, 2\ndef drive(agent):\n    return agent == agent_1\n",
        "def drive(agent):\n    def agent_0_plan():\n        return [1]\n    return {0: agent_0_plan}[agent]()\n",
        "def main(*args, **options):\n    move_to_by_shortest_path(3)\n",
        "def run():\n    agent_1 = get_destination()\n    move_to_by_shortest_path(agent_1)\n",
    ],
)
def test_data_and_variables_with_names_of_agents_hinder_nobody(code):
    extraction = extract_programs(fenced(code), AGENTS)
    assert extraction.errors == {}


def test_several_functions_of_one_name_do_not_say_whose_they_are():
    code = "\n".join(f"# Agent {n}\ndef drive():\n    move_to_by_shortest_path({n})" for n in range(3))
    assert "several functions drive()" in extract_programs(fenced(code), AGENTS).errors["vehicle_0"]
    blocks = [fenced(f"def drive():\n    move_to_by_shortest_path({n})") for n in (0, 1, 1)]
    assert "several functions drive()" in extract_programs("\n".join(blocks), AGENTS).errors["vehicle_0"]
    draft = "def drive():\n    pass\n" + code.splitlines()[-2] + "\n" + code.splitlines()[-1]
    assert "move_to_by_shortest_path(2)" in extract_programs(fenced(draft), AGENTS).programs["vehicle_0"].source


def test_an_annotated_name_is_a_name():
    code = f"agent_0: Callable = lambda: {GO}\nPROGRAMS: dict = {{'agent_1': north}}\ndef north():\n    {GO}\n"
    extraction = extract_programs(fenced(code), AGENTS[:2])
    assert extraction.errors == {}


def test_movements_under_another_name_are_kept():
    code = (
        "go = move_to_by_shortest_path\nhop = lambda n: move_to_by_shortest_time(n)\n"
        "STEPS = {1: lambda: go(4)}\nunused = lambda n: go(n)\n"
        "def agent_0():\n    go(3)\n    STEPS[1]()\n    hop(get_destination())\n"
    )
    source = one(fenced(code)).source
    assert "unused" not in source
    moves: list[int] = []

    def move(node: int) -> bool:
        moves.append(node)
        return True

    functions = {"move_to_by_shortest_path": move, "move_to_by_shortest_time": move, "get_destination": lambda: 9}
    exec(compile(source + "agent_0()", "reply", "exec"), functions)
    assert moves == [3, 4, 9]


@pytest.mark.parametrize("line", ["hop = lambda n=move_to_by_shortest_time(3): n", "hop = agent_1", "hop = agent_1()"])
def test_what_would_drive_at_top_level_is_dropped_under_another_name_too(line):
    code = f"def agent_1():\n    {GO}\n{line}\ndef agent_0():\n    return hop\n"
    assert "hop =" not in one(fenced(code)).source


@pytest.mark.parametrize(
    "lines",
    [
        'X = {}\nX[0] = [int(token) for token in "1 2".split()]',
        "X = [0, 0]\nX[0], y = 5, 6",
        "X = [0, 0]\n(y, [*X[0:1], z]) = 5, (6, 7)",
        "X = [[0], 1]\nX[0][0] = 5",
        "X = [[0], 1]\nX[0].append(5)",
        "X = 0\nX += 1",
        "X = [0]\nfor y in [1]:\n    X[0] += y",
    ],
)
def test_all_lines_that_change_what_a_program_needs_are_kept(lines):
    source = one(fenced(f"{lines}\ndef agent_0():\n    return X\n")).source
    assert source.count("X") == lines.count("X") + 1


def test_what_a_comprehension_calls_its_items_is_no_name_of_the_program():
    code = "nodes = [1, 2]\nother = [nodes for nodes in range(9)]\ndef agent_0():\n    return nodes\n"
    assert "other" not in one(fenced(code)).source


OPTIONS = "def by_time():\n    return 1\ndef by_path():\n    return 2\n"


def test_a_function_called_like_an_agent_counts_more_than_a_number_in_a_table():
    code = f"{OPTIONS}def vehicle_1():\n    return 3\nOPTIONS = {{1: by_time, 2: by_path, 2.0: by_time, True: by_time}}"
    programs = extract_programs(fenced(code), AGENTS[1:]).programs
    assert programs["vehicle_1"].entry == "vehicle_1"
    assert "by_path" in programs["vehicle_2"].source


def test_an_agents_own_function_counts_more_than_what_a_table_gives_it():
    code = f"{OPTIONS}def agent_0():\n    return 3\nPROGRAMS = {{'agent_0': by_path}}"
    program = one(fenced(code))
    assert program.entry == "agent_0"
    assert "by_path" not in program.source


def test_a_function_that_is_mended_further_down_is_not_broken():
    parts = "".join(f"def {name}:\n    return (\n\ndef {name}:\n    return {{}}\n" for name in ("path()", "agent_0()"))
    source = one(fenced(parts.format("7", "path()"))).source
    assert "return 7" in source
    assert "return path()" in source


def test_a_table_may_stand_before_its_functions():
    code = f"PROGRAMS = {{'agent_0': by_path, 'agent_1': by_time}}\n{OPTIONS}"
    programs = extract_programs(fenced(code), AGENTS[:2]).programs
    assert "by_path" in programs["vehicle_0"].source
    assert "by_time" in programs["vehicle_1"].source


def test_the_last_of_two_tables_counts():
    code = f"{OPTIONS}PROGRAMS = {{'agent_0': by_time}}\nPROGRAMS = {{'agent_0': by_path}}"
    assert "return (by_path)()" in one(fenced(code)).source


def test_a_helper_with_an_agents_number_is_no_reason_to_disregard_a_table():
    code = f"{OPTIONS}def cost_vehicle_1(n):\n    return n\nPROGRAMS = {{1: by_time, 2: by_path}}"
    programs = extract_programs(fenced(code), AGENTS[1:]).programs
    assert "by_time" in programs["vehicle_1"].source


@pytest.mark.parametrize("more", ["", "\nOPTIONS = {1: by_time, 2: by_path}"])
def test_a_table_that_names_agents_counts_more_than_a_function_with_a_number(more):
    code = f"{OPTIONS}def vehicle_1():\n    return 3\nPROGRAMS = {{'agent_1': by_path, 'vehicle_2': by_time}}{more}"
    programs = extract_programs(fenced(code), AGENTS[1:]).programs
    assert "by_path" in programs["vehicle_1"].source
    assert "by_time" in programs["vehicle_2"].source


@pytest.mark.parametrize("helper", ["best_for_vehicle_0(n)", "note_vehicle_0()", "car_0(n)"])
def test_a_helper_that_is_for_an_agent_is_not_its_program(helper):
    code = f"def vehicle_0():\n    {GO}\ndef {helper}:\n    return 1\n"
    assert one(fenced(code)).entry == "vehicle_0"


@pytest.mark.parametrize("name", ["agent", "vehicle"])
def test_an_argument_that_no_function_reads_gets_anything(name):
    code = "".join(f"def {name}_{number}(env):\n    return {number + 10}\n" for number in range(3))
    programs = extract_programs(fenced(code), AGENTS).programs
    results = []
    for agent in AGENTS:
        names: dict = {}
        exec(compile(f"{programs[agent].source}result = {programs[agent].entry}()", "reply", "exec"), names)
        results.append(names["result"])
    assert results == [10, 11, 12]


def test_an_argument_that_an_agents_function_reads_is_an_error():
    extraction = extract_programs(fenced("def agent_0(env):\n    return env\n"), AGENTS[:1])
    assert extraction.errors == {"vehicle_0": "agent_0 must take no arguments, it takes env"}


@pytest.mark.parametrize("others", ["def agent_1():\n    return (\n", "PROGRAMS = {'agent_1': run}\n"])
def test_a_function_for_all_is_nobodys_where_another_agent_has_its_own(others):
    extraction = extract_programs(fenced(f"def run():\n    return 1\n\n{others}"), AGENTS[:2])
    assert extraction.errors["vehicle_0"] == "there is no function agent_0() in the reply"


@pytest.mark.parametrize("code", ["```python\ndef run():\n    return 2\n```\n" * 2, "def run():\n    return {}\n"])
def test_a_function_for_all_may_be_said_twice_and_the_last_in_a_block_counts(code):
    reply = code if code.startswith("`") else fenced(code.format(1) + code.format(2))
    for program in extract_programs(reply, AGENTS).programs.values():
        assert "return 2" in program.source
    assert not extract_programs(reply, AGENTS).errors


def test_a_function_of_any_name_is_the_program_of_one_agent_alone_if_it_can_be_called_as_it_is():
    assert one(fenced("def plan():\n    return 1\ndef run():\n    return plan()\n")).entry == "run"
    code = "def solution():\n    return step(3)\ndef step(n):\n    return n\n"
    assert one(fenced(code)).entry == "solution"
    assert extract_programs(fenced(code), AGENTS).programs == {}
