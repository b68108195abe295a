"""
Reading what a pool answers when it is asked by the program ``DATASETS`` of ``zfs_programs``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pyrsistent import pmap, pvector

from flocker_agent.storage import zfs_names as names
from flocker_py.model import DatasetId, Guid
from flocker_py.storage import Role, StoredDataset, StoredSnapshot

_GUIDS = 1 << 64


class SnapshotEntry(NamedTuple):
    """
    One snapshot as the pool has it. A plain tuple: there may be a hundred thousand in one listing.

    :ivar name: after the ``@``, prefix included.
    :ivar createtxg: grows with each snapshot of a dataset.
    :ivar holds: all tags, prefixes included.
    :ivar creation: when it was taken, wherever that was (zfs-receive(8) keeps it), since the epoch of Unix.
    :ivar branched: whether it has clones.
    """

    name: str
    guid: Guid
    createtxg: int
    holds: tuple[str, ...]
    creation: int | None = None
    branched: bool = False


@dataclass(frozen=True)
class ListedDataset:
    """
    One dataset, as told by ``LISTED``.

    :ivar own: user properties set on the dataset itself, not inherited.
    :ivar snapshots: oldest first; those that were asked for.
    :ivar inconsistent: it has no data but that of an unfinished first receive.
    """

    name: str
    own: Mapping[str, str]
    snapshots: tuple[SnapshotEntry, ...]
    used_bytes: int
    limit_bytes: int
    resume_token: str | None
    inconsistent: bool
    encrypted: bool
    key_loaded: bool

    @property
    def role(self) -> Role:
        """
        REPLICA where nothing is written, as right after a receive, or nothing that is known here.
        """
        try:
            return Role(self.own.get(names.ROLE, Role.REPLICA.value))
        except ValueError:
            return Role.REPLICA

    @property
    def epoch(self) -> int:
        """
        0 where nothing is written.
        """
        text = self.own.get(names.EPOCH, "0")
        return int(text) if text.isascii() and text.isdigit() else 0

    def snapshot(self, guid: Guid) -> SnapshotEntry | None:
        """
        The snapshot of that GUID, if it is here.
        """
        return next((snapshot for snapshot in self.snapshots if snapshot.guid == guid), None)

    def stored(self, dataset_id: DatasetId, mounted_at: str | None) -> StoredDataset:
        """
        In the words of the protocol.
        """
        return StoredDataset(
            dataset_id=dataset_id,
            role=self.role,
            epoch=self.epoch,
            snapshots=pvector(stored_snapshot(snapshot) for snapshot in self.snapshots),
            mounted_at=mounted_at,
            used_bytes=self.used_bytes,
            maximum_size_bytes=self.limit_bytes or None,
            resume_token=self.resume_token,
            partial=self.inconsistent,
            encrypted=self.encrypted,
            properties=pmap(
                {
                    name.removeprefix(names.PROPERTY): content
                    for name, content in self.own.items()
                    if name.startswith(names.PROPERTY)
                }
            ),
        )


@dataclass(frozen=True)
class DatasetEntry(ListedDataset):
    """
    One dataset, as told by ``DETAILED``.
    """

    referenced_bytes: int
    written_bytes: int
    available_bytes: int
    read_only: bool
    mount_point: str


def stored_snapshot(snapshot: SnapshotEntry) -> StoredSnapshot:
    """
    In the words of the protocol.
    """
    return StoredSnapshot(
        guid=snapshot.guid,
        name=snapshot.name.removeprefix(names.OURS),
        ours=snapshot.name.startswith(names.OURS),
        holds=pvector(sorted(tag.removeprefix(names.OURS) for tag in snapshot.holds if tag.startswith(names.OURS))),
        created_at_seconds=snapshot.creation,
        branched=snapshot.branched,
    )


def listed(answer: Mapping[bytes, Mapping[bytes, Any]]) -> dict[str, ListedDataset]:
    """
    What the program ``DATASETS`` answered when asked for ``LISTED``, by name of dataset.
    """
    return {name.decode(): ListedDataset(**_listed(name, found)) for name, found in answer.items()}


def detailed(answer: Mapping[bytes, Mapping[bytes, Any]]) -> dict[str, DatasetEntry]:
    """
    What the program ``DATASETS`` answered when asked for ``DETAILED``, by name of dataset.
    """
    return {
        name.decode(): DatasetEntry(
            **_listed(name, found),
            referenced_bytes=found[b"referenced"],
            written_bytes=found[b"written"],
            available_bytes=found[b"available"],
            read_only=found.get(b"readonly") == b"on",
            mount_point=found.get(b"mountpoint", b"").decode(),
        )
        for name, found in answer.items()
    }


def _listed(name: bytes, found: Mapping[bytes, Any]) -> dict[str, Any]:
    token = found.get(b"receive_resume_token")
    key = found.get(b"keystatus", b"none")
    return {
        "name": name.decode(),
        "own": {key.decode(): content.decode(errors="replace") for key, content in found[b"own"].items()},
        "snapshots": _snapshots(found.get(b"snapshots", {})),
        "used_bytes": found[b"used"],
        "limit_bytes": found.get(b"refquota", 0),
        "resume_token": token.decode() if token else None,
        "inconsistent": bool(found.get(b"inconsistent", 0)),
        # Asked in this way, "encryption" is "off" even where it is not (2.3.2, measured).
        "encrypted": key != b"none",
        "key_loaded": key != b"unavailable",
    }


def _snapshots(found: Mapping[bytes, Mapping[bytes, Any]]) -> tuple[SnapshotEntry, ...]:
    snapshots = (
        SnapshotEntry(
            name=name.decode().partition("@")[2],
            # The kernel's Lua counts in signed 64-bit numbers.
            guid=Guid(entry[b"guid"] % _GUIDS),
            createtxg=entry[b"createtxg"],
            holds=tuple(tag.decode() for tag in entry.get(b"holds", {})),
            creation=entry.get(b"creation"),
            branched=b"branched" in entry,
        )
        for name, entry in found.items()
    )
    return tuple(sorted(snapshots, key=lambda snapshot: snapshot.createtxg))
