"""
What a pool of the memory backend holds. Pure: every change makes another value.
"""

from __future__ import annotations

from uuid import UUID

from pyrsistent import PMap, PVector, pvector

from flocker_agent.storage.memory_stream import NOTHING, Content, added_bytes
from flocker_agent.storage.rules import Kept
from flocker_agent.storage.tokens import token
from flocker_py.model import DatasetId, Guid
from flocker_py.records import Record, mapping, sequence, value
from flocker_py.storage import Role, SnapshotMissing, StoredDataset, StoredSnapshot

_NONE = type(None)


class KeptSnapshot(Record):
    """
    A snapshot.

    :param age: grows with each snapshot of a dataset.
    :param added_bytes: the room it takes beside the one before it.
    """

    guid: Guid = value(int)
    name: str = value(str)
    age: int = value(int)
    content: Content = value(PMap)
    added_bytes: int = value(int)
    holds: PVector[str] = sequence(str, default=())
    created_at_seconds: float | None = value((int, float, _NONE), default=None)


class Partial(Record):
    """
    A receive that was cut.

    :param data: what arrived of the stream's body.
    """

    to_guid: Guid = value(int)
    from_guid: Guid | None = value((int, _NONE), default=None)
    data: bytes = value(bytes, default=b"")

    @property
    def kept(self) -> Kept:
        """
        How far it is.
        """
        return Kept(to_guid=self.to_guid, from_guid=self.from_guid, position=len(self.data))


class KeptDataset(Record):
    """
    A dataset. One that is ``partial`` with no snapshots and not ``whole`` is nothing but a first, unfinished receive.

    :param bookmarks: name to the snapshot as it was.
    """

    dataset_id: DatasetId = value(UUID)
    role: Role = value(Role, default=Role.REPLICA)
    epoch: int = value(int, default=0)
    whole: bool = value(bool, default=True)
    mounted: bool = value(bool, default=False)
    maximum_size_bytes: int | None = value((int, _NONE), default=None)
    properties: PMap[str, str] = mapping(str, str, default={})
    content: Content = value(PMap, default=NOTHING)
    content_bytes: int = value(int, default=0)
    snapshots: PVector[KeptSnapshot] = sequence(KeptSnapshot, default=())
    bookmarks: PMap[str, KeptSnapshot] = mapping(str, KeptSnapshot, default={})
    partial: Partial | None = value((Partial, _NONE), default=None)

    @property
    def used_bytes(self) -> int:
        """
        The room it takes: the live content in full, each snapshot by what it adds, and what has arrived in part.
        """
        arrived_bytes = 0 if self.partial is None else len(self.partial.data)
        return self.content_bytes + sum(snapshot.added_bytes for snapshot in self.snapshots) + arrived_bytes

    @property
    def ages(self) -> dict[Guid, int]:
        """
        The ages of all snapshots, and of those that bookmarks were made of.
        """
        return {snapshot.guid: snapshot.age for snapshot in (*self.snapshots, *self.bookmarks.values())}

    @property
    def written(self) -> bool:
        """
        Whether it differs from its newest snapshot.
        """
        return not self.snapshots or self.snapshots[-1].content != self.content

    def snapshot(self, guid: Guid) -> KeptSnapshot:
        """
        One snapshot.

        :raises SnapshotMissing: there is none with this GUID.
        """
        for snapshot in self.snapshots:
            if snapshot.guid == guid:
                return snapshot
        raise SnapshotMissing(f"{guid} of {self.dataset_id}")

    def base(self, guid: Guid | None) -> Content:
        """
        The content that a stream builds on: a snapshot's or a bookmark's; of a whole stream, nothing.
        """
        found = [each.content for each in (*self.snapshots, *self.bookmarks.values()) if each.guid == guid]
        return found[0] if found else NOTHING

    def with_content(self, content: Content) -> KeptDataset:
        """
        The dataset with another live content.
        """
        return self.set(content=content, content_bytes=added_bytes(NOTHING, content))

    def with_snapshot(self, guid: Guid, name: str, created_at_seconds: float | None) -> KeptDataset:
        """
        The dataset with a snapshot of what is in it.
        """
        age = 1 + max(self.ages.values(), default=0)
        snapshot = KeptSnapshot(
            guid=guid,
            name=name,
            age=age,
            content=self.content,
            added_bytes=0,
            created_at_seconds=created_at_seconds,
        )
        return self.with_snapshots((*self.snapshots, snapshot))

    def with_snapshots(self, snapshots: tuple[KeptSnapshot, ...]) -> KeptDataset:
        """
        The dataset with these snapshots only.
        """
        result: list[KeptSnapshot] = []
        before = NOTHING
        for snapshot in snapshots:
            result.append(snapshot.set(added_bytes=added_bytes(before, snapshot.content)))
            before = snapshot.content
        return self.set(snapshots=pvector(result))

    def stored(self, mounted_at: str) -> StoredDataset:
        """
        What the backend says of it.

        :param mounted_at: the path, if it is mounted.
        """
        return StoredDataset(
            dataset_id=self.dataset_id,
            role=self.role,
            epoch=self.epoch,
            snapshots=pvector(stored(snapshot) for snapshot in self.snapshots),
            mounted_at=mounted_at if self.mounted else None,
            used_bytes=self.used_bytes,
            maximum_size_bytes=self.maximum_size_bytes,
            resume_token=None if self.partial is None else token(self.partial.kept),
            partial=not self.whole,
            properties=self.properties,
        )


def stored(snapshot: KeptSnapshot) -> StoredSnapshot:
    """
    What the backend says of a snapshot.
    """
    return StoredSnapshot(
        guid=snapshot.guid,
        name=snapshot.name,
        holds=snapshot.holds,
        created_at_seconds=snapshot.created_at_seconds,
    )


class PoolState(Record):
    """
    All that a pool holds.
    """

    datasets: PMap[DatasetId, KeptDataset] = mapping(UUID, KeptDataset, default={})
    stashes: PMap[str, KeptDataset] = mapping(str, KeptDataset, default={})

    @property
    def used_bytes(self) -> int:
        """
        The room that everything takes.
        """
        return sum(dataset.used_bytes for dataset in (*self.datasets.values(), *self.stashes.values()))
