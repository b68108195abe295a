"""
A storage backend whose datasets are nothing but sizes: streams come from memory and go nowhere.

For measuring what carries them, and for nothing else.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterable

from pyrsistent import PMap, pmap, pvector

from flocker_py.model import DatasetId, Guid
from flocker_py.storage import (
    Capabilities,
    DatasetDiverged,
    DatasetExists,
    DatasetMissing,
    ResumeRefused,
    Role,
    SendPlan,
    SnapshotMissing,
    StoredDataset,
    StoredSnapshot,
    StreamCorrupt,
    StreamCut,
    WrongBase,
)

_HEADER = struct.Struct("!8sQQQQ")
_MAGIC = b"SYNTHSTR"
_CHUNK_BYTES = 1 << 20


class SyntheticStorage:
    """
    As much of ``Storage`` as a transfer uses. Each snapshot's stream has the size that was written before it.

    :param random: whether streams are random bytes; zeros if not.
    """

    def __init__(self, *, random: bool = False) -> None:
        self._content = memoryview(os.urandom(_CHUNK_BYTES) if random else bytes(_CHUNK_BYTES))
        self._lock = threading.Lock()
        self._datasets: dict[DatasetId, StoredDataset] = {}
        self._sizes: dict[Guid, int] = {}
        self._unsent_bytes: dict[DatasetId, int] = {}

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            name="synthetic", atomic_snapshots=True, enforces_limit=False, enforces_unmount=False, needs_root=False
        )

    def write(self, dataset_id: DatasetId, size_bytes: int) -> None:
        """
        Have so much more in the next snapshot's stream.
        """
        with self._lock:
            self._unsent_bytes[dataset_id] += size_bytes

    def datasets(self) -> PMap[DatasetId, StoredDataset]:
        with self._lock:
            return pmap(self._datasets)

    def dataset(self, dataset_id: DatasetId) -> StoredDataset:
        with self._lock:
            return self._dataset(dataset_id)

    def free_bytes(self) -> int:
        return 1 << 50

    def create(
        self,
        dataset_id: DatasetId,
        *,
        role: Role,
        epoch: int,
        maximum_size_bytes: int | None = None,  # noqa: ARG002  # as the protocol has it
    ) -> StoredDataset:
        with self._lock:
            self._datasets[dataset_id] = StoredDataset(dataset_id=dataset_id, role=role, epoch=epoch)
            self._unsent_bytes[dataset_id] = 0
            return self._datasets[dataset_id]

    def set_role(self, dataset_id: DatasetId, *, role: Role, epoch: int) -> None:
        with self._lock:
            self._datasets[dataset_id] = self._dataset(dataset_id).set(role=role, epoch=epoch)

    def written_since_snapshot(self, dataset_id: DatasetId) -> bool:
        with self._lock:
            return not self._dataset(dataset_id).snapshots or self._unsent_bytes[dataset_id] > 0

    def snapshot(self, dataset_id: DatasetId, name: str) -> StoredSnapshot:
        with self._lock:
            guid = Guid(int.from_bytes(os.urandom(7)) + 1)
            self._sizes[guid] = self._unsent_bytes[dataset_id]
            self._unsent_bytes[dataset_id] = 0
            return self._add(dataset_id, StoredSnapshot(guid=guid, name=name))

    def destroy_snapshots(self, dataset_id: DatasetId, guids: Iterable[Guid]) -> None:
        going = set(guids)
        with self._lock:
            stored = self._dataset(dataset_id)
            kept = pvector(one for one in stored.snapshots if one.guid not in going)
            self._datasets[dataset_id] = stored.set(snapshots=kept)

    def hold(self, dataset_id: DatasetId, guids: Iterable[Guid], tag: str) -> None:
        pass

    def release(self, dataset_id: DatasetId, guids: Iterable[Guid], tag: str) -> None:
        pass

    def bookmarks(self, dataset_id: DatasetId) -> PMap[str, Guid]:  # noqa: ARG002  # as the protocol has it
        return pmap()

    def send_estimate_bytes(self, dataset_id: DatasetId, plan: SendPlan) -> int:
        with self._lock:
            return self._size_bytes(dataset_id, plan)

    def send(self, dataset_id: DatasetId, plan: SendPlan, stream: int) -> None:
        with self._lock:
            left = self._size_bytes(dataset_id, plan)
        if plan.resume_token is not None:
            to_guid, offset = (int(part) for part in plan.resume_token.split("-"))
            if to_guid != plan.to_guid:
                raise ResumeRefused(f"the token is of {to_guid}")
            left -= offset
        header = _HEADER.pack(_MAGIC, plan.to_guid, plan.from_guid or 0, left, plan.resume_token is not None)
        try:
            os.write(stream, header)
            while left:
                left -= os.write(stream, self._content[: min(left, _CHUNK_BYTES)])
        except BrokenPipeError:
            raise StreamCut("the reading end was closed") from None

    def receive(self, dataset_id: DatasetId, stream: int) -> StoredSnapshot:
        buffer = memoryview(bytearray(_CHUNK_BYTES))
        filled = 0
        while filled < _HEADER.size:
            got = os.readv(stream, [buffer[filled : _HEADER.size]])
            if not got:
                raise StreamCut("no header")
            filled += got
        magic, to_guid, from_guid, left, resumed = _HEADER.unpack(buffer[: _HEADER.size])
        if magic != _MAGIC:
            raise StreamCorrupt("not a synthetic stream")
        offset = self._begin(dataset_id, to_guid, from_guid, bool(resumed))
        while left:
            got = os.readv(stream, [buffer[: min(left, _CHUNK_BYTES)]])
            if not got:
                with self._lock:
                    self._keep_partial(dataset_id, to_guid, offset)
                raise StreamCut(f"{left} bytes are missing")
            left -= got
            offset += got
        with self._lock:
            if dataset_id not in self._datasets:
                self._datasets[dataset_id] = StoredDataset(dataset_id=dataset_id, role=Role.REPLICA, epoch=0)
                self._unsent_bytes[dataset_id] = 0
            self._datasets[dataset_id] = self._datasets[dataset_id].set(resume_token=None, partial=False)
            self._sizes[to_guid] = offset
            return self._add(dataset_id, StoredSnapshot(guid=to_guid, name=f"received-{to_guid}"))

    def abort_receive(self, dataset_id: DatasetId) -> None:
        with self._lock:
            stored = self._datasets.get(dataset_id)
            if stored is not None and stored.partial:
                del self._datasets[dataset_id]
            elif stored is not None:
                self._datasets[dataset_id] = stored.set(resume_token=None)

    def destroy(self, dataset_id: DatasetId) -> None:
        with self._lock:
            self._datasets.pop(dataset_id)

    def _dataset(self, dataset_id: DatasetId) -> StoredDataset:
        if dataset_id not in self._datasets:
            raise DatasetMissing(f"dataset {dataset_id}")
        return self._datasets[dataset_id]

    def _add(self, dataset_id: DatasetId, snapshot: StoredSnapshot) -> StoredSnapshot:
        stored = self._dataset(dataset_id)
        self._datasets[dataset_id] = stored.set(snapshots=stored.snapshots.append(snapshot))
        return snapshot

    def _size_bytes(self, dataset_id: DatasetId, plan: SendPlan) -> int:
        guids = [one.guid for one in self._dataset(dataset_id).snapshots]
        if plan.to_guid not in guids:
            raise SnapshotMissing(f"snapshot {plan.to_guid}")
        if plan.from_guid is not None and plan.from_guid not in guids:
            raise WrongBase(f"snapshot {plan.from_guid}")
        begin = 0 if plan.from_guid is None else guids.index(plan.from_guid) + 1
        return sum(self._sizes[guid] for guid in guids[begin : guids.index(plan.to_guid) + 1])

    def _begin(self, dataset_id: DatasetId, to_guid: Guid, from_guid: Guid, resumed: bool) -> int:
        with self._lock:
            stored = self._datasets.get(dataset_id)
            if resumed:
                if stored is None or stored.resume_token is None:
                    raise ResumeRefused("nothing to go on with")
                kept, offset = (int(part) for part in stored.resume_token.split("-"))
                if kept != to_guid:
                    raise ResumeRefused(f"the partial receive is of {kept}")
                return offset
            newest = stored.snapshots[-1].guid if stored is not None and stored.snapshots else 0
            if stored is not None and from_guid == 0:
                raise DatasetExists(f"dataset {dataset_id}")
            if newest != from_guid:
                raise DatasetDiverged(f"newest is {newest}, the stream builds on {from_guid}")
            return 0

    def _keep_partial(self, dataset_id: DatasetId, to_guid: Guid, offset: int) -> None:
        token = f"{to_guid}-{offset}"
        stored = self._datasets.get(dataset_id)
        if stored is None:
            stored = StoredDataset(dataset_id=dataset_id, role=Role.REPLICA, epoch=0, partial=True)
        self._unsent_bytes.setdefault(dataset_id, 0)
        self._datasets[dataset_id] = stored.set(resume_token=token)
