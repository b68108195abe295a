"""
Nodes with a transfer port each, and sessions between them.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from flocker_agent.pacing import Pacer
from flocker_agent.storage.directory import DirectoryStorage
from flocker_agent.storage.memory import MemoryPool, MemoryStorage
from flocker_agent.transfer.admission import Admission, Admitted, Refused
from flocker_agent.transfer.limits import TransferLimits
from flocker_agent.transfer.receive import ReceiveService
from flocker_agent.transfer.reception import ReceiveEnded, ReceiveNews, ReplicaDiscarded, SnapshotReceived
from flocker_agent.transfer.send import SendSession, SessionEnded
from flocker_py.assignment import SendTo
from flocker_py.credentials import Credential
from flocker_py.identity import NodeIdentity
from flocker_py.model import DatasetId, Guid, MoveId, NodeId, OverrunPolicy
from flocker_py.observed import SendProgress
from flocker_py.storage import Role, Storage, StoredSnapshot
from tests.relay import Failing, Fault, Relay, Way

# Only a transfer that hangs ever waits so long.
DEADLINE_SECONDS = 60.0
EPOCH = 3
QUICK = TransferLimits(silence_seconds=15.0, handshake_seconds=10.0)
# Only for tests of silence itself: on a busy machine a second is soon over.
IMPATIENT = TransferLimits(silence_seconds=2.0, handshake_seconds=3.0)


def eventually(holds: Callable[[], object], what: str) -> None:
    """
    Wait until something holds.
    """
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"it never came to this: {what}"
        time.sleep(0.005)


def noise(size_bytes: int, seed: int) -> bytes:
    """
    Content that is the same for the same seed, and like nothing else.
    """
    return random.Random(seed).randbytes(size_bytes)


class Pool(Protocol):
    """
    A pool, and what an application does in it.
    """

    @property
    def storage(self) -> Storage: ...

    def write(self, dataset_id: DatasetId, name: str, content: bytes) -> None: ...

    def content(self, dataset_id: DatasetId) -> dict[str, bytes]: ...


class MemoryPoolInUse:
    """
    A pool in memory.
    """

    def __init__(self, capacity_bytes: int = 1 << 40, storage: MemoryStorage | None = None) -> None:
        self._storage = MemoryStorage(MemoryPool(capacity_bytes)) if storage is None else storage

    @property
    def storage(self) -> Storage:
        return self._storage

    def write(self, dataset_id: DatasetId, name: str, content: bytes) -> None:
        self._storage.write(dataset_id, name.encode(), content)

    def content(self, dataset_id: DatasetId) -> dict[str, bytes]:
        return {name.decode(): content for name, content in self._storage.content(dataset_id).items()}


class DirectoryPoolInUse:
    """
    A pool of plain folders.
    """

    def __init__(self, folder: Path) -> None:
        (folder / "pool").mkdir(parents=True)
        (folder / "mounts").mkdir()
        self._storage = DirectoryStorage(folder / "pool", folder / "mounts")

    @property
    def storage(self) -> Storage:
        return self._storage

    def write(self, dataset_id: DatasetId, name: str, content: bytes) -> None:
        (self._mounted_at(dataset_id) / name).write_bytes(content)

    def content(self, dataset_id: DatasetId) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self._mounted_at(dataset_id).iterdir()}

    def _mounted_at(self, dataset_id: DatasetId) -> Path:
        mounted_at = self._storage.dataset(dataset_id).mounted_at
        assert mounted_at is not None
        return Path(mounted_at)


class GatedMemoryStorage(MemoryStorage):
    """
    A pool in memory that stands still on demand, as one does that commits to slow disks.
    """

    def __init__(self, pool: MemoryPool) -> None:
        super().__init__(pool)
        self.receiving = threading.Event()
        self.snapshotting = threading.Event()

    def receive(self, dataset_id: DatasetId, stream: int) -> StoredSnapshot:
        """
        Wait, then do as promised.
        """
        self.receiving.wait(DEADLINE_SECONDS)
        return super().receive(dataset_id, stream)

    def snapshot(self, dataset_id: DatasetId, name: str) -> StoredSnapshot:
        """
        Wait, then do as promised.
        """
        self.snapshotting.wait(DEADLINE_SECONDS)
        return super().snapshot(dataset_id, name)


class TransferNode:
    """
    One node: a pool, a certificate, a transfer port.
    """

    def __init__(
        self,
        pool: Pool,
        credential: Credential,
        *,
        limits: TransferLimits = QUICK,
        admission: Admission | None = None,
    ) -> None:
        assert isinstance(credential.identity, NodeIdentity)
        self.node_id: NodeId = credential.identity.node_id
        self.pool = pool
        self.credential = credential
        self.limits = limits
        self.exclusive = threading.Lock()
        self.received: list[SnapshotReceived] = []
        self.discarded: list[DatasetId] = []
        self.ended: list[ReceiveEnded] = []
        self.refusal: Refused | None = None
        self.service = ReceiveService(
            pool.storage,
            credential,
            admission=self._admit if admission is None else admission,
            on_change=self._note,
            limits=limits,
        )
        self.port = self.service.start("127.0.0.1", 0)

    def _admit(self, dataset_id: DatasetId, epoch: int, move_id: MoveId, peer: NodeId) -> Admitted | Refused:
        return Admitted() if self.refusal is None else self.refusal

    def _note(self, news: ReceiveNews) -> None:
        match news:
            case SnapshotReceived():
                self.received.append(news)
            case ReplicaDiscarded():
                self.discarded.append(news.dataset_id)
            case ReceiveEnded():
                self.ended.append(news)

    def owned(self, *contents: bytes) -> DatasetId:
        """
        A new dataset that is owned here and holds some files: ``0``, ``1`` …
        """
        dataset_id = DatasetId(uuid4())
        self.pool.storage.create(dataset_id, role=Role.OWNER, epoch=EPOCH)
        self.pool.storage.mount(dataset_id)
        for number, content in enumerate(contents):
            self.pool.write(dataset_id, str(number), content)
        return dataset_id

    def release(self, dataset_id: DatasetId) -> Guid:
        """
        Lay a dataset down for good, and take the final snapshot.
        """
        storage = self.pool.storage
        epoch = storage.dataset(dataset_id).epoch
        with self.exclusive:
            storage.unmount(dataset_id)
            storage.set_role(dataset_id, role=Role.RELEASED, epoch=epoch)
            return storage.snapshot(dataset_id, f"final-{epoch}").guid

    def take_over(self, dataset_id: DatasetId) -> dict[str, bytes]:
        """
        Become the owner, and say what the dataset holds.
        """
        storage = self.pool.storage
        storage.set_role(dataset_id, role=Role.OWNER, epoch=EPOCH + 1)
        storage.mount(dataset_id)
        return self.pool.content(dataset_id)

    def holds_nothing(self) -> bool:
        """
        Whether there is no trace of any dataset.
        """
        return not self.pool.storage.datasets()

    def guids(self, dataset_id: DatasetId) -> list[Guid]:
        """
        Of the dataset's snapshots, oldest first; of none if there is no whole dataset.
        """
        stored = self.pool.storage.datasets().get(dataset_id)
        return [] if stored is None else [one.guid for one in stored.snapshots]


class Sending:
    """
    A session, and all that it told.
    """

    def __init__(
        self,
        source: TransferNode,
        dataset_id: DatasetId,
        target: TransferNode,
        *,
        port: int | None = None,
        credential: Credential | None = None,
        final_guid: Guid | None = None,
        move_id: MoveId | None = None,
        pacer: Pacer | None = None,
        # No slow disk is a reason to give up, unless that is what is tried.
        max_downtime_seconds: float = 60.0,
        limits: TransferLimits | None = None,
    ) -> None:
        self.progress: list[SendProgress] = []
        self.ended: SessionEnded | None = None
        self.session = SendSession(
            source.pool.storage,
            dataset_id,
            send_to=SendTo(
                move_id=MoveId(uuid4()) if move_id is None else move_id,
                target=target.node_id,
                address="127.0.0.1",
                port=target.port if port is None else port,
                max_downtime_seconds=max_downtime_seconds,
                on_overrun=OverrunPolicy.GIVE_UP,
            ),
            epoch=EPOCH,
            node_id=source.node_id,
            credential=source.credential if credential is None else credential,
            on_change=self._note,
            limits=source.limits if limits is None else limits,
            pacer=pacer,
            exclusive=source.exclusive,
            final_guid=final_guid,
        )
        self.session.start()

    def _note(self, news: SendProgress | SessionEnded) -> None:
        match news:
            case SendProgress():
                self.progress.append(news)
            case SessionEnded():
                self.ended = news

    def outcome(self) -> SessionEnded:
        """
        How it ended.
        """
        assert self.session.join(DEADLINE_SECONDS), "the session hangs"
        assert self.ended is not None
        return self.ended

    def sent_bytes(self) -> int:
        """
        How much of streams it sent.
        """
        return self.progress[-1].sent_bytes if self.progress else 0

    def error(self) -> str | None:
        """
        The name of the error that it ended with.
        """
        error = self.outcome().error
        return None if error is None else type(error).__name__

    def acknowledged(self) -> Guid | None:
        """
        The newest snapshot that the target is known to hold.
        """
        return self.progress[-1].acknowledged_guid if self.progress else None


def relayed(target: TransferNode, at_byte: int, failing: Failing) -> Relay:
    """
    A link to a node whose first connection fails, after so many bytes on the way there.
    """
    return Relay("127.0.0.1", target.port, faults=[[Fault(Way.THERE, at_byte, failing)]])
