"""Table III of the paper: language-model demonstrations in Orlando - Moderate, means and standard deviations."""

from __future__ import annotations

from typing import NamedTuple


class Figure(NamedTuple):
    """Mean and standard deviation over runs, which a single one has not."""

    mean: float
    spread: float | None


class Phase(NamedTuple):
    """What came of the demonstrations at one stage of refinement.

    Attributes:
        execution_rate: percent.
        reward: of the demonstrated trips.
        seconds: the model's.
        dtw_m: distance to the initial demonstrations, metres; None for themselves.
    """

    execution_rate: Figure
    reward: Figure
    seconds: Figure
    dtw_m: Figure | None = None


def _phases(*numbers: float) -> tuple[Phase, Phase, Phase]:
    """Initial, after 25, after 50: mean and spread of each column in turn."""
    pairs = [Figure(*numbers[row : row + 2]) for row in range(0, len(numbers), 2)]
    return Phase(*pairs[:3]), Phase(*pairs[3:7]), Phase(*pairs[7:])


VARIANTS = ((True, True), (True, False), (False, True))
"""(interfaces, refinement) of the three rows that the table has per model."""

# fmt: off
TABLE_III = {
    "GPT-4 Turbo": dict(zip(VARIANTS, (
        _phases(92, 16, 687.92, 78.01, 14.36, 2.49, 77, 10.05, 724.63, 72.15, 19.83, 2.43, 1266.75, 324.20,
                80, 8.94, 752.84, 65.32, 19.55, 1.70, 980.39, 220.59),
        _phases(74, 36.66, 643.10, 42.68, 13.28, 2.01, 79, 8.31, 685.27, 38.42, 19.55, 1.28, 928.82, 156.94,
                74, 20.10, 710.38, 35.76, 16.58, 0.98, 949.72, 197.49),
        _phases(50, 36.06, 447.96, 80.57, 35.55, 4.87, 34, 39.04, 495.74, 73.26, 53.61, 9.93, 1066.75, 222.53,
                52, 24.41, 543.82, 67.38, 52.54, 7.30, 943.87, 197.46),
    ), strict=True)),
    "GPT-3.5 Turbo": dict(zip(VARIANTS, (
        _phases(92, 4, 608.42, 68.53, 5.45, 1.13, 92, 16, 645.32, 62.46, 7.67, 4.57, 1012.38, 187.65,
                85, 6.71, 684.76, 57.34, 7.35, 4.86, 1040.50, 174.15),
        _phases(86, 22, 556.74, 58.32, 4.30, 1.89, 87, 15.52, 584.38, 52.76, 7.01, 4.56, 817.46, 142.38,
                80, 7.75, 615.82, 47.28, 6.88, 0.90, 836.66, 206.82),
        _phases(54, 18, 584.86, 72.48, 6.51, 1.63, 45, 15, 386.35, 68.24, 12.60, 5.01, 812.54, 174.28,
                67, 11.87, 428.92, 62.16, 12.46, 1.40, 1222.51, 209.50),
    ), strict=True)),
    "Llama-3.1-70b": dict(zip(VARIANTS, (
        _phases(83, 14.18, 625.38, 57.46, 5.33, 0.41, 86, 8, 668.75, 52.38, 6.46, 0.58, 1112.64, 212.38,
                74, 6.63, 708.46, 47.28, 6.86, 1.35, 1017.66, 117.68),
        _phases(86, 8, 586.42, 48.26, 6.02, 0.58, 91, 9.43, 617.38, 42.76, 4.47, 0.38, 863.54, 152.63,
                70, 14.83, 658.74, 38.42, 4.78, 0.93, 941.86, 104.88),
        _phases(59, 17.58, 684.62, 53.84, 6.60, 1.66, 64, 36.66, 527.35, 47.62, 9.76, 1.43, 916.78, 163.42,
                58, 20.88, 568.42, 42.16, 14.32, 1.23, 1098.65, 220.97),
    ), strict=True)),
    "Llama-3.1-8b": dict(zip(VARIANTS, (
        _phases(68, 8.93, 613.98, 48.55, 4.79, 0.31, 68, 16.61, 591.46, 56.19, 4.89, 0.40, 762.59, 294.72,
                69, 25.08, 595.67, 43.05, 4.64, 0.60, 846.96, 167.29),
        _phases(79, 8.31, 557.56, 89.99, 4.39, 0.22, 63, 24.52, 512.08, 35.09, 3.59, 0.21, 781.50, 100.24,
                69, 23.00, 526.66, 87.94, 3.70, 0.81, 710.23, 198.95),
        _phases(47, 8.81, 519.18, 38.02, 2.79, 0.60, 60, 48.99, 607.84, 64.84, 11.49, 4.74, 749.58, 163.29,
                42, 20.40, 510.51, 94.75, 10.06, 5.59, 714.42, 153.39),
    ), strict=True)),
}
# fmt: on

CHOSEN = "GPT-3.5 Turbo"
"""The paper's choice, and what models that it did not try are set beside."""


def paper_model(model: str) -> str:
    """The row of the paper for a model: its own if the paper has it, else that of the paper's choice."""
    plain = _plain(model.rpartition("/")[2])
    return next((name for name in TABLE_III if _plain(name) in plain), CHOSEN)


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())
