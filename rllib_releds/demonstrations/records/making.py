"""Makes and refines demonstrations without training, into a folder that a stopped process goes on with.

<folder>/demos.json       what was asked for
         state.pickle     after the last finished cycle
         demonstrations/  as in a training run
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from rllib_releds.demonstrations.callbacks import make_callback
from rllib_releds.demonstrations.errors import StoredDemonstrationError
from rllib_releds.demonstrations.models.chat import demonstrator_settings, that_decide
from rllib_releds.demonstrations.models.providers import check_provider
from rllib_releds.demonstrations.records.stored import StoredCycle, stored_cycles
from rllib_releds.demonstrations.refinement import Refinement
from rllib_releds.files import alone_in, is_of_the_moment, write_bytes, write_json
from sumo_marl_env import parallel_env

Progress = Callable[[StoredCycle], None]


class DemosSettings(BaseModel):
    """What decides which demonstrations are made.

    Attributes:
        scenario: built-in scenario or scenario file, absolute.
        network: path of an .osm or .net.xml file instead, absolute.
        demand: background traffic; None is what the scenario says.
        num_agents: None is what the scenario says.
        model: as of `make_callback`, by name.
        llm: settings of the language model by name; no keys.
        refine: False sends the initial prompt again in every cycle.
        interfaces: False asks for node-by-node routes.
        stationarity: False leaves validity and reward alone in the feedback, as LEED does.
        gate: False replaces every version by its revision, as the paper does.
        num_subsets: subsets per cycle (m).
        seed: of traffic, partitions and draws.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    scenario: str = "gridtown"
    network: Path | None = None
    demand: str | None = None
    num_agents: int | None = Field(None, ge=1)
    model: str = "offline/planner"
    llm: dict[str, Any] = Field(default_factory=dict)
    refine: bool = True
    interfaces: bool = True
    stationarity: bool = True
    gate: bool = True
    num_subsets: int = Field(2, ge=1)
    seed: int = Field(0, ge=0)


def make_demonstrations(
    folder: Path | str,
    settings: DemosSettings,
    cycles: int,
    *,
    record: Path | str | None = None,
    replay: Path | str | None = None,
    progress: Progress | None = None,
) -> list[StoredCycle]:
    """Run cycles until there are `cycles` of them in the folder.

    Args:
        folder: a new one, or one to go on with.
        settings: as before, if it is one to go on with; `LATER_SETTINGS` of the model may change.
        cycles: in all, with those that are there.
        record: folder in which the model's replies are kept.
        replay: folder of recorded replies that answer in the model's place.
        progress: told of each finished cycle.

    Returns:
        All cycles of the folder, in their order.

    Raises:
        StoredDemonstrationError: if the folder holds something else, its files are damaged, or the settings are wrong.
        RunError: if another process works in the folder.
        ChatError: if nobody knows the model's provider, or the model cannot be asked; the cycle is made when it can be.
        RoutingError: if the scenario is wrong.
    """
    folder = Path(folder)
    callback = _callback(settings, folder / "demonstrations", record, replay)
    env = parallel_env(
        scenario=settings.scenario, network=settings.network, demand=settings.demand, num_agents=settings.num_agents
    )
    try:
        # Wrong settings leave nothing behind; the lock makes the folder.
        with alone_in(folder, "reled demos"):
            _claim(folder, settings, env.scenario.fingerprint)
            made = Refinement(env, callback, num_subsets=settings.num_subsets, gate=settings.gate, seed=settings.seed)
            state = folder / "state.pickle"
            if state.is_file():
                made.set_state(_state(state))
            while made.num_cycles < cycles:
                number = made.num_cycles
                made.cycle()
                write_bytes(state, pickle.dumps(made.get_state()))
                if progress is not None:
                    progress(StoredCycle(folder / "demonstrations" / f"cycle_{number:03d}"))
    finally:
        env.close()
    return stored_cycles(folder)


def _callback(settings: DemosSettings, folder: Path, record: Path | str | None, replay: Path | str | None) -> Any:
    try:
        chat = demonstrator_settings(settings.model, settings.llm)
        if chat is not None and replay is None:
            check_provider(chat)
        return make_callback(
            settings.model,
            settings=chat,
            refine=settings.refine,
            interfaces=settings.interfaces,
            stationarity=settings.stationarity,
            folder=folder,
            record=record,
            replay=replay,
            must_answer=True,
        )
    except ValueError as error:
        raise StoredDemonstrationError(str(error)) from error


def _claim(folder: Path, settings: DemosSettings, fingerprint: str) -> None:
    """Write the settings into a new folder, or see that they and the scenario are those of an old one."""
    file, wanted = folder / "demos.json", {**settings.model_dump(mode="json"), "scenario_sha256": fingerprint}
    if not file.is_file():
        # A process that was killed at this very moment leaves its half-written file.
        if not all(is_of_the_moment(path.relative_to(folder)) for path in folder.iterdir()):
            raise StoredDemonstrationError(f"{folder} holds something else than demonstrations; give another --out")
        write_json(file, wanted)
        return
    known = _settings(file)
    other = [name for name in wanted if _that_decides(name, known.get(name)) != _that_decides(name, wanted[name])]
    if other == ["scenario_sha256"]:
        raise StoredDemonstrationError(
            f"the network, trips or traffic of {settings.network or settings.scenario} are not those with which "
            f"{folder} was begun: bring them back, or give another --out"
        )
    if other:
        was = ", ".join(f"{name}={known.get(name)!r}" for name in other)
        raise StoredDemonstrationError(
            f"{folder} was begun with {was}: go on with the same settings, or give another --out"
        )
    if known != wanted:
        # Another budget or time limit.
        write_json(file, wanted)


def _that_decides(name: str, value: Any) -> Any:
    """The part of a setting that demonstrations depend on."""
    return that_decide(value) if name == "llm" and isinstance(value, dict) else value


def _settings(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise _damaged(file, error) from error


def _state(file: Path) -> Any:
    try:
        return pickle.loads(file.read_bytes())
    except Exception as error:  # a file that is cut off or overwritten raises almost anything
        raise _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> StoredDemonstrationError:
    return StoredDemonstrationError(
        f"{file} is damaged ({error or type(error).__name__}): delete {file.parent}, or give another --out"
    )
