"""Ray clusters of a test's own on this machine: a head with a job server, and further nodes."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from ray.job_submission import JobSubmissionClient

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
PATIENCE_S = 200.0
ENVIRONMENT = {
    # Jobs say `python`, and the clusters live for a minute, so they need no token.
    "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    "RAY_AUTH_MODE": "disabled",
    "RAY_ADDRESS": "",
    "OMP_NUM_THREADS": "1",
}


def documented_command(program: str, address: str, run: Path) -> list[str]:
    """The command that trains for 20 epochs as docs/cluster.md prints it, with this address and run folder."""
    lines = (ROOT / "docs" / "cluster.md").read_text().splitlines()
    line = next(line for line in lines if re.match(rf"    {program} .*--epochs 20 ", line))
    return shlex.split(line.replace("http://HEAD:8265", address).replace("/mnt/runs/first", str(run)))


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class RayCluster:
    """A head and any number of nodes, ended by `close`.

    Args:
        folder: for everything that Ray writes; short, because sockets lie in it.
        num_cpus: of the head.
        token: what the cluster asks for; None for a cluster that asks for none.

    Attributes:
        address: of the job server.
    """

    def __init__(self, folder: Path, num_cpus: int, token: str | None = None) -> None:
        self.folder = folder
        self._token = token
        self._gcs = f"127.0.0.1:{free_port()}"
        dashboard = free_port()
        self.address = f"http://127.0.0.1:{dashboard}"
        self._nodes: list[subprocess.Popen] = []
        self.start(
            self.folder / "head.log",
            *("--head", f"--port={self._gcs.split(':')[1]}", f"--temp-dir={folder}"),
            *("--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", f"--num-cpus={num_cpus}"),
        )
        try:
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    def add_node(self, num_cpus: int) -> subprocess.Popen:
        """A further node, which has started: of two that start at once on one machine, Ray loses one now and then."""
        log = self.folder / f"node_{len(self._nodes)}.log"
        node = self.start(log, f"--address={self._gcs}", f"--num-cpus={num_cpus}")
        deadline = time.monotonic() + PATIENCE_S
        while "Ray runtime started" not in log.read_text():
            if node.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"a node did not start:\n{log.read_text()}")
            time.sleep(0.1)
        return node

    def start(self, log: Path, *options: str) -> subprocess.Popen:
        # The agent's usual port is taken if anybody else on this machine runs Ray.
        common = ["--block", "--object-store-memory=100000000", f"--dashboard-agent-listen-port={free_port()}"]
        # Processes that nothing here needs, and that take long to start on a busy machine.
        common += ["--include-log-monitor=false", "--no-monitor", "--disable-usage-stats"]
        with log.open("w") as output:
            node = subprocess.Popen(
                [str(BIN / "ray"), "start", *common, *options],
                cwd=self.folder,
                env={**os.environ, **ENVIRONMENT, **self._asking},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._nodes.append(node)
        return node

    @property
    def _asking(self) -> dict[str, str]:
        return {} if self._token is None else {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self._token}

    def _wait_until_ready(self) -> None:
        headers = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                # The head answers before it can run anything, so it gets something to run.
                JobSubmissionClient(self.address, headers=headers).submit_job(entrypoint="true")
                return
            except (ConnectionError, RuntimeError):
                if self._nodes[0].poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def close(self) -> None:
        for node in reversed(self._nodes):
            kill_tree(node.pid)
            node.wait()


def kill_tree(pid: int) -> None:
    """SIGKILL for a process and all that descend from it, as when a machine loses its power."""
    for process in (pid, *descendants(pid)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # After the name, which may hold anything, come the state and the parent.
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for one in found:
        found.extend(child for child, parent in parents.items() if parent == one)
    return found[1:]
