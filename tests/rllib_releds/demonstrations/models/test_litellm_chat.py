import gzip
import importlib.util
import json
import logging
import pickle
import sys
import time
from dataclasses import asdict, replace

import pytest
from chat_server import Answer, ChatServer, completion, failure

from rllib_releds.demonstrations import errors
from rllib_releds.demonstrations.models.chat import ChatSettings, Message, estimate_tokens
from rllib_releds.demonstrations.models.litellm_chat import LiteLLMChat, load_litellm
from rllib_releds.demonstrations.offline_planner.planner import plan_reply
from rllib_releds.demonstrations.prompting import prompts

KEY = "sk-very-secret-0123456789"
MESSAGES = [Message("system", "You plan."), Message("user", "Go.")]
PROGRAM = "def agent_0(): pass"


def needs_litellm() -> None:
    # Not importorskip: importing litellm before our own settings for it waits for the network.
    if importlib.util.find_spec("litellm") is None:
        pytest.skip("the extra [llm] is not installed")


@pytest.fixture
def server():
    with ChatServer(lambda body: completion(PROGRAM)) as server:
        yield server


@pytest.fixture
def ask(server, monkeypatch):
    """Ask a model whose server gives these answers in turn, the last one repeated."""
    needs_litellm()
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def ask(*answers, **settings):
        script = list(answers or [completion(PROGRAM)])
        server.behaviour = lambda body: script.pop(0) if len(script) > 1 else script[0]
        defaults = {"model": "openai/gpt-3.5-turbo", "api_base": server.address, "timeout_s": 60.0, "max_retries": 0}
        return LiteLLMChat().complete(MESSAGES, ChatSettings(**(defaults | settings)))

    return ask


def test_an_answer_comes_with_its_tokens_cost_and_time(ask, server):
    reply = ask(temperature=0.25, max_reply_tokens=99)
    assert reply.text == PROGRAM
    assert (reply.tokens, reply.reply_tokens) == (17, 6)
    assert reply.cost > 0
    assert reply.seconds > 0
    assert not reply.is_cut_off
    (request,) = server.requests
    assert request.path == "/v1/chat/completions"
    assert request.key == f"Bearer {KEY}"
    assert request.body["messages"] == [asdict(message) for message in MESSAGES]
    assert (request.body["temperature"], request.body["max_tokens"]) == (0.25, 99)


def test_a_model_without_a_price_costs_nothing(ask):
    assert ask(model="openai/our-own").cost == 0.0


def test_a_budget_in_money_that_cannot_hold_is_said_once(ask, caplog):
    for _ in range(2):
        ask(model="openai/without-a-price", max_cost=1.0)
    said = [record.getMessage() for record in caplog.records if "no price is known" in record.getMessage()]
    assert len(said) == 1
    assert "openai/without-a-price: max_cost cannot stop it; set max_requests or max_tokens" in said[0]


@pytest.mark.parametrize("model", ["hosted_vllm/qwen", "ollama_chat/llama3", "lm_studio/x", "llamafile/x"])
def test_servers_of_ones_own_need_no_key(ask, server, model, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    if model.startswith("ollama"):
        answer = Answer(b'{"message": {"role": "assistant", "content": "def agent_0(): pass"}, "done": true}')
        assert ask(answer, model=model).text == PROGRAM
    else:
        assert ask(model=model).text == PROGRAM


def test_an_openai_compatible_server_of_ones_own_needs_no_key(ask, server, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    assert ask(model="openai/llama.cpp").text == PROGRAM
    assert server.requests[0].key == "Bearer none"


def test_the_key_can_come_from_another_variable(ask, server, monkeypatch):
    monkeypatch.setenv("OUR_GATEWAY", "gateway-secret-1")
    assert ask(key_variable="OUR_GATEWAY").text
    assert server.requests[0].key == "Bearer gateway-secret-1"
    with pytest.raises(errors.RejectedKeyError, match="check OUR_GATEWAY") as caught:
        ask(failure(401, "gateway-secret-1 is wrong"), key_variable="OUR_GATEWAY")
    assert "gateway-secret-1" not in str(caught.value)
    monkeypatch.delenv("OUR_GATEWAY")
    with pytest.raises(errors.MissingKeyError, match="OUR_GATEWAY"):
        ask(key_variable="OUR_GATEWAY")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (failure(401, KEY), errors.RejectedKeyError),
        (failure(403, KEY), errors.RejectedKeyError),
        (failure(402, KEY), errors.RejectedKeyError),
        (failure(404, KEY), errors.UnknownModelError),
        (failure(413, KEY), errors.RefusedRequestError),
        (failure(400, KEY), errors.RefusedRequestError),
        (failure(429, KEY), errors.RateLimitedError),
        (failure(500, KEY), errors.ModelUnavailableError),
        (failure(503, KEY), errors.ModelUnavailableError),
        (Answer(b"<html>not json"), errors.ChatError),
        (Answer(b""), errors.ChatError),
        (Answer(b'{"surprise": true}'), errors.BadReplyError),
        (Answer(b'{"choices": null}'), errors.BadReplyError),
        (Answer(b'{"choices": [null]}'), errors.BadReplyError),
        (Answer(completion("x").body.replace(b'"x"', b'[{"type": "text", "text": "x"}]')), errors.BadReplyError),
        (completion("", num_choices=0), errors.BadReplyError),
        (completion(None), errors.BadReplyError),
        (completion("  \n"), errors.BadReplyError),
        (completion("text", finish_reason="content_filter"), errors.BadReplyError),
        (Answer(b'{"id": "1"}', sent_bytes=0), errors.ModelUnavailableError),
        (Answer(b'{"id": "1"}', sent_bytes=5), errors.ModelUnavailableError),
    ],
)
def test_every_failure_becomes_an_error_of_ours_without_the_key(ask, answer, error, caplog, capfd):
    with caplog.at_level(logging.DEBUG), pytest.raises(error) as caught:
        ask(answer)
    assert isinstance(caught.value, errors.ChatError)
    assert KEY not in str(caught.value)
    # litellm's own error holds headers: not even the context of ours leads there.
    assert caught.value.__context__ is None
    captured = capfd.readouterr()
    assert KEY not in caplog.text + captured.out + captured.err
    assert "Traceback" not in str(caught.value)


def test_a_key_that_the_server_sends_back_is_hidden(ask):
    assert ask(completion(f"# {KEY}\n{PROGRAM}")).text == f"# [hidden]\n{PROGRAM}"


def test_what_a_server_says_does_not_command_the_terminal(ask):
    with pytest.raises(errors.RefusedRequestError, match=r"bad \\x1b\]0;mine\\x07 request"):
        ask(failure(400, "bad \x1b]0;mine\x07 request"))


@pytest.mark.parametrize("written", ["gw/Abc.Def%2BGhi%3DJkl", "gw\\/Abc.Def+Ghi=Jkl", "b'gw/Abc.Def+Ghi=Jkl\\n'"])
def test_a_key_is_hidden_however_it_is_spelt(ask, monkeypatch, written):
    monkeypatch.setenv("OTHER_API_KEY", "gw/Abc.Def+Ghi=Jkl\n")
    with pytest.raises(errors.RefusedRequestError) as caught:
        ask(failure(400, f"bad {written} here"))
    assert "Ghi" not in str(caught.value)
    assert "Abc" not in str(caught.value)


@pytest.mark.parametrize("settings", [{}, {"key_variable": "OPENAI_API_KEY"}])
@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY[:9]} {KEY[9:]}", f"{KEY}\u00e9"])
def test_a_key_that_cannot_be_sent_is_refused_before_it_is(ask, server, monkeypatch, key, settings):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(errors.MissingKeyError, match="OPENAI_API_KEY holds white space"):
        ask(**settings)
    assert not server.requests


@pytest.mark.parametrize(
    "answer",
    [
        completion("", finish_reason="length"),
        completion("x", finish_reason="content_filter"),
        completion("", num_choices=0),
    ],
)
def test_an_answer_that_cannot_be_used_has_been_paid_for(ask, answer):
    with pytest.raises(errors.BadReplyError) as caught:
        ask(answer)
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert error.tokens >= 11
        assert error.cost > 0


@pytest.mark.parametrize("status", [408, 504])
def test_a_gateway_that_gives_up_early_is_asked_again(ask, server, status):
    assert ask(failure(status), completion(PROGRAM), max_retries=1).text == PROGRAM
    with pytest.raises(errors.ModelUnavailableError, match="the server gave up waiting"):
        ask(failure(status))


@pytest.mark.parametrize(("pause_s", "drip_s"), [(30.0, 0.0), (0.0, 0.3)])
def test_a_slow_model_times_out_even_if_it_sends_a_byte_now_and_then(ask, pause_s, drip_s):
    slow = Answer(completion(PROGRAM).body, pause_s=pause_s, drip_s=drip_s)
    began_s = time.monotonic()
    with pytest.raises(errors.ModelTimeoutError, match=r"timeout_s=0\.5"):
        ask(slow, timeout_s=0.5, max_retries=2)
    assert time.monotonic() - began_s < 25


def test_a_busy_server_is_asked_again_when_it_says(ask, server):
    began_s = time.monotonic()
    reply = ask(failure(429, Retry_After="1"), completion(PROGRAM), max_retries=2)
    assert reply.text
    assert len(server.requests) == 2
    assert time.monotonic() - began_s >= 1.0


def test_a_server_that_wants_to_be_asked_in_an_hour_stops_nobody(ask, server):
    with pytest.raises(errors.RateLimitedError, match=r"next attempt in 3600 s would be beyond timeout_s=60 s"):
        ask(failure(429, Retry_After="3600"), max_retries=3)
    assert len(server.requests) == 1


def test_a_passing_failure_is_retried_and_a_refusal_is_not(ask, server):
    assert ask(failure(500), completion(PROGRAM), max_retries=1).text
    assert len(server.requests) == 2
    server.requests.clear()
    with pytest.raises(errors.RejectedKeyError):
        ask(failure(401), max_retries=3)
    assert len(server.requests) == 1


def test_a_truncated_answer_is_used_and_marked(ask):
    reply = ask(completion("def agent_0(): pa", finish_reason="length"))
    assert (reply.text, reply.is_cut_off) == ("def agent_0(): pa", True)


def test_an_unreachable_server_is_an_error_of_ours(ask):
    with pytest.raises(errors.ModelUnavailableError):
        ask(api_base="http://127.0.0.1:9/v1")


@pytest.mark.parametrize(
    ("model", "variable"),
    [
        ("openai/gpt-3.5-turbo", "OPENAI_API_KEY"),
        ("anthropic/claude-sonnet-4-5", "ANTHROPIC_API_KEY"),
        ("gemini/gemini-2.5-flash", "GOOGLE_API_KEY or GEMINI_API_KEY"),
        ("bedrock/x", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_a_missing_key_names_the_environment_variable(ask, monkeypatch, server, model, variable):
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY", "GEMINI_API_KEY", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(errors.MissingKeyError, match=f"set the environment variable {variable}, or use offline"):
        ask(model=model, api_base=None)
    assert not server.requests


def test_an_empty_key_is_none(ask, monkeypatch, server):
    monkeypatch.setenv("OPENAI_API_KEY", "")
    with pytest.raises(errors.MissingKeyError, match="set the environment variable OPENAI_API_KEY"):
        ask(api_base=None)
    assert not server.requests


def test_an_unknown_provider_says_how_to_write_a_model(ask):
    with pytest.raises(errors.UnknownModelError, match="provider/name"):
        ask(model="nobody-9000/x", api_base=None)


def test_what_keeps_litellm_from_knowing_the_provider_is_named(ask, monkeypatch):
    litellm = load_litellm()

    def fail(*_, **__):
        raise litellm.BadRequestError("GetLLMProvider Exception - no such file", "x", "")

    monkeypatch.setattr(litellm, "get_llm_provider", fail)
    with pytest.raises(errors.RefusedRequestError, match="no such file"):
        ask(api_base=None)


def test_the_planner_takes_the_same_path_without_a_key(context, monkeypatch):
    needs_litellm()
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    messages = [Message("system", prompts.initial_prompt(context)), Message("user", prompts.trigger_prompt())]
    reply = LiteLLMChat().complete(messages, ChatSettings(model="offline/planner"))
    assert reply.text.strip() == plan_reply(messages).strip()
    assert reply.tokens > reply.reply_tokens > 50
    assert reply.cost == 0.0


def test_without_the_extra_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "litellm", None)
    with pytest.raises(errors.MissingExtraError, match=r"rllib-releds\[llm\]"):
        LiteLLMChat().complete(MESSAGES, ChatSettings(model="openai/gpt-3.5-turbo"))


def with_usage(**usage: object) -> Answer:
    answer = completion(PROGRAM)
    return replace(answer, body=json.dumps(json.loads(answer.body) | {"usage": usage}).encode())


@pytest.mark.parametrize("counted", [0, -7, 10**400])
def test_figures_of_the_server_that_cannot_be_are_estimated(ask, counted):
    reply = ask(with_usage(prompt_tokens=counted, completion_tokens=counted, total_tokens=counted))
    answered = estimate_tokens(PROGRAM)
    assert reply.reply_tokens == answered
    assert reply.tokens == answered + sum(estimate_tokens(message.content) for message in MESSAGES)


def test_of_an_endless_answer_only_what_is_read_is_kept(ask):
    assert len(ask(completion("x" * 300_000)).text) == 200_000


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 1000, "completion_tokens": 5}, 1005),
        ({"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 5}, 1500),
    ],
)
def test_a_sum_that_the_server_leaves_out_is_ours(ask, usage, tokens):
    assert ask(with_usage(**usage)).tokens == tokens


def test_a_model_that_had_no_room_to_answer_has_a_remedy(ask):
    with pytest.raises(errors.BadReplyError, match="raise max_reply_tokens"):
        ask(completion("", finish_reason="length"))


def test_an_answer_is_not_unpacked(ask):
    packed = gzip.compress(completion(PROGRAM + " " * 100_000_000).body)
    with pytest.raises(errors.ModelUnavailableError):
        ask(Answer(packed, headers={"Content-Encoding": "gzip"}))


def test_an_answer_that_does_not_end_is_broken_off(ask):
    with pytest.raises(errors.ModelUnavailableError):
        ask(Answer(b'{"choices": [' + b" " * 17_000_000))


def test_half_a_character_in_an_answer_spoils_no_later_request(ask, server):
    reply = ask(completion(f"# \ud800\n{PROGRAM}"))
    assert reply.text == f"# ?\n{PROGRAM}"
    again = [*MESSAGES, Message("assistant", reply.text), Message("user", "Again.")]
    settings = ChatSettings(model="openai/gpt-3.5-turbo", api_base=server.address, timeout_s=60.0, max_retries=0)
    assert LiteLLMChat().complete(again, settings).text


@pytest.mark.parametrize(
    "name", ["WATSONX_APIKEY", "AWS_BEARER_TOKEN_BEDROCK", "db_password_file", "MY_SECRETS", "OUR_TOKENS"]
)
def test_values_of_whatever_is_called_a_key_are_hidden(ask, monkeypatch, name):
    monkeypatch.setenv(name, "value of a key")
    monkeypatch.setenv(f"{name}_2", "value of a key and more")
    monkeypatch.setenv(f"{name}_3", "pass")
    said = ask(completion(f"# value of a key and more, value of a key\n{PROGRAM}"))
    assert said.text == f"# [hidden], [hidden]\n{PROGRAM}", "a short value is an ordinary word"
