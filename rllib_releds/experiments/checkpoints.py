"""Which checkpoint of a run is the newest, and what to do about one that is missing or damaged."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rllib_releds.errors import RunError, going_on, reason

CHECKPOINT_FORMAT = 3
"""Version of a checkpoint's contents, which name their classes' modules; runs with another one cannot be resumed."""

POINTER = "latest.json"
"""Names the newest checkpoint, beside the checkpoints."""

# What reading a file raises that was cut, or that holds something else. Pickle names no complete list.
DAMAGE = (OSError, EOFError, ValueError, TypeError, LookupError, AttributeError, ImportError, pickle.UnpicklingError)


def pointer(finished_epochs: int) -> dict[str, Any]:
    """What `latest.json` says of a checkpoint."""
    return {
        "format": CHECKPOINT_FORMAT,
        "finished_epochs": finished_epochs,
        "folder": f"epoch_{finished_epochs:05d}",
    }


def newest(checkpoints: Path) -> tuple[int, Path]:
    """(finished epochs, folder) of the newest complete checkpoint.

    Args:
        checkpoints: the folder of all, with a `latest.json`.

    Raises:
        RunError: if it cannot be read, its checkpoint is missing, or another version wrote it.
    """
    file = checkpoints / POINTER
    try:
        latest = json.loads(file.read_text(encoding="utf-8"))
        written = latest.get("format", 1)
        finished, folder = int(latest["finished_epochs"]), checkpoints / str(latest["folder"])
    except DAMAGE as error:
        raise RunError(
            f"{file} cannot be read ({type(error).__name__}: {reason(error)}). {_way_back(checkpoints)}"
        ) from error
    if written != CHECKPOINT_FORMAT:
        run = checkpoints.parent
        raise RunError(
            f"the checkpoints of {run} have format {written}, and this version reads {CHECKPOINT_FORMAT}. "
            f"Go on with the version that began the run ({run / 'versions.json'}), or begin a new one."
        )
    if not folder.is_dir():
        raise RunError(f"the checkpoint {folder} is missing, which {file} names. {_way_back(checkpoints, folder)}")
    return finished, folder


@contextmanager
def readable(checkpoint: Path) -> Iterator[None]:
    """Around what reads a checkpoint of a run, or one that lies elsewhere.

    Raises:
        RunError: in place of what a damaged file or one of other networks raises, with the checkpoint and the remedy.
    """
    try:
        yield
    except PermissionError as error:
        raise RunError(f"the checkpoint {checkpoint} cannot be read ({error}). Its owner must let you in.") from error
    except RuntimeError as error:
        # torch says so of weights that have other shapes or names than the networks.
        raise RunError(
            f"the checkpoint {checkpoint} does not fit the settings of its run ({reason(error)[:200]}). Put those of "
            "the networks (encoder, hidden_size) in config.json back as they were, or begin a new run."
        ) from error
    except DAMAGE as error:
        problem = f"the checkpoint {checkpoint} cannot be read ({type(error).__name__}: {reason(error)})."
        raise RunError(f"{problem} {_remedy(checkpoint)}") from error


def _remedy(checkpoint: Path) -> str:
    folder = checkpoint.parent
    if not (folder / POINTER).is_file():
        return "Give another one."
    if newest(folder)[1] == checkpoint:
        return _way_back(folder, checkpoint)
    return f"Remove that folder; the other checkpoints of {folder.parent} stay usable."


def kept_checkpoints(checkpoints: Path) -> dict[int, Path]:
    """Folders by finished epochs, in their order; not one that somebody put aside, such as epoch_00030_backup."""
    folders = (folder for folder in checkpoints.glob("epoch_*") if folder.is_dir())
    numbers = ((folder.name.removeprefix("epoch_"), folder) for folder in folders)
    return dict(sorted((int(number), folder) for number, folder in numbers if number.isdecimal()))


def _way_back(checkpoints: Path, damaged: Path | None = None) -> str:
    """How to go on from the newest checkpoint that is kept, of those before the damaged one."""
    kept = [one for one in kept_checkpoints(checkpoints).values() if damaged is None or one.name < damaged.name]
    run = checkpoints.parent
    if not kept:
        return f"No other one is kept; remove {checkpoints / POINTER}, and `{going_on(run)}` begins the run anew."
    text = json.dumps(pointer(int(kept[-1].name.removeprefix("epoch_"))))
    return (
        f"{kept[-1].name} is kept: to go back to it, write {text} into {checkpoints / POINTER}, then `{going_on(run)}`."
    )
