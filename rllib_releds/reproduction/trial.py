"""One trial of the comparison: which method learns where, and what came out of it."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, Field

from rllib_releds.literals import MAX_SEED, EncoderName


class Trial(BaseModel):
    """What one training run is asked for. Equal trials have equal names, and so the same folder.

    Attributes:
        method: a name of `METHODS`.
        scenario: built-in scenario, scenario file, or a map (.osm, .net.xml).
        demand: background traffic; None is what the scenario says.
        num_agents: vehicles that learn.
        encoder: what the networks see.
        seed: of weights, traffic, actions and subsets; trips are the scenario's, the same for all seeds and methods.
        num_epochs: training epochs.
        interaction_steps_per_epoch: decisions per epoch, over all agents.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str
    scenario: str = "gridtown"
    demand: str | None = "moderate"
    num_agents: int = Field(10, ge=1)
    encoder: EncoderName = "combined"
    seed: int = Field(0, ge=0, le=MAX_SEED)
    num_epochs: int = Field(100, ge=1)
    interaction_steps_per_epoch: int = Field(1000, ge=1)

    @property
    def setting(self) -> str:
        """Where it learns: what trials must share to be compared. Also the name of the yardsticks' file."""
        return "_".join([*self._place, f"{self.num_agents}-agents"])

    @property
    def title(self) -> str:
        """The setting for people: "gridtown, moderate, 10 agents"."""
        return ", ".join([*self._place, f"{self.num_agents} agents"])

    @property
    def place(self) -> str:
        """The scenario by its name alone: results of a map count as one, wherever the map lay."""
        return _stem(self.scenario)

    @property
    def _place(self) -> list[str]:
        return [self.place, *([_stem(self.demand)] if self.demand else [])]

    @property
    def num_steps(self) -> int:
        """Interaction steps in all."""
        return self.num_epochs * self.interaction_steps_per_epoch

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.setting}_{self.encoder}_{self.method}_{self.num_steps}-steps_seed-{self.seed}"


class Evaluation(BaseModel):
    """Episodes of one driver on fresh background seeds, equal for all methods and yardsticks of a setting.

    Every list has one entry per episode: the mean over its agents.

    Attributes:
        seeds: background seeds.
        rewards: undiscounted returns.
        travel_times_s: with the time used by agents that did not arrive.
        arrival_rates: in [0, 1].
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seeds: tuple[int, ...]
    rewards: tuple[float, ...]
    travel_times_s: tuple[float, ...]
    arrival_rates: tuple[float, ...]


class Curve(BaseModel):
    """Training, one entry per epoch; None where an epoch has no such figure. Policies are drawn from, not greedy.

    Attributes:
        interaction_steps: of all agents so far, without those of expert episodes.
        expert_interaction_steps: of all agents in expert episodes so far.
        rewards: mean over agents and episodes of the epoch.
        travel_times_s: the same.
        arrival_rates: the same.
        wall_s: wall seconds of training so far, demonstrations included.
        dtw_m: mean DTW distance between own and demonstrated paths.
        expert_rewards: of the demonstrations.
        agent_weights: mean alpha of Eq. 30.
        epochs: of each entry, as kept copies are means of several; empty where each is one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    interaction_steps: tuple[float, ...]
    expert_interaction_steps: tuple[float | None, ...]
    rewards: tuple[float, ...]
    travel_times_s: tuple[float, ...]
    arrival_rates: tuple[float, ...]
    wall_s: tuple[float, ...]
    dtw_m: tuple[float | None, ...]
    expert_rewards: tuple[float | None, ...]
    agent_weights: tuple[float | None, ...]
    epochs: tuple[int, ...] = ()


class TrialResult(BaseModel):
    """What came out of a trial: `result.json` in its folder, and in the kept results.

    Attributes:
        trial: what was asked for.
        scenario_sha256: `Scenario.fingerprint` of what it learnt on; None in results of earlier versions.
        demonstrator: who demonstrated, as in `reled train --llm`; None for nobody.
        curve: training.
        greedy: the final policies, most probable actions.
        sampled: the final policies, drawn actions.
        wall_s: wall seconds of training.
        simulation_wall_s: of these, inside SUMO.
        agent_edge_counts: {edge id: how often agents entered it} in the last episodes of training.
        expert_edge_counts: the same in the last expert episodes, demonstrated agents only; empty without any.
        versions: of packages, and the git commit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    trial: Trial
    scenario_sha256: str | None = None
    demonstrator: str | None = None
    curve: Curve
    greedy: Evaluation
    sampled: Evaluation
    wall_s: float
    simulation_wall_s: float
    agent_edge_counts: dict[str, int]
    expert_edge_counts: dict[str, int]
    versions: dict[str, str | None]


class Yardsticks(BaseModel):
    """Simple drivers in one setting, on the seeds of the trials' evaluations.

    Attributes:
        setting: `Trial.setting`.
        drivers: by name of `YARDSTICKS` ("random", "free_flow", "live", "rerouting").
        scenario_sha256: as of `TrialResult`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    setting: str
    drivers: dict[str, Evaluation]
    scenario_sha256: str | None = None


def _stem(name: str) -> str:
    """A file's name without folder and suffixes; anything else as it is."""
    return re.sub(r"(\.net)?\.(osm|xml|json)$", "", name.rsplit("/", 1)[-1])
