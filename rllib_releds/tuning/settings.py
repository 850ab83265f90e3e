"""What a search was asked for, and the folder that it goes on from.

OUT/
  search.json            what was asked for; the same command goes on, another is refused
  metrics/TRIAL.csv      one row per epoch, with the names of a run's metrics.csv
  replies/               the model's replies, which all trials share (unless --record says where)
  tune/                  Ray Tune's own folder: state of the search, per trial its checkpoints and results
  trials.csv, trials.md, results.json, figures/trials.png
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from rllib_releds.errors import RunError, reason
from rllib_releds.experiments.methods import METHODS
from rllib_releds.experiments.settings import TrainSettings
from rllib_releds.files import is_of_the_moment, write_json

SchedulerName = Literal["asha", "pbt", "none"]


class TuneSettings(BaseModel):
    """Settings of one search.

    Attributes:
        train: what all trials have in common.
        spaces: names of `SPACES`.
        scheduler: "asha" stops bad trials early, "pbt" lets them go on from good ones with other settings, "none" lets
            all train to the end.
        interval: epochs; ASHA's first comparison, or from one exchange of PBT to the next.
        samples: trials.
    """

    model_config = ConfigDict(extra="forbid")

    train: TrainSettings
    spaces: tuple[str, ...]
    scheduler: SchedulerName
    interval: int = Field(ge=1)
    samples: int = Field(ge=1)


def default_spaces(settings: TrainSettings) -> tuple[str, ...]:
    """What is searched if nobody says, by the names of `SPACES`."""
    chosen = METHODS[settings.method]
    if chosen.algorithm == "QMIX":
        return ("values",)
    is_weighted = settings.demonstrator is not None and "weight_rule" not in chosen.training
    return ("learning", "weighting") if is_weighted else ("learning",)


class TuneFolder:
    """The folder of one search.

    Args:
        path: it need not exist.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()

    @property
    def search(self) -> Path:
        return self.path / "search.json"

    @property
    def storage(self) -> Path:
        """Ray Tune's own folder."""
        return self.path / "tune"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics"

    @property
    def replies(self) -> Path:
        return self.path / "replies"

    def clear(self) -> None:
        """Make room for a search that begins.

        Raises:
            RunError: if trials have checkpoints here, but the search's state is lost.
        """
        if any(self.storage.glob("*/checkpoint_*")):
            raise RunError(
                f"the state of the search in {self.storage} is lost, and what its trials trained cannot go on: give "
                f"another --out, or remove {self.path} to begin anew"
            )
        for path in (self.storage, self.metrics):
            shutil.rmtree(path, ignore_errors=True)

    def begin(self, settings: TuneSettings, scenario_sha256: str) -> None:
        """Note what is asked for, or check that it is what was asked for before.

        Args:
            settings: of the search.
            scenario_sha256: `Scenario.fingerprint` of what its trials are trained on.

        Raises:
            RunError: if it is not, or the folder is something else.
        """
        if self.search.is_file():
            place, scenario, begun = self._begun()
            if place != str(self.path):
                raise RunError(
                    f"this search was begun in {place}, which Ray Tune's own files name, too: move it back there, or "
                    "give another --out."
                )
            if begun != settings:
                raise RunError(
                    f"{self.path} was begun with other settings (its search.json). "
                    "Repeat that command, or give another --out."
                )
            if scenario not in (None, scenario_sha256):
                raise RunError(
                    f"{self.path} was begun on another scenario: the scenario file, the network or the traffic has "
                    "changed since. Put that back, or give another --out."
                )
            return
        there = self.path.iterdir() if self.path.is_dir() else ()
        if not all(is_of_the_moment(path.relative_to(self.path)) for path in there):
            raise RunError(f"{self.path} is not empty and holds no search. Give another --out.")
        self.path.mkdir(parents=True, exist_ok=True)
        asked = settings.model_dump(mode="json")
        write_json(self.search, {"out": str(self.path), "scenario_sha256": scenario_sha256, **asked})

    def _begun(self) -> tuple[str, str | None, TuneSettings]:
        """Where it was begun, on which scenario if that was noted, and with which settings."""
        try:
            stored = json.loads(self.search.read_bytes())
            return stored.pop("out"), stored.pop("scenario_sha256", None), TuneSettings.model_validate(stored)
        except (ValueError, KeyError, AttributeError) as error:
            raise RunError(
                f"{self.search} cannot be read ({reason(error)}). Mend it, or give another --out."
            ) from error
