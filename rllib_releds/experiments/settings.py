"""How to repeat a run: what `reled train` was asked for, as stored in config.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from rllib_releds.demonstrations.models.chat import ChatSettings, demonstrator_settings
from rllib_releds.errors import unknown
from rllib_releds.experiments.methods import METHODS
from rllib_releds.literals import MAX_SEED


class TrainSettings(BaseModel):
    """Settings of one training run.

    Attributes:
        scenario: built-in scenario or scenario file; ignored if `network` is given.
        network: path of an .osm or .net.xml file, absolute.
        demand: moderate, congested, none or a SUMO route file; None is what the scenario says.
        num_agents: vehicles that learn; None is what the scenario says.
        num_training_epochs: K of the paper.
        interaction_steps_per_epoch: decisions sampled per epoch, over all agents.
        method: a name of `METHODS`; IPPO if it wants demonstrations and there are none.
        demonstrations: "offline/planner", a litellm model name, "live", "logit", "stored:FOLDER", or None for nobody;
            methods that fix who demonstrates pass over it.
        llm: settings of the language model by name, as in `ChatSettings`; no keys.
        asynchronous: ask the language model beside training.
        record: folder in which the model's replies are kept, absolute; those that lie there are not asked for again.
        replay: folder of recorded replies that answer in the model's place, absolute.
        seed: of everything that is drawn: weights, traffic, actions, subsets.
        trips_seed: of the origin-destination pairs; None is what the scenario says.
        num_env_runners: Ray actors that sample; 0 samples in the driver.
        minutes: wall-clock limit of one `reled train` or `reled resume`; None for none.
        storage: where the run folder is copied after each checkpoint: a folder or a URI such as s3://bucket/run.
        keep_checkpoints: the newest checkpoints that are kept, beside the untrained and the best one.
        algorithm: further settings of the algorithm's `training`, by name; they replace those of the method.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    scenario: str = "gridtown"
    network: Path | None = None
    demand: str | None = None
    num_agents: int | None = Field(None, ge=1)
    num_training_epochs: int = Field(500, ge=1)
    interaction_steps_per_epoch: int = Field(1000, ge=1)
    method: str = "RELED"
    demonstrations: str | None = "offline/planner"
    llm: dict[str, Any] = Field(default_factory=dict)
    asynchronous: bool = False
    record: Path | None = None
    replay: Path | None = None
    seed: int = Field(0, ge=0, le=MAX_SEED)
    trips_seed: int | None = Field(None, ge=0)
    num_env_runners: int = Field(0, ge=0)
    minutes: float | None = Field(None, gt=0, allow_inf_nan=False)
    storage: str | None = None
    keep_checkpoints: int = Field(2, ge=1)
    algorithm: dict[str, Any] = Field(default_factory=dict)

    @field_validator("method")
    @classmethod
    def _known_method(cls, name: str) -> str:
        if name not in METHODS:
            raise ValueError(unknown("method", name, METHODS))
        return name

    @property
    def demonstrator(self) -> str | None:
        """Who demonstrates in the end."""
        fixed = METHODS[self.method].demonstrations
        return self.demonstrations if fixed == "chosen" else fixed

    @property
    def label(self) -> str:
        """The method, for tables: without demonstrations RELED is IPPO."""
        return "IPPO" if self.method == "RELED" and self.demonstrator is None else self.method

    def chat_settings(self) -> ChatSettings | None:
        """How the language model is called; None without one.

        Raises:
            ValueError: naming the setting that is wrong.
        """
        return demonstrator_settings(self.demonstrator, self.llm)

    def env_config(self) -> dict[str, Any]:
        """Arguments of `sumo_marl_env.parallel_env`."""
        return {
            "scenario": self.scenario,
            "network": None if self.network is None else str(self.network),
            "demand": self.demand,
            "num_agents": self.num_agents,
            "trips_seed": self.trips_seed,
        }
