"""Runs a search through Ray Tune, from where it stands."""

from __future__ import annotations

import json
import pickle
from typing import Any

from ray import tune
from ray.tune.schedulers import TrialScheduler
from ray.tune.search.basic_variant import BasicVariantGenerator

from rllib_releds.algorithm.routing_config import RoutingConfig
from rllib_releds.errors import RunError, reason
from rllib_releds.experiments.methods import METHODS
from rllib_releds.experiments.runner import build_config
from rllib_releds.files import alone_in
from rllib_releds.local_ray import fit, quiet_tune, ray_session, silence_ray, warn_of_too_few_cpus
from rllib_releds.tuning.records import TrialRecords
from rllib_releds.tuning.report import TrialRow, trial_row
from rllib_releds.tuning.schedulers import TIME, make_scheduler
from rllib_releds.tuning.settings import TuneFolder, TuneSettings
from rllib_releds.tuning.spaces import Space, search_space

CHECKPOINTS_PER_TRIAL = 20
KEEP_CHECKPOINTS = 3
"""Per trial: another trial of a population may still be reading the one before the newest."""


def run_search(folder: TuneFolder, settings: TuneSettings, jobs: int) -> list[TrialRow]:
    """Train all trials to their end; finished ones are not repeated.

    Args:
        folder: where it goes on, or begins.
        settings: of the search; those that it was begun with.
        jobs: trials side by side.

    Returns:
        One row per trial, the best first; a trial that fails does not end the others.

    Raises:
        RunError: if the folder holds something else, another process works in it, or the settings fit no search.
        RoutingError: if the scenario cannot be built.
    """
    config, space = search_config(settings)
    quiet_tune()
    with alone_in(folder.path, "reled tune"):
        records = TrialRecords(folder.metrics)
        # What the scheduler refuses must not leave a folder that is bound to it.
        make_scheduler(settings, space, records)
        folder.begin(settings, config.scenario.fingerprint)
        _check_state(folder, records)
        cpus_per_trial = 1 + settings.train.num_env_runners
        with ray_session(jobs * cpus_per_trial):
            warn_of_too_few_cpus(cpus_per_trial)
            silence_ray()  # failures are told at the end

            def tuner(attempt: int) -> tune.Tuner:
                return _tuner(folder, settings, config, make_scheduler(settings, space, records), records, jobs)

            results = fit(tuner)
            rows = [trial_row(result, space, records, settings.train.num_training_epochs) for result in results]
    return sorted(rows, key=lambda row: (-row.score, row.name))


def search_config(settings: TuneSettings) -> tuple[RoutingConfig, Space]:
    """The configuration that all trials share, with domains where they differ, and these domains.

    Raises:
        RunError: for a space that is unknown, or that the method has no use for; if the scheduler would have
            nothing to change, or nothing to compare.
    """
    config = build_config(settings.train)
    space = search_space(settings.spaces)
    missing = [name for name in space if not hasattr(config, name)]
    if missing:
        raise RunError(f"{settings.train.method} has no setting {missing[0]}; choose other --spaces")
    _check_space(settings, space, config)
    _check_scheduler(settings, space)
    return config.training(**space), space


def _check_space(settings: TuneSettings, space: Space, config: RoutingConfig) -> None:
    train = settings.train
    for name in space:
        if train.demonstrator is None and name in config.of_demonstrations:
            raise RunError(f"nobody demonstrates, so a search for {name} would find nothing; choose other --spaces")
        if name in METHODS[train.method].training:
            raise RunError(f"{train.method} is what it is by its {name}; choose other --spaces, or --method RELED")


def _check_scheduler(settings: TuneSettings, space: Space) -> None:
    epochs = settings.train.num_training_epochs
    if settings.scheduler == "asha" and settings.interval > epochs:
        raise RunError(
            f"asha would first compare after {settings.interval} epochs, and a trial has {epochs}; "
            "give a smaller --interval, or more --epochs"
        )
    if settings.scheduler == "pbt" and not space:
        raise RunError("pbt changes what is searched, and nothing is; name some --spaces, or another --scheduler")
    # A trial that has come to its end exchanges nothing any more.
    if settings.scheduler == "pbt" and (settings.interval >= epochs or settings.samples == 1):
        raise RunError(
            f"pbt would exchange nothing: a trial has {epochs} epochs, the first exchange is after "
            f"{settings.interval}, trials: {settings.samples}; give a smaller --interval, or more --epochs or --samples"
        )


def _check_state(folder: TuneFolder, records: TrialRecords) -> None:
    """Read what a restart reads: Tune itself passes over errors there, and begins all trials anew or waits for ever.

    Raises:
        RunError: naming a file that is damaged, and the remedy.
    """
    for table in folder.metrics.glob("*.csv"):
        records.read(table.stem)
    # The second is a pickle in spite of its name.
    for kind, load in (("experiment_state", json.loads), ("basic-variant-state", pickle.loads)):
        newest = max(folder.storage.glob(f"{kind}-*.json"), default=None, key=lambda path: path.name)
        try:
            if newest is not None:
                load(newest.read_bytes())
        except (ValueError, EOFError, pickle.UnpicklingError) as error:
            raise RunError(
                f"{newest} is damaged ({reason(error)}). Remove it, and the search goes on from the state before it; "
                "if there is none, give another --out."
            ) from error


def _tuner(
    folder: TuneFolder,
    settings: TuneSettings,
    config: RoutingConfig,
    scheduler: TrialScheduler,
    records: TrialRecords,
    jobs: int,
) -> tune.Tuner:
    epochs = settings.train.num_training_epochs
    if tune.Tuner.can_restore(str(folder.storage)) and any(folder.storage.glob("experiment_state-*.json")):
        try:
            # Trials that had not begun are made from the configuration, of which Tune itself kept but a part.
            return tune.Tuner.restore(str(folder.storage), config.algo_class, resume_errored=True, param_space=config)
        except ValueError as error:
            if "param_space" not in str(error):
                raise
            raise RunError(
                f"{folder.path} was begun with another version, whose algorithm has other settings: finish it with "
                "that one, or give another --out."
            ) from error
    # Nothing yet, or killed before the first trial was noted.
    folder.clear()
    return tune.Tuner(
        config.algo_class,
        param_space=config,
        tune_config=tune.TuneConfig(
            num_samples=settings.samples,
            # Tune's own setting of that name does nothing for this generator. A population exchanges settings among
            # trials that are under way, so all of its trials begin, and Ray's cores limit how many run.
            search_alg=BasicVariantGenerator(
                random_state=settings.train.seed, max_concurrent=0 if settings.scheduler == "pbt" else jobs
            ),
            scheduler=scheduler,
            reuse_actors=False,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
        ),
        run_config=tune.RunConfig(
            name=folder.storage.name,
            storage_path=str(folder.path),
            stop={TIME: epochs},
            checkpoint_config=tune.CheckpointConfig(
                checkpoint_frequency=max(1, epochs // CHECKPOINTS_PER_TRIAL),
                checkpoint_at_end=True,
                num_to_keep=KEEP_CHECKPOINTS,
            ),
            failure_config=tune.FailureConfig(max_failures=0),
            callbacks=[records],
            verbose=0,
        ),
    )


def _name(trial: Any) -> str:
    """`trial_00003`: of Tune's id only the number, so that the names of two searches can be compared."""
    return f"trial_{trial.trial_id.rsplit('_', 1)[-1]}"
