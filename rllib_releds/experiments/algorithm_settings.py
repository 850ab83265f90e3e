"""Settings of the algorithm that a user gives by name, held against what it knows."""

from __future__ import annotations

from difflib import get_close_matches

from rllib_releds.errors import RunError
from rllib_releds.experiments.runner import build_config
from rllib_releds.experiments.settings import TrainSettings


def check_algorithm_settings(settings: TrainSettings) -> None:
    """Find out before a run begins whether the algorithm takes `settings.algorithm`.

    Raises:
        RunError: naming the setting, and what it may be.
    """
    config = build_config(settings.model_copy(update={"algorithm": {}}))
    known = config.settings_in_use()
    for name in settings.algorithm:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            remedy = f"did you mean {near[0]}?" if near else f"choose {', '.join(sorted(known))}"
            raise RunError(f"{settings.method} has no setting {name!r}; {remedy}")
        if settings.demonstrator is None and name in config.of_demonstrations:
            raise RunError(f"nobody demonstrates, so {name} would do nothing; leave it out")
    try:
        build_config(settings).validate()
    except (TypeError, ValueError) as error:
        raise RunError(str(error)) from error
