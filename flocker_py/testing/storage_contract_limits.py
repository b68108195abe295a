"""
Storage contract: sizes.
"""

from __future__ import annotations

import errno

import pytest

from flocker_py.storage import LimitRefused, PoolFull, Role, SendPlan
from flocker_py.testing.storage_pools import (
    MEBIBYTE,
    PoolFixtures,
    PoolUnderTest,
    carry,
    is_there,
    new_id,
    noise,
    owned,
    snapshot_guids,
)
from flocker_py.testing.trees import difference, file

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


class LimitContract(PoolFixtures):
    """
    Limits of datasets, and the pool's own end.
    """

    @staticmethod
    def size_bytes(pool: PoolUnderTest) -> int:
        """
        How much the pool holds; ends the test if it has no end in reach.
        """
        if pool.size_bytes is None:
            pytest.skip("this pool has no end that a test could reach")
        return pool.size_bytes

    @pytest.mark.parametrize("limit_bytes", [0, -1])
    def test_create_with_no_size(self, pool: PoolUnderTest, limit_bytes: int) -> None:
        """
        A limit of nothing is refused, and no dataset made.
        """
        dataset_id = new_id()
        with pytest.raises(LimitRefused):
            pool.storage.create(dataset_id, role=Role.OWNER, epoch=1, maximum_size_bytes=limit_bytes)

        assert not is_there(pool.storage, dataset_id)

    @pytest.mark.parametrize("limit_bytes", [0, -1, MEBIBYTE])
    def test_limit_below_content(self, pool: PoolUnderTest, limit_bytes: int) -> None:
        """
        A dataset can't be limited to less than it holds, and keeps the limit that it had.
        """
        dataset_id = owned(pool)
        pool.storage.set_limit(dataset_id, 40 * MEBIBYTE)
        pool.files.write(dataset_id, {b"a": file(noise(4 * MEBIBYTE))})
        pool.storage.snapshot(dataset_id, "one")
        with pytest.raises(LimitRefused):
            pool.storage.set_limit(dataset_id, limit_bytes)

        assert pool.storage.dataset(dataset_id).maximum_size_bytes == 40 * MEBIBYTE

    def test_no_limit(self, pool: PoolUnderTest) -> None:
        """
        A limit can be taken away.
        """
        dataset_id = owned(pool)
        pool.storage.set_limit(dataset_id, 40 * MEBIBYTE)

        pool.storage.set_limit(dataset_id, None)

        assert pool.storage.dataset(dataset_id).maximum_size_bytes is None

    def test_limit_counts_no_snapshots(self, pool: PoolUnderTest) -> None:
        """
        A limit is on what the live dataset holds: what only snapshots hold does not count.
        """
        dataset_id = owned(pool)
        pool.files.write(dataset_id, {b"a": file(noise(6 * MEBIBYTE))})
        pool.storage.snapshot(dataset_id, "one")
        pool.files.remove(dataset_id, b"a")
        pool.storage.snapshot(dataset_id, "two")

        pool.storage.set_limit(dataset_id, 4 * MEBIBYTE)

        assert pool.storage.dataset(dataset_id).maximum_size_bytes == 4 * MEBIBYTE

    def test_writing_beyond_the_limit(self, pool: PoolUnderTest) -> None:
        """
        Where a backend says that it enforces limits, an application can't write more; elsewhere, it can.
        """
        dataset_id = owned(pool)
        pool.storage.set_limit(dataset_id, 4 * MEBIBYTE)

        failure = None
        try:
            pool.files.write(dataset_id, {b"a": file(noise(8 * MEBIBYTE))})
        except OSError as error:
            failure = error.errno

        assert (failure in _NO_ROOM) == pool.storage.capabilities.enforces_limit

    def test_limit_of_one_is_not_anothers(self, pool: PoolUnderTest) -> None:
        """
        A dataset beside one that is limited can be filled.
        """
        limited_id, free_id = owned(pool), owned(pool)
        pool.storage.set_limit(limited_id, MEBIBYTE)
        tree = {b"a": file(noise(4 * MEBIBYTE))}

        pool.files.write(free_id, tree)

        assert difference(tree, pool.files.read(free_id)) == []

    def test_free_bytes(self, pool: PoolUnderTest) -> None:
        """
        What is written is no longer free.
        """
        size_bytes = self.size_bytes(pool)
        before_bytes = pool.storage.free_bytes()
        dataset_id = owned(pool)
        pool.files.write(dataset_id, {b"a": file(noise(16 * MEBIBYTE))})
        pool.storage.snapshot(dataset_id, "one")

        assert 0 < pool.storage.free_bytes() <= before_bytes - 15 * MEBIBYTE <= size_bytes - 15 * MEBIBYTE

    def test_used_bytes(self, pool: PoolUnderTest) -> None:
        """
        A dataset takes about as much room as was written to it, and more.
        """
        dataset_id = owned(pool)
        pool.files.write(dataset_id, {b"a": file(noise(4 * MEBIBYTE))})
        pool.storage.snapshot(dataset_id, "one")

        assert 3 * MEBIBYTE <= pool.storage.dataset(dataset_id).used_bytes <= 12 * MEBIBYTE

    def test_used_bytes_without_snapshots(self, pool: PoolUnderTest) -> None:
        """
        What a dataset holds is told when its snapshots are gone, too.
        """
        dataset_id = owned(pool)
        pool.files.write(dataset_id, {b"a": file(noise(4 * MEBIBYTE))})
        taken = pool.storage.snapshot(dataset_id, "one")
        pool.storage.destroy_snapshots(dataset_id, [taken.guid])

        assert 3 * MEBIBYTE <= pool.storage.dataset(dataset_id).used_bytes <= 12 * MEBIBYTE

    def test_writing_to_a_full_pool(self, pool: PoolUnderTest) -> None:
        """
        An application is told that the pool is full.
        """
        size_bytes = self.size_bytes(pool)
        dataset_id = owned(pool)

        with pytest.raises(OSError) as failure:
            pool.files.write(dataset_id, {b"a": file(noise(size_bytes + MEBIBYTE))})

        assert failure.value.errno in _NO_ROOM

    def test_receiving_into_a_full_pool(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        A dataset for which there is no room does not come to be.
        """
        size_bytes = self.size_bytes(pool)
        filler_id, filler = owned(other_pool), {b"a": file(noise(size_bytes * 3 // 4))}
        other_pool.files.write(filler_id, filler)
        dataset_id = owned(pool)
        pool.files.write(dataset_id, {b"b": file(noise(size_bytes * 2 // 5, 1))})
        plan = SendPlan(to_guid=pool.storage.snapshot(dataset_id, "one").guid)

        with pytest.raises(PoolFull):
            carry(pool.storage, dataset_id, plan, other_pool.storage)

        assert not is_there(other_pool.storage, dataset_id)
        assert difference(filler, other_pool.files.read(filler_id)) == []

    def test_increment_into_a_full_pool(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        A dataset for whose increment there is no room is what it was, and takes the increment when there is room.
        """
        size_bytes = self.size_bytes(pool)
        dataset_id, filler_id = owned(pool), owned(other_pool)
        old = {b"b": file(noise(MEBIBYTE, 1))}
        pool.files.write(dataset_id, old)
        base = pool.storage.snapshot(dataset_id, "base").guid
        carry(pool.storage, dataset_id, SendPlan(to_guid=base), other_pool.storage)
        other_pool.files.write(filler_id, {b"a": file(noise(size_bytes * 3 // 4))})
        new = {b"b": file(noise(size_bytes * 2 // 5, 2))}
        pool.files.write(dataset_id, new)
        plan = SendPlan(to_guid=pool.storage.snapshot(dataset_id, "one").guid, from_guid=base)
        with pytest.raises(PoolFull):
            carry(pool.storage, dataset_id, plan, other_pool.storage)
        assert snapshot_guids(other_pool.storage, dataset_id) == [base]
        other_pool.storage.unmount(filler_id)
        other_pool.storage.destroy(filler_id)
        other_pool.storage.abort_receive(dataset_id)

        carry(pool.storage, dataset_id, plan, other_pool.storage)

        other_pool.storage.set_role(dataset_id, role=Role.OWNER, epoch=2)
        other_pool.storage.mount(dataset_id)
        assert difference(new, other_pool.files.read(dataset_id)) == []
