"""Documentation that can be held against the code."""

import importlib.util
import re
import runpy
import shlex
import textwrap
from dataclasses import fields
from pathlib import Path

import pytest
import typer

from rllib_releds.cli import app as reled
from sumo_marl_env import EnvConfig, Exit
from sumo_marl_env.cli import app as sumo_marl

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_files_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_environments_page_names_every_argument_and_every_end():
    page = (ROOT / "docs" / "environment.md").read_text()
    names = [field.name for field in fields(EnvConfig)] + [str(exit) for exit in Exit]
    assert [name for name in names if f"`{name}`" not in page] == []


def test_the_page_of_metrics_is_what_the_names_in_the_code_make_of_it():
    made = runpy.run_path(str(ROOT / "docs" / "make_metrics.py"))["page"]()
    assert (ROOT / "docs" / "metrics.md").read_text() == made, "run python docs/make_metrics.py"


def test_the_page_of_equations_names_what_is_there():
    page = (ROOT / "docs" / "equations.md").read_text()
    named = re.findall(r"`([A-Za-z_.]+)` in `([a-z_/]+\.py)`", page)
    assert len(named) > 20
    missing = [(name, file) for name, file in named if f" {name.split('.')[-1]}" not in (ROOT / file).read_text()]
    assert missing == []


DEMONSTRATIONS = (ROOT / "docs" / "demonstrations.md").read_text()
# What would take too long here.
SHORTER = {'scenario="rush"': 'demand="none", num_agents=2', "range(50)": "range(1)"}


def code_blocks(text: str) -> list[str]:
    """Indented blocks, without the empty lines around them."""
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, re.MULTILINE)
    return [textwrap.dedent(block).strip("\n") + "\n" for block in blocks]


def is_shell(block: str) -> bool:
    return block.startswith(("reled ", "python "))


@pytest.mark.parametrize(
    "section", re.split(r"^## ", DEMONSTRATIONS, flags=re.MULTILINE)[1:], ids=lambda s: s.split("\n")[0]
)
def test_python_on_the_page_of_demonstrations_runs(section, tmp_path, monkeypatch):
    """The blocks of a section in one go, as a reader would."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in code_blocks(section):
        if not is_shell(block):
            for long, short in SHORTER.items():
                block = block.replace(long, short)
            exec(compile(block, "docs/demonstrations.md", "exec"), names)
    if "env" in names:
        names["env"].close()


PROGRAMS = {"reled": reled, "sumo-marl": sumo_marl}
COMMANDS = [
    command.strip()
    for page in [*PAGES, ROOT / "networks" / "README.md"]
    for block in code_blocks(page.read_text())
    for line in block.splitlines()
    for command in line.split("&&")
    if command.strip().startswith(("python ", *(f"{program} " for program in PROGRAMS)))
]


@pytest.mark.parametrize("line", sorted(set(COMMANDS)))
def test_commands_on_all_pages_exist(line):
    program, *arguments = shlex.split(line, comments=True)
    if program == "python":
        if arguments[0] == "-m":
            assert importlib.util.find_spec(arguments[1]) is not None
        else:
            # `device` is what the command before it has written.
            assert (ROOT / arguments[0]).is_file() or arguments[0] == "runs/device/drive.py"
        return
    group = typer.main.get_command(PROGRAMS[program])
    context = group.make_context(program, arguments, resilient_parsing=True)
    command, context_arguments = group, arguments
    while hasattr(command, "commands"):
        command, context_arguments = command.commands[context_arguments[0]], context_arguments[1:]
    command.make_context(program, context_arguments, parent=context)
