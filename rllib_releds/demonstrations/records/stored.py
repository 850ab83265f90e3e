"""Reads what `store` wrote: cycles, their demonstrations and episodes; and a callback that demonstrates them again."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

from rllib_releds.demonstrations.answers.programs import Program
from rllib_releds.demonstrations.demonstrators import GivenDemonstrations, check_contents
from rllib_releds.demonstrations.errors import StoredDemonstrationError
from rllib_releds.demonstrations.execution.limits import SandboxLimits
from rllib_releds.demonstrations.logit import LogitDemonstrations
from rllib_releds.demonstrations.protocol import DemonstrationCallback, DemonstrationContext, Demonstrations
from rllib_releds.demonstrations.records.store import (
    FORMAT,
    DemonstrationStore,
    cycle_folders,
    file_hash,
    plans_from_json,
    task_hash,
)
from sumo_marl_env import AgentID, Episode, Plan, Scenario


class StoredCycle:
    """One cycle on disk.

    Args:
        folder: such as `run/demonstrations/cycle_000`.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    @property
    def number(self) -> int:
        return int(self.folder.name.removeprefix("cycle_"))

    @property
    def is_complete(self) -> bool:
        """Whether its demonstrations were carried out; a model that failed, or a stopped process, leaves less."""
        return (self.folder / "cycle.json").is_file()

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Content of `cycle.json`.

        Raises:
            StoredDemonstrationError: if the cycle is not complete, or of another version.
        """
        if not self.is_complete:
            raise StoredDemonstrationError(f"{self.folder} has no cycle.json: it was not carried out to its end")
        manifest = self.json("cycle.json")
        if not isinstance(manifest, dict) or not isinstance(manifest.get("format"), int):
            raise _damaged(self.folder / "cycle.json", "it names no format")
        if manifest["format"] != FORMAT:
            raise StoredDemonstrationError(
                f"{self.folder} has format {manifest['format']}, and this version of the package reads {FORMAT}"
            )
        return manifest

    @property
    def names(self) -> dict[AgentID, str]:
        """What each agent is called in prompts and programs."""
        return self.manifest["agents"]

    @property
    def usage(self) -> dict[str, Any]:
        """What asking cost; empty for rules."""
        return self.json("usage.json", {})

    @property
    def feedback(self) -> dict[str, Any]:
        """What came of it, as plain data."""
        return self.json("feedback.json", {})

    @property
    def outcomes(self) -> dict[AgentID, dict[str, Any]]:
        """What came of each agent."""
        return {one["agent"]: one for one in self.feedback.get("outcomes", [])}

    @property
    def plans(self) -> dict[AgentID, Plan]:
        """The plans that were given, of agents without programs."""
        return self._plans("plans.json")

    @property
    def instructions(self) -> dict[AgentID, Plan]:
        """The instructions that were carried out."""
        return self._plans("instructions.json")

    @property
    def programs(self) -> dict[AgentID, Program]:
        entries = self.manifest["entries"]
        return {agent: Program(agent, self.text(self._program_file(agent)), entries[agent]) for agent in entries}

    def demonstrations(self) -> Demonstrations:
        """What was demonstrated, ready to be carried out again.

        Raises:
            StoredDemonstrationError: if it was neither programs nor plans nor the logit rule.
        """
        manifest = self.manifest
        if manifest["logit"] is not None:
            return LogitDemonstrations(**manifest["logit"])
        contents: dict[AgentID, Program | Plan] = {**self.plans, **self.programs}
        if not contents and not manifest["missing"]:
            raise StoredDemonstrationError(f"{self.folder} holds neither programs nor plans: a rule of one's own drove")
        try:
            limits = SandboxLimits(**(manifest["limits"] or {}))
        except TypeError as error:
            raise _damaged(self.folder / "cycle.json", error) from error
        unanswered = manifest.get("unanswered", {})
        return GivenDemonstrations(contents, manifest["missing"], limits, unanswered=unanswered)

    def episodes(self) -> list[tuple[tuple[AgentID, ...], Episode]]:
        """Per subset, the agents that followed their demonstrations and what everybody did. Raises EpisodeError."""
        subsets = enumerate(self.manifest["subsets"])
        return [(tuple(agents), Episode.load(self.folder / f"expert_{row}.npz")) for row, agents in subsets]

    def changed_files(self) -> list[str]:
        """Files that are no longer what they were."""
        hashes = self.manifest["files_sha256"]
        files = {name: self.folder / name for name in hashes}
        return [name for name, file in files.items() if not file.is_file() or file_hash(file) != hashes[name]]

    def demonstrated(self, agent: AgentID) -> str:
        """An agent's program, or its plan, one instruction per line; "" if it has neither."""
        if agent in self.manifest["entries"]:
            return self.text(self._program_file(agent))
        plan = self.plans.get(agent)
        return "" if plan is None else "\n".join(map(str, plan.instructions)) + "\n"

    def text(self, name: str) -> str:
        """Content of a file; "" if there is none."""
        path = self.folder / name
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    def json(self, name: str, default: Any = None) -> Any:
        """Content of a .json file; `default` if there is none. Raises StoredDemonstrationError if it is damaged."""
        path = self.folder / name
        if not path.is_file():
            return default
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise _damaged(path, error) from error

    def _plans(self, name: str) -> dict[AgentID, Plan]:
        try:
            return plans_from_json(self.json(name, {}))
        except (ValueError, TypeError, AttributeError) as error:
            raise _damaged(self.folder / name, error) from error

    def _program_file(self, agent: AgentID) -> str:
        return f"programs/{self.names[agent]}.py"


def _damaged(path: Path, why: object) -> StoredDemonstrationError:
    return StoredDemonstrationError(f"{path} is damaged ({why}); make the cycle anew")


def stored_cycles(folder: Path | str) -> list[StoredCycle]:
    """All cycles in a folder, in their order.

    Args:
        folder: what `reled demos make` or `reled train` wrote, its `demonstrations` folder, or one cycle's folder.

    Raises:
        StoredDemonstrationError: if there are none.
    """
    folder = Path(folder)
    if folder in (itself for _, itself in cycle_folders(folder.parent)):
        return [StoredCycle(folder)]
    for place in (folder, folder / "demonstrations"):
        if found := cycle_folders(place):
            return [StoredCycle(path) for _, path in found]
    raise StoredDemonstrationError(
        f"there are no demonstrations in {folder}: give a folder of `reled demos make`, a run folder, or one cycle_NNN"
    )


def stored_cycle(folder: Path | str, number: int) -> StoredCycle:
    """One cycle by its number. Raises StoredDemonstrationError, naming those that are there."""
    cycles = {cycle.number: cycle for cycle in stored_cycles(folder)}
    if number not in cycles:
        known = f"{min(cycles)} to {max(cycles)}"
        raise StoredDemonstrationError(f"there is no cycle {number} in {folder}; there are {known}")
    return cycles[number]


class StoredCallback(DemonstrationCallback):
    """Demonstrates stored cycles again, in each epoch the one that was in use then: the last of those asked for so far.

    So each gives again what was tried in it, also what the gate of that run did not keep; and cycles of `reled demos
    make`, one in each epoch, are as refined as if there had been one in each epoch before.

    Args:
        folder: as of `stored_cycles`; of one cycle's folder that cycle is demonstrated always.
        store: where artefacts of each cycle go; None writes nothing.

    Raises:
        StoredDemonstrationError: if no cycle in it is complete.
        ValueError: if the artefacts would replace the demonstrations to give again.
    """

    def __init__(self, folder: Path | str, store: DemonstrationStore | None = None) -> None:
        self.cycles = [cycle for cycle in stored_cycles(folder) if cycle.is_complete]
        if not self.cycles:
            raise StoredDemonstrationError(f"no cycle in {folder} is complete: nothing to demonstrate")
        if store is not None:
            self.keep_in(store)

    def keep_in(self, store: DemonstrationStore) -> None:
        if any(cycle.folder.resolve().parent == store.folder.resolve() for cycle in self.cycles):
            raise ValueError(f"{store.folder} holds the demonstrations to give again, and would be overwritten")
        self.store = store

    def check(self, scenario: Scenario) -> None:
        """Raises StoredDemonstrationError on other roads or with other trips: junctions have other numbers there."""
        task = task_hash(scenario)
        for cycle in self.cycles:
            _refuse_another_task(cycle, task, scenario.name)

    def __call__(self, context: DemonstrationContext) -> Demonstrations:
        """Raises StoredDemonstrationError as `check` does, and ValueError for files that were changed into no plans."""
        begun = [cycle for cycle in self.cycles if cycle.manifest["epoch"] <= context.epoch]
        stored = begun[-1] if begun else self.cycles[0]
        _refuse_another_task(stored, task_hash(context), context.scenario)
        demonstrations = stored.demonstrations()
        check_contents(demonstrations.contents, context)
        return demonstrations


def _refuse_another_task(cycle: StoredCycle, task: str, name: str) -> None:
    if cycle.manifest["task_sha256"] != task:
        raise StoredDemonstrationError(
            f"the demonstrations in {cycle.folder} are for other roads or trips ({cycle.manifest['scenario']}); "
            f"here it is {name}. Roads, origins, destinations and departures must be equal"
        )
