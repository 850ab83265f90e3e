"""An OpenAI-compatible server on loopback that answers with the offline planner, late, spoiled, or not at all.

It stands in for a language model's server where none is at hand, so that what a bad one does to training can be
measured and tested.

    with ChatServer(BEHAVIOURS["rate_limited"]) as server:
        ChatSettings(model="openai/planner", api_base=server.address)
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any

from rllib_releds.demonstrations.models.chat import Message, estimate_tokens
from rllib_releds.demonstrations.offline_planner.planner import plan_reply


@dataclass(frozen=True)
class Answer:
    """One answer: status and headers, then the body.

    Attributes:
        pause_s: silence before the status line.
        drip_s: silence before each byte of the body.
        sent_bytes: the connection ends after so many bytes of the body; None sends it whole.
    """

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    pause_s: float = 0.0
    drip_s: float = 0.0
    sent_bytes: int | None = None


Behaviour = Callable[[Mapping[str, Any]], Answer]
"""From a request's body to the answer."""


@dataclass(frozen=True)
class Request:
    """What one client sent."""

    path: str
    body: Mapping[str, Any]
    key: str | None


class ChatServer:
    """Serves until the end of its `with` block; pauses end with it.

    Args:
        behaviour: how to answer; may be replaced while serving.

    Attributes:
        requests: what was asked so far.
    """

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.requests: list[Request] = []
        self._closing = threading.Event()
        self._server = _QuietServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, name="chat server", daemon=True
        )

    @property
    def address(self) -> str:
        """To be given as `api_base`."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> ChatServer:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.requests.append(Request(self.path, body, self.headers["Authorization"]))
                answer = server.behaviour(body)
                if server._closing.wait(answer.pause_s):
                    return
                self.send_response(answer.status)
                headers = {"Content-Type": "application/json", "Content-Length": str(len(answer.body))}
                for name, value in (headers | dict(answer.headers)).items():
                    self.send_header(name, value)
                self.end_headers()
                body = answer.body[: answer.sent_bytes]
                for piece in [body[row : row + 1] for row in range(len(body))] if answer.drip_s else [body]:
                    if server._closing.wait(answer.drip_s):
                        return
                    self.wfile.write(piece)
                self.close_connection = True

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        return Handler


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Quiet: clients that hang up first are part of the experiment."""


def completion(text: str | None, *, finish_reason: str = "stop", num_choices: int = 1, asked: int = 11) -> Answer:
    """A chat completion with this text."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}
    answered = estimate_tokens(text or "")
    usage = {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": "planner", "usage": usage}
    return Answer(json.dumps(body | {"choices": [choice] * num_choices}).encode())


def failure(status: int, message: str = "no", **headers: str) -> Answer:
    """An error as OpenAI's servers put it; `Retry_After="1"` becomes a header."""
    body = {"error": {"message": message, "type": "error", "code": None}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(json.dumps(body).encode(), status, named)


def planned_text(body: Mapping[str, Any]) -> str:
    """The offline planner's programs for the conversation in a request."""
    return plan_reply([Message(message["role"], message["content"]) for message in body["messages"]])


def planned(body: Mapping[str, Any]) -> Answer:
    """The planner's answer, as a good server gives it."""
    asked = sum(estimate_tokens(message["content"]) for message in body["messages"])
    return completion(planned_text(body), asked=asked)


def late(seconds: float) -> Behaviour:
    """The planner's answer after this time."""
    return lambda body: replace(planned(body), pause_s=seconds)


def spoiled(body: Mapping[str, Any]) -> Answer:
    """The planner's answer with the programs of all odd agents broken, also in a repair, each in one of four ways."""
    parts = re.split(r"(?=^def agent_)", planned_text(body).removesuffix("```\n"), flags=re.MULTILINE)
    for row, part in enumerate(parts):
        match = re.match(r"def (agent_(\d+))", part)
        if match and int(match[2]) % 2:
            parts[row] = _BROKEN[int(match[2]) // 2 % len(_BROKEN)].format(name=match[1])
    return completion("".join(parts) + "\n```\n")


_BROKEN = (
    "def {name}(:\n    return\n\n\n",
    "def {name}():\n    return undefined_thing\n\n\n",
    "def {name}():\n    move_to_by_shortest_time(-1)\n\n\n",
    "def {name}():\n    while True:\n        get_destination()\n\n\n",
)


def _cut_off(body: Mapping[str, Any]) -> Answer:
    text = planned_text(body)
    return completion(text[: 2 * len(text) // 3], finish_reason="length")


BEHAVIOURS: Mapping[str, Behaviour] = MappingProxyType(
    {
        "good": planned,
        "late": late(1.5),
        "never": late(3600.0),
        "drips": lambda body: replace(planned(body), drip_s=0.05),
        "refuses the key": lambda body: failure(401),
        "has no such model": lambda body: failure(404),
        "rate-limits": lambda body: failure(429, Retry_After="0"),
        "rate-limits for an hour": lambda body: failure(429, Retry_After="3600"),
        "fails": lambda body: failure(500),
        "sends HTML": lambda body: Answer(b"<html>welcome</html>", headers={"Content-Type": "text/html"}),
        "sends no choices": lambda body: completion("", num_choices=0),
        "sends truncated code": _cut_off,
        "programs wrong agents": lambda body: completion("def agent_900():\n    move_to_by_shortest_path(3)\n"),
        "sends prose": lambda body: completion("I would suggest that the vehicles avoid the centre."),
        "hangs up in the middle": lambda body: replace(planned(body), sent_bytes=40),
        "spoils every second program": spoiled,
    }
)
