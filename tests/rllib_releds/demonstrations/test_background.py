import copy
import threading
from dataclasses import replace

import pytest

from rllib_releds.demonstrations.background import BackgroundCallback
from rllib_releds.demonstrations.demonstrators import GivenDemonstrations
from rllib_releds.demonstrations.protocol import DemonstrationCallback

LONG_S = 30.0


class Gated(DemonstrationCallback):
    """A callback that answers when the test lets it, and remembers the cycles that it answered."""

    def __init__(self) -> None:
        self.cycles: list[int] = []
        self.began = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.error: BaseException | None = None

    def __call__(self, context):
        self.cycles.append(context.cycle)  # before the answer, as a conversation grows
        self.began.release()
        assert self.gate.acquire(timeout=LONG_S)
        if self.error is not None:
            raise self.error
        return GivenDemonstrations({}, metrics={"cycle": context.cycle})

    def get_state(self):
        return {"cycles": self.cycles}

    def set_state(self, state):
        self.cycles = list(state["cycles"])


@pytest.fixture
def gated():
    gated = Gated()
    yield gated
    for _ in range(10):
        gated.gate.release()


@pytest.fixture
def background(gated):
    return BackgroundCallback(gated)


def asked(background, gated, context, cycle):
    background.ask(replace(context, cycle=cycle))
    assert gated.began.acquire(timeout=LONG_S)


def answered(background, gated):
    gated.gate.release()
    background.wait(LONG_S)


def test_an_answer_is_handed_over_once_and_only_when_it_is_there(background, gated, context):
    assert background.take() is None
    asked(background, gated, context, 3)
    assert background.take() is None
    assert background.asked.cycle == 3
    answered(background, gated)
    answer = background.take()
    assert (answer.context.cycle, answer.demonstrations.metrics, answer.error) == (3, {"cycle": 3}, None)
    assert background.take() is None
    assert background.is_idle


def test_there_is_one_request_at_a_time(background, gated, context):
    asked(background, gated, context, 0)
    assert not background.is_idle
    with pytest.raises(RuntimeError, match="one request at a time"):
        background.ask(context)


@pytest.mark.parametrize("error", [ValueError("broken"), SystemExit(3)])
def test_what_the_callback_raises_is_handed_over(background, gated, context, error):
    gated.error = error
    asked(background, gated, context, 0)
    answered(background, gated)
    assert background.take().error is error


def test_the_state_is_the_one_before_the_request_until_the_answer_is_taken(background, gated, context):
    asked(background, gated, context, 0)
    assert gated.cycles == [0]
    assert background.get_state() == {"cycles": []}
    answered(background, gated)
    assert background.get_state() == {"cycles": []}
    assert background.asked is not None
    background.take()
    assert background.get_state() == {"cycles": [0]}


def test_another_state_makes_a_request_in_progress_outdated(background, gated, context):
    asked(background, gated, context, 0)
    background.set_state({"cycles": [7]})
    assert background.asked is None
    assert not background.is_idle
    assert background.get_state() == {"cycles": [7]}
    answered(background, gated)
    assert background.take() is None
    assert background.is_idle
    assert gated.cycles == [7]
    asked(background, gated, context, 8)
    answered(background, gated)
    assert background.take().context.cycle == 8
    assert background.get_state() == {"cycles": [7, 8]}


def test_another_state_drops_an_answer_that_nobody_took(background, gated, context):
    asked(background, gated, context, 0)
    answered(background, gated)
    background.set_state({"cycles": [7]})
    assert background.take() is None
    assert copy.deepcopy(background.get_state()) == {"cycles": [7]}


def test_a_request_that_is_never_answered_does_not_keep_the_process_alive(background, gated, context):
    asked(background, gated, context, 99)
    background.wait(0.0)
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "demonstration cycle 99"]
    assert thread.daemon
