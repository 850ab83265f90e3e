"""Figures as files."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from rllib_releds.files import whole_file

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
    paths = [folder / f"{name}.{ending}" for ending in ("png", "svg")]
    with matplotlib.rc_context({"svg.hashsalt": name}), whole_file(paths[0]) as png, whole_file(paths[1]) as svg:
        figure.savefig(png, dpi=DPI)
        figure.savefig(svg, metadata={"Date": None})
    return paths
