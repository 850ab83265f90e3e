"""How far a reproduction is: a table on a terminal, else a line now and then."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ray import tune
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rllib_releds.reproduction.folder import TrialState, duration, remaining_seconds


@dataclass
class _Running:
    """A task in work.

    Attributes:
        began_s: `time.monotonic` of its first report.
        first_epoch: epochs that were finished then.
        report: the newest.
    """

    began_s: float
    first_epoch: int | None
    report: dict[str, Any]


class TrialsDisplay(tune.Callback):
    """Told by Tune what happens; Tune's own reporters know neither epochs nor the time that is left.

    Args:
        console: where to show it.
        states: of all trials asked for, finished ones too.
        jobs: trials side by side.
        line_every_s: seconds between two lines where there is no terminal.
    """

    def __init__(self, console: Console, states: Sequence[TrialState], jobs: int, line_every_s: float = 30.0) -> None:
        self._console = console
        self._states = {state.trial.name: state for state in states}
        self._jobs = jobs
        self._line_every_s = line_every_s
        self._last_line_s = time.monotonic()
        self._running: dict[str, _Running] = {}
        self._failed: set[str] = set()
        self._live = Live(console=console, transient=True, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> TrialsDisplay:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live:
            self._live.stop()

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks for a restore, which the run folders make needless."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        # After a lack of memory it may be another attempt.
        self._failed.discard(task_name(trial))
        self._running[task_name(trial)] = _Running(time.monotonic(), None, {"phase": "starting"})
        self._show()

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        running = self._running[task_name(trial)]
        running.report = result
        state = self._states.get(task_name(trial))
        if state is not None and "epoch" in result:
            # The first epoch is measured from its end: before it the worker starts.
            if running.first_epoch is None:
                running.began_s, running.first_epoch = time.monotonic(), result["epoch"]
            elif result["epoch"] > running.first_epoch:
                pace = (time.monotonic() - running.began_s) / (result["epoch"] - running.first_epoch)
                state = replace(state, seconds_per_epoch=pace)
            self._states[task_name(trial)] = replace(state, finished_epochs=result["epoch"])
        self._show()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        name = task_name(trial)
        self._running.pop(name, None)
        if name in self._states:
            self._states[name] = replace(self._states[name], status="done")
        self._print(f"finished {name}   {self._summary()}")
        self._show()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._running.pop(task_name(trial), None)
        self._failed |= {task_name(trial)} & self._states.keys()
        self._print(f"FAILED {task_name(trial)}")
        self._show()

    def _show(self) -> None:
        if self._live:
            self._live.update(self._table(), refresh=True)
        elif time.monotonic() - self._last_line_s >= self._line_every_s:
            self._last_line_s = time.monotonic()
            running = "; ".join(f"{name} {self._progress(name)}" for name in self._running)
            self._print(f"{self._summary()}; running: {running}")

    def _table(self) -> RenderableType:
        table = Table("running", "epoch", "reward", "travel time", "left")
        for name, running in self._running.items():
            report = running.report
            figures = (f"{report['reward']:.0f}", f"{report['travel_time_s']:.0f} s") if "epoch" in report else ("", "")
            left = remaining_seconds([self._states[name]], 1) if name in self._states else None
            table.add_row(name, self._progress(name), *figures, "" if left is None else duration(left))
        return Group(table, Text(self._summary()))

    def _progress(self, name: str) -> str:
        report = self._running[name].report
        if "epoch" not in report:
            return str(report.get("phase", ""))
        return f"{report['epoch']}/{self._states[name].trial.num_epochs}"

    def _summary(self) -> str:
        done = sum(state.status == "done" for state in self._states.values())
        left = remaining_seconds([one for name, one in self._states.items() if name not in self._failed], self._jobs)
        parts = [f"{done} of {len(self._states)} trials done"]
        parts += [f"{len(self._failed)} failed"] if self._failed else []
        parts += [f"about {duration(left)} left"] if left is not None else []
        return ", ".join(parts)

    def _print(self, line: str) -> None:
        self._console.out(line, highlight=False)


def task_name(trial: Any) -> str:
    """Name of the task that a trial of Tune is."""
    return str(trial.config["task"])
