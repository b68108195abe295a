"""
The work on what was put aside: one worker for all of it, which does one step, and looks again.
"""

from __future__ import annotations

from collections.abc import Callable

from eliot import start_action
from pyrsistent import PMap, pmap

from flocker_agent.changes import Nothing, StashChange
from flocker_agent.failures import Failures
from flocker_agent.locks import Locks
from flocker_agent.looks import Looks
from flocker_agent.perform import perform_on_stash
from flocker_agent.plan import stash_step
from flocker_agent.threads import Blocking
from flocker_agent.view import View
from flocker_agent.worker import Worker
from flocker_py.assignment import StashAssignment
from flocker_py.clock import Clock
from flocker_py.model import DatasetId
from flocker_py.storage import Storage, StoredDataset
from flocker_py.wire import encode


class StashWork:
    """
    :param now_seconds: since the epoch of Unix.
    :param changed: called whenever something about a stash is news, with the datasets of those.
    """

    def __init__(
        self,
        *,
        view: View,
        failures: Failures,
        storage: Storage,
        looks: Looks,
        blocking: Blocking,
        locks: Locks,
        clock: Clock,
        now_seconds: Callable[[], float],
        changed: Callable[[set[DatasetId]], None],
    ) -> None:
        self._view = view
        self._failures = failures
        self._storage = storage
        self._looks = looks
        self._blocking = blocking
        self._locks = locks
        self._now_seconds = now_seconds
        self._changed = changed
        self._asked: PMap[str, StashAssignment] = pmap()
        self._worker = Worker(clock, self._step)
        self._started = False

    def asked(self, stashes: PMap[str, StashAssignment]) -> None:
        """
        From now on, this is what is asked.
        """
        before, self._asked = self._asked, stashes
        for name in {*before, *stashes}:
            if before.get(name) != stashes.get(name):
                self._failures.forgiven(name)
        if before != stashes:
            self.wake()

    def wake(self) -> None:
        """
        Look at all of them again.
        """
        if self._started:
            self._worker.wake()
        elif self._view.looked and self._asked:
            self._started = True
            self._worker.start()

    async def stop(self) -> None:
        """
        End after the present step.
        """
        if self._started:
            await self._worker.stop()

    async def _step(self) -> float | None:
        waits = []
        for name in sorted({*self._view.stashes, *self._asked}):
            stash = self._view.stashes.get(name)
            asked = self._asked.get(name, StashAssignment())
            step = stash_step(name, asked, stash, now_seconds=self._now_seconds())
            if stash is None or isinstance(step, Nothing):
                self._failures.succeeded(name)
                continue
            wait = self._failures.still_to_wait_seconds(name)
            if not wait:
                wait = await self._perform(step, stash)
            if not wait:
                return 0
            waits.append(wait)
        self._changed(set())
        return min(waits, default=None)

    async def _perform(self, change: StashChange, stash: StoredDataset) -> float:
        def work() -> tuple[int, PMap[str, StoredDataset]]:
            with self._locks.of(stash.dataset_id):
                perform_on_stash(change, self._storage)
            return self._looks.at_stashes()

        try:
            with start_action(action_type=change.kind, **encode(change)):
                seen = await self._blocking.run(work)
        except Exception as error:  # noqa: BLE001  # one stash's trouble is told, and delays no other
            return self._failures.failed(change.name, error)
        self._failures.succeeded(change.name)
        self._changed(self._view.all_stashes(*seen))
        return 0
