"""
The agent: looks at its host, works on what is asked, and tells what it sees.

Everything here happens in the reactor's thread; what blocks goes through ``Blocking``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import Deferred

from flocker_agent.container_work import ContainerWork
from flocker_agent.dataset_work import DatasetWork, Transfers
from flocker_agent.failures import Failures
from flocker_agent.forward_work import ForwardWork, Network
from flocker_agent.lease import NodeLease
from flocker_agent.locks import Locks
from flocker_agent.looks import Looks
from flocker_agent.preparation_work import PreparationWork
from flocker_agent.stash_work import StashWork
from flocker_agent.threads import Blocking
from flocker_agent.view import View
from flocker_agent.worker import Worker
from flocker_py.assignment import NodeAssignment, Own
from flocker_py.clock import Clock
from flocker_py.model import ContainerName, DatasetId
from flocker_py.observed import HOST, NodeObservation
from flocker_py.runtime import Runtime
from flocker_py.storage import Role, Storage

LOOK_SECONDS = 30.0
"""Between looks at everything, for what changes without our doing: used and free bytes, and what people do by hand."""


class Agent:
    """
    Makes one host match what is asked of it.

    :param node: what is constant of this node.
    :param publish: is told whenever what is seen has changed.
    :param now_seconds: since the epoch of Unix; None: what ``clock`` shows.
    :param boottime_seconds: the clock of leases; None: the same as ``clock``.
    :param lease_blocking: where writing down a lease waits for nothing else; None: ``blocking``.
    :param copying: where copies of snapshots are made, which may take long; None: ``blocking``.
    :param fetching: where containers are prepared, which may take long; None: ``blocking``.
    :param network: where ports are led to containers on other nodes; None: nothing of it was ever done here.
    :param forwards: whether they are; else, what was done of it is undone.
    """

    def __init__(
        self,
        *,
        node: NodeObservation,
        storage: Storage,
        runtime: Runtime,
        transfers: Transfers,
        clock: Clock,
        blocking: Blocking,
        locks: Locks,
        publish: Callable[[NodeObservation], None],
        now_seconds: Callable[[], float] | None = None,
        boottime_seconds: Callable[[], float] | None = None,
        lease_blocking: Blocking | None = None,
        fetching: Blocking | None = None,
        copying: Blocking | None = None,
        network: Network | None = None,
        forwards: bool = False,
    ) -> None:
        self.assignment: NodeAssignment | None = None
        self._runtime = runtime
        self._blocking = blocking
        self._publish = publish
        self._published = node
        self._view = View(node)
        now_seconds = clock.seconds if now_seconds is None else now_seconds
        self._failures = Failures(self._view, clock, now_seconds)
        self._looks = Looks(storage, runtime)
        self.datasets = DatasetWork(
            view=self._view,
            failures=self._failures,
            storage=storage,
            looks=self._looks,
            transfers=transfers,
            blocking=blocking,
            copying=blocking if copying is None else copying,
            locks=locks,
            clock=clock,
            now_seconds=now_seconds,
            changed=self._dataset_changed,
        )
        self._lease = NodeLease(
            runtime=runtime,
            blocking=blocking if lease_blocking is None else lease_blocking,
            clock=clock,
            boottime_seconds=clock.seconds if boottime_seconds is None else boottime_seconds,
            changed=self._lease_changed,
        )
        self._view.lease_over = self._lease.over
        self.containers = ContainerWork(
            view=self._view,
            failures=self._failures,
            runtime=runtime,
            looks=self._looks,
            blocking=blocking,
            clock=clock,
            usable_path=self._usable_path,
            leased=self.datasets.leased,
            is_left_alone=self._is_left_alone,
            changed=self._containers_changed,
        )
        self.stashes = StashWork(
            view=self._view,
            failures=self._failures,
            storage=storage,
            looks=self._looks,
            blocking=blocking,
            locks=locks,
            clock=clock,
            now_seconds=now_seconds,
            changed=self._stashes_changed,
        )
        self.preparations = PreparationWork(
            view=self._view,
            failures=self._failures,
            runtime=runtime,
            blocking=blocking if fetching is None else fetching,
            clock=clock,
            changed=self._tell,
        )
        self.forwards: ForwardWork | None = None
        if network is not None:
            self.forwards = ForwardWork(
                network=network,
                enabled=forwards,
                failures=self._failures,
                blocking=blocking,
                clock=clock,
                changed=self._tell,
            )
        self._look = Worker(clock, self._look_at_everything)
        self._stop_watching: Callable[[], None] = lambda: None

    @property
    def node(self) -> NodeObservation:
        """
        This node as it is seen now.
        """
        return self._view.node

    def start(self) -> None:
        """
        Begin with a look at everything.
        """
        self._look.start()
        if self.forwards is not None:
            self.forwards.start()
        self._stop_watching = self._runtime.watch(lambda name: self._blocking.report(self._container_news, name))

    async def stop(self) -> None:
        """
        End after the present steps. Datasets stay mounted, and containers go on.
        """
        self._stop_watching()
        self._lease.stop()
        await self._look.stop()
        await self.containers.stop()
        await self.datasets.stop()
        await self.stashes.stop()
        if self.forwards is not None:
            await self.forwards.stop()
        # Last: a registry may take its time.
        await self.preparations.stop()

    def assign(self, assignment: NodeAssignment) -> None:
        """
        From now on, this is what is asked.
        """
        self.assignment = assignment
        self.datasets.asked(assignment.datasets)
        self.containers.asked(assignment.containers)
        self.stashes.asked(assignment.stashes)
        self.preparations.asked(assignment.preparing)
        if self.forwards is not None:
            self.forwards.asked(assignment.forwards)
        for dataset_id in assignment.datasets:
            self.containers.wake_users(dataset_id)

    def renewed(self, ends_at_seconds: float) -> None:
        """
        The lease of this node ends then.
        """
        self._lease.renewed(ends_at_seconds)

    def _lease_changed(self) -> None:
        self._view.lease_over = self._lease.over
        self.containers.lease_changed()
        self.datasets.lease_changed()

    async def _look_at_everything(self) -> float | None:
        first = not self._view.looked
        try:
            if first:
                await self._lease.recall()
            look, datasets, stashes, free_bytes = await self._blocking.run(self._looks.at_pool)
            for dataset_id in self._view.node.datasets:
                if self.datasets.is_changing(dataset_id):
                    # Whoever is changing it looks at it afterwards.
                    datasets = self._view.with_present(dataset_id, datasets)
            news = self._view.all_stored(look, datasets, free_bytes)
            news |= self._view.all_stashes(look, stashes)
            containers = self._view.all_containers(*await self._blocking.run(self._looks.at_containers))
        except Exception as error:  # noqa: BLE001  # whatever it is, users must see it, and it must be tried again
            wait = self._failures.failed(HOST, error)
            self._view.pool_unknown()
            self._tell()
            return wait
        self._failures.succeeded(HOST)
        self._view.looked = True
        self._tell()
        if first and self.assignment is not None:
            news |= set(self.assignment.datasets)
            containers |= set(self.assignment.containers) | set(self._view.node.containers)
        for dataset_id in news:
            self.datasets.wake(dataset_id)
            self.containers.wake_users(dataset_id)
        containers |= {name for name in self._view.node.containers if self._runtime.is_changed(name)}
        for name in containers:
            self.containers.wake(name)
        self.stashes.wake()
        return LOOK_SECONDS

    def _is_left_alone(self, dataset_id: DatasetId) -> bool:
        stored = self._view.stored(dataset_id)
        return stored is not None and stored.role is Role.OWNER and self.datasets.assignment(dataset_id) is None

    def _usable_path(self, dataset_id: DatasetId) -> Path | None:
        asked, stored = self.datasets.assignment(dataset_id), self._view.stored(dataset_id)
        if not isinstance(asked, Own) or stored is None or stored.mounted_at is None:
            return None
        if asked.leased and self._lease.over:
            return None
        if stored.role is not Role.OWNER or stored.epoch != asked.epoch or self.datasets.is_changing(dataset_id):
            return None
        return Path(stored.mounted_at)

    def _dataset_changed(self, dataset_id: DatasetId) -> None:
        self._tell()
        self.containers.wake_users(dataset_id)

    def _stashes_changed(self, datasets: set[DatasetId]) -> None:
        self._tell()
        for dataset_id in datasets:
            self.datasets.wake(dataset_id)

    def _containers_changed(self, datasets: frozenset[DatasetId]) -> None:
        self._tell()
        for dataset_id in datasets:
            self.datasets.wake(dataset_id)

    def _container_news(self, name: ContainerName) -> None:
        Deferred.fromCoroutine(self.containers.news(name))

    def _tell(self) -> None:
        if self._published != self._view.node:
            self._published = self._view.node
            self._publish(self._published)
