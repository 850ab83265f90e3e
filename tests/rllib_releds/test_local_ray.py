"""Ray on a machine that is too busy to start it in the time that Ray allows."""

import signal
import subprocess
import sys

import pytest
import ray

from rllib_releds.errors import RunError
from rllib_releds.local_ray import START_ATTEMPTS, ray_session, warn_of_too_few_cpus

TIMED_OUT = Exception("The current node timed out during startup. This could happen because ...")


@pytest.fixture
def start_ray(monkeypatch):
    """Let `ray.init` do these things one after the other: raise, or succeed with None. Returns what is left to do."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)

    def become(*outcomes):
        left = list(outcomes)

        def init(address, **kwargs):
            assert address == "local", "a Ray of somebody else's would be joined"
            if (outcome := left.pop(0)) is not None:
                raise outcome

        monkeypatch.setattr(ray, "init", init)
        return left

    return become


def test_a_start_that_took_too_long_is_tried_again(start_ray, caplog):
    left = start_ray(TIMED_OUT, None)
    with ray_session():
        assert not left
    assert "this machine is busy" in caplog.text


def test_a_process_that_is_told_to_stop_after_ray_stops_in_its_own_way():
    program = """
import os, signal, sys, time
from rllib_releds.local_ray import ray_session
signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped in its own way"))
with ray_session():
    pass
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(10)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 1, f"ended by signal {-ended.returncode}; SIGTERM is {int(signal.SIGTERM)}"
    assert "stopped in its own way" in ended.stderr


def test_a_command_that_waits_for_ray_says_that_it_was_told_to_stop():
    program = """
import os, signal, sys, threading, time, ray, typer
from rllib_releds.console import reported_errors
from rllib_releds.local_ray import ray_session
try:
    with reported_errors(), ray_session():
        asleep = ray.remote(lambda: time.sleep(60)).remote()
        threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
        ray.wait([asleep])
except typer.Exit as end:
    sys.exit(end.exit_code)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 143
    assert "told to stop; the same command goes on" in ended.stderr


def test_a_machine_that_stays_busy_is_one_clear_error(start_ray):
    start_ray(*[TIMED_OUT] * START_ATTEMPTS)
    with pytest.raises(TimeoutError, match="end other work"), ray_session():
        pass


def test_any_other_failure_to_start_is_told_at_once(start_ray):
    left = start_ray(ValueError("no such node"), None)
    with pytest.raises(ValueError, match="no such node"), ray_session():
        pass
    assert left == [None]


def test_the_address_of_a_job_server_is_one_clear_error(start_ray, monkeypatch):
    left = start_ray(None)
    monkeypatch.setenv("RAY_ADDRESS", "http://head:8265")
    with pytest.raises(RunError, match="give it to `reled submit --address`"), ray_session():
        pass
    assert left == [None]


@pytest.mark.parametrize(("cpus", "told"), [(1.0, True), (2.0, False)])
def test_a_ray_that_is_too_small_is_told(monkeypatch, caplog, cpus, told):
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": cpus})
    warn_of_too_few_cpus(2)
    assert ("asks for 2 CPUs and Ray has 1" in caplog.text) == told


def test_nothing_is_told_of_a_ray_that_is_not_there_yet(monkeypatch, caplog):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    warn_of_too_few_cpus(2)
    assert not caplog.text
