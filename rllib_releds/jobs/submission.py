"""A job on a Ray cluster: submitted, followed to its end, stopped."""

from __future__ import annotations

import asyncio
import shlex
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import ClientError
from ray.exceptions import AuthenticationError
from ray.job_submission import JobStatus, JobSubmissionClient

from rllib_releds.errors import RunError
from rllib_releds.jobs.environment import runtime_environment
from rllib_releds.jobs.sealing import ANNOUNCEMENT, SEALED, seal

_POLL_S = 0.5
_STOP_PATIENCE_S = 60.0
_ANSWER_PATIENCE_S = 300.0

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        status: "SUCCEEDED", "FAILED" or "STOPPED".
        exit_code: of the job's process; 1 if it did not come that far, 130 if it was stopped.
    """

    status: str
    exit_code: int


def connect(address: str | None) -> JobSubmissionClient:
    """The job server at `address`, such as http://HEAD:8265; None is Ray's own rule (RAY_ADDRESS).

    Raises:
        RunError: if nobody answers there, or if the cluster wants a token that is not here.
    """
    if address is not None and address != "auto" and "://" not in address:
        # Ray would look for a cluster there in another protocol, for 40 s.
        raise RunError(f"--address {address} is no address of a job server; give http://{address}")
    try:
        return JobSubmissionClient(address)
    except AuthenticationError as error:
        raise RunError(
            f"the Ray cluster at {address or 'RAY_ADDRESS'} wants its token ({_first_line(error)}). Put what "
            "`ray get-auth-token` prints on its head into RAY_AUTH_TOKEN, or into ~/.ray/auth_token."
        ) from error
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise RunError(
            f"no Ray job server answers at {address or 'RAY_ADDRESS or on this machine'} ({_first_line(error)}). Give "
            "--address http://HEAD:8265, and see that the head runs with its dashboard and that the port is reachable."
        ) from error


def submit(
    client: JobSubmissionClient,
    command: Sequence[str],
    *,
    keys: Mapping[str, str],
    working_dir: Path | None,
    is_installing: bool,
    announce: Callable[[str], object],
) -> str:
    """Submit `python -m ...` and hand over the keys; the job's id.

    Args:
        client: as `connect` gives it.
        command: what follows `python -m`; with keys, arguments of `reled`.
        keys: environment variables for the job's driver.
        working_dir, is_installing: as for `runtime_environment`.
        announce: is told the id as soon as the cluster has taken the job, which may be minutes before its keys.

    Raises:
        RunError: if the cluster refuses the job, or it ends before it takes its keys.
        KeyboardInterrupt: while the job waits for its keys; it is stopped before.
    """
    job = f"reled-{uuid.uuid4().hex[:12]}"
    with tempfile.TemporaryDirectory() as staging:
        environment = runtime_environment(Path(staging), working_dir, is_installing)
        if keys:
            command = ["rllib_releds.jobs.entry", _box_id(job), *command[1:]]
        # -P: what lies in the folder that a head happens to run in does not hide the packages that were sent.
        _submit(client, job, shlex.join(["python", "-P", "-m", *command]), runtime_env=environment)
    announce(job)
    if keys:
        try:
            _hand_over(client, job, keys)
        except KeyboardInterrupt:
            stop(client, job)
            raise
    return job


def _box_id(job: str) -> str:
    return f"{job}-keys"


def _submit(client: JobSubmissionClient, job: str, entrypoint: str, **options: Any) -> None:
    try:
        client.submit_job(submission_id=job, entrypoint=entrypoint, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise RunError(f"the cluster did not take the job ({_first_line(error)})") from error


def _hand_over(client: JobSubmissionClient, job: str, keys: Mapping[str, str]) -> None:
    """Seal the keys for the job's driver as soon as it says where to."""
    while True:
        is_over = _patiently(job, lambda: client.get_job_status(job)).is_terminal()
        lines = _patiently(job, lambda: client.get_job_logs(job)).splitlines()
        addresses = [line.removeprefix(ANNOUNCEMENT) for line in lines if line.startswith(ANNOUNCEMENT)]
        if addresses:
            # A job of its own, because Ray's job server takes nothing else: its metadata are the box.
            _submit(client, _box_id(job), "true", metadata={SEALED: seal(keys, addresses[0])})
            return
        if is_over:
            raise RunError(
                f"job {job} ended before it took its keys:\n{client.get_job_info(job).message}\n"
                "Try `reled submit --check`."
            )
        time.sleep(_POLL_S)


def follow(client: JobSubmissionClient, job: str, write: Callable[[str], object]) -> Outcome:
    """Pass on what the job prints until it ends.

    A connection that breaks is taken up again where it was: the job does not depend on it.

    Raises:
        RunError: if it stays broken; the job may go on.
    """
    shown = 0
    while True:
        shown = asyncio.run(_tail(client, job, write, shown))
        info = _patiently(job, lambda: client.get_job_info(job))
        if info.status.is_terminal():
            write(_patiently(job, lambda: client.get_job_logs(job))[shown:])
            return _outcome(info)
        time.sleep(_POLL_S)


async def _tail(client: JobSubmissionClient, job: str, write: Callable[[str], object], shown: int) -> int:
    """Characters of the log that were passed on in the end; the first `shown` of them were before."""
    seen = 0
    try:
        async for chunk in client.tail_job_logs(job):
            write(chunk[max(0, shown - seen) :])
            seen += len(chunk)
    except (RuntimeError, OSError, ClientError):
        pass  # the connection broke; `follow` looks whether the job did, too
    return max(shown, seen)


def _patiently(job: str, ask: Callable[[], T]) -> T:
    """What the job server answers; while it does not, for some minutes, it is asked again."""
    deadline_s = time.monotonic() + _ANSWER_PATIENCE_S
    while True:
        try:
            return ask()
        except (RuntimeError, OSError) as error:
            if time.monotonic() > deadline_s:
                raise RunError(
                    f"the job server has not answered for {_ANSWER_PATIENCE_S:g} s ({_first_line(error)}). Job {job} "
                    f"does not depend on that: follow it by `ray job logs --follow {job}`, and do not submit it again."
                ) from error
            time.sleep(_POLL_S)


def stop(client: JobSubmissionClient, job: str) -> Outcome:
    """Stop the job, and wait until its processes are gone."""
    client.stop_job(job)
    deadline_s = time.monotonic() + _STOP_PATIENCE_S
    while not client.get_job_status(job).is_terminal():
        if time.monotonic() > deadline_s:
            raise RunError(f"job {job} has not stopped within {_STOP_PATIENCE_S:g} s; see `ray job status {job}`")
        time.sleep(_POLL_S)
    return _outcome(client.get_job_info(job))


def _outcome(info: Any) -> Outcome:
    codes = {JobStatus.SUCCEEDED: 0, JobStatus.STOPPED: 130}
    exit_code = codes.get(info.status, info.driver_exit_code or 1)
    # A process that a signal ended has a negative code, which shells show as 128 + signal.
    return Outcome(str(info.status.value), 128 - exit_code if exit_code < 0 else exit_code)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
