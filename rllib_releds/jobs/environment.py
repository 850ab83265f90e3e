"""What goes along with a job: both packages, what they need, a folder of files, and the names of keys."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from packaging.requirements import Requirement

import rllib_releds
import sumo_marl_env
from rllib_releds.console import named_values
from rllib_releds.demonstrations.errors import DemonstrationError
from rllib_releds.demonstrations.models.chat import OFFLINE, ChatSettings, chat_settings, is_model_name
from rllib_releds.demonstrations.models.providers import key_variables, server_address
from rllib_releds.errors import RunError
from rllib_releds.jobs.nodes import versions
from rllib_releds.versions import installed

EXTRAS = ("train", "llm", "plot", "export")

T = TypeVar("T")


def runtime_environment(staging: Path, working_dir: Path | None, is_installing: bool) -> dict[str, Any]:
    """Ray's runtime environment of a job.

    Args:
        staging: an empty folder that lasts until the job is submitted.
        working_dir: files of the user's; the job starts in a copy of it.
        is_installing: whether every node installs what the packages need, in the submitter's versions.

    Raises:
        RunError: if `working_dir` is no folder.
    """
    if working_dir is not None and not working_dir.is_dir():
        raise RunError(f"there is no folder {working_dir} to send along; give another --working-dir")
    # Not in a working directory: a second node on a machine unpacks that anew below the feet of the first one's job.
    environment: dict[str, Any] = {"py_modules": [str(folder) for folder in stage_packages(staging)]}
    if working_dir is not None:
        environment["working_dir"] = str(working_dir)
    if is_installing:
        environment["pip"] = {"packages": requirements(), "pip_check": False}
    return environment


def stage_packages(staging: Path) -> list[Path]:
    """Copies of both packages as an installation has them: with the towns inside, from a checkout, too."""
    copies = []
    for package in (sumo_marl_env, rllib_releds):
        source = Path(str(package.__file__)).parent
        copies.append(staging / source.name)
        shutil.copytree(source, copies[-1], ignore=shutil.ignore_patterns("__pycache__"))
    towns = Path(str(sumo_marl_env.__file__)).parents[1] / "networks"
    if not (copies[0] / "networks").exists():
        (copies[0] / "networks").mkdir()
        for town in towns.glob("*.osm"):
            shutil.copy(town, copies[0] / "networks")
    return copies


def requirements() -> list[str]:
    """What both packages need, pinned to the versions that are installed here; SUMO is among them.

    Raises:
        RunError: if the packages run from a folder without being installed.
    """
    try:
        lines = metadata.requires("rllib-releds") or []
    except metadata.PackageNotFoundError as error:
        raise RunError(
            "rllib-releds is not installed here, so what it needs is not known: install it, or give --no-install for "
            "a cluster that has everything"
        ) from error
    return [_pinned(one) for one in map(Requirement, lines) if _is_wanted(one) and installed(one.name)]


def _is_wanted(requirement: Requirement) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in EXTRAS)


def _pinned(requirement: Requirement) -> str:
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    # Without a part such as "+cpu", which package indexes do not have.
    return f"{requirement.name}{extras}=={metadata.version(requirement.name).partition('+')[0]}"


def models_of(options: Mapping[str, Any]) -> list[ChatSettings]:
    """The language models that a command with these options asks over a network.

    Raises:
        RunError: naming a setting that is wrong.
    """
    if options.get("llm") is None or options.get("replay") is not None:
        return []
    names = [options["llm"]] if isinstance(options["llm"], str) else options["llm"]
    settings = named_values(options.get("llm_option") or [])
    try:
        return [chat_settings(name, settings) for name in names if is_model_name(name) and name != OFFLINE]
    except ValueError as error:
        raise RunError(str(error)) from error


def needs(options: Mapping[str, Any]) -> dict[str, Any]:
    """What the nodes of a cluster are checked for, from the options of the job's command.

    Returns:
        versions by package, addresses of the models' servers, shared storage or folder of the run, or None.
    """
    folders = (options.get(name) for name in ("storage", "out", "run"))
    folder = next(filter(None, folders), "runs" if "out" in options else None)
    return {
        "versions": versions(),
        "servers": _of_providers(server_address, options),
        "storage": None if folder is None else str(folder),
    }


def model_keys(options: Mapping[str, Any], named: Iterable[str]) -> dict[str, str]:
    """Keys from this process's environment: those that the models want, and those that the user named.

    Raises:
        RunError: naming a variable that is not set, or a model that nobody knows.
    """
    for name in named:
        if not os.environ.get(name):
            raise RunError(f"--env {name}: there is no such variable in your environment")
    wanted = [name for names in _of_providers(key_variables, options) for name in names]
    return {name: os.environ[name] for name in (*named, *wanted) if os.environ.get(name)}


def _of_providers(tell: Callable[[ChatSettings], T | None], options: Mapping[str, Any]) -> list[T]:
    try:
        told = [tell(model) for model in models_of(options)]
    except DemonstrationError as error:
        raise RunError(str(error)) from error
    return [one for one in told if one is not None]
