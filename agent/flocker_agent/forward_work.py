"""
The work on ports that containers on other nodes publish: one worker, which does one change, and looks again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from eliot import start_action
from pyrsistent import PMap, pmap

from flocker_agent.changes import Nothing
from flocker_agent.failures import Failures
from flocker_agent.forwarding.plan import (
    Applied,
    ForwardChange,
    RemoveTable,
    ReplaceTable,
    Seen,
    forward_step,
    rules_of,
    troubles,
)
from flocker_agent.threads import Blocking
from flocker_agent.worker import Worker, wait_seconds
from flocker_py.assignment import Forward
from flocker_py.clock import Clock
from flocker_py.observed import FORWARDING
from flocker_py.wire import encode

LOOK_SECONDS = 30.0
"""Between looks, for what others change by hand."""
_STEPS_IN_A_ROW = 5
"""More than any plan has: whoever undoes what is done, and at once, is not to keep us busy."""


class Network(Protocol):
    """
    The network of this host. All calls block; they are made one at a time.
    """

    def look(self, ports: frozenset[str]) -> Seen:
        """
        The host as it is.

        :param ports: that may be led elsewhere, as in ``tcp/5432``.
        :raises FlockerError: it can't be looked at.
        """
        ...

    def perform(self, change: ForwardChange) -> str | None:
        """
        Carry out one change. Answers with our table as it is afterwards, where that was put in place.

        :raises FlockerError: it can't be done.
        """
        ...

    def forget(self) -> None:
        """
        Nothing of ours is left on the host.
        """
        ...

    def close(self) -> None:
        """
        End. What is in place stays.
        """
        ...


class ForwardWork:
    """
    :param enabled: lead ports on; else, remove what an earlier agent put in place.
    :param changed: called whenever something about it may be news.
    """

    def __init__(
        self,
        *,
        network: Network,
        enabled: bool,
        failures: Failures,
        blocking: Blocking,
        clock: Clock,
        changed: Callable[[], None],
    ) -> None:
        self._network = network
        self._enabled = enabled
        self._failures = failures
        self._blocking = blocking
        self._changed = changed
        # While nothing is asked yet, what is in place stays: a restart is nothing that clients should notice.
        self._asked: PMap[str, Forward] | None = None if enabled else pmap()
        self._applied: Applied | None = None
        self._in_a_row = 0
        self._looks_at_taken = 0
        self._worker = Worker(clock, self._step)

    def start(self) -> None:
        """
        Begin.
        """
        self._worker.start()

    def asked(self, forwards: PMap[str, Forward]) -> None:
        """
        From now on, this is what is asked.
        """
        if self._enabled and forwards != self._asked:
            self._asked = forwards
            self._failures.forgiven(FORWARDING)
            self._looks_at_taken = 0
            self._worker.wake()

    async def stop(self) -> None:
        """
        End after the present step. Ports are led on.
        """
        await self._worker.stop()
        self._network.close()

    async def _step(self) -> float | None:
        if self._asked is None:
            return None
        wait = self._failures.still_to_wait_seconds(FORWARDING)
        if wait:
            return wait
        asked = self._asked
        try:
            seen = await self._blocking.run(self._network.look, frozenset(asked))
            change = forward_step(rules_of(asked, seen), self._applied, seen)
            if not isinstance(change, Nothing):
                await self._perform(change)
                self._in_a_row += 1
                return 0 if self._in_a_row < _STEPS_IN_A_ROW else wait_seconds(self._in_a_row - _STEPS_IN_A_ROW)
            if not self._enabled:
                await self._blocking.run(self._network.forget)
        except Exception as error:  # noqa: BLE001  # told to users, and in the way of nothing else
            wait = self._failures.failed(FORWARDING, error)
            self._changed()
            return wait
        self._in_a_row = 0
        self._tell(troubles(asked, seen))
        if not self._enabled:
            return None
        # A program that ends may be one of a container that is on its way from here.
        self._looks_at_taken = self._looks_at_taken + 1 if seen.listening or seen.listening_on_loopback else 0
        return wait_seconds(self._looks_at_taken) if self._looks_at_taken else LOOK_SECONDS

    async def _perform(self, change: ForwardChange) -> None:
        with start_action(action_type=change.kind, **encode(change)):
            table = await self._blocking.run(self._network.perform, change)
        if isinstance(change, ReplaceTable):
            self._applied = None if table is None else Applied(rules=change.rules, table=table)
        elif isinstance(change, RemoveTable):
            self._applied = None

    def _tell(self, found: tuple[str, ...]) -> None:
        self._failures.succeeded(FORWARDING)
        if found:
            self._failures.told(FORWARDING, "PortsNotForwarded", "; ".join(found), lasting=True)
        self._changed()
