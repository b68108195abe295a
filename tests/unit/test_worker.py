"""
The worker: steps until nothing is left to do, sleeps, and never dies.
"""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from flocker_agent.worker import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, Worker, wait_seconds


class Steps:
    """
    Steps that answer what the test says, and count.
    """

    def __init__(self, *answers: float | Exception | None) -> None:
        self.clock = Clock()
        self.count = 0
        self.blocked: Deferred[None] | None = None
        self._answers = list(answers)
        self.worker = Worker(self.clock, self._step)
        self.worker.start()

    async def _step(self) -> float | None:
        self.count += 1
        if self.blocked is not None:
            await self.blocked
        answer = self._answers.pop(0) if self._answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_steps_until_nothing_is_left() -> None:
    """
    It steps at once for as long as steps ask for it.
    """
    assert Steps(0, 0, None).count == 3


def test_sleeps_for_the_time_it_was_told() -> None:
    """
    It steps again when the time has passed, not before.
    """
    steps = Steps(5.0)
    steps.clock.advance(4.9)
    before = steps.count
    steps.clock.advance(0.2)

    assert (before, steps.count) == (1, 2)


def test_woken_early() -> None:
    """
    Woken, it steps at once, and the time it slept for is forgotten.
    """
    steps = Steps(5.0, None)
    steps.worker.wake()
    steps.clock.advance(10.0)

    assert (steps.count, steps.clock.getDelayedCalls()) == (2, [])


def test_woken_in_a_step() -> None:
    """
    News that come in the midst of a step lead to another one.
    """
    steps = Steps(None, None)
    steps.blocked = Deferred()
    steps.worker.wake()
    steps.worker.wake()
    steps.worker.wake()
    released, steps.blocked = steps.blocked, None
    released.callback(None)

    assert steps.count == 3


def test_step_that_raises() -> None:
    """
    A mistake in a step ends nothing: it is tried again after the longest wait.
    """
    steps = Steps(ValueError("mistake"))
    steps.clock.advance(LONGEST_WAIT_SECONDS - 1)
    before = steps.count
    steps.clock.advance(2)

    assert (before, steps.count) == (1, 2)


@pytest.mark.parametrize("answer", [None, 5.0])
def test_stopped_while_it_sleeps(answer: float | None) -> None:
    """
    Stopped, it ends without another step, and leaves no timer.
    """
    steps = Steps(answer)
    stopped = Deferred.fromCoroutine(steps.worker.stop())
    steps.worker.wake()

    assert (stopped.called, steps.count, steps.clock.getDelayedCalls()) == (True, 1, [])


def test_stopped_in_a_step() -> None:
    """
    The present step is waited for.
    """
    steps = Steps(None)
    steps.blocked = Deferred()
    steps.worker.wake()
    stopped = Deferred.fromCoroutine(steps.worker.stop())
    before = stopped.called
    steps.blocked.callback(None)

    assert (before, stopped.called, steps.count) == (False, True, 2)


def test_stopped_before_it_began() -> None:
    """
    One that was never started has ended.
    """

    async def step() -> float | None:
        raise AssertionError

    assert Deferred.fromCoroutine(Worker(Clock(), step).stop()).called


def test_waits_grow_up_to_a_limit() -> None:
    """
    After failures in a row it is waited twice as long each time.
    """
    waits = [wait_seconds(failures) for failures in range(4)]

    assert waits == [FIRST_WAIT_SECONDS, FIRST_WAIT_SECONDS, 2 * FIRST_WAIT_SECONDS, 4 * FIRST_WAIT_SECONDS]
    assert (wait_seconds(30), wait_seconds(10**6)) == (LONGEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)
