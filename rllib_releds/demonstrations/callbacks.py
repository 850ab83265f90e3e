"""Demonstration callbacks by name, and those that need no language model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rllib_releds.demonstrations.demonstrators import check_contents, live_demonstrations
from rllib_releds.demonstrations.execution.limits import SandboxLimits
from rllib_releds.demonstrations.language_model import LanguageModelCallback
from rllib_releds.demonstrations.logit import LogitDemonstrations
from rllib_releds.demonstrations.models.chat import STORED, ChatModel, ChatSettings, is_model_name
from rllib_releds.demonstrations.models.chat_models import chat_model
from rllib_releds.demonstrations.protocol import DemonstrationCallback, DemonstrationContext, Demonstrations
from rllib_releds.demonstrations.records.store import DemonstrationStore
from rllib_releds.demonstrations.records.stored import StoredCallback


class StatelessCallback(DemonstrationCallback):
    """Any function `context -> demonstrations` as a `DemonstrationCallback`.

    Args:
        function: called once per cycle.
        store: where artefacts of each cycle go; None writes nothing.
    """

    def __init__(
        self, function: Callable[[DemonstrationContext], Demonstrations], store: DemonstrationStore | None = None
    ) -> None:
        self.function = function
        self.store = store

    def __call__(self, context: DemonstrationContext) -> Demonstrations:
        demonstrations = self.function(context)
        if not isinstance(demonstrations, Demonstrations):
            raise TypeError(f"{self.function} returned {demonstrations!r}: it must return Demonstrations")
        check_contents(demonstrations.contents, context)
        return demonstrations


RULES: dict[str, Callable[[DemonstrationContext], Demonstrations]] = {
    "live": lambda context: live_demonstrations(context.trips),
    "logit": lambda context: LogitDemonstrations(seed=context.seed),  # with draws of its own in every cycle
}


def make_callback(
    model: str | ChatModel | Callable[[DemonstrationContext], Demonstrations],
    *,
    settings: ChatSettings | None = None,
    refine: bool = True,
    interfaces: bool = True,
    stationarity: bool = True,
    limits: SandboxLimits | None = None,
    folder: Path | str | None = None,
    record: Path | str | None = None,
    replay: Path | str | None = None,
    must_answer: bool = False,
) -> DemonstrationCallback:
    """The callback behind a name.

    Args:
        model: "live", "logit", "stored:FOLDER", a model's name such as "offline/planner" or "openai/gpt-3.5-turbo", a
            `ChatModel`, a `DemonstrationCallback` (returned, with a store in `folder`), or any function
            `context -> demonstrations`.
        settings: of the language model; by default `ChatSettings(model=...)`.
        refine: False sends the initial prompt again in every cycle, without feedback.
        interfaces: False asks for node-by-node routes instead of programs.
        stationarity: False leaves validity and reward alone in the feedback, as LEED does.
        limits: what each program may use.
        folder: where the artefacts of each cycle go, such as `run/demonstrations`; None writes nothing.
        record: folder in which the model's replies are kept; those that lie there are not asked for again.
        replay: folder of recorded replies that answer in the model's place: no key, no server.
        must_answer: True raises the error of a model that cannot be asked, in place of going on without it.

    Raises:
        ValueError: for a name that is neither a rule nor provider/model, a class with a state that is no
            `DemonstrationCallback`, nothing to replay, what only language models know, or a `folder` that holds the
            demonstrations to give again.
        StoredDemonstrationError: if there are no stored demonstrations in FOLDER.
    """
    if (record or replay) and not (isinstance(model, str) and is_model_name(model)):
        raise ValueError("only replies of a model named provider/name can be recorded and replayed")
    is_model = is_model_name(model) if isinstance(model, str) else hasattr(model, "complete")
    if not is_model and not (refine and interfaces and stationarity):
        raise ValueError(f"refine, interfaces and stationarity are for language models, and {model!r} is none")
    store = None if folder is None else DemonstrationStore(folder)
    if isinstance(model, str) and model in RULES:
        return StatelessCallback(RULES[model], store)
    if isinstance(model, str) and model.startswith(STORED):
        return StoredCallback(model.removeprefix(STORED), store)
    if isinstance(model, str):
        if not is_model_name(model):
            raise ValueError(
                f"unknown demonstrations {model!r}: choose {', '.join(RULES)}, offline/planner, {STORED}FOLDER, or a "
                "language model as provider/name, such as openai/gpt-3.5-turbo"
            )
        settings = settings or ChatSettings(model=model)
        chat: ChatModel = chat_model(settings, record=record, replay=replay)
    elif hasattr(model, "complete"):
        chat = model
        settings = settings or ChatSettings(model=type(model).__name__)
    elif isinstance(model, DemonstrationCallback):
        if store is not None:
            model.keep_in(store)
        return model
    elif hasattr(model, "get_state"):
        raise ValueError(f"derive {type(model).__name__} from DemonstrationCallback, or its state would be lost")
    else:
        return StatelessCallback(model, store)
    return LanguageModelCallback(
        chat,
        settings,
        refine=refine,
        interfaces=interfaces,
        stationarity=stationarity,
        limits=limits,
        store=store,
        must_answer=must_answer,
    )


def absolute_demonstrations(model: Any) -> Any:
    """Demonstrations in a folder by its absolute path, for a resume from elsewhere; everything else as it is."""
    if not isinstance(model, str) or not model.startswith(STORED):
        return model
    return f"{STORED}{Path(model.removeprefix(STORED)).absolute()}"
