from rllib_releds.errors import printable


def test_what_would_rule_a_terminal_is_spelled_out():
    assert printable("\x1b[2Jone\ttwo\nthree\r\x9b5mfour ü") == r"\x1b[2Jone" + "\ttwo\nthree" + r"\r\x9b5mfour ü"
