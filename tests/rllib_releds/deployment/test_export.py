"""The exported policies act as the trained ones, and need no trainer."""

import json
import subprocess
import sys
from dataclasses import replace

import gymnasium
import numpy as np
import onnxruntime
import pytest
import torch
from helpers import one_object, random_action, reled, run_episode
from rich.console import Console

from rllib_releds.algorithm.encoder import road_tables
from rllib_releds.algorithm.inference import choose
from rllib_releds.algorithm.module import RoutingModule
from rllib_releds.baselines.qmix_module import QMIXModule
from rllib_releds.deployment import export
from rllib_releds.deployment.export import export_run, manifest, write_policies
from rllib_releds.errors import RunError
from rllib_releds.experiments.records import RunFolder
from rllib_releds.experiments.runner import train
from rllib_releds.experiments.settings import TrainSettings
from rllib_releds.local_ray import ray_session
from sumo_marl_env import parallel_env

AGENTS = 2


def made(kind, env, encoder: str, inference_only: bool = True):
    """A module with weights and biases far from where training begins."""
    module = kind(
        observation_space=gymnasium.spaces.Dict({}),
        action_space=env.action_space(env.possible_agents[0]),
        inference_only=inference_only,
        model_config={
            "num_agents": AGENTS,
            "encoder": encoder,
            "tables": road_tables(env.network),
            "hidden_size": 16,
            "seed": 0,
            "central_critic": False,
        },
    )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3)
    return module


@pytest.fixture(scope="module")
def recorded(grid):
    """An env, and 1000 observations that its agents met on the way, with their masks."""
    env = parallel_env(network=grid, demand="moderate", num_agents=AGENTS, horizon_s=900.0)
    rng = np.random.default_rng(0)
    columns: list[list[np.ndarray]] = [[], []]
    for seed in range(100):
        for trajectory in run_episode(env, seed, lambda env, agent: random_action(env, agent, rng)):
            columns[0].extend(trajectory.observations)
            columns[1].extend(trajectory.action_masks)
        if len(columns[0]) >= 1000:
            break
    observations, masks = (np.array(column[:1000]) for column in columns)
    env.close()
    assert len(observations) == 1000
    return env, observations, masks


@pytest.mark.parametrize(
    ("kind", "encoder"),
    [*((RoutingModule, encoder) for encoder in ("combined", "features", "one_hot", "raw")), (QMIXModule, "combined")],
)
def test_onnx_and_torch_agree_on_1000_recorded_observations(kind, encoder, recorded, tmp_path):
    env, observations, masks = recorded
    module = made(kind, env, encoder)
    policies = [module.single_policy(agent) for agent in range(AGENTS)]
    write_policies(policies, env.scenario, tmp_path)
    tops = []
    for agent, policy in zip(env.possible_agents, policies, strict=True):
        session = onnxruntime.InferenceSession(tmp_path / f"{agent}.onnx")
        (found,) = session.run(None, {"observation": observations, "action_mask": masks})
        with torch.no_grad():
            expected = policy(torch.from_numpy(observations), torch.from_numpy(masks)).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5)
        np.testing.assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))
        assert (found[masks == 0] == 0).all()
        tops.append(found.argmax(axis=1))
        (alone,) = session.run(None, {"observation": observations[:1], "action_mask": masks[:1]})
        np.testing.assert_allclose(alone, found[:1], atol=1e-6)
    assert (tops[0] != tops[1]).any(), "each agent has weights of its own"


def test_no_name_of_an_agent_leads_out_of_the_folder(recorded, tmp_path):
    env, observations, masks = recorded
    names = ["bus/1", "../../bus_2"]
    trips = tuple(replace(trip, agent=name) for trip, name in zip(env.scenario.trips, names, strict=True))
    scenario = replace(env.scenario, trips=trips)
    module = made(RoutingModule, env, "raw")
    folder = tmp_path / "device"
    folder.mkdir()
    write_policies([module.single_policy(agent) for agent in range(AGENTS)], scenario, folder)
    files = [manifest(scenario)["agents"][name]["policy"] for name in names]
    assert sorted(path.name for path in folder.iterdir()) == sorted(files)
    assert list(tmp_path.iterdir()) == [folder]
    onnxruntime.InferenceSession(folder / files[0]).run(None, {"observation": observations, "action_mask": masks})


def test_a_qmix_policy_is_the_sampling_one_without_exploration(recorded):
    env, observations, masks = recorded
    module = made(QMIXModule, env, "combined", inference_only=False)
    module.epsilon.fill_(0.0)
    for agent in range(AGENTS):
        with torch.no_grad():
            probabilities = module.single_policy(agent)(torch.from_numpy(observations), torch.from_numpy(masks))
        sampling = module.sampling_policies().probabilities(np.full(1000, agent), observations, masks)
        np.testing.assert_array_equal(probabilities.numpy(), sampling)
    module.epsilon.fill_(1.0)
    drawn_alike = module.sampling_policies().probabilities(np.full(1000, agent), observations, masks)
    np.testing.assert_array_equal(choose(drawn_alike, None), sampling.argmax(axis=-1))
    np.testing.assert_allclose(drawn_alike, masks / masks.sum(axis=-1, keepdims=True), atol=1e-6)


@pytest.fixture(scope="module")
def run(tmp_path_factory, grid_file) -> RunFolder:
    """One epoch of independent PPO on a map of the user's own."""
    settings = TrainSettings(
        network=grid_file,
        demand="none",
        num_agents=3,
        method="IPPO",
        num_training_epochs=1,
        interaction_steps_per_epoch=30,
    )
    run = RunFolder.create(tmp_path_factory.mktemp("runs") / "run", settings)
    with ray_session():
        train(run, Console(quiet=True))
    return run


def test_an_exported_folder_drives_a_vehicle_without_ray_and_torch(run, tmp_path, monkeypatch):
    result = one_object(reled("export", run.path, "--out", tmp_path / "device", "--json"))
    assert result == {"folder": str(tmp_path / "device"), "policies": 3, "finished_epochs": 1}
    device = (tmp_path / "device").rename(tmp_path / "elsewhere")
    manifest = json.loads((device / "manifest.json").read_text())
    assert list(manifest["agents"]) == ["vehicle_0", "vehicle_1", "vehicle_2"]
    assert manifest["agents"]["vehicle_1"]["destination"] in manifest["junctions"]
    assert (manifest["method"], manifest["finished_epochs"]) == ("IPPO", 1)
    watched = (
        f"import runpy, sys; sys.argv[1:] = ['vehicle_1']; runpy.run_path({str(device / 'drive.py')!r});"
        "print([name for name in ('ray', 'torch', 'rllib_releds') if name in sys.modules])"
    )
    command = [sys.executable, "-c", watched]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[0].startswith("vehicle_1 drives to junction ")
    assert lines[1].startswith("vehicle_1: ")
    assert lines[2] == "[]"
    stranger = subprocess.run(
        [sys.executable, device / "drive.py", "vehicle_99"], capture_output=True, text=True, check=False
    )
    assert stranger.returncode == 1
    assert "there is no agent 'vehicle_99'; agents: vehicle_0, vehicle_1, vehicle_2" in stranger.stderr


def test_what_is_there_is_never_overwritten(run, tmp_path):
    (tmp_path / "device").mkdir()
    with pytest.raises(RunError, match=r"device exists already; give another --out"):
        export_run(run, tmp_path / "device")
    assert list((tmp_path / "device").iterdir()) == []


def test_an_export_that_fails_leaves_nothing(run, tmp_path, monkeypatch):
    def full_disk(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "write_policies", full_disk)
    with pytest.raises(RunError, match=r"cannot write .*device \(No space left on device\)"):
        export_run(run, tmp_path / "device")
    assert list(tmp_path.iterdir()) == []


def test_missing_packages_are_said(run, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "NEEDED", ("no_such_package",))
    with pytest.raises(RunError, match=r"no_such_package not installed; `pip install 'rllib-releds\[export\]'`"):
        export_run(run, tmp_path / "device")
