"""
Storage contract: what is in a pool.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from flocker_py.model import DatasetId, Guid
from flocker_py.storage import (
    DatasetBusy,
    DatasetExists,
    DatasetMissing,
    DatasetPartial,
    NameRefused,
    PropertyRefused,
    Role,
    SendPlan,
    Storage,
    StoredDataset,
)
from flocker_py.testing.storage_pools import (
    MEBIBYTE,
    PoolFixtures,
    PoolUnderTest,
    carry,
    content_of,
    is_there,
    new_id,
    noise,
    owned,
    partial_dataset,
    replicate,
    state_of,
)
from flocker_py.testing.trees import difference, file

A_GUID = Guid(12345)
A_PLAN = SendPlan(to_guid=A_GUID)

# Not ``receive``, which makes a dataset, and not ``abort_receive`` of the harmless ones below.
CALLS_ON_A_DATASET: dict[str, Callable[[Storage, DatasetId], object]] = {
    "dataset": lambda storage, dataset_id: storage.dataset(dataset_id),
    "destroy": lambda storage, dataset_id: storage.destroy(dataset_id),
    "set_role": lambda storage, dataset_id: storage.set_role(dataset_id, role=Role.OWNER, epoch=1),
    "set_properties": lambda storage, dataset_id: storage.set_properties(dataset_id, {"a": "b"}),
    "set_limit": lambda storage, dataset_id: storage.set_limit(dataset_id, MEBIBYTE),
    "mount": lambda storage, dataset_id: storage.mount(dataset_id),
    "unmount": lambda storage, dataset_id: storage.unmount(dataset_id),
    "written_since_snapshot": lambda storage, dataset_id: storage.written_since_snapshot(dataset_id),
    "snapshot": lambda storage, dataset_id: storage.snapshot(dataset_id, "a"),
    "destroy_snapshots": lambda storage, dataset_id: storage.destroy_snapshots(dataset_id, [A_GUID]),
    "hold": lambda storage, dataset_id: storage.hold(dataset_id, [A_GUID], "a"),
    "release": lambda storage, dataset_id: storage.release(dataset_id, [A_GUID], "a"),
    "bookmark": lambda storage, dataset_id: storage.bookmark(dataset_id, A_GUID, "a"),
    "bookmarks": lambda storage, dataset_id: storage.bookmarks(dataset_id),
    "destroy_bookmarks": lambda storage, dataset_id: storage.destroy_bookmarks(dataset_id, ["a"]),
    "send_estimate_bytes": lambda storage, dataset_id: storage.send_estimate_bytes(dataset_id, A_PLAN),
    "send": lambda storage, dataset_id: storage.send(dataset_id, A_PLAN, 0),
    "abort_receive": lambda storage, dataset_id: storage.abort_receive(dataset_id),
    "stash": lambda storage, dataset_id: storage.stash(dataset_id, "a"),
    "clone": lambda storage, dataset_id: storage.clone(dataset_id, A_GUID, new_id(), epoch=1),
}


class DatasetContract(PoolFixtures):
    """
    Making, finding, marking, putting aside and destroying datasets.
    """

    def test_empty_pool(self, pool: PoolUnderTest) -> None:
        """
        A new pool has no datasets.
        """
        assert dict(pool.storage.datasets()) == {}

    def test_empty_pool_has_no_stashes(self, pool: PoolUnderTest) -> None:
        """
        A new pool has no stashed datasets.
        """
        assert dict(pool.storage.stashes()) == {}

    def test_created(self, pool: PoolUnderTest) -> None:
        """
        A dataset that was created is listed with the role, epoch and limit that it was given, unmounted and empty.
        """
        dataset_id = new_id()

        pool.storage.create(dataset_id, role=Role.OWNER, epoch=7, maximum_size_bytes=20 * MEBIBYTE)

        assert pool.storage.datasets()[dataset_id].set(used_bytes=0) == StoredDataset(
            dataset_id=dataset_id, role=Role.OWNER, epoch=7, maximum_size_bytes=20 * MEBIBYTE
        )

    def test_created_answer(self, pool: PoolUnderTest) -> None:
        """
        The answer to ``create`` is what ``dataset`` and ``datasets`` say.
        """
        dataset_id = new_id()

        answer = pool.storage.create(dataset_id, role=Role.OWNER, epoch=1).set(used_bytes=0)

        assert answer == state_of(pool, dataset_id) == pool.storage.datasets()[dataset_id].set(used_bytes=0)

    def test_create_twice(self, pool: PoolUnderTest) -> None:
        """
        A dataset that is there is not made again, and stays what it was.
        """
        dataset_id = owned(pool, epoch=3)
        pool.files.write(dataset_id, {b"a": file(b"kept")})
        with pytest.raises(DatasetExists):
            pool.storage.create(dataset_id, role=Role.REPLICA, epoch=9)

        found = pool.storage.dataset(dataset_id)
        assert (found.epoch, found.role, pool.files.read(dataset_id)[b"a"].content) == (3, Role.OWNER, b"kept")

    def test_many(self, pool: PoolUnderTest) -> None:
        """
        All datasets of a pool are listed.
        """
        made = {owned(pool, mounted=False) for _ in range(5)}

        assert set(pool.storage.datasets()) == made

    @pytest.mark.parametrize("call", sorted(CALLS_ON_A_DATASET))
    def test_unknown(self, pool: PoolUnderTest, call: str) -> None:
        """
        Calls on a dataset that the pool hasn't are refused.
        """
        with pytest.raises(DatasetMissing):
            CALLS_ON_A_DATASET[call](pool.storage, new_id())

    def test_destroy(self, pool: PoolUnderTest) -> None:
        """
        A destroyed dataset is gone.
        """
        dataset_id = owned(pool, mounted=False)

        pool.storage.destroy(dataset_id)

        assert not is_there(pool.storage, dataset_id)

    def test_destroy_all_of_it(self, pool: PoolUnderTest) -> None:
        """
        Destroying a dataset takes its snapshots, bookmarks and holds of ours with it.
        """
        dataset_id = owned(pool)
        pool.files.write(dataset_id, {b"a": file(b"content")})
        held, plain = (pool.storage.snapshot(dataset_id, name).guid for name in ("held", "plain"))
        pool.storage.hold(dataset_id, [held], "transfer")
        pool.storage.bookmark(dataset_id, plain, "mark")
        pool.storage.unmount(dataset_id)

        pool.storage.destroy(dataset_id)

        assert not is_there(pool.storage, dataset_id)

    def test_destroyed_id_is_free(self, pool: PoolUnderTest) -> None:
        """
        What is created under the id of a destroyed dataset is empty.
        """
        dataset_id = owned(pool)
        pool.files.write(dataset_id, {b"a": file(b"content")})
        pool.storage.unmount(dataset_id)
        pool.storage.destroy(dataset_id)

        pool.storage.create(dataset_id, role=Role.OWNER, epoch=2)

        pool.storage.mount(dataset_id)
        assert pool.files.read(dataset_id) == {}

    def test_destroy_mounted(self, pool: PoolUnderTest) -> None:
        """
        A mounted dataset is not destroyed, and goes on as it was.
        """
        dataset_id = owned(pool)
        pool.files.write(dataset_id, {b"a": file(b"content")})
        with pytest.raises(DatasetBusy):
            pool.storage.destroy(dataset_id)

        assert pool.files.read(dataset_id)[b"a"].content == b"content"

    def test_two_pools(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        One pool's datasets are not seen in another.
        """
        owned(pool)

        assert dict(other_pool.storage.datasets()) == {}

    def test_same_id_in_two_pools(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        The dataset of the same id in another pool is another one.
        """
        dataset_id = owned(pool, epoch=1)
        other_pool.storage.create(dataset_id, role=Role.REPLICA, epoch=8)

        other_pool.storage.destroy(dataset_id)

        assert pool.storage.dataset(dataset_id).epoch == 1

    def test_role_and_epoch(self, pool: PoolUnderTest) -> None:
        """
        Role and epoch are what was set last.
        """
        dataset_id = owned(pool, epoch=1, mounted=False)

        pool.storage.set_role(dataset_id, role=Role.RELEASED, epoch=4)

        found = pool.storage.dataset(dataset_id)
        assert (found.role, found.epoch) == (Role.RELEASED, 4)

    @pytest.mark.parametrize("role", [Role.RELEASED, Role.REPLICA])
    def test_role_while_mounted(self, pool: PoolUnderTest, role: Role) -> None:
        """
        A mounted dataset stays its owner's.
        """
        dataset_id = owned(pool, epoch=2)
        with pytest.raises(DatasetBusy):
            pool.storage.set_role(dataset_id, role=role, epoch=3)

        found = pool.storage.dataset(dataset_id)
        assert (found.role, found.epoch) == (Role.OWNER, 2)

    def test_higher_epoch_while_mounted(self, pool: PoolUnderTest) -> None:
        """
        The owner of a mounted dataset can be given a higher epoch.
        """
        dataset_id = owned(pool, epoch=2)

        pool.storage.set_role(dataset_id, role=Role.OWNER, epoch=1 << 62)

        assert pool.storage.dataset(dataset_id).epoch == 1 << 62

    def test_properties(self, pool: PoolUnderTest) -> None:
        """
        Properties add up, an empty value removes one, and a value may be any text of up to 1024 characters.
        """
        dataset_id = owned(pool, mounted=False)
        long = "x" * 1024
        pool.storage.set_properties(dataset_id, {"gone": "1", "kept": "2", "changed": "3"})

        pool.storage.set_properties(dataset_id, {"gone": "", "changed": '{"a": "b c"}', "long-name_2": long})

        assert dict(pool.storage.dataset(dataset_id).properties) == {
            "kept": "2",
            "changed": '{"a": "b c"}',
            "long-name_2": long,
        }

    @pytest.mark.parametrize(
        ("name", "content"),
        [("", "a"), ("A", "a"), ("a b", "a"), ("a:b", "a"), ("ä", "a"), ("a\n", "a"), ("a", "x" * 1025)],
    )
    def test_property_refused(self, pool: PoolUnderTest, name: str, content: str) -> None:
        """
        One property that can't be kept, and none of those given with it is.
        """
        dataset_id = owned(pool, mounted=False)
        with pytest.raises(PropertyRefused):
            pool.storage.set_properties(dataset_id, {"good": "1", name: content})

        assert dict(pool.storage.dataset(dataset_id).properties) == {}

    def test_survives_reopening(self, pool: PoolUnderTest) -> None:
        """
        All that a pool says of a dataset it says again after it was opened anew.
        """
        dataset_id = owned(pool, epoch=5)
        pool.files.write(dataset_id, {b"a": file(b"content")})
        guid = pool.storage.snapshot(dataset_id, "one").guid
        pool.storage.hold(dataset_id, [guid], "tag")
        pool.storage.bookmark(dataset_id, guid, "mark")
        pool.storage.set_properties(dataset_id, {"a": "b"})
        pool.storage.set_limit(dataset_id, 30 * MEBIBYTE)
        before = state_of(pool, dataset_id), pool.storage.bookmarks(dataset_id)

        pool.reopen()

        assert (state_of(pool, dataset_id), pool.storage.bookmarks(dataset_id)) == before

    def test_marks_survive_unmount_and_receive(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        Role, epoch and properties of a dataset stay while increments arrive.
        """
        dataset_id = owned(pool, epoch=3)
        base = replicate(pool, dataset_id, other_pool)
        other_pool.storage.set_role(dataset_id, role=Role.REPLICA, epoch=2)
        other_pool.storage.set_properties(dataset_id, {"a": "b"})
        pool.files.write(dataset_id, {b"a": file(b"content")})
        pool.storage.unmount(dataset_id)
        last = pool.storage.snapshot(dataset_id, "last").guid

        carry(pool.storage, dataset_id, SendPlan(to_guid=last, from_guid=base), other_pool.storage)

        found = other_pool.storage.dataset(dataset_id)
        assert (found.role, found.epoch, dict(found.properties)) == (Role.REPLICA, 2, {"a": "b"})

    def test_stash_makes_way(self, pool: PoolUnderTest) -> None:
        """
        A stashed dataset's id is free, and the stash is listed with the id it had.
        """
        dataset_id = owned(pool, mounted=False)

        name = pool.storage.stash(dataset_id, "before-failover")

        ids = {each: stash.dataset_id for each, stash in pool.storage.stashes().items()}
        assert (is_there(pool.storage, dataset_id), ids) == (False, {name: dataset_id})

    def test_stash_and_restore(self, pool: PoolUnderTest) -> None:
        """
        A restored stash is what it was: content, snapshots, holds, bookmarks, role, epoch, properties.
        """
        dataset_id = owned(pool, epoch=6)
        tree = {b"a": file(b"content")}
        pool.files.write(dataset_id, tree)
        guid = pool.storage.snapshot(dataset_id, "one").guid
        pool.storage.hold(dataset_id, [guid], "tag")
        pool.storage.bookmark(dataset_id, guid, "mark")
        pool.storage.set_properties(dataset_id, {"a": "b"})
        pool.storage.unmount(dataset_id)
        before = state_of(pool, dataset_id), pool.storage.bookmarks(dataset_id)
        name = pool.storage.stash(dataset_id, "label")
        pool.reopen()

        restored_id = pool.storage.restore_stash(name)

        assert (restored_id, state_of(pool, dataset_id), pool.storage.bookmarks(dataset_id)) == (dataset_id, *before)
        pool.storage.mount(dataset_id)
        assert difference(tree, pool.files.read(dataset_id)) == []

    def test_stash_mounted(self, pool: PoolUnderTest) -> None:
        """
        A mounted dataset is not put aside.
        """
        dataset_id = owned(pool)
        with pytest.raises(DatasetBusy):
            pool.storage.stash(dataset_id, "label")

        assert is_there(pool.storage, dataset_id)

    def test_stash_label_taken(self, pool: PoolUnderTest) -> None:
        """
        Two stashes of one id have different labels.
        """
        dataset_id = owned(pool, mounted=False)
        pool.storage.stash(dataset_id, "label")
        pool.storage.create(dataset_id, role=Role.OWNER, epoch=2)
        with pytest.raises(DatasetExists):
            pool.storage.stash(dataset_id, "label")

        second = pool.storage.stash(dataset_id, "x" * 80)
        assert pool.storage.stashes()[second].dataset_id == dataset_id

    @pytest.mark.parametrize("label", ["", "a/b", "a b", "x" * 81, "a@b", "ä", "a\n"])
    def test_stash_label_refused(self, pool: PoolUnderTest, label: str) -> None:
        """
        A label that could not be a snapshot's name is refused.
        """
        dataset_id = owned(pool, mounted=False)
        with pytest.raises(NameRefused):
            pool.storage.stash(dataset_id, label)

        assert is_there(pool.storage, dataset_id)

    def test_restore_onto_another(self, pool: PoolUnderTest) -> None:
        """
        A stash is not restored while another dataset has its id.
        """
        dataset_id = owned(pool, mounted=False)
        name = pool.storage.stash(dataset_id, "label")
        pool.storage.create(dataset_id, role=Role.OWNER, epoch=9)
        with pytest.raises(DatasetExists):
            pool.storage.restore_stash(name)

        assert (pool.storage.dataset(dataset_id).epoch, list(pool.storage.stashes())) == (9, [name])

    def test_destroy_stash(self, pool: PoolUnderTest) -> None:
        """
        A destroyed stash is gone, snapshots and our holds included.
        """
        dataset_id = owned(pool, mounted=False)
        pool.storage.hold(dataset_id, [pool.storage.snapshot(dataset_id, "one").guid], "tag")
        name = pool.storage.stash(dataset_id, "label")

        pool.storage.destroy_stash(name)

        assert dict(pool.storage.stashes()) == {}

    @pytest.mark.parametrize("name", ["nonsense", "../datasets", ""])
    def test_unknown_stash(self, pool: PoolUnderTest, name: str) -> None:
        """
        A stash that isn't there can be neither restored nor destroyed.
        """
        owned(pool)
        with pytest.raises(DatasetMissing):
            pool.storage.restore_stash(name)
        with pytest.raises(DatasetMissing):
            pool.storage.destroy_stash(name)

        assert len(pool.storage.datasets()) == 1

    def test_clone(self, pool: PoolUnderTest) -> None:
        """
        A clone begins as the snapshot it was made of, and what is written to it stays in it.
        """
        dataset_id = owned(pool)
        tree = {b"a": file(b"content"), b"b": file(noise(MEBIBYTE))}
        pool.files.write(dataset_id, tree)
        guid = pool.storage.snapshot(dataset_id, "one").guid
        pool.files.write(dataset_id, {b"a": file(b"changed")})
        clone_id = new_id()

        pool.storage.clone(dataset_id, guid, clone_id, epoch=4)

        pool.storage.mount(clone_id)
        assert difference(tree, pool.files.read(clone_id)) == []
        pool.files.write_at(clone_id, b"b", 1000, b"written to the clone")
        assert difference(tree, content_of(pool, dataset_id, guid)) == []

    def test_clone_is_owned(self, pool: PoolUnderTest) -> None:
        """
        A clone is an unmounted OWNER under the epoch given, and the answer says so.
        """
        dataset_id, clone_id = owned(pool), new_id()
        guid = pool.storage.snapshot(dataset_id, "one").guid

        answer = pool.storage.clone(dataset_id, guid, clone_id, epoch=4)

        assert (answer.dataset_id, answer.role, answer.epoch, answer.mounted_at) == (clone_id, Role.OWNER, 4, None)

    def test_clone_onto_another(self, pool: PoolUnderTest) -> None:
        """
        A clone takes no dataset's place.
        """
        dataset_id, other_id = owned(pool), owned(pool, epoch=2)
        guid = pool.storage.snapshot(dataset_id, "one").guid
        with pytest.raises(DatasetExists):
            pool.storage.clone(dataset_id, guid, other_id, epoch=4)

        assert pool.storage.dataset(other_id).epoch == 2

    def test_clone_outlives_attempts_on_its_origin(self, pool: PoolUnderTest) -> None:
        """
        Whether its origin can be destroyed or not, a clone keeps its content.
        """
        dataset_id, clone_id = owned(pool), new_id()
        tree = {b"a": file(noise(MEBIBYTE))}
        pool.files.write(dataset_id, tree)
        guid = pool.storage.snapshot(dataset_id, "one").guid
        pool.storage.unmount(dataset_id)
        pool.storage.clone(dataset_id, guid, clone_id, epoch=1)
        with suppress(DatasetBusy):
            pool.storage.destroy_snapshots(dataset_id, [guid])
        with suppress(DatasetBusy):
            pool.storage.destroy(dataset_id)

        pool.storage.mount(clone_id)
        assert difference(tree, pool.files.read(clone_id)) == []

    @pytest.mark.parametrize("call", ["set_role", "set_limit", "mount", "snapshot", "stash", "clone"])
    def test_partial_dataset(self, pool: PoolUnderTest, other_pool: PoolUnderTest, call: str) -> None:
        """
        A dataset that has only arrived in part can't be owned, written, or put to any other use.
        """
        dataset_id = partial_dataset(pool, other_pool)

        with pytest.raises(DatasetPartial):
            CALLS_ON_A_DATASET[call](other_pool.storage, dataset_id)

    def test_partial_dataset_is_listed(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        A partial dataset is listed as one, a REPLICA of epoch 0 without snapshots, with a token to go on with.
        """
        dataset_id = partial_dataset(pool, other_pool)

        found = other_pool.storage.datasets()[dataset_id]

        assert found.resume_token is not None
        assert found.set(used_bytes=0, resume_token=None) == StoredDataset(
            dataset_id=dataset_id, role=Role.REPLICA, epoch=0, partial=True
        )

    def test_partial_dataset_is_in_the_way(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        No dataset is created in the place of a partial one.
        """
        dataset_id = partial_dataset(pool, other_pool)
        with pytest.raises(DatasetExists):
            other_pool.storage.create(dataset_id, role=Role.OWNER, epoch=1)

        assert other_pool.storage.dataset(dataset_id).partial

    def test_destroy_partial_dataset(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        A partial dataset can be destroyed.
        """
        dataset_id = partial_dataset(pool, other_pool)

        other_pool.storage.destroy(dataset_id)

        assert not is_there(other_pool.storage, dataset_id)
