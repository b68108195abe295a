"""
The lease of this node, as the agent goes by it: until when it may serve what is to be fenced when it has ended.

The runtime keeps when it ends, since containers that are bound to it end even without an agent. So an agent that is
started again finds it there, and goes on as if it had been there all the time.
"""

from __future__ import annotations

from collections.abc import Callable

from eliot import log_message
from twisted.internet.defer import Deferred

from flocker_agent.threads import Blocking
from flocker_py.clock import Clock, Timer
from flocker_py.runtime import ContainerRuntimeError, Runtime


class NodeLease:
    """
    :param boottime_seconds: the clock that leases are counted by.
    :param changed: called when it has ended, and when it goes on after that.
    """

    def __init__(
        self,
        *,
        runtime: Runtime,
        blocking: Blocking,
        clock: Clock,
        boottime_seconds: Callable[[], float],
        changed: Callable[[], None],
    ) -> None:
        self.over = True
        self._runtime = runtime
        self._blocking = blocking
        self._clock = clock
        self._boottime_seconds = boottime_seconds
        self._changed = changed
        self._ends_at_seconds = 0.0
        self._timer: Timer | None = None

    async def recall(self) -> None:
        """
        Go by what an earlier agent was granted, as long as it lasts.
        """
        self._set(await self._blocking.run(self._runtime.lease_ends_at_seconds))

    def renewed(self, ends_at_seconds: float) -> None:
        """
        The control service has granted a lease that ends then. It counts from when the runtime goes by it.
        """
        Deferred.fromCoroutine(self._renew(ends_at_seconds))

    def stop(self) -> None:
        """
        Look at the clock no more.
        """
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    async def _renew(self, ends_at_seconds: float) -> None:
        if ends_at_seconds <= self._ends_at_seconds:
            return
        try:
            await self._blocking.run(self._runtime.renew_lease, ends_at_seconds)
        except ContainerRuntimeError as error:
            # The next renewal tries again. Meanwhile agent and runtime go by the same.
            log_message(message_type="flocker:agent:lease-not-renewed", reason=str(error))
            return
        self._set(ends_at_seconds)

    def _set(self, ends_at_seconds: float) -> None:
        self._ends_at_seconds = max(ends_at_seconds, self._ends_at_seconds)
        self._look()

    def _look(self) -> None:
        self.stop()
        left_seconds = self._ends_at_seconds - self._boottime_seconds()
        over = left_seconds <= 0
        if not over:
            self._timer = self._clock.callLater(left_seconds, self._look)
        if over != self.over:
            self.over = over
            log_message(message_type=f"flocker:agent:lease-{'ended' if over else 'begun'}")
            self._changed()
