"""What a run is trained on, and as what: both must stay what they were when training began."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rllib_releds.errors import RunError, reason
from rllib_releds.experiments.records import RunFolder
from rllib_releds.files import write_json
from sumo_marl_env import Scenario, make_scenario

FILE = "trained_on.json"
_FIXED = ("method", "seed")
"""Settings that a checkpoint cannot go on with under another value, or that would make one table of two runs."""


def trained_scenario(run: RunFolder) -> Scenario:
    """What the run is trained on.

    Raises:
        RunError: if config.json, the scenario file, the network or the route file say something else than then, or
            config.json names another method or seed.
        RoutingError: if one of them cannot be loaded any more.
    """
    settings, noted = run.settings, _noted(run.path / FILE)
    scenario = make_scenario(**settings.env_config())
    if noted.get("scenario_sha256") not in (None, scenario.fingerprint):
        raise RunError(
            f"{run.path} was trained on another scenario: what config.json says of it, or the scenario file, the "
            f"network or the traffic behind {scenario.name}, has changed since. Put that back, or begin a new run."
        )
    for name in _FIXED:
        asked = getattr(settings, name)
        if noted.get(name, asked) != asked:
            raise RunError(
                f"{run.path} was begun with {name}={noted[name]!r}, and its config.json says {asked!r}. Put that back, "
                "or begin a new run."
            )
    return scenario


def _noted(file: Path) -> dict[str, Any]:
    """What was noted; nothing before training has begun.

    Raises:
        RunError: if the file is damaged.
    """
    try:
        content: dict[str, Any] = json.loads(file.read_text())
        return {"scenario_sha256": content["scenario_sha256"], **content}
    except FileNotFoundError:
        return {}
    except (ValueError, LookupError, TypeError) as error:
        raise RunError(f"{file} is damaged ({reason(error)}); remove it, and `reled resume` makes it anew") from error


def note_scenario(run: RunFolder) -> None:
    """Remember what the run is trained on, or hold it to that; raises as `trained_scenario`."""
    scenario, file = trained_scenario(run), run.path / FILE
    if not _noted(file):
        fixed = {name: getattr(run.settings, name) for name in _FIXED}
        write_json(file, {"name": scenario.name, "scenario_sha256": scenario.fingerprint, **fixed})
