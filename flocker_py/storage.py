"""
What every storage backend promises.

A backend manages the datasets of one pool on one host. All its calls block, may be made from any thread, and are
safe to make side by side for different datasets; calls that change one dataset are made one at a time by whoever
uses the backend, except that ``send`` may run beside anything but ``destroy`` and ``rename`` of what it sends.

Each call either does what it says, durably, or raises and leaves the dataset as it was. A backend remembers nothing
that its pool does not: killed at any moment and opened again, it tells the truth.

The promises are checked by ``flocker_py.testing.storage_contract``, which every backend passes.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol
from uuid import UUID

from pyrsistent import PMap, PVector

from flocker_py.errors import FlockerError
from flocker_py.model import DatasetId, Guid
from flocker_py.records import Record, mapping, sequence, value

_NONE = type(None)


class Role(enum.Enum):
    """
    What a dataset on this host is for, as written in its own properties.

    OWNER may be written here. RELEASED was owned under that epoch and has been laid down for good, until a higher
    epoch is granted. REPLICA is a copy that was never owned here.
    """

    OWNER = "owner"
    RELEASED = "released"
    REPLICA = "replica"


class Capabilities(Record):
    """
    What differs between backends, as data.

    :param name: as in ``agent.yml``.
    :param atomic_snapshots: a snapshot of a dataset that is being written to is one instant of it. Without this,
        only a snapshot of an unmounted dataset is exact.
    :param enforces_limit: writes beyond the size limit fail for the application.
    :param enforces_unmount: after ``unmount`` no process can write, whatever it had open.
    :param needs_root: whether an ordinary user can run it.
    """

    name: str = value(str)
    atomic_snapshots: bool = value(bool)
    enforces_limit: bool = value(bool)
    enforces_unmount: bool = value(bool)
    needs_root: bool = value(bool)


class StoredSnapshot(Record):
    """
    One snapshot in a pool.

    :param name: without the backend's own prefix if ``ours``, else as it is in the pool.
    :param ours: made or received through a backend; others are never touched.
    :param holds: tags of ours that protect it.
    :param created_at_seconds: when it was taken, since the epoch of Unix, by the clock of the host that took it, to the
        second at least; None: not known.
    :param branched: something else in the pool is built on it, so that it can't be destroyed at present.
    """

    guid: Guid = value(int)
    name: str = value(str)
    ours: bool = value(bool, default=True)
    holds: PVector[str] = sequence(str, default=())
    created_at_seconds: float | None = value((int, float, _NONE), default=None)
    branched: bool = value(bool, default=False)


class StoredDataset(Record):
    """
    One dataset in a pool.

    :param epoch: and ``role``: as last set by ``set_role`` or ``create``; what arrives by ``receive`` is REPLICA.
    :param snapshots: oldest first.
    :param mounted_at: where it can be written; None while unmounted.
    :param resume_token: opaque; a receive was cut and can go on from here. None: no partial receive is kept.
    :param partial: nothing but a first, unfinished receive.
    :param encrypted: its streams are sent as they lie in the pool.
    """

    dataset_id: DatasetId = value(UUID)
    role: Role = value(Role)
    epoch: int = value(int)
    snapshots: PVector[StoredSnapshot] = sequence(StoredSnapshot, default=())
    mounted_at: str | None = value((str, _NONE), default=None)
    used_bytes: int = value(int, default=0)
    maximum_size_bytes: int | None = value((int, _NONE), default=None)
    resume_token: str | None = value((str, _NONE), default=None)
    partial: bool = value(bool, default=False)
    encrypted: bool = value(bool, default=False)
    properties: PMap[str, str] = mapping(str, str, default={})


class SendPlan(Record):
    """
    What a stream will carry.

    :param to_guid: the snapshot that the target holds when it is through.
    :param from_guid: the snapshot that the target must hold already, as its newest; None: the whole dataset.
    :param resume_token: as the target reported it; the stream goes on where the last one was cut. The token must be
        of the same ``to_guid``, else the send is refused.
    """

    to_guid: Guid = value(int)
    from_guid: Guid | None = value((int, _NONE), default=None)
    resume_token: str | None = value((str, _NONE), default=None)


class StorageError(FlockerError):
    """
    The storage backend could not do what was asked. Look at the agent's log for the whole story.
    """


class BackendUnavailable(StorageError):
    """
    The storage backend can't work on this host at all: install or load what the message names.
    """

    lasting = True


class PoolMissing(StorageError):
    """
    The pool does not exist, or is not imported. Import or create it, or correct ``dataset`` in agent.yml.
    """


class PoolInUse(StorageError):
    """
    Another process on this host works with the pool already. End that process first, or give this one another pool.
    """


class PoolFull(StorageError):
    """
    There is not enough room in the pool. Free some, or add storage; nothing was changed.
    """


class DatasetMissing(StorageError):
    """
    The dataset is not in this pool.
    """


class DatasetExists(StorageError):
    """
    The dataset is in this pool already. Nothing was changed.
    """


class DatasetBusy(StorageError):
    """
    Something on this host still uses the dataset: end the processes that the message names, or wait.
    """


class DatasetPartial(StorageError):
    """
    The dataset has only arrived in part. Let its transfer go on to the end, or abort the receive.
    """


class KeyUnavailable(StorageError):
    """
    The dataset is encrypted and its key is not loaded on this host. Load it with the command that the message names.
    """


class DatasetDiverged(StorageError):
    """
    The target was changed after the snapshot that the stream builds on. It is never rolled back by force; a copy that
    must make way is renamed.
    """

    lasting = True


class WrongBase(StorageError):
    """
    The stream builds on a snapshot that the target lacks. Nothing was changed; look again for a common snapshot.
    """


class SnapshotMissing(StorageError):
    """
    The snapshot is not in this pool.
    """


class SnapshotExists(StorageError):
    """
    The dataset has a snapshot of that name already. Nothing was changed.
    """


class SnapshotHeld(StorageError):
    """
    The snapshot is protected by a hold. Release the hold first, if it is yours to release.
    """


class StreamCut(StorageError):
    """
    The stream ended before its end. What arrived is kept, and a send with the resume token goes on from there.
    """


class StreamCorrupt(StorageError):
    """
    The stream is not one, or was damaged on its way. Nothing of it was taken over.
    """


class ResumeRefused(StorageError):
    """
    The resume token does not fit the snapshot. Abort the partial receive and send again from the start.
    """


class NameRefused(StorageError):
    """
    The name can't be used for a snapshot, hold or dataset: too long, or with characters other than a-z A-Z 0-9 _ - . :
    """

    lasting = True


class PropertyRefused(StorageError):
    """
    The property has a name or value that the pool can't keep.
    """

    lasting = True


class LimitRefused(StorageError):
    """
    The size limit is smaller than what the dataset holds already, or not a size. Nothing was changed.
    """

    lasting = True


class Storage(Protocol):
    """
    The datasets of one pool on one host. See the module's docstring for what holds for all calls.

    Every call that names a dataset raises ``DatasetMissing`` if the pool has none of that id, and every call that
    names a snapshot raises ``SnapshotMissing``; every call may raise ``PoolMissing``, and every one that writes,
    ``PoolFull``. Of a dataset that is nothing but a partial receive, ``set_role``, ``set_limit``, ``mount``,
    ``snapshot``, ``stash`` and ``clone`` raise ``DatasetPartial``.
    """

    @property
    def capabilities(self) -> Capabilities:
        """
        What this backend can do. Constant.
        """
        ...

    def datasets(self) -> PMap[DatasetId, StoredDataset]:
        """
        Everything of ours in the pool, partial receives included. Complete, or it raises: what is not in the answer
        is not in the pool. Stashed datasets are not in it.
        """
        ...

    def dataset(self, dataset_id: DatasetId) -> StoredDataset:
        """
        One dataset, as it is now.
        """
        ...

    def free_bytes(self) -> int:
        """
        How much can still be written to the pool, after the pool's own reserve.
        """
        ...

    def create(
        self, dataset_id: DatasetId, *, role: Role, epoch: int, maximum_size_bytes: int | None = None
    ) -> StoredDataset:
        """
        Make an empty dataset, unmounted.

        :raises DatasetExists: the pool has it, whole or partial; nothing was changed.
        :raises LimitRefused: the size is not positive.
        """
        ...

    def destroy(self, dataset_id: DatasetId) -> None:
        """
        Destroy a dataset, whole or partial, with its snapshots, bookmarks and holds of ours.

        :raises DatasetBusy: it is mounted, being sent, or has clones.
        :raises SnapshotHeld: somebody else holds one of its snapshots; nothing was destroyed.
        """
        ...

    def set_role(self, dataset_id: DatasetId, *, role: Role, epoch: int) -> None:
        """
        Write role and epoch, in one step. An OWNER can be written to once mounted; the others are read-only.

        :raises DatasetBusy: it is mounted and the role is not OWNER.
        """
        ...

    def set_properties(self, dataset_id: DatasetId, properties: Mapping[str, str]) -> None:
        """
        Set further properties of ours, in one step; an empty value removes one. They survive all but ``destroy``,
        stay on this host, and have nothing to do with role and epoch.

        :raises PropertyRefused: a name isn't of a-z, 0-9, ``-`` and ``_``, or a value is longer than 1024 characters.
        """
        ...

    def set_limit(self, dataset_id: DatasetId, maximum_size_bytes: int | None) -> None:
        """
        Limit what the live dataset may hold, snapshots not counted. None: no limit.

        :raises LimitRefused: it holds more already, or the size is not positive.
        """
        ...

    def mount(self, dataset_id: DatasetId) -> Path:
        """
        Make an OWNER's data reachable for reading and writing, at the same path under the mount root every time.
        Doing it twice is harmless.

        :raises DatasetBusy: the role is not OWNER, or the path is taken by something else.
        :raises KeyUnavailable: it is encrypted and its key is not loaded.
        """
        ...

    def unmount(self, dataset_id: DatasetId) -> None:
        """
        Make the data unreachable: the path is gone for whoever looks after it. Doing it twice is harmless.

        :raises DatasetBusy: processes still use it; they are named. It stays mounted.
        """
        ...

    def written_since_snapshot(self, dataset_id: DatasetId) -> bool:
        """
        Whether the live data may differ from the newest snapshot. True where there is none.
        """
        ...

    def snapshot(self, dataset_id: DatasetId, name: str) -> StoredSnapshot:
        """
        Take a snapshot. Data that an application has fsynced is in it.

        :param name: at most 80 characters of a-z A-Z 0-9 ``_ - . :``, unique in the dataset.
        :raises SnapshotExists: one of ours has this name.
        :raises NameRefused: the name breaks the rule.
        """
        ...

    def destroy_snapshots(self, dataset_id: DatasetId, guids: Iterable[Guid]) -> None:
        """
        Destroy snapshots of ours, all or none.

        :raises SnapshotHeld: one is held; none was destroyed.
        :raises DatasetBusy: one has clones or is being sent; none was destroyed.
        :raises SnapshotMissing: one isn't there or isn't ours; none was destroyed.
        """
        ...

    def hold(self, dataset_id: DatasetId, guids: Iterable[Guid], tag: str) -> None:
        """
        Protect snapshots from destruction until released. Doing it twice is harmless.

        :param tag: as a snapshot's name.
        """
        ...

    def release(self, dataset_id: DatasetId, guids: Iterable[Guid], tag: str) -> None:
        """
        Take a hold of ours away. One that isn't there is harmless.
        """
        ...

    def bookmark(self, dataset_id: DatasetId, guid: Guid, name: str) -> None:
        """
        Keep a snapshot usable as ``from_guid`` of a send after the snapshot itself is gone.

        :raises SnapshotExists: a bookmark of ours has this name but another snapshot.
        """
        ...

    def bookmarks(self, dataset_id: DatasetId) -> PMap[str, Guid]:
        """
        Our bookmarks: name to the GUID of the snapshot it was made of.
        """
        ...

    def destroy_bookmarks(self, dataset_id: DatasetId, names: Iterable[str]) -> None:
        """
        Destroy bookmarks of ours; those that aren't there are harmless.
        """
        ...

    def send_estimate_bytes(self, dataset_id: DatasetId, plan: SendPlan) -> int:
        """
        About how long the stream will be.

        :raises WrongBase: ``from_guid`` is neither a snapshot nor a bookmark here, or is not older than ``to_guid``.
        """
        ...

    def send(self, dataset_id: DatasetId, plan: SendPlan, stream: int) -> None:
        """
        Write one stream. Blocks until all is written.

        :param stream: descriptor of the writing end of a pipe; stays the caller's to close. Whoever wants to cancel
            closes the reading end.
        :raises WrongBase: as for ``send_estimate_bytes``.
        :raises ResumeRefused: the token is of another snapshot or dataset.
        :raises StreamCut: the reading end was closed.
        """
        ...

    def receive(self, dataset_id: DatasetId, stream: int) -> StoredSnapshot:
        """
        Take in one stream and answer with the snapshot that it made, re-read from the pool. The dataset comes into
        being as an unmounted REPLICA of epoch 0 if it isn't there; role, epoch and properties of one that is, stay.

        :param stream: descriptor of the reading end of a pipe; stays the caller's to close.
        :raises StreamCut: the stream ended early, and the newest snapshot is what it was. ``resume_token`` is set if
            enough had arrived to go on from; a dataset of which less than that arrived is not there.
        :raises StreamCorrupt: it made no snapshot. A partial receive may be kept: abort it, or resume it.
        :raises WrongBase: it builds on a snapshot that isn't here; nothing was changed.
        :raises DatasetDiverged: the dataset was written to since the snapshot that the stream builds on, or has
            newer ones; nothing was changed.
        :raises DatasetExists: it is a whole dataset, and one is here; nothing was changed.
        :raises SnapshotExists: the dataset has another snapshot of the same name; nothing was changed.
        :raises ResumeRefused: it goes on with another partial receive than the one kept, or one is kept and it
            doesn't go on with it; nothing was changed.
        :raises DatasetBusy: it is mounted.
        """
        ...

    def abort_receive(self, dataset_id: DatasetId) -> None:
        """
        Throw the partial receive away; a dataset that was nothing else disappears. Harmless if there is none.
        """
        ...

    def stash(self, dataset_id: DatasetId, label: str) -> str:
        """
        Put a dataset that must make way aside, under another name, read-only, with everything it has.

        :param label: as a snapshot's name; part of the name.
        :returns: the name by which ``stashes`` knows it.
        :raises DatasetBusy: it is mounted.
        :raises DatasetExists: a stash of that dataset and label is there.
        """
        ...

    def stashes(self) -> PMap[str, StoredDataset]:
        """
        What was put aside, by name: as it was, with the id that it had. Complete, or it raises.
        ``mounted_at`` is where it can be read, while it can.
        """
        ...

    def restore_stash(self, name: str) -> DatasetId:
        """
        Give a stashed dataset its id back.

        :raises DatasetMissing: no such stash.
        :raises DatasetExists: the id is taken.
        :raises DatasetBusy: it is mounted.
        """
        ...

    def destroy_stash(self, name: str) -> None:
        """
        Destroy what was put aside, for good. What was branched from it stays.

        :raises DatasetMissing: no such stash.
        :raises DatasetBusy: it is mounted.
        """
        ...

    def mount_stash(self, name: str) -> Path:
        """
        Make what was put aside readable, and nothing more than that, at the same path under the mount root every time.
        Doing it twice is harmless.

        :raises DatasetMissing: no such stash.
        :raises DatasetBusy: the path is taken by something else.
        :raises KeyUnavailable: it is encrypted and its key is not loaded.
        """
        ...

    def unmount_stash(self, name: str) -> None:
        """
        Make it unreadable again. Doing it twice is harmless.

        :raises DatasetMissing: no such stash.
        :raises DatasetBusy: processes still use it; it stays mounted.
        """
        ...

    def branch_stash(self, name: str, guid: Guid) -> StoredDataset:
        """
        Make the dataset that was put aside anew, as an unmounted REPLICA of epoch 0 that ends in one of its snapshots,
        so that a stream that builds on this can be received. The stash stays, with all that it has, whatever becomes
        of the dataset; as long as both are there, they may share snapshots.

        :raises DatasetMissing: no such stash.
        :raises DatasetExists: the id is taken.
        """
        ...

    def clone(self, dataset_id: DatasetId, guid: Guid, new_dataset_id: DatasetId, *, epoch: int) -> StoredDataset:
        """
        Make another dataset, an unmounted OWNER under ``epoch``, that begins as a snapshot of this one.

        :raises DatasetExists: the new id is taken.
        """
        ...
