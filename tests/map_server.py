"""A real HTTP server on loopback that answers as a test tells it to, in place of Overpass and Nominatim."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs


@dataclass(frozen=True)
class Answer:
    """One answer: status and headers, then the body.

    Attributes:
        claimed_length: Content-Length, if it is not the body's own.
        pause_s: silence before each of the body's first bytes, up to `paused_bytes`.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    claimed_length: int | None = None
    pause_s: float = 0.0
    paused_bytes: int = 0

    @classmethod
    def zipped(cls, body: bytes) -> Answer:
        return cls(gzip.compress(body), headers={"Content-Encoding": "gzip"})


@dataclass
class MapServer:
    """Answers the requests in turn, the last answer again and again.

    Attributes:
        url: where it listens.
        answers: what it will answer.
        asked: method, path, headers and form of each request so far.
    """

    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, str], dict[str, list[str]]]] = field(default_factory=list)

    def next_answer(self) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def serving() -> Iterator[MapServer]:
    """A server in a thread, gone at the end."""
    server = MapServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            form = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            server.asked.append((self.command, self.path, dict(self.headers), parse_qs(form)))
            answer = server.next_answer()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            length = len(answer.body) if answer.claimed_length is None else answer.claimed_length
            self.send_header("Content-Length", str(length))
            self.end_headers()
            try:
                for position in range(answer.paused_bytes):
                    time.sleep(answer.pause_s)
                    self.wfile.write(answer.body[position : position + 1])
                self.wfile.write(answer.body[answer.paused_bytes :])
            except OSError:
                pass  # The client gave up, as some tests want it to.

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    http_server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http_server.server_port}/api/interpreter"
    thread = threading.Thread(target=http_server.serve_forever, daemon=True, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        http_server.shutdown()
        http_server.server_close()
        thread.join()
