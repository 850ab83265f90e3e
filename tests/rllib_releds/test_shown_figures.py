"""How figures and names look in tables."""

import io

import pytest
from rich.table import Table

from rllib_releds.console import console_on
from rllib_releds.table import number, percent, spread


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (number(None), "-"),
        (number(float("nan")), "-"),
        (number(12345.678), "12,345.7"),
        (number(-0.04), "0.0"),
        (spread(2.0, None), "2.0"),
        (spread(2.0, 0.26), "2.0 ± 0.3"),
        (percent(0.25), "25.0 %"),
        (percent(0.0), "0.0 %"),
        (percent(0.25, signed=True), "+25.0 %"),
        (percent(-0.25, signed=True), "-25.0 %"),
        (percent(-0.0004, signed=True), "0.0 %"),
        (percent(0.0, signed=True), "-"),
    ],
)
def test_figures_are_shown_for_people(shown, expected):
    assert shown == expected


def test_brackets_in_the_name_of_a_scenario_are_shown():
    shown = io.StringIO()
    console_on(shown).print(Table("driver [v1]", title="morning [v2]"))
    assert "morning [v2]" in shown.getvalue()
    assert "driver [v1]" in shown.getvalue()


def test_what_looks_like_the_name_of_a_pictogram_stays_as_it_is():
    shown = io.StringIO()
    console_on(shown).print(Table("nodes[a:x:b]"))
    assert "nodes[a:x:b]" in shown.getvalue()
