"""The scenario of a run, which must stay what it was when training began."""

from __future__ import annotations

import json
from pathlib import Path

from rllib_releds.errors import RunError, reason
from rllib_releds.experiments.records import RunFolder
from rllib_releds.files import write_json
from sumo_marl_env import Scenario, make_scenario

FILE = "trained_on.json"


def trained_scenario(run: RunFolder) -> Scenario:
    """What the run is trained on.

    Raises:
        RunError: if config.json, the scenario file, the network or the route file say something else than then.
        RoutingError: if one of them cannot be loaded any more.
    """
    scenario = make_scenario(**run.settings.env_config())
    if _noted(run.path / FILE) not in (None, scenario.fingerprint):
        raise RunError(
            f"{run.path} was trained on another scenario: what config.json says of it, or the scenario file, the "
            f"network or the traffic behind {scenario.name}, has changed since. Put that back, or begin a new run."
        )
    return scenario


def _noted(file: Path) -> str | None:
    """The fingerprint; None before training has begun, and of versions that counted less in it.

    Raises:
        RunError: if the file is damaged.
    """
    try:
        content = json.loads(file.read_text())
        fingerprint: str | None = content["scenario_sha256"] if "fingerprint" not in content else None
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError) as error:
        raise RunError(f"{file} is damaged ({reason(error)}); remove it, and `reled resume` makes it anew") from error
    return fingerprint


def note_scenario(run: RunFolder) -> None:
    """Remember what the run is trained on, or hold it to that; raises as `trained_scenario`."""
    scenario, file = trained_scenario(run), run.path / FILE
    if _noted(file) is None:
        write_json(file, {"name": scenario.name, "scenario_sha256": scenario.fingerprint})
