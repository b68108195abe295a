"""
What the directory backend remembers of a dataset, and where everything lies.

Below the pool's root:

=====================================  =======================================================================
path                                   what it is
=====================================  =======================================================================
``pool.json``                          that this is a pool, and of which version
``lock``                               locked by the process that works with the pool
``datasets/ID/mounted/data``           the live tree, while mounted; the path below the mount root leads here
``datasets/ID/kept/live/data``         the live tree, while unmounted; closed to all but the agent
``datasets/ID/kept/dataset.json``      the record; replaced whole, and the commit of every change
``datasets/ID/kept/manifests/GUID``    what a snapshot or bookmark says of its tree
``datasets/ID/kept/packs/NUMBER``      content of snapshots
``datasets/ID/kept/receiving``         what has arrived of a stream
``stashes/ID.LABEL``                   a dataset that was put aside
``readable/ID.LABEL/data``             its live tree copied, while the stash is mounted
``temporary``                          on its way to be or to be gone; emptied when the pool is opened
=====================================  =======================================================================
"""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

from pyrsistent import InvariantException, PMap, PVector, pmap, pvector

from flocker_agent.storage.directory_files import write_durably
from flocker_py.model import DatasetId, Guid
from flocker_py.records import Record, mapping, sequence, value
from flocker_py.storage import DatasetMissing, Role, SnapshotMissing, StorageError

VERSION = 1
_NONE = type(None)


class RecordUnreadable(StorageError):
    """
    The record of a dataset is damaged or of a newer version. Upgrade, or send the dataset anew from another copy.
    """

    lasting = True


class SnapshotState(Record):
    """
    One snapshot.

    :param age: grows with each snapshot of a dataset.
    :param packs: numbers of those that its content lies in.
    :param size_bytes: of its content.
    :param created_at_seconds: since the epoch of Unix; None: taken before this was kept.
    """

    guid: Guid = value(int)
    name: str = value(str)
    age: int = value(int)
    packs: PVector[int] = sequence(int, default=())
    size_bytes: int = value(int, default=0)
    holds: PVector[str] = sequence(str, default=())
    created_at_seconds: float | None = value((int, float, _NONE), default=None)


class BookmarkState(Record):
    """
    One bookmark: the snapshot it was made of.
    """

    guid: Guid = value(int)
    age: int = value(int)


class DatasetState(Record):
    """
    The record of one dataset.

    :param whole: false: nothing but a first, unfinished receive.
    :param next_pack: number of the next pack; those from here on are leftovers.
    :param clean_guid: the newest snapshot, if nobody can have written since.
    :param dirty_guid: the live tree is somewhere between the newest snapshot and this one, which is being received.
    :param boot: of the host, when it was mounted; empty while unmounted.
    :param live_bytes: of the live tree, when the newest snapshot that is gone by now was taken.
    """

    dataset_id: DatasetId = value(UUID)
    role: Role = value(Role, default=Role.REPLICA)
    epoch: int = value(int, default=0)
    whole: bool = value(bool, default=True)
    maximum_size_bytes: int | None = value((int, _NONE), default=None)
    properties: PMap[str, str] = mapping(str, str, default={})
    snapshots: PVector[SnapshotState] = sequence(SnapshotState, default=())
    bookmarks: PMap[str, BookmarkState] = mapping(str, BookmarkState, default={})
    next_pack: int = value(int, default=1)
    next_age: int = value(int, default=1)
    clean_guid: Guid | None = value((int, _NONE), default=None)
    dirty_guid: Guid | None = value((int, _NONE), default=None)
    boot: str = value(str, default="")
    live_bytes: int = value(int, default=0)

    @property
    def newest(self) -> SnapshotState | None:
        """
        The newest snapshot.
        """
        return self.snapshots[-1] if self.snapshots else None

    @property
    def ages(self) -> dict[Guid, int]:
        """
        The ages of all snapshots, and of those that bookmarks were made of.
        """
        known: list[SnapshotState | BookmarkState] = [*self.snapshots, *self.bookmarks.values()]
        return {each.guid: each.age for each in known}

    @property
    def packs(self) -> set[int]:
        """
        All packs that a snapshot needs.
        """
        return {pack for snapshot in self.snapshots for pack in snapshot.packs}

    def snapshot(self, guid: Guid) -> SnapshotState:
        """
        One snapshot.

        :raises SnapshotMissing: there is none with this GUID.
        """
        for snapshot in self.snapshots:
            if snapshot.guid == guid:
                return snapshot
        raise SnapshotMissing(f"{guid} of {self.dataset_id}")


class DatasetPaths:
    """
    Where the parts of a dataset lie.

    :param root: the dataset's own folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.mounted = root / "mounted"
        self.kept = root / "kept"
        self.record = self.kept / "dataset.json"
        self.live = self.kept / "live"
        self.manifests = self.kept / "manifests"
        self.packs = self.kept / "packs"
        self.receiving = self.kept / "receiving"

    def manifest(self, guid: Guid) -> Path:
        """
        The manifest of a snapshot.
        """
        return self.manifests / str(guid)

    def tree(self) -> Path:
        """
        The live tree, wherever it is.
        """
        return (self.mounted if self.mounted.is_dir() else self.live) / "data"

    def make(self, state: DatasetState, *, live: bool) -> None:
        """
        Make the folders and the record of a new dataset.

        :param live: with an empty live tree.
        """
        # Open for passing through, so that the live tree's own modes decide; what is kept is nobody else's.
        self.root.mkdir(mode=0o711)
        self.root.chmod(0o711)
        self.kept.mkdir(mode=0o700)
        for folder in (self.manifests, self.packs):
            folder.mkdir(mode=0o700)
        if live:
            make_live(self.live)
        self.save(state)

    def load(self) -> DatasetState:
        """
        Read the record.

        :raises DatasetMissing: there is none.
        :raises RecordUnreadable: it makes no sense to this version.
        """
        try:
            content = self.record.read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise DatasetMissing(self.root.name) from error
        return parsed_state(content, str(self.record))

    def save(self, state: DatasetState) -> None:
        """
        Replace the record, durably.
        """
        write_durably(self.record, state_bytes(state))


def make_live(folder: Path) -> None:
    """
    Make an empty live tree.
    """
    # Whatever modes the tree's root is given, the folder around it can be moved by its owner.
    folder.mkdir(mode=0o711)
    folder.chmod(0o711)
    (folder / "data").mkdir(mode=0o755)
    (folder / "data").chmod(0o755)


def state_bytes(state: DatasetState) -> bytes:
    """
    A record as it is kept.
    """
    content = {
        "version": VERSION,
        "dataset_id": str(state.dataset_id),
        "role": state.role.value,
        "epoch": state.epoch,
        "whole": state.whole,
        "maximum_size_bytes": state.maximum_size_bytes,
        "properties": dict(state.properties),
        "snapshots": [
            {**snapshot.serialize(), "packs": list(snapshot.packs), "holds": list(snapshot.holds)}
            for snapshot in state.snapshots
        ],
        "bookmarks": {name: bookmark.serialize() for name, bookmark in state.bookmarks.items()},
        "next_pack": state.next_pack,
        "next_age": state.next_age,
        "clean_guid": state.clean_guid,
        "dirty_guid": state.dirty_guid,
        "boot": state.boot,
        "live_bytes": state.live_bytes,
    }
    return json.dumps(content, indent=1).encode()


def parsed_state(content: bytes, where: str) -> DatasetState:
    """
    A record as it was kept.

    :raises RecordUnreadable: it makes no sense to this version.
    """
    try:
        fields = json.loads(content)
        if fields.pop("version") != VERSION:
            raise RecordUnreadable(f"{where} is of a version that this program does not know")
        return DatasetState(
            **{
                **fields,
                "dataset_id": DatasetId(UUID(fields["dataset_id"])),
                "role": Role(fields["role"]),
                "properties": pmap(fields["properties"]),
                "snapshots": pvector(
                    SnapshotState(**{**each, "packs": pvector(each["packs"]), "holds": pvector(each["holds"])})
                    for each in fields["snapshots"]
                ),
                "bookmarks": pmap({name: BookmarkState(**each) for name, each in fields["bookmarks"].items()}),
            }
        )
    except (ValueError, TypeError, KeyError, AttributeError, InvariantException) as error:
        raise RecordUnreadable(f"{where} makes no sense") from error
