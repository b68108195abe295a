"""
Changes to a dataset, carried out on its storage. Blocking: for a thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from flocker_agent.changes import (
    AbortReceive,
    BecomeReplica,
    BranchStash,
    CleanSnapshots,
    CopyDataset,
    CreateDataset,
    DestroyDataset,
    DropStash,
    LayDownDataset,
    LimitDataset,
    MountDataset,
    MountStash,
    RemoveCopy,
    StashChange,
    StashDataset,
    TakeDataset,
    TakeFinalSnapshot,
    UnmountDataset,
    UnmountStash,
    UnstashDataset,
)
from flocker_agent.copying import copy_snapshot
from flocker_agent.plan import EXPIRES_AT, STASHED_AT, final_name, newest_guid
from flocker_py.model import DatasetId
from flocker_py.storage import DatasetDiverged, Role, Storage

MOVE_TAG = "move"
"""The hold that protects snapshots of a move."""

StorageChange = (
    CreateDataset
    | CopyDataset
    | TakeDataset
    | LimitDataset
    | MountDataset
    | UnmountDataset
    | LayDownDataset
    | TakeFinalSnapshot
    | BecomeReplica
    | AbortReceive
    | RemoveCopy
    | DestroyDataset
    | CleanSnapshots
    | StashDataset
    | UnstashDataset
    | BranchStash
)


def perform(
    change: StorageChange, storage: Storage, *, now_seconds: float, cancelled: Callable[[], bool] = lambda: False
) -> None:
    """
    Carry out one change.

    :param now_seconds: since the epoch of Unix.
    :param cancelled: asked now and then by what can take long, which then ends without having done all.
    :raises StorageError: as the calls of ``Storage`` that it takes; what it did until then is in the pool to be seen.
    """
    match change:
        case CreateDataset():
            storage.create(
                change.dataset_id,
                role=Role.OWNER,
                epoch=change.epoch,
                maximum_size_bytes=change.maximum_size_bytes,
            )
        case CopyDataset():
            copy_snapshot(storage, change, cancelled=cancelled)
        case TakeDataset():
            storage.set_role(change.dataset_id, role=Role.OWNER, epoch=change.epoch)
        case LimitDataset():
            storage.set_limit(change.dataset_id, change.maximum_size_bytes)
        case MountDataset():
            storage.mount(change.dataset_id)
        case UnmountDataset():
            storage.unmount(change.dataset_id)
        case LayDownDataset():
            storage.set_role(change.dataset_id, role=Role.RELEASED, epoch=change.epoch)
        case TakeFinalSnapshot():
            snapshot = storage.snapshot(change.dataset_id, final_name(change.epoch))
            storage.hold(change.dataset_id, [snapshot.guid], MOVE_TAG)
        case BecomeReplica():
            _refuse_if_written(storage, change.dataset_id)
            storage.set_role(change.dataset_id, role=Role.REPLICA, epoch=change.epoch)
        case AbortReceive():
            storage.abort_receive(change.dataset_id)
        case RemoveCopy():
            _remove_copy(storage, change)
        case DestroyDataset():
            storage.destroy(change.dataset_id)
        case CleanSnapshots():
            storage.release(change.dataset_id, change.guids, MOVE_TAG)
            storage.destroy_snapshots(change.dataset_id, change.guids)
        case StashDataset():
            _stash(storage, change, now_seconds)
        case UnstashDataset():
            storage.restore_stash(change.name)
        case BranchStash():
            storage.branch_stash(change.name, change.guid)
        case _:
            assert_never(change)


def _refuse_if_written(storage: Storage, dataset_id: DatasetId) -> None:
    if storage.written_since_snapshot(dataset_id):
        raise DatasetDiverged(f"dataset {dataset_id} was written to after it was laid down here; it was kept")


def _remove_copy(storage: Storage, change: RemoveCopy) -> None:
    # Looked at again here, next to the destroying: what was planned on may be a moment old.
    stored = storage.dataset(change.dataset_id)
    if stored.role is Role.OWNER:
        raise DatasetDiverged(f"dataset {change.dataset_id} is owned here under epoch {stored.epoch}; it was kept")
    if stored.role is Role.RELEASED:
        if newest_guid(stored) != change.proven_guid:
            raise DatasetDiverged(
                f"the newest snapshot of dataset {change.dataset_id} here is {newest_guid(stored)}, not"
                f" {change.proven_guid}; it was kept"
            )
        _refuse_if_written(storage, change.dataset_id)
    storage.destroy(change.dataset_id)


def _stash(storage: Storage, change: StashDataset, now_seconds: float) -> None:
    stored = storage.dataset(change.dataset_id)
    if stored.role is Role.OWNER:
        raise DatasetDiverged(f"dataset {change.dataset_id} is owned here under epoch {stored.epoch}; it was kept")
    same = change.common_guid is not None and newest_guid(stored) == change.common_guid
    if same and not storage.written_since_snapshot(change.dataset_id):
        storage.destroy(change.dataset_id)
        return
    since, until = int(now_seconds), int(now_seconds + change.keep_seconds)
    storage.set_properties(change.dataset_id, {STASHED_AT: str(since), EXPIRES_AT: str(until)})
    storage.stash(change.dataset_id, change.label)


def perform_on_stash(change: StashChange, storage: Storage) -> None:
    """
    Carry out one change of what was put aside.

    :raises StorageError: as ``perform``.
    """
    match change:
        case MountStash():
            storage.mount_stash(change.name)
        case UnmountStash():
            storage.unmount_stash(change.name)
        case DropStash():
            storage.destroy_stash(change.name)
        case _:
            assert_never(change)
