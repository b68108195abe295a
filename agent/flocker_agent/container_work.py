"""
The work on containers: a worker for each, which plans one step, performs it, and looks again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import assert_never

from eliot import start_action
from pyrsistent import PMap

from flocker_agent.changes import (
    BindContainer,
    ContainerChange,
    FenceContainer,
    Nothing,
    RemoveContainer,
    RepairContainer,
    StartContainer,
    StopContainer,
)
from flocker_agent.failures import Failures
from flocker_agent.looks import Looks
from flocker_agent.plan import container_step
from flocker_agent.threads import Blocking
from flocker_agent.view import View
from flocker_agent.worker import Worker
from flocker_py.clock import Clock
from flocker_py.model import Container, ContainerName, DatasetId
from flocker_py.runtime import ContainerRuntimeError, Runtime


class ContainerWork:
    """
    :param usable_path: where a dataset can be written at this moment; None: it can't.
    :param leased: whether a dataset is served only for as long as the lease of this node lasts; None: nobody says.
    :param is_left_alone: whether a dataset is owned here and nothing is asked of it.
    :param changed: called with the datasets of a container whenever something about it is news.
    """

    def __init__(
        self,
        *,
        view: View,
        failures: Failures,
        runtime: Runtime,
        looks: Looks,
        blocking: Blocking,
        clock: Clock,
        usable_path: Callable[[DatasetId], Path | None],
        leased: Callable[[DatasetId], bool | None],
        is_left_alone: Callable[[DatasetId], bool],
        changed: Callable[[frozenset[DatasetId]], None],
    ) -> None:
        self._view = view
        self._failures = failures
        self._runtime = runtime
        self._looks = looks
        self._blocking = blocking
        self._clock = clock
        self._usable_path = usable_path
        self._leased = leased
        self._is_left_alone = is_left_alone
        self._changed = changed
        self._asked: PMap[ContainerName, Container] | None = None
        self._workers: dict[ContainerName, Worker] = {}
        self._unseen: set[ContainerName] = set()

    def asked(self, containers: PMap[ContainerName, Container]) -> None:
        """
        From now on, this is what is asked.
        """
        before, self._asked = self._asked, containers
        for name in {*containers, *(before or {}), *self._view.node.containers}:
            if before is None or before.get(name) != containers.get(name):
                self._failures.forgiven(name)
                self.wake(name)

    def wake(self, name: ContainerName) -> None:
        """
        Look at a container again.
        """
        worker = self._workers.get(name)
        if worker is not None:
            worker.wake()
        elif self._view.looked and self._asked is not None:
            worker = Worker(self._clock, lambda: self._step(name))
            self._workers[name] = worker
            worker.start()

    def wake_users(self, dataset_id: DatasetId) -> None:
        """
        Look again at the containers that mount a dataset.
        """
        names = {name for name, seen in self._view.node.containers.items() if dataset_id in seen.mounts}
        names |= {n for n, c in (self._asked or {}).items() if any(m.dataset_id == dataset_id for m in c.mounts)}
        for name in sorted(names):
            self.wake(name)

    def lease_changed(self) -> None:
        """
        The lease of this node has ended, or goes on: look at once at what is bound to it.
        """
        bound = {name for name, seen in self._view.node.containers.items() if seen.leased}
        bound |= {name for name, c in (self._asked or {}).items() if self._is_leased(c)}
        for name in bound:
            self._failures.forgiven(name)
            self.wake(name)

    def _is_leased(self, container: Container) -> bool | None:
        said = [leased for m in container.mounts if (leased := self._leased(m.dataset_id)) is not None]
        return any(said) if said else None

    async def news(self, name: ContainerName) -> None:
        """
        A container may have changed by itself.
        """
        await self._look(name)
        self.wake(name)

    async def stop(self) -> None:
        """
        End after the present steps.
        """
        for worker in tuple(self._workers.values()):
            await worker.stop()

    async def _step(self, name: ContainerName) -> float | None:
        if self._asked is None:
            return None
        if name in self._unseen and not await self._look(name):
            return self._failures.still_to_wait_seconds(name)
        asked = self._asked.get(name)
        paths = {} if asked is None else {m.dataset_id: self._usable_path(m.dataset_id) for m in asked.mounts}
        seen = self._view.node.containers.get(name)
        step = container_step(
            asked,
            seen,
            self._view.definitions.get(name),
            unready=tuple(d for d, path in paths.items() if path is None),
            leased=None if asked is None else self._is_leased(asked),
            lease_over=self._view.lease_over,
            left_alone=tuple(d for d in (() if seen is None else seen.mounts) if self._is_left_alone(d)),
        )
        reason = step.reason if isinstance(step, Nothing) else ""
        if self._view.node.waiting.get(name, "") != reason:
            self._view.waits(name, reason)
            self._changed(frozenset())
        if isinstance(step, Nothing):
            if not self._runtime.is_changed(name):
                self._nothing(name, over=asked is None or (seen is not None and not reason))
                return None
            step = RepairContainer(name=name)
        return await self._perform(name, step, {d: path for d, path in paths.items() if path is not None})

    def _nothing(self, name: ContainerName, *, over: bool) -> None:
        """
        There is nothing to do for it.

        :param over: and what went wrong is over: it is as it was asked for, whoever has seen to that; or it should not
            be here any more, and asked for again, it begins anew.
        """
        if over and name in self._view.node.failures:
            self._failures.succeeded(name)
            self._changed(frozenset())

    async def _perform(self, name: ContainerName, step: ContainerChange, paths: Mapping[DatasetId, Path]) -> float:
        # Whatever wakes the worker, news of the datasets that it uses among it: not before its time has come.
        wait = self._failures.still_to_wait_seconds(name)
        if wait:
            return wait
        begun_before = name in self._view.starting
        if isinstance(step, StartContainer):
            # From here on its datasets are in use: they are not unmounted before it was seen to have ended.
            self._view.starting[name] = step.container
        again_seconds = 0.0
        try:
            # By name only: the environment of a container is where people keep passwords.
            with start_action(action_type=step.kind, name=name):
                await self._blocking.run(self._change, step, paths)
            self._failures.succeeded(name)
        except Exception as error:  # noqa: BLE001  # one container's trouble is told, and delays no other
            again_seconds = self._failures.failed(name, error)
            if isinstance(error, ContainerRuntimeError) and error.nothing_begun and not begun_before:
                # Otherwise nothing of it could be given back before the runtime answers again.
                datasets = self._datasets_of(name)
                self._view.starting.pop(name, None)
                self._changed(datasets)
        self._unseen.add(name)
        await self._look(name)
        return again_seconds

    def _change(self, change: ContainerChange, paths: Mapping[DatasetId, Path]) -> None:
        match change:
            case StartContainer():
                self._runtime.start(change.container, paths, leased=change.leased)
            case BindContainer():
                self._runtime.bind_to_lease(change.name, leased=change.leased)
            case FenceContainer():
                self._runtime.fence(change.name)
            case RepairContainer():
                self._runtime.repair(change.name)
            case StopContainer():
                self._runtime.stop(change.name, grace_seconds=change.grace_seconds)
            case RemoveContainer():
                self._runtime.remove(change.name)
            case _:
                assert_never(change)

    async def _look(self, name: ContainerName) -> bool:
        datasets = self._datasets_of(name)
        try:
            seen = await self._blocking.run(self._looks.at_containers)
        except Exception as error:  # noqa: BLE001  # told, and looked at again by the next look at everything
            self._failures.failed(name, error)
            return False
        self._unseen.discard(name)
        self._view.starting.pop(name, None)
        news = self._view.all_containers(*seen)
        for other in news - {name}:
            datasets |= self._datasets_of(other)
            self.wake(other)
        self._changed(datasets | self._datasets_of(name))
        return True

    def _datasets_of(self, name: ContainerName) -> frozenset[DatasetId]:
        seen = self._view.node.containers.get(name)
        container = self._view.starting.get(name)
        if container is None and self._asked is not None:
            container = self._asked.get(name)
        result = set() if seen is None else {*seen.mounts}
        return frozenset(result | ({m.dataset_id for m in container.mounts} if container is not None else set()))
