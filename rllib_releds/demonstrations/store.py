"""What a run keeps of each cycle on disk, and replies recorded for replay.

<folder>/cycle_000/prompt.txt reply.txt repair_prompt.txt repair_reply.txt programs/agent_0.py plans.json
                   usage.json feedback.json
<folder>/replies/<hash of model and messages>.json
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rllib_releds.demonstrations.chat import ChatModel, ChatSettings, Message, Reply
from rllib_releds.demonstrations.errors import BadReplyError
from rllib_releds.demonstrations.feedback import CycleFeedback
from rllib_releds.demonstrations.programs import Program
from sumo_marl_env import AgentID, Instruction, Plan


class DemonstrationStore:
    """Writes the artefacts of cycles under one folder, each file complete or not at all.

    Args:
        folder: made when the first file is written.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def cycle_folder(self, cycle: int) -> Path:
        return self.folder / f"cycle_{cycle:03d}"

    def write_conversation(self, cycle: int, name: str, messages: Sequence[Message], reply: str | None) -> None:
        """One request: `<name>prompt.txt`, and `<name>reply.txt` if there was an answer."""
        text = "\n\n".join(f"=== {message.role} ===\n{message.content}" for message in messages)
        write_text(self.cycle_folder(cycle) / f"{name}prompt.txt", text + "\n")
        if reply is not None:
            write_text(self.cycle_folder(cycle) / f"{name}reply.txt", reply)

    def write_programs(self, cycle: int, programs: Mapping[AgentID, Program], names: Mapping[AgentID, str]) -> None:
        for agent, program in programs.items():
            write_text(self.cycle_folder(cycle) / "programs" / f"{names[agent]}.py", program.source)

    def write_plans(self, cycle: int, plans: Mapping[AgentID, Plan]) -> None:
        write_json(self.cycle_folder(cycle) / "plans.json", plans_to_json(plans))

    def write_usage(self, cycle: int, usage: Mapping[str, Any]) -> None:
        write_json(self.cycle_folder(cycle) / "usage.json", usage)

    def write_feedback(self, feedback: CycleFeedback) -> None:
        """What came of a cycle, with the instructions that were really carried out as `plans.json`."""
        write_json(self.cycle_folder(feedback.cycle) / "feedback.json", feedback_to_json(feedback))
        plans = {outcome.agent: Plan(outcome.agent, outcome.instructions) for outcome in feedback.outcomes}
        self.write_plans(feedback.cycle, plans)


@dataclass
class RecordedChat:
    """Asks another model and keeps its replies, so that an experiment can be run again without a key.

    Attributes:
        folder: where the replies lie.
        model: asked for what is not recorded yet; None replays only.
    """

    folder: Path
    model: ChatModel | None = None

    def complete(self, messages: Sequence[Message], settings: ChatSettings) -> Reply:
        """The recorded reply to these messages, else the model's.

        Raises:
            BadReplyError: if nothing is recorded and there is no model to ask.
            ChatError: as the model.
        """
        path = self.folder / f"{conversation_key(messages, settings.model)}.json"
        if path.is_file():
            return Reply(**json.loads(path.read_text(encoding="utf-8"))["reply"])
        if self.model is None:
            raise BadReplyError(f"no recorded reply {path.name} in {self.folder}; record it with a model first")
        reply = self.model.complete(messages, settings)
        write_json(path, {"model": settings.model, "messages": [m.to_dict() for m in messages], "reply": asdict(reply)})
        return reply


def conversation_key(messages: Sequence[Message], model: str) -> str:
    """Hash of the model and the messages."""
    text = json.dumps([model, [message.to_dict() for message in messages]], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def plans_to_json(plans: Mapping[AgentID, Plan]) -> dict[str, list[list]]:
    return {agent: [[i.function, i.target] for i in plan.instructions] for agent, plan in plans.items()}


def plans_from_json(data: Mapping[str, Sequence[Sequence]]) -> dict[AgentID, Plan]:
    """Plans as `plans_to_json` wrote them.

    Raises:
        ValueError: for an unknown instruction.
    """
    return {
        agent: Plan(agent, tuple(Instruction(function, int(target)) for function, target in instructions))
        for agent, instructions in data.items()
    }


def feedback_to_json(feedback: CycleFeedback) -> dict[str, Any]:
    """Everything in the feedback as plain data, for reading."""
    return asdict(feedback) | {"metrics": feedback.metrics()}


def write_json(path: Path, data: Any) -> None:
    write_text(path, json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write the whole file or nothing: a crash leaves the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    temporary.write_text(text, encoding="utf-8", errors="replace")
    temporary.replace(path)
