"""Gives tasks to env runners, the next one to whoever is free, and a dead one's again; sends them current weights."""

from __future__ import annotations

import logging
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol

import ray
from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_RL_MODULE
from ray.rllib.core.learner.learner_group import LearnerGroup
from ray.rllib.env.env_runner_group import EnvRunnerGroup

from rllib_releds.algorithm.env_runner import RoutingEnvRunner
from rllib_releds.algorithm.rollouts import MAX_ATTEMPTS
from rllib_releds.demonstrations.errors import DemonstrationError
from rllib_releds.errors import RolloutError

POLL_S = 0.02
"""Seconds between two looks at what dead and silent runners hold up; results come in earlier if all are there."""

RESTORE_EVERY_S = 1.0
"""Between two attempts to bring env runners back when none is left: Ray needs some seconds to start them again."""

_log = logging.getLogger(__name__)

_NUMBERS = count()
"""Of tasks given out by this process, so that a late answer is known for what it is."""


class Task(Protocol):
    """Something that an env runner can do; picklable, and the same whichever runner does it."""

    def run(self, runner: RoutingEnvRunner) -> Any: ...


class Tasks(Protocol):
    """Which tasks are to be done, decided while they are done. Tasks have indices from 0 on."""

    def next_task(self) -> tuple[int, Task] | None:
        """Another task to begin now; None if there is none, or none before a result is in."""

    def add(self, index: int, result: Any) -> None:
        """The result of a task that `next_task` gave out."""


class ListedTasks:
    """Tasks that are all known.

    Args:
        tasks: in the order of the results.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._left = deque(enumerate(tasks))
        self._results: dict[int, Any] = {}

    def next_task(self) -> tuple[int, Task] | None:
        return self._left.popleft() if self._left else None

    def add(self, index: int, result: Any) -> None:
        self._results[index] = result

    def results(self) -> list[Any]:
        return [self._results[index] for index in sorted(self._results)]


@dataclass(frozen=True)
class _Outcome:
    """What one runner answers to one task: its number in this process, its result, or why there is none."""

    number: int
    result: Any = None
    demonstration_error: DemonstrationError | None = None
    error: str | None = None
    is_outdated: bool = False


@dataclass(frozen=True)
class _InWork:
    """A task that a runner is at."""

    worker: int
    index: int
    task: Task
    began_s: float


def dispatch(
    group: EnvRunnerGroup,
    tasks: Tasks,
    *,
    timeout_s: float | None,
    restore: Callable[[], None],
    restore_timeout_s: float | None,
) -> None:
    """Do tasks on the env runners: each takes the next task as soon as it has finished one.

    Args:
        group: the env runners; without remote ones the local one does everything.
        tasks: what to do; receives the results.
        timeout_s: wall seconds after which a silent runner is started again, and its task given to another one.
        restore: brings dead runners back, with current weights.
        restore_timeout_s: wall seconds to wait for the first of them, if none is left; None if Ray starts none again.

    Raises:
        DemonstrationError: as a demonstration raised it.
        RolloutError: if a task raised anything else, or was lost `MAX_ATTEMPTS` times.
    """
    if group.num_remote_workers():
        _Dispatcher(group, tasks, timeout_s, restore, restore_timeout_s).run()
        return
    while (given := tasks.next_task()) is not None:
        index, task = given
        tasks.add(index, task.run(group.local_env_runner))


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


@dataclass
class _Dispatcher:
    """The remote half of `dispatch`, with its arguments."""

    group: EnvRunnerGroup
    tasks: Tasks
    timeout_s: float | None
    restore: Callable[[], None]
    restore_timeout_s: float | None
    _in_work: dict[int, _InWork] = field(default_factory=dict)
    _again: deque[tuple[int, Task]] = field(default_factory=deque)
    _attempts: Counter[int] = field(default_factory=Counter)
    _idle_since_s: float | None = None
    _is_waiting: bool = False

    def run(self) -> None:
        has_lost = False
        while True:
            self._give_out()
            if not self._in_work:
                given = self._next()
                if given is None:
                    break
                self._again.append(given)
                self._bring_back()
                continue
            while self._receive():
                # What came in meanwhile is received before anybody is taken for silent.
                self.restore()
            has_lost |= self._take_back()
        if has_lost:
            self.restore()

    def _give_out(self) -> None:
        busy = {work.worker for work in self._in_work.values()}
        for worker in self.group.healthy_worker_ids():
            if worker in busy:
                continue
            given = self._next()
            if given is None:
                return
            number = next(_NUMBERS)
            work = _work(number, given[1], self.group.local_env_runner.policy_version)
            if self.group.foreach_env_runner_async(work, remote_worker_ids=[worker]):
                self._in_work[number] = _InWork(worker, *given, time.monotonic())
                self._idle_since_s = None
            else:
                # Still at something that was given up.
                self._again.append(given)

    def _next(self) -> tuple[int, Task] | None:
        """What was given out in vain, else another task; None if there is none now."""
        return self._again.popleft() if self._again else self.tasks.next_task()

    def _receive(self) -> bool:
        """Take results. Returns whether a runner lacks the current weights: its task is to be done again."""
        is_outdated = False
        for _, outcome in self.group.fetch_ready_async_reqs(timeout_seconds=POLL_S):
            # A runner that was given up may answer later, even in another dispatch.
            work = self._in_work.pop(outcome.number, None) if isinstance(outcome, _Outcome) else None
            if work is None:
                continue
            if outcome.demonstration_error is not None:
                raise outcome.demonstration_error
            if outcome.error is not None:
                raise RolloutError(f"an env runner failed:\n{outcome.error}")
            if outcome.is_outdated:
                # It died with nothing to do, and Ray started it again before anybody noticed.
                is_outdated = True
                self._repeat(work)
            else:
                self.tasks.add(work.index, outcome.result)
        return is_outdated

    def _take_back(self) -> bool:
        """Tasks of dead and of silent runners are to be done again, by others."""
        healthy = set(self.group.healthy_worker_ids())
        limit_s = float("inf") if self.timeout_s is None else self.timeout_s
        lost = [
            number
            for number, work in self._in_work.items()
            if work.worker not in healthy or time.monotonic() - work.began_s > limit_s
        ]
        for number in lost:
            work = self._in_work.pop(number)
            if work.worker in healthy:
                if self.restore_timeout_s is not None:
                    self._start_again(work.worker, limit_s)
                self._repeat(work, f", or raise sample_timeout_s={limit_s:g} if an episode takes longer than that")
            else:
                self._repeat(work)
        return bool(lost)

    def _start_again(self, worker: int, limit_s: float) -> None:
        """Else each later epoch would wait for it as long when it sends the weights."""
        _log.warning("env runner %d did not answer for %g s (sample_timeout_s); starting it again", worker, limit_s)
        ray.kill(self.group._worker_manager.actors()[worker], no_restart=False)

    def _repeat(self, work: _InWork, also_to_try: str = "") -> None:
        self._attempts[work.index] += 1
        if self._attempts[work.index] >= MAX_ATTEMPTS:
            raise RolloutError(
                f"a rollout was lost {MAX_ATTEMPTS} times with its env runner; "
                f"look for a crash of SUMO or a lack of memory in the workers' logs{also_to_try}"
            )
        self._again.append((work.index, work.task))

    def _bring_back(self) -> None:
        """No runner takes a task: all are dead, or at something that was given up."""
        now_s, limit_s = time.monotonic(), self.restore_timeout_s or 0.0
        if self._idle_since_s is None:
            self._idle_since_s, self._is_waiting = now_s, False
        elif now_s - self._idle_since_s > limit_s:
            raise RolloutError(
                f"no env runner answers, and none came back within {limit_s:g} s; "
                "look for a crash of SUMO or a lack of memory in the workers' logs"
            )
        else:
            if not self._is_waiting:
                self._is_waiting = True
                _log.warning("no env runner answers; waiting for one for up to %g s", limit_s)
            time.sleep(RESTORE_EVERY_S)
        self.restore()
        # An answer to something that was given up frees its runner.
        self._receive()


def _work(number: int, task: Task, policy_version: int | None) -> Callable[[RoutingEnvRunner], _Outcome]:
    def work(runner: RoutingEnvRunner) -> _Outcome:
        if runner.policy_version != policy_version:
            return _Outcome(number, is_outdated=True)
        # Ray would report a task's own error like a dead runner, and the task would be tried again in vain.
        try:
            return _Outcome(number, task.run(runner))
        except DemonstrationError as error:
            return _Outcome(number, demonstration_error=error)
        except Exception:
            return _Outcome(number, error=traceback.format_exc())

    return work
