"""Replies of chat models kept on disk, so that any run can be repeated without a key, bit for bit.

<folder>/<hash of model and messages>.json, and <hash>_1.json ... if the conversation is sent again in the same run.
Runs that share a folder pay for each conversation once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rllib_releds.demonstrations import errors
from rllib_releds.demonstrations.errors import ChatError
from rllib_releds.demonstrations.models.chat import ChatModel, ChatSettings, Message, Reply
from rllib_releds.files import locked, write_json


@dataclass
class RecordedChat:
    """Keeps what another model answers, and answers again without it.

    A reply that lies in the folder is not asked for again. Failures of the model are kept, too: a replay fails where
    the run did. With a model at hand what failed is asked for again.

    Attributes:
        folder: where the replies lie.
        model: asked for what is not recorded yet; None replays only.
        num_asked: how often each conversation was sent in this run, by its hash.
    """

    folder: Path
    model: ChatModel | None = None
    num_asked: dict[str, int] = field(default_factory=dict)

    def complete(self, messages: Sequence[Message], settings: ChatSettings) -> Reply:
        """The recorded reply to these messages, else the model's.

        Raises:
            ChatError: as the model did.
            RecordingError: if nothing is recorded and there is no model to ask, or if the recorded reply is damaged.
        """
        key = conversation_key(messages, settings.model)
        row = self.num_asked.get(key, 0)
        self.num_asked[key] = row + 1
        path = self.folder / (f"{key}_{row}.json" if row else f"{key}.json")
        if self.model is None:
            return self._answer(path, messages, settings)
        # Several runs may share the folder: the first asks, the others wait for its reply.
        with locked(self.folder / f".{path.stem}.lock"):
            return self._answer(path, messages, settings)

    def _answer(self, path: Path, messages: Sequence[Message], settings: ChatSettings) -> Reply:
        if path.is_file():
            kept = _read(path)
            if isinstance(kept, Reply):
                return kept
            if self.model is None:
                raise kept
        if self.model is None:
            raise errors.RecordingError(
                f"no recorded reply {path.name} in {self.folder}: the replay is not the run that was recorded. Repeat "
                "it with the same settings and versions, or record it with a model"
            )
        content = {"model": settings.model, "messages": [asdict(message) for message in messages]}
        try:
            reply = self.model.complete(messages, settings)
        except ChatError as error:
            failure: dict[str, Any] = {"kind": type(error).__name__, "message": str(error)}
            if isinstance(error, errors.BadReplyError):
                failure |= {"tokens": error.tokens, "cost": error.cost}
            write_json(path, {**content, "error": failure})
            raise
        write_json(path, {**content, "reply": asdict(reply)})
        return reply

    def get_state(self) -> dict[str, Any]:
        """What a restart needs to find the next replies."""
        return {"num_asked": dict(self.num_asked)}

    def set_state(self, state: dict[str, Any]) -> None:
        self.num_asked = dict(state["num_asked"])


def conversation_key(messages: Sequence[Message], model: str) -> str:
    """Hash of the model and the messages."""
    text = json.dumps([model, [asdict(message) for message in messages]], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _read(path: Path) -> Reply | ChatError:
    """What the model answered, or how it failed. Raises RecordingError if the file is damaged."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return Reply(**known["reply"]) if "reply" in known else _error(known["error"])
    except (ValueError, TypeError, LookupError) as error:
        raise errors.RecordingError(
            f"the recorded reply {path} is damaged ({type(error).__name__}: {error}); delete the file, and let a run "
            "that records ask again"
        ) from error


def _error(recorded: dict[str, Any]) -> ChatError:
    kind = getattr(errors, recorded["kind"], ChatError)
    if kind is errors.BadReplyError:
        return errors.BadReplyError(recorded["message"], recorded.get("tokens", 0), recorded.get("cost", 0.0))
    return kind(recorded["message"]) if issubclass(kind, ChatError) else ChatError(recorded["message"])
