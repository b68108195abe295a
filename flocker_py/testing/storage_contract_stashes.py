"""
Storage contract: what was put aside.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from flocker_py.model import DatasetId, Guid
from flocker_py.storage import (
    DatasetBusy,
    DatasetExists,
    DatasetMissing,
    Role,
    SendPlan,
    SnapshotMissing,
    StorageError,
)
from flocker_py.testing.storage_contract_mounts import process_using
from flocker_py.testing.storage_pools import (
    MEBIBYTE,
    PoolFixtures,
    PoolUnderTest,
    carry,
    is_there,
    noise,
    owned,
    replicate,
    snapshot_guids,
)
from flocker_py.testing.trees import EntryKind, Tree, TreeEntry, difference, file

TREE = {
    b"a": file(b"content"),
    b"b": file(noise(MEBIBYTE)),
    b"c": TreeEntry(kind=EntryKind.DIRECTORY, mode=0o755),
    b"c/d": file(b"below"),
}


def contents(tree: Tree) -> dict[bytes, bytes]:
    """
    What is below each name. Who may write it is another matter: nobody may, where a stash is shown.
    """
    return {path: entry.content for path, entry in tree.items()}


def put_aside(pool: PoolUnderTest, label: str = "label") -> tuple[DatasetId, str, list[Guid]]:
    """
    A stash with two snapshots, and something written after them.
    """
    dataset_id = owned(pool)
    pool.files.write(dataset_id, {b"a": file(b"first"), b"b": file(noise(MEBIBYTE))})
    first = pool.storage.snapshot(dataset_id, "first").guid
    pool.files.write(dataset_id, {b"a": file(b"second")})
    second = pool.storage.snapshot(dataset_id, "second").guid
    pool.files.write(dataset_id, TREE)
    pool.storage.unmount(dataset_id)
    pool.storage.set_role(dataset_id, role=Role.RELEASED, epoch=3)
    return dataset_id, pool.storage.stash(dataset_id, label), [first, second]


class StashContract(PoolFixtures):
    """
    What was put aside is kept whole, can be read, and can be built on.
    """

    def test_stash_tells_what_it_was(self, pool: PoolUnderTest) -> None:
        """
        A stash is listed as the dataset that it was: its id, role, epoch, snapshots and properties.
        """
        dataset_id = owned(pool, epoch=6, mounted=False)
        guid = pool.storage.snapshot(dataset_id, "one").guid
        pool.storage.set_properties(dataset_id, {"stashed-at": "100"})
        pool.storage.set_role(dataset_id, role=Role.RELEASED, epoch=6)

        name = pool.storage.stash(dataset_id, "label")

        pool.reopen()
        (found,) = pool.storage.stashes().values()
        assert list(pool.storage.stashes()) == [name]
        assert (found.dataset_id, found.role, found.epoch) == (dataset_id, Role.RELEASED, 6)
        assert ([s.guid for s in found.snapshots], dict(found.properties)) == ([guid], {"stashed-at": "100"})
        assert found.mounted_at is None

    def test_mounted_stash_is_read(self, pool: PoolUnderTest) -> None:
        """
        Everything in a stash can be read, what was written after its last snapshot included; the stash says where.
        """
        _, name, _ = put_aside(pool)

        path = pool.storage.mount_stash(name)

        assert contents(pool.files.read_stash(name)) == contents(TREE)
        assert pool.storage.stashes()[name].mounted_at == str(path)

    def test_mounting_a_stash_twice(self, pool: PoolUnderTest) -> None:
        """
        Mounting a stash again leads to the same place, after kill -9 too.
        """
        _, name, _ = put_aside(pool)
        path = pool.storage.mount_stash(name)
        pool.reopen()

        assert pool.storage.mount_stash(name) == path
        assert contents(pool.files.read_stash(name)) == contents(TREE)

    def test_mounted_stash_is_not_written(self, pool: PoolUnderTest) -> None:
        """
        Whatever is tried at the path of a mounted stash, the stash stays what it is.
        """
        dataset_id, name, _ = put_aside(pool)
        path = pool.storage.mount_stash(name)
        if pool.mount_root is not None:
            with suppress(OSError):
                Path(path, "a").write_bytes(b"changed")
            with suppress(OSError):
                Path(path, "new").write_bytes(b"new")
        pool.storage.unmount_stash(name)

        pool.storage.restore_stash(name)

        pool.storage.set_role(dataset_id, role=Role.OWNER, epoch=4)
        pool.storage.mount(dataset_id)
        assert difference(TREE, pool.files.read(dataset_id)) == []

    def test_unmounted_stash_is_hidden(self, pool: PoolUnderTest) -> None:
        """
        Unmounting a stash, once or twice, hides it.
        """
        _, name, _ = put_aside(pool)
        path = pool.storage.mount_stash(name)

        pool.storage.unmount_stash(name)
        pool.storage.unmount_stash(name)

        assert pool.storage.stashes()[name].mounted_at is None
        assert pool.mount_root is None or not path.exists()

    def test_used_stash_stays_mounted(self, pool: PoolUnderTest) -> None:
        """
        A stash that somebody reads is not unmounted.
        """
        if pool.mount_root is None:
            pytest.skip("nothing of this backend is to be seen in the host's file system")
        _, name, _ = put_aside(pool)
        path = pool.storage.mount_stash(name)
        with process_using(path, "open file"), pytest.raises(DatasetBusy):
            pool.storage.unmount_stash(name)

        assert pool.storage.stashes()[name].mounted_at == str(path)

    @pytest.mark.parametrize("call", ["restore_stash", "destroy_stash"])
    def test_mounted_stash_is_left_alone(self, pool: PoolUnderTest, call: str) -> None:
        """
        A stash that can be read is neither restored nor destroyed.
        """
        dataset_id, name, _ = put_aside(pool)
        pool.storage.mount_stash(name)
        calls: dict[str, Callable[[], object]] = {
            "restore_stash": lambda: pool.storage.restore_stash(name),
            "destroy_stash": lambda: pool.storage.destroy_stash(name),
        }
        with pytest.raises(DatasetBusy):
            calls[call]()

        assert (list(pool.storage.stashes()), is_there(pool.storage, dataset_id)) == ([name], False)

    def test_dataset_and_stash_are_mounted_side_by_side(self, pool: PoolUnderTest) -> None:
        """
        A dataset and a stash of it can be read at the same time.
        """
        dataset_id, name, _ = put_aside(pool)
        pool.storage.create(dataset_id, role=Role.OWNER, epoch=4)

        assert pool.storage.mount(dataset_id) != pool.storage.mount_stash(name)
        assert difference({}, pool.files.read(dataset_id)) == []

    @pytest.mark.parametrize("name", ["nonsense", "../datasets", ""])
    def test_unknown_stash_can_not_be_read(self, pool: PoolUnderTest, name: str) -> None:
        """
        A stash that isn't there can be neither mounted, unmounted nor branched from.
        """
        with pytest.raises(DatasetMissing):
            pool.storage.mount_stash(name)
        with pytest.raises(DatasetMissing):
            pool.storage.unmount_stash(name)
        with pytest.raises(DatasetMissing):
            pool.storage.branch_stash(name, Guid(1))

    def test_branch(self, pool: PoolUnderTest) -> None:
        """
        A branch is an unmounted REPLICA of epoch 0 that ends in the snapshot it was made of, with all that is older.
        """
        dataset_id, name, guids = put_aside(pool)

        made = pool.storage.branch_stash(name, guids[0])

        assert (made.dataset_id, made.role, made.epoch, made.mounted_at) == (dataset_id, Role.REPLICA, 0, None)
        assert snapshot_guids(pool.storage, dataset_id) == guids[:1]
        assert not pool.storage.written_since_snapshot(dataset_id)

    def test_branch_takes_increments(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        What another pool made of the common snapshot is received on a branch as a difference, and is whole; whether the
        stash is being read makes no difference.
        """
        dataset_id = owned(pool)
        pool.files.write(dataset_id, {b"a": file(b"common"), b"b": file(noise(4 * MEBIBYTE))})
        common = replicate(pool, dataset_id, other_pool)
        pool.files.write(dataset_id, {b"a": file(b"diverged")})
        pool.storage.unmount(dataset_id)
        name = pool.storage.stash(dataset_id, "label")
        other_pool.storage.set_role(dataset_id, role=Role.OWNER, epoch=2)
        other_pool.storage.mount(dataset_id)
        other_pool.files.write(dataset_id, {b"a": file(b"went on")})
        expected = other_pool.files.read(dataset_id)
        other_pool.storage.unmount(dataset_id)
        last = other_pool.storage.snapshot(dataset_id, "last").guid
        plan = SendPlan(to_guid=last, from_guid=common)

        pool.storage.mount_stash(name)
        pool.storage.branch_stash(name, common)
        carry(other_pool.storage, dataset_id, plan, pool.storage)

        assert other_pool.storage.send_estimate_bytes(dataset_id, plan) < MEBIBYTE
        pool.storage.set_role(dataset_id, role=Role.OWNER, epoch=3)
        pool.storage.mount(dataset_id)
        assert difference(expected, pool.files.read(dataset_id)) == []
        assert pool.files.read_stash(name)[b"a"].content == b"diverged"

    def test_stash_outlives_its_branch(self, pool: PoolUnderTest) -> None:
        """
        Whatever becomes of the branch, its snapshots and itself, the stash is what it was.
        """
        dataset_id, name, guids = put_aside(pool)
        pool.storage.branch_stash(name, guids[1])
        with suppress(DatasetBusy):
            pool.storage.destroy_snapshots(dataset_id, guids)
        pool.storage.destroy(dataset_id)
        pool.reopen()

        pool.storage.mount_stash(name)
        assert contents(pool.files.read_stash(name)) == contents(TREE)
        pool.storage.unmount_stash(name)
        pool.storage.restore_stash(name)
        pool.storage.set_role(dataset_id, role=Role.OWNER, epoch=4)
        pool.storage.mount(dataset_id)
        assert difference(TREE, pool.files.read(dataset_id)) == []

    def test_branch_outlives_its_stash(self, pool: PoolUnderTest) -> None:
        """
        A branch stays when the stash is destroyed, and nothing keeps its snapshots any more.
        """
        dataset_id, name, guids = put_aside(pool)
        pool.storage.branch_stash(name, guids[1])

        pool.storage.destroy_stash(name)

        assert snapshot_guids(pool.storage, dataset_id) == guids
        pool.storage.destroy_snapshots(dataset_id, guids[:1])
        pool.storage.set_role(dataset_id, role=Role.OWNER, epoch=4)
        pool.storage.mount(dataset_id)
        assert pool.files.read(dataset_id)[b"a"].content == b"second"

    def test_what_a_stash_is_built_on_says_so(self, pool: PoolUnderTest) -> None:
        """
        A snapshot of a branch either can be destroyed, or says that something is built on it.
        """
        dataset_id, name, guids = put_aside(pool)
        pool.storage.branch_stash(name, guids[1])

        for snapshot in pool.storage.dataset(dataset_id).snapshots:
            if not snapshot.branched:
                pool.storage.destroy_snapshots(dataset_id, [snapshot.guid])

        pool.storage.mount_stash(name)
        assert contents(pool.files.read_stash(name)) == contents(TREE)

    def test_two_stashes_of_one_history(self, pool: PoolUnderTest) -> None:
        """
        What was branched, and put aside in turn, is as whole as what it was branched from.
        """
        dataset_id, first, guids = put_aside(pool)
        pool.storage.branch_stash(first, guids[0])
        pool.storage.set_role(dataset_id, role=Role.OWNER, epoch=4)
        pool.storage.mount(dataset_id)
        pool.files.write(dataset_id, {b"e": file(b"another way")})
        pool.storage.unmount(dataset_id)
        second = pool.storage.stash(dataset_id, "second")
        pool.storage.branch_stash(second, guids[0])

        pool.storage.destroy(dataset_id)
        pool.storage.destroy_stash(first)

        pool.storage.mount_stash(second)
        assert set(pool.files.read_stash(second)) == {b"a", b"b", b"e"}

    def test_branch_where_the_id_is_taken(self, pool: PoolUnderTest) -> None:
        """
        Nothing is branched into the place of a dataset.
        """
        dataset_id, name, guids = put_aside(pool)
        pool.storage.create(dataset_id, role=Role.OWNER, epoch=9)
        with pytest.raises(DatasetExists):
            pool.storage.branch_stash(name, guids[0])

        assert pool.storage.dataset(dataset_id).epoch == 9

    def test_branch_of_an_unknown_snapshot(self, pool: PoolUnderTest) -> None:
        """
        Nothing is branched from a snapshot that the stash lacks.
        """
        dataset_id, name, _ = put_aside(pool)
        with pytest.raises(SnapshotMissing):
            pool.storage.branch_stash(name, Guid(1))

        assert (is_there(pool.storage, dataset_id), list(pool.storage.stashes())) == (False, [name])

    def test_time_of_a_snapshot(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        A snapshot says when it was taken, on the pool that it was sent to as well.
        """
        dataset_id = owned(pool)
        guid = replicate(pool, dataset_id, other_pool)

        taken, received = (p.storage.dataset(dataset_id).snapshots[-1] for p in (pool, other_pool))

        assert taken.created_at_seconds is not None
        assert (received.guid, received.created_at_seconds) == (guid, taken.created_at_seconds)

    def test_stash_that_is_there_already_changes_nothing(self, pool: PoolUnderTest) -> None:
        """
        What is refused leaves stash and dataset as they were.
        """
        dataset_id, name, guids = put_aside(pool)
        pool.storage.create(dataset_id, role=Role.OWNER, epoch=9)
        with pytest.raises(StorageError):
            pool.storage.stash(dataset_id, "label")

        assert [s.guid for s in pool.storage.stashes()[name].snapshots] == guids
