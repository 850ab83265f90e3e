"""What Tune leaves behind: nothing."""

from rllib_releds.reproduction.running import tune_storage


def test_the_storage_of_tune_is_gone_afterwards(tmp_path):
    with tune_storage(tmp_path) as storage:
        storage.mkdir()
        (storage / "state.json").write_text("{}")
    assert not (tmp_path / ".tune").exists()


def test_what_a_killed_command_left_is_removed(tmp_path):
    left = tmp_path / ".tune" / "left"
    left.mkdir(parents=True)
    with tune_storage(tmp_path) as storage:
        assert storage.parent.is_dir()
        assert not left.exists()


def test_the_storage_of_another_command_is_left_alone(tmp_path, monkeypatch):
    with tune_storage(tmp_path) as first:
        first.mkdir()
        monkeypatch.setattr("os.getpid", lambda: 0)
        with tune_storage(tmp_path) as second:
            assert first.is_dir()
            assert second != first
        assert first.is_dir()
