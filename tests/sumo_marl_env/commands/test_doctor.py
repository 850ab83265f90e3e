"""What `sumo-marl doctor` finds, in health and in sickness."""

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from sumo_marl_env import SimulatorError
from sumo_marl_env.commands import doctor


@pytest.fixture
def sick(monkeypatch):
    """Pretend that packages have other versions, or none."""
    real = metadata.version

    def pretend(**versions):
        def version(name):
            found = versions.get(name.replace("-", "_"), ...)
            if found is None:
                raise metadata.PackageNotFoundError(name)
            return real(name) if found is ... else found

        monkeypatch.setattr(metadata, "version", version)
        return {check.name: check for check in doctor.versions()}

    return pretend


def run_doctor(*arguments, **environment) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sumo_marl_env.cli", "doctor", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})


def test_healthy_installation_passes_every_check():
    result = run_doctor("--json")
    assert result.returncode == 0, result.stdout
    report = json.loads(result.stdout)
    assert report["ok"]
    found = {check["name"]: check["found"] for check in report["checks"]}
    assert found["libsumo"] == metadata.version("libsumo")
    assert found["simulation (libsumo)"] == found["simulation (traci)"] == "5 s simulated"
    assert set(found) >= {"python", "pettingzoo", "gymnasium", "numpy", "cache folder", "SUMO folder"}


def test_person_gets_a_table():
    result = run_doctor()
    assert result.returncode == 0
    assert "All is well." in result.stdout


def test_unwritable_cache_is_exit_code_1_with_the_remedy(tmp_path):
    occupied = tmp_path / "occupied"
    occupied.write_text("a file where the cache folder should be")
    result = run_doctor("--json", XDG_CACHE_HOME=str(occupied))
    assert result.returncode == 1
    wrong = [check for check in json.loads(result.stdout)["checks"] if not check["ok"]]
    assert [check["name"] for check in wrong] == ["cache folder"]
    assert "set XDG_CACHE_HOME" in wrong[0]["remedy"]


def test_other_sumo_home_is_mentioned_and_harmless():
    result = run_doctor("--json", SUMO_HOME="/elsewhere")
    assert result.returncode == 0
    assert "SUMO_HOME=/elsewhere is ignored" in result.stdout


def test_different_sumo_releases_are_named_with_the_remedy(sick):
    check = sick(eclipse_sumo="1.28.0", libsumo="1.27.0", traci="1.28.0", sumolib="1.28.0")["one SUMO release"]
    assert not check.is_ok
    assert check.found == "eclipse-sumo 1.28.0, libsumo 1.27.0, traci 1.28.0, sumolib 1.28.0"
    assert check.remedy.endswith("pip install eclipse-sumo==1.28.0 libsumo==1.28.0 traci==1.28.0 sumolib==1.28.0")


def test_missing_package_is_named_with_the_remedy(sick):
    checks = sick(libsumo=None)
    assert checks["libsumo"].found == "not installed"
    assert checks["libsumo"].remedy.startswith("pip install 'libsumo")
    assert "libsumo missing" in checks["one SUMO release"].found
    assert checks["traci"].is_ok


def test_version_outside_the_wanted_range_is_named_with_the_range(sick):
    check = sick(gymnasium="0.29.1")["gymnasium"]
    assert not check.is_ok
    assert re.fullmatch(r"0\.29\.1, wanted .*>=1\.2.*", check.found)


def test_healthy_versions_pass(sick):
    assert all(check.is_ok for check in sick().values())


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("#!/bin/sh\necho 'cannot open shared object' >&2; exit 127", "cannot open shared object"),
        (None, "No such file"),
    ],
    ids=["broken", "missing"],
)
def test_broken_sumo_is_reported_and_not_raised(monkeypatch, tmp_path, program, words):
    (tmp_path / "bin").mkdir()
    for name in ("sumo", "netgenerate"):
        if program is not None:
            (tmp_path / "bin" / name).write_text(program)
            (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setattr("sumo_marl_env.sumo_programs.sumo_home", lambda: Path(tmp_path))
    checks = [doctor.sumo_program("sumo"), *doctor.simulations()]
    assert not any(check.is_ok for check in checks)
    assert all(words in check.found for check in checks)
    assert all("--force-reinstall" in check.remedy for check in checks)


def test_libsumo_that_kills_its_process_is_reported(monkeypatch):
    monkeypatch.setattr(doctor, "_DRIVE", "import os; os.abort()")
    assert {check.found for check in doctor.simulations()} == {"ended by signal 6"}


def test_modules_in_the_working_folder_are_none_of_its_business(monkeypatch, tmp_path):
    (tmp_path / "random.py").write_text("raise SystemExit('a script of the user')")
    monkeypatch.chdir(tmp_path)
    assert {check.found for check in doctor.simulations()} == {"5 s simulated"}


def test_vehicle_that_never_starts_is_an_error(monkeypatch, grid_file):
    monkeypatch.setattr(doctor, "SIMULATED_S", 0)
    with pytest.raises(SimulatorError, match="no vehicle was on the road after 0 s"):
        doctor.drive(str(grid_file), "traci")
