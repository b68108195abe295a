"""
The ``memory`` backend: pools that live in this process, for tests and simulations.

What a dataset holds is a map from names to bytes, written and read through ``MemoryStorage`` itself while mounted.
It starts no thread, opens no file and never waits, but for the pipe of a stream.
"""

from __future__ import annotations

import errno
import os
import secrets
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pyrsistent import PMap, pmap, pvector

from flocker_agent.storage.frames import PAYLOAD_LIMIT_BYTES, FrameKind, FrameReader, FrameWriter
from flocker_agent.storage.memory_pool import KeptDataset, Partial, PoolState, stored
from flocker_agent.storage.memory_stream import NOTHING, applied, body
from flocker_agent.storage.openings import Opening, opening_bytes, parsed_opening
from flocker_agent.storage.rules import (
    admit,
    changed_properties,
    checked_base,
    checked_limit,
    checked_name,
)
from flocker_agent.storage.tokens import resume_position
from flocker_py.model import DatasetId, Guid
from flocker_py.storage import (
    Capabilities,
    DatasetBusy,
    DatasetExists,
    DatasetMissing,
    DatasetPartial,
    PoolFull,
    Role,
    SendPlan,
    SnapshotExists,
    SnapshotHeld,
    StoredDataset,
    StoredSnapshot,
    StreamCorrupt,
    StreamCut,
)

_CAPABILITIES = Capabilities(
    name="memory", atomic_snapshots=True, enforces_limit=True, enforces_unmount=True, needs_root=False
)


class MemoryPool:
    """
    What outlives a ``MemoryStorage``, as a disk outlives a process.

    :param capacity_bytes: how much it holds.
    :param mount_root: below which datasets say they are mounted; nothing is made there.
    """

    def __init__(self, capacity_bytes: int = 1 << 40, mount_root: Path = Path("/flocker")) -> None:
        self.capacity_bytes = capacity_bytes
        self.mount_root = mount_root
        self.state = PoolState()
        self.lock = threading.RLock()

    def reboot(self) -> None:
        """
        What a restart of the host does: nothing is mounted any more.
        """
        with self.lock:
            for dataset_id, dataset in self.state.datasets.items():
                self.state = self.state.set(datasets=self.state.datasets.set(dataset_id, dataset.set(mounted=False)))
            for name, stash in self.state.stashes.items():
                self.state = self.state.set(stashes=self.state.stashes.set(name, stash.set(mounted=False)))


class MemoryStorage:
    """
    A ``Storage`` on a ``MemoryPool``, and the hands of the application that writes to mounted datasets.

    :param new_guid: makes the GUIDs of snapshots, and ``now_seconds`` says when they are taken; a simulation gives its
        own.
    """

    def __init__(
        self,
        pool: MemoryPool,
        *,
        new_guid: Callable[[], int] | None = None,
        now_seconds: Callable[[], float] = time.time,
    ) -> None:
        self._pool = pool
        self._new_guid = new_guid or _random_guid
        self._now_seconds = now_seconds
        self._sending: Counter[tuple[DatasetId, Guid]] = Counter()

    @property
    def capabilities(self) -> Capabilities:
        """
        As promised by ``Storage``.
        """
        return _CAPABILITIES

    def datasets(self) -> PMap[DatasetId, StoredDataset]:
        """
        As promised by ``Storage``.
        """
        state = self._pool.state
        return pmap({each: dataset.stored(self._path(each)) for each, dataset in state.datasets.items()})

    def dataset(self, dataset_id: DatasetId) -> StoredDataset:
        """
        As promised by ``Storage``.
        """
        return self._found(dataset_id).stored(self._path(dataset_id))

    def free_bytes(self) -> int:
        """
        As promised by ``Storage``.
        """
        return self._pool.capacity_bytes - self._pool.state.used_bytes

    def create(
        self, dataset_id: DatasetId, *, role: Role, epoch: int, maximum_size_bytes: int | None = None
    ) -> StoredDataset:
        """
        As promised by ``Storage``.
        """
        checked_limit(dataset_id, maximum_size_bytes)
        with self._pool.lock:
            if dataset_id in self._pool.state.datasets:
                raise DatasetExists(f"{dataset_id}")
            self._put(KeptDataset(dataset_id=dataset_id, role=role, epoch=epoch, maximum_size_bytes=maximum_size_bytes))
            return self.dataset(dataset_id)

    def destroy(self, dataset_id: DatasetId) -> None:
        """
        As promised by ``Storage``.
        """
        with self._pool.lock:
            self._unused(dataset_id)
            self._pool.state = self._pool.state.set(datasets=self._pool.state.datasets.remove(dataset_id))

    def set_role(self, dataset_id: DatasetId, *, role: Role, epoch: int) -> None:
        """
        As promised by ``Storage``.
        """
        with self._changed(dataset_id) as dataset:
            if dataset.mounted and role is not Role.OWNER:
                raise DatasetBusy(f"{dataset_id} is mounted, so it can't become {role.value}")
            self._put(dataset.set(role=role, epoch=epoch))

    def set_properties(self, dataset_id: DatasetId, properties: Mapping[str, str]) -> None:
        """
        As promised by ``Storage``.
        """
        with self._pool.lock:
            dataset = self._found(dataset_id)
            self._put(dataset.set(properties=pmap(changed_properties(dataset.properties, properties))))

    def set_limit(self, dataset_id: DatasetId, maximum_size_bytes: int | None) -> None:
        """
        As promised by ``Storage``.
        """
        with self._changed(dataset_id) as dataset:
            checked_limit(dataset_id, maximum_size_bytes, held_bytes=dataset.content_bytes)
            self._put(dataset.set(maximum_size_bytes=maximum_size_bytes))

    def mount(self, dataset_id: DatasetId) -> Path:
        """
        As promised by ``Storage``.
        """
        with self._changed(dataset_id) as dataset:
            if dataset.role is not Role.OWNER:
                raise DatasetBusy(f"{dataset_id} is {dataset.role.value} here; only an owner is mounted")
            self._put(dataset.set(mounted=True))
            return Path(self._path(dataset_id))

    def unmount(self, dataset_id: DatasetId) -> None:
        """
        As promised by ``Storage``.
        """
        with self._pool.lock:
            self._put(self._found(dataset_id).set(mounted=False))

    def written_since_snapshot(self, dataset_id: DatasetId) -> bool:
        """
        As promised by ``Storage``.
        """
        return self._found(dataset_id).written

    def snapshot(self, dataset_id: DatasetId, name: str) -> StoredSnapshot:
        """
        As promised by ``Storage``.
        """
        checked_name(name)
        with self._changed(dataset_id) as dataset:
            if name in {snapshot.name for snapshot in dataset.snapshots}:
                raise SnapshotExists(f"{name} of {dataset_id}")
            after = dataset.with_snapshot(Guid(self._new_guid()), name, self._now_seconds())
            self._put(after, grows=True)
            return stored(after.snapshots[-1])

    def destroy_snapshots(self, dataset_id: DatasetId, guids: Iterable[Guid]) -> None:
        """
        As promised by ``Storage``.
        """
        with self._pool.lock:
            dataset = self._found(dataset_id)
            doomed = [dataset.snapshot(guid) for guid in guids]
            for snapshot in doomed:
                if snapshot.holds:
                    raise SnapshotHeld(f"{snapshot.guid} of {dataset_id}, by {', '.join(snapshot.holds)}")
                if self._sending[dataset_id, snapshot.guid]:
                    raise DatasetBusy(f"Snapshot {snapshot.guid} of {dataset_id} is being sent")
            self._put(dataset.with_snapshots(tuple(each for each in dataset.snapshots if each not in doomed)))

    def hold(self, dataset_id: DatasetId, guids: Iterable[Guid], tag: str) -> None:
        """
        As promised by ``Storage``.
        """
        checked_name(tag)
        with self._pool.lock:
            dataset = self._found(dataset_id)
            held = {dataset.snapshot(guid).guid for guid in guids}
            self._put(
                dataset.set(
                    snapshots=pvector(
                        snapshot.set(holds=snapshot.holds.append(tag))
                        if snapshot.guid in held and tag not in snapshot.holds
                        else snapshot
                        for snapshot in dataset.snapshots
                    )
                )
            )

    def release(self, dataset_id: DatasetId, guids: Iterable[Guid], tag: str) -> None:
        """
        As promised by ``Storage``.
        """
        with self._pool.lock:
            dataset = self._found(dataset_id)
            released = {dataset.snapshot(guid).guid for guid in guids}
            self._put(
                dataset.set(
                    snapshots=pvector(
                        snapshot.set(holds=pvector(each for each in snapshot.holds if each != tag))
                        if snapshot.guid in released
                        else snapshot
                        for snapshot in dataset.snapshots
                    )
                )
            )

    def bookmark(self, dataset_id: DatasetId, guid: Guid, name: str) -> None:
        """
        As promised by ``Storage``.
        """
        checked_name(name)
        with self._pool.lock:
            dataset = self._found(dataset_id)
            snapshot = dataset.snapshot(guid)
            present = dataset.bookmarks.get(name)
            if present is not None and present.guid != guid:
                raise SnapshotExists(f"Bookmark {name} of {dataset_id}, made of {present.guid}")
            self._put(dataset.set(bookmarks=dataset.bookmarks.set(name, snapshot)))

    def bookmarks(self, dataset_id: DatasetId) -> PMap[str, Guid]:
        """
        As promised by ``Storage``.
        """
        return pmap({name: snapshot.guid for name, snapshot in self._found(dataset_id).bookmarks.items()})

    def destroy_bookmarks(self, dataset_id: DatasetId, names: Iterable[str]) -> None:
        """
        As promised by ``Storage``.
        """
        with self._pool.lock:
            dataset, doomed = self._found(dataset_id), set(names)
            kept = {name: snapshot for name, snapshot in dataset.bookmarks.items() if name not in doomed}
            self._put(dataset.set(bookmarks=pmap(kept)))

    def send_estimate_bytes(self, dataset_id: DatasetId, plan: SendPlan) -> int:
        """
        As promised by ``Storage``.
        """
        data = self._data(dataset_id, plan)
        return len(data) - (resume_position(plan, len(data)) or 0) + len(self._opening(dataset_id, plan, data))

    def send(self, dataset_id: DatasetId, plan: SendPlan, stream: int) -> None:
        """
        As promised by ``Storage``.
        """
        with self._pool.lock:
            data = self._data(dataset_id, plan)
            opening = self._opening(dataset_id, plan, data)
            self._sending[dataset_id, plan.to_guid] += 1
        try:
            frames = FrameWriter(stream)
            frames.write(FrameKind.OPENING, opening)
            for position in range(resume_position(plan, len(data)) or 0, len(data), PAYLOAD_LIMIT_BYTES):
                part = memoryview(data)[position : position + PAYLOAD_LIMIT_BYTES]
                frames.write(FrameKind.DATA, part, position=position)
            frames.write(FrameKind.END, zlib.crc32(data).to_bytes(4), position=len(data))
        finally:
            with self._pool.lock:
                self._sending[dataset_id, plan.to_guid] -= 1

    def receive(self, dataset_id: DatasetId, stream: int) -> StoredSnapshot:
        """
        As promised by ``Storage``.
        """
        frames = FrameReader(stream)
        header, payload = frames.read()
        if header.kind is not FrameKind.OPENING:
            raise StreamCorrupt(f"A stream begins with an opening, not with {header.kind.name.lower()}")
        opening = parsed_opening(bytes(payload), _CAPABILITIES.name)
        with self._pool.lock:
            before = self._pool.state.datasets.get(dataset_id)
            present = None if before is None else self.dataset(dataset_id)
            partial = None if before is None else before.partial
            admit(
                dataset_id,
                present,
                None if partial is None else partial.kept,
                opening,
                lambda: before is not None and before.written,
            )
        arrived = bytearray(b"" if partial is None else partial.data)
        try:
            checksum = self._read_data(frames, arrived)
        except StreamCut:
            kept = Partial(to_guid=opening.to_guid, from_guid=opening.from_guid, data=bytes(arrived))
            self._put(_begun(dataset_id, before).set(partial=kept), grows=True)
            raise
        data = bytes(arrived)
        if checksum != zlib.crc32(data).to_bytes(4):
            raise StreamCorrupt("The checksum of the whole is wrong")
        with self._pool.lock:
            dataset = _begun(dataset_id, before)
            content = applied(dataset.base(opening.from_guid), data)
            after = dataset.set(whole=True, partial=None).with_content(content)
            self._put(after.with_snapshot(opening.to_guid, opening.to_name, opening.created_at_seconds), grows=True)
        return self.dataset(dataset_id).snapshots[-1]

    def abort_receive(self, dataset_id: DatasetId) -> None:
        """
        As promised by ``Storage``.
        """
        with self._pool.lock:
            dataset = self._found(dataset_id)
            if dataset.whole:
                self._put(dataset.set(partial=None))
            else:
                self.destroy(dataset_id)

    def stash(self, dataset_id: DatasetId, label: str) -> str:
        """
        As promised by ``Storage``.
        """
        name = f"{dataset_id}.{checked_name(label)}"
        with self._changed(dataset_id) as dataset:
            self._unused(dataset_id)
            if name in self._pool.state.stashes:
                raise DatasetExists(f"Stash {name}")
            self._pool.state = PoolState(
                datasets=self._pool.state.datasets.remove(dataset_id),
                stashes=self._pool.state.stashes.set(name, dataset),
            )
        return name

    def stashes(self) -> PMap[str, StoredDataset]:
        """
        As promised by ``Storage``.
        """
        return pmap({name: kept.stored(self._stash_path(name)) for name, kept in self._pool.state.stashes.items()})

    def restore_stash(self, name: str) -> DatasetId:
        """
        As promised by ``Storage``.
        """
        with self._pool.lock:
            dataset = self._unmounted_stash(name)
            if dataset.dataset_id in self._pool.state.datasets:
                raise DatasetExists(f"{dataset.dataset_id}, so stash {name} can't have its id back")
            self._pool.state = self._pool.state.set(stashes=self._pool.state.stashes.remove(name))
            self._put(dataset)
        return dataset.dataset_id

    def destroy_stash(self, name: str) -> None:
        """
        As promised by ``Storage``.
        """
        with self._pool.lock:
            self._unmounted_stash(name)
            self._pool.state = self._pool.state.set(stashes=self._pool.state.stashes.remove(name))

    def mount_stash(self, name: str) -> Path:
        """
        As promised by ``Storage``.
        """
        with self._pool.lock:
            self._put_stash(name, self._stashed(name).set(mounted=True))
        return Path(self._stash_path(name))

    def unmount_stash(self, name: str) -> None:
        """
        As promised by ``Storage``.
        """
        with self._pool.lock:
            self._put_stash(name, self._stashed(name).set(mounted=False))

    def branch_stash(self, name: str, guid: Guid) -> StoredDataset:
        """
        As promised by ``Storage``.
        """
        with self._pool.lock:
            stash = self._stashed(name)
            snapshot = stash.snapshot(guid)
            if stash.dataset_id in self._pool.state.datasets:
                raise DatasetExists(f"{stash.dataset_id}, so nothing is branched from stash {name}")
            branch = KeptDataset(dataset_id=stash.dataset_id, maximum_size_bytes=stash.maximum_size_bytes)
            older = stash.snapshots[: stash.snapshots.index(snapshot) + 1]
            self._put(branch.with_content(snapshot.content).with_snapshots(tuple(older)), grows=True)
        return self.dataset(stash.dataset_id)

    def stash_content(self, name: str) -> PMap[bytes, bytes]:
        """
        Everything in a stash that is mounted.

        :raises FileNotFoundError: it is not mounted.
        """
        stash = self._stashed(name)
        if not stash.mounted:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self._stash_path(name))
        return stash.content

    def clone(self, dataset_id: DatasetId, guid: Guid, new_dataset_id: DatasetId, *, epoch: int) -> StoredDataset:
        """
        As promised by ``Storage``.
        """
        with self._changed(dataset_id) as dataset:
            snapshot = dataset.snapshot(guid)
            if new_dataset_id in self._pool.state.datasets:
                raise DatasetExists(f"{new_dataset_id}")
            made = KeptDataset(dataset_id=new_dataset_id, role=Role.OWNER, epoch=epoch)
            self._put(made.with_content(snapshot.content), grows=True)
        return self.dataset(new_dataset_id)

    def read(self, dataset_id: DatasetId, name: bytes) -> bytes:
        """
        What a name stands for in a mounted dataset.

        :raises FileNotFoundError: it stands for nothing, or the dataset is not mounted.
        """
        content = self._mounted(dataset_id).content
        if name not in content:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return content[name]

    def content(self, dataset_id: DatasetId) -> PMap[bytes, bytes]:
        """
        All that a mounted dataset holds.

        :raises FileNotFoundError: the dataset is not mounted.
        """
        return self._mounted(dataset_id).content

    def write(self, dataset_id: DatasetId, name: bytes, content: bytes) -> None:
        """
        Let a name stand for something in a mounted dataset, whatever it stood for. Durable at once.

        :raises FileNotFoundError: the dataset is not mounted.
        :raises OSError: with ``EDQUOT``, beyond the dataset's limit; with ``ENOSPC``, beyond the pool's end.
        """
        with self._pool.lock:
            dataset = self._mounted(dataset_id)
            more_bytes = len(content) - len(dataset.content[name]) if name in dataset.content else len(name + content)
            size_bytes = dataset.content_bytes + more_bytes
            if dataset.maximum_size_bytes is not None and size_bytes > dataset.maximum_size_bytes:
                raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), name)
            if more_bytes > self.free_bytes():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
            self._put(dataset.set(content=dataset.content.set(name, content), content_bytes=size_bytes))

    def remove(self, dataset_id: DatasetId, name: bytes) -> None:
        """
        Let a name stand for nothing in a mounted dataset.

        :raises FileNotFoundError: it stood for nothing, or the dataset is not mounted.
        """
        with self._pool.lock:
            gone_bytes = len(name) + len(self.read(dataset_id, name))
            dataset = self._mounted(dataset_id)
            self._put(
                dataset.set(content=dataset.content.remove(name), content_bytes=dataset.content_bytes - gone_bytes)
            )

    def _path(self, dataset_id: DatasetId) -> str:
        return str(self._pool.mount_root / str(dataset_id))

    def _found(self, dataset_id: DatasetId) -> KeptDataset:
        dataset = self._pool.state.datasets.get(dataset_id)
        if dataset is None:
            raise DatasetMissing(f"{dataset_id}")
        return dataset

    def _stash_path(self, name: str) -> str:
        return str(self._pool.mount_root / name)

    def _put_stash(self, name: str, stash: KeptDataset) -> None:
        self._pool.state = self._pool.state.set(stashes=self._pool.state.stashes.set(name, stash))

    def _unmounted_stash(self, name: str) -> KeptDataset:
        dataset = self._stashed(name)
        if dataset.mounted:
            raise DatasetBusy(f"Stash {name} is mounted at {self._stash_path(name)}")
        return dataset

    def _stashed(self, name: str) -> KeptDataset:
        dataset = self._pool.state.stashes.get(name)
        if dataset is None:
            raise DatasetMissing(f"Stash {name}")
        return dataset

    def _mounted(self, dataset_id: DatasetId) -> KeptDataset:
        dataset = self._pool.state.datasets.get(dataset_id)
        if dataset is None or not dataset.mounted:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self._path(dataset_id))
        return dataset

    @contextmanager
    def _changed(self, dataset_id: DatasetId) -> Iterator[KeptDataset]:
        with self._pool.lock:
            dataset = self._found(dataset_id)
            if not dataset.whole:
                raise DatasetPartial(f"{dataset_id}")
            yield dataset

    def _unused(self, dataset_id: DatasetId) -> None:
        dataset = self._found(dataset_id)
        if dataset.mounted:
            raise DatasetBusy(f"{dataset_id} is mounted at {self._path(dataset_id)}")
        if any(count for (sent_id, _), count in self._sending.items() if sent_id == dataset_id):
            raise DatasetBusy(f"{dataset_id} is being sent")

    def _put(self, dataset: KeptDataset, *, grows: bool = False) -> None:
        with self._pool.lock:
            after = self._pool.state.set(datasets=self._pool.state.datasets.set(dataset.dataset_id, dataset))
            if grows and after.used_bytes > self._pool.capacity_bytes:
                raise PoolFull(f"{after.used_bytes} bytes of {self._pool.capacity_bytes}, with {dataset.dataset_id}")
            self._pool.state = after

    def _data(self, dataset_id: DatasetId, plan: SendPlan) -> bytes:
        dataset = self._found(dataset_id)
        snapshot = dataset.snapshot(plan.to_guid)
        if plan.from_guid is not None:
            checked_base(dataset.ages, plan.to_guid, plan.from_guid)
        return body(dataset.base(plan.from_guid), snapshot.content)

    def _opening(self, dataset_id: DatasetId, plan: SendPlan, data: bytes) -> bytes:
        snapshot = self._found(dataset_id).snapshot(plan.to_guid)
        opening = Opening(
            backend=_CAPABILITIES.name,
            to_guid=plan.to_guid,
            to_name=snapshot.name,
            created_at_seconds=snapshot.created_at_seconds,
            from_guid=plan.from_guid,
            resume_position=resume_position(plan, len(data)),
            data_bytes=len(data),
        )
        return opening_bytes(opening)

    @staticmethod
    def _read_data(frames: FrameReader, arrived: bytearray) -> bytes:
        while True:
            header, payload = frames.read()
            if header.position != len(arrived):
                raise StreamCorrupt(f"Data for position {header.position} came at {len(arrived)}")
            if header.kind is FrameKind.END:
                return bytes(payload)
            if header.kind is not FrameKind.DATA:
                raise StreamCorrupt(f"Something of kind {header.kind.name.lower()} came amidst the data")
            arrived += payload


def _begun(dataset_id: DatasetId, before: KeptDataset | None) -> KeptDataset:
    return KeptDataset(dataset_id=dataset_id, whole=False, content=NOTHING) if before is None else before


def _random_guid() -> int:
    return secrets.randbelow((1 << 64) - 1) + 1
