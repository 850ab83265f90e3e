"""Ray for as long as a piece of work takes: the cluster that is there, or a small local one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray


@contextmanager
def ray_session(num_cpus: int = 1) -> Iterator[None]:
    """Use Ray inside the `with` block.

    A Ray that this process is connected to stays as it is. Inside a submitted job (Ray sets RAY_ADDRESS there) the
    job's cluster is used. Else a local Ray without a dashboard is started, and ended afterwards.

    Args:
        num_cpus: of the local Ray: one for the driver and one for each env runner.
    """
    if ray.is_initialized():
        yield
        return
    if os.environ.get("RAY_ADDRESS"):
        ray.init(logging_level="error")
    else:
        ray.init(num_cpus=num_cpus, include_dashboard=False, logging_level="error")
    try:
        yield
    finally:
        ray.shutdown()


def quiet_tune() -> None:
    """Settings of Tune that only environment variables take. Call it before Ray is started."""
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # metrics.csv and TensorBoard are the run folder's
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # an interrupt ends the command at once; nothing is lost
    os.environ["TUNE_PRINT_ALL_TRIAL_ERRORS"] = "0"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # the new output prints a banner even when it is told to be silent
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the workers: sums depend on the number of threads
