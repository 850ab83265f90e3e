"""A headless Chromium, steered through chromedriver's own protocol (W3C WebDriver): a handful of requests."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

_OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars"
)

# Past any proxy that the environment names.
_local = build_opener(ProxyHandler({}))


class Browser:
    """One page in a Chromium of its own, with a new profile.

    Args:
        profile: an empty folder for it.
    """

    def __init__(self, profile: Path) -> None:
        for program in ("chromium", "chromedriver"):
            if shutil.which(program) is None:
                pytest.skip(f"no {program} here: apt-get install chromium chromium-driver")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._url = f"http://127.0.0.1:{port}"
        self._driver = subprocess.Popen(
            ["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            self._begin(profile)
        except BaseException:
            self._driver.kill()
            self._driver.wait()
            raise

    def _begin(self, profile: Path) -> None:
        self._wait_for_driver()
        options = {"binary": shutil.which("chromium"), "args": [*_OPTIONS.split(), f"--user-data-dir={profile}"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        session = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._url += f"/session/{session['sessionId']}"

    def open(self, page: Path) -> None:
        self._ask("POST", "/url", {"url": page.as_uri()})

    def run(self, script: str, *arguments: Any) -> Any:
        """What the body of a JavaScript function returns."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def wait_until(self, script: str) -> None:
        """Until what the script returns is true; an assertion error after a minute."""
        deadline = time.monotonic() + 60.0
        while not self.run(script):
            assert time.monotonic() < deadline, f"never true: {script}; console: {self.console()}"
            time.sleep(0.05)

    def press(self, *keys: str) -> None:
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._ask("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def click(self, left: int, top: int) -> None:
        move = {"type": "pointerMove", "x": left, "y": top, "duration": 0}
        actions = [move, {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        self._ask("POST", "/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": actions}]})

    def resize(self, width: int, height: int) -> None:
        self._ask("POST", "/window/rect", {"width": width, "height": height})

    def screenshot(self) -> bytes:
        """PNG."""
        return base64.b64decode(self._ask("GET", "/screenshot"))

    def console(self) -> list[str]:
        """Messages since the last call."""
        return [entry["message"] for entry in self._ask("POST", "/se/log", {"type": "browser"})]

    def close(self) -> None:
        try:
            self._ask("DELETE", "")
        finally:
            self._driver.terminate()
            self._driver.wait()

    def _wait_for_driver(self) -> None:
        for _ in range(1200):
            try:
                if self._ask("GET", "/status")["ready"]:
                    return
            except URLError:
                time.sleep(0.05)
        raise RuntimeError("chromedriver does not answer")

    def _ask(self, method: str, path: str, content: dict[str, Any] | None = None) -> Any:
        body = None if content is None else json.dumps(content).encode()
        request = Request(self._url + path, body, {"Content-Type": "application/json"}, method=method)
        try:
            with _local.open(request, timeout=180) as answer:
                return json.load(answer)["value"]
        except HTTPError as error:
            raise AssertionError(f"{path}: {json.load(error)['value']['message']}") from error
