"""
Storage contract: streams that are cut, damaged, or taken up again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flocker_py.model import DatasetId
from flocker_py.storage import (
    ResumeRefused,
    Role,
    SendPlan,
    Storage,
    StorageError,
    StreamCorrupt,
    StreamCut,
)
from flocker_py.testing.storage_pools import (
    MEBIBYTE,
    NewPool,
    PoolFixtures,
    PoolUnderTest,
    carry,
    content_of,
    is_there,
    new_id,
    noise,
    owned,
    partial_dataset,
    receive_bytes,
    resume_token,
    snapshot_guids,
    state_of,
    stream_of,
)
from flocker_py.testing.trees import TreeEntry, difference, file

_anywhere = st.floats(min_value=0, max_value=1, exclude_max=True)
_few = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    # The pools are the test's own for all examples: each takes a dataset of its own.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.differing_executors],
)


@dataclass(frozen=True)
class Attempt:
    """
    One stream on its way to a copy of its own, and the position at which something befalls it.
    """

    source: Storage
    target: Storage
    dataset_id: DatasetId
    copy_id: DatasetId
    plan: SendPlan
    stream: bytes
    position: int

    def complete(self, token: str | None) -> None:
        """
        Bring what has not yet arrived.
        """
        carry(self.source, self.dataset_id, self.plan.set(resume_token=token), self.target, self.copy_id)


class CutContract(PoolFixtures):
    """
    What becomes of streams that don't arrive whole.
    """

    def test_cut_and_resumed(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        A cut stream leaves a token, and a send with it completes the dataset.
        """
        dataset_id = partial_dataset(pool, other_pool)
        guid = snapshot_guids(pool.storage, dataset_id)[0]

        plan = SendPlan(to_guid=guid, resume_token=resume_token(other_pool.storage, dataset_id))
        carry(pool.storage, dataset_id, plan, other_pool.storage)

        found = other_pool.storage.dataset(dataset_id)
        assert (found.partial, found.resume_token, found.snapshots[0].guid) == (False, None, guid)
        assert difference(pool.files.read(dataset_id), content_of(other_pool, dataset_id, guid)) == []

    def test_resumed_stream_is_shorter(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        What arrived before the cut is not sent again, but for a megabyte or so.
        """
        dataset_id = partial_dataset(pool, other_pool)
        full = SendPlan(to_guid=snapshot_guids(pool.storage, dataset_id)[0])
        whole_bytes = len(stream_of(pool.storage, dataset_id, full))

        resumed = full.set(resume_token=resume_token(other_pool.storage, dataset_id))

        resumed_bytes = len(stream_of(pool.storage, dataset_id, resumed))
        assert resumed_bytes <= whole_bytes // 4 + 2 * MEBIBYTE
        assert pool.storage.send_estimate_bytes(dataset_id, resumed) <= whole_bytes // 4 + 2 * MEBIBYTE

    def test_resumed_after_reopening(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        The token is the same after both pools were opened anew, and still good.
        """
        dataset_id = partial_dataset(pool, other_pool)
        guid = snapshot_guids(pool.storage, dataset_id)[0]
        before = resume_token(other_pool.storage, dataset_id)
        pool.reopen()
        other_pool.reopen()

        token = resume_token(other_pool.storage, dataset_id)
        carry(pool.storage, dataset_id, SendPlan(to_guid=guid, resume_token=token), other_pool.storage)

        assert token == before
        assert difference(pool.files.read(dataset_id), content_of(other_pool, dataset_id, guid)) == []

    def test_cut_often(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        A stream that is cut again and again still arrives.
        """
        dataset_id = owned(pool)
        pool.files.write(
            dataset_id,
            {b"a": file(noise(5 * MEBIBYTE)), b"b": file(noise(MEBIBYTE, 1)), b"c": file(noise(2 * MEBIBYTE, 2))},
        )
        plan = SendPlan(to_guid=pool.storage.snapshot(dataset_id, "one").guid)

        cuts = 0
        while cuts < 40:
            token = resume_token(other_pool.storage, dataset_id)
            stream = stream_of(pool.storage, dataset_id, plan.set(resume_token=token))
            if len(stream) <= 3 * MEBIBYTE // 2:
                receive_bytes(other_pool.storage, dataset_id, stream)
                break
            cuts += 1
            with pytest.raises(StreamCut):
                receive_bytes(other_pool.storage, dataset_id, stream[: 3 * MEBIBYTE // 2])

        assert cuts > 2
        assert difference(pool.files.read(dataset_id), content_of(other_pool, dataset_id, plan.to_guid)) == []

    def test_cut_increment(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        Of a cut increment there is nothing to be seen but the token, and the content is the base's.
        """
        dataset_id, plan, tree = self.cut_increment(pool, other_pool)

        found = other_pool.storage.dataset(dataset_id)

        assert (snapshot_guids(other_pool.storage, dataset_id), found.partial) == ([plan.from_guid], False)
        assert found.resume_token is not None
        assert plan.from_guid is not None
        assert difference(tree, content_of(other_pool, dataset_id, plan.from_guid)) == []

    def test_cut_increment_and_owned(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        A replica whose increment was cut can be owned and mounted, and has the base's content.
        """
        dataset_id, _, tree = self.cut_increment(pool, other_pool)

        other_pool.storage.set_role(dataset_id, role=Role.OWNER, epoch=2)
        other_pool.storage.mount(dataset_id)

        assert difference(tree, other_pool.files.read(dataset_id)) == []

    def test_resumed_increment(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        A cut increment is completed with the token.
        """
        dataset_id, plan, _ = self.cut_increment(pool, other_pool)
        token = resume_token(other_pool.storage, dataset_id)

        carry(pool.storage, dataset_id, plan.set(resume_token=token), other_pool.storage)

        assert snapshot_guids(other_pool.storage, dataset_id) == [plan.from_guid, plan.to_guid]
        assert difference(pool.files.read(dataset_id), content_of(other_pool, dataset_id, plan.to_guid)) == []

    def test_source_goes_on(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        What the source does after the cut does not matter, as long as it keeps the snapshot.
        """
        dataset_id = partial_dataset(pool, other_pool)
        guid = snapshot_guids(pool.storage, dataset_id)[0]
        expected = pool.files.read(dataset_id)
        pool.files.write(dataset_id, {b"a": file(b"other"), b"b": file(noise(MEBIBYTE, 1))})
        pool.storage.snapshot(dataset_id, "two")

        token = resume_token(other_pool.storage, dataset_id)
        carry(pool.storage, dataset_id, SendPlan(to_guid=guid, resume_token=token), other_pool.storage)

        assert difference(expected, content_of(other_pool, dataset_id, guid)) == []

    def test_token_of_another_snapshot(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        A token goes with one snapshot only.
        """
        dataset_id = partial_dataset(pool, other_pool)
        other_guid = pool.storage.snapshot(dataset_id, "two").guid
        token = resume_token(other_pool.storage, dataset_id)

        with pytest.raises(ResumeRefused):
            stream_of(pool.storage, dataset_id, SendPlan(to_guid=other_guid, resume_token=token))

    def test_token_of_another_dataset(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        A token goes with one dataset only.
        """
        token = resume_token(other_pool.storage, partial_dataset(pool, other_pool))
        dataset_id = owned(pool)
        guid = pool.storage.snapshot(dataset_id, "one").guid

        with pytest.raises(ResumeRefused):
            stream_of(pool.storage, dataset_id, SendPlan(to_guid=guid, resume_token=token))

    @pytest.mark.parametrize("token", ["", "nonsense", "1-c740b4779-d0", "{}", "AAAA", "\N{SNOWMAN}"])
    def test_token_is_none(self, pool: PoolUnderTest, token: str) -> None:
        """
        What is no token is refused as one.
        """
        dataset_id = owned(pool)
        guid = pool.storage.snapshot(dataset_id, "one").guid

        with pytest.raises(ResumeRefused):
            stream_of(pool.storage, dataset_id, SendPlan(to_guid=guid, resume_token=token))

    def test_resumed_stream_without_partial(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        The rest of a stream is not taken where its beginning isn't kept.
        """
        dataset_id = partial_dataset(pool, other_pool)
        guid = snapshot_guids(pool.storage, dataset_id)[0]
        plan = SendPlan(to_guid=guid, resume_token=resume_token(other_pool.storage, dataset_id))
        other_pool.storage.abort_receive(dataset_id)
        with pytest.raises(ResumeRefused):
            carry(pool.storage, dataset_id, plan, other_pool.storage)

        assert not is_there(other_pool.storage, dataset_id)

    def test_resumed_increment_without_partial(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        The rest of an increment is not taken where its beginning isn't kept.
        """
        dataset_id, plan, _ = self.cut_increment(pool, other_pool)
        token = resume_token(other_pool.storage, dataset_id)
        other_pool.storage.abort_receive(dataset_id)
        before = state_of(other_pool, dataset_id)
        with pytest.raises(ResumeRefused):
            carry(pool.storage, dataset_id, plan.set(resume_token=token), other_pool.storage)

        assert state_of(other_pool, dataset_id) == before

    def test_from_the_start_onto_partial(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        While a partial receive is kept, only its own rest is taken.
        """
        dataset_id = partial_dataset(pool, other_pool)
        guid = snapshot_guids(pool.storage, dataset_id)[0]
        before = state_of(other_pool, dataset_id)
        with pytest.raises(ResumeRefused):
            carry(pool.storage, dataset_id, SendPlan(to_guid=guid), other_pool.storage)

        assert state_of(other_pool, dataset_id) == before

    def test_other_increment_onto_partial(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        While part of an increment is kept, another increment is not taken.
        """
        dataset_id, plan, _ = self.cut_increment(pool, other_pool)
        pool.files.write(dataset_id, {b"c": file(b"c")})
        other = SendPlan(to_guid=pool.storage.snapshot(dataset_id, "other").guid, from_guid=plan.from_guid)
        before = state_of(other_pool, dataset_id)
        with pytest.raises(ResumeRefused):
            carry(pool.storage, dataset_id, other, other_pool.storage)

        assert state_of(other_pool, dataset_id) == before

    def test_abort_first_receive(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        A dataset that is nothing but an aborted receive is gone, and can be sent from the start.
        """
        dataset_id = partial_dataset(pool, other_pool)
        guid = snapshot_guids(pool.storage, dataset_id)[0]

        other_pool.storage.abort_receive(dataset_id)

        assert not is_there(other_pool.storage, dataset_id)
        carry(pool.storage, dataset_id, SendPlan(to_guid=guid), other_pool.storage)
        assert snapshot_guids(other_pool.storage, dataset_id) == [guid]

    def test_abort_increment(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        After aborting a cut increment the dataset is as before it, and takes it from the start.
        """
        dataset_id, plan, _ = self.cut_increment(pool, other_pool)

        other_pool.storage.abort_receive(dataset_id)

        assert other_pool.storage.dataset(dataset_id).resume_token is None
        carry(pool.storage, dataset_id, plan, other_pool.storage)
        assert difference(pool.files.read(dataset_id), content_of(other_pool, dataset_id, plan.to_guid)) == []

    def test_abort_nothing(self, pool: PoolUnderTest) -> None:
        """
        Where no receive was cut, there is nothing to abort.
        """
        dataset_id = owned(pool, mounted=False)
        before = state_of(pool, dataset_id)

        pool.storage.abort_receive(dataset_id)

        assert state_of(pool, dataset_id) == before

    def test_nothing_arrives(self, pool: PoolUnderTest) -> None:
        """
        A stream that ends before it began was cut, and leaves nothing.
        """
        dataset_id = new_id()
        with pytest.raises(StreamCut):
            receive_bytes(pool.storage, dataset_id, b"")

        assert not is_there(pool.storage, dataset_id)

    @pytest.mark.parametrize("garbage", [noise(100_000), b"\0" * 100_000, b"GET / HTTP/1.1\r\n" * 5000])
    def test_garbage(self, pool: PoolUnderTest, garbage: bytes) -> None:
        """
        What is no stream is refused, and leaves nothing.
        """
        dataset_id = new_id()
        with pytest.raises(StreamCorrupt):
            receive_bytes(pool.storage, dataset_id, garbage)

        assert not is_there(pool.storage, dataset_id)

    def test_garbage_onto_dataset(self, pool: PoolUnderTest) -> None:
        """
        What is no stream changes nothing.
        """
        dataset_id = owned(pool, mounted=False)
        pool.storage.snapshot(dataset_id, "one")
        before = state_of(pool, dataset_id)
        with pytest.raises(StreamCorrupt):
            receive_bytes(pool.storage, dataset_id, noise(100_000))

        assert state_of(pool, dataset_id) == before

    def test_truncated_anywhere(self, new_pool: NewPool) -> None:
        """
        Wherever a stream ends early, it was cut, and what it was to bring can still be brought: with the token if
        there is one, else from the start.
        """
        self.each_stream(new_pool, self.check_truncated)

    def test_damaged_anywhere(self, new_pool: NewPool) -> None:
        """
        Wherever a stream is damaged, it makes no snapshot or the right one, and the rest can still be brought.
        """
        self.each_stream(new_pool, self.check_damaged)

    def each_stream(
        self,
        new_pool: NewPool,
        check: Callable[[Attempt], None],
    ) -> None:
        """
        Run a check at many places of a full stream and of an increment, each time on a copy of its own.
        """
        pool, other_pool = new_pool(), new_pool()
        dataset_id = owned(pool)
        pool.files.write(dataset_id, {b"a": file(noise(300_000)), b"b": file(b"b"), b"c": file(noise(5000, 2))})
        base = pool.storage.snapshot(dataset_id, "base").guid
        pool.files.write(dataset_id, {b"d": file(noise(200_000, 1)), b"c": file(b"")})
        pool.files.remove(dataset_id, b"b")
        last = pool.storage.snapshot(dataset_id, "last").guid
        full, increment = SendPlan(to_guid=base), SendPlan(to_guid=last, from_guid=base)
        streams = {plan: stream_of(pool.storage, dataset_id, plan) for plan in (full, increment)}

        @_few
        @given(plan=st.sampled_from([full, increment]), place=_anywhere)
        def at(plan: SendPlan, place: float) -> None:
            copy_id = new_id()
            if plan.from_guid is not None:
                receive_bytes(other_pool.storage, copy_id, streams[full])
            check(
                Attempt(
                    source=pool.storage,
                    target=other_pool.storage,
                    dataset_id=dataset_id,
                    copy_id=copy_id,
                    plan=plan,
                    stream=streams[plan],
                    position=int(place * len(streams[plan])),
                )
            )
            wanted = [plan.to_guid] if plan.from_guid is None else [plan.from_guid, plan.to_guid]
            assert snapshot_guids(other_pool.storage, copy_id) == wanted
            arrived = content_of(other_pool, copy_id, plan.to_guid)
            assert difference(content_of(pool, dataset_id, plan.to_guid), arrived) == []
            other_pool.storage.destroy(copy_id)

        at()

    @staticmethod
    def check_truncated(attempt: Attempt) -> None:
        """
        Receive the beginning of a stream, then what is left to be sent.
        """
        before = snapshot_guids(attempt.target, attempt.copy_id)
        with pytest.raises(StreamCut):
            receive_bytes(attempt.target, attempt.copy_id, attempt.stream[: attempt.position])
        assert snapshot_guids(attempt.target, attempt.copy_id) == before
        attempt.complete(resume_token(attempt.target, attempt.copy_id))

    @staticmethod
    def check_damaged(attempt: Attempt) -> None:
        """
        Receive a stream with one wrong bit, then the right one.
        """
        before = snapshot_guids(attempt.target, attempt.copy_id)
        damaged = bytearray(attempt.stream)
        damaged[attempt.position] ^= 1 << attempt.position % 8
        try:
            receive_bytes(attempt.target, attempt.copy_id, bytes(damaged))
        except StorageError:
            assert snapshot_guids(attempt.target, attempt.copy_id) == before
            if is_there(attempt.target, attempt.copy_id):
                attempt.target.abort_receive(attempt.copy_id)
            attempt.complete(None)

    @staticmethod
    def cut_increment(
        pool: PoolUnderTest, other_pool: PoolUnderTest
    ) -> tuple[DatasetId, SendPlan, dict[bytes, TreeEntry]]:
        """
        A dataset of which the base and three quarters of an increment have arrived; with the base's content.
        """
        dataset_id = owned(pool)
        pool.files.write(dataset_id, {b"a": file(noise(MEBIBYTE)), b"b": file(b"old")})
        tree = pool.files.read(dataset_id)
        base = pool.storage.snapshot(dataset_id, "base").guid
        carry(pool.storage, dataset_id, SendPlan(to_guid=base), other_pool.storage)
        pool.files.write(dataset_id, {b"b": file(noise(4 * MEBIBYTE, 1))})
        plan = SendPlan(to_guid=pool.storage.snapshot(dataset_id, "last").guid, from_guid=base)
        stream = stream_of(pool.storage, dataset_id, plan)
        with pytest.raises(StreamCut):
            receive_bytes(other_pool.storage, dataset_id, stream[: len(stream) * 3 // 4])
        return dataset_id, plan, tree
