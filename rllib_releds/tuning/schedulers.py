"""Ray Tune's schedulers, so that they go on after a restart."""

from __future__ import annotations

from typing import Any

import numpy as np
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, PopulationBasedTraining, TrialScheduler

from rllib_releds import keys
from rllib_releds.tuning.records import TrialRecords
from rllib_releds.tuning.settings import TuneSettings
from rllib_releds.tuning.spaces import Space, mutations

METRIC = f"{keys.RELED}/{keys.MEAN_REWARD}"
"""What trials are compared by: mean reward of the agents in an epoch."""
TIME = "training_iteration"


class RecordedASHA(ASHAScheduler):
    """ASHA that knows what earlier processes saw.

    Tune restores trials but not the schedulers: a new one would compare a trial only with those that reach a rung
    after the restart. What each trial reported until then is told to it again.

    Args:
        records: of the trials.
        settings: of `ASHAScheduler`.
    """

    def __init__(self, records: TrialRecords, **settings: Any) -> None:
        super().__init__(**settings)
        self._records = records

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        super().on_trial_add(tune_controller, trial)
        table = self._records.read(str(trial))
        epochs = table.get(keys.EPOCH, np.zeros(0))
        # Tune notes its state only now and then, so that it may have let the trial go on since: every epoch but the
        # newest was followed by another one. Judged again, among other trials, it could be stopped before it.
        judged = max((trial.last_result or {}).get(TIME, 0), int(epochs[-1]) if len(epochs) else 0)
        for epoch, reward in zip(epochs, table.get(keys.MEAN_REWARD, ()), strict=True):
            if epoch < judged:
                super().on_trial_result(tune_controller, trial, {TIME: int(epoch) + 1, METRIC: float(reward)})


def make_scheduler(settings: TuneSettings, space: Space, records: TrialRecords) -> TrialScheduler:
    """The scheduler of a search.

    Args:
        settings: which, and how often it acts.
        space: what is searched.
        records: of the trials.
    """
    if settings.scheduler == "asha":
        return RecordedASHA(
            records,
            time_attr=TIME,
            metric=METRIC,
            mode="max",
            grace_period=settings.interval,
            max_t=settings.train.num_training_epochs,
            reduction_factor=2,
        )
    if settings.scheduler == "pbt":
        return PopulationBasedTraining(
            time_attr=TIME,
            metric=METRIC,
            mode="max",
            perturbation_interval=settings.interval,
            hyperparam_mutations=mutations(space),
        )
    return FIFOScheduler()
