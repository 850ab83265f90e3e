import pytest

from rllib_releds.demonstrations.errors import UnknownModelError
from rllib_releds.demonstrations.models.chat import OFFLINE, ChatSettings
from rllib_releds.demonstrations.models.providers import check_provider


@pytest.mark.parametrize("settings", [{}, {"key_variable": "MY_KEY"}, {"api_base": "http://localhost:1/v1"}])
def test_a_misspelt_provider_is_refused_whatever_else_is_set(settings):
    with pytest.raises(UnknownModelError, match="unknown model 'opnai/gpt-4'"):
        check_provider(ChatSettings(model="opnai/gpt-4", **settings))
    check_provider(ChatSettings(model="openai/gpt-4", **settings))
    check_provider(ChatSettings(model=OFFLINE))
