import importlib.util
import json
import logging
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from rllib_releds.demonstrations import errors, prompts
from rllib_releds.demonstrations.chat import ChatSettings, Message
from rllib_releds.demonstrations.litellm_chat import LiteLLMChat
from rllib_releds.demonstrations.planner import plan_reply

KEY = "sk-very-secret-0123456789"
MESSAGES = [Message("system", "You plan."), Message("user", "Go.")]


def completion(content: str | None = "def agent_0(): pass", finish_reason: str = "stop", choices: int = 1) -> dict:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish_reason}
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice] * choices,
        "usage": usage,
    }


def needs_litellm() -> None:
    # Not importorskip: importing litellm before our own settings for it waits for the network.
    if importlib.util.find_spec("litellm") is None:
        pytest.skip("the extra [llm] is not installed")


class Server(ThreadingHTTPServer):
    """An OpenAI-compatible server that plays a script: one (status, body, headers) per request, the last repeated."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list = []
        self.requests: list[dict] = []

    def handle_error(self, request, client_address) -> None:
        """Quiet: hanging up is part of the script."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append({"path": self.path, "body": json.loads(body), "key": self.headers["Authorization"]})
        step = self.server.script[min(len(self.server.requests), len(self.server.script)) - 1]
        if step == "hang up":
            self.connection.close()
            return
        if step == "slow":
            time.sleep(2.0)
            step = (200, completion(), {})
        status, answer, headers = step
        text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(text)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_) -> None:
        """Quiet."""


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def ask(server, monkeypatch):
    """Ask a model whose server plays the given script."""
    needs_litellm()
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def ask(*script, **settings):
        server.script = list(script)
        base = f"http://127.0.0.1:{server.server_address[1]}/v1"
        defaults = {"model": "openai/gpt-3.5-turbo", "api_base": base, "timeout_s": 5.0, "max_retries": 0}
        return LiteLLMChat().complete(MESSAGES, ChatSettings(**(defaults | settings)))

    return ask


def failure(message: str = "no") -> dict:
    return {"error": {"message": f"{message} {KEY}", "type": "error", "code": None}}


def test_an_answer_comes_with_its_tokens_cost_and_time(ask, server):
    reply = ask((200, completion(), {}), temperature=0.25, max_reply_tokens=99)
    assert reply.text == "def agent_0(): pass"
    assert reply.tokens == 18
    assert reply.cost > 0
    assert 0 < reply.seconds < 5
    (request,) = server.requests
    assert request["path"] == "/v1/chat/completions"
    assert request["body"]["messages"] == [message.to_dict() for message in MESSAGES]
    assert (request["body"]["temperature"], request["body"]["max_tokens"]) == (0.25, 99)


def test_a_model_without_a_price_costs_nothing(ask):
    assert ask((200, completion(), {}), model="openai/our-own").cost == 0.0


@pytest.mark.parametrize(
    ("step", "error"),
    [
        ((401, failure(), {}), errors.RejectedKeyError),
        ((403, failure(), {}), errors.RejectedKeyError),
        ((404, failure(), {}), errors.UnknownModelError),
        ((400, failure(), {}), errors.RefusedRequestError),
        ((429, failure(), {}), errors.RateLimitedError),
        ((500, failure(), {}), errors.ModelUnavailableError),
        ((503, failure(), {}), errors.ModelUnavailableError),
        ((200, b"<html>not json", {}), errors.ChatError),
        ((200, b"", {}), errors.ChatError),
        ((200, {"surprise": True}, {}), errors.ChatError),
        ((200, completion(choices=0), {}), errors.ChatError),
        ((200, completion(None), {}), errors.BadReplyError),
        ((200, completion("  \n"), {}), errors.BadReplyError),
        ((200, completion("text", "content_filter"), {}), errors.BadReplyError),
        ("hang up", errors.ModelUnavailableError),
    ],
)
def test_every_failure_becomes_an_error_of_ours_without_the_key(ask, step, error, caplog, capfd):
    with caplog.at_level(logging.DEBUG), pytest.raises(error) as caught:
        ask(step)
    assert isinstance(caught.value, errors.ChatError)
    assert KEY not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    captured = capfd.readouterr()
    assert KEY not in caplog.text + captured.out + captured.err


def test_a_slow_model_times_out(ask):
    began = time.perf_counter()
    with pytest.raises(errors.ModelTimeoutError, match=r"timeout_s=0\.5"):
        ask("slow", timeout_s=0.5)
    assert time.perf_counter() - began < 4


def test_a_busy_server_is_asked_again_when_it_says(ask, server):
    began = time.perf_counter()
    reply = ask((429, failure(), {"Retry-After": "1"}), (200, completion(), {}), max_retries=2)
    assert reply.text
    assert len(server.requests) == 2
    assert time.perf_counter() - began >= 1.0


def test_a_passing_failure_is_retried_and_a_refusal_is_not(ask, server):
    assert ask((500, failure(), {}), (200, completion(), {}), max_retries=1).text
    assert len(server.requests) == 2
    server.requests.clear()
    with pytest.raises(errors.RejectedKeyError):
        ask((401, failure(), {}), max_retries=3)
    assert len(server.requests) == 1


def test_a_truncated_answer_is_used_with_a_warning(ask, caplog):
    with caplog.at_level(logging.WARNING, "rllib_releds"):
        assert ask((200, completion("def agent_0(): pa", "length"), {})).text == "def agent_0(): pa"
    assert "cut off" in caplog.text


def test_an_unreachable_server_is_an_error_of_ours(ask):
    with pytest.raises(errors.ModelUnavailableError):
        ask((200, completion(), {}), api_base="http://127.0.0.1:9/v1")


def test_a_missing_key_names_the_environment_variable(ask, monkeypatch, server):
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(errors.MissingKeyError, match="OPENAI_API_KEY"):
        ask((200, completion(), {}))
    assert not server.requests


def test_an_unknown_provider_says_how_to_write_a_model(ask):
    with pytest.raises(errors.UnknownModelError, match="provider/name"):
        ask((200, completion(), {}), model="nobody-9000/x", api_base=None)


def test_the_planner_takes_the_same_path_without_a_key(context, monkeypatch):
    needs_litellm()
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    messages = [Message("system", prompts.initial_prompt(context)), Message("user", prompts.trigger_prompt())]
    reply = LiteLLMChat().complete(messages, ChatSettings(model="offline/planner"))
    assert reply.text.strip() == plan_reply(messages).strip()
    assert reply.tokens > 500
    assert reply.cost == 0.0


def test_without_the_extra_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "litellm", None)
    with pytest.raises(errors.MissingExtraError, match=r"rllib-releds\[llm\]"):
        LiteLLMChat().complete(MESSAGES, ChatSettings(model="openai/gpt-3.5-turbo"))
