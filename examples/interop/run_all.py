"""Runs the examples of this folder, each with the versions of the library that it is written for, and prints a table.

Run:     make interop      (or: python examples/interop/run_all.py [--smoke] [NAME ...])
Expect:  a table with one row per library and what each example's last line says.

The virtual environments are in .interop/NAME. They hold this repository's packages (through constraints.txt, as in
`make venv`) and what NAME.txt pins. NAME.no-deps.txt, where there is one, is installed afterwards without regard to
what those libraries ask for. An environment is made anew when one of these files has changed. RLlib runs in the
environment that runs this script.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
REPOSITORY = FOLDER.parents[1]
ENVIRONMENTS = REPOSITORY / ".interop"


@dataclass(frozen=True)
class Example:
    """One library: `script` runs in the environment `name`, or in this one where it needs nothing more."""

    name: str
    library: str
    script: str
    needs_environment: bool = True


EXAMPLES = (
    Example("rllib", "RLlib", "rllib_ppo.py", needs_environment=False),
    Example("torchrl", "TorchRL", "torchrl_rollout.py"),
    Example("benchmarl", "BenchMARL", "benchmarl_three.py"),
    Example("stable_baselines3", "SuperSuit, Stable-Baselines3", "stable_baselines3_ppo.py"),
    Example("agilerl", "AgileRL", "agilerl_ippo.py"),
)


def main() -> int:
    names = [example.name for example in EXAMPLES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which, of {', '.join(names)} (default: all)")
    parser.add_argument("--smoke", action="store_true", help="the short form of each example")
    options = parser.parse_args()
    unknown = set(options.names) - set(names)
    if unknown:
        parser.error(f"no example named {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    chosen = [example for example in EXAMPLES if not options.names or example.name in options.names]
    rows = [(example.library, run(example, ["--smoke"] if options.smoke else [])) for example in chosen]
    width = max(len(library) for library, _ in rows)
    print("\n" + "\n".join(f"{library:<{width}}  {result or 'FAILED'}" for library, result in rows))
    return 0 if all(result for _, result in rows) else 1


def run(example: Example, arguments: Sequence[str]) -> str | None:
    """Run one example; returns what follows "result:" in what it prints, None if it failed."""
    print(f"== {example.library}: {example.script}", flush=True)
    try:
        python = prepare(example.name) if example.needs_environment else Path(sys.executable)
    except subprocess.CalledProcessError as error:
        print(f"cannot make its environment: {error}", flush=True)
        return None
    process = subprocess.Popen(
        [python, FOLDER / example.script, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        # Small networks: more threads only get in each other's way.
        env={"OMP_NUM_THREADS": "1", **os.environ},
    )
    assert process.stdout is not None
    result = None
    for line in process.stdout:
        print(line, end="", flush=True)
        if line.startswith("result: "):
            result = line.removeprefix("result: ").strip()
    return result if process.wait() == 0 else None


def prepare(name: str) -> Path:
    """Make the environment `name`, if it is not there as its files say; returns its Python."""
    environment = ENVIRONMENTS / name
    python, stamp = environment / "bin" / "python", environment / "installed"
    pinned, without_dependencies = FOLDER / f"{name}.txt", FOLDER / f"{name}.no-deps.txt"
    sources = [REPOSITORY / "pyproject.toml", REPOSITORY / "constraints.txt", pinned, without_dependencies]
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources if path.exists())).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return python
    print(f"making {environment.relative_to(REPOSITORY)}", flush=True)
    shutil.rmtree(environment, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check"]
    constraints = ["--constraint", REPOSITORY / "constraints.txt"]
    subprocess.run([*pip, *constraints, "setuptools", "wheel"], check=True)
    subprocess.run([*pip, *constraints, "--requirement", pinned, "--editable", REPOSITORY], check=True)
    if without_dependencies.exists():
        subprocess.run([*pip, "--no-deps", "--requirement", without_dependencies], check=True)
    stamp.write_text(digest)
    return python


if __name__ == "__main__":
    sys.exit(main())
