"""The entrypoint of a job that needs keys: waits for them, puts them into its own environment, becomes `reled`.

python -m rllib_releds.jobs.entry BOX_ID train --scenario rush ...
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress

from ray.job_submission import JobSubmissionClient

from rllib_releds.jobs.sealing import ANNOUNCEMENT, SEALED, Receiver

_PATIENCE_S = 300.0


def main(box_id: str, arguments: list[str]) -> None:
    """Run `reled` with the keys that come as metadata of the job `box_id`."""
    receiver = Receiver()
    print(f"{ANNOUNCEMENT}{receiver.address}", flush=True)
    os.environ.update(receiver.open(_wait_for_box(box_id)))
    from rllib_releds.cli import app

    app(arguments)


def _wait_for_box(box_id: str) -> str:
    client = JobSubmissionClient(os.environ["RAY_ADDRESS"])
    deadline_s = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline_s:
        with suppress(RuntimeError, OSError):  # a head that is busy for a moment; others are told by the time limit
            for job in client.list_jobs():
                if job.submission_id == box_id and job.metadata and SEALED in job.metadata:
                    return job.metadata[SEALED]
        time.sleep(1.0)
    sys.exit(f"error: no keys came within {_PATIENCE_S:g} s; is `reled submit` still running? Submit the job again.")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
