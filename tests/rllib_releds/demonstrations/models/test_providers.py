import pytest

from rllib_releds.demonstrations.errors import ChatError, UnknownModelError
from rllib_releds.demonstrations.models.chat import OFFLINE, ChatSettings
from rllib_releds.demonstrations.models.litellm_chat import load_litellm
from rllib_releds.demonstrations.models.providers import check_provider


@pytest.mark.parametrize("settings", [{}, {"key_variable": "MY_KEY"}, {"api_base": "http://localhost:1/v1"}])
def test_a_misspelt_provider_is_refused_whatever_else_is_set(settings):
    with pytest.raises(UnknownModelError, match="unknown model 'opnai/gpt-4'"):
        check_provider(ChatSettings(model="opnai/gpt-4", **settings))
    check_provider(ChatSettings(model="openai/gpt-4", **settings))
    check_provider(ChatSettings(model=OFFLINE))


def test_what_else_keeps_a_provider_from_being_known_is_told_in_its_words(monkeypatch):
    def refused(*_, **__):
        raise RuntimeError("Failed to get access token")

    monkeypatch.setattr(load_litellm(), "get_llm_provider", refused)
    with pytest.raises(ChatError, match="Failed to get access token"):
        check_provider(ChatSettings(model="github_copilot/gpt-4"))
