"""Ray jobs: start a Ray head on this machine, submit a training to it by `ray job submit`, follow it, end the head.

On a cluster that runs already, only the submission is needed:

    ray job submit --address http://HEAD:8265 --working-dir . -- python examples/02_train_reled.py

Run:     python examples/04_submit_job.py            (--smoke: two short epochs)
Expect:  the output of 02_train_reled.py, then "job succeeded".
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from ray.job_submission import JobSubmissionClient

EXAMPLES = Path(__file__).resolve().parent
RAY = str(Path(sys.executable).with_name("ray"))


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until_ready(address: str, head: subprocess.Popen, timeout_s: float = 240.0) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            # The head answers before it can run anything, so it gets something to run.
            JobSubmissionClient(address).submit_job(entrypoint="true")
            return
        except (ConnectionError, RuntimeError) as error:
            if head.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the Ray head did not come up at {address}: {error}") from error
            time.sleep(1.0)


port, dashboard_port, agent_port = free_port(), free_port(), free_port()
address = f"http://127.0.0.1:{dashboard_port}"
# The head is this script's own and lives for a minute, so it needs no token.
environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_ADDRESS": ""}
os.environ["RAY_AUTH_MODE"] = "disabled"
with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
    options = ["--head", "--block", "--num-cpus=2", "--node-ip-address=127.0.0.1", f"--temp-dir={temporary}"]
    ports = [f"--port={port}", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard_port}"]
    ports += [f"--dashboard-agent-listen-port={agent_port}"]  # two heads on one machine would want the same one
    head = subprocess.Popen([RAY, "start", *options, *ports], env=environment, stdout=subprocess.DEVNULL)
    try:
        wait_until_ready(address, head)
        script = [sys.executable, str(EXAMPLES / "02_train_reled.py"), *sys.argv[1:]]
        subprocess.run([RAY, "job", "submit", "--address", address, "--", *script], env=environment, check=True)
        print("job succeeded")
    finally:
        head.terminate()
        with suppress(subprocess.TimeoutExpired):
            head.wait(timeout=60)
        head.kill()
