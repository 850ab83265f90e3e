"""The job of `reled submit --check`: looks at every node, prints one table, fails if a node does.

python -m rllib_releds.jobs.check '{"versions": {...}, "servers": [], "storage": "runs"}'
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from rich.console import Console
from rich.table import Table

from rllib_releds.jobs.nodes import examine
from sumo_marl_env import Check

_PATIENCE_S = 900.0
"""For a whole node: the first task there may have to wait for everything to be installed."""
_WIDTH = 120


def examine_nodes(needs: Mapping[str, Any], patience_s: float = _PATIENCE_S) -> dict[str, list[Check]]:
    """What every live node of the connected cluster says, by the node's name.

    A node that cannot run the checks has one failed check instead.
    """
    task = ray.remote(num_cpus=0, max_retries=1)(examine)
    nodes = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
    asked = {
        identity: task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(identity, soft=False)).remote(needs)
        for identity in nodes
    }
    ray.wait(list(asked.values()), num_returns=len(asked), timeout=patience_s)
    return {_name(nodes[identity]): _answer(reference, patience_s) for identity, reference in asked.items()}


def _name(node: Mapping[str, Any]) -> str:
    head = " (head)" if "node:__internal_head__" in node["Resources"] else ""
    return f"{node['NodeManagerAddress']} {node['NodeID'][:6]}{head}"


def _answer(reference: Any, patience_s: float) -> list[Check]:
    try:
        return ray.get(reference, timeout=0)
    except ray.exceptions.GetTimeoutError:
        found, remedy = f"no answer within {patience_s:g} s", "look at the node's load, and at its runtime_env logs"
    except ray.exceptions.RayError as error:
        found = _reason(error)
        remedy = "see runtime_env_setup*.log on the node; a node without a way to a package index needs --no-install"
    return [Check("start", False, found, remedy)]


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200]


def show(checks: Mapping[str, Sequence[Check]], console: Console) -> bool:
    """Print nodes by checks, and below a line for each failure; whether there was none."""
    names = list(dict.fromkeys(check.name for found in checks.values() for check in found))
    table = Table("node", *names)
    for node, found in checks.items():
        said = {check.name: "ok" if check.is_ok else "FAILED" for check in found}
        table.add_row(node, *(said.get(name, "-") for name in names))
    console.print(table)
    failures = [(node, check) for node, found in checks.items() for check in found if not check.is_ok]
    for node, check in failures:
        console.out(f"{node}: {check.name}: {check.found}", highlight=False)
        console.out(f"    {check.remedy}", highlight=False)
    if not failures:
        console.print("Every node is ready.")
    return not failures


def main(needs: Mapping[str, Any]) -> None:
    """Examine the cluster that this job runs on; exit code 1 if something has to be mended."""
    ray.init(logging_level="error")
    is_ready = show(examine_nodes(needs), Console(width=_WIDTH))
    sys.exit(0 if is_ready else 1)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
