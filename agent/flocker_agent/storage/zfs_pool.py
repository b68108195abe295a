"""
Looking into one ZFS pool, and the changes to a dataset that are one transaction.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from typing import Any

from flocker_agent.storage import zfs_command, zfs_listing, zfs_programs
from flocker_agent.storage import zfs_names as names
from flocker_agent.storage.zfs_binding import ZfsCore
from flocker_agent.storage.zfs_listing import DatasetEntry, ListedDataset, SnapshotEntry
from flocker_agent.storage.zfs_programs import DETAILED, LISTED
from flocker_py.model import DatasetId, Guid
from flocker_py.storage import (
    BackendUnavailable,
    DatasetBusy,
    DatasetMissing,
    DatasetPartial,
    PoolFull,
    SnapshotHeld,
    SnapshotMissing,
    StorageError,
)

# The kernel's upper bounds (zfs_lua_max_instrlimit, zfs_lua_max_memlimit); what is not used is not taken.
_INSTRUCTIONS = 100_000_000
_MEMORY_BYTES = 100 << 20

# Numbers of enumerations, from zfs_prop.c and zfs_ioctl.h: lzc_create doesn't know the words.
CANMOUNT_OFF, CANMOUNT_NOAUTO = 0, 2
READONLY_OFF, READONLY_ON = 0, 1
_XATTR_SA = 2
_ACLTYPE_POSIX = 1

# What every dataset of ours has from its parent: from the first moment of a receive it can't be mounted by accident,
# nor written to. No access times, which would be changes that nobody made.
_PARENT_WORDS = {
    "mountpoint": "legacy",
    "readonly": "on",
    "canmount": "off",
    "atime": "off",
    "xattr": "sa",
    "acltype": "posix",
}
_PARENT_NUMBERS: Mapping[bytes, int | bytes] = {
    b"mountpoint": b"legacy",
    b"readonly": READONLY_ON,
    b"canmount": CANMOUNT_OFF,
    b"atime": 0,
    b"xattr": _XATTR_SA,
    b"acltype": _ACLTYPE_POSIX,
}


class ZfsPool:
    """
    One pool, by name; it need not be imported yet.
    """

    def __init__(self, core: ZfsCore, pool: str) -> None:
        self.core = core
        self.name = names.checked_pool(pool)

    def entry(self, dataset_id: DatasetId, *, snapshots: bool = False, whole: bool = False) -> DatasetEntry:
        """
        One dataset.

        :param snapshots: whether they are listed too.
        :raises DatasetMissing: it isn't here.
        :raises DatasetPartial: ``whole`` was asked for, and it is nothing but a partial receive.
        """
        found = self.entry_of(names.dataset_name(self.name, dataset_id), snapshots=snapshots)
        if found is None:
            raise DatasetMissing(f"dataset {dataset_id} in pool {self.name}")
        if whole and found.inconsistent:
            raise DatasetPartial(f"dataset {dataset_id} in pool {self.name}")
        return found

    def entry_of(self, name: str, *, snapshots: bool = False, snapshot: str | None = None) -> DatasetEntry | None:
        """
        Whatever has this full name; None: nothing.

        :param snapshots: whether they are listed too; else ``snapshot``, by its full name, if it is there.
        """
        arguments: dict[bytes, Any] = {b"name": name.encode(), b"properties": DETAILED}
        if snapshots:
            arguments[b"snapshots"] = True
        if snapshot is not None:
            arguments[b"snapshot"] = snapshot.encode()
        answer = self._ask(zfs_programs.DATASETS, arguments, f"looking at {name}")
        return zfs_listing.detailed(answer).get(name)

    def listed(self, parent: str) -> dict[str, ListedDataset]:
        """
        All children of a dataset, by full name, with their snapshots; none if it isn't there.
        """
        try:
            return self._listed({b"parent": parent.encode()})
        except _ProgramTooLarge:
            pass
        found: dict[str, ListedDataset] = {}
        for name in self.children(parent):
            # Nothing, if it was destroyed since its name was listed.
            found |= self._listed({b"name": name.encode()})
        return found

    def _listed(self, which: Mapping[bytes, bytes]) -> dict[str, ListedDataset]:
        arguments = {**which, b"properties": LISTED, b"snapshots": True}
        return zfs_listing.listed(self._ask(zfs_programs.DATASETS, arguments, f"listing pool {self.name}"))

    def children(self, parent: str) -> list[str]:
        """
        Full names of the datasets right below one; none if it isn't there.
        """
        answer = self._ask(zfs_programs.CHILDREN, {b"parent": parent.encode()}, f"listing {parent}")
        return [name.decode() for name in answer]

    def clones(self, name: str) -> list[str]:
        """
        Full names of everything that is built on a snapshot of a dataset.
        """
        answer = self._ask(zfs_programs.CLONES, {b"name": name.encode()}, f"looking for clones of {name}")
        return sorted(clone.decode() for clone in answer)

    def ensure_parent(self) -> None:
        """
        Make the parent of all our datasets, if it isn't there, and see that it keeps them from being mounted or written
        by accident.

        :raises BackendUnavailable: it is there, with children, and doesn't.
        """
        name = names.parent_name(self.name)
        parent = self.entry_of(name)
        if parent is None:
            self._create(name, _PARENT_NUMBERS)
        elif not (parent.read_only and parent.mount_point in ("legacy", "none")):
            if self.children(name):
                command = " ".join(f"{key}={content}" for key, content in _PARENT_WORDS.items())
                raise BackendUnavailable(f"{name} is not set up for its children to be safe: zfs set {command} {name}")
            zfs_command.set_properties(name, _PARENT_WORDS)

    def ensure_stash_parent(self) -> None:
        """
        Make the dataset that stashes are in, if it isn't there.
        """
        self.ensure_parent()
        name = names.stash_parent_name(self.name)
        if self.entry_of(name) is None:
            self._create(name, {b"canmount": CANMOUNT_OFF})

    def _create(self, name: str, properties: Mapping[bytes, int | bytes]) -> None:
        try:
            self.core.call("lzc_create", name.encode(), props=properties, doing=f"creating {name}")
        except StorageError:
            # Another thread may have made it at the same time.
            if self.entry_of(name) is None:
                raise

    def change(self, name: str, steps: Mapping[str, str]) -> None:
        """
        Set properties, all in one transaction or none.

        :param steps: user properties, or native ones with an empty value, which are then inherited again; an empty
            value removes a user property. In the order in which they must become true.
        :raises DatasetMissing: the dataset isn't there.
        """
        if not steps:
            return
        flat = [text.encode() for step in steps.items() for text in step]
        doing = f"changing {', '.join(steps)} of {name}"
        answer = self._run(zfs_programs.CHANGE, {b"name": name.encode(), b"steps": flat}, doing)
        self._check(answer, doing)

    def destroy(self, name: str) -> None:
        """
        Destroy a dataset, partial or whole, with its snapshots. Holds of ours are let go first, and put back if it
        comes to nothing.

        :raises SnapshotHeld: somebody else holds a snapshot.
        :raises DatasetBusy: it has clones, or is being sent or received into.
        """
        entry = self.entry_of(name, snapshots=True)
        if entry is None:
            raise DatasetMissing(name)
        for snapshot in entry.snapshots:
            others = [tag for tag in snapshot.holds if not tag.startswith(names.OURS)]
            if others:
                raise SnapshotHeld(f"{name}@{snapshot.name} is held by {', '.join(others)}")
        if entry.resume_token is not None and not entry.inconsistent:
            self.abort_receive(entry)
        self.release(name, entry.snapshots)
        doing = f"destroying {name}"
        try:
            self._check(self._run(zfs_programs.DESTROY, {b"name": name.encode()}, doing), doing)
        except StorageError:
            self._hold_again(name, entry.snapshots)
            raise

    def abort_receive(self, entry: ListedDataset) -> None:
        """
        Throw the partial receive of a dataset away.
        """
        # The unfinished part of an increment is a hidden clone of that name (dmu_recv.c).
        name = entry.name if entry.inconsistent else f"{entry.name}/%recv"
        self.core.call("lzc_destroy", name.encode(), doing=f"aborting the receive into {entry.name}")

    def release(self, name: str, snapshots: Sequence[SnapshotEntry]) -> None:
        """
        Let go of all holds of ours on snapshots.
        """
        holds = _our_holds(name, snapshots)
        if holds:
            self.core.call("lzc_release", holds, doing=f"releasing the holds on {name}")

    def _hold_again(self, name: str, snapshots: Sequence[SnapshotEntry]) -> None:
        holds = _our_holds(name, snapshots)
        # One call takes one tag for a snapshot.
        for position in range(max(map(len, holds.values()), default=0)):
            layer = {snapshot: tags[position] for snapshot, tags in holds.items() if position < len(tags)}
            self.core.call("lzc_hold", layer, doing=f"holding snapshots of {name} again")

    def _ask(self, program: bytes, arguments: Mapping[bytes, Any], doing: str) -> Mapping[bytes, Any]:
        answer = self.core.call(
            "lzc_channel_program_nosync",
            self.name.encode(),
            program,
            instrlimit=_INSTRUCTIONS,
            memlimit=_MEMORY_BYTES,
            params=arguments,
            doing=doing,
            said={
                "ZCPSpaceError": _ProgramTooLarge,
                "ZCPMemoryError": _ProgramTooLarge,
                "ZCPTimeout": _ProgramTooLarge,
            },
        )
        # A table without entries comes back as none at all.
        return answer or {}

    def _run(self, program: bytes, arguments: Mapping[bytes, Any], doing: str) -> Mapping[bytes, Any]:
        answer: Mapping[bytes, Any] = self.core.call(
            "lzc_channel_program",
            self.name.encode(),
            program,
            instrlimit=_INSTRUCTIONS,
            memlimit=_MEMORY_BYTES,
            params=arguments,
            doing=doing,
            said={"ZCPSpaceError": PoolFull},
        )
        return answer

    def _check(self, answer: Mapping[bytes, Any], doing: str) -> None:
        if b"missing" in answer:
            raise DatasetMissing(f"{doing}: it isn't there")
        failed = answer[b"failed"]
        if failed == 0:
            return
        what = answer.get(b"what", b"").decode()
        match failed:
            case errno.EBUSY:
                raise DatasetBusy(f"{doing}: {what} is mounted somewhere, being sent, or being received into")
            case errno.EEXIST:
                raise DatasetBusy(f"{doing}: {what} has clones or children")
            case errno.ENOSPC | errno.EDQUOT:
                raise PoolFull(f"{doing}")
            case _:
                raise StorageError(f"{doing}: {what} failed: {errno.errorcode.get(failed, failed)}")


class _ProgramTooLarge(StorageError):
    """
    A listing needs more memory or steps than the kernel gives to one program. Ask for less at once.
    """


def _our_holds(name: str, snapshots: Sequence[SnapshotEntry]) -> dict[bytes, list[bytes]]:
    holds = {
        f"{name}@{snapshot.name}".encode(): [tag.encode() for tag in snapshot.holds if tag.startswith(names.OURS)]
        for snapshot in snapshots
    }
    return {snapshot: tags for snapshot, tags in holds.items() if tags}


def snapshot_in(entry: DatasetEntry, guid: Guid) -> SnapshotEntry:
    """
    The snapshot of that GUID in a dataset.

    :raises SnapshotMissing: there is none.
    """
    found = entry.snapshot(guid)
    if found is None:
        raise SnapshotMissing(f"{entry.name} has no snapshot of GUID {guid}")
    return found
