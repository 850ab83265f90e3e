"""The scenario of a run, which must stay what it was when training began."""

from __future__ import annotations

import json

from rllib_releds.errors import RunError
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
    scenario, file = make_scenario(**run.settings.env_config()), run.path / FILE
    # Runs of earlier versions have none.
    if file.is_file() and json.loads(file.read_text())["fingerprint"] != scenario.fingerprint:
        raise RunError(
            f"{run.path} was trained on another scenario: what config.json says of it, or the scenario file, the "
            f"network or the traffic behind {scenario.name}, has changed since. Put that back, or begin a new run."
        )
    return scenario


def note_scenario(run: RunFolder) -> None:
    """Remember what the run is trained on, or hold it to that; raises as `trained_scenario`."""
    scenario, file = trained_scenario(run), run.path / FILE
    if not file.exists():
        write_json(file, {"name": scenario.name, "fingerprint": scenario.fingerprint})
