"""Writes each agent's policy as ONNX, with what a device needs to act by it.

OUT/
  vehicle_0.onnx ...  one agent's policy; the encoder and its tables of the map are part of it
  manifest.json       which agent has which file, origin and destination; what goes in and comes out; versions
  scenario.json       the scenario, with its network beside it unless that is a built-in town
  drive.py            drives one vehicle with onnxruntime and sumo_marl_env
"""

from __future__ import annotations

import warnings
from importlib import resources, util
from pathlib import Path
from typing import Any
from urllib.parse import quote

import torch

from rllib_releds.algorithm.module import SinglePolicy
from rllib_releds.errors import RunError
from rllib_releds.experiments.evaluation import load_newest
from rllib_releds.experiments.records import RunFolder, new_folder, versions
from rllib_releds.experiments.trained_scenario import trained_scenario
from rllib_releds.files import write_json
from sumo_marl_env import AgentID, RoadNetwork, Scenario

FORMAT = 1
"""Of manifest.json."""
NEEDED = ("onnx", "onnxscript")
INPUTS = ("observation", "action_mask")
OUTPUT = "probabilities"


def export_run(run: RunFolder, out: Path | str | None = None, *, is_best: bool = False) -> dict[str, Any]:
    """Write the run's newest policies for deployment: the whole folder or nothing.

    Args:
        run: the run.
        out: a new folder; by default deployment/epoch_<finished epochs> in the run folder.
        is_best: in place of the newest policies those that earned most; see `RunFolder.best_checkpoint`.

    Returns:
        folder, policies (their number) and finished_epochs.

    Raises:
        RunError: if the folder is not new or cannot be written, the run has no finished checkpoint, its scenario has
            changed, or a package is missing.
        RoutingError: if the run's network cannot be loaded any more.
    """
    missing = [package for package in NEEDED if util.find_spec(package) is None]
    if missing:
        raise RunError(f"{', '.join(missing)} not installed; `pip install 'rllib-releds[export]'` brings it")
    finished_epochs, module = load_newest(run, is_best=is_best)
    target = Path(out or run.path / "deployment" / run.checkpoint(finished_epochs).name).absolute()
    scenario = trained_scenario(run)
    with new_folder(target) as folder:
        policies = [module.single_policy(index) for index in range(len(scenario.agents))]
        write_policies(policies, scenario, folder)
        scenario.save(folder / "scenario.json")
        facts = {"method": run.settings.label, "finished_epochs": finished_epochs}
        write_json(folder / "manifest.json", {"format": FORMAT, **facts, **manifest(scenario), "versions": versions()})
        (folder / "drive.py").write_text(resources.files("rllib_releds.deployment").joinpath("drive.py").read_text())
    return {"folder": str(target), "policies": len(policies), "finished_epochs": finished_epochs}


def write_policies(policies: list[SinglePolicy], scenario: Scenario, folder: Path) -> None:
    """One ONNX file per agent; all have the same graph, which is traced once."""
    slots = scenario.network.max_outgoing
    batch = torch.export.Dim("batch")
    # Two rows: of a size of 1 the tracer concludes that it is always 1.
    example = torch.zeros(2, 2 * slots + 2), torch.ones(2, slots, dtype=torch.int8)
    with warnings.catch_warnings():
        # The tracer's own deprecations, and that both inputs have the same batch size.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            policies[0].eval(),
            example,
            input_names=INPUTS,
            output_names=[OUTPUT],
            dynamic_shapes={name: {0: batch} for name in INPUTS},
            # An optimised graph merges equal weights, such as zero biases, which are not equal in every agent.
            optimize=False,
            verbose=False,
        )
    assert program is not None
    for agent, policy in zip(scenario.agents, policies, strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("error", torch.onnx.errors.OnnxExporterWarning)  # a weight without a place
            program.apply_weights(policy.state_dict())
        program.save(folder / policy_file(agent), external_data=False)


def policy_file(agent: AgentID) -> str:
    """Where an agent's policy lies; a slash in its name is no folder."""
    return f"{quote(agent, safe='')}.onnx"


def manifest(scenario: Scenario) -> dict[str, Any]:
    """What a device must know of the scenario and of the files."""
    network, slots = scenario.network, scenario.network.max_outgoing
    return {
        "scenario": "scenario.json",
        "inputs": {
            "observation": {"shape": ["batch", 2 * slots + 2], "dtype": "float32", "layout": _layout(network)},
            "action_mask": {
                "shape": ["batch", slots],
                "dtype": "int8",
                "layout": "1 for each outgoing edge that may be taken, else 0",
            },
        },
        "outputs": {OUTPUT: {"shape": ["batch", slots], "dtype": "float32", "layout": "of each outgoing edge"}},
        "agents": {
            trip.agent: {
                "policy": policy_file(trip.agent),
                "origin_edge": network.edge_ids[trip.origin_edge],
                "origin": network.junction_ids[trip.origin],
                "destination": network.junction_ids[trip.destination],
                "depart_s": trip.depart_s,
            }
            for trip in scenario.trips
        },
        "junctions": list(network.junction_ids),
    }


def _layout(network: RoadNetwork) -> dict[str, str]:
    """Table I of the paper. Junctions are rows of the manifest's list `junctions`."""
    layout = {"0": "junction at the end of the current edge", "1": "destination junction"}
    for slot in range(network.max_outgoing):
        layout[str(2 + 2 * slot)] = f"score of outgoing edge {slot}: free-flow time over current time; -1 if absent"
        layout[str(3 + 2 * slot)] = f"junction at the end of outgoing edge {slot}; -1 if absent"
    return layout
