"""Documentation that can be held against the code."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from sumo_marl_env import EnvConfig, Exit

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
