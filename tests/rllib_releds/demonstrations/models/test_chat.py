import pickle
from dataclasses import asdict

import pytest
from pydantic import ValidationError

from rllib_releds.demonstrations import errors
from rllib_releds.demonstrations.models.chat import (
    SHRUNK,
    ChatSettings,
    Message,
    Reply,
    ScriptedChat,
    Usage,
    chat_settings,
    estimate_tokens,
    trimmed,
)

SYSTEM = Message("system", "s" * 300)


def turns(count: int) -> list[Message]:
    return [Message("user" if row % 2 == 0 else "assistant", str(row) * 300) for row in range(count)]


def test_short_conversations_are_kept_whole():
    messages = [SYSTEM, *turns(3)]
    assert trimmed(messages, 10_000) == messages


def test_old_requests_shrink_first():
    messages = [SYSTEM, *turns(5)]
    shrunk = Message("user", SHRUNK)
    assert trimmed(messages, 450) == [SYSTEM, shrunk, *messages[2:]]
    assert trimmed(messages, 370) == [SYSTEM, shrunk, messages[2], shrunk, *messages[4:]]


def test_a_request_that_is_shorter_than_what_would_stand_for_it_stays():
    begin = Message("user", "Begin.")
    messages = [SYSTEM, begin, *turns(4)[1:]]
    assert trimmed(messages, 300) == [SYSTEM, begin, messages[2], Message("user", SHRUNK), messages[4]]


def test_the_oldest_messages_go_then_and_the_system_prompt_stays():
    messages = [SYSTEM, *turns(5)]
    assert trimmed(messages, 260) == [SYSTEM, Message("user", SHRUNK), *messages[-2:]]


def test_a_trimmed_conversation_never_begins_with_an_answer():
    messages = [SYSTEM, *turns(5)]
    assert trimmed(messages, 230) == [SYSTEM, messages[-1]]


def test_the_request_itself_is_never_trimmed():
    messages = [SYSTEM, *turns(3)]
    assert trimmed(messages, 1) == [SYSTEM, messages[-1]]


@pytest.mark.parametrize(
    ("text", "counted"),
    [  # by the tokenizer of GPT-3.5 and GPT-4 (cl100k)
        ("12 (1034, 220) -> 13, 15\n", 15),
        ("agent_3: origin 17, heading for 18, destination 94, departs at 0 s", 23),
    ],
)
def test_tokens_are_estimated_as_tokenizers_count_them(text, counted):
    assert estimate_tokens(text) == pytest.approx(counted, rel=0.15)


def test_letters_of_other_scripts_are_tokens_of_their_own():
    assert estimate_tokens("交通路线") == 4


@pytest.mark.parametrize(
    ("limits", "used"),
    [({"max_requests": 2}, 2), ({"max_tokens": 100}, 1), ({"max_cost": 0.5}, 1), ({"max_requests": 0}, 0)],
)
def test_the_budget_ends_requests(limits, used):
    settings, usage = ChatSettings(model="m", **limits), Usage()
    for _ in range(used):
        usage.begin(settings)
        usage.add(Reply("text", 100, 0.5, 1.0))
    with pytest.raises(errors.BudgetExceededError, match=next(iter(limits))):
        usage.begin(settings)


def test_usage_sums_up():
    usage = Usage()
    usage.add(Reply("a", 10, 0.1, 1.0, 4))
    usage.add(Reply("b", 5, 0.2, 2.0, 3))
    assert asdict(usage) == {
        "requests": 0, "tokens": 15, "cost": pytest.approx(0.3), "seconds": 3.0, "reply_tokens": 7
    }  # fmt: skip


@pytest.mark.parametrize("wrong", [{"timeout_s": 0}, {"temperature": 3}, {"max_retries": -1}, {"api_key": "sk"}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValidationError):
        ChatSettings(model="m", **wrong)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"api_key": "sk-0123456789"}, "unknown model setting 'api_key': choose temperature, .* from the environment"),
        ({"c2VjcmV0a2V5c2VjcmV0": "="}, "^unknown model setting: choose temperature"),
        ({"temperature": "sk-0123456789"}, "model setting temperature: input should be a valid number"),
        ({"max_cost": "-1"}, "model setting max_cost: input should be greater than or equal to 0"),
        (
            {"api_base": "localhost:8000"},
            "model setting api_base: it must be an address such as http://localhost:8000/v1",
        ),
        ({"api_base": "https://me:sk-0123456789@here/v1"}, "model setting api_base: it must hold no user, password"),
        ({"api_base": "https://here/v1?key=sk-0123456789"}, "model setting api_base: it must hold no user, password"),
        ({"key_variable": "sk-0123456789"}, "model setting key_variable: "),
    ],
)
def test_a_wrong_option_is_named_and_its_value_is_not_shown(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        chat_settings("openai/gpt-3.5-turbo", options)
    assert "sk-0" not in str(caught.value)
    assert "sk-0" not in repr(caught.value.__context__)


def test_options_are_read_from_text():
    settings = chat_settings("m", {"temperature": "none", "timeout_s": "7.5", "max_requests": "3"})
    assert (settings.temperature, settings.timeout_s, settings.max_requests) == (None, 7.5, 3)


def test_scripted_answers_come_in_order():
    chat = ScriptedChat(["one", errors.ModelTimeoutError("slow"), "two"])
    settings = ChatSettings(model="m")
    assert chat.complete([SYSTEM], settings).text == "one"
    with pytest.raises(errors.ModelTimeoutError):
        chat.complete([SYSTEM], settings)
    assert [chat.complete([SYSTEM], settings).text for _ in range(2)] == ["two", "two"]


def test_errors_survive_pickling():
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, Exception):
            assert str(pickle.loads(pickle.dumps(kind("what went wrong")))) == "what went wrong"


@pytest.mark.parametrize(
    "key", ["gsk_a1B2c3D4e5", "hf_aBcDeFgH", "AIzaSyA1b2C3", "our_gateway", "OPENAI_API_KEY\n", "9X", ""]
)
def test_a_key_is_no_name_of_a_variable(key):
    with pytest.raises(ValueError, match="model setting key_variable: it must be the name of an environment") as caught:
        chat_settings("openai/gpt-3.5-turbo", {"key_variable": key})
    assert key == "" or key not in str(caught.value)
    assert chat_settings("openai/gpt-3.5-turbo", {"key_variable": "GATEWAY_2_KEY"}).key_variable == "GATEWAY_2_KEY"


def test_figures_that_cannot_be_never_lower_the_sums():
    usage = Usage()
    usage.add(Reply("a", 10, 0.1, 1.0, 4))
    usage.add(Reply("go " * 10, -1000, -5.0, 1.0, 0))
    assert (usage.tokens, usage.reply_tokens, usage.cost) == (20 + 1, 14 + 1, 0.1)
