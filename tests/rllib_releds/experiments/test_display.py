"""What a user sees while a run trains."""

import io
import json

import pytest
from rich.console import Console

from rllib_releds import keys
from rllib_releds.experiments.display import EpochDisplay, sparkline
from rllib_releds.experiments.metrics_table import MetricsTable
from rllib_releds.experiments.records import RunFolder
from rllib_releds.experiments.settings import TrainSettings

ROW = {
    keys.EPOCH: 1.0,
    keys.MEAN_REWARD: -123.4,
    keys.MEAN_TRAVEL_TIME_S: 1885.2,
    keys.ARRIVAL_RATE: 0.4,
    keys.AGENT_WEIGHT: 0.79,
    keys.INTERACTION_STEPS: 1000.0,
    keys.INTERACTION_STEPS_LIFETIME: 2000.0,
    keys.EPOCH_WALL_S: 2.5,
    keys.SIMULATION_WALL_S: 1.4,
    keys.SAMPLING_TIMER: 2.0,
    keys.UPDATE_TIMER: 0.5,
    keys.DEMONSTRATION_CYCLES: 3.0,
    keys.FAILED_CYCLES: 1.0,
    keys.EXECUTION_RATE: 0.9,
    keys.EXPERT_REWARD: 793.0,
    keys.IS_ASKING: 1.0,
}
BASELINE = {key: value for key, value in ROW.items() if key not in (keys.AGENT_WEIGHT, keys.DEMONSTRATION_CYCLES)}


@pytest.fixture
def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=160, color_system=None)


def screen(console: Console, display: EpochDisplay) -> str:
    with console.capture() as capture:
        console.print(display)
    return capture.get()


def test_a_terminal_shows_figures_curves_times_and_demonstrations(terminal):
    yardsticks = {"live shortest time": {keys.MEAN_REWARD: 810.0}}
    with EpochDisplay(terminal, 500, 0, title="RELED on gridtown", yardsticks=yardsticks) as display:
        assert "building" in screen(terminal, display)
        display.show(1, {**ROW, keys.MEAN_REWARD: -500.0})
        display.show(2, ROW)
        seen = screen(terminal, display)
    for text in (
        "RELED on gridtown",
        "epoch 2/500",
        "left",
        "-123",
        "▁█",
        "live shortest time 810",
        "1885 s",
        "40%",
        "0.79",
        "seconds: 2.5 (sampling 2.0  update 0.5), SUMO 1.4; 2000 interaction steps, 400 per second",
        "demonstration cycles: 3, of which 1 failed; the last: 90% ran, reward 793; asking",
    ):
        assert text in seen


def test_methods_without_demonstrations_show_none(terminal):
    with EpochDisplay(terminal, 5, 0) as display:
        display.show(1, BASELINE)
        seen = screen(terminal, display)
    assert "demonstration cycles" not in seen
    assert "agent weight" not in seen


def test_a_resumed_run_shows_its_earlier_epochs_and_the_yardsticks_of_its_report(terminal, tmp_path):
    run = RunFolder.create(tmp_path / "run", TrainSettings(num_training_epochs=9))
    table = MetricsTable(run.path / "metrics.csv")
    for epoch, reward in enumerate((-900.0, -800.0, -200.0)):
        table.append({**ROW, keys.EPOCH: epoch, keys.MEAN_REWARD: reward})
    rows = {"free-flow shortest path": {keys.MEAN_REWARD: 795.0}, "RELED at epoch 3": {keys.MEAN_REWARD: 1.0}}
    (run.path / "report.json").write_text(json.dumps(rows))
    # The last row is of an epoch that was not finished.
    run.save_checkpoint(2, lambda folder: None)
    with EpochDisplay.of(run, terminal) as display:
        display.show(3, ROW)
        seen = screen(terminal, display)
    assert "▁▂█" in seen
    assert "free-flow shortest path 795" in seen
    assert "at epoch 3" not in seen


def test_elsewhere_lines_are_written_at_first_and_at_the_end():
    console = Console(file=io.StringIO(), width=60)
    with EpochDisplay(console, 3, 0) as display:
        for finished in (1, 2, 3):
            display.show(finished, ROW)
    line = "reward -123  travel time 1885 s  arrived 40%  agent weight 0.79"
    assert console.file.getvalue() == f"epoch 1/3  {line}\nepoch 3/3  {line}\n"


@pytest.mark.parametrize(
    ("values", "curve"),
    [
        ([], ""),
        ([float("nan")], ""),
        ([2.0, 2.0], "▁▁"),
        ([0.0, float("nan"), 7.0, 3.0], "▁█▄"),
        ([0.0] * 50 + [1.0] * 50, "▁▁██"),
    ],
)
def test_a_sparkline_spans_the_finite_values(values, curve):
    assert sparkline(values, 4) == curve
