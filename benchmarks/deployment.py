"""Start-up and memory of the exported driving example: a device with onnxruntime and sumo_marl_env.

Exports untrained policies for gridtown (weights cost the same whatever they are), starts drive.py and stops the clock
when the vehicle can make its first decision: modules imported, policy loaded, SUMO running.

    python benchmarks/deployment.py [--repeat 5] [--json]

The bars are 2 s and 300 MB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from rllib_releds.deployment.export import export_run
from rllib_releds.experiments.records import RunFolder
from rllib_releds.experiments.runner import build_config
from rllib_releds.experiments.settings import TrainSettings
from rllib_releds.local_ray import ray_session

BARS = {"startup_s": 2.0, "startup_mb": 300.0, "peak_mb": 300.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5, help="starts, of which the median counts (default: 5)")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = untrained_policies(Path(temporary))
        runs = [measure(folder / "drive.py") for _ in range(options.repeat)]
    figures = {name: median(run[name] for run in runs) for name in runs[0]}
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        bar = f"  {value / BARS[name]:.2f} of the bar" if name in BARS else ""
        print(f"{name:12} {value:8.2f}{bar}")


def untrained_policies(folder: Path) -> Path:
    """An exported folder."""
    run = RunFolder.create(folder / "run", TrainSettings(method="IPPO"))
    with ray_session():
        algorithm = build_config(run.settings).build_algo()
        run.save_checkpoint(0, lambda checkpoint: algorithm.save_to_path(str(checkpoint)))
        algorithm.stop()
    return Path(export_run(run, folder / "device")["folder"])


def measure(script: Path) -> dict[str, float]:
    """Seconds until the first decision, wall and CPU; memory then, and the most until the trip is over."""
    began_s = time.perf_counter()
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    figures = {"startup_s": time.perf_counter() - began_s, "startup_cpu_s": cpu_seconds(process.pid)}
    figures["startup_mb"] = figures["peak_mb"] = highest_mb(process.pid) or 0.0
    # What the kernel reports of an ended child counts its parent's memory from before the exec.
    while process.poll() is None:
        figures["peak_mb"] = max(figures["peak_mb"], highest_mb(process.pid) or 0.0)
        time.sleep(0.01)
    assert process.returncode == 0
    return figures


def highest_mb(pid: int) -> float | None:
    """The most memory that the process has had so far; None once it has ended."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024 if "VmHWM" in status else None


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
