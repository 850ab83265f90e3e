"""What is shown while trials run."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from rllib_releds.reproduction.folder import TrialState
from rllib_releds.reproduction.progress import TrialsDisplay
from rllib_releds.reproduction.trial import Trial

FIRST, SECOND = Trial(method="RELED"), Trial(method="IPPO")


def made_display(*, is_terminal: bool, line_every_s: float = 0.0) -> tuple[TrialsDisplay, io.StringIO]:
    shown = io.StringIO()
    states = [TrialState(trial, "to do", 0, None, None) for trial in (FIRST, SECOND)]
    console = Console(file=shown, force_terminal=is_terminal, width=200)
    return TrialsDisplay(console, states, jobs=2, line_every_s=line_every_s), shown


def tuned(name: str) -> SimpleNamespace:
    """What Tune hands to callbacks."""
    return SimpleNamespace(config={"task": name})


def run_both(display: TrialsDisplay) -> None:
    first, second, yardsticks = tuned(FIRST.name), tuned(SECOND.name), tuned("yardsticks_gridtown")
    with display:
        for trial in (yardsticks, first, second):
            display.on_trial_start(0, [], trial)
        display.on_trial_result(0, [], yardsticks, {"phase": "driving"})
        display.on_trial_complete(0, [], yardsticks)
        for epoch in (41, 42):
            display.on_trial_result(0, [], first, {"epoch": epoch, "reward": 512.4, "travel_time_s": 700.6})
        display.on_trial_error(0, [], second)
        display.on_trial_complete(0, [], first)


@pytest.mark.parametrize("is_terminal", [False, True])
def test_epochs_ends_and_failures_are_shown(is_terminal):
    display, shown = made_display(is_terminal=is_terminal)
    run_both(display)
    text = shown.getvalue()
    assert "42/100" in text
    assert "finished yardsticks_gridtown   0 of 2 trials done" in text
    assert f"FAILED {SECOND.name}" in text
    assert f"finished {FIRST.name}   1 of 2 trials done, 1 failed" in text
    assert ("701 s" in text) is is_terminal


def test_without_a_terminal_lines_come_now_and_then():
    display, shown = made_display(is_terminal=False, line_every_s=60.0)
    run_both(display)
    assert len(shown.getvalue().splitlines()) == 3, "two ends and a failure"


def test_time_left_is_known_from_the_second_epoch_on():
    display, shown = made_display(is_terminal=False)
    trial = tuned(FIRST.name)
    display.on_trial_start(0, [], trial)
    display.on_trial_result(0, [], trial, {"epoch": 1, "reward": 0.0, "travel_time_s": 0.0})
    assert "left" not in shown.getvalue()
    display.on_trial_result(0, [], trial, {"epoch": 2, "reward": 0.0, "travel_time_s": 0.0})
    assert "left" in shown.getvalue()


def test_a_trial_that_failed_may_start_again():
    """As after a lack of memory, when Tune is restored."""
    display, shown = made_display(is_terminal=False)
    trial = tuned(FIRST.name)
    display.on_trial_start(0, [], trial)
    display.on_trial_error(0, [], trial)
    display.on_trial_start(0, [], trial)
    display.on_trial_result(0, [], trial, {"epoch": 1, "reward": 0.0, "travel_time_s": 0.0})
    display.on_trial_complete(0, [], trial)
    assert f"finished {FIRST.name}   1 of 2 trials done\n" in shown.getvalue()
