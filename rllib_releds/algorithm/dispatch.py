"""Work for env runners: spread tasks over them, repeat what a dead runner took with it, keep their weights current."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import ray
from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_RL_MODULE
from ray.rllib.core.learner.learner_group import LearnerGroup
from ray.rllib.env.env_runner_group import EnvRunnerGroup

from rllib_releds.algorithm.env_runner import RoutingEnvRunner
from rllib_releds.demonstrations.errors import DemonstrationError

MAX_ATTEMPTS = 3
"""How often a task is given out before the run stops."""

Result = TypeVar("Result", covariant=True)


class Task(Protocol[Result]):
    """Something that an env runner can do; picklable, and the same whichever runner does it."""

    def run(self, runner: RoutingEnvRunner) -> Result: ...


class RolloutError(RuntimeError):
    """A task failed on an env runner (its traceback is in the message), or no env runner was left to do it."""


@dataclass(frozen=True)
class _Outcome:
    """What one runner answers: (task index, result) pairs, its metrics, and what went wrong."""

    results: list[tuple[int, Any]]
    metrics: Any
    demonstration_error: DemonstrationError | None = None
    error: str | None = None


def dispatch(
    group: EnvRunnerGroup,
    tasks: Sequence[Task[Result]],
    *,
    timeout_s: float | None,
    restore: Callable[[], None],
    collect_metrics: Callable[[list[Any]], None] | None = None,
) -> list[Result]:
    """Run the tasks on the env runners and return the results in the order of the tasks.

    Args:
        group: the env runners; without remote ones the local one does everything.
        tasks: what to do.
        timeout_s: wall seconds after which a silent runner's tasks are given to others.
        restore: brings dead runners back, with current weights.
        collect_metrics: receives the runners' metrics.

    Raises:
        DemonstrationError: as a demonstration raised it.
        RolloutError: if a task raised anything else, or was lost `MAX_ATTEMPTS` times.
    """
    if not group.num_remote_workers():
        results = [task.run(group.local_env_runner) for task in tasks]
        if collect_metrics:
            collect_metrics([group.local_env_runner.get_metrics()])
        return results
    done: dict[int, Result] = {}
    for _ in range(MAX_ATTEMPTS):
        missing = [(index, task) for index, task in enumerate(tasks) if index not in done]
        if not missing:
            break
        outcomes = _attempt(group, missing, timeout_s)
        for outcome in outcomes:
            if outcome.demonstration_error is not None:
                raise outcome.demonstration_error
            if outcome.error is not None:
                raise RolloutError(f"an env runner failed:\n{outcome.error}")
            done.update(outcome.results)
        if collect_metrics:
            collect_metrics([outcome.metrics for outcome in outcomes])
        if len(done) < len(tasks):
            restore()
    if len(done) < len(tasks):
        raise RolloutError(
            f"{len(tasks) - len(done)} of {len(tasks)} rollouts were lost {MAX_ATTEMPTS} times with their env runners; "
            "look for a crash of SUMO or a lack of memory in the workers' logs"
        )
    return [done[index] for index in range(len(tasks))]


def sync_weights(group: EnvRunnerGroup, learner_group: LearnerGroup, timeout_s: float | None) -> None:
    """Give every env runner the learner's policies, and wait until they have them.

    RLlib's own `sync_weights` does not wait, and leaves out a runner that still has a request in flight.
    """
    state = learner_group.get_state(components=COMPONENT_LEARNER + "/" + COMPONENT_RL_MODULE, inference_only=True)[
        COMPONENT_LEARNER
    ]
    if group.local_env_runner is not None:
        group.local_env_runner.set_state(state)
    if group.num_remote_workers():
        reference = ray.put(state)
        group.foreach_env_runner(
            lambda runner: runner.set_state(ray.get(reference)), local_env_runner=False, timeout_seconds=timeout_s
        )


def _attempt(
    group: EnvRunnerGroup, tasks: Sequence[tuple[int, Task[Result]]], timeout_s: float | None
) -> list[_Outcome]:
    ids = group.healthy_worker_ids()[: len(tasks)]
    if not ids:
        return []
    shards = [tasks[position :: len(ids)] for position in range(len(ids))]
    return group.foreach_env_runner(
        [_work(shard) for shard in shards],
        local_env_runner=False,
        remote_worker_ids=ids,
        timeout_seconds=timeout_s,
    )


def _work(shard: Sequence[tuple[int, Task[Any]]]) -> Callable[[RoutingEnvRunner], _Outcome]:
    def work(runner: RoutingEnvRunner) -> _Outcome:
        # Ray would report a task's own error like a dead runner, and the task would be tried again in vain.
        try:
            results = [(index, task.run(runner)) for index, task in shard]
        except DemonstrationError as error:
            return _Outcome([], None, demonstration_error=error)
        except Exception:
            return _Outcome([], None, error=traceback.format_exc())
        return _Outcome(results, runner.get_metrics())

    return work
