"""
Moving a dataset's data from node to node, over real connections.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from flocker_agent import rounds
from flocker_agent.storage.memory import MemoryPool
from flocker_agent.transfer.admission import Refused
from flocker_agent.transfer.limits import TransferLimits
from flocker_py.errors import FlockerError
from flocker_py.model import DatasetId, Guid, MoveId
from flocker_py.observed import SendVerdict
from flocker_py.storage import Role
from flocker_py.testing.certificates import ClusterCertificates, make_cluster
from tests.integration.transfer_nodes import (
    DEADLINE_SECONDS,
    IMPATIENT,
    QUICK,
    DirectoryPoolInUse,
    GatedMemoryStorage,
    MemoryPoolInUse,
    Pool,
    Sending,
    TransferNode,
    eventually,
    noise,
    relayed,
)
from tests.relay import Failing

MIB = 1 << 20
# Of silence less than pools stand still, and more than a busy machine has this process stand still.
BORNE = TransferLimits(silence_seconds=5.0, handshake_seconds=10.0)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> ClusterCertificates:
    """
    A cluster of three nodes.
    """
    return make_cluster(tmp_path_factory.mktemp("cluster"), node_ids=[uuid4() for _ in range(3)])


@pytest.fixture(params=["memory", "directory"])
def new_pool(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Pool]:
    """
    Makes empty pools.
    """
    numbers = itertools.count()
    if request.param == "memory":
        return MemoryPoolInUse
    return lambda: DirectoryPoolInUse(tmp_path / str(next(numbers)))


class InMemory:
    """
    Tests that have nothing to do with how data is kept.
    """

    @pytest.fixture
    def new_pool(self) -> Callable[[], Pool]:
        """
        Makes empty pools.
        """
        return MemoryPoolInUse


@pytest.fixture
def source(cluster: ClusterCertificates, new_pool: Callable[[], Pool]) -> Iterator[TransferNode]:
    """
    The node that sends.
    """
    node = TransferNode(new_pool(), cluster.nodes[0])
    yield node
    assert node.service.stop(DEADLINE_SECONDS)


@pytest.fixture
def target(cluster: ClusterCertificates, new_pool: Callable[[], Pool]) -> Iterator[TransferNode]:
    """
    The node that receives.
    """
    node = TransferNode(new_pool(), cluster.nodes[1])
    yield node
    assert node.service.stop(DEADLINE_SECONDS)


def ready(sending: Sending) -> bool:
    """
    Whether the application may be stopped.
    """
    return bool(sending.progress) and sending.progress[-1].verdict is SendVerdict.READY


def arrived(target: TransferNode, count: int) -> None:
    """
    Wait until so many snapshots have come in.
    """
    eventually(lambda: len(target.received) >= count, f"{count} snapshots arrived")


def finished(source: TransferNode, dataset_id: DatasetId, sending: Sending) -> Guid:
    """
    Release the dataset, and send what is left.
    """
    final_guid = source.release(dataset_id)
    sending.session.finish(final_guid)
    assert sending.outcome().error is None, sending.outcome()
    return final_guid


class TestMove:
    """
    Rounds while the application runs, and the last one.
    """

    def test_all_data_arrives(self, source: TransferNode, target: TransferNode) -> None:
        """
        What was written before, between and after the rounds is on the target.
        """
        dataset_id = source.owned(noise(3 * MIB, 0))
        sending = Sending(source, dataset_id, target)
        eventually(lambda: len(target.received) >= 1, "a first snapshot arrived")
        source.pool.write(dataset_id, "1", noise(MIB, 1))
        eventually(lambda: len(target.received) >= 2, "a second snapshot arrived")
        source.pool.write(dataset_id, "2", noise(MIB, 2))
        finished(source, dataset_id, sending)

        assert target.take_over(dataset_id) == {"0": noise(3 * MIB, 0), "1": noise(MIB, 1), "2": noise(MIB, 2)}

    def test_the_final_snapshot_is_acknowledged(self, source: TransferNode, target: TransferNode) -> None:
        """
        The session ends when the target has re-read the final snapshot from its own pool, as its newest.
        """
        dataset_id = source.owned(noise(MIB, 0))
        sending = Sending(source, dataset_id, target)
        eventually(lambda: ready(sending), "ready for the cut-over")
        final_guid = finished(source, dataset_id, sending)

        assert (sending.outcome().acknowledged_guid, sending.acknowledged(), target.guids(dataset_id)[-1]) == (
            final_guid,
            final_guid,
            final_guid,
        )

    def test_both_sides_hear_of_the_end(self, source: TransferNode, target: TransferNode) -> None:
        """
        Once all is there the receiver says that it does not touch the dataset any more.
        """
        dataset_id = source.owned(b"x")
        finished(source, dataset_id, Sending(source, dataset_id, target))
        eventually(lambda: target.ended, "the receiver told of the end")

        assert [(one.dataset_id, one.error) for one in target.ended] == [(dataset_id, None)]

    def test_the_target_is_a_replica(self, source: TransferNode, target: TransferNode) -> None:
        """
        Receiving makes nobody an owner.
        """
        dataset_id = source.owned(b"x")
        finished(source, dataset_id, Sending(source, dataset_id, target))
        stored = target.pool.storage.dataset(dataset_id)

        assert (stored.role, stored.epoch, stored.mounted_at) == (Role.REPLICA, 0, None)

    def test_an_empty_dataset_moves(self, source: TransferNode, target: TransferNode) -> None:
        """
        A dataset that was never written to is moved like any other.
        """
        dataset_id = source.owned()
        finished(source, dataset_id, Sending(source, dataset_id, target))

        assert target.take_over(dataset_id) == {}

    def test_rounds_carry_only_what_changed(self, source: TransferNode, target: TransferNode) -> None:
        """
        After the first round a small change costs little.
        """
        dataset_id = source.owned(noise(8 * MIB, 0))
        sending = Sending(source, dataset_id, target)
        eventually(lambda: len(target.received) >= 1, "a first snapshot arrived")
        source.pool.write(dataset_id, "1", b"small")
        finished(source, dataset_id, sending)

        assert sending.sent_bytes() < 9 * MIB

    def test_rounds_get_rarer(
        self, source: TransferNode, target: TransferNode, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        A session that is ready for long pauses longer between its rounds, and still ends when it is asked to.
        """
        monkeypatch.setattr(rounds, "_PAUSE_SECONDS", 0.01)
        monkeypatch.setattr(rounds, "_PROMPT_ROUNDS", 1)
        dataset_id = source.owned(b"x")
        sending = Sending(source, dataset_id, target)
        eventually(lambda: sending.session._outlook().pause_seconds >= 0.05, "pauses got longer")
        finished(source, dataset_id, sending)

        assert target.take_over(dataset_id) == {"0": b"x"}

    def test_the_sources_own_snapshots_are_cleaned_up(self, source: TransferNode, target: TransferNode) -> None:
        """
        Of all the rounds' snapshots the source keeps the final one only.
        """
        dataset_id = source.owned(noise(MIB, 0))
        sending = Sending(source, dataset_id, target)
        for count in range(1, 6):
            arrived(target, count)
            assert sending.ended is None
            source.pool.write(dataset_id, "1", noise(1000, count))
        final_guid = finished(source, dataset_id, sending)

        assert source.guids(dataset_id) == [final_guid]

    def test_the_target_does_not_collect_snapshots(self, source: TransferNode, target: TransferNode) -> None:
        """
        However many rounds there are, the target keeps few of their snapshots.
        """
        dataset_id = source.owned(noise(MIB, 0))
        sending = Sending(source, dataset_id, target)
        for count in range(1, 8):
            arrived(target, count)
            source.pool.write(dataset_id, "1", noise(1000, count))
        finished(source, dataset_id, sending)

        assert len(target.guids(dataset_id)) <= 5

    def test_others_snapshots_are_left_alone(self, source: TransferNode, target: TransferNode) -> None:
        """
        A snapshot that no round made is still there afterwards.
        """
        dataset_id = source.owned(b"x")
        guid = source.pool.storage.snapshot(dataset_id, "before-the-upgrade").guid
        finished(source, dataset_id, Sending(source, dataset_id, target))

        assert guid in source.guids(dataset_id)

    def test_back_again(self, source: TransferNode, target: TransferNode) -> None:
        """
        A move back sends only what was written since, for the former owner still has the rest.
        """
        dataset_id = source.owned(noise(8 * MIB, 0))
        finished(source, dataset_id, Sending(source, dataset_id, target))
        target.take_over(dataset_id)
        target.pool.write(dataset_id, "1", b"more")
        back = Sending(target, dataset_id, source)
        finished(target, dataset_id, back)

        assert (back.sent_bytes() < MIB, source.take_over(dataset_id)) == (
            True,
            {"0": noise(8 * MIB, 0), "1": b"more"},
        )

    def test_several_datasets_at_once(self, source: TransferNode, target: TransferNode) -> None:
        """
        Datasets move side by side.
        """
        dataset_ids = [source.owned(noise(2 * MIB, number)) for number in range(6)]
        sendings = [Sending(source, dataset_id, target) for dataset_id in dataset_ids]
        for dataset_id, sending in zip(dataset_ids, sendings, strict=True):
            finished(source, dataset_id, sending)

        assert [target.take_over(dataset_id) for dataset_id in dataset_ids] == [
            {"0": noise(2 * MIB, number)} for number in range(6)
        ]

    def test_after_a_crash_the_final_snapshot_is_sent(self, source: TransferNode, target: TransferNode) -> None:
        """
        A session that begins when the dataset is released already sends the final snapshot and takes none.
        """
        dataset_id = source.owned(noise(MIB, 0))
        final_guid = source.release(dataset_id)
        sending = Sending(source, dataset_id, target, final_guid=final_guid)

        assert (sending.outcome().acknowledged_guid, source.guids(dataset_id)) == (final_guid, [final_guid])

    def test_what_is_there_is_not_sent_again(self, source: TransferNode, target: TransferNode) -> None:
        """
        If the target has the final snapshot already, that is all there is to say.
        """
        dataset_id = source.owned(noise(MIB, 0))
        final_guid = source.release(dataset_id)
        Sending(source, dataset_id, target, final_guid=final_guid).outcome()
        again = Sending(source, dataset_id, target, final_guid=final_guid)

        assert (again.outcome().acknowledged_guid, again.sent_bytes()) == (final_guid, 0)

    def test_a_released_dataset_gets_no_snapshots(self, source: TransferNode, target: TransferNode) -> None:
        """
        From its release on, nothing but the final snapshot is added to a dataset.
        """
        dataset_id = source.owned(b"x")
        sending = Sending(source, dataset_id, target)
        eventually(lambda: ready(sending), "ready for the cut-over")
        final_guid = source.release(dataset_id)
        before = source.guids(dataset_id)
        told = len(sending.progress)
        eventually(lambda: len(sending.progress) > told, "another look at the dataset")
        after = source.guids(dataset_id)
        sending.session.finish(final_guid)
        sending.outcome()

        # What rounds before it made may be destroyed still.
        assert {*after} <= {*before}


class TestCuts:
    """
    Connections that break, and what comes after.
    """

    @pytest.mark.parametrize("kept_part", [0.0, 0.01, 0.2, 0.5, 0.77, 0.93, 0.999])
    def test_a_cut_stream_goes_on(self, source: TransferNode, target: TransferNode, kept_part: float) -> None:
        """
        Wherever the connection breaks, the next session sends the rest, and the data is whole.
        """
        dataset_id = source.owned(noise(8 * MIB, 0))
        final_guid = source.release(dataset_id)
        relay = relayed(target, int(kept_part * 8 * MIB) + 2000, Failing.CLOSED)
        first = Sending(source, dataset_id, target, port=relay.port, final_guid=final_guid).outcome()
        eventually(lambda: not target.service.active(), "the receiver noticed the cut")
        relay.close()
        second = Sending(source, dataset_id, target, final_guid=final_guid)

        assert (first.acknowledged_guid, second.outcome().acknowledged_guid, target.take_over(dataset_id)) == (
            None,
            final_guid,
            {"0": noise(8 * MIB, 0)},
        )

    def test_what_arrived_is_not_sent_again(self, source: TransferNode, target: TransferNode) -> None:
        """
        The second session goes on about where the first was cut.
        """
        dataset_id = source.owned(noise(8 * MIB, 0))
        final_guid = source.release(dataset_id)
        relay = relayed(target, 6 * MIB, Failing.CLOSED)
        Sending(source, dataset_id, target, port=relay.port, final_guid=final_guid).outcome()
        eventually(lambda: not target.service.active(), "the receiver noticed the cut")
        relay.close()
        second = Sending(source, dataset_id, target, final_guid=final_guid)
        second.outcome()

        assert second.sent_bytes() < 4 * MIB

    def test_a_cut_delta_goes_on(self, source: TransferNode, target: TransferNode) -> None:
        """
        An incremental stream is resumed as well as a whole one.
        """
        dataset_id = source.owned(noise(MIB, 0))
        sending = Sending(source, dataset_id, target)
        eventually(lambda: target.received, "a first snapshot arrived")
        sending.session.cancel()
        sending.outcome()
        source.pool.write(dataset_id, "1", noise(8 * MIB, 1))
        final_guid = source.release(dataset_id)
        relay = relayed(target, 6 * MIB, Failing.CLOSED)
        Sending(source, dataset_id, target, port=relay.port, final_guid=final_guid).outcome()
        eventually(lambda: not target.service.active(), "the receiver noticed the cut")
        relay.close()
        second = Sending(source, dataset_id, target, final_guid=final_guid)
        second.outcome()

        assert (second.sent_bytes() < 4 * MIB, target.take_over(dataset_id)) == (
            True,
            {"0": noise(MIB, 0), "1": noise(8 * MIB, 1)},
        )

    def test_a_round_cut_while_copying_is_resumed_first(self, source: TransferNode, target: TransferNode) -> None:
        """
        The stream that was cut is of an older snapshot than the newest: it is finished, and deltas follow.
        """
        dataset_id = source.owned(noise(8 * MIB, 0))
        relay = relayed(target, 6 * MIB, Failing.CLOSED)
        Sending(source, dataset_id, target, port=relay.port).outcome()
        eventually(lambda: not target.service.active(), "the receiver noticed the cut")
        relay.close()
        source.pool.write(dataset_id, "1", b"more")
        second = Sending(source, dataset_id, target)
        finished(source, dataset_id, second)

        assert (second.sent_bytes() < 4 * MIB, target.take_over(dataset_id)) == (
            True,
            {"0": noise(8 * MIB, 0), "1": b"more"},
        )

    def test_a_round_cut_while_nobody_writes(self, source: TransferNode, target: TransferNode) -> None:
        """
        If the rest of the stream brings all there is, and nothing more is written, the cut-over can begin.
        """
        dataset_id = source.owned(noise(8 * MIB, 0))
        relay = relayed(target, 6 * MIB, Failing.CLOSED)
        Sending(source, dataset_id, target, port=relay.port).outcome()
        eventually(lambda: not target.service.active(), "the receiver noticed the cut")
        relay.close()
        second = Sending(source, dataset_id, target)
        eventually(lambda: ready(second), "ready for the cut-over")
        finished(source, dataset_id, second)

        assert (second.sent_bytes() < 4 * MIB, target.take_over(dataset_id)) == (True, {"0": noise(8 * MIB, 0)})

    def test_a_partial_of_a_lost_snapshot_is_thrown_away(self, source: TransferNode, target: TransferNode) -> None:
        """
        Where the snapshot that was being sent is gone, the target starts afresh.
        """
        dataset_id = source.owned(noise(8 * MIB, 0))
        relay = relayed(target, 6 * MIB, Failing.CLOSED)
        Sending(source, dataset_id, target, port=relay.port).outcome()
        eventually(lambda: not target.service.active(), "the receiver noticed the cut")
        relay.close()
        storage = source.pool.storage
        storage.release(dataset_id, source.guids(dataset_id), "move")
        storage.destroy_snapshots(dataset_id, source.guids(dataset_id))
        finished(source, dataset_id, Sending(source, dataset_id, target))

        assert target.take_over(dataset_id) == {"0": noise(8 * MIB, 0)}

    def test_a_cut_is_told_as_one(self, source: TransferNode, target: TransferNode) -> None:
        """
        Both sides say that the connection broke, which may be tried again.
        """
        dataset_id = source.owned(noise(8 * MIB, 0))
        relay = relayed(target, 4 * MIB, Failing.CLOSED)
        sending = Sending(source, dataset_id, target, port=relay.port)
        error = sending.outcome().error
        eventually(lambda: target.ended, "the receiver told of the end")
        relay.close()

        assert isinstance(error, FlockerError) and (
            type(error).__name__,
            error.lasting,
            type(target.ended[0].error).__name__,
        ) == ("PeerLost", False, "PeerLost")

    def test_a_silent_link_is_given_up(self, cluster: ClusterCertificates, new_pool: Callable[[], Pool]) -> None:
        """
        Where nothing comes through any more, but nothing breaks either, both sides notice by themselves.
        """
        limits = IMPATIENT.set(handshake_seconds=QUICK.handshake_seconds)
        source = TransferNode(new_pool(), cluster.nodes[0], limits=limits)
        target = TransferNode(new_pool(), cluster.nodes[1], limits=limits)
        dataset_id = source.owned(noise(8 * MIB, 0))
        relay = relayed(target, 4 * MIB, Failing.SILENT)
        sending = Sending(source, dataset_id, target, port=relay.port)
        error = sending.error()
        eventually(lambda: target.ended, "the receiver told of the end")
        relay.close()
        source.service.stop()
        target.service.stop()

        assert (error, type(target.ended[0].error).__name__) == ("PeerSilent", "PeerSilent")

    def test_a_new_connection_takes_the_dead_ones_place(
        self, cluster: ClusterCertificates, source: TransferNode, new_pool: Callable[[], Pool]
    ) -> None:
        """
        A sender that comes again need not wait until the receiver has noticed that its last connection is dead.
        """
        patient = TransferNode(new_pool(), cluster.nodes[2], limits=TransferLimits(silence_seconds=3600.0))
        dataset_id = source.owned(noise(8 * MIB, 0))
        relay = relayed(patient, 4 * MIB, Failing.SILENT)
        final_guid = source.release(dataset_id)
        first = Sending(source, dataset_id, patient, port=relay.port, final_guid=final_guid, limits=IMPATIENT)
        assert first.error() == "PeerSilent"
        second = Sending(source, dataset_id, patient, final_guid=final_guid, limits=patient.limits)
        outcome = second.outcome()
        relay.close()
        patient.service.stop()

        assert (outcome.acknowledged_guid, second.sent_bytes() < 7 * MIB) == (final_guid, True)

    def test_damaged_bytes_are_noticed(self, source: TransferNode, target: TransferNode) -> None:
        """
        A bit that flips on the way ends the connection; nothing of the damage is taken over.
        """
        dataset_id = source.owned(noise(8 * MIB, 0))
        relay = relayed(target, 4 * MIB, Failing.TURNED)
        final_guid = source.release(dataset_id)
        first = Sending(source, dataset_id, target, port=relay.port, final_guid=final_guid).error()
        eventually(lambda: not target.service.active(), "the receiver noticed")
        relay.close()
        Sending(source, dataset_id, target, final_guid=final_guid).outcome()

        assert (first, target.take_over(dataset_id)) == ("PeerLost", {"0": noise(8 * MIB, 0)})

    def test_a_target_that_stops_is_noticed(self, source: TransferNode, target: TransferNode) -> None:
        """
        When the receiving agent ends, the session does too, and may be tried again.
        """
        dataset_id = source.owned(noise(64 * MIB, 0))
        sending = Sending(source, dataset_id, target)
        eventually(lambda: dataset_id in target.service.active(), "the transfer has begun")
        target.service.stop()

        assert sending.error() in {"PeerLost", "TransferRefused"}


class TestRefusals(InMemory):
    """
    What a target does not take.
    """

    def test_what_is_not_admitted_is_refused(self, source: TransferNode, target: TransferNode) -> None:
        """
        The sender hears why, and may try again.
        """
        target.refusal = Refused(code="EpochWrong", text="epoch 3 is over")
        dataset_id = source.owned(b"x")
        error = Sending(source, dataset_id, target).outcome().error

        assert isinstance(error, FlockerError) and (error.lasting, str(error)) == (
            False,
            "On the target: EpochWrong: epoch 3 is over",
        )

    def test_a_lasting_refusal_lasts(self, source: TransferNode, target: TransferNode) -> None:
        """
        Where trying again can't help, the sender hears that too.
        """
        target.refusal = Refused(code="EpochWrong", text="never", lasting=True)
        error = Sending(source, source.owned(b"x"), target).outcome().error

        assert isinstance(error, FlockerError) and error.lasting

    def test_refused_transfers_leave_nothing(self, source: TransferNode, target: TransferNode) -> None:
        """
        Of a transfer that was not admitted nothing is left on the target, and nobody is told that it ended.
        """
        target.refusal = Refused(code="EpochWrong", text="epoch 3 is over")
        Sending(source, source.owned(b"x"), target).outcome()

        assert (target.holds_nothing(), target.ended) == (True, [])

    def test_an_owner_takes_nothing(self, source: TransferNode, target: TransferNode) -> None:
        """
        A node that owns the dataset takes no snapshots of it, whoever admitted them.
        """
        dataset_id = source.owned(b"x")
        target.pool.storage.create(dataset_id, role=Role.OWNER, epoch=9)
        error = Sending(source, dataset_id, target).outcome().error

        assert "DatasetBusy" in str(error)

    def test_a_diverged_target_is_not_overwritten(self, source: TransferNode, target: TransferNode) -> None:
        """
        A target that has what the source doesn't is left as it is, for good.
        """
        dataset_id = source.owned(b"x")
        finished(source, dataset_id, Sending(source, dataset_id, target))
        eventually(lambda: not target.service.active(), "the first move is over")
        target.take_over(dataset_id)
        target.pool.write(dataset_id, "1", b"only here")
        target.release(dataset_id)
        before = target.guids(dataset_id)
        source.pool.storage.set_role(dataset_id, role=Role.OWNER, epoch=5)
        source.pool.storage.mount(dataset_id)
        source.pool.write(dataset_id, "1", b"something else")
        error = Sending(source, dataset_id, target).outcome().error

        assert isinstance(error, FlockerError) and ("it was kept" in str(error), error.lasting) == (True, True)
        assert target.guids(dataset_id) == before

    def test_a_useless_replica_makes_way(self, source: TransferNode, target: TransferNode) -> None:
        """
        What is left on the target of a move that was given up, and has nothing in common with the source any more, is
        thrown away, and everything is sent.
        """
        dataset_id = source.owned(b"x")
        given_up = Sending(source, dataset_id, target)
        eventually(lambda: bool(target.guids(dataset_id)), "something has arrived")
        given_up.session.cancel()
        given_up.outcome()
        eventually(lambda: not target.service.active(), "the first move is over")
        left = target.guids(dataset_id)
        storage = source.pool.storage
        mine = [snapshot.guid for snapshot in storage.dataset(dataset_id).snapshots]
        storage.release(dataset_id, mine, "move")
        storage.destroy_snapshots(dataset_id, mine)
        finished(source, dataset_id, Sending(source, dataset_id, target))

        assert not {*left} & {*target.guids(dataset_id)}
        assert target.discarded == [dataset_id]

    def test_a_target_without_room_says_so(self, cluster: ClusterCertificates, source: TransferNode) -> None:
        """
        Before anything is sent, the target says how much is needed and how much there is.
        """
        small = TransferNode(MemoryPoolInUse(32 * MIB), cluster.nodes[2])
        sending = Sending(source, source.owned(noise(40 * MIB, 0)), small)
        error = sending.outcome().error
        small.service.stop()

        assert (type(error).__name__, "must stay free" in str(error), sending.sent_bytes()) == (
            "PoolFull",
            True,
            0,
        )

    def test_attempts_leave_one_snapshot(self, cluster: ClusterCertificates, source: TransferNode) -> None:
        """
        However often a move has been tried in vain, there is one snapshot of it, the newest, and no older one keeps
        what the application has overwritten since.
        """
        small = TransferNode(MemoryPoolInUse(32 * MIB), cluster.nodes[2])
        dataset_id, move_id = source.owned(noise(40 * MIB, 0)), MoveId(uuid4())
        for attempt in range(3):
            source.pool.write(dataset_id, "1", noise(100, attempt))
            Sending(source, dataset_id, small, move_id=move_id).outcome()
        small.service.stop()
        left = source.pool.storage.dataset(dataset_id).snapshots

        assert [(one.name, list(one.holds)) for one in left] == [(f"move-{move_id}-3", ["move"])]

    def test_too_many_transfers_are_turned_away(self, cluster: ClusterCertificates, source: TransferNode) -> None:
        """
        A node takes as many transfers at the same time as it was told, and the others may try again.
        """
        busy = TransferNode(MemoryPoolInUse(), cluster.nodes[2], limits=QUICK.set(receiving=1))
        first = Sending(source, source.owned(b"x"), busy)
        eventually(lambda: ready(first), "the first transfer waits for its cut-over")
        second = Sending(source, source.owned(b"y"), busy)
        error = second.outcome().error
        first.session.cancel()
        first.outcome()
        busy.service.stop()

        assert isinstance(error, FlockerError) and ("TooManyTransfers" in str(error), error.lasting) == (True, False)

    def test_nobody_there(self, source: TransferNode, target: TransferNode) -> None:
        """
        A port where nothing listens is named.
        """
        target.service.stop()
        error = Sending(source, source.owned(b"x"), target).outcome().error

        assert (type(error).__name__, f"port {target.port}" in str(error)) == ("PeerUnreachable", True)

    def test_the_wrong_node_gets_nothing(self, source: TransferNode, target: TransferNode) -> None:
        """
        An address that turned out to be another node's: nothing is sent there.
        """
        sending = Sending(source, source.owned(b"x"), source, port=target.port)

        assert (sending.error(), target.holds_nothing()) == ("PeerWrong", True)


class TestCancelling(InMemory):
    """
    Stopping in the middle.
    """

    def test_the_sender_can_stop(self, source: TransferNode, target: TransferNode) -> None:
        """
        A cancelled session ends soon and without an error, and says so.
        """
        sending = Sending(source, source.owned(b"x"), target)
        eventually(lambda: ready(sending), "ready for the cut-over")
        sending.session.cancel()

        assert (sending.outcome().error, sending.outcome().cancelled) == (None, True)

    def test_what_arrived_before_is_kept(self, source: TransferNode, target: TransferNode) -> None:
        """
        Cancelled in the middle of a stream, the transfer can go on from there another day.
        """
        dataset_id = source.owned(noise(8 * MIB, 0))
        relay = relayed(target, 4 * MIB, Failing.SILENT)
        sending = Sending(source, dataset_id, target, port=relay.port)
        eventually(lambda: relay.carried and relay.carried[0].failed, "the stream is on its way")
        sending.session.cancel()
        sending.outcome()
        relay.close()
        eventually(lambda: not target.service.active(), "the receiver noticed")

        assert target.pool.storage.dataset(dataset_id).resume_token is not None

    def test_cancelled_before_it_began(self, source: TransferNode, target: TransferNode) -> None:
        """
        Cancelling does no harm at any time.
        """
        relay = relayed(target, 1, Failing.SILENT)
        sending = Sending(source, source.owned(b"x"), target, port=relay.port)
        sending.session.cancel()
        outcome = sending.outcome()
        relay.close()

        assert (outcome.cancelled, outcome.error) == (True, None)

    def test_the_target_can_stop(self, source: TransferNode, target: TransferNode) -> None:
        """
        The receiving agent can end a transfer, and does not touch the dataset after it has said so.
        """
        dataset_id = source.owned(b"x")
        sending = Sending(source, dataset_id, target)
        eventually(lambda: ready(sending), "ready for the cut-over")
        found = target.service.cancel(dataset_id)
        eventually(lambda: target.ended, "the receiver told of the end")

        assert (found, target.service.cancel(DatasetId(uuid4())), sending.error()) == (True, False, "TransferRefused")


class TestSlowPools:
    """
    Pools that stand still for longer than a silent link would be borne.
    """

    @pytest.fixture
    def slow(self) -> GatedMemoryStorage:
        """
        A pool that takes nothing, neither streams nor snapshots, until it is told to.
        """
        return GatedMemoryStorage(MemoryPool(1 << 40))

    def test_a_target_that_stands_still_is_waited_for(
        self, cluster: ClusterCertificates, slow: GatedMemoryStorage
    ) -> None:
        """
        Meanwhile all that fits into the receiver's buffer is sent.
        """
        source = TransferNode(MemoryPoolInUse(), cluster.nodes[0], limits=BORNE)
        target = TransferNode(MemoryPoolInUse(storage=slow), cluster.nodes[1], limits=BORNE)
        dataset_id = source.owned(noise(32 * MIB, 0))
        final_guid = source.release(dataset_id)
        begin_seconds = time.monotonic()
        sending = Sending(source, dataset_id, target, final_guid=final_guid)
        eventually(lambda: sending.sent_bytes() > 32 * MIB, "all was sent")
        eventually(lambda: time.monotonic() - begin_seconds > 2.5 * BORNE.silence_seconds, "a long time has passed")
        before = sending.ended
        slow.receiving.set()
        outcome = sending.outcome()
        source.service.stop()
        target.service.stop()

        assert (before, outcome.acknowledged_guid) == (None, final_guid)

    def test_a_buffer_has_an_end(self, cluster: ClusterCertificates, slow: GatedMemoryStorage) -> None:
        """
        A target that stands still for long makes the sender wait, and is not filled with what it can't take.
        """
        source = TransferNode(MemoryPoolInUse(), cluster.nodes[0], limits=BORNE)
        small = BORNE.set(receive_buffer_bytes=2 * MIB)
        target = TransferNode(MemoryPoolInUse(storage=slow), cluster.nodes[1], limits=small)
        dataset_id = source.owned(noise(64 * MIB, 0))
        final_guid = source.release(dataset_id)
        begin_seconds = time.monotonic()
        sending = Sending(source, dataset_id, target, final_guid=final_guid)
        eventually(lambda: time.monotonic() - begin_seconds > 2.5 * BORNE.silence_seconds, "a long time has passed")
        held_back = sending.sent_bytes() < 32 * MIB
        slow.receiving.set()
        outcome = sending.outcome()
        source.service.stop()
        target.service.stop()

        assert (held_back, outcome.acknowledged_guid) == (True, final_guid)

    def test_a_source_that_stands_still_is_waited_for(
        self, cluster: ClusterCertificates, slow: GatedMemoryStorage
    ) -> None:
        """
        While a snapshot takes its time, the sender says that it is there.
        """
        source = TransferNode(MemoryPoolInUse(storage=slow), cluster.nodes[0], limits=BORNE)
        target = TransferNode(MemoryPoolInUse(), cluster.nodes[1], limits=BORNE)
        dataset_id = source.owned(b"x")
        begin_seconds = time.monotonic()
        sending = Sending(source, dataset_id, target)
        eventually(lambda: time.monotonic() - begin_seconds > 2.5 * BORNE.silence_seconds, "a long time has passed")
        before = (sending.ended, list(target.ended))
        slow.snapshotting.set()
        finished(source, dataset_id, sending)
        source.service.stop()
        target.service.stop()

        assert before == (None, [])

    def test_many_cuts_in_a_row(self, cluster: ClusterCertificates) -> None:
        """
        However often the link breaks, the transfer gets to its end, and sends little twice.
        """
        source = TransferNode(MemoryPoolInUse(), cluster.nodes[0])
        target = TransferNode(MemoryPoolInUse(), cluster.nodes[1])
        dataset_id = source.owned(noise(16 * MIB, 0))
        final_guid = source.release(dataset_id)
        sent_bytes = 0
        for _ in range(20):
            relay = relayed(target, 3 * MIB, Failing.CLOSED)
            sending = Sending(source, dataset_id, target, port=relay.port, final_guid=final_guid)
            outcome = sending.outcome()
            relay.close()
            eventually(lambda: not target.service.active(), "the receiver noticed the cut")
            sent_bytes += sending.sent_bytes()
            if outcome.error is None:
                break
        content = target.take_over(dataset_id)
        source.service.stop()
        target.service.stop()

        assert content == {"0": noise(16 * MIB, 0)}
