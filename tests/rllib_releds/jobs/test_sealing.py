"""Keys that only their receiver can read."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rllib_releds.jobs.sealing import Receiver, seal


@settings(deadline=None)
@given(st.dictionaries(st.text(), st.text()))
def test_the_receiver_reads_what_was_sealed_for_it(values):
    receiver = Receiver()
    assert receiver.open(seal(values, receiver.address)) == values


def test_nobody_else_does():
    box = seal({"OPENAI_API_KEY": "sk-secret"}, Receiver().address)
    with pytest.raises(ValueError, match="sealed for another receiver"):
        Receiver().open(box)
    assert b"sk-secret" not in base64.b64decode(box)


def test_a_damaged_box_is_refused():
    receiver = Receiver()
    content = bytearray(base64.b64decode(seal({"a": "b"}, receiver.address)))
    content[-1] ^= 1
    with pytest.raises(ValueError, match="sealed for another receiver"):
        receiver.open(base64.b64encode(content).decode())
