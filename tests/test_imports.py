"""Who may import what."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY_OWNERS = {
    "libsumo": {"sumo_marl_env/simulation/sumo.py"},
    "traci": {"sumo_marl_env/simulation/sumo.py"},
    "litellm": {"rllib_releds/demonstrations/models/litellm_chat.py"},
    "pydantic_monty": {
        "rllib_releds/demonstrations/execution/running_program.py",
        "rllib_releds/demonstrations/execution/sandbox.py",
        "rllib_releds/demonstrations/execution/sandbox_failures.py",
    },
    "dtaidistance": {"rllib_releds/weighting.py"},
    "onnxruntime": {"rllib_releds/deployment/drive.py"},
    "pyarrow": {"rllib_releds/experiments/storage.py", "rllib_releds/jobs/nodes.py"},
    "PIL": {"sumo_marl_env/pictures/render.py"},
    "matplotlib": {
        str(path.relative_to(ROOT))
        for folder in ("plots", "reproduction/drawing")
        for path in (ROOT / "rllib_releds" / folder).glob("*.py")
    },
}
LEARNING = {"ray", "torch", "litellm", "pydantic_monty", "dtaidistance", "rllib_releds"}
PARTS = {path.stem for path in (ROOT / "rllib_releds").iterdir()}
TRAINERS = {"algorithm", "baselines"}
USERS = {"deployment", "experiments", "jobs", "reproduction", "tuning"}
ABOVE = {
    **dict.fromkeys(("errors.py", "keys.py", "literals.py", "table.py"), PARTS),
    "files.py": PARTS - {"errors"},
    "weighting.py": TRAINERS | USERS | {"plots"},
    "demonstrations": TRAINERS | USERS | {"plots"},
    "algorithm": USERS | {"baselines", "plots"},
    "baselines": USERS | {"plots"},
    "plots": TRAINERS | USERS | {"demonstrations"},
    "local_ray.py": TRAINERS | USERS | {"demonstrations", "plots"},
    "experiments": USERS - {"experiments"},
    **{name: USERS - {name, "experiments"} for name in ("deployment", "jobs", "reproduction", "tuning")},
}
"""What the parts of rllib_releds do not import, because it stands above or beside them."""
TOP = {"drivers", "pictures", "commands"}
LAYERS_ABOVE = {
    "maps": TOP | {"simulation", "scenarios", "config"},
    "scenarios": TOP | {"simulation"},
    "config.py": TOP | {"simulation"},
    "simulation": TOP | {"config"},
}
"""What the layers of sumo_marl_env do not import."""


def imports(path: Path) -> set[str]:
    """Every dotted module name that the file imports, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
    return names


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def top_level(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def parts(path: Path, package: str = "rllib_releds") -> set[str]:
    """Which modules and folders of the package the file imports from, also by `from rllib_releds import keys`."""
    names = {name for name in imports(path) if name.startswith(f"{package}.")}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == package:
            names.update(f"{package}.{alias.name}" for alias in node.names)
    return {name.split(".")[1] for name in names}


@pytest.mark.parametrize("path", sources("sumo_marl_env"), ids=lambda p: str(p.relative_to(ROOT)))
def test_environment_knows_nothing_of_training(path):
    assert not top_level(imports(path)) & LEARNING


@pytest.mark.parametrize("path", sources("rllib_releds"), ids=lambda p: str(p.relative_to(ROOT)))
def test_training_takes_only_top_level_names_of_the_environment(path):
    assert not {name for name in imports(path) if name.startswith("sumo_marl_env.")}


@pytest.mark.parametrize(
    "path",
    [*sources("rllib_releds/demonstrations"), ROOT / "rllib_releds/weighting.py"],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_demonstrations_need_neither_ray_nor_torch(path):
    assert not top_level(imports(path)) & {"ray", "torch"}


@pytest.mark.parametrize("part", sorted(ABOVE))
def test_parts_of_training_import_only_what_is_below_them(part):
    place = ROOT / "rllib_releds" / part
    for path in [place] if part.endswith(".py") else sources(f"rllib_releds/{part}"):
        assert not parts(path) & ABOVE[part], path


@pytest.mark.parametrize("layer", sorted(LAYERS_ABOVE))
def test_layers_of_the_environment_import_only_what_is_below_them(layer):
    place = ROOT / "sumo_marl_env" / layer
    for path in [place] if layer.endswith(".py") else sources(f"sumo_marl_env/{layer}"):
        assert not parts(path, "sumo_marl_env") & LAYERS_ABOVE[layer], path


@pytest.mark.parametrize("library", sorted(HEAVY_OWNERS))
def test_heavy_libraries_have_one_owner(library):
    users = {
        str(path.relative_to(ROOT))
        for package in ("sumo_marl_env", "rllib_releds")
        for path in sources(package)
        if library in top_level(imports(path))
    }
    assert users <= HEAVY_OWNERS[library]


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("sumo_marl_env", "ray torch litellm libsumo traci matplotlib PIL"),
        ("rllib_releds.demonstrations", "ray torch litellm"),
        ("rllib_releds.weighting", "ray torch dtaidistance"),
    ],
)
def test_importing_pulls_in_nothing_heavy(module, forbidden):
    program = f"import sys, {module}; print([m for m in {forbidden!r}.split() if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("module", ["sumo_marl_env", "rllib_releds", "rllib_releds.demonstrations"])
def test_importing_changes_nothing_outside(module):
    program = f"""
import logging, os, random
import numpy
state = lambda: (dict(os.environ), logging.root.level, random.getstate(), str(numpy.random.get_state()))
before = state()
import {module}
assert state() == before
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
