"""Chat models by name."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from rllib_releds.demonstrations.models.chat import OFFLINE, ChatModel, ChatSettings
from rllib_releds.demonstrations.models.litellm_chat import LiteLLMChat
from rllib_releds.demonstrations.models.recorded import RecordedChat
from rllib_releds.demonstrations.offline_planner.planner import PlannerChat


def chat_model(
    settings: ChatSettings, *, record: Path | str | None = None, replay: Path | str | None = None
) -> ChatModel:
    """The chat model behind a name.

    Args:
        settings: `settings.model` decides. "offline/planner" works without litellm, too.
        record: folder in which replies are kept; those that lie there are not asked for again.
        replay: folder of recorded replies that answer in the model's place: no key, no server.

    Raises:
        ValueError: if both are given, or there is nothing to replay.
    """
    if replay is not None:
        if record is not None:
            raise ValueError("give record or replay, not both: a replay asks nobody")
        if not any(Path(replay).glob("*.json")):
            raise ValueError(f"there are no recorded replies in {replay}: record some first, by a run with record")
        return RecordedChat(Path(replay))
    is_alone = settings.model == OFFLINE and importlib.util.find_spec("litellm") is None
    model: ChatModel = PlannerChat() if is_alone else LiteLLMChat()
    return model if record is None else RecordedChat(Path(record), model)
