"""Ray for as long as a piece of work takes: the cluster that is there, or a small local one."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import OutOfMemoryError

from rllib_releds.errors import RunError

if TYPE_CHECKING:
    from ray import tune

START_ATTEMPTS = 3
MEMORY_ATTEMPTS = 5
MEMORY_PAUSE_S = 30.0
"""How often, and after how long, Tune begins again when the machine was short of memory."""

_log = logging.getLogger(__name__)


@contextmanager
def ray_session(num_cpus: int = 1) -> Iterator[None]:
    """Use Ray inside the `with` block.

    A Ray that this process is connected to stays as it is. Inside a submitted job (Ray sets RAY_ADDRESS there) the
    job's cluster is used. Else a local Ray without a dashboard is started, and ended afterwards.

    Args:
        num_cpus: of the local Ray: one for the driver and one for each env runner.

    Raises:
        RunError: if RAY_ADDRESS is that of a job server.
        TimeoutError: if a local Ray does not start because the machine is too busy.
    """
    if ray.is_initialized():
        yield
        return
    own_handler = signal.getsignal(signal.SIGTERM)
    if address := os.environ.get("RAY_ADDRESS"):
        if address.startswith(("http://", "https://")):
            raise RunError(
                f"RAY_ADDRESS={address} is where jobs are sent: give it to `reled submit --address`, and unset it here"
            )
        ray.init(logging_level="error")
    else:
        _start(num_cpus)
    # Ray sets one that exits and, beneath what Python knows of, one that prints a stack of C++ and aborts.
    _handle_sigterm(own_handler if callable(own_handler) else signal.getsignal(signal.SIGTERM))
    try:
        yield
    finally:
        ray.shutdown()
        # Ray leaves none at all.
        _handle_sigterm(own_handler)


def _handle_sigterm(handler: Any) -> None:
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler or signal.SIG_DFL)


def warn_of_too_few_cpus(wanted: float) -> None:
    """Tell if Ray has fewer: it lets actors wait for CPUs for ever, without a word where no autoscaler runs."""
    if not ray.is_initialized():
        return  # RLlib will start one with all of this machine's
    there = ray.cluster_resources().get("CPU", 0.0)
    if there < wanted:
        _log.warning(
            "this asks for %g CPUs and Ray has %g: it waits until nodes with the others have joined; "
            "if none will, stop it and ask for less (--env-runners, --jobs), or start Ray with more (num_cpus)",
            wanted,
            there,
        )


def _start(num_cpus: int) -> None:
    """Start a local Ray. It gives its own processes 30 s, which no setting changes and a busy machine may exceed."""
    for _ in range(START_ATTEMPTS):
        try:
            # Without an address Ray would join a cluster that somebody else has started on this machine.
            ray.init("local", num_cpus=num_cpus, include_dashboard=False, logging_level="error")
            return
        except Exception as error:
            # Ray has no type for it.
            if "timed out during startup" not in str(error):
                raise
            ray.shutdown()
            _log.warning("Ray did not start within its 30 s: this machine is busy")
    raise TimeoutError(f"Ray did not start in {START_ATTEMPTS} attempts of 30 s each; end other work on this machine")


def silence_ray() -> None:
    """Keep what Ray logs off the terminal, after it has been started: its levels are set on import."""
    for name in ("ray", "ray.tune", "ray.rllib"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def quiet_tune() -> None:
    """Settings of Tune that only environment variables take. Call it before Ray is started."""
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # metrics.csv and TensorBoard are the run folder's
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # an interrupt ends the command at once; nothing is lost
    os.environ["TUNE_PRINT_ALL_TRIAL_ERRORS"] = "0"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # the new output prints a banner even when it is told to be silent
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the workers: sums depend on the number of threads


def fit(make_tuner: Callable[[int], tune.Tuner]) -> tune.ResultGrid:
    """Let Tune work to its end, also if Ray ends a trial because memory is short.

    Tune knows dead workers and errors of trials, but takes Ray's `OutOfMemoryError` for a fault of its own, and ends.

    Args:
        make_tuner: of what is not done yet; called with the number of each attempt, from 0.

    Raises:
        RunError: if memory stays short.
    """
    for attempt in range(MEMORY_ATTEMPTS):
        if attempt:
            _log.warning(
                "Ray ended a trial because memory is short; all go on where they stand in %g s", MEMORY_PAUSE_S
            )
            time.sleep(MEMORY_PAUSE_S)
        try:
            return make_tuner(attempt).fit()
        except RuntimeError as error:
            if not isinstance(error.__cause__, OutOfMemoryError):
                raise
    raise RunError(
        f"Ray ended trials {MEMORY_ATTEMPTS} times because nearly all memory of this machine is in use. "
        "End other work here, or lower --jobs; the same command then goes on where they stand."
    )
