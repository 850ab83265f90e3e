"""The run folder: configuration, versions, metrics and checkpoints, written so that a killed run loses nothing.

RUN/
  config.json            how to repeat the run
  trained_on.json        fingerprint of the scenario, method and seed, which must not change
  versions.json          package versions, platform, git commit
  metrics.csv            one row per finished epoch
  tensorboard/           the same for TensorBoard
  checkpoints/           epoch_00000 (untrained), the last ones and the best one; `latest.json` names the newest
  demonstrations/        per cycle: prompt, reply, programs, feedback, episodes, hashes (`reled demos list RUN`);
                         `failures.json`: which brought nothing, and why
  episodes/              recent agent and expert episodes (.npz)
  figures/               learning curve, DTW and agent_weight, map (.png)
  deployment/            policies as ONNX, after `reled export`
  report.json            the table that training ends with
  evaluation-*.json      answers of `reled evaluate`
  .lock                  held by the process that trains
"""

from __future__ import annotations

import json
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from rllib_releds import keys
from rllib_releds.errors import RunError, going_on, reason
from rllib_releds.experiments.checkpoints import POINTER, kept_checkpoints, newest, pointer
from rllib_releds.experiments.metrics_table import MetricsTable
from rllib_releds.experiments.settings import TrainSettings
from rllib_releds.files import is_locked, is_of_the_moment, locked, write_json
from rllib_releds.versions import PACKAGES, installed

_log = logging.getLogger(__name__)


class RunFolder:
    """Reads and writes one run folder.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()

    @classmethod
    def create(cls, path: Path | str, settings: TrainSettings) -> RunFolder:
        """Make a new run folder.

        Raises:
            RunError: if it exists and is not empty, or cannot be written.
        """
        run = cls(path)
        # Folders alone are left where a disk was full.
        if any(not path.is_dir() and not is_of_the_moment(path.relative_to(run.path)) for path in run.path.rglob("*")):
            raise RunError(
                f"{run.path} exists already. Go on with it by `{going_on(run.path)}`, or give another --out."
            )
        try:
            run.make_folders()
            write_json(run.path / "config.json", settings.model_dump(mode="json"))
            write_json(run.path / "versions.json", versions())
        except OSError as error:
            raise RunError(f"cannot write the run folder {run.path} ({error.strerror}). Give another --out.") from error
        return run

    @classmethod
    def open(cls, path: Path | str) -> RunFolder:
        """Raises RunError if there is no run in the folder."""
        run = cls(path)
        if not (run.path / "config.json").is_file():
            raise RunError(f"{run.path} is not a run folder: it has no config.json. Start one by `reled train --out`.")
        return run

    def make_folders(self) -> None:
        """Those that are written into; they may be there. Raises OSError."""
        for folder in (self.checkpoints, self.figures, self.episodes, self.demonstrations):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def figures(self) -> Path:
        return self.path / "figures"

    @property
    def episodes(self) -> Path:
        return self.path / "episodes"

    @property
    def demonstrations(self) -> Path:
        return self.path / "demonstrations"

    @property
    def failures(self) -> Path:
        return self.demonstrations / "failures.json"

    @property
    def settings(self) -> TrainSettings:
        """Raises RunError if config.json cannot be read, or names what this version does not know."""
        file = self.path / "config.json"
        try:
            return TrainSettings.model_validate_json(file.read_bytes())
        except (OSError, ValueError) as error:
            raise RunError(f"{file} cannot be read ({reason(error)}). Mend it, or begin a new run.") from error

    def report(self) -> dict[str, Any]:
        """What report.json says; nothing if there is none, or a damaged one, which the next report replaces."""
        path = self.path / "report.json"
        try:
            report: dict[str, Any] = json.loads(path.read_text())
        except FileNotFoundError:
            return {}
        except ValueError:
            _log.warning("%s is damaged; the next report replaces it", path)
            return {}
        return report

    def update_settings(self, settings: TrainSettings) -> None:
        """Go on with other settings.

        Raises:
            RunError: if one of them is out of its range, or another process trains the run.
        """
        changed = settings.model_dump(mode="json")
        try:
            # A copy with changes has checked nothing.
            TrainSettings.model_validate(changed)
        except ValidationError as error:
            raise RunError(f"{self.path} cannot go on with that setting ({reason(error)})") from error
        with self.training():
            write_json(self.path / "config.json", changed)

    def training(self) -> AbstractContextManager[None]:
        """Hold the only right to train the run.

        Raises:
            RunError: if another process holds it.
        """
        return locked(self.path / ".lock", f"another process trains {self.path}; wait for its end")

    def is_being_trained(self) -> bool:
        """Whether a process trains it now."""
        return is_locked(self.path / ".lock")

    def save_checkpoint(self, finished_epochs: int, save: Callable[[Path], object]) -> Path:
        """Store the state after `finished_epochs` epochs: complete or not at all.

        Args:
            finished_epochs: number of epochs that the state has behind it; 0 for the untrained state, which is kept.
            save: writes the state into the folder it is given.

        Raises:
            RunError: if it cannot be written (a full disk); the previous checkpoint stays.
        """
        target = self.checkpoint(finished_epochs)
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        # Not by tempfile: others may read the run folder, and would not be let into this one.
        temporary = self.checkpoints / f".writing_{os.getpid()}"
        # In a container that was killed and starts again, processes have the same numbers.
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            temporary.mkdir()
            save(temporary)
            shutil.rmtree(target, ignore_errors=True)
            temporary.rename(target)
            write_json(self.checkpoints / POINTER, pointer(finished_epochs))
        except OSError as error:
            raise RunError(
                f"cannot write checkpoint {target} ({error.strerror}). Mend that, then `{going_on(self.path)}`."
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        self._prune()
        return target

    def checkpoint(self, finished_epochs: int) -> Path:
        return self.checkpoints / f"epoch_{finished_epochs:05d}"

    def has_checkpoint(self) -> bool:
        return (self.checkpoints / POINTER).is_file()

    def latest_checkpoint(self) -> tuple[int, Path]:
        """(finished epochs, folder) of the newest complete checkpoint.

        Raises:
            RunError: if there is none, it is missing or damaged, or another version wrote it.
        """
        if not self.has_checkpoint():
            is_begun = "wait for it" if self.is_being_trained() else f"`{going_on(self.path)}` begins it anew"
            raise RunError(f"{self.path} has no finished checkpoint yet; {is_begun}.")
        return newest(self.checkpoints)

    def best_checkpoint(self) -> tuple[int, Path]:
        """(finished epochs, folder) of the kept checkpoint whose policies earned the highest mean reward.

        The newest policies have not been measured yet: an epoch samples first and updates then. Without any that were,
        the newest ones count.

        Raises:
            RunError: as `latest_checkpoint`.
        """
        latest = self.latest_checkpoint()
        kept = kept_checkpoints(self.checkpoints)
        rewards = {epoch: reward for epoch, reward in self._rewards().items() if epoch in kept}
        if not rewards:
            return latest
        best = max(rewards, key=lambda epoch: rewards[epoch])
        return best, kept[best]

    def finished_epochs(self) -> int:
        """Number of epochs whose result is safe on disk."""
        return self.latest_checkpoint()[0] if self.has_checkpoint() else 0

    def _rewards(self) -> dict[int, float]:
        """Mean reward by epoch: the one numbered e was sampled with the policies after e epochs."""
        columns = MetricsTable(self.path / "metrics.csv").read()
        if not {keys.EPOCH, keys.MEAN_REWARD} <= columns.keys():
            return {}
        rows = zip(columns[keys.EPOCH].tolist(), columns[keys.MEAN_REWARD].tolist(), strict=True)
        return {int(epoch): reward for epoch, reward in rows if np.isfinite(reward)}

    def _prune(self) -> None:
        """Keep the untrained state, the newest ones and the best; remove what a killed process left half-written."""
        for leftover in self.checkpoints.glob(".writing_*"):
            shutil.rmtree(leftover, ignore_errors=True)
        (best, _), (latest, _) = self.best_checkpoint(), self.latest_checkpoint()
        kept = kept_checkpoints(self.checkpoints)
        # A run that went back to an older checkpoint has later ones than its newest: they wait to be trained over.
        trained = [epoch for epoch in kept if epoch <= latest][1:]
        for epoch in trained[: -self.settings.keep_checkpoints]:
            if epoch != best:
                shutil.rmtree(kept[epoch], ignore_errors=True)


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that takes the target's name if all goes well.

    Raises:
        RunError: if the target is not new, or something cannot be written.
    """
    if target.exists():
        raise RunError(f"{target} exists already; give another --out, or remove it")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing_", dir=target.parent) as temporary:
            folder = Path(temporary) / "folder"
            folder.mkdir()
            yield folder
            # Unlike a move it does not go into a folder that another process has made meanwhile.
            folder.rename(target)
    except OSError as error:
        raise RunError(f"cannot write {target} ({error.strerror}); give another --out") from error


def versions() -> dict[str, str | None]:
    """What the run depends on, for the record."""
    packages = {package: installed(package) for package in (*PACKAGES, "litellm")}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        **packages,
        "commit": _commit(),
    }


def _commit() -> str | None:
    """Of this package, if it lies in a checkout of its own and there is git."""
    checkout = Path(__file__).parents[2]
    if not (checkout / ".git").exists():
        return None
    try:
        command = ["git", "describe", "--always", "--dirty"]
        described = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    except OSError:
        # Slim images have no git, and the record is as good without.
        return None
    return described.stdout.strip() or None
