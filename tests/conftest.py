"""The smallest real SUMO scenario, and the real maps where the data folder is there."""

from __future__ import annotations

import builtins
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import sumo_marl_env
from sumo_marl_env import RoadNetwork, RoutingEnv
from sumo_marl_env.sumo_programs import sumo_home

# The same examples everywhere, however slow the machine is.
settings.register_profile("here", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("here")
# Ray would make a token, and ask for it, in those processes alone that start it themselves.
os.environ["RAY_AUTH_MODE"] = "disabled"
# Ray lowers the priority of its workers by 15: on two cores that other tests keep busy they would hardly run at all.
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  (that is how Ray spells it)
# No test may reach a paid model; those that need a key set one that is made up.
for _name in [name for name in os.environ if name.endswith("_API_KEY")]:
    del os.environ[_name]

REPOSITORY = Path(__file__).parents[1]
REAL_MAPS = REPOSITORY.parent / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that processes which share the files end at about the same time."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def grid_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 4 x 4 grid of two-way streets with signals, 150 m apart."""
    path = tmp_path_factory.mktemp("networks") / "grid.net.xml"
    command = [sumo_home() / "bin" / "netgenerate", "--grid", "--grid.number", "4", "--grid.length", "150"]
    options = ["--default-junction-type", "traffic_light", "--no-turnarounds", "true", "--output-file", path]
    subprocess.run([*command, *options], check=True, capture_output=True)
    return path


@pytest.fixture(scope="session")
def grid(grid_file: Path) -> RoadNetwork:
    return RoadNetwork.from_net_file(grid_file)


@pytest.fixture
def make_env(grid: RoadNetwork):
    """Environments on the grid, closed at the end of the test."""
    made: list[RoutingEnv] = []

    def make(**kwargs) -> RoutingEnv:
        defaults = {"network": grid, "demand": "none", "horizon_s": 900.0}
        if isinstance(kwargs.get("trips", "spread"), str):
            defaults["num_agents"] = 3
        made.append(sumo_marl_env.parallel_env(**(defaults | kwargs)))
        return made[-1]

    yield make
    for env in made:
        env.close()


@pytest.fixture
def no_matplotlib(monkeypatch):
    """Whatever imports a module of plots meets what an installation without the extra has."""
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name.startswith("rllib_releds.plots"):
            raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)


@pytest.fixture(scope="session")
def real_map() -> Callable[[str], Path]:
    """Path of a real map, or a skip."""

    def find(relative: str) -> Path:
        path = REAL_MAPS / relative
        if not path.is_file():
            pytest.skip(f"real map {relative} is not beside this checkout")
        return path

    return find
