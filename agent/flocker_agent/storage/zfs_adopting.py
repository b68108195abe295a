"""
Making datasets ours that somebody else made: see ``zfs_adoption`` for what is done and why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from pyrsistent import pvector

from flocker_agent.storage import zfs_command, zfs_mounts, zfs_names
from flocker_agent.storage.zfs_adoption import Candidate, Mark, Refused, Rename, Step, Unmount, Wish, steps
from flocker_agent.storage.zfs_pool import ZfsPool
from flocker_py.storage import DatasetBusy, StorageError


class AdoptionRefused(StorageError):
    """
    The dataset can't be adopted, and was not changed. Do what the message says, and try again.
    """

    lasting = True


def adoption(pool: ZfsPool, wish: Wish) -> list[Step]:
    """
    What is left to do for a dataset to be one of ours.

    :raises AdoptionRefused: it can't be one.
    """
    target = zfs_names.dataset_name(pool.name, wish.dataset_id)
    found = steps(pool.name, wish, _candidate(pool, wish.name), target_taken=pool.entry_of(target) is not None)
    if isinstance(found, Refused):
        raise AdoptionRefused(found.text)
    return found


def adopt(pool: ZfsPool, wish: Wish, tell: Callable[[Step], None]) -> None:
    """
    Make a dataset one of ours. Interrupted, it can be done again.

    :param tell: is given each step before it is done.
    :raises AdoptionRefused: it can't be one.
    :raises DatasetBusy: it is in use.
    """
    left = adoption(pool, wish)
    before = _guids(pool, wish.name)
    if left:
        pool.ensure_parent()
    for step in left:
        tell(step)
        _perform(pool, step)
    target = zfs_names.dataset_name(pool.name, wish.dataset_id)
    entry = pool.entry_of(target)
    if entry is None or entry.role is not wish.role or _guids(pool, target) != before:
        raise StorageError(f"{target} does not read as what was adopted: look at it before the agent is started")


def _perform(pool: ZfsPool, step: Step) -> None:
    match step:
        case Unmount():
            try:
                zfs_mounts.unmount(step.path)
            except OSError as error:
                users = zfs_mounts.users_of(step.path)
                raise DatasetBusy(
                    f"{step.path} can't be unmounted ({error.strerror}); it is used by {users}"
                ) from error
        case Mark():
            zfs_command.set_properties(step.name, dict(step.properties))
        case Rename():
            doing = f"renaming {step.source} to {step.target}"
            pool.core.call("lzc_rename", step.source.encode(), step.target.encode(), doing=doing)
        case _:
            assert_never(step)


def _candidate(pool: ZfsPool, name: str) -> Candidate | None:
    entry = pool.entry_of(name, snapshots=True)
    if entry is None:
        return None
    native = zfs_command.properties(name, ("type", "encryptionroot"))
    root = native["encryptionroot"]
    return Candidate(
        kind=native["type"],
        mounted_at=pvector(zfs_mounts.mounts_of(name)),
        children=pvector(pool.children(name)),
        snapshots=len(entry.snapshots),
        partial=entry.inconsistent or entry.resume_token is not None,
        encryption_root="" if root == "-" else root,
        marked_role=entry.own.get(zfs_names.ROLE),
        marked_epoch=entry.own.get(zfs_names.EPOCH),
    )


def _guids(pool: ZfsPool, name: str) -> list[int]:
    entry = pool.entry_of(name, snapshots=True)
    return [] if entry is None else [snapshot.guid for snapshot in entry.snapshots]
