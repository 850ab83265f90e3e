import json

import pytest

from rllib_releds.demonstrations.models.chat import Message
from rllib_releds.demonstrations.records import store as stores
from rllib_releds.demonstrations.records.store import DemonstrationStore, plans_from_json, plans_to_json
from sumo_marl_env import Instruction, Plan

MESSAGES = [Message("system", "s"), Message("user", "u \u2192 \ud800")]
PLANS = {"vehicle_0": Plan("vehicle_0", (Instruction("move_to_by_shortest_path", 3),))}


def test_plans_survive_a_round_trip():
    assert plans_from_json(json.loads(json.dumps(plans_to_json(PLANS)))) == PLANS


def test_artefacts_go_to_the_folder_of_their_cycle(tmp_path):
    store = DemonstrationStore(tmp_path / "demonstrations")
    store.write_conversation(7, "", MESSAGES, "the reply")
    store.write_usage(7, {"llm_tokens": 3})
    folder = tmp_path / "demonstrations" / "cycle_007"
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == {
        "prompt.txt",
        "reply.txt",
        "usage.json",
    }


def test_a_cycle_begins_without_what_an_earlier_run_left_of_it_and_of_later_ones(tmp_path):
    store = DemonstrationStore(tmp_path)
    for cycle in (0, 1, 2):
        store.write_usage(cycle, {"llm_tokens": cycle})
    (tmp_path / "cycle_002.bak").mkdir()
    store.begin(1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cycle_000", "cycle_002.bak"]


def test_a_crash_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file.txt"
    stores.write_text(path, "old")
    monkeypatch.setattr(stores.Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        stores.write_text(path, "new")
    assert path.read_text() == "old"
