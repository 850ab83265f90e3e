"""Demonstrations made into a folder that a stopped process goes on with."""

import pytest

from rllib_releds.demonstrations.errors import StoredDemonstrationError
from rllib_releds.demonstrations.making import DemosSettings, make_demonstrations


@pytest.fixture
def settings(grid_file) -> DemosSettings:
    return DemosSettings(scenario="gridtown", network=str(grid_file), demand="none", num_agents=2, model="live")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("demos.json", b"{"),
        ("demos.json", b"[1]"),
        ("demos.json", b"3"),
        ("state.pickle", b""),
        ("state.pickle", b"not a pickle"),
        ("state.pickle", None),
    ],
)
def test_a_damaged_file_is_named_with_the_remedy(settings, tmp_path, name, content):
    folder = tmp_path / "demos"
    make_demonstrations(folder, settings, 1)
    file = folder / name
    file.write_bytes(file.read_bytes()[:-20] if content is None else content)
    with pytest.raises(StoredDemonstrationError, match=f"{file} is damaged .*: delete {folder}, or give another --out"):
        make_demonstrations(folder, settings, 2)
