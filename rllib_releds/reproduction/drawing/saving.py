"""Figures as files."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

DPI = 110


def save_figure(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write it as PNG and SVG, the same bytes for the same figure: no date, and no random names inside.

    Args:
        figure: the drawing.
        folder: made if it is not there.
        name: of the files, without their endings.

    Returns:
        Both files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.{ending}" for ending in ("png", "svg")]
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(paths[0], dpi=DPI)
        figure.savefig(paths[1], metadata={"Date": None})
    return paths
