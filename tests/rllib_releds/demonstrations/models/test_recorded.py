import json

import pytest

from rllib_releds.demonstrations.errors import BadReplyError, RateLimitedError, RecordingError
from rllib_releds.demonstrations.models.chat import ChatSettings, Message, ScriptedChat
from rllib_releds.demonstrations.models.recorded import RecordedChat

MESSAGES = [Message("system", "s"), Message("user", "u → \ud800")]
SETTINGS = ChatSettings(model="m")


def test_recorded_replies_are_replayed_without_a_model(tmp_path):
    chat = ScriptedChat(["first", "second"])
    reply = RecordedChat(tmp_path, chat).complete(MESSAGES, SETTINGS)
    assert RecordedChat(tmp_path).complete(MESSAGES, SETTINGS) == reply
    assert RecordedChat(tmp_path, chat).complete(MESSAGES, SETTINGS) == reply
    assert len(chat.requests) == 1
    with pytest.raises(RecordingError, match="no recorded reply"):
        RecordedChat(tmp_path).complete(MESSAGES, ChatSettings(model="other"))


def test_the_same_conversation_sent_again_has_a_reply_of_its_own(tmp_path):
    recording = RecordedChat(tmp_path, ScriptedChat(["first", "second", "third"]))
    said = [recording.complete(MESSAGES, SETTINGS).text for _ in range(3)]
    replay = RecordedChat(tmp_path)
    assert [replay.complete(MESSAGES, SETTINGS).text for _ in range(3)] == said == ["first", "second", "third"]


def test_a_restarted_run_finds_its_next_reply(tmp_path):
    recording = RecordedChat(tmp_path, ScriptedChat(["first", "second"]))
    recording.complete(MESSAGES, SETTINGS)
    state = json.loads(json.dumps(recording.get_state()))
    recording.complete(MESSAGES, SETTINGS)
    restarted = RecordedChat(tmp_path)
    restarted.set_state(state)
    assert restarted.complete(MESSAGES, SETTINGS).text == "second"


def test_a_failure_is_replayed_and_never_taken_for_an_answer(tmp_path):
    with pytest.raises(RateLimitedError):
        RecordedChat(tmp_path, ScriptedChat([RateLimitedError("slowly")])).complete(MESSAGES, SETTINGS)
    with pytest.raises(RateLimitedError, match="slowly"):
        RecordedChat(tmp_path).complete(MESSAGES, SETTINGS)
    assert RecordedChat(tmp_path, ScriptedChat(["now"])).complete(MESSAGES, SETTINGS).text == "now"
    assert RecordedChat(tmp_path).complete(MESSAGES, SETTINGS).text == "now"


def test_what_an_unusable_answer_cost_is_replayed(tmp_path):
    with pytest.raises(BadReplyError):
        RecordedChat(tmp_path, ScriptedChat([BadReplyError("no text", 120, 0.5)])).complete(MESSAGES, SETTINGS)
    with pytest.raises(BadReplyError, match="no text") as caught:
        RecordedChat(tmp_path).complete(MESSAGES, SETTINGS)
    assert (caught.value.tokens, caught.value.cost) == (120, 0.5)


@pytest.mark.parametrize(
    "content",
    [b"", b'{"model": "m", "reply": {"text', b"[]", b"{}", b'{"reply": {"txt": 1}}', b'{"error": {}}', b"\xff"],
)
@pytest.mark.parametrize("model", [None, ScriptedChat(["new"])])
def test_a_damaged_file_is_named(tmp_path, content, model):
    RecordedChat(tmp_path, ScriptedChat(["first"])).complete(MESSAGES, SETTINGS)
    (file,) = tmp_path.glob("*.json")
    file.write_bytes(content)
    with pytest.raises(RecordingError, match=f"{file} is damaged .* delete the file"):
        RecordedChat(tmp_path, model).complete(MESSAGES, SETTINGS)
