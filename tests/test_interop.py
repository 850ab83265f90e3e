"""The examples of other libraries: what is pinned, what the page about them says, and when an environment is made anew.

The examples themselves run in `make interop` and `make interop-ci`.
"""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples" / "interop"
PAGE = (ROOT / "docs" / "interoperability.md").read_text()
specification = importlib.util.spec_from_file_location("run_all", FOLDER / "run_all.py")
run_all = importlib.util.module_from_spec(specification)
sys.modules["run_all"] = run_all  # dataclasses look their module up
specification.loader.exec_module(run_all)


def pins(path: Path) -> dict[str, str]:
    """Normalised name to exact version; fails on anything that is not pinned."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    found = [re.fullmatch(r"([A-Za-z0-9_.-]+)==([0-9][\w.]*)", line) for line in lines]
    assert all(found), f"{path.name}: not an exact version: {lines}"
    return {re.sub(r"[-_.]+", "-", match[1]).lower(): match[2] for match in found if match}


CONSTRAINTS = pins(ROOT / "constraints.txt")
REQUIREMENTS = sorted(FOLDER.glob("*.txt"))


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_requirements_are_exact_and_agree_with_the_constraints(path):
    pinned = pins(path)
    # What is installed without its dependencies is installed without the constraints too.
    shared = pinned.keys() & CONSTRAINTS.keys()
    assert {name: pinned[name] for name in shared} == {name: CONSTRAINTS[name] for name in shared}


def test_every_script_and_every_requirements_file_belongs_to_an_example():
    scripts = {example.script for example in run_all.EXAMPLES}
    assert scripts == {path.name for path in FOLDER.glob("*.py")} - {"run_all.py"}
    with_environment = {example.name for example in run_all.EXAMPLES if example.needs_environment}
    assert {path.name.removesuffix(".txt").removesuffix(".no-deps") for path in REQUIREMENTS} == with_environment


@pytest.mark.parametrize("script", sorted(path.name for path in FOLDER.glob("*.py")))
def test_every_script_says_how_to_run_it_and_what_to_expect(script):
    text = (FOLDER / script).read_text()
    assert "\nRun:" in text
    assert "\nExpect:" in text
    assert "--smoke" in text


def test_the_page_states_the_versions_that_are_pinned():
    stated = set(re.findall(r"`([a-z0-9-]+)==([0-9][\w.]*)`", PAGE))
    pinned = {("ray", CONSTRAINTS["ray"])}.union(*(pins(path).items() for path in REQUIREMENTS))
    assert stated <= pinned
    libraries = {"ray", "torchrl", "benchmarl", "supersuit", "stable-baselines3", "sb3-contrib", "agilerl"}
    assert {(name, version) for name, version in pinned if name in libraries} <= stated


def test_the_commands_of_the_page_name_what_exists():
    commands = re.findall(r"^    ((?:make|python) .*?)(?:\s+#.*)?$", PAGE, flags=re.MULTILINE)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    names = {example.name for example in run_all.EXAMPLES}
    for command in commands:
        program, first, *rest = command.split()
        assert first in targets if program == "make" else (ROOT / first).is_file(), command
        if first.endswith("run_all.py"):
            assert {word for word in rest if not word.startswith("--")} <= names, command
    assert any("make interop" in command for command in commands)


@pytest.fixture
def installs(tmp_path, monkeypatch) -> list[list[str]]:
    """The commands that would have been run; a small folder stands in for the repository."""
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "constraints.txt").write_text("")
    (tmp_path / "library.txt").write_text("library==1.0\n")
    commands: list[list[str]] = []

    def note(command, check):
        commands.append([str(word) for word in command])
        if "venv" in commands[-1]:
            Path(commands[-1][-1]).mkdir(parents=True)

    monkeypatch.setattr(run_all, "REPOSITORY", tmp_path)
    monkeypatch.setattr(run_all, "FOLDER", tmp_path)
    monkeypatch.setattr(run_all, "ENVIRONMENTS", tmp_path / ".interop")
    monkeypatch.setattr(subprocess, "run", note)
    return commands


def test_an_environment_is_made_anew_only_when_its_files_have_changed(installs, tmp_path):
    run_all.prepare("library")
    made = len(installs)
    run_all.prepare("library")
    assert len(installs) == made
    (tmp_path / "library.txt").write_text("library==1.1\n")
    run_all.prepare("library")
    assert len(installs) == 2 * made


def test_libraries_whose_own_pins_conflict_are_installed_last_and_without_dependencies(installs, tmp_path):
    (tmp_path / "library.no-deps.txt").write_text("other==2.0\n")
    run_all.prepare("library")
    assert [str(tmp_path / "library.no-deps.txt") in command for command in installs] == [False] * 3 + [True]
    assert "--no-deps" in installs[-1]
