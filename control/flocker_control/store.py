"""
Where the control service's state is durable: values under keys, with one revision for all of them.

The protocol is small enough for a file and for etcd's transactions alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Protocol

from pyrsistent import PMap, PVector

from flocker_py.errors import FlockerError
from flocker_py.records import Record, mapping, sequence, value


class StoreError(FlockerError):
    """
    The control service's store could not do what was asked. Nothing was changed.
    """


class RevisionConflict(StoreError):
    """
    Somebody else has changed the cluster since this was planned. Look again, and try again.
    """


class StoreInUse(StoreError):
    """
    Another control service runs on this data directory. Stop that one, or name another directory.
    """

    lasting = True


class StoreTooNew(StoreError):
    """
    The store was written by a newer version of flocker_py. Install that version or a later one; nothing was changed.
    """

    lasting = True


class StoreDamaged(StoreError):
    """
    The store can't be read. Nothing was changed; restore it from the newest backup.
    """

    lasting = True


class StoreMissing(StoreError):
    """
    There is no store there. Name the data directory of a control service that has run.
    """

    lasting = True


class StoreFull(StoreError):
    """
    The store's disk is full, read-only or failing. Nothing was changed; make room or repair it, and try again.
    """


class StoreForbidden(StoreError):
    """
    The control service may not read or write its store. Nothing was changed; give the files to the user of the service.
    """

    lasting = True


class HistoryGone(StoreError):
    """
    Changes as old as that are no longer kept. Read the whole state, and follow from its revision on.
    """


class Loaded(Record):
    """
    Everything in the store, at one revision.

    :param values: key to JSON text.
    """

    revision: int = value(int)
    values: PMap[str, str] = mapping(str, str, default={})


class Commit(Record):
    """
    One commit of the past.

    :param puts: key to JSON text; ``deletes``: keys.
    """

    revision: int = value(int)
    puts: PMap[str, str] = mapping(str, str, default={})
    deletes: PVector[str] = sequence(str, default=())


class Store(Protocol):
    """
    A durable map with compare-and-swap. Nothing blocks; results of ``async`` calls are durable when they arrive.
    """

    async def load(self) -> Loaded:
        """
        Everything, consistently, at the present revision. A new store is at revision 0.

        :raises StoreDamaged: it can't be read.
        """
        ...

    async def commit(self, revision: int, puts: Mapping[str, str], deletes: Set[str]) -> int:
        """
        Put and delete all of these, atomically and durably, if the store is still at ``revision``. A key that is both
        deleted and put has what is put.

        :returns: the new revision: ``revision + 1``.
        :raises RevisionConflict: it is not; nothing was changed.
        :raises StoreFull: there is no room; nothing was changed.
        :raises ValueError: a key or text is no Unicode text; nothing was changed.
        :raises StoreError: it failed otherwise. Should it have been done nevertheless, the next commit for ``revision``
            meets with ``RevisionConflict``, and ``commits_after`` tells what was done.
        """
        ...

    async def commits_after(self, revision: int) -> PVector[Commit]:
        """
        All commits after ``revision``, oldest first.

        :raises HistoryGone: not all of them are kept any more.
        """
        ...

    async def close(self) -> None:
        """
        Let go of everything. No call may follow.
        """
        ...
