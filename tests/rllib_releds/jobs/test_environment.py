"""What goes along with a job, without a cluster."""

import subprocess
import sys

import pytest

from rllib_releds.errors import RunError
from rllib_releds.jobs.environment import model_keys, needs, requirements, runtime_environment, stage_packages


def test_the_packages_that_are_sent_work_alone_and_have_the_towns(tmp_path):
    stage_packages(tmp_path)
    program = "import sumo_marl_env as s, rllib_releds.jobs.nodes as n; print(s.__file__, s.make_scenario().name)"
    result = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert result.stdout.split() == [str(tmp_path / "sumo_marl_env" / "__init__.py"), "gridtown-moderate"]


def test_nodes_install_the_versions_that_are_installed_here():
    pinned = dict(line.split("==") for line in requirements())
    assert {"libsumo", "eclipse-sumo", "torch", "ray[default,rllib]"} <= set(pinned)
    assert not {"pytest", "ruff", "mypy"} & set(pinned)
    assert not any("+" in version for version in pinned.values()), "what an index does not have"


def test_files_of_the_users_become_the_jobs_folder(tmp_path):
    mine, staging = tmp_path / "mine", tmp_path / "staging"
    mine.mkdir()
    environment = runtime_environment(staging, mine, is_installing=False)
    assert environment["working_dir"] == str(mine)
    assert [folder.split("/")[-1] for folder in environment["py_modules"]] == ["sumo_marl_env", "rllib_releds"]
    assert "pip" not in environment


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({"llm": "openai/gpt-3.5-turbo"}, {"OPENAI_API_KEY"}),
        ({"llm": "openai/gpt-3.5-turbo", "llm_option": ["key_variable=MINE"]}, {"MINE"}),
        ({"llm": ["openai/x", "anthropic/x"]}, {"OPENAI_API_KEY", "ANTHROPIC_API_KEY"}),
        ({"llm": "openai/gpt-3.5-turbo", "replay": "recorded"}, set()),
        ({"llm": "offline/planner"}, set()),
        ({"llm": "live"}, set()),
        ({}, set()),
    ],
)
def test_only_the_keys_of_the_chosen_models_are_sent(options, sent, monkeypatch):
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "MISTRAL_API_KEY", "MINE"):
        monkeypatch.setenv(name, "sk-made-up")
    assert set(model_keys(options, [])) == sent
    assert set(model_keys(options, ["MISTRAL_API_KEY"])) == sent | {"MISTRAL_API_KEY"}


def test_an_unknown_provider_is_an_error_of_ours():
    with pytest.raises(RunError, match="unknown model 'nobody/x'"):
        model_keys({"llm": "nobody/x"}, [])


def test_the_check_looks_for_the_models_server_and_the_folder_of_the_run(monkeypatch):
    monkeypatch.delenv("OPENAI_API_BASE", raising=False)
    wanted = needs({"llm": "openai/x", "out": None})
    assert (wanted["servers"], wanted["storage"]) == (["https://api.openai.com/v1"], "runs")
    own = needs({"llm": "openai/x", "llm_option": ["api_base=http://localhost:1/v1"], "out": "/mnt/runs/first"})
    assert (own["servers"], own["storage"]) == (["http://localhost:1/v1"], "/mnt/runs/first")
    shared = needs({"llm": "none", "out": "/mnt/runs/first", "storage": "s3://bucket/first"})
    assert shared["storage"] == "s3://bucket/first"
    monkeypatch.setenv("OPENAI_BASE_URL", "https://user:secret-password@gateway.example:8443/v1")
    assert needs({"llm": "openai/x", "out": None})["servers"] == ["https://gateway.example:8443/v1"]
