"""
What the storage contract needs of a backend, and how it carries streams about.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import pytest

from flocker_py.model import DatasetId, Guid
from flocker_py.storage import DatasetMissing, Role, SendPlan, Storage, StoredDataset, StoredSnapshot, StreamCut
from flocker_py.testing.trees import Tree, TreeEntry, file, read_tree, remove_entry, write_tree

MEBIBYTE = 1024 * 1024
# Long enough for an emulated machine under load; only a hanging backend ever waits so long.
DEADLINE_SECONDS = 90.0


class Files(Protocol):
    """
    What an application does with a mounted dataset. A failed write raises ``OSError``, as the kernel has it.
    """

    def write(self, dataset_id: DatasetId, tree: Tree) -> None:
        """
        Make the entries, each replacing whatever has its name; other names stay.
        """
        ...

    def write_at(self, dataset_id: DatasetId, path: bytes, offset: int, content: bytes) -> None:
        """
        Change a file in place.
        """
        ...

    def remove(self, dataset_id: DatasetId, path: bytes) -> None:
        """
        Remove what has a name, a folder with all that is in it.
        """
        ...

    def read(self, dataset_id: DatasetId) -> dict[bytes, TreeEntry]:
        """
        All that is in the dataset.
        """
        ...

    def read_stash(self, name: str) -> dict[bytes, TreeEntry]:
        """
        All that is in a stash that is mounted.
        """
        ...


class PoolUnderTest(Protocol):
    """
    One pool, opened through the backend under test.
    """

    @property
    def storage(self) -> Storage:
        """
        The pool as it is open now.
        """
        ...

    @property
    def files(self) -> Files:
        """
        The hands of an application.
        """
        ...

    @property
    def size_bytes(self) -> int | None:
        """
        How much the pool holds, 64 to 128 MiB or so; None: it has no end that a test could reach.
        """
        ...

    @property
    def mount_root(self) -> Path | None:
        """
        The folder that datasets are mounted in; None: nothing of them is to be seen in the host's file system.
        """
        ...

    def reopen(self) -> None:
        """
        Give ``storage`` up without a word, as kill -9 does, and open the same pool anew.
        """
        ...


NewPool = Callable[[], PoolUnderTest]


class MountedFiles:
    """
    The ``Files`` of a backend that mounts datasets in the host's file system.

    :param storage: answers with the pool as it is open now.
    """

    def __init__(self, storage: Callable[[], Storage]) -> None:
        self._storage = storage

    def _root(self, dataset_id: DatasetId) -> Path:
        mounted_at = self._storage().dataset(dataset_id).mounted_at
        assert mounted_at is not None, f"{dataset_id} is not mounted"
        return Path(mounted_at)

    def write(self, dataset_id: DatasetId, tree: Tree) -> None:
        """
        As promised by ``Files``.
        """
        write_tree(self._root(dataset_id), tree)

    def write_at(self, dataset_id: DatasetId, path: bytes, offset: int, content: bytes) -> None:
        """
        As promised by ``Files``.
        """
        with (self._root(dataset_id) / os.fsdecode(path)).open("r+b") as stream:
            stream.seek(offset)
            stream.write(content)

    def remove(self, dataset_id: DatasetId, path: bytes) -> None:
        """
        As promised by ``Files``.
        """
        remove_entry(os.fsencode(self._root(dataset_id) / os.fsdecode(path)))

    def read(self, dataset_id: DatasetId) -> dict[bytes, TreeEntry]:
        """
        As promised by ``Files``.
        """
        return read_tree(self._root(dataset_id))

    def read_stash(self, name: str) -> dict[bytes, TreeEntry]:
        """
        As promised by ``Files``.
        """
        mounted_at = self._storage().stashes()[name].mounted_at
        assert mounted_at is not None, f"stash {name} is not mounted"
        return read_tree(Path(mounted_at))


class PoolFixtures:
    """
    What every part of the contract takes as fixtures. Subclasses override ``new_pool``.
    """

    @pytest.fixture
    def new_pool(self) -> NewPool:
        """
        Makes an empty pool whenever it is called; it is gone after the test.
        """
        raise NotImplementedError("a contract's subclass overrides new_pool")

    @pytest.fixture
    def pool(self, new_pool: NewPool) -> PoolUnderTest:
        """
        An empty pool.
        """
        return new_pool()

    @pytest.fixture
    def other_pool(self, new_pool: NewPool) -> PoolUnderTest:
        """
        Another empty pool.
        """
        return new_pool()


def new_id() -> DatasetId:
    """
    An id that no pool has.
    """
    return DatasetId(uuid4())


def noise(size_bytes: int, seed: int = 0) -> bytes:
    """
    Content that can't be compressed, the same for the same seed.
    """
    return random.Random(seed).randbytes(size_bytes)  # noqa: S311


def owned(pool: PoolUnderTest, *, epoch: int = 1, mounted: bool = True) -> DatasetId:
    """
    A new dataset that is owned here.
    """
    dataset_id = new_id()
    pool.storage.create(dataset_id, role=Role.OWNER, epoch=epoch)
    if mounted:
        pool.storage.mount(dataset_id)
    return dataset_id


def content_of(pool: PoolUnderTest, dataset_id: DatasetId, guid: Guid) -> dict[bytes, TreeEntry]:
    """
    What a snapshot holds, seen through a clone that is gone afterwards.
    """
    storage, clone_id = pool.storage, new_id()
    storage.clone(dataset_id, guid, clone_id, epoch=1)
    storage.mount(clone_id)
    try:
        return pool.files.read(clone_id)
    finally:
        storage.unmount(clone_id)
        storage.destroy(clone_id)


def snapshot_guids(storage: Storage, dataset_id: DatasetId) -> list[Guid]:
    """
    The GUIDs of a dataset's snapshots, oldest first; of none if the pool has no such dataset.
    """
    dataset = storage.datasets().get(dataset_id)
    return [] if dataset is None else [snapshot.guid for snapshot in dataset.snapshots]


def resume_token(storage: Storage, dataset_id: DatasetId) -> str | None:
    """
    The token of a dataset's partial receive, if there is one.
    """
    dataset = storage.datasets().get(dataset_id)
    return None if dataset is None else dataset.resume_token


class InThread:
    """
    A call under way in another thread.
    """

    def __init__(self, call: Callable[[], object]) -> None:
        self.error: BaseException | None = None
        self._call = call
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._call()
        except BaseException as error:  # noqa: BLE001  # whatever it is, the test shall see it
            self.error = error

    def wait(self) -> None:
        """
        Until the call is over, whatever became of it.
        """
        self._thread.join(DEADLINE_SECONDS)
        assert not self._thread.is_alive(), "the call hangs"

    def finish(self) -> None:
        """
        Until the call is over; raises what it raised.
        """
        self.wait()
        if self.error is not None:
            raise self.error


def stream_of(storage: Storage, dataset_id: DatasetId, plan: SendPlan) -> bytes:
    """
    All of a stream.

    :raises StorageError: what ``send`` raised.
    """
    reading, writing = os.pipe()
    parts: list[bytes] = []

    def read_all() -> None:
        with os.fdopen(reading, "rb", buffering=0) as pipe:
            while part := pipe.read(MEBIBYTE):
                parts.append(part)

    reader = InThread(read_all)
    try:
        storage.send(dataset_id, plan, writing)
    finally:
        os.close(writing)
        reader.finish()
    return b"".join(parts)


def receive_bytes(storage: Storage, dataset_id: DatasetId, stream: bytes) -> StoredSnapshot:
    """
    Receive what somebody has of a stream; the pipe ends after it.

    :raises StorageError: what ``receive`` raised.
    """
    reading, writing = os.pipe()

    def write_all() -> None:
        with os.fdopen(writing, "wb", buffering=0) as pipe:
            rest = memoryview(stream)
            try:
                while rest:
                    rest = rest[pipe.write(rest) :]
            except BrokenPipeError:
                # A receiver that refuses a stream does not read it to its end.
                pass

    writer = InThread(write_all)
    try:
        return storage.receive(dataset_id, reading)
    finally:
        os.close(reading)
        writer.finish()


def carry(
    source: Storage,
    dataset_id: DatasetId,
    plan: SendPlan,
    target: Storage,
    target_id: DatasetId | None = None,
) -> StoredSnapshot:
    """
    Send straight into a receive, through one pipe.

    :param target_id: the id over there; None: the same.
    :raises StorageError: what ``receive`` raised, or, if it raised nothing, ``send``.
    """
    reading, writing = os.pipe()

    def send() -> None:
        try:
            source.send(dataset_id, plan, writing)
        finally:
            os.close(writing)

    sender = InThread(send)
    try:
        snapshot = target.receive(dataset_id if target_id is None else target_id, reading)
    finally:
        os.close(reading)
        sender.wait()
    sender.finish()
    return snapshot


def replicate(source: PoolUnderTest, dataset_id: DatasetId, target: PoolUnderTest, name: str = "base") -> Guid:
    """
    Take a snapshot and carry all of the dataset to another pool.
    """
    guid = source.storage.snapshot(dataset_id, name).guid
    carry(source.storage, dataset_id, SendPlan(to_guid=guid), target.storage)
    return guid


def state_of(pool: PoolUnderTest, dataset_id: DatasetId) -> StoredDataset:
    """
    What must be the same before and after a refused call: a dataset as it is reported, but for how much room it takes.
    """
    return pool.storage.dataset(dataset_id).set(used_bytes=0)


def is_there(storage: Storage, dataset_id: DatasetId) -> bool:
    """
    Whether the pool has a dataset of this id, and says the same both ways.
    """
    try:
        storage.dataset(dataset_id)
    except DatasetMissing:
        found = False
    else:
        found = True
    assert found == (dataset_id in storage.datasets())
    return found


def partial_dataset(source: PoolUnderTest, target: PoolUnderTest) -> DatasetId:
    """
    A dataset of the source, mounted, of which three quarters have arrived in the target.
    """
    dataset_id = owned(source)
    source.files.write(dataset_id, {b"a": file(noise(4 * MEBIBYTE))})
    guid = source.storage.snapshot(dataset_id, "one").guid
    stream = stream_of(source.storage, dataset_id, SendPlan(to_guid=guid))
    with pytest.raises(StreamCut):
        receive_bytes(target.storage, dataset_id, stream[: len(stream) * 3 // 4])
    return dataset_id
