import threading

import pytest

from rllib_releds.errors import RunError
from rllib_releds.experiments.locking import alone_in, locked


def test_a_folder_belongs_to_one_command_until_it_ends(tmp_path):
    refused = pytest.raises(RunError, match=r"another `reled tune` works in .*search; wait for it")
    with alone_in(tmp_path / "search", "reled tune"), refused, alone_in(tmp_path / "search", "reled tune"):
        pass
    with alone_in(tmp_path / "search", "reled tune"):
        pass


def test_who_gives_no_refusal_waits(tmp_path):
    order = []

    def second():
        with locked(tmp_path / "lock"):
            order.append("second")

    with locked(tmp_path / "lock"):
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(0.1)
        order.append("first")
    waiting.join(10)
    assert order == ["first", "second"]
