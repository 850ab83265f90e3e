"""Replies of several code blocks: each agent's program is made of its own block and of what all share."""

import pytest

from rllib_releds.demonstrations.answers.programs import extract_programs

AGENTS = ["vehicle_0", "vehicle_1", "vehicle_2"]
FOLLOW = "def follow(nodes):\n    for n in nodes:\n        move_to_by_shortest_path(n)\n"
ROUTES = ("[1, 2]", "[3, 4]", "[5, 6]")


def block(code: str) -> str:
    return f"```python\n{code}\n```\n"


def sources(reply: str, agents: list[str] = AGENTS) -> list[str]:
    extraction = extract_programs(reply, agents)
    assert extraction.errors == {}
    return [extraction.programs[agent].source for agent in agents]


def assert_each_has_its_own_route(reply: str) -> None:
    for number, source in enumerate(sources(reply)):
        assert [route in source for route in ROUTES] == [number == other for other in range(3)]


@pytest.mark.parametrize(
    "code",
    [
        "ROUTE = {1}\ndef agent_{0}():\n    for n in ROUTE:\n        move_to_by_shortest_path(n)",
        "ROUTE: list = {1}\ndef vehicle_{0}():\n    for n in ROUTE:\n        move_to_by_shortest_path(n)",
        "if True:\n    ROUTE = {1}\ndef route_{0}():\n    for n in ROUTE:\n        move_to_by_shortest_path(n)",
        "def path():\n    return {1}\ndef agent_{0}():\n    for n in path():\n        move_to_by_shortest_path(n)",
        "def go():\n    for n in {1}:\n        move_to_by_shortest_path(n)\nagent_{0} = go",
        "ROUTE = {1}\nagent_{0} = lambda: [move_to_by_shortest_path(n) for n in ROUTE]",
    ],
)
def test_names_in_an_agents_own_block_win(code):
    assert_each_has_its_own_route("".join(block(code.format(n, route)) for n, route in enumerate(ROUTES)))


def test_functions_of_a_table_use_the_names_of_their_own_blocks():
    parts = [f"ROUTE = {route}\ndef {name}():\n    return ROUTE" for name, route in zip("abc", ROUTES, strict=True)]
    table = "PROGRAMS = {'agent_0': a, 'agent_1': b, 'agent_2': c}"
    assert_each_has_its_own_route("".join(map(block, [*parts, table])))


def test_what_the_own_block_lacks_comes_from_the_shared_one_before_those_of_other_agents():
    own = "def agent_{0}():\n    return pace() + LIMIT"
    blocks = [own.format(0), f"def pace():\n    return 7\n{own.format(1)}", "LIMIT = 5\ndef pace():\n    return 8"]
    first, second, third = sources("".join(map(block, [*blocks, f"LIMIT = 6\n{own.format(2)}"])))
    assert "LIMIT = 5" in first and "return 8" in first and "return 7" not in first  # noqa: PT018
    assert "LIMIT = 5" in second and "return 7" in second and "return 8" not in second  # noqa: PT018
    assert "LIMIT = 6" in third and "LIMIT = 5" not in third and "return 8" in third  # noqa: PT018


def test_a_helper_of_another_agent_does_not_stand_in_for_a_broken_one():
    reply = block("def path():\n    return (\n\ndef agent_0():\n    return path()") + block(
        "def path():\n    return [3]\ndef agent_1():\n    return path()"
    )
    extraction = extract_programs(reply, AGENTS[:2])
    assert set(extraction.programs) == {"vehicle_1"}
    assert "needs path, which does not parse" in extraction.errors["vehicle_0"]


@pytest.mark.parametrize("function", ["run", "drive", "solution", "route_9"])
@pytest.mark.parametrize("is_last", [False, True])
def test_a_block_without_heading_is_shared_by_the_agents_with_one(function, is_last):
    helper = f"Shared helper\n{block(FOLLOW)}"
    own = [f"### Agent {n}\n" + block(f"def {function}():\n    follow({route})") for n, route in enumerate(ROUTES)]
    reply = "".join(own) + f"and last\n{helper}" if is_last else helper + "".join(own)
    assert_each_has_its_own_route(reply)
    assert all("def follow" in source for source in sources(reply))


def test_several_functions_for_all_are_nobodys():
    reply = "".join(block(f"def run():\n    return {route}") for route in ROUTES)
    extraction = extract_programs(reply, AGENTS)
    assert extraction.programs == {}
    assert "several functions run() and does not say which is for which agent" in extraction.errors["vehicle_0"]
    assert "[5, 6]" in sources(reply, AGENTS[:1])[0]  # who has the reply for itself gets the last one


def test_an_agent_without_heading_gets_no_function_of_the_others():
    reply = "".join(f"### Agent {n}\n" + block(f"def run():\n    return {ROUTES[n]}") for n in range(2))
    extraction = extract_programs(reply, AGENTS)
    assert set(extraction.programs) == {"vehicle_0", "vehicle_1"}
    assert extraction.errors == {"vehicle_2": "there is no function agent_2() in the reply"}


@pytest.mark.parametrize(
    "heading",
    [
        "### Agent {0}\nStays away from agent {1}.",
        "### Agent {0}\n- stays away from agent {1}",
        "## Agent {0}: not the way of agent {1}\nAgent {1} is near.",
        "**Agent {0}**\n\n* Agent {1} goes elsewhere",
        "{0}. Vehicle {0}\n",
        "1. **vehicle_{0}** (not with agent {1})",
        "The code for agent {0}:\n",
        "#### Program of `agent_{0}`",
        "Agent {0} avoids agent {1}.",
        "### Vehicle {1} (agent_{0})",
        "### Vehicle {1} (`agent_{0}`): north",
    ],
)
def test_the_heading_of_a_block_is_not_another_agent_that_its_text_names(heading):
    headings = [heading.format(n, (n + 2) % 3) for n in range(3)]
    codes = [block(f"def run():\n    return {route}") for route in ROUTES]
    assert_each_has_its_own_route("".join(f"{h}\n{code}\n" for h, code in zip(headings, codes, strict=True)))


@pytest.mark.parametrize("name", ["agent", "vehicle"])
def test_lines_under_a_heading_do_not_replace_the_agents_function(name):
    functions = "\n".join(f"def {name}_{n}():\n    return {route}" for n, route in enumerate(ROUTES))
    notes = [f"- Agent {n}:\n```\n{line}\n```\n" for n, line in enumerate(["go_north(9)", "9 -> 8", "wait here"])]
    assert_each_has_its_own_route(block(functions) + "".join(notes))
