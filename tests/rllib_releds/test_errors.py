from pathlib import Path

from rllib_releds.errors import going_on, printable


def test_what_would_rule_a_terminal_is_spelled_out():
    assert printable("\x1b[2Jone\ttwo\nthree\r\x9b5mfour ü") == r"\x1b[2Jone" + "\ttwo\nthree" + r"\r\x9b5mfour ü"


def test_commands_can_be_pasted_into_a_shell():
    assert going_on(Path("/runs/first")) == "reled resume /runs/first"
    assert going_on(Path("/my runs/it's")) == """reled resume '/my runs/it'"'"'s'"""
