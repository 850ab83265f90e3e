"""Is everything installed that an environment needs, and does SUMO run? For `sumo-marl doctor`."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from sumo_marl_env import sumo_programs
from sumo_marl_env.errors import RoutingError
from sumo_marl_env.files import cache_folder

SUMO_PACKAGES = ("eclipse-sumo", "libsumo", "traci", "sumolib")
OTHER_PACKAGES = ("pettingzoo", "gymnasium", "numpy", "scipy")
SIMULATED_S = 5

_PATIENCE_S = 120
_DRIVE = (
    "import sys; sys.path.insert(0, sys.argv[1]); from sumo_marl_env.commands.doctor import drive; drive(*sys.argv[2:])"
)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what was looked at.
        is_ok: whether it is as it should be.
        found: what was found.
        remedy: what to do; "" if it is fine.
    """

    name: str
    is_ok: bool
    found: str
    remedy: str = ""


def examine() -> list[Check]:
    """Every check, in the order in which a reader should mend things."""
    programs = [sumo_program("sumo"), sumo_program("netconvert")]
    return [*versions(), *programs, _sumo_folder(), _cache(), *simulations()]


def versions() -> list[Check]:
    """Python and the packages, against what this package asks for."""
    wanted = _wanted()
    packages = [_package(name, wanted) for name in (*SUMO_PACKAGES, *OTHER_PACKAGES)]
    return [_python(), *packages, _same_sumo()]


def drive(net_file: str, backend: str) -> None:
    """Let one vehicle drive for `SIMULATED_S` on `net_file`, a grid of netgenerate; run in a process of its own.

    Raises:
        SimulatorError: if SUMO does not start, or the vehicle is not on the road at the end.
    """
    from sumo_marl_env.errors import SimulatorError
    from sumo_marl_env.simulation.sumo import SumoSimulator

    simulator = SumoSimulator(backend)  # type: ignore[arg-type]
    try:
        simulator.load(Path(net_file), 0)
        simulator.add_vehicle("traveller", ["A0A1", "A1A2"], 0.0, is_agent=True)
        for _ in range(SIMULATED_S):
            simulator.step()
        if not simulator.road("traveller"):
            raise SimulatorError(f"no vehicle was on the road after {SIMULATED_S} s")
    finally:
        simulator.close()


def _python() -> Check:
    is_ok = sys.version_info[:2] == (3, 11)
    return Check("python", is_ok, platform.python_version(), "" if is_ok else "Use Python 3.11.")


def _wanted() -> dict[str, SpecifierSet]:
    """Version ranges that this package asks for; empty if it runs from a folder without being installed."""
    try:
        requirements = [Requirement(line) for line in metadata.requires("rllib-releds") or []]
    except metadata.PackageNotFoundError:
        return {}
    return {one.name: one.specifier for one in requirements if one.marker is None}


def _package(name: str, wanted: dict[str, SpecifierSet]) -> Check:
    specifier = wanted.get(name, SpecifierSet())
    remedy = f"pip install '{name}{specifier}'"
    found = _version(name)
    if found is None:
        return Check(name, False, "not installed", remedy)
    if not specifier.contains(found, prereleases=True):
        return Check(name, False, f"{found}, wanted {specifier}", remedy)
    return Check(name, True, found)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _same_sumo() -> Check:
    """The four wheels speak to each other and must come from one release."""
    versions = {name: _version(name) for name in SUMO_PACKAGES}
    found = ", ".join(f"{name} {version or 'missing'}" for name, version in versions.items())
    if len(set(versions.values())) == 1 and None not in versions.values():
        return Check("one SUMO release", True, str(versions["eclipse-sumo"]))
    newest = max((v for v in versions.values() if v), key=Version, default="")
    pinned = " ".join(f"{name}=={newest}" if newest else name for name in SUMO_PACKAGES)
    return Check("one SUMO release", False, found, f"They must be equal: pip install {pinned}")


def sumo_program(name: str) -> Check:
    """Whether one of SUMO's programs starts."""
    reinstall = "pip install --force-reinstall eclipse-sumo"

    def look() -> str:
        result = _run([str(sumo_programs.sumo_home() / "bin" / name), "--version"])
        if result.returncode != 0:
            raise OSError(_last_words(result))
        return result.stdout.splitlines()[0]

    return _attempt(f"program {name}", look, reinstall)


def _sumo_folder() -> Check:
    """SUMO_HOME of another installation does no harm here, but surprises whoever calls SUMO's tools by hand."""

    def look() -> str:
        given = os.environ.get("SUMO_HOME")
        home = sumo_programs.sumo_home()
        if given and Path(given).resolve() != home.resolve():
            return f"{home} (SUMO_HOME={given} is ignored)"
        return str(home)

    return _attempt("SUMO folder", look, "pip install --force-reinstall eclipse-sumo")


def _cache() -> Check:
    folder = cache_folder()

    def look() -> str:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
        return str(folder)

    return _attempt("cache folder", look, f"Make {folder} writable, or set XDG_CACHE_HOME to a folder that is.")


def simulations() -> list[Check]:
    """One in this package's fast way (libsumo) and one through a socket (traci)."""
    reinstall = "Mend what is wrong above first; else pip install --force-reinstall " + " ".join(SUMO_PACKAGES)
    with tempfile.TemporaryDirectory() as folder:
        net_file = Path(folder) / "grid.net.xml"

        def simulate(backend: str) -> str:
            if not net_file.exists():
                netgenerate = str(sumo_programs.sumo_home() / "bin" / "netgenerate")
                made = _run([netgenerate, "--grid", "--grid.number", "3", "-o", str(net_file)])
                if made.returncode != 0:
                    raise OSError(_last_words(made))
            # A process of its own, because a broken libsumo takes its process along. -P: no modules from the working
            # directory.
            package = str(Path(__file__).parents[2])
            result = _run([sys.executable, "-P", "-c", _DRIVE, package, str(net_file), backend])
            if result.returncode != 0:
                raise OSError(_last_words(result))
            return f"{SIMULATED_S} s simulated"

        return [
            _attempt(f"simulation ({backend})", partial(simulate, backend), reinstall)
            for backend in ("libsumo", "traci")
        ]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=_PATIENCE_S)


def _last_words(result: subprocess.CompletedProcess[str]) -> str:
    if result.returncode < 0:
        return f"ended by signal {-result.returncode}"
    lines = (result.stderr or result.stdout).strip().splitlines()
    return lines[-1] if lines else f"exit code {result.returncode}"


def _attempt(name: str, look: Callable[[], str], remedy: str) -> Check:
    """What `look` finds, or why it fails."""
    try:
        return Check(name, True, look())
    except (OSError, ImportError, RoutingError, subprocess.TimeoutExpired) as error:
        return Check(name, False, str(error), remedy)
