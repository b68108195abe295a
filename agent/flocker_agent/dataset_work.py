"""
The work on datasets: a worker for each, which plans one step, performs it, and looks again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from eliot import Action, start_action
from pyrsistent import PMap
from twisted.internet.defer import Deferred

from flocker_agent.changes import (
    BranchStash,
    Change,
    CopyDataset,
    FinishSending,
    Nothing,
    Problem,
    StartSending,
    StashDataset,
    StopReceiving,
    StopSending,
    UnmountDataset,
    UnstashDataset,
)
from flocker_agent.failures import Failures
from flocker_agent.locks import Locks
from flocker_agent.looks import Looks
from flocker_agent.perform import StorageChange, perform
from flocker_agent.plan import Sending, Step, dataset_step
from flocker_agent.threads import Blocking
from flocker_agent.transfer.admission import Admitted, Refused, admission
from flocker_agent.transfer.errors import PeerLost, PeerSilent, PeerUnreachable, TransferRefused
from flocker_agent.view import View
from flocker_agent.worker import Worker
from flocker_py.assignment import DatasetAssignment, Own, Release
from flocker_py.clock import Clock
from flocker_py.model import DatasetId, Guid, MoveId, NodeId, Origin
from flocker_py.observed import SendProgress
from flocker_py.storage import DatasetBusy, Role, Storage, StoredDataset
from flocker_py.wire import encode

SOON_AGAIN_SECONDS = 5.0
"""
At most, between two tries at a target that is busy or can't be reached: where many wait for their turn, its time is not
to be wasted; and an application may be standing still for as long as the network does, or for as long as somebody has a
shell in a volume that is to be unmounted.
"""
_SOON_AGAIN = (TransferRefused, PeerLost, PeerSilent, PeerUnreachable)


class Sender(Protocol):
    """
    A session that sends one dataset to another node, in threads of its own. Its calls return at once.
    """

    def finish(self, final_guid: Guid) -> None:
        """
        Send this last snapshot at once, then end.
        """
        ...

    def cancel(self) -> None:
        """
        End as soon as can be.
        """
        ...


class Transfers(Protocol):
    """
    The data plane as the agent uses it.
    """

    def send(
        self,
        change: StartSending,
        progressed: Callable[[SendProgress], None],
        ended: Callable[[Exception | None], None],
    ) -> Sender:
        """
        Open a session. It tells, from any thread, at most once a second and whenever a snapshot was acknowledged how it
        is doing; and once, that it has ended.
        """
        ...

    def stop_receiving(self, dataset_id: DatasetId) -> None:
        """
        End what comes in for a dataset.
        """
        ...


class _Copy:
    """
    A copy of a snapshot that is being made.

    :ivar wanted: whether it still is. Read from the thread that makes it.
    """

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.wanted = True


class DatasetWork:
    """
    :param copying: where copies of snapshots are made, which may take long.
    :param now_seconds: since the epoch of Unix.
    :param changed: called with the dataset whenever something about it is news, for those who depend on it.
    """

    def __init__(
        self,
        *,
        view: View,
        failures: Failures,
        storage: Storage,
        looks: Looks,
        transfers: Transfers,
        blocking: Blocking,
        copying: Blocking,
        locks: Locks,
        clock: Clock,
        now_seconds: Callable[[], float],
        changed: Callable[[DatasetId], None],
    ) -> None:
        self._view = view
        self._failures = failures
        self._storage = storage
        self._looks = looks
        self._transfers = transfers
        self._blocking = blocking
        self._copying = copying
        self._locks = locks
        self._clock = clock
        self._now_seconds = now_seconds
        self._changed = changed
        self._asked: PMap[DatasetId, DatasetAssignment] | None = None
        self._workers: dict[DatasetId, Worker] = {}
        self._senders: dict[DatasetId, Sender] = {}
        self._changing: set[DatasetId] = set()
        self._copies: dict[DatasetId, _Copy] = {}

    def asked(self, datasets: PMap[DatasetId, DatasetAssignment]) -> None:
        """
        From now on, this is what is asked.
        """
        before, self._asked = self._asked, datasets
        for dataset_id, copy in self._copies.items():
            asked = datasets.get(dataset_id)
            copy.wanted &= isinstance(asked, Own) and asked.origin == copy.origin
        for dataset_id in {*datasets, *(before or {})}:
            if before is None or before.get(dataset_id) != datasets.get(dataset_id):
                self._view.is_leased(dataset_id, self.leased(dataset_id) is True)
                self._failures.forgiven(dataset_id)
                self.wake(dataset_id)

    def assignment(self, dataset_id: DatasetId) -> DatasetAssignment | None:
        """
        What is asked for one dataset.
        """
        return None if self._asked is None else self._asked.get(dataset_id)

    def leased(self, dataset_id: DatasetId) -> bool | None:
        """
        Whether a dataset that is owned here is served only for as long as the lease of this node lasts; None: it isn't.
        """
        asked = self.assignment(dataset_id)
        return asked.leased if isinstance(asked, Own) else None

    def lease_changed(self) -> None:
        """
        The lease of this node has ended, or goes on: look at once at what goes by it.
        """
        for dataset_id in self._asked or {}:
            if self.leased(dataset_id):
                self._failures.forgiven(dataset_id)
                self.wake(dataset_id)

    def is_changing(self, dataset_id: DatasetId) -> bool:
        """
        Whether a change to its storage is being made at this moment.
        """
        return dataset_id in self._changing

    def wake(self, dataset_id: DatasetId) -> None:
        """
        Look at a dataset again.
        """
        worker = self._workers.get(dataset_id)
        if worker is not None:
            worker.wake()
        elif self._view.looked and self.assignment(dataset_id) is not None:
            worker = Worker(self._clock, lambda: self._step(dataset_id))
            self._workers[dataset_id] = worker
            worker.start()

    def admit(self, dataset_id: DatasetId, epoch: int, move_id: MoveId, peer: NodeId) -> Admitted | Refused:
        """
        Whether a stream that another node offers may come in now. If so, nothing else is done to the dataset until its
        end is told by ``received``.
        """
        answer = admission(self.assignment(dataset_id), dataset_id, epoch, move_id, peer)
        if isinstance(answer, Refused):
            return answer
        stored = self._view.stored(dataset_id)
        unready = stored is not None and (stored.role is not Role.REPLICA or stored.epoch > epoch)
        unready = unready or self._is_to_branch(dataset_id)
        if not self._view.looked or unready or dataset_id in self._changing:
            return Refused(code="DatasetBusy", text=f"dataset {dataset_id} is not ready to receive yet; in a moment")
        self._view.receiving.add(dataset_id)
        return answer

    def _is_to_branch(self, dataset_id: DatasetId) -> bool:
        # What has a snapshot in common to begin with takes a fraction. If that can't be had, everything is sent.
        step = dataset_step(self.assignment(dataset_id), self._view.local(dataset_id))
        return isinstance(step, BranchStash) and str(dataset_id) not in self._view.node.failures

    def received(self, dataset_id: DatasetId, *, ongoing: bool) -> None:
        """
        A stream has begun, or ended, to come in; or a snapshot has come in whole, or what was here is gone.
        """
        (self._view.receiving.add if ongoing else self._view.receiving.discard)(dataset_id)
        self.refresh(dataset_id)

    def refresh(self, dataset_id: DatasetId) -> None:
        """
        Read a dataset anew from the pool.
        """
        Deferred.fromCoroutine(self._refresh(dataset_id))

    async def stop(self) -> None:
        """
        End after the present steps.
        """
        for sender in self._senders.values():
            sender.cancel()
        for copy in self._copies.values():
            copy.wanted = False
        for worker in tuple(self._workers.values()):
            await worker.stop()

    async def _refresh(self, dataset_id: DatasetId) -> None:
        try:
            self._view.one_stored(*await self._blocking.run(self._looks.at_dataset, dataset_id))
        except Exception as error:  # noqa: BLE001  # the pool itself may be gone: told, and looked at again later
            self._failures.failed(dataset_id, error)
        self._changed(dataset_id)
        self.wake(dataset_id)

    async def _step(self, dataset_id: DatasetId) -> float | None:
        asked, local = self.assignment(dataset_id), self._view.local(dataset_id)
        if asked is None:
            if dataset_id in self._senders:
                self._senders[dataset_id].cancel()
            self._view.sending_forgotten(dataset_id)
            self._view.waits(dataset_id, "")
            self._failures.succeeded(dataset_id)
            self._changed(dataset_id)
            return None
        step = dataset_step(asked, local)
        self._view.waits(dataset_id, step.reason if isinstance(step, Nothing) else "")
        if isinstance(step, Nothing):
            # The figures of what was sent are kept for as long as the dataset is assigned: control reads them here.
            # An error of the last session is shown until the session that is asked for now gets further, and no longer.
            if local.sending is None or not local.sending.failed or not isinstance(asked, Release):
                self._failures.succeeded(dataset_id)
            self._changed(dataset_id)
            return None
        return await self._perform(dataset_id, step)

    async def _perform(self, dataset_id: DatasetId, step: Step) -> float | None:
        match step:
            case Nothing():
                return None
            case Problem():
                self._failures.told(dataset_id, step.code, step.text, lasting=True)
                self._changed(dataset_id)
                return None
            case StartSending():
                return self._start_sending(step)
            case FinishSending():
                with _logged(step):
                    self._view.sending_changed(dataset_id, final_guid=step.final_guid)
                    self._senders[dataset_id].finish(step.final_guid)
                return None
            case StopSending():
                with _logged(step):
                    self._senders[dataset_id].cancel()
                return None
            case StopReceiving():
                with _logged(step):
                    self._transfers.stop_receiving(dataset_id)
                return None
            case _:
                return await self._change_storage(dataset_id, step)

    async def _change_storage(self, dataset_id: DatasetId, change: StorageChange) -> float:
        # Whatever wakes the worker, the look that follows a failure among it: not before its time has come.
        wait = self._failures.still_to_wait_seconds(dataset_id)
        if wait:
            return wait

        copy = _Copy(change.origin) if isinstance(change, CopyDataset) else None

        def work() -> tuple[tuple[int, DatasetId, StoredDataset | None], tuple[int, PMap[str, StoredDataset]] | None]:
            with self._locks.of(dataset_id):
                perform(
                    change,
                    self._storage,
                    now_seconds=self._now_seconds(),
                    cancelled=lambda: copy is not None and not copy.wanted,
                )
            aside = isinstance(change, StashDataset | UnstashDataset | BranchStash)
            return self._looks.at_dataset(dataset_id), self._looks.at_stashes() if aside else None

        self._changing.add(dataset_id)
        if copy is not None:
            self._copies[dataset_id] = copy
        try:
            with _logged(change):
                seen, stashes = await (self._blocking if copy is None else self._copying).run(work)
        except Exception as error:  # noqa: BLE001  # one dataset's trouble is told, and delays no other
            if isinstance(change, UnmountDataset) and isinstance(error, DatasetBusy):
                wait = self._failures.failed(dataset_id, error, longest_wait_seconds=SOON_AGAIN_SECONDS)
            else:
                wait = self._failures.failed(dataset_id, error)
            self.refresh(dataset_id)
            return wait
        finally:
            self._changing.discard(dataset_id)
            self._copies.pop(dataset_id, None)
        self._view.one_stored(*seen)
        if stashes is not None:
            # Told together with the dataset: that it is gone, and that it is kept, must not be told apart.
            self._view.all_stashes(*stashes)
        self._failures.succeeded(dataset_id)
        self._changed(dataset_id)
        return 0

    def _start_sending(self, change: StartSending) -> float | None:
        dataset_id = change.dataset_id
        wait = self._failures.still_to_wait_seconds(dataset_id)
        if wait:
            return wait
        self._view.sending_started(
            dataset_id,
            Sending(send_to=change.send_to, epoch=change.epoch, final_guid=change.final_guid),
        )
        report = self._blocking.report
        with _logged(change):
            self._senders[dataset_id] = self._transfers.send(
                change,
                lambda progress: report(self._progressed, dataset_id, progress),
                lambda error: report(self._ended, dataset_id, error),
            )
        return None

    def _progressed(self, dataset_id: DatasetId, progress: SendProgress) -> None:
        acknowledged = self._view.sending_progress(dataset_id, progress)
        if acknowledged:
            # That what somebody writes has arrived says nothing of who keeps the dataset from being unmounted: one who
            # goes on writing would have the application stand still for ever.
            if not self._is_to_unmount(dataset_id):
                self._failures.succeeded(dataset_id)
            self.wake(dataset_id)
        self._changed(dataset_id)

    def _is_to_unmount(self, dataset_id: DatasetId) -> bool:
        asked = self.assignment(dataset_id)
        return asked is not None and isinstance(dataset_step(asked, self._view.local(dataset_id)), UnmountDataset)

    def _ended(self, dataset_id: DatasetId, error: Exception | None) -> None:
        self._senders.pop(dataset_id, None)
        self._view.sending_ended(dataset_id, failed=error is not None)
        if isinstance(error, _SOON_AGAIN):
            self._failures.failed(dataset_id, error, longest_wait_seconds=SOON_AGAIN_SECONDS)
        elif error is not None:
            self._failures.failed(dataset_id, error)
        self.refresh(dataset_id)


def _logged(change: Change) -> Action:
    return start_action(action_type=change.kind, **encode(change))
