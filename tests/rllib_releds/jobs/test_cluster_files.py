"""The files in examples/cluster: against Ray's schema, and against the fields of KubeRay's RayJob (ray.io/v1) in use.

The models below are written from KubeRay's API reference and Kubernetes' Pod. They refuse unknown fields, wrong types
and names or amounts that Kubernetes would refuse; an operator may still refuse what they let pass.
"""

import shlex
from pathlib import Path
from typing import Annotated, Literal

import pytest
import typer
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ray.autoscaler._private.util import prepare_config, validate_config

from rllib_releds.cli import app

FOLDER = Path(__file__).parents[3] / "examples" / "cluster"

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
Amount = Annotated[str, Field(pattern=r"^\d+(\.\d+)?(m|[KMGT]i?)?$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Port(Strict):
    containerPort: int = Field(ge=1, le=65535)
    name: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,15}$")]


class SecretRef(Strict):
    name: Name


class EnvFrom(Strict):
    secretRef: SecretRef


class Resources(Strict):
    requests: dict[Literal["cpu", "memory"], Amount]
    limits: dict[Literal["cpu", "memory"], Amount]


class Mount(Strict):
    name: Name
    mountPath: Annotated[str, Field(pattern=r"^/")]


class Container(Strict):
    name: Name
    image: str
    resources: Resources
    ports: list[Port] = []
    envFrom: list[EnvFrom] = []
    volumeMounts: list[Mount] = []


class Claim(Strict):
    claimName: Name


class Volume(Strict):
    name: Name
    persistentVolumeClaim: Claim


class PodSpec(Strict):
    containers: Annotated[list[Container], Field(min_length=1)]
    volumes: list[Volume] = []


class Pod(Strict):
    spec: PodSpec


class Head(Strict):
    rayStartParams: dict[str, str]
    template: Pod


class Workers(Head):
    groupName: Name
    replicas: int
    minReplicas: int
    maxReplicas: int


class Cluster(Strict):
    rayVersion: str
    headGroupSpec: Head
    workerGroupSpecs: list[Workers]


class Spec(Strict):
    entrypoint: str
    submissionMode: Literal["K8sJobMode", "HTTPMode", "SidecarMode", "InteractiveMode"]
    shutdownAfterJobFinishes: bool
    ttlSecondsAfterFinished: int = Field(ge=0)
    backoffLimit: int = Field(ge=0)
    rayClusterSpec: Cluster


class Metadata(Strict):
    name: Annotated[Name, Field(max_length=47)]


class RayJob(Strict):
    apiVersion: Literal["ray.io/v1"]
    kind: Literal["RayJob"]
    metadata: Metadata
    spec: Spec


@pytest.fixture
def manifest() -> dict:
    return yaml.safe_load((FOLDER / "rayjob.yaml").read_text())


def test_the_file_for_ray_up_is_in_rays_schema():
    config = yaml.safe_load((FOLDER / "ray_up.yaml").read_text())
    validate_config(prepare_config(config))


def test_the_manifest_uses_fields_of_kuberay(manifest):
    RayJob.model_validate(manifest)


@pytest.mark.parametrize("path", [("spec", "entryPoint"), ("spec", "rayClusterSpec", "headGroup")])
def test_a_misspelt_field_would_be_found(manifest, path):
    inner = manifest
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = "x"
    with pytest.raises(ValidationError, match=path[-1]):
        RayJob.model_validate(manifest)


def test_every_mounted_volume_is_there_and_resources_suffice(manifest):
    cluster = RayJob.model_validate(manifest).spec.rayClusterSpec
    for group in (cluster.headGroupSpec, *cluster.workerGroupSpecs):
        volumes = {volume.name for volume in group.template.spec.volumes}
        for container in group.template.spec.containers:
            assert {mount.name for mount in container.volumeMounts} <= volumes
            assert container.resources.requests == container.resources.limits, "Ray counts limits"


def test_the_manifests_command_exists_and_its_runners_find_cpus(manifest):
    job = RayJob.model_validate(manifest)
    program, name, *options = shlex.split(job.spec.entrypoint)
    assert (program, name) == ("reled", "train")
    given = typer.main.get_command(app).commands["train"].make_context("train", options).params
    workers = job.spec.rayClusterSpec.workerGroupSpecs
    cpus = sum(group.replicas * int(group.template.spec.containers[0].resources.limits["cpu"]) for group in workers)
    assert given["env_runners"] <= cpus


def test_both_files_name_the_version_of_ray_that_is_tested(manifest):
    constraints = (FOLDER.parents[1] / "constraints.txt").read_text()
    version = next(line.removeprefix("ray==") for line in constraints.splitlines() if line.startswith("ray=="))
    assert manifest["spec"]["rayClusterSpec"]["rayVersion"] == version
    assert f"=={version}'" in (FOLDER / "ray_up.yaml").read_text()
