"""Asking a callback for demonstrations beside training: one request at a time, in a thread."""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass
from typing import Any

from rllib_releds.demonstrations.protocol import DemonstrationCallback, DemonstrationContext, Demonstrations


@dataclass
class Asked:
    """One request: what was asked, and from some moment on the answer.

    Attributes:
        context: what the callback was asked with.
        demonstrations: what it answered.
        error: what it raised instead.
    """

    context: DemonstrationContext
    demonstrations: Demonstrations | None = None
    error: BaseException | None = None


class BackgroundCallback:
    """Asks a callback in a thread, and keeps its state consistent meanwhile.

        idle --ask--> asking --the callback returns--> answered --take--> idle
                        |
                    set_state --> outdated --the callback returns, its answer is dropped--> idle

    A request changes the callback's state (a conversation grows) while training may save a checkpoint. So the state
    that counts is the one before the request, until `take` hands the answer over: a run restored from that checkpoint
    asks again. The thread is a daemon: a server that never answers does not keep the process alive.

    Args:
        callback: asked by one thread at a time.
    """

    def __init__(self, callback: DemonstrationCallback) -> None:
        self.callback = callback
        self._asked: Asked | None = None
        self._state_before: dict[str, Any] = {}
        self._is_outdated = False
        self._thread = threading.Thread()

    @property
    def is_idle(self) -> bool:
        """Whether `ask` may be called."""
        self._drop_outdated()
        return self._asked is None

    @property
    def asked(self) -> DemonstrationContext | None:
        """What is being asked, until `take` hands the answer over."""
        return None if self._asked is None or self._is_outdated else self._asked.context

    def ask(self, context: DemonstrationContext) -> None:
        """Begin a request and return at once.

        Raises:
            RuntimeError: unless idle.
        """
        if not self.is_idle:
            raise RuntimeError("one request at a time: take the answer of the last one first")
        self._state_before = copy.deepcopy(self.callback.get_state())
        self._asked = Asked(context)
        self._thread = threading.Thread(
            target=self._run, args=(self._asked,), name=f"demonstration cycle {context.cycle}", daemon=True
        )
        self._thread.start()

    def take(self) -> Asked | None:
        """The request with its answer, once; None as long as there is none."""
        self._drop_outdated()
        if self._asked is None or self._thread.is_alive():
            return None
        asked, self._asked = self._asked, None
        return asked

    def wait(self, timeout_s: float | None = None) -> None:
        """Return when the callback has returned, or after this time."""
        if self._asked is not None:
            self._thread.join(timeout_s)

    def get_state(self) -> dict[str, Any]:
        """The callback's state without the request in progress."""
        self._drop_outdated()
        return self.callback.get_state() if self._asked is None else self._state_before

    def set_state(self, state: dict[str, Any]) -> None:
        """Give the callback another state. A request in progress is outdated then: its answer will be dropped."""
        self._drop_outdated()
        if self._asked is None:
            self.callback.set_state(state)
        else:
            self._state_before, self._is_outdated = state, True

    def _run(self, asked: Asked) -> None:
        try:
            asked.demonstrations = self.callback(asked.context)
        except BaseException as error:  # whatever it is, `take` hands it to the thread that trains
            asked.error = error

    def _drop_outdated(self) -> None:
        """The state can be set only when the callback no longer runs."""
        if self._is_outdated and not self._thread.is_alive():
            self._asked, self._is_outdated = None, False
            self.callback.set_state(self._state_before)
