"""
A worker: converges one thing, at its own pace.

It steps until there is nothing to do, then sleeps until it is woken or the time it asked for has passed. What keeps one
worker from getting further delays no other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from eliot import write_traceback
from twisted.internet.defer import Deferred

from flocker_py.clock import Clock, Timer

Step = Callable[[], Awaitable[float | None]]
"""One step: answers in how many seconds to step again at the latest; 0: now; None: only when woken."""

FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 30.0


def wait_seconds(failures: int) -> float:
    """
    How long to wait after so many failures in a row: doubling, up to a limit.
    """
    return min(FIRST_WAIT_SECONDS * 2.0 ** min(max(failures - 1, 0), 16), LONGEST_WAIT_SECONDS)


class Worker:
    """
    :param step: must not raise; if it does, that is logged, and it is tried again after the longest wait.
    """

    def __init__(self, clock: Clock, step: Step) -> None:
        self._clock = clock
        self._step = step
        self._woken = True
        self._sleep: Deferred[None] | None = None
        self._timer: Timer | None = None
        self._stopping = False
        self._done: Deferred[None] | None = None

    def start(self) -> None:
        """
        Begin.
        """
        self._done = Deferred.fromCoroutine(self._run())

    def wake(self) -> None:
        """
        Look again, as soon as the present step is through.
        """
        self._woken = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        if self._sleep is not None:
            sleep, self._sleep = self._sleep, None
            sleep.callback(None)

    async def stop(self) -> None:
        """
        End, after the present step.
        """
        self._stopping = True
        self.wake()
        if self._done is not None:
            await self._done

    async def _run(self) -> None:
        while not self._stopping:
            self._woken = False
            try:
                again_seconds = await self._step()
            except Exception:  # noqa: BLE001  # a worker that died would leave its dataset alone for ever
                write_traceback()
                again_seconds = LONGEST_WAIT_SECONDS
            if self._stopping:
                return
            if again_seconds != 0 and not self._woken:
                await self._sleeping(again_seconds)

    async def _sleeping(self, seconds: float | None) -> None:
        self._sleep = Deferred()
        if seconds is not None:
            self._timer = self._clock.callLater(seconds, self.wake)
        await self._sleep
