"""
What copies within a pool promise, on any backend.
"""

from __future__ import annotations

from typing import Any, cast

import pytest

from flocker_agent.changes import CopyDataset
from flocker_agent.copying import copy_snapshot
from flocker_py.model import DatasetId, Origin
from flocker_py.storage import (
    DatasetExists,
    DatasetMissing,
    LimitRefused,
    PoolFull,
    Role,
    SnapshotMissing,
    StreamCut,
)
from flocker_py.testing.storage_pools import MEBIBYTE, PoolFixtures, PoolUnderTest, is_there, new_id, noise, owned
from flocker_py.testing.trees import difference, file


def copied(pool: PoolUnderTest, copy_id: DatasetId, *, maximum_size_bytes: int | None = None, **origin: Any) -> None:
    """
    Make a copy.
    """
    change = CopyDataset(dataset_id=copy_id, origin=Origin(**origin), maximum_size_bytes=maximum_size_bytes)
    copy_snapshot(pool.storage, change)


class AlmostFull:
    """
    A pool in which others leave no room.
    """

    def __init__(self, pool: PoolUnderTest) -> None:
        self._pool = pool

    def free_bytes(self) -> int:
        """
        Less than what must stay free.
        """
        return MEBIBYTE

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool.storage, name)


class CopyingContract(PoolFixtures):
    """
    Another dataset begins as a snapshot. Subclasses override ``new_pool``.
    """

    def test_copy(self, pool: PoolUnderTest) -> None:
        """
        The copy has what the snapshot has, and only once it is taken can it be written.
        """
        dataset_id, copy_id = owned(pool), new_id()
        tree = {b"a": file(b"content"), b"b": file(noise(MEBIBYTE))}
        pool.files.write(dataset_id, tree)
        guid = pool.storage.snapshot(dataset_id, "monday").guid
        pool.files.write(dataset_id, {b"a": file(b"changed")})

        copied(pool, copy_id, dataset_id=dataset_id, snapshot="monday")

        made = pool.storage.dataset(copy_id)
        assert (made.role, made.epoch, made.partial) == (Role.REPLICA, 0, False)
        assert [(each.guid, each.name) for each in made.snapshots] == [(guid, "monday")]
        pool.storage.set_role(copy_id, role=Role.OWNER, epoch=1)
        pool.storage.mount(copy_id)
        assert difference(tree, pool.files.read(copy_id)) == []

    def test_origin_may_go(self, pool: PoolUnderTest) -> None:
        """
        The other dataset, and its snapshot, can be destroyed at once: the copy depends on nothing of it.
        """
        dataset_id, copy_id = owned(pool), new_id()
        pool.files.write(dataset_id, {b"a": file(b"content")})
        pool.storage.snapshot(dataset_id, "monday")
        copied(pool, copy_id, dataset_id=dataset_id, snapshot="monday")

        pool.storage.unmount(dataset_id)
        pool.storage.destroy(dataset_id)

        pool.storage.set_role(copy_id, role=Role.OWNER, epoch=1)
        pool.storage.mount(copy_id)
        assert difference({b"a": file(b"content")}, pool.files.read(copy_id)) == []

    def test_no_such_snapshot(self, pool: PoolUnderTest) -> None:
        """
        What isn't there is named, and nothing is made.
        """
        dataset_id, copy_id = owned(pool), new_id()
        pool.storage.snapshot(dataset_id, "monday")

        with pytest.raises(SnapshotMissing, match="no snapshot friday"):
            copied(pool, copy_id, dataset_id=dataset_id, snapshot="friday")

        assert not is_there(pool.storage, copy_id)

    def test_no_such_dataset(self, pool: PoolUnderTest) -> None:
        """
        A dataset that isn't here can't be copied.
        """
        with pytest.raises(DatasetMissing):
            copied(pool, new_id(), dataset_id=new_id(), snapshot="monday")

    def test_onto_another(self, pool: PoolUnderTest) -> None:
        """
        A copy takes no dataset's place.
        """
        dataset_id, other_id = owned(pool), owned(pool, epoch=2, mounted=False)
        pool.storage.snapshot(dataset_id, "monday")

        with pytest.raises(DatasetExists):
            copied(pool, other_id, dataset_id=dataset_id, snapshot="monday")

        assert pool.storage.dataset(other_id).epoch == 2

    def test_larger_than_allowed(self, pool: PoolUnderTest) -> None:
        """
        A snapshot that has more than the new dataset may hold is not copied.
        """
        dataset_id, copy_id = owned(pool), new_id()
        pool.files.write(dataset_id, {b"a": file(noise(3 * MEBIBYTE))})
        pool.storage.snapshot(dataset_id, "monday")

        with pytest.raises(LimitRefused, match="may hold 1 MiB"):
            copied(pool, copy_id, dataset_id=dataset_id, snapshot="monday", maximum_size_bytes=MEBIBYTE)

        assert not is_there(pool.storage, copy_id)

    def test_no_room(self, pool: PoolUnderTest) -> None:
        """
        Nothing is written where not all of it has room.
        """
        dataset_id, copy_id = owned(pool), new_id()
        pool.files.write(dataset_id, {b"a": file(noise(3 * MEBIBYTE))})
        pool.storage.snapshot(dataset_id, "monday")
        change = CopyDataset(dataset_id=copy_id, origin=Origin(dataset_id=dataset_id, snapshot="monday"))

        with pytest.raises(PoolFull, match="must stay free"):
            copy_snapshot(cast(Any, AlmostFull(pool)), change)

        assert not is_there(pool.storage, copy_id)

    def test_cancelled_before_it_begins(self, pool: PoolUnderTest) -> None:
        """
        Of a copy that nobody wants any more when its turn comes nothing is written.
        """
        dataset_id, copy_id = owned(pool), new_id()
        pool.storage.snapshot(dataset_id, "monday")
        change = CopyDataset(dataset_id=copy_id, origin=Origin(dataset_id=dataset_id, snapshot="monday"))

        with pytest.raises(StreamCut, match="before it had begun"):
            copy_snapshot(pool.storage, change, cancelled=lambda: True)

        assert not is_there(pool.storage, copy_id)

    def test_cancelled(self, pool: PoolUnderTest) -> None:
        """
        A copy that is not wanted any more ends in the middle; what came of it is a part, and can be thrown away.
        """
        dataset_id, copy_id = owned(pool), new_id()
        pool.files.write(dataset_id, {b"a": file(noise(4 * MEBIBYTE))})
        pool.storage.snapshot(dataset_id, "monday")
        asked = iter([False, False, False])
        change = CopyDataset(dataset_id=copy_id, origin=Origin(dataset_id=dataset_id, snapshot="monday"))

        with pytest.raises(StreamCut):
            copy_snapshot(pool.storage, change, cancelled=lambda: next(asked, True))

        if is_there(pool.storage, copy_id):
            assert pool.storage.dataset(copy_id).partial
            pool.storage.abort_receive(copy_id)
        copy_snapshot(pool.storage, change)
        assert not pool.storage.dataset(copy_id).partial
