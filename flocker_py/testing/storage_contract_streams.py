"""
Storage contract: streams that arrive, and streams that are refused.
"""

from __future__ import annotations

import os

import pytest
from pyrsistent import pvector

from flocker_py.model import DatasetId, Guid
from flocker_py.storage import (
    DatasetBusy,
    DatasetDiverged,
    DatasetExists,
    DatasetMissing,
    Role,
    SendPlan,
    SnapshotMissing,
    StoredDataset,
    StreamCut,
    WrongBase,
)
from flocker_py.testing.storage_pools import (
    MEBIBYTE,
    InThread,
    PoolFixtures,
    PoolUnderTest,
    carry,
    content_of,
    is_there,
    new_id,
    noise,
    owned,
    receive_bytes,
    replicate,
    snapshot_guids,
    state_of,
    stream_of,
)
from flocker_py.testing.trees import difference, file

UNKNOWN_GUID = Guid(4711)


class StreamContract(PoolFixtures):
    """
    Sending and receiving whole datasets and increments.
    """

    def test_full(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        A dataset that arrives is a REPLICA of epoch 0, unmounted, with a snapshot of the same name and GUID.
        """
        dataset_id = owned(pool, epoch=5)
        pool.files.write(dataset_id, {b"a": file(noise(MEBIBYTE))})
        snapshot = pool.storage.snapshot(dataset_id, "one")

        carry(pool.storage, dataset_id, SendPlan(to_guid=snapshot.guid), other_pool.storage)

        assert state_of(other_pool, dataset_id) == StoredDataset(
            dataset_id=dataset_id, role=Role.REPLICA, epoch=0, snapshots=pvector([snapshot])
        )

    def test_received_answer(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        The answer to ``receive`` is the snapshot that the pool then lists.
        """
        dataset_id = owned(pool)
        guid = pool.storage.snapshot(dataset_id, "one").guid

        answer = carry(pool.storage, dataset_id, SendPlan(to_guid=guid), other_pool.storage)

        assert [answer] == list(other_pool.storage.dataset(dataset_id).snapshots)

    def test_content(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        A dataset that arrived and is then owned has the content of the snapshot, and none of what was written later.
        """
        dataset_id = owned(pool)
        tree = {b"a": file(noise(3 * MEBIBYTE)), b"b": file(b""), b"c": file(b"c")}
        pool.files.write(dataset_id, tree)
        guid = pool.storage.snapshot(dataset_id, "one").guid
        pool.files.write(dataset_id, {b"c": file(b"later"), b"d": file(b"later")})

        carry(pool.storage, dataset_id, SendPlan(to_guid=guid), other_pool.storage)

        other_pool.storage.set_role(dataset_id, role=Role.OWNER, epoch=2)
        other_pool.storage.mount(dataset_id)
        assert difference(tree, other_pool.files.read(dataset_id)) == []

    def test_under_another_id(self, pool: PoolUnderTest) -> None:
        """
        A stream can be received under another id, even in the pool that it comes from.
        """
        dataset_id, copy_id = owned(pool), new_id()
        tree = {b"a": file(b"content")}
        pool.files.write(dataset_id, tree)
        guid = pool.storage.snapshot(dataset_id, "one").guid

        carry(pool.storage, dataset_id, SendPlan(to_guid=guid), pool.storage, copy_id)

        assert difference(tree, content_of(pool, copy_id, guid)) == []

    def test_older_snapshot(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        Any snapshot can be sent, not only the newest.
        """
        dataset_id = owned(pool)
        tree = {b"a": file(b"content")}
        pool.files.write(dataset_id, tree)
        guid = pool.storage.snapshot(dataset_id, "one").guid
        pool.files.write(dataset_id, {b"a": file(b"changed"), b"b": file(noise(MEBIBYTE))})
        pool.storage.snapshot(dataset_id, "two")

        carry(pool.storage, dataset_id, SendPlan(to_guid=guid), other_pool.storage)

        assert difference(tree, content_of(other_pool, dataset_id, guid)) == []

    def test_increments(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        Increments add the snapshots that they lead to, with their GUIDs, and each keeps its content.
        """
        dataset_id = owned(pool)
        guids, trees = [], []
        for number in range(4):
            pool.files.write(dataset_id, {b"%d" % number: file(noise(100_000, number)), b"last": file(b"%d" % number)})
            if number:
                pool.files.write_at(dataset_id, b"0", 30_000, b"changed %d" % number)
            if number == 3:
                pool.files.remove(dataset_id, b"1")
            trees.append(pool.files.read(dataset_id))
            guids.append(pool.storage.snapshot(dataset_id, f"s{number}").guid)

        for from_guid, to_guid in zip([None, *guids], guids, strict=False):
            carry(pool.storage, dataset_id, SendPlan(to_guid=to_guid, from_guid=from_guid), other_pool.storage)

        assert snapshot_guids(other_pool.storage, dataset_id) == guids
        for guid, tree in zip(guids, trees, strict=True):
            assert difference(tree, content_of(other_pool, dataset_id, guid)) == []

    def test_increment_over_several(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        An increment may pass over snapshots; the target does not get those.
        """
        dataset_id = owned(pool)
        pool.files.write(dataset_id, {b"a": file(b"1"), b"gone": file(b"1")})
        base = replicate(pool, dataset_id, other_pool)
        pool.files.write(dataset_id, {b"a": file(b"2"), b"passing": file(b"2")})
        pool.storage.snapshot(dataset_id, "between")
        pool.files.remove(dataset_id, b"passing")
        pool.files.remove(dataset_id, b"gone")
        pool.files.write(dataset_id, {b"b": file(b"3")})
        last = pool.storage.snapshot(dataset_id, "last").guid

        carry(pool.storage, dataset_id, SendPlan(to_guid=last, from_guid=base), other_pool.storage)

        assert snapshot_guids(other_pool.storage, dataset_id) == [base, last]
        expected = {b"a": file(b"2"), b"b": file(b"3")}
        assert difference(expected, content_of(other_pool, dataset_id, last)) == []

    def test_increment_from_bookmark(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        A bookmark is as good a base as its snapshot was.
        """
        dataset_id = owned(pool)
        pool.files.write(dataset_id, {b"a": file(noise(4 * MEBIBYTE)), b"b": file(b"old")})
        base = replicate(pool, dataset_id, other_pool)
        pool.storage.bookmark(dataset_id, base, "base")
        tree = {b"a": file(noise(4 * MEBIBYTE)), b"b": file(b"new")}
        pool.files.write(dataset_id, {b"b": tree[b"b"]})
        last = pool.storage.snapshot(dataset_id, "last").guid
        pool.storage.destroy_snapshots(dataset_id, [base])
        plan = SendPlan(to_guid=last, from_guid=base)

        carry(pool.storage, dataset_id, plan, other_pool.storage)

        assert difference(tree, content_of(other_pool, dataset_id, last)) == []
        assert pool.storage.send_estimate_bytes(dataset_id, plan) < MEBIBYTE

    def test_there_and_back(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        A dataset moves to another pool and back, both times by no more than an increment.
        """
        dataset_id = owned(pool, epoch=1)
        pool.files.write(dataset_id, {b"ballast": file(noise(4 * MEBIBYTE)), b"log": file(b"1")})
        base = replicate(pool, dataset_id, other_pool)
        pool.storage.unmount(dataset_id)
        pool.storage.set_role(dataset_id, role=Role.RELEASED, epoch=1)
        other_pool.storage.set_role(dataset_id, role=Role.OWNER, epoch=2)
        other_pool.storage.mount(dataset_id)
        other_pool.files.write(dataset_id, {b"log": file(b"12")})
        other_pool.storage.unmount(dataset_id)
        back = other_pool.storage.snapshot(dataset_id, "back").guid
        plan = SendPlan(to_guid=back, from_guid=base)

        carry(other_pool.storage, dataset_id, plan, pool.storage)

        assert other_pool.storage.send_estimate_bytes(dataset_id, plan) < MEBIBYTE
        pool.storage.set_role(dataset_id, role=Role.OWNER, epoch=3)
        pool.storage.mount(dataset_id)
        expected = {b"ballast": file(noise(4 * MEBIBYTE)), b"log": file(b"12")}
        assert difference(expected, pool.files.read(dataset_id)) == []

    def test_increment_without_dataset(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        An increment makes no dataset.
        """
        dataset_id, plan = self.increment(pool)
        with pytest.raises((WrongBase, DatasetMissing)):
            carry(pool.storage, dataset_id, plan, other_pool.storage)

        assert not is_there(other_pool.storage, dataset_id)

    def test_increment_on_wrong_base(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        An increment on a snapshot that the target lacks is refused, and changes nothing.
        """
        dataset_id = owned(pool)
        pool.files.write(dataset_id, {b"a": file(b"1")})
        base = replicate(pool, dataset_id, other_pool)
        pool.files.write(dataset_id, {b"a": file(b"2")})
        unseen = pool.storage.snapshot(dataset_id, "unseen").guid
        pool.files.write(dataset_id, {b"a": file(b"3")})
        last = pool.storage.snapshot(dataset_id, "last").guid
        before = state_of(other_pool, dataset_id)
        with pytest.raises(WrongBase):
            carry(pool.storage, dataset_id, SendPlan(to_guid=last, from_guid=unseen), other_pool.storage)

        assert state_of(other_pool, dataset_id) == before
        assert difference({b"a": file(b"1")}, content_of(other_pool, dataset_id, base)) == []

    def test_written_target(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        A target that was written to since is never rolled back.
        """
        dataset_id, plan = self.increment(pool, replica_in=other_pool)
        other_pool.storage.set_role(dataset_id, role=Role.OWNER, epoch=2)
        other_pool.storage.mount(dataset_id)
        other_pool.files.write(dataset_id, {b"precious": file(b"written here")})
        written = other_pool.files.read(dataset_id)
        other_pool.storage.unmount(dataset_id)
        with pytest.raises(DatasetDiverged):
            carry(pool.storage, dataset_id, plan, other_pool.storage)

        other_pool.storage.mount(dataset_id)
        assert difference(written, other_pool.files.read(dataset_id)) == []

    def test_target_with_newer_snapshot(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        A target whose newest snapshot is another than the base, with other content, is not touched.
        """
        dataset_id, plan = self.increment(pool, replica_in=other_pool)
        other_pool.storage.set_role(dataset_id, role=Role.OWNER, epoch=2)
        other_pool.storage.mount(dataset_id)
        other_pool.files.write(dataset_id, {b"precious": file(b"written here")})
        other_pool.storage.unmount(dataset_id)
        other_pool.storage.snapshot(dataset_id, "own")
        before = state_of(other_pool, dataset_id)
        with pytest.raises(DatasetDiverged):
            carry(pool.storage, dataset_id, plan, other_pool.storage)

        assert state_of(other_pool, dataset_id) == before

    def test_increment_twice(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        An increment that has arrived already is refused, and changes nothing.
        """
        dataset_id, plan = self.increment(pool, replica_in=other_pool)
        carry(pool.storage, dataset_id, plan, other_pool.storage)
        before = state_of(other_pool, dataset_id)
        with pytest.raises((DatasetDiverged, DatasetExists)):
            carry(pool.storage, dataset_id, plan, other_pool.storage)

        assert state_of(other_pool, dataset_id) == before

    @pytest.mark.parametrize("with_snapshot", [False, True])
    def test_full_onto_dataset(self, pool: PoolUnderTest, other_pool: PoolUnderTest, with_snapshot: bool) -> None:
        """
        A whole dataset takes no other's place, not even that of an empty one.
        """
        dataset_id = owned(pool)
        guid = pool.storage.snapshot(dataset_id, "one").guid
        other_pool.storage.create(dataset_id, role=Role.REPLICA, epoch=3)
        if with_snapshot:
            other_pool.storage.snapshot(dataset_id, "own")
        before = state_of(other_pool, dataset_id)
        with pytest.raises(DatasetExists):
            carry(pool.storage, dataset_id, SendPlan(to_guid=guid), other_pool.storage)

        assert state_of(other_pool, dataset_id) == before

    def test_receive_while_mounted(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        Nothing is received into a mounted dataset.
        """
        dataset_id, plan = self.increment(pool, replica_in=other_pool)
        other_pool.storage.set_role(dataset_id, role=Role.OWNER, epoch=2)
        other_pool.storage.mount(dataset_id)
        before = state_of(other_pool, dataset_id)
        with pytest.raises(DatasetBusy):
            carry(pool.storage, dataset_id, plan, other_pool.storage)

        assert state_of(other_pool, dataset_id) == before

    def test_send_of_unknown(self, pool: PoolUnderTest) -> None:
        """
        A snapshot that isn't there is not sent.
        """
        dataset_id = owned(pool)
        plan = SendPlan(to_guid=UNKNOWN_GUID)
        with pytest.raises(SnapshotMissing):
            stream_of(pool.storage, dataset_id, plan)
        with pytest.raises(SnapshotMissing):
            pool.storage.send_estimate_bytes(dataset_id, plan)

    @pytest.mark.parametrize("base", ["unknown", "newer", "same"])
    def test_send_on_wrong_base(self, pool: PoolUnderTest, base: str) -> None:
        """
        An increment leads from an older snapshot to a newer one.
        """
        dataset_id = owned(pool)
        one, two = (pool.storage.snapshot(dataset_id, name).guid for name in ("one", "two"))
        from_guid = {"unknown": UNKNOWN_GUID, "newer": two, "same": one}[base]
        plan = SendPlan(to_guid=one, from_guid=from_guid)

        with pytest.raises(WrongBase):
            stream_of(pool.storage, dataset_id, plan)
        with pytest.raises(WrongBase):
            pool.storage.send_estimate_bytes(dataset_id, plan)

    def test_estimates(self, pool: PoolUnderTest) -> None:
        """
        The estimate of a stream of some megabytes is right within a quarter.
        """
        dataset_id = owned(pool)
        pool.files.write(dataset_id, {b"a": file(noise(6 * MEBIBYTE))})
        base = pool.storage.snapshot(dataset_id, "one").guid
        pool.files.write(dataset_id, {b"b": file(noise(3 * MEBIBYTE, 1))})
        last = pool.storage.snapshot(dataset_id, "two").guid

        for plan in (SendPlan(to_guid=base), SendPlan(to_guid=last, from_guid=base), SendPlan(to_guid=last)):
            actual_bytes = len(stream_of(pool.storage, dataset_id, plan))
            estimate_bytes = pool.storage.send_estimate_bytes(dataset_id, plan)
            assert actual_bytes * 3 // 4 <= estimate_bytes <= actual_bytes * 5 // 4

    def test_increment_is_small(self, pool: PoolUnderTest) -> None:
        """
        A small change in a large file makes a small increment.
        """
        dataset_id = owned(pool)
        pool.files.write(dataset_id, {b"a": file(noise(16 * MEBIBYTE))})
        base = pool.storage.snapshot(dataset_id, "one").guid
        pool.files.write_at(dataset_id, b"a", 5 * MEBIBYTE + 77, b"changed")
        last = pool.storage.snapshot(dataset_id, "two").guid

        stream = stream_of(pool.storage, dataset_id, SendPlan(to_guid=last, from_guid=base))

        assert len(stream) < MEBIBYTE

    def test_send_is_cancelled(self, pool: PoolUnderTest) -> None:
        """
        A send ends when the reading end of its pipe is closed.
        """
        dataset_id, plan = self.big(pool)
        reading, writing = os.pipe()
        sender = InThread(lambda: pool.storage.send(dataset_id, plan, writing))
        os.read(reading, 1)

        os.close(reading)

        sender.wait()
        os.close(writing)
        assert isinstance(sender.error, StreamCut)

    def test_send_leaves_the_descriptor_open(self, pool: PoolUnderTest) -> None:
        """
        The pipe stays the caller's to close, on both ends.
        """
        dataset_id = owned(pool)
        guid = pool.storage.snapshot(dataset_id, "one").guid
        reading, writing = os.pipe()
        sender = InThread(lambda: pool.storage.send(dataset_id, SendPlan(to_guid=guid), writing))
        pool.storage.receive(new_id(), reading)
        sender.finish()

        os.close(reading)
        os.close(writing)

    def test_sends_side_by_side(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        One dataset can be sent to two targets at once.
        """
        dataset_id, plan = self.big(pool)
        copies = [new_id(), new_id()]

        def transfer(copy_id: DatasetId) -> InThread:
            return InThread(lambda: carry(pool.storage, dataset_id, plan, other_pool.storage, copy_id))

        for thread in [transfer(copy_id) for copy_id in copies]:
            thread.finish()

        expected = pool.files.read(dataset_id)
        for copy_id in copies:
            assert difference(expected, content_of(other_pool, copy_id, plan.to_guid)) == []

    def test_work_beside_a_send(self, pool: PoolUnderTest) -> None:
        """
        While a snapshot is sent, the dataset can be written, snapshotted and unmounted; the stream is none the worse.
        """
        dataset_id, plan = self.big(pool)
        expected = pool.files.read(dataset_id)
        reading, writing = os.pipe()

        def send() -> None:
            pool.storage.send(dataset_id, plan, writing)
            os.close(writing)

        sender = InThread(send)
        first = os.read(reading, 1)
        pool.files.write(dataset_id, {b"a": file(b"other")})
        pool.storage.snapshot(dataset_id, "meanwhile")
        pool.storage.unmount(dataset_id)
        pool.storage.snapshot(dataset_id, "final")
        rest = []
        while part := os.read(reading, MEBIBYTE):
            rest.append(part)
        os.close(reading)
        sender.finish()

        copy_id = new_id()
        receive_bytes(pool.storage, copy_id, first + b"".join(rest))
        assert difference(expected, content_of(pool, copy_id, plan.to_guid)) == []

    def test_destroy_while_sent(self, pool: PoolUnderTest) -> None:
        """
        What is being sent is not destroyed, neither the dataset nor the snapshot.
        """
        dataset_id, plan = self.big(pool)
        pool.storage.unmount(dataset_id)
        reading, writing = os.pipe()
        sender = InThread(lambda: pool.storage.send(dataset_id, plan, writing))
        os.read(reading, 1)
        try:
            with pytest.raises(DatasetBusy):
                pool.storage.destroy(dataset_id)
            with pytest.raises(DatasetBusy):
                pool.storage.destroy_snapshots(dataset_id, [plan.to_guid])
        finally:
            os.close(reading)
            sender.wait()
            os.close(writing)

        assert snapshot_guids(pool.storage, dataset_id) == [plan.to_guid]

    @staticmethod
    def big(pool: PoolUnderTest) -> tuple[DatasetId, SendPlan]:
        """
        A mounted dataset whose stream fits no pipe.
        """
        dataset_id = owned(pool)
        pool.files.write(dataset_id, {b"a": file(noise(8 * MEBIBYTE))})
        return dataset_id, SendPlan(to_guid=pool.storage.snapshot(dataset_id, "one").guid)

    @staticmethod
    def increment(pool: PoolUnderTest, *, replica_in: PoolUnderTest | None = None) -> tuple[DatasetId, SendPlan]:
        """
        A dataset and its last step.

        :param replica_in: where its base is to be.
        """
        dataset_id = owned(pool)
        pool.files.write(dataset_id, {b"a": file(b"1")})
        base = pool.storage.snapshot(dataset_id, "base").guid
        if replica_in is not None:
            carry(pool.storage, dataset_id, SendPlan(to_guid=base), replica_in.storage)
        pool.files.write(dataset_id, {b"a": file(b"2")})
        last = pool.storage.snapshot(dataset_id, "last").guid
        return dataset_id, SendPlan(to_guid=last, from_guid=base)
