"""What happened in one episode: immutable records with checked shapes, and a .npz round trip without pickle."""

from __future__ import annotations

import io
import json
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sumo_marl_env.errors import EpisodeError
from sumo_marl_env.files import plain_number, write_whole
from sumo_marl_env.types import AgentID, Exit, NodeID, Remade, Trip

_ARRAYS = {
    "observations": np.float32,
    "action_masks": np.int8,
    "actions": np.int64,
    "rewards": np.float32,
    "decision_steps": np.int32,
    "decision_times_s": np.float32,
    "junctions": np.int32,
    "edges": np.int32,
    "chosen_actions": np.int64,
    "decision_edges": np.int32,
}


@dataclass(frozen=True, eq=False)
class AgentTrajectory(Remade):
    """One agent's decisions in one episode: n decisions, p junctions passed.

    Attributes:
        trip: the agent's task.
        observations: (n, obs_dim) float32, the observation at each decision.
        action_masks: (n, m_out) int8, the valid slots at each decision.
        actions: (n,) int64, the chosen slot. If the simulation had to deviate from it (a vehicle trapped in the wrong
            lane), the slot that was executed.
        rewards: (n,) float32, reward from each decision to the next one, or to the end of the episode.
        decision_steps: (n,) int32, environment step (row of `Episode.rewards`) that follows each decision.
        decision_times_s: (n,) float32, simulated time of each decision.
        junctions: (p,) int32, junctions passed, from the origin on: where each of `edges` begins, and the destination
            of an agent that arrived.
        exit: why the agent's episode ended.
        travel_time_s: arrival minus the trip's departure time; for an agent that did not arrive, the time until it left
            or the horizon. SUMO's own duration and departDelay add up to it.
        edges: (k,) int32, edges driven, from the origin edge to the one it was on at the end.
        departed_s: when SUMO inserted the vehicle, at `trip.depart_s` or later; None if it never did.
        chosen_actions: (n,) int64, the slot given to the env, which a replay must give it again; by default `actions`.
        decision_edges: (n,) int32, row of `edges` that the vehicle was on at each decision, which is also the row of
            `junctions` behind it; by default one after the other, as on maps whose edges all are long enough.
        undecided_reward: of an agent that never came to a decision, as one that never found room to start; else 0. The
            `Episode` that the trajectory is part of fills it in.
    """

    trip: Trip
    observations: NDArray[np.float32]
    action_masks: NDArray[np.int8]
    actions: NDArray[np.int64]
    rewards: NDArray[np.float32]
    decision_steps: NDArray[np.int32]
    decision_times_s: NDArray[np.float32]
    junctions: NDArray[np.int32]
    exit: Exit
    travel_time_s: float
    edges: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    departed_s: float | None = None
    chosen_actions: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    decision_edges: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    undecided_reward: float = 0.0

    def __post_init__(self) -> None:
        if not len(self.chosen_actions):
            object.__setattr__(self, "chosen_actions", self.actions)
        if not len(self.decision_edges):
            object.__setattr__(self, "decision_edges", np.arange(len(self.actions)))
        for name, dtype in _ARRAYS.items():
            # A view: the caller's own array stays writeable.
            array = np.asarray(getattr(self, name), dtype=dtype).view()
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        n = len(self.actions)
        for name in _ARRAYS.keys() - {"junctions", "edges"}:
            if len(getattr(self, name)) != n:
                raise ValueError(f"{name} has {len(getattr(self, name))} rows, actions has {n}")

    @property
    def agent(self) -> AgentID:
        return self.trip.agent

    @property
    def arrived(self) -> bool:
        return self.exit == Exit.ARRIVED

    @property
    def total_reward(self) -> float:
        """Undiscounted return, also of an agent that never came to a decision."""
        return float(self.rewards.sum(dtype=np.float64)) + self.undecided_reward

    def path(self) -> tuple[NodeID, ...]:
        return tuple(int(junction) for junction in self.junctions)


@dataclass(frozen=True, eq=False)
class Episode(Remade):
    """One episode of all agents.

    Attributes:
        scenario: name of the scenario.
        seed: the seed the episode was reset with.
        trajectories: one per agent, in the order of `possible_agents`.
        rewards: (T, n) float32, reward of each agent in each environment step.
        times_s: (T,) float32, simulated time at the end of each environment step.
        scenario_json: the scenario itself (`Scenario.as_json`), so that the episode can be simulated again; "" if it
            is not known.
        sumo_options: further options of SUMO with which vehicles drive as they did then.
    """

    scenario: str
    seed: int
    trajectories: tuple[AgentTrajectory, ...]
    rewards: NDArray[np.float32]
    times_s: NDArray[np.float32]
    scenario_json: str = ""
    sumo_options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("rewards", "times_s"):
            array = np.asarray(getattr(self, name), dtype=np.float32).view()
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        expected = (len(self.times_s), len(self.trajectories))
        if self.rewards.shape != expected:
            raise ValueError(f"rewards has shape {self.rewards.shape}, expected (steps, agents) = {expected}")
        returns = self.rewards.sum(axis=0, dtype=np.float64)
        trajectories = (
            trajectory if len(trajectory.actions) else replace(trajectory, undecided_reward=float(total))
            for trajectory, total in zip(self.trajectories, returns, strict=True)
        )
        object.__setattr__(self, "trajectories", tuple(trajectories))

    def __iter__(self) -> Iterator[AgentTrajectory]:
        return iter(self.trajectories)

    def __getitem__(self, agent: AgentID) -> AgentTrajectory:
        for trajectory in self.trajectories:
            if trajectory.agent == agent:
                return trajectory
        raise KeyError(f"no agent {agent!r} in this episode; it has {[t.agent for t in self.trajectories]}")

    @property
    def mean_reward(self) -> float:
        """Mean undiscounted return over agents, also of those that never came to a decision."""
        return float(self.rewards.sum(axis=0, dtype=np.float64).mean())

    @property
    def mean_travel_time_s(self) -> float:
        """Mean over all agents; unfinished trips count with the time they had used."""
        return float(np.mean([t.travel_time_s for t in self.trajectories]))

    @property
    def arrival_rate(self) -> float:
        return float(np.mean([t.arrived for t in self.trajectories]))

    def count(self, exit: Exit) -> int:
        """How many agents ended for this reason."""
        return sum(t.exit == exit for t in self.trajectories)

    def save(self, path: Path | str) -> None:
        """Write to `path` as .npz (plain arrays and one JSON string, readable without pickle). Raises OSError."""
        header = {
            "scenario": self.scenario,
            "scenario_json": self.scenario_json,
            "sumo_options": self.sumo_options,
            "seed": self.seed,
            "agents": [
                {
                    "trip": asdict(t.trip),
                    "exit": str(t.exit),
                    "travel_time_s": t.travel_time_s,
                    "departed_s": t.departed_s,
                }
                for t in self.trajectories
            ],
        }
        arrays: dict[str, NDArray] = {
            f"{index}.{name}": getattr(t, name) for index, t in enumerate(self.trajectories) for name in _ARRAYS
        }
        content = io.BytesIO()
        np.savez_compressed(
            content,
            allow_pickle=False,
            header=json.dumps(header, default=plain_number),
            rewards=self.rewards,
            times_s=self.times_s,
            **arrays,
        )
        write_whole(Path(path), content.getvalue())

    @classmethod
    def load(cls, path: Path | str) -> Episode:
        """Read a file of `save`.

        Raises:
            EpisodeError: if there is no such file, or it is another one.
        """
        try:
            return cls._load(path)
        except FileNotFoundError:
            raise EpisodeError(f"no such episode file: {path}") from None
        except IsADirectoryError:
            raise EpisodeError(f"{path} is a folder; give one of the .npz files in it or below") from None
        # A damaged archive may also ask for a compression that does not exist; numpy reads its headers as Python.
        except (
            *(OSError, EOFError, ValueError, KeyError, TypeError, NotImplementedError),
            *(zipfile.BadZipFile, zlib.error, SyntaxError, tokenize.TokenError),
        ) as error:
            raise EpisodeError(
                f"{path} is not an episode of this package, or it is damaged; give a .npz file that Episode.save wrote"
            ) from error

    @classmethod
    def _load(cls, path: Path | str) -> Episode:
        with np.load(path, allow_pickle=False) as data:
            header = json.loads(str(data["header"]))
            trajectories = tuple(
                AgentTrajectory(
                    trip=Trip(**agent["trip"]),
                    exit=Exit(agent["exit"]),
                    travel_time_s=agent["travel_time_s"],
                    departed_s=agent["departed_s"],
                    # Files of earlier versions have no chosen actions, or no edges of decisions.
                    **{name: data[f"{index}.{name}"] for name in _ARRAYS if f"{index}.{name}" in data},
                )
                for index, agent in enumerate(header["agents"])
            )
            rewards, times_s = data["rewards"], data["times_s"]
            scenario_json, sumo_options = header.get("scenario_json", ""), tuple(header.get("sumo_options", ()))
            return cls(header["scenario"], header["seed"], trajectories, rewards, times_s, scenario_json, sumo_options)
