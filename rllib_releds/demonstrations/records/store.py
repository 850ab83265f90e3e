"""What a run keeps of each cycle on disk; `stored` reads it.

<folder>/cycle_000/prompt.txt reply.txt repair_prompt.txt repair_reply.txt usage.json      by the callback
                   programs/agent_0.py or plans.json                          what was demonstrated
                   instructions.json expert_0.npz expert_1.npz feedback.json  what came of it
                   cycle.json                                                 written last: figures and hashes
<folder>/usage.json       what the model has cost so far, also in cycles that a stopped process lost

Who asks writes what was asked and answered; who runs cycles (training, `refinement`) writes the rest by `write_cycle`.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from rllib_releds.demonstrations.agent_names import names_of
from rllib_releds.demonstrations.answers.programs import Program
from rllib_releds.demonstrations.errors import StoredDemonstrationError
from rllib_releds.demonstrations.feedback import CycleFeedback
from rllib_releds.demonstrations.logit import LogitDemonstrations
from rllib_releds.demonstrations.models.chat import Message, Usage
from rllib_releds.demonstrations.protocol import DemonstrationContext, Demonstrations, SubsetRollout
from rllib_releds.errors import reason
from rllib_releds.files import whole_file, write_json, write_text
from sumo_marl_env import AgentID, Instruction, Plan, Scenario

FORMAT = 2
"""Of `cycle.json`."""


class DemonstrationStore:
    """Writes the artefacts of cycles under one folder, each file complete or not at all.

    Args:
        folder: made when the first file is written.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def cycle_folder(self, cycle: int) -> Path:
        return self.folder / f"cycle_{cycle:03d}"

    def begin(self, cycle: int) -> None:
        """Forget what was left of this cycle and of later ones: by a stopped process, or by an earlier run."""
        for number, folder in cycle_folders(self.folder):
            if number >= cycle:
                shutil.rmtree(folder)

    def write_conversation(self, cycle: int, name: str, messages: Sequence[Message], reply: str | None) -> None:
        """One request: `<name>prompt.txt`, and `<name>reply.txt` if there was an answer."""
        text = "\n\n".join(f"=== {message.role} ===\n{message.content}" for message in messages)
        write_text(self.cycle_folder(cycle) / f"{name}prompt.txt", text + "\n")
        if reply is not None:
            write_text(self.cycle_folder(cycle) / f"{name}reply.txt", reply)

    def write_usage(self, cycle: int, usage: Mapping[str, Any]) -> None:
        write_json(self.cycle_folder(cycle) / "usage.json", usage)

    def write_spent(self, usage: Usage) -> None:
        write_json(self.folder / "usage.json", asdict(usage))

    def spent(self) -> Usage:
        """What `write_spent` wrote last; nothing if it never did.

        Raises:
            StoredDemonstrationError: if the file is damaged.
        """
        file = self.folder / "usage.json"
        if not file.is_file():
            return Usage()
        try:
            return TypeAdapter(Usage).validate_json(file.read_bytes())
        except ValueError as error:
            raise StoredDemonstrationError(
                f"{file} is damaged ({reason(error)}): delete it; requests after the last checkpoint then do not count"
            ) from error

    def write_cycle(
        self,
        context: DemonstrationContext,
        demonstrations: Demonstrations,
        rollouts: Sequence[SubsetRollout],
        feedback: CycleFeedback,
    ) -> None:
        """What was demonstrated and what came of it; `cycle.json` at the end says that the cycle is complete.

        Args:
            context: what the callback was asked with.
            demonstrations: what it answered.
            rollouts: one expert episode per subset.
            feedback: what came of them.
        """
        folder = self.cycle_folder(context.cycle)
        names = names_of([trip.agent for trip in context.trips])
        programs, plans = by_kind(demonstrations.contents)
        limits = demonstrations.limits
        for agent, program in programs.items():
            write_text(folder / "programs" / f"{names[agent]}.py", program.source)
        if plans:
            write_json(folder / "plans.json", plans_to_json(plans))
        carried_out = {one.agent: Plan(one.agent, one.instructions) for one in feedback.outcomes}
        write_json(folder / "instructions.json", plans_to_json(carried_out))
        for row, rollout in enumerate(rollouts):
            with whole_file(folder / f"expert_{row}.npz") as temporary:
                rollout.episode.save(temporary)
        write_json(folder / "feedback.json", asdict(feedback) | {"metrics": feedback.metrics()})
        others = (file for file in folder.rglob("*") if file.is_file() and file.name != "cycle.json")
        files = sorted(file for file in others if not file.name.startswith("."))
        manifest = {
            "format": FORMAT,
            "cycle": context.cycle,
            "epoch": feedback.epoch,
            "scenario": context.scenario,
            "scenario_sha256": _text_hash(rollouts[0].episode.scenario_json),
            "task_sha256": task_hash(context),
            "agents": names,
            "entries": {agent: program.entry for agent, program in programs.items()},
            "missing": dict(demonstrations.missing),
            "unanswered": dict(demonstrations.unanswered),
            "limits": None if limits is None else asdict(limits),
            "logit": asdict(demonstrations) if isinstance(demonstrations, LogitDemonstrations) else None,
            "subsets": [list(rollout.agents) for rollout in rollouts],
            "figures": {**feedback.metrics(), **demonstrations.metrics},
            "files_sha256": {file.relative_to(folder).as_posix(): file_hash(file) for file in files},
        }
        write_json(folder / "cycle.json", manifest)


def cycle_folders(folder: Path) -> list[tuple[int, Path]]:
    """(number, folder) of each cycle, in order; without those that somebody put aside, such as cycle_001.bak."""
    found = ((re.fullmatch(r"cycle_(\d+)", path.name), path) for path in folder.glob("cycle_*"))
    return sorted((int(match[1]), path) for match, path in found if match and path.is_dir())


def task_hash(task: DemonstrationContext | Scenario) -> str:
    """The same for the same roads and trips, wherever their files lie and whatever the traffic."""
    network = task.network
    roads = [network.junction_xy.tolist(), network.edge_ids, network.connections.tolist()]
    return _text_hash(json.dumps([[asdict(trip) for trip in task.trips], roads]))


def _text_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def by_kind(contents: Mapping[AgentID, Program | Plan]) -> tuple[dict[AgentID, Program], dict[AgentID, Plan]]:
    """Programs and plans, which are written apart."""
    programs = {agent: content for agent, content in contents.items() if isinstance(content, Program)}
    plans = {agent: content for agent, content in contents.items() if not isinstance(content, Program)}
    return programs, plans


def plans_to_json(plans: Mapping[AgentID, Plan]) -> dict[str, list[list]]:
    return {agent: [[i.function, i.target] for i in plan.instructions] for agent, plan in plans.items()}


def plans_from_json(
    data: Mapping[str, Sequence[Sequence]], instruction: Callable[[str, int], Any] = Instruction
) -> dict[AgentID, Plan]:
    """Plans as `plans_to_json` wrote them; `instruction` is that of the domain's `FunctionTable`.

    Raises:
        ValueError: for an unknown instruction.
    """
    return {
        agent: Plan(agent, tuple(instruction(function, int(target)) for function, target in instructions))
        for agent, instructions in data.items()
    }
