"""
Storage contract: snapshots, holds and bookmarks.
"""

from __future__ import annotations

import pytest

from flocker_py.model import Guid
from flocker_py.storage import NameRefused, SendPlan, SnapshotExists, SnapshotHeld, SnapshotMissing
from flocker_py.testing.storage_pools import (
    MEBIBYTE,
    PoolFixtures,
    PoolUnderTest,
    carry,
    content_of,
    noise,
    owned,
    replicate,
    snapshot_guids,
)
from flocker_py.testing.trees import difference, file

LONGEST_NAME = "x" * 80
GOOD_NAMES = ["a", LONGEST_NAME, "Az09_-.:", "-", ".", "..", ":", "flocker:final.1"]
BAD_NAMES = ["", "x" * 81, "a/b", "a b", "a@b", "a#b", "a%b", "ä", "a\0b", "a\n", "a*"]
UNKNOWN_GUID = Guid(4711)


class SnapshotContract(PoolFixtures):
    """
    Taking, keeping and destroying snapshots.
    """

    def test_order(self, pool: PoolUnderTest) -> None:
        """
        Snapshots are listed oldest first, whatever they are called.
        """
        dataset_id = owned(pool)

        for name in ("b", "c", "a"):
            pool.storage.snapshot(dataset_id, name)

        assert [snapshot.name for snapshot in pool.storage.dataset(dataset_id).snapshots] == ["b", "c", "a"]

    def test_guids(self, pool: PoolUnderTest) -> None:
        """
        Each snapshot, of whatever dataset, has a GUID of its own of at most 64 bits.
        """
        one_id, other_id = owned(pool), owned(pool)

        guids = [pool.storage.snapshot(dataset_id, f"s{n}").guid for n in range(5) for dataset_id in (one_id, other_id)]

        assert len(set(guids)) == 10
        assert all(0 < guid < 1 << 64 for guid in guids)

    def test_snapshot_answer(self, pool: PoolUnderTest) -> None:
        """
        The answer to ``snapshot`` is what the dataset then lists.
        """
        dataset_id = owned(pool)

        answer = pool.storage.snapshot(dataset_id, "one")

        assert list(pool.storage.dataset(dataset_id).snapshots) == [answer]

    @pytest.mark.parametrize("name", GOOD_NAMES)
    def test_names(self, pool: PoolUnderTest, name: str) -> None:
        """
        Snapshots, holds and bookmarks can have all names that the rule allows.
        """
        dataset_id = owned(pool)

        guid = pool.storage.snapshot(dataset_id, name).guid
        pool.storage.hold(dataset_id, [guid], name)
        pool.storage.bookmark(dataset_id, guid, name)

        (found,) = pool.storage.dataset(dataset_id).snapshots
        assert (found.name, list(found.holds), dict(pool.storage.bookmarks(dataset_id))) == (name, [name], {name: guid})

    @pytest.mark.parametrize("name", BAD_NAMES)
    def test_names_refused(self, pool: PoolUnderTest, name: str) -> None:
        """
        Snapshots, holds and bookmarks get no other names.
        """
        dataset_id = owned(pool)
        guid = pool.storage.snapshot(dataset_id, "one").guid
        for call in (
            lambda: pool.storage.snapshot(dataset_id, name),
            lambda: pool.storage.hold(dataset_id, [guid], name),
            lambda: pool.storage.bookmark(dataset_id, guid, name),
        ):
            with pytest.raises(NameRefused):
                call()

        (found,) = pool.storage.dataset(dataset_id).snapshots
        assert (list(found.holds), dict(pool.storage.bookmarks(dataset_id))) == ([], {})

    def test_name_taken(self, pool: PoolUnderTest) -> None:
        """
        A dataset has one snapshot of a name.
        """
        dataset_id = owned(pool)
        guid = pool.storage.snapshot(dataset_id, "one").guid
        with pytest.raises(SnapshotExists):
            pool.storage.snapshot(dataset_id, "one")

        assert snapshot_guids(pool.storage, dataset_id) == [guid]

    def test_content_is_kept(self, pool: PoolUnderTest) -> None:
        """
        A snapshot keeps what was in the dataset, whatever becomes of it there.
        """
        dataset_id = owned(pool)
        tree = {b"changed": file(noise(MEBIBYTE)), b"replaced": file(b"old"), b"removed": file(b"old")}
        pool.files.write(dataset_id, tree)
        guid = pool.storage.snapshot(dataset_id, "one").guid

        pool.files.write_at(dataset_id, b"changed", 5000, b"new")
        pool.files.write(dataset_id, {b"replaced": file(b"new"), b"added": file(b"new")})
        pool.files.remove(dataset_id, b"removed")

        assert difference(tree, content_of(pool, dataset_id, guid)) == []

    def test_each_content_is_kept(self, pool: PoolUnderTest) -> None:
        """
        Every snapshot in a row keeps its own content, also when others of the row are gone.
        """
        dataset_id = owned(pool)
        trees, guids = [], []
        for number in range(6):
            pool.files.write(dataset_id, {b"%d" % number: file(noise(200_000, number)), b"all": file(b"%d" % number)})
            if number % 2:
                pool.files.write_at(dataset_id, b"0", 1000 * number, b"changed")
            trees.append(pool.files.read(dataset_id))
            guids.append(pool.storage.snapshot(dataset_id, f"s{number}").guid)

        pool.storage.destroy_snapshots(dataset_id, [guids[0], guids[3]])

        for number in (1, 2, 4, 5):
            assert difference(trees[number], content_of(pool, dataset_id, guids[number])) == []

    def test_change_that_keeps_size_and_time(self, pool: PoolUnderTest) -> None:
        """
        A change that leaves a file's size and time as they were is seen by the next snapshot.
        """
        dataset_id = owned(pool)
        pool.files.write(dataset_id, {b"a": file(b"before", mtime_ns=10**18)})
        pool.storage.snapshot(dataset_id, "one")
        tree = {b"a": file(b"after!", mtime_ns=10**18)}
        pool.files.write(dataset_id, tree)

        guid = pool.storage.snapshot(dataset_id, "two").guid

        assert difference(tree, content_of(pool, dataset_id, guid)) == []

    def test_unmounted(self, pool: PoolUnderTest) -> None:
        """
        A snapshot of an unmounted dataset has all that was ever written.
        """
        dataset_id = owned(pool)
        tree = {b"a": file(noise(MEBIBYTE))}
        pool.files.write(dataset_id, tree)
        pool.storage.unmount(dataset_id)

        guid = pool.storage.snapshot(dataset_id, "final").guid

        assert difference(tree, content_of(pool, dataset_id, guid)) == []

    def test_destroy(self, pool: PoolUnderTest) -> None:
        """
        Snapshots that are destroyed are gone, and the others stay, in their order.
        """
        dataset_id = owned(pool)
        guids = [pool.storage.snapshot(dataset_id, f"s{n}").guid for n in range(4)]

        pool.storage.destroy_snapshots(dataset_id, [guids[2], guids[0]])

        assert snapshot_guids(pool.storage, dataset_id) == [guids[1], guids[3]]

    def test_destroy_none(self, pool: PoolUnderTest) -> None:
        """
        Destroying no snapshots is harmless.
        """
        dataset_id = owned(pool)
        guid = pool.storage.snapshot(dataset_id, "one").guid

        pool.storage.destroy_snapshots(dataset_id, [])

        assert snapshot_guids(pool.storage, dataset_id) == [guid]

    def test_destroy_unknown(self, pool: PoolUnderTest) -> None:
        """
        If one isn't there, none is destroyed.
        """
        dataset_id = owned(pool)
        guid = pool.storage.snapshot(dataset_id, "one").guid
        with pytest.raises(SnapshotMissing):
            pool.storage.destroy_snapshots(dataset_id, [guid, UNKNOWN_GUID])

        assert snapshot_guids(pool.storage, dataset_id) == [guid]

    def test_destroy_held(self, pool: PoolUnderTest) -> None:
        """
        If one is held, none is destroyed.
        """
        dataset_id = owned(pool)
        free, held = (pool.storage.snapshot(dataset_id, name).guid for name in ("free", "held"))
        pool.storage.hold(dataset_id, [held], "transfer")
        with pytest.raises(SnapshotHeld):
            pool.storage.destroy_snapshots(dataset_id, [free, held])

        assert snapshot_guids(pool.storage, dataset_id) == [free, held]

    def test_destroyed_name_is_free(self, pool: PoolUnderTest) -> None:
        """
        The name of a destroyed snapshot can be used again, for one with another GUID.
        """
        dataset_id = owned(pool)
        guid = pool.storage.snapshot(dataset_id, "one").guid
        pool.storage.destroy_snapshots(dataset_id, [guid])

        assert pool.storage.snapshot(dataset_id, "one").guid != guid

    def test_holds(self, pool: PoolUnderTest) -> None:
        """
        Holds are listed, each tag once, and go one by one.
        """
        dataset_id = owned(pool)
        one, two = (pool.storage.snapshot(dataset_id, name).guid for name in ("one", "two"))
        for tag in ("a", "b", "a"):
            pool.storage.hold(dataset_id, [one, two], tag)

        pool.storage.release(dataset_id, [two], "a")
        pool.storage.release(dataset_id, [two], "a")

        assert [sorted(found.holds) for found in pool.storage.dataset(dataset_id).snapshots] == [["a", "b"], ["b"]]

    def test_released(self, pool: PoolUnderTest) -> None:
        """
        A snapshot can be destroyed once the last hold is gone.
        """
        dataset_id = owned(pool)
        guid = pool.storage.snapshot(dataset_id, "one").guid
        for tag in ("a", "b"):
            pool.storage.hold(dataset_id, [guid], tag)
        pool.storage.release(dataset_id, [guid], "a")
        with pytest.raises(SnapshotHeld):
            pool.storage.destroy_snapshots(dataset_id, [guid])
        pool.storage.release(dataset_id, [guid], "b")

        pool.storage.destroy_snapshots(dataset_id, [guid])

        assert snapshot_guids(pool.storage, dataset_id) == []

    def test_hold_unknown(self, pool: PoolUnderTest) -> None:
        """
        If one isn't there, none is held.
        """
        dataset_id = owned(pool)
        guid = pool.storage.snapshot(dataset_id, "one").guid
        with pytest.raises(SnapshotMissing):
            pool.storage.hold(dataset_id, [guid, UNKNOWN_GUID], "tag")

        assert list(pool.storage.dataset(dataset_id).snapshots[0].holds) == []

    def test_bookmarks(self, pool: PoolUnderTest) -> None:
        """
        Bookmarks are listed with the snapshot they were made of, whether or not it is still there.
        """
        dataset_id = owned(pool)
        one, two = (pool.storage.snapshot(dataset_id, name).guid for name in ("one", "two"))
        pool.storage.bookmark(dataset_id, one, "first")
        pool.storage.bookmark(dataset_id, two, "second")
        pool.storage.bookmark(dataset_id, two, "second")

        pool.storage.destroy_snapshots(dataset_id, [one])

        assert dict(pool.storage.bookmarks(dataset_id)) == {"first": one, "second": two}

    def test_bookmark_taken(self, pool: PoolUnderTest) -> None:
        """
        A bookmark stays with its snapshot.
        """
        dataset_id = owned(pool)
        one, two = (pool.storage.snapshot(dataset_id, name).guid for name in ("one", "two"))
        pool.storage.bookmark(dataset_id, one, "mark")
        with pytest.raises(SnapshotExists):
            pool.storage.bookmark(dataset_id, two, "mark")

        assert dict(pool.storage.bookmarks(dataset_id)) == {"mark": one}

    def test_bookmark_unknown(self, pool: PoolUnderTest) -> None:
        """
        There are no bookmarks of what isn't there.
        """
        dataset_id = owned(pool)
        with pytest.raises(SnapshotMissing):
            pool.storage.bookmark(dataset_id, UNKNOWN_GUID, "mark")

        assert dict(pool.storage.bookmarks(dataset_id)) == {}

    def test_destroy_bookmarks(self, pool: PoolUnderTest) -> None:
        """
        Bookmarks that are destroyed are gone; those that weren't there are harmless.
        """
        dataset_id = owned(pool)
        guid = pool.storage.snapshot(dataset_id, "one").guid
        for name in ("a", "b"):
            pool.storage.bookmark(dataset_id, guid, name)

        pool.storage.destroy_bookmarks(dataset_id, ["a", "never-there"])

        assert dict(pool.storage.bookmarks(dataset_id)) == {"b": guid}

    def test_written_since_none(self, pool: PoolUnderTest) -> None:
        """
        Without a snapshot, everything may have been written since.
        """
        assert pool.storage.written_since_snapshot(owned(pool, mounted=False))

    def test_written_since(self, pool: PoolUnderTest) -> None:
        """
        What was written since the newest snapshot shows, also after unmounting.
        """
        dataset_id = owned(pool)
        pool.files.write(dataset_id, {b"a": file(b"content")})
        pool.storage.snapshot(dataset_id, "one")
        pool.files.write_at(dataset_id, b"a", 3, b"T")
        pool.storage.unmount(dataset_id)

        assert pool.storage.written_since_snapshot(dataset_id)

    def test_nothing_written_since(self, pool: PoolUnderTest) -> None:
        """
        After the snapshot of an unmounted dataset nothing has been written since, nor after opening the pool anew.
        """
        dataset_id = owned(pool)
        pool.files.write(dataset_id, {b"a": file(b"content")})
        pool.storage.unmount(dataset_id)
        pool.storage.snapshot(dataset_id, "one")
        first = pool.storage.written_since_snapshot(dataset_id)

        pool.reopen()

        assert (first, pool.storage.written_since_snapshot(dataset_id)) == (False, False)

    def test_nothing_written_since_receive(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        Nothing has been written since to what has just arrived.
        """
        dataset_id = owned(pool)
        pool.files.write(dataset_id, {b"a": file(b"content")})
        replicate(pool, dataset_id, other_pool)

        assert not other_pool.storage.written_since_snapshot(dataset_id)

    def test_snapshots_add_nothing_unchanged(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        The increment to a snapshot of unchanged content is next to nothing, however much there is.
        """
        dataset_id = owned(pool)
        pool.files.write(dataset_id, {b"a": file(noise(8 * MEBIBYTE))})
        base = replicate(pool, dataset_id, other_pool)
        last = pool.storage.snapshot(dataset_id, "last").guid
        plan = SendPlan(to_guid=last, from_guid=base)

        assert pool.storage.send_estimate_bytes(dataset_id, plan) < MEBIBYTE // 4
        carry(pool.storage, dataset_id, plan, other_pool.storage)
        assert snapshot_guids(other_pool.storage, dataset_id) == [base, last]
