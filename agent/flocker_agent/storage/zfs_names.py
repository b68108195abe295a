"""
What things are called in a ZFS pool.

    POOL/flocker                    parent of all; what it says of mounting, its children inherit
    POOL/flocker/DATASET-ID         a dataset
    POOL/flocker/stash/ID-LABEL     one that was put aside
    POOL/flocker/branch-ID          on its way to be a dataset that begins as a stash's snapshot
    …@flocker_py-NAME, …#flocker_py-NAME, hold flocker_py-TAG
                                    snapshots, bookmarks and holds of ours; nobody else's are ever changed
    flocker_py:role, flocker_py:epoch, flocker_py:own.NAME
                                    user properties

Stashes are below the parent, not beside it: ZFS refuses to rename a dataset out of the one that its key is inherited
from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from uuid import UUID

from flocker_py.model import DatasetId
from flocker_py.storage import NameRefused, PropertyRefused

OURS = "flocker_py-"
ROLE = "flocker_py:role"
EPOCH = "flocker_py:epoch"
PROPERTY = "flocker_py:own."

# zfsprops(7) and zfs_namecheck.c: no name is longer than 255 characters, snapshot included.
LONGEST_NAME = 255
_STASH = "stash"
_LABEL = re.compile(r"[A-Za-z0-9_.:-]{1,80}")
_POOL = re.compile(r"[A-Za-z][A-Za-z0-9_.: -]*")
_PROPERTY_NAME = re.compile(r"[a-z0-9_-]{1,128}")
_LONGEST_VALUE = 1024
_ID_LENGTH = 36


def checked_pool(pool: str) -> str:
    """
    A pool's name, if datasets of ours with their snapshots fit below it.

    :raises NameRefused: it is no pool's name, or too long.
    """
    if _POOL.fullmatch(pool) is None:
        raise NameRefused(f"{pool!r} is not the name of a pool: one begins with a letter")
    longest = LONGEST_NAME - len(f"/flocker/{'i' * _ID_LENGTH}@{OURS}{'n' * 80}")
    if len(pool) > longest:
        raise NameRefused(f"the pool's name {pool!r} is longer than {longest} characters")
    return pool


def checked_label(text: str) -> str:
    """
    The name of a snapshot, bookmark or hold, or the label of a stash, if it can be one.

    :raises NameRefused: it can't.
    """
    if _LABEL.fullmatch(text) is None:
        raise NameRefused(f"{text!r} can't be used")
    return text


def parent_name(pool: str) -> str:
    """
    The dataset that all of ours are in.
    """
    return f"{pool}/flocker"


def dataset_name(pool: str, dataset_id: DatasetId) -> str:
    """
    Where a dataset is in its pool.
    """
    return f"{parent_name(pool)}/{dataset_id}"


def dataset_id_of(pool: str, name: str) -> DatasetId | None:
    """
    The dataset that is at a place in the pool; None: nothing of ours can be there.
    """
    return _id(name.removeprefix(f"{parent_name(pool)}/"))


def stash_parent_name(pool: str) -> str:
    """
    The dataset that stashes are in.
    """
    return f"{parent_name(pool)}/{_STASH}"


def branch_name(pool: str, dataset_id: DatasetId) -> str:
    """
    Where a dataset is while it is being branched from a stash.
    """
    return f"{parent_name(pool)}/branch-{dataset_id}"


def stash_label(dataset_id: DatasetId, label: str) -> str:
    """
    What a stash is known by.

    :raises NameRefused: the label can't be used.
    """
    return f"{dataset_id}-{checked_label(label)}"


def stashed_id(name: str) -> DatasetId | None:
    """
    The id that a stash had; None: it is no name of a stash.
    """
    label = name[_ID_LENGTH + 1 :]
    if name[_ID_LENGTH : _ID_LENGTH + 1] != "-" or _LABEL.fullmatch(label) is None:
        return None
    return _id(name[:_ID_LENGTH])


def _id(text: str) -> DatasetId | None:
    try:
        found = UUID(text)
    except ValueError:
        return None
    # UUID() reads braces, capitals and missing dashes too; those are names that somebody else gave.
    return DatasetId(found) if str(found) == text else None


def property_changes(properties: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """
    The user properties that keep these, name and value; an empty value is one to remove.

    :raises PropertyRefused: a name or value can't be kept.
    """
    for name, content in properties.items():
        if _PROPERTY_NAME.fullmatch(name) is None:
            raise PropertyRefused(f"property name {name!r}: up to 128 characters of a-z 0-9 _ - can be used")
        if len(content) > _LONGEST_VALUE:
            raise PropertyRefused(
                f"the value of {name!r} has {len(content)} characters, and {_LONGEST_VALUE} can be kept"
            )
        try:
            encoded = content.encode()
        except UnicodeEncodeError:
            raise PropertyRefused(f"the value of {name!r} is not text that has a UTF-8 form") from None
        if b"\0" in encoded:
            raise PropertyRefused(f"the value of {name!r} has a NUL character")
        yield PROPERTY + name, content


def received_name(sent_name: str, to_guid: int) -> str:
    """
    The name, prefix included, under which a snapshot is received: the one it was sent under, or, if that was somebody
    else's and can't be one of ours, one made of its GUID.

    :param sent_name: as in the stream: with the dataset that it was sent from.
    """
    short = sent_name.rpartition("@")[2].removeprefix(OURS)
    return OURS + (short if _LABEL.fullmatch(short) is not None else f"{to_guid:016x}")
