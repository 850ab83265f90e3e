"""What one node of a cluster is checked for; each check runs on that node and says what it found and how to mend it."""

from __future__ import annotations

import platform
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import rllib_releds
import sumo_marl_env
from rllib_releds.versions import PACKAGES, installed
from sumo_marl_env import Check

SIMULATED_S = 5.0

_PATIENCE_S = 20.0


def versions() -> dict[str, str]:
    """Versions that must be the same wherever a run has parts."""
    # A CPU build is as good as another.
    found = {package: (installed(package) or "missing").partition("+")[0] for package in PACKAGES}
    own = {"rllib_releds": rllib_releds.__version__, "sumo_marl_env": sumo_marl_env.__version__}
    return {**own, "python": platform.python_version(), **found}


def examine(needs: Mapping[str, Any]) -> list[Check]:
    """Every check of the node that this runs on.

    Args:
        needs: as `rllib_releds.jobs.environment.needs` makes them.
    """
    looks: list[tuple[str, Callable[[], str], str]] = [
        (
            "packages",
            partial(same_versions, needs["versions"]),
            "submit without --no-install, or install these versions there; Python and Ray come from the node's image",
        ),
        (
            "SUMO",
            simulate,
            "submit without --no-install; in a bare image SUMO also needs the system libraries of eclipse-sumo's wheel",
        ),
    ]
    remedy = "open the way to the server (firewall, HTTPS_PROXY), or name another by --llm-option api_base="
    looks += [(urlsplit(server).netloc, partial(reach, server), remedy) for server in needs["servers"]]
    if needs["storage"] is not None:
        remedy = "mount it on this node and make it writable, or give another --out"
        looks.append(("storage", partial(write_and_read, needs["storage"]), remedy))
    return [_attempt(name, look, remedy) for name, look, remedy in looks]


def _attempt(name: str, look: Callable[[], str], remedy: str) -> Check:
    try:
        return Check(name, True, look())
    except Exception as error:
        # Whatever a strange node does wrong belongs into the table, beside what the other nodes say.
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return Check(name, False, lines[0][:200], remedy)


def same_versions(wanted: Mapping[str, str]) -> str:
    """Raises ValueError naming what is not of the submitter's version."""
    here = versions()
    others = [f"{name} {here[name]} (yours: {version})" for name, version in wanted.items() if here[name] != version]
    if others:
        raise ValueError(", ".join(others))
    return f"as yours: rllib_releds {here['rllib_releds']}, ray {here['ray']}"


def simulate() -> str:
    """Two agents for a few seconds in a process of its own: a broken SUMO does not take the node's worker along."""
    env = sumo_marl_env.parallel_env(
        scenario="gridtown", demand="none", num_agents=2, horizon_s=SIMULATED_S, isolate=True
    )
    try:
        env.reset(seed=0)
        while env.agents:
            env.step({agent: int(env.action_mask(agent).argmax()) for agent in env.deciders})
    finally:
        env.close()
    return f"{SIMULATED_S:g} s simulated"


def reach(address: str) -> str:
    """Whether a server answers at all, be it that it refuses a request without a key.

    Raises:
        OSError: if it cannot be reached.
    """
    try:
        with urllib.request.urlopen(address, timeout=_PATIENCE_S) as response:
            status = response.status
    except urllib.error.HTTPError as error:
        status = error.code
    return f"{address} answers ({status})"


def write_and_read(folder: str) -> str:
    """Write a file there, read it and remove it again; on a local path or one with a scheme, such as s3://.

    A folder that is not there yet is not made: all nodes look at it at the same time, and a run may begin in it. Its
    nearest parent stands in.

    Raises:
        OSError: naming what cannot be done.
    """
    from pyarrow import fs

    is_remote = "://" in folder
    system, path = fs.FileSystem.from_uri(folder) if is_remote else (fs.LocalFileSystem(), str(Path(folder).absolute()))
    while system.get_file_info(path).type == fs.FileType.NotFound and str(Path(path).parent) != ".":
        path = str(Path(path).parent)
    name, content = f"{path}/.reled-check-{uuid.uuid4().hex}", b"written by reled submit --check"
    with system.open_output_stream(name) as stream:
        stream.write(content)
    try:
        with system.open_input_stream(name) as stream:
            if stream.read() != content:
                raise OSError(f"{path} gives back something else than what was written")
    finally:
        system.delete_file(name)
    return f"{path} written, read and cleared"
