"""
What copies within a pool promise, on any backend.
"""

from __future__ import annotations

import pytest

from flocker_agent.copying import copy_snapshot
from flocker_py.model import Origin
from flocker_py.storage import DatasetExists, DatasetMissing, Role, SnapshotMissing
from flocker_py.testing.storage_pools import MEBIBYTE, PoolFixtures, PoolUnderTest, is_there, new_id, noise, owned
from flocker_py.testing.trees import difference, file


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

        copy_snapshot(pool.storage, Origin(dataset_id=dataset_id, snapshot="monday"), copy_id)

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
        copy_snapshot(pool.storage, Origin(dataset_id=dataset_id, snapshot="monday"), copy_id)

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
            copy_snapshot(pool.storage, Origin(dataset_id=dataset_id, snapshot="friday"), copy_id)

        assert not is_there(pool.storage, copy_id)

    def test_no_such_dataset(self, pool: PoolUnderTest) -> None:
        """
        A dataset that isn't here can't be copied.
        """
        with pytest.raises(DatasetMissing):
            copy_snapshot(pool.storage, Origin(dataset_id=new_id(), snapshot="monday"), new_id())

    def test_onto_another(self, pool: PoolUnderTest) -> None:
        """
        A copy takes no dataset's place.
        """
        dataset_id, other_id = owned(pool), owned(pool, epoch=2, mounted=False)
        pool.storage.snapshot(dataset_id, "monday")

        with pytest.raises(DatasetExists):
            copy_snapshot(pool.storage, Origin(dataset_id=dataset_id, snapshot="monday"), other_id)

        assert pool.storage.dataset(other_id).epoch == 2
