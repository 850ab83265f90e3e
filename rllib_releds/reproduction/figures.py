"""Which of the paper's figures finished trials give, and which they do not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rllib_releds.reproduction.drawing.agent_counts import boxes_over_agents
from rllib_releds.reproduction.drawing.flows import flow_maps
from rllib_releds.reproduction.drawing.saving import Figure, save_figure
from rllib_releds.reproduction.drawing.training import dtw_and_reward, learning_curves, wall_clock
from rllib_releds.reproduction.grid import trial_settings
from rllib_releds.reproduction.results import Comparison, Missing, Results
from rllib_releds.reproduction.tables import BASELINES, REFERENCE
from sumo_marl_env import RoutingError, Scenario, make_scenario

COMPARED = (REFERENCE, "LEED", *BASELINES)
"""Methods of Figures 4, 5 and 8. Figure 9 has RELED, IPPO and everything that is not here."""

PANELS = 4
"""Settings in one figure; more go into further ones."""


@dataclass(frozen=True)
class Drawing:
    """One figure.

    Attributes:
        name: of its files.
        number: of the paper.
        figure: the drawing.
    """

    name: str
    number: int
    figure: Figure

    def save(self, folder: Path) -> list[Path]:
        """The files written."""
        return save_figure(self.figure, folder, self.name)

    @property
    def caption(self) -> str:
        """What it shows and on what it rests, as its own title says."""
        title, *rests_on = self.figure.get_suptitle().split("\n")
        return f"Figure {self.number}: {title}. Here: {'; '.join(rests_on)}."


def draw(results: Results) -> tuple[list[Drawing], list[Missing]]:
    """Every figure that the results give, and what is missing of the paper's."""
    drawings: list[Drawing] = []
    missing: list[Missing] = []
    for make in (_figures_4_and_5, _figure_6, _figure_7, _figure_8, _figure_9):
        made, without = make(results)
        drawings += made
        missing += without
    return drawings, missing


Made = tuple[list[Drawing], list[Missing]]


def _figures_4_and_5(results: Results) -> Made:
    wanted = [one for one in results.comparisons if len(set(COMPARED) & one.runs.keys()) > 1]
    if not wanted:
        return [], [Missing("Figures 4 and 5", "they need two of the methods " + ", ".join(COMPARED) + " in a setting")]
    curves, clocks = [], []
    for page, comparisons in _pages(wanted):
        title = "Reward and travel time over interaction steps"
        curves.append(Drawing(f"figure_4_{page}", 4, learning_curves(comparisons, COMPARED, title)))
        title = "Reward over wall-clock time"
        clocks.append(Drawing(f"figure_5_{page}", 5, wall_clock(comparisons, COMPARED, title)))
    return curves + clocks, []


def _figure_6(results: Results) -> Made:
    drawings, missing = [], []
    wanted = [one for one in results.comparisons if any(run.expert_edge_counts for run in one.runs.get(REFERENCE, ()))]
    if not wanted:
        return [], [Missing("Figure 6", "no run of RELED has counts of demonstrated vehicles")]
    scenarios: dict[str, Scenario] = {}
    for one in wanted:
        try:
            scenarios[one.name] = _scenario(one)
        except RoutingError as error:
            missing.append(Missing(f"Figure 6, {one.name}", f"its map cannot be drawn: {error}"))
    for page, comparisons in _pages([one for one in wanted if one.name in scenarios]):
        title = "Traffic flow of demonstrations and of agents at the end of training (RELED)"
        figure = flow_maps([(one, scenarios[one.name]) for one in comparisons], REFERENCE, title)
        drawings.append(Drawing(f"figure_6_{page}", 6, figure))
    return drawings, missing


def _figure_7(results: Results) -> Made:
    wanted = [one for one in results.comparisons if _has_dtw(one)]
    if not wanted:
        return [], [Missing("Figure 7", "no run of RELED has DTW distances")]
    title = "DTW distance to the demonstrations, and reward (RELED)"
    return [
        Drawing(f"figure_7_{page}", 7, dtw_and_reward(comparisons, REFERENCE, title))
        for page, comparisons in _pages(wanted)
    ], []


def _figure_8(results: Results) -> Made:
    families: dict[tuple[str, str | None, str], list[Comparison]] = defaultdict(list)
    for one in results.comparisons:
        if set(COMPARED) & one.runs.keys():
            families[one.trial.place, one.trial.demand, one.budget].append(one)
    several = [sorted(group, key=lambda one: one.trial.num_agents) for group in families.values() if len(group) > 1]
    if not several:
        return [], [Missing("Figure 8", "no setting was run with two numbers of agents")]
    title = "Reward of the final policies over the number of agents"
    drawings = []
    for budget in dict.fromkeys(family[0].budget for family in several):
        panels = [family for family in several if family[0].budget == budget]
        figure = boxes_over_agents(panels, COMPARED, title)
        drawings.append(Drawing(f"figure_8_{budget}", 8, figure))
    return drawings, []


def _figure_9(results: Results) -> Made:
    wanted = [one for one in results.comparisons if REFERENCE in one.runs and set(one.runs) - set(COMPARED)]
    if not wanted:
        return [], [Missing("Figure 9", "it needs RELED and one of its variants in a setting")]
    title = "Ablation: reward and travel time over interaction steps"
    drawings = []
    for page, comparisons in _pages(wanted):
        methods = dict.fromkeys(name for one in comparisons for name in one.runs)
        left_out = {*COMPARED} - {REFERENCE, "IPPO"}
        figure = learning_curves(comparisons, [name for name in methods if name not in left_out], title)
        drawings.append(Drawing(f"figure_9_{page}", 9, figure))
    return drawings, []


def _pages(comparisons: Sequence[Comparison]) -> Iterable[tuple[str, list[Comparison]]]:
    """Name and comparisons of each figure: one encoder and budget, at most `PANELS`."""
    for budget in dict.fromkeys(one.budget for one in comparisons):
        same = [one for one in comparisons if one.budget == budget]
        for begin in range(0, len(same), PANELS):
            yield f"{budget}{f'_{begin // PANELS + 1}' if begin else ''}", same[begin : begin + PANELS]


def _has_dtw(comparison: Comparison) -> bool:
    return any(value is not None for run in comparison.runs.get(REFERENCE, ()) for value in run.curve.dtw_m)


def _scenario(comparison: Comparison) -> Scenario:
    return make_scenario(**trial_settings(comparison.trial, None).env_config())
