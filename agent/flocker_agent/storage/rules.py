"""
What the embedded backends accept: names, properties, limits and streams. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from flocker_agent.storage.openings import Opening
from flocker_py.model import DatasetId, Guid
from flocker_py.records import Record, value
from flocker_py.storage import (
    DatasetBusy,
    DatasetDiverged,
    DatasetExists,
    LimitRefused,
    NameRefused,
    PropertyRefused,
    ResumeRefused,
    SnapshotExists,
    StoredDataset,
    WrongBase,
)

_NAME = re.compile(r"[a-zA-Z0-9_.:-]{1,80}")
_PROPERTY_NAME = re.compile(r"[a-z0-9_-]+")
_PROPERTY_LIMIT_CHARACTERS = 1024
_NONE = type(None)


class Kept(Record):
    """
    How far a partial receive is.

    :param key: tells streams apart that bring the same snapshot in different ways.
    :param position: how many bytes of the stream's data are kept.
    """

    to_guid: Guid = value(int)
    from_guid: Guid | None = value((int, _NONE), default=None)
    key: int = value(int, default=0)
    position: int = value(int)


def checked_name(name: str) -> str:
    """
    A name for a snapshot, hold, bookmark or stash.

    :raises NameRefused: it breaks the rule.
    """
    if not _NAME.fullmatch(name):
        raise NameRefused(f"{name[:100]!r}")
    return name


def checked_limit(dataset_id: DatasetId, maximum_size_bytes: int | None, *, held_bytes: int = 0) -> int | None:
    """
    A size limit.

    :param held_bytes: what the live dataset holds.
    :raises LimitRefused: it is not positive, or less than that.
    """
    if maximum_size_bytes is not None:
        if maximum_size_bytes <= 0:
            raise LimitRefused(f"{maximum_size_bytes} bytes for {dataset_id}: a limit must be greater than zero")
        if maximum_size_bytes < held_bytes:
            raise LimitRefused(f"{maximum_size_bytes} bytes for {dataset_id}, which holds {held_bytes} bytes")
    return maximum_size_bytes


def changed_properties(before: Mapping[str, str], changes: Mapping[str, str]) -> dict[str, str]:
    """
    A dataset's properties after some were set; an empty value removes one.

    :raises PropertyRefused: a name or value can't be kept.
    """
    for name, content in changes.items():
        if not _PROPERTY_NAME.fullmatch(name):
            raise PropertyRefused(f"name {name!r}: not of a-z, 0-9, - and _")
        if len(content) > _PROPERTY_LIMIT_CHARACTERS:
            raise PropertyRefused(
                f"{name}: {len(content)} characters, at most {_PROPERTY_LIMIT_CHARACTERS} can be kept"
            )
    return {name: content for name, content in {**before, **changes}.items() if content}


def checked_base(ages: Mapping[Guid, int], to_guid: Guid, from_guid: Guid) -> None:
    """
    Nothing, if a stream can lead from one snapshot to the other.

    :param ages: of all snapshots, and those that bookmarks were made of: a number that grows with each snapshot.
    :raises WrongBase: the base is none of them, or is not older.
    """
    if from_guid not in ages:
        raise WrongBase(f"There is no snapshot or bookmark with GUID {from_guid}")
    if ages[from_guid] >= ages[to_guid]:
        raise WrongBase(f"Snapshot {from_guid} is not older than {to_guid}")


def admit(
    dataset_id: DatasetId,
    present: StoredDataset | None,
    kept: Kept | None,
    opening: Opening,
    written: Callable[[], bool],
) -> None:
    """
    Nothing, if the dataset can take a stream that opens like this.

    :param present: the dataset; None: it is not there.
    :param kept: its partial receive.
    :param written: whether it was written to since its newest snapshot; asked only if it matters.
    :raises StorageError: why not, as ``Storage.receive`` promises.
    """
    if present is not None and present.mounted_at is not None:
        raise DatasetBusy(f"{dataset_id} is mounted at {present.mounted_at}; nothing is received into it")
    if kept is None and opening.resume_position is not None:
        raise ResumeRefused(f"{dataset_id}: the stream goes on with a receive of which nothing is kept here")
    if kept is not None and opening.resume_position is None:
        raise ResumeRefused(f"{dataset_id}: the stream begins anew, but part of a receive is kept here")
    if kept is not None and kept != Kept(
        to_guid=opening.to_guid,
        from_guid=opening.from_guid,
        key=opening.key,
        position=opening.resume_position or 0,
    ):
        raise ResumeRefused(f"{dataset_id}: the stream goes on with another receive than the one kept here")
    if present is None or present.partial:
        if opening.from_guid is not None:
            raise WrongBase(f"{dataset_id} is not here, so it has no snapshot with GUID {opening.from_guid}")
        return
    if opening.from_guid is None:
        raise DatasetExists(f"{dataset_id}, so it can't be received whole")
    guids = [snapshot.guid for snapshot in present.snapshots]
    if opening.from_guid not in guids:
        raise WrongBase(f"{dataset_id} has no snapshot with GUID {opening.from_guid} here")
    if guids[-1] != opening.from_guid:
        raise DatasetDiverged(f"{dataset_id} has newer snapshots than {opening.from_guid}, the newest is {guids[-1]}")
    if opening.to_name in {snapshot.name for snapshot in present.snapshots}:
        raise SnapshotExists(f"{opening.to_name} of {dataset_id}, with another GUID than {opening.to_guid}")
    if written():
        raise DatasetDiverged(f"{dataset_id} was written to since its snapshot {opening.from_guid}")
