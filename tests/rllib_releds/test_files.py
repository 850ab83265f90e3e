import threading

import pytest

from rllib_releds.errors import RunError
from rllib_releds.files import alone_in, file_name, is_being_written, locked, whole_file, write_bytes


def test_a_folder_belongs_to_one_command_until_it_ends(tmp_path):
    refused = pytest.raises(RunError, match=r"another `reled tune` works in .*search; wait for it")
    with alone_in(tmp_path / "search", "reled tune"), refused, alone_in(tmp_path / "search", "reled tune"):
        pass
    with alone_in(tmp_path / "search", "reled tune"):
        pass


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("gridtown", "gridtown"),
        ("../a b/c", "_a_b_c"),
        ("", "_"),
        ("...", "_"),
        ("/etc", "_etc"),
        ("x" * 300, "x" * 100),
    ],
)
def test_names_of_files_lead_nowhere_else(text, name):
    assert file_name(text) == name


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


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    file = tmp_path / "folder" / "table.csv"
    write_bytes(file, b"old")

    def write():
        with whole_file(file) as temporary:
            temporary.write_bytes(b"half of the new on")
            assert temporary.suffix == ".csv"
            assert is_being_written(temporary)
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write()
    assert file.read_bytes() == b"old"
    assert not is_being_written(file)
    assert list(file.parent.iterdir()) == [file]
