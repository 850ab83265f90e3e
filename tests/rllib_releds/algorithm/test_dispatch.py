"""Who does which task, and what becomes of tasks whose env runner dies or falls silent."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import pytest

from rllib_releds.algorithm import dispatch as dispatching
from rllib_releds.algorithm.dispatch import ListedTasks, dispatch
from rllib_releds.algorithm.rollouts import MAX_ATTEMPTS
from rllib_releds.errors import RolloutError


@dataclass(frozen=True)
class Runner:
    name: str
    policy_version: int = 1


class Task:
    """Returns its number and who did it; takes so many looks of the driver until it is done."""

    def __init__(self, number: int, looks: int = 1) -> None:
        self.number = number
        self.looks = looks

    def run(self, runner: Runner) -> tuple[int, str]:
        return self.number, runner.name


class Broken(Task):
    def run(self, runner: Runner) -> tuple[int, str]:
        raise KeyError(self.number)


class Group:
    """Stands in for RLlib's group of remote env runners: same calls, one task at a time per runner, no processes.

    Args:
        number: of env runners, with ids from 1 on.
        deaths: ids of runners that die with their next task, by number of that task.
        silent: ids of runners that answer nothing for so many looks.
        outdated: ids of runners that Ray has started again, so that they lack the weights until they are restored.
        restores_needed: attempts until dead runners are back.
    """

    def __init__(self, number: int, deaths=None, silent=None, outdated=(), restores_needed: float = 1) -> None:
        self.restores_needed = restores_needed
        self.ids = list(range(1, number + 1))
        self.dead: set[int] = set()
        self.deaths = dict(deaths or {})
        self.silent = dict(silent or {})
        self.outdated = set(outdated)
        self.at_work: dict[int, list] = {}
        self.begun: list[tuple[int, int]] = []
        self.tasks: list[Task] = []
        self.idle_looks = 0

    local_env_runner = Runner("local")

    @property
    def _worker_manager(self) -> Group:
        return self

    def actors(self) -> dict[int, int]:
        return {one: one for one in self.ids}

    def num_remote_workers(self) -> int:
        return len(self.ids)

    def healthy_worker_ids(self) -> list[int]:
        return [one for one in self.ids if one not in self.dead]

    def foreach_env_runner_async(self, work, *, remote_worker_ids) -> int:
        (worker,) = remote_worker_ids
        if worker in self.at_work:
            return 0
        outcome = work(Runner(f"runner {worker}", 0 if worker in self.outdated else 1))
        number, task = outcome.result[0] if outcome.result else None, None
        task = next((one for one in self.tasks if one.number == number), None)
        looks = (task.looks if task else 1) + self.silent.pop(worker, 0)
        self.at_work[worker] = [looks, outcome]
        self.begun.append((worker, number))
        return 1

    def fetch_ready_async_reqs(self, *, timeout_seconds: float) -> list:
        time.sleep(0.001)
        ready = []
        for worker, work in list(self.at_work.items()):
            work[0] -= 1
            number = work[1].result[0] if work[1].result else None
            if self.deaths.get(number, {}) and worker in self.deaths[number]:
                self.deaths[number].remove(worker)
                self.dead.add(worker)
                del self.at_work[worker]
            elif work[0] <= 0:
                ready.append((worker, work[1]))
                del self.at_work[worker]
        return ready

    def do(self, tasks: list[Task], timeout_s: float | None = None, restore_timeout_s: float | None = 60.0) -> list:
        self.tasks = tasks
        self.restored = 0
        plan = ListedTasks(tasks)
        dispatch(self, plan, timeout_s=timeout_s, restore=self._restore, restore_timeout_s=restore_timeout_s)
        return plan.results()

    def _restore(self) -> None:
        self.restored += 1
        if self.restored >= self.restores_needed:
            self.dead.clear()
            self.outdated.clear()


@pytest.fixture(autouse=True)
def kills(monkeypatch) -> list[int]:
    """Ids of the runners that were ended, all of them too late for their answer not to come."""
    ended: list[int] = []
    monkeypatch.setattr(dispatching.ray, "kill", lambda actor, no_restart: ended.append(actor))
    return ended


def test_without_remote_runners_the_local_one_does_everything_in_order():
    group = Group(0)
    assert group.do([Task(0), Task(1)]) == [(0, "local"), (1, "local")]


def test_a_runner_takes_the_next_task_as_soon_as_it_is_free():
    group = Group(2)
    results = group.do([Task(0, looks=5), Task(1), Task(2), Task(3), Task(4)])
    assert [number for number, _ in results] == [0, 1, 2, 3, 4]
    assert group.begun == [(1, 0), (2, 1), (2, 2), (2, 3), (2, 4)]
    assert group.restored == 0


def test_a_dead_runners_task_is_redone_by_another_and_the_dead_one_is_brought_back():
    group = Group(2, deaths={0: [1]})
    results = group.do([Task(0), Task(1), Task(2)])
    assert [number for number, _ in results] == [0, 1, 2]
    assert results[0] == (0, "runner 2")
    assert group.restored == 1
    assert not group.dead


def test_when_all_runners_are_dead_they_are_brought_back_and_go_on():
    group = Group(1, deaths={1: [1]})
    assert [number for number, _ in group.do([Task(0), Task(1)])] == [0, 1]
    assert group.restored >= 1


def test_runners_that_take_a_while_to_come_back_are_waited_for(monkeypatch):
    monkeypatch.setattr(dispatching, "RESTORE_EVERY_S", 0.0)
    group = Group(1, deaths={1: [1]}, restores_needed=20)
    assert [number for number, _ in group.do([Task(0), Task(1)])] == [0, 1]


def test_runners_that_never_come_back_stop_the_run(monkeypatch):
    monkeypatch.setattr(dispatching, "RESTORE_EVERY_S", 0.01)
    group = Group(2, deaths={0: [1], 1: [2]}, restores_needed=math.inf)
    with pytest.raises(RolloutError, match=r"none came back within 0\.1 s"):
        group.do([Task(0), Task(1)], restore_timeout_s=0.1)


def test_a_task_that_kills_every_runner_stops_the_run():
    group = Group(2, deaths={0: [1, 2, 1, 2, 1, 2]})
    with pytest.raises(RolloutError, match=f"lost {MAX_ATTEMPTS} times"):
        group.do([Task(0), Task(1)])


def test_a_runner_without_the_current_weights_gets_them_and_its_answer_does_not_count():
    group = Group(2, outdated=[2])
    results = group.do([Task(0, looks=3), Task(1), Task(2)])
    assert [number for number, _ in results] == [0, 1, 2]
    assert group.restored == 1
    assert group.begun[:3] == [(1, 0), (2, None), (2, 1)]


def test_runners_that_do_not_get_the_current_weights_stop_the_run():
    with pytest.raises(RolloutError, match=f"lost {MAX_ATTEMPTS} times"):
        Group(1, outdated=[1], restores_needed=math.inf).do([Task(0)])


def test_a_silent_runners_task_goes_to_another_and_its_late_answer_is_passed_over(kills):
    group = Group(2, silent={1: 60})
    results = group.do([Task(0), Task(1)], timeout_s=0.01)
    assert results == [(0, "runner 2"), (1, "runner 2")]
    assert kills == [1]
    # The late answer comes while the next tasks are under way.
    again = group.do([Task(number, looks=90) for number in range(4)], timeout_s=60.0)
    assert [number for number, _ in again] == [0, 1, 2, 3]
    assert {runner for _, runner in again} == {"runner 1", "runner 2"}


def test_a_silent_runner_that_ray_would_not_start_again_is_left_alone(kills):
    group = Group(2, silent={1: 60})
    assert group.do([Task(0), Task(1)], timeout_s=0.01, restore_timeout_s=None) == [(0, "runner 2"), (1, "runner 2")]
    assert not kills


def test_nobody_is_taken_for_silent_because_a_restore_took_long(kills, monkeypatch):
    group = Group(2, outdated=[1])
    restore = group._restore
    monkeypatch.setattr(group, "_restore", lambda: (time.sleep(0.6), restore()))
    # The second runner's answer lies ready when the first one has been restored.
    assert len(group.do([Task(0), Task(1, looks=2)], timeout_s=0.5)) == 2
    assert not kills


@pytest.mark.parametrize("number", [0, 2])
def test_an_error_of_a_task_stops_the_run_with_its_traceback(number):
    group = Group(number)
    with pytest.raises((RolloutError, KeyError), match="7"):
        group.do([Task(0), Broken(7)])
