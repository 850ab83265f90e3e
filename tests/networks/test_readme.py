"""The recipe for real cities in networks/README.md."""

import re
from pathlib import Path

import pytest

from sumo_marl_env import BoundingBox
from sumo_marl_env.maps.published import PUBLISHED

README = (Path(__file__).parents[2] / "networks" / "README.md").read_text()


@pytest.mark.parametrize("city", PUBLISHED)
def test_recipe_takes_a_box_of_the_published_area_from_download_to_comparison(city):
    boxes = dict(re.findall(rf"sumo-marl (fetch|import)[^\n]*--bbox=(\S+)[^\n]* {city}", README))
    assert set(boxes) == {"fetch", "import"}
    assert boxes["fetch"] == boxes["import"]
    assert BoundingBox.parse(boxes["fetch"]).area_km2 == pytest.approx(PUBLISHED[city].area_km2, rel=0.01)
    assert f"sumo-marl inspect {city}.net.xml --compare {city}" in README
