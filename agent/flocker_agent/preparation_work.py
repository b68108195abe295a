"""
The work of getting ready for containers that are to run here later: a worker for each, which fetches what it needs.
"""

from __future__ import annotations

from collections.abc import Callable

from eliot import start_action
from pyrsistent import PMap, pmap

from flocker_agent.failures import Failures
from flocker_agent.threads import Blocking
from flocker_agent.view import View
from flocker_agent.worker import Worker
from flocker_py.clock import Clock
from flocker_py.definitions import definition_digest
from flocker_py.model import Container, ContainerName
from flocker_py.observed import preparation_of
from flocker_py.runtime import Runtime


class PreparationWork:
    """
    :param changed: called whenever something about it is news.
    """

    def __init__(
        self,
        *,
        view: View,
        failures: Failures,
        runtime: Runtime,
        blocking: Blocking,
        clock: Clock,
        changed: Callable[[], None],
    ) -> None:
        self._view = view
        self._failures = failures
        self._runtime = runtime
        self._blocking = blocking
        self._clock = clock
        self._changed = changed
        self._asked: PMap[ContainerName, Container] = pmap()
        self._workers: dict[ContainerName, Worker] = {}

    def asked(self, containers: PMap[ContainerName, Container]) -> None:
        """
        From now on, this is what is asked.
        """
        before, self._asked = self._asked, containers
        different = [name for name in sorted({*before, *containers}) if before.get(name) != containers.get(name)]
        for name in different:
            # What was said of another definition, or of one that nobody asks for any more, says nothing now.
            self._view.prepared(name, None)
            self._failures.succeeded(preparation_of(name))
        if different:
            self._changed()
        for name in different:
            self.wake(name)

    def wake(self, name: ContainerName) -> None:
        """
        Look at a container again.
        """
        worker = self._workers.get(name)
        if worker is not None:
            worker.wake()
        else:
            worker = Worker(self._clock, lambda: self._step(name))
            self._workers[name] = worker
            worker.start()

    async def stop(self) -> None:
        """
        End after the present steps.
        """
        for worker in tuple(self._workers.values()):
            await worker.stop()

    async def _step(self, name: ContainerName) -> float | None:
        asked = self._asked.get(name)
        if asked is None or name in self._view.node.prepared:
            return None
        wait = self._failures.still_to_wait_seconds(preparation_of(name))
        if wait:
            return wait
        failure = None
        try:
            # By name only: the environment of a container is where people keep passwords.
            with start_action(action_type="flocker:agent:prepare", name=name):
                await self._blocking.run(self._runtime.prepare, asked)
        except Exception as error:  # noqa: BLE001  # told to users, and in the way of no other container
            failure = error
        if self._asked.get(name) != asked:
            return 0
        if failure is not None:
            wait = self._failures.failed(preparation_of(name), failure)
        else:
            self._failures.succeeded(preparation_of(name))
            self._view.prepared(name, definition_digest(asked))
        self._changed()
        return wait or None
