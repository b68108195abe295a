"""
The storage backend for ZFS: libzfs_core for all that it can do, the `zfs` command for the rest.

What is where in the pool, ``zfs_names`` says. A dataset's role and epoch are user properties of it; an OWNER has
``readonly=off``, everything else inherits ``readonly=on``. Nothing is ever mounted but by ``mount``: neither at boot
nor when the pool is imported.

**Encrypted datasets.** Make ``POOL/flocker`` encrypted before the first use (``zfs create -o encryption=on
-o keyformat=… -o mountpoint=legacy -o readonly=on POOL/flocker``), and everything created in it is. Streams then are
raw: the data stays encrypted on its way, and can be kept by a node that doesn't have the key. A dataset that was
received raw is its own encryption root: it does not inherit the key of the ``POOL/flocker`` that it is in, and its key
is the one of the pool it was first created in, to be loaded by ``zfs load-key -L LOCATION POOL/flocker/ID`` before it
is mounted. Encrypt the datasets of all nodes or of none: ZFS doesn't build a raw increment on a base that wasn't.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from pyrsistent import PMap, pmap

from flocker_agent.storage import zfs_command, zfs_difference, zfs_mounting, zfs_mounts, zfs_names, zfs_transfer
from flocker_agent.storage.mount_namespaces import mounts
from flocker_agent.storage.zfs_binding import ZfsCore
from flocker_agent.storage.zfs_listing import DatasetEntry, stored_snapshot
from flocker_agent.storage.zfs_pool import CANMOUNT_NOAUTO, READONLY_OFF, READONLY_ON, ZfsPool, snapshot_in
from flocker_py.model import DatasetId, Guid
from flocker_py.storage import (
    Capabilities,
    DatasetBusy,
    DatasetExists,
    DatasetMissing,
    LimitRefused,
    Role,
    SendPlan,
    SnapshotExists,
    SnapshotHeld,
    SnapshotMissing,
    StorageError,
    StoredDataset,
    StoredSnapshot,
)

_CAPABILITIES = Capabilities(
    name="zfs", atomic_snapshots=True, enforces_limit=True, enforces_unmount=True, needs_root=True
)
_LARGEST_LIMIT_BYTES = (1 << 63) - 1


class ZfsStorage:
    """
    The datasets of one ZFS pool: a ``flocker_py.storage.Storage``, where what is promised is written.

    :param pool: its name. It need not be imported yet; calls raise ``PoolMissing`` until it is.
    :param mount_root: the folder to mount datasets in, each under its id.
    :raises BackendUnavailable: ZFS can't be used on this host; the message says what to install or load.
    :raises NameRefused: no pool can have this name, or it leaves no room for names of ours.
    """

    def __init__(self, pool: str, mount_root: Path = Path("/flocker")) -> None:
        self._pool = ZfsPool(ZfsCore(), pool)
        self._core = self._pool.core
        self._mount_root = mount_root
        # Datasets whose intent log is known to be empty, since they were unmounted here, or made here.
        self._settled: set[DatasetId] = set()

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
        mounted = _mounted()
        datasets = {}
        for name, entry in self._pool.listed(zfs_names.parent_name(self._pool.name)).items():
            dataset_id = zfs_names.dataset_id_of(self._pool.name, name)
            if dataset_id is not None:
                datasets[dataset_id] = entry.stored(dataset_id, mounted.get(name))
        return pmap(datasets)

    def dataset(self, dataset_id: DatasetId) -> StoredDataset:
        """
        As promised by ``Storage``.
        """
        entry = self._pool.entry(dataset_id, snapshots=True)
        return entry.stored(dataset_id, next(iter(zfs_mounts.mounts_of(entry.name)), None))

    def free_bytes(self) -> int:
        """
        As promised by ``Storage``.
        """
        entry = self._pool.entry_of(zfs_names.parent_name(self._pool.name)) or self._pool.entry_of(self._pool.name)
        if entry is None:
            raise StorageError(f"pool {self._pool.name} doesn't say how much is free")
        return entry.available_bytes

    def create(
        self, dataset_id: DatasetId, *, role: Role, epoch: int, maximum_size_bytes: int | None = None
    ) -> StoredDataset:
        """
        As promised by ``Storage``.
        """
        properties = _new_properties(role, epoch)
        if maximum_size_bytes is not None:
            properties[b"refquota"] = _checked_limit(maximum_size_bytes)
        self._pool.ensure_parent()
        name = zfs_names.dataset_name(self._pool.name, dataset_id)
        self._core.call("lzc_create", name.encode(), props=properties, doing=f"creating {name}")
        self._settled.add(dataset_id)
        return self.dataset(dataset_id)

    def destroy(self, dataset_id: DatasetId) -> None:
        """
        As promised by ``Storage``.
        """
        entry = self._pool.entry(dataset_id)
        zfs_mounting.check_unmounted(entry)
        self._destroy_alone(entry.name, dataset_id)

    def set_role(self, dataset_id: DatasetId, *, role: Role, epoch: int) -> None:
        """
        As promised by ``Storage``.
        """
        entry = self._pool.entry(dataset_id, whole=True)
        marks = {zfs_names.ROLE: role.value, zfs_names.EPOCH: str(epoch)}
        if role is Role.OWNER:
            if entry.read_only:
                zfs_command.set_properties(entry.name, {**marks, "readonly": "off"})
            else:
                self._pool.change(entry.name, marks)
        else:
            zfs_mounting.check_unmounted(entry)
            self._settle(dataset_id, entry)
            self._pool.change(entry.name, marks if entry.read_only else {"readonly": "", **marks})
        self._check_role(dataset_id, role, epoch)

    def _check_role(self, dataset_id: DatasetId, role: Role, epoch: int) -> None:
        entry = self._pool.entry(dataset_id)
        if role is not Role.OWNER and not entry.read_only:
            # The parent no longer says so.
            zfs_command.set_properties(entry.name, {"readonly": "on"})
            entry = self._pool.entry(dataset_id)
        if (entry.role, entry.epoch, entry.read_only) != (role, epoch, role is not Role.OWNER):
            raise StorageError(
                f"{entry.name} was given role {role.value} of epoch {epoch}, and reads as something else"
            )

    def set_properties(self, dataset_id: DatasetId, properties: Mapping[str, str]) -> None:
        """
        As promised by ``Storage``.
        """
        self._pool.change(self._pool.entry(dataset_id).name, dict(zfs_names.property_changes(properties)))

    def set_limit(self, dataset_id: DatasetId, maximum_size_bytes: int | None) -> None:
        """
        As promised by ``Storage``.
        """
        entry = self._pool.entry(dataset_id, whole=True)
        if maximum_size_bytes is not None:
            limit_bytes = _checked_limit(maximum_size_bytes)
            entry = self._synced(dataset_id, entry)
            if entry.referenced_bytes > limit_bytes:
                raise LimitRefused(f"{entry.name} holds {entry.referenced_bytes} bytes, more than {limit_bytes}")
        zfs_command.set_properties(entry.name, {"refquota": str(maximum_size_bytes or "none")})

    def mount(self, dataset_id: DatasetId) -> Path:
        """
        As promised by ``Storage``.
        """
        path = self._mount_root / str(dataset_id)
        self._settled.discard(dataset_id)
        zfs_mounting.mount_owned(self._pool.entry(dataset_id, whole=True), path)
        return path

    def unmount(self, dataset_id: DatasetId) -> None:
        """
        As promised by ``Storage``.
        """
        entry = self._pool.entry(dataset_id)
        was_mounted = bool(zfs_mounts.mounts_of(entry.name))
        zfs_mounting.unmount(entry, self._mount_root / str(dataset_id))
        if was_mounted:
            self._settled.add(dataset_id)

    def _settle(self, dataset_id: DatasetId, entry: DatasetEntry) -> None:
        """
        See that an owner's unmounted dataset has in it what applications have synced.

        After a power cut that is in its intent log, which the kernel replays when it mounts the dataset, and only then:
        a snapshot taken before lacks it. What is no owner's was settled when it was laid
        down.

        :param entry: with its settings.
        :raises KeyUnavailable: it is encrypted and its key is not loaded.
        """
        if entry.role is Role.OWNER and dataset_id not in self._settled and not zfs_mounts.mounts_of(entry.name):
            # At its usual place: if this process is killed in between, it is found there, and unmounted.
            zfs_mounting.mount_owned(entry, self._mount_root / str(dataset_id))
            self.unmount(dataset_id)

    def written_since_snapshot(self, dataset_id: DatasetId) -> bool:
        """
        As promised by ``Storage``.
        """
        entry = self._pool.entry(dataset_id, snapshots=True)
        if entry.inconsistent or not entry.snapshots:
            return True
        mounted = bool(zfs_mounts.mounts_of(entry.name))
        if not mounted:
            self._settle(dataset_id, self._pool.entry(dataset_id, whole=True))
            entry = self._pool.entry(dataset_id, snapshots=True)
        if self._synced(dataset_id, entry).written_bytes == 0:
            return False
        return mounted or zfs_difference.differs(
            self._core, entry.name, entry.snapshots[-1].name, encrypted=entry.encrypted
        )

    def _synced(self, dataset_id: DatasetId, entry: DatasetEntry) -> DatasetEntry:
        """
        The dataset once the pool counts all that has been written to it. Sizes don't count what was written to a
        mounted dataset in the last seconds (measured); what is unmounted has been counted.
        """
        if not zfs_mounts.mounts_of(entry.name):
            return entry
        self._core.call("lzc_sync", self._pool.name.encode(), doing=f"syncing pool {self._pool.name}")
        return self._pool.entry(dataset_id)

    def snapshot(self, dataset_id: DatasetId, name: str) -> StoredSnapshot:
        """
        As promised by ``Storage``.
        """
        short = zfs_names.OURS + zfs_names.checked_label(name)
        entry = self._pool.entry(dataset_id, whole=True)
        self._settle(dataset_id, entry)
        full = f"{entry.name}@{short}"
        self._core.call("lzc_snapshot", [full.encode()], doing=f"taking snapshot {full}")
        taken = self._pool.entry_of(entry.name, snapshot=full)
        if taken is None or not taken.snapshots:
            raise SnapshotMissing(f"{full} was destroyed as soon as it was taken")
        return stored_snapshot(taken.snapshots[0])

    def destroy_snapshots(self, dataset_id: DatasetId, guids: Iterable[Guid]) -> None:
        """
        As promised by ``Storage``.
        """
        entry = self._pool.entry(dataset_id, snapshots=True)
        doomed = [snapshot_in(entry, guid) for guid in guids]
        for snapshot in doomed:
            if not snapshot.name.startswith(zfs_names.OURS):
                raise SnapshotMissing(f"{entry.name}@{snapshot.name} is somebody else's")
            if snapshot.holds:
                raise SnapshotHeld(f"{entry.name}@{snapshot.name} is held: {', '.join(snapshot.holds)}")
        if doomed:
            self._core.call(
                "lzc_destroy_snaps",
                [f"{entry.name}@{snapshot.name}".encode() for snapshot in doomed],
                False,
                doing=f"destroying snapshots of {entry.name}",
                # No hold was there a moment ago: it is being sent.
                said={"SnapshotIsHeld": DatasetBusy},
            )

    def hold(self, dataset_id: DatasetId, guids: Iterable[Guid], tag: str) -> None:
        """
        As promised by ``Storage``.
        """
        full_tag = zfs_names.OURS + zfs_names.checked_label(tag)
        entry = self._pool.entry(dataset_id, snapshots=True)
        snapshots = [snapshot_in(entry, guid) for guid in guids]
        holds = {
            f"{entry.name}@{snapshot.name}".encode(): full_tag.encode()
            for snapshot in snapshots
            if full_tag not in snapshot.holds
        }
        if holds:
            missing = self._core.call("lzc_hold", holds, doing=f"holding snapshots of {entry.name}")
            if missing:
                raise SnapshotMissing(missing[0].decode())

    def release(self, dataset_id: DatasetId, guids: Iterable[Guid], tag: str) -> None:
        """
        As promised by ``Storage``.
        """
        full_tag = zfs_names.OURS + zfs_names.checked_label(tag)
        entry = self._pool.entry(dataset_id, snapshots=True)
        snapshots = [snapshot_in(entry, guid) for guid in guids]
        holds = {
            f"{entry.name}@{snapshot.name}".encode(): [full_tag.encode()]
            for snapshot in snapshots
            if full_tag in snapshot.holds
        }
        if holds:
            self._core.call("lzc_release", holds, doing=f"releasing snapshots of {entry.name}")

    def bookmark(self, dataset_id: DatasetId, guid: Guid, name: str) -> None:
        """
        As promised by ``Storage``.
        """
        short = zfs_names.checked_label(name)
        entry = self._pool.entry(dataset_id, snapshots=True)
        snapshot = snapshot_in(entry, guid)
        there = self.bookmarks(dataset_id).get(short)
        if there == guid:
            return
        full = f"{entry.name}#{zfs_names.OURS}{short}"
        if there is not None:
            raise SnapshotExists(f"{full} is a bookmark of snapshot {there}")
        source = f"{entry.name}@{snapshot.name}"
        self._core.call("lzc_bookmark", {full.encode(): source.encode()}, doing=f"bookmarking {source}")

    def bookmarks(self, dataset_id: DatasetId) -> PMap[str, Guid]:
        """
        As promised by ``Storage``.
        """
        name = self._pool.entry(dataset_id).name
        found = self._core.call("lzc_get_bookmarks", name.encode(), [b"guid"], doing=f"listing the bookmarks of {name}")
        return pmap(
            {
                short.decode().removeprefix(zfs_names.OURS): Guid(properties[b"guid"][b"value"])
                for short, properties in found.items()
                if short.startswith(zfs_names.OURS.encode())
            }
        )

    def destroy_bookmarks(self, dataset_id: DatasetId, names: Iterable[str]) -> None:
        """
        As promised by ``Storage``.
        """
        name = self._pool.entry(dataset_id).name
        doomed = [f"{name}#{zfs_names.OURS}{zfs_names.checked_label(short)}".encode() for short in names]
        if doomed:
            self._core.call("lzc_destroy_bookmarks", doomed, doing=f"destroying bookmarks of {name}")

    def send_estimate_bytes(self, dataset_id: DatasetId, plan: SendPlan) -> int:
        """
        As promised by ``Storage``.
        """
        return zfs_transfer.estimate_bytes(self._pool, dataset_id, plan)

    def send(self, dataset_id: DatasetId, plan: SendPlan, stream: int) -> None:
        """
        As promised by ``Storage``.
        """
        zfs_transfer.send(self._pool, dataset_id, plan, stream)

    def receive(self, dataset_id: DatasetId, stream: int) -> StoredSnapshot:
        """
        As promised by ``Storage``.
        """
        return stored_snapshot(zfs_transfer.receive(self._pool, dataset_id, stream))

    def abort_receive(self, dataset_id: DatasetId) -> None:
        """
        As promised by ``Storage``.
        """
        entry = self._pool.entry(dataset_id)
        if entry.inconsistent or entry.resume_token is not None:
            self._pool.abort_receive(entry)

    def stash(self, dataset_id: DatasetId, label: str) -> str:
        """
        As promised by ``Storage``.
        """
        name = zfs_names.stash_label(dataset_id, label)
        entry = self._pool.entry(dataset_id, whole=True)
        zfs_mounting.check_unmounted(entry)
        self._settle(dataset_id, entry)
        self._pool.ensure_stash_parent()
        target = f"{zfs_names.stash_parent_name(self._pool.name)}/{name}"
        if self._pool.entry_of(target) is not None:
            raise DatasetExists(target)
        if not entry.read_only:
            # ``mount`` takes it back, should it be restored as an owner's.
            self._pool.change(entry.name, {"readonly": ""})
        self._rename(entry.name, target)
        return name

    def stashes(self) -> PMap[str, StoredDataset]:
        """
        As promised by ``Storage``.
        """
        mounted = _mounted()
        found = {}
        for full, entry in self._pool.listed(zfs_names.stash_parent_name(self._pool.name)).items():
            name = full.rpartition("/")[2]
            dataset_id = zfs_names.stashed_id(name)
            if dataset_id is not None:
                found[name] = entry.stored(dataset_id, mounted.get(full))
        return pmap(found)

    def restore_stash(self, name: str) -> DatasetId:
        """
        As promised by ``Storage``.
        """
        stash, dataset_id = self._stash(name)
        zfs_mounting.check_unmounted(stash)
        self._rename(stash.name, zfs_names.dataset_name(self._pool.name, dataset_id))
        return dataset_id

    def destroy_stash(self, name: str) -> None:
        """
        As promised by ``Storage``.
        """
        stash, dataset_id = self._stash(name)
        zfs_mounting.check_unmounted(stash)
        self._destroy_alone(stash.name, dataset_id)

    def mount_stash(self, name: str) -> Path:
        """
        As promised by ``Storage``.
        """
        stash, _ = self._stash(name)
        zfs_mounting.mount_readable(stash, self._mount_root / name)
        return self._mount_root / name

    def unmount_stash(self, name: str) -> None:
        """
        As promised by ``Storage``.
        """
        stash, _ = self._stash(name)
        zfs_mounting.unmount(stash, self._mount_root / name)

    def branch_stash(self, name: str, guid: Guid) -> StoredDataset:
        """
        As promised by ``Storage``.
        """
        stash, dataset_id = self._stash(name, snapshots=True)
        origin = f"{stash.name}@{snapshot_in(stash, guid).name}"
        target = zfs_names.dataset_name(self._pool.name, dataset_id)
        if self._pool.entry_of(target) is not None:
            raise DatasetExists(target)
        # A stream can only be received on a snapshot of the dataset's own, which a fresh clone has none of. Promoted,
        # it has its origin and all that is older, and the stash becomes the clone. Under another name until then, so
        # that nobody ever sees a dataset without the snapshot.
        fresh = zfs_names.branch_name(self._pool.name, dataset_id)
        if self._pool.entry_of(fresh) is not None:
            self._destroy_alone(fresh, dataset_id)
        properties = _new_properties(Role.REPLICA, 0)
        if stash.limit_bytes:
            properties[b"refquota"] = stash.limit_bytes
        self._core.call(
            "lzc_clone", fresh.encode(), origin.encode(), props=properties, doing=f"cloning {origin} to {fresh}"
        )
        self._promote(fresh)
        self._rename(fresh, target)
        return self.dataset(dataset_id)

    def _promote(self, name: str) -> None:
        self._core.call("lzc_promote", name.encode(), doing=f"promoting {name}")

    def _destroy_alone(self, name: str, dataset_id: DatasetId) -> None:
        """
        Destroy a dataset or stash. Stashes and branches of it that share its snapshots take them over first.
        """
        while True:
            relatives = [clone for clone in self._pool.clones(name) if self._is_of(clone, dataset_id)]
            if not relatives:
                break
            self._promote(relatives[0])
        self._pool.destroy(name)

    def _is_of(self, name: str, dataset_id: DatasetId) -> bool:
        own = (zfs_names.dataset_name(self._pool.name, dataset_id), zfs_names.branch_name(self._pool.name, dataset_id))
        parent, _, short = name.rpartition("/")
        stashed = parent == zfs_names.stash_parent_name(self._pool.name)
        return name in own or (stashed and zfs_names.stashed_id(short) == dataset_id)

    def clone(self, dataset_id: DatasetId, guid: Guid, new_dataset_id: DatasetId, *, epoch: int) -> StoredDataset:
        """
        As promised by ``Storage``.
        """
        entry = self._pool.entry(dataset_id, snapshots=True, whole=True)
        origin = f"{entry.name}@{snapshot_in(entry, guid).name}"
        name = zfs_names.dataset_name(self._pool.name, new_dataset_id)
        self._core.call(
            "lzc_clone",
            name.encode(),
            origin.encode(),
            props=_new_properties(Role.OWNER, epoch),
            doing=f"cloning {origin} to {name}",
        )
        return self.dataset(new_dataset_id)

    def _stash(self, name: str, *, snapshots: bool = False) -> tuple[DatasetEntry, DatasetId]:
        dataset_id = zfs_names.stashed_id(name)
        full = f"{zfs_names.stash_parent_name(self._pool.name)}/{name}"
        entry = None if dataset_id is None else self._pool.entry_of(full, snapshots=snapshots)
        if dataset_id is None or entry is None:
            raise DatasetMissing(f"no stash {name!r} in pool {self._pool.name}")
        return entry, dataset_id

    def _rename(self, source: str, target: str) -> None:
        self._core.call("lzc_rename", source.encode(), target.encode(), doing=f"renaming {source} to {target}")


def _mounted() -> dict[str, str]:
    result: dict[str, str] = {}
    for found in mounts():
        if found.kind == "zfs":
            result.setdefault(found.source, found.path)
    return result


def _new_properties(role: Role, epoch: int) -> dict[bytes, int | bytes]:
    return {
        b"readonly": READONLY_OFF if role is Role.OWNER else READONLY_ON,
        b"canmount": CANMOUNT_NOAUTO,
        zfs_names.ROLE.encode(): role.value.encode(),
        zfs_names.EPOCH.encode(): str(epoch).encode(),
    }


def _checked_limit(maximum_size_bytes: int) -> int:
    if not 0 < maximum_size_bytes <= _LARGEST_LIMIT_BYTES:
        raise LimitRefused(f"{maximum_size_bytes} is not a size: 1 to {_LARGEST_LIMIT_BYTES} bytes are")
    return maximum_size_bytes
