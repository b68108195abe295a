"""
What the agent sees of its host, piece by piece.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from pyrsistent import pmap, pvector

from flocker_agent.plan import Sending
from flocker_agent.view import View
from flocker_py.assignment import SendTo
from flocker_py.definitions import started_digest
from flocker_py.model import Container, ContainerName, DatasetId, Guid, Mount, MoveId, NodeId, OverrunPolicy
from flocker_py.observed import (
    HOST,
    ContainerObservation,
    ContainerPhase,
    NodeObservation,
    ReportedError,
    SendProgress,
    SendVerdict,
)
from flocker_py.storage import Role, StoredDataset, StoredSnapshot

DATASET, OTHER = DatasetId(UUID(int=100)), DatasetId(UUID(int=101))
MOVE, NEXT_MOVE = MoveId(UUID(int=200)), MoveId(UUID(int=201))
DB = ContainerName("db")


@pytest.fixture
def view() -> View:
    return View(
        NodeObservation(
            node_id=NodeId(UUID(int=1)),
            era=UUID(int=9),
            address="192.0.2.1",
            transfer_port=4525,
            version="1",
            storage="memory",
            runtime="memory",
        )
    )


def stored(dataset_id: DatasetId = DATASET, **fields: Any) -> StoredDataset:
    return StoredDataset(**{"dataset_id": dataset_id, "epoch": 1, "role": Role.OWNER, **fields})


def sending(move_id: MoveId = MOVE) -> Sending:
    to = SendTo(
        move_id=move_id,
        target=NodeId(UUID(int=2)),
        address="192.0.2.2",
        port=4525,
        max_downtime_seconds=2.0,
        on_overrun=OverrunPolicy.GIVE_UP,
    )
    return Sending(send_to=to, epoch=1)


def progress(**fields: Any) -> SendProgress:
    return SendProgress(
        **{
            "move_id": MOVE,
            "round": 1,
            "round_bytes": 1,
            "total_bytes": 2,
            "sent_bytes": 1,
            "rate_bytes_per_second": 1.0,
            **fields,
        }
    )


def seen(phase: ContainerPhase = ContainerPhase.RUNNING, *mounts: DatasetId) -> ContainerObservation:
    return ContainerObservation(name=DB, phase=phase, mounts=pvector(mounts))


def container(*mounts: DatasetId) -> Container:
    return Container(
        name=DB, node_id=NodeId(UUID(int=1)), mounts=pvector(Mount(dataset_id=dataset) for dataset in mounts)
    )


class TestDatasets:
    """
    What the pool holds.
    """

    def test_look_at_everything(self, view: View) -> None:
        """
        Everything that was found is reported, with the room that is left, and the node's storage is known.
        """
        snapshot = StoredSnapshot(guid=Guid(7), name="final-1", ours=True)
        found = stored(role=Role.RELEASED, mounted_at="/x", used_bytes=5, snapshots=pvector([snapshot]))
        news = view.all_stored(0, pmap({DATASET: found}), 77)
        told = view.node.datasets[DATASET]

        assert (news, view.node.storage_known, view.node.free_bytes) == ({DATASET}, True, 77)
        assert (told.newest_guid, told.final_guid, told.mounted, told.path, told.used_bytes) == (7, 7, True, "/x", 5)

    def test_what_is_gone(self, view: View) -> None:
        """
        What a later look doesn't find is reported no more.
        """
        view.all_stored(0, pmap({DATASET: stored()}), 0)

        assert view.all_stored(1, pmap(), 0) == {DATASET}
        assert (view.node.datasets, view.stored(DATASET)) == (pmap(), None)

    def test_same_again_is_no_news(self, view: View) -> None:
        """
        A look that finds what was known is no news.
        """
        view.one_stored(0, DATASET, stored())

        assert not view.one_stored(1, DATASET, stored())

    def test_looks_that_overtake_one_another(self, view: View) -> None:
        """
        What was seen earlier doesn't overrule what was seen later, whichever answer comes first.
        """
        view.one_stored(5, DATASET, stored(epoch=2))

        assert not view.one_stored(4, DATASET, None)
        assert view.node.datasets[DATASET].epoch == 2

    def test_one_that_is_being_changed(self, view: View) -> None:
        """
        A dataset that is being changed stays as it was seen before, be it there or not.
        """
        view.one_stored(0, DATASET, stored())

        assert view.with_present(DATASET, pmap()) == pmap({DATASET: stored()})
        assert view.with_present(OTHER, pmap({OTHER: stored(OTHER)})) == pmap()

    def test_pool_that_cannot_be_looked_at(self, view: View) -> None:
        """
        What was seen is kept, but it is not said to be all.
        """
        view.all_stored(0, pmap({DATASET: stored()}), 0)
        view.pool_unknown()

        assert (view.node.storage_known, view.node.runtime_known, set(view.node.datasets)) == (False, False, {DATASET})


class TestUsers:
    """
    Which containers keep a dataset from being unmounted.
    """

    @pytest.mark.parametrize("phase", ContainerPhase)
    def test_all_that_have_not_ended(self, view: View, phase: ContainerPhase) -> None:
        """
        Any that has not ended.
        """
        view.all_containers(0, pmap({DB: seen(phase, DATASET)}), {DB: container()})

        assert list(view.local(DATASET).users) == ([] if phase is ContainerPhase.EXITED else [DB])

    def test_one_that_is_being_started(self, view: View) -> None:
        """
        One that is being started, before it is seen.
        """
        view.starting[DB] = container(DATASET)

        assert (list(view.local(DATASET).users), list(view.local(OTHER).users)) == ([DB], [])

    def test_what_it_was_started_as(self, view: View) -> None:
        """
        Of each container it is told as what it was started.
        """
        view.all_containers(0, pmap({DB: seen()}), {DB: container(DATASET)})

        assert view.node.containers[DB] == seen().set(started_digest=started_digest(container(DATASET)))

    def test_looks_that_overtake_one_another(self, view: View) -> None:
        """
        An earlier look at the containers doesn't overrule a later one.
        """
        news = view.all_containers(1, pmap({DB: seen()}), {DB: container()})

        assert view.all_containers(0, pmap(), {}) == set()
        assert (news, set(view.node.containers), view.node.runtime_known) == ({DB}, {DB}, True)


class TestLease:
    """
    When a dataset is reported to be served only for as long as the node's lease lasts.
    """

    @pytest.fixture
    def view(self, view: View) -> View:
        view.all_stored(0, pmap({DATASET: stored()}), 0)
        view.is_leased(DATASET, True)
        return view

    def test_before_containers_were_looked_at(self, view: View) -> None:
        """
        Not while nobody knows what runs with it.
        """
        assert not view.node.datasets[DATASET].leased

    @pytest.mark.parametrize(
        ("container_seen", "leased"),
        [
            (seen(ContainerPhase.RUNNING, DATASET), False),
            (seen(ContainerPhase.RUNNING, DATASET).set(leased=True), True),
            (seen(ContainerPhase.EXITED, DATASET), True),
            (seen(ContainerPhase.RUNNING, OTHER), True),
        ],
    )
    def test_all_that_runs_with_it(self, view: View, container_seen: ContainerObservation, leased: bool) -> None:
        """
        Only when all that runs with it is bound to the lease, too.
        """
        view.all_containers(0, pmap({DB: container_seen}), {DB: container()})

        assert view.node.datasets[DATASET].leased == leased

    def test_one_that_is_being_started(self, view: View) -> None:
        """
        Not while something is being started of which nobody knows yet.
        """
        view.starting[DB] = container(DATASET)
        view.all_containers(0, pmap(), {})

        assert not view.node.datasets[DATASET].leased

    def test_asked_to_keep(self, view: View) -> None:
        """
        No longer when it is asked to be kept.
        """
        view.all_containers(0, pmap(), {})
        view.is_leased(DATASET, False)

        assert not view.node.datasets[DATASET].leased


class TestSending:
    """
    Sessions that send.
    """

    def test_progress_is_reported(self, view: View) -> None:
        """
        Progress is part of the dataset's report, and what the target acknowledged is news once.
        """
        view.one_stored(0, DATASET, stored())
        view.sending_started(DATASET, sending())

        assert not view.sending_progress(DATASET, progress())
        assert view.sending_progress(DATASET, progress(acknowledged_guid=Guid(7)))
        assert not view.sending_progress(DATASET, progress(acknowledged_guid=Guid(7), sent_bytes=9))
        assert view.node.datasets[DATASET].sending == progress(acknowledged_guid=Guid(7), sent_bytes=9)

    def test_acknowledged_at_once(self, view: View) -> None:
        """
        An acknowledgement in the first progress is news, too, and the plan knows it.
        """
        view.sending_started(DATASET, sending())
        news = view.sending_progress(DATASET, progress(acknowledged_guid=Guid(7)))
        local = view.local(DATASET)

        assert (news, local.sending is not None and local.sending.acknowledged_guid) == (True, 7)

    @pytest.mark.parametrize(("move_id", "kept"), [(MOVE, True), (NEXT_MOVE, False)])
    def test_next_session(self, view: View, move_id: MoveId, kept: bool) -> None:
        """
        The figures go on in the next session of the same move, and not in another move.
        """
        view.one_stored(0, DATASET, stored())
        view.sending_started(DATASET, sending())
        view.sending_progress(DATASET, progress())
        view.sending_started(DATASET, sending(move_id))

        assert (view.node.datasets[DATASET].sending is not None) is kept

    def test_sent_over_several_sessions(self, view: View) -> None:
        """
        What was sent before a cut counts, too.
        """
        view.one_stored(0, DATASET, stored())
        for sent_bytes in (10, 5, 7):
            view.sending_started(DATASET, sending())
            view.sending_progress(DATASET, progress(sent_bytes=1))
            view.sending_progress(DATASET, progress(sent_bytes=sent_bytes))

        assert view.node.datasets[DATASET].sending == progress(sent_bytes=22)

    def test_sent_in_another_move(self, view: View) -> None:
        """
        Another move counts from nothing.
        """
        view.one_stored(0, DATASET, stored())
        view.sending_started(DATASET, sending())
        view.sending_progress(DATASET, progress(sent_bytes=10))
        view.sending_started(DATASET, sending(NEXT_MOVE))
        view.sending_progress(DATASET, progress(move_id=NEXT_MOVE, sent_bytes=3))

        assert view.node.datasets[DATASET].sending == progress(move_id=NEXT_MOVE, sent_bytes=3)

    @pytest.mark.parametrize(
        ("failed", "verdict"), [(True, SendVerdict.CATCHING_UP), (False, SendVerdict.READY)], ids=["failed", "finished"]
    )
    def test_verdict_of_a_session_that_ended(self, view: View, failed: bool, verdict: SendVerdict) -> None:
        """
        Over a link that broke, nothing is ready to be cut over any more.
        """
        view.one_stored(0, DATASET, stored())
        view.sending_started(DATASET, sending())
        view.sending_progress(DATASET, progress(verdict=SendVerdict.READY, predicted_downtime_seconds=0.5))
        view.sending_ended(DATASET, failed=failed)
        told, local = view.node.datasets[DATASET].sending, view.local(DATASET).sending

        assert told is not None and told.verdict is verdict
        assert local is not None and (local.ended, local.failed) == (True, failed)

    def test_failed_before_it_said_anything(self, view: View) -> None:
        """
        A session that couldn't even begin has no figures.
        """
        view.one_stored(0, DATASET, stored())
        view.sending_started(DATASET, sending())
        view.sending_ended(DATASET, failed=True)

        assert view.node.datasets[DATASET].sending is None

    def test_forgotten(self, view: View) -> None:
        """
        What is forgotten is reported no more; news of a session that is forgotten changes nothing.
        """
        view.one_stored(0, DATASET, stored())
        view.sending_started(DATASET, sending())
        view.sending_progress(DATASET, progress())
        view.sending_forgotten(DATASET)
        view.sending_changed(DATASET, ended=True)

        assert (view.node.datasets[DATASET].sending, view.local(DATASET).sending) == (None, None)


class TestTroubles:
    """
    What goes wrong, and what is waited for.
    """

    def test_error_that_repeats_keeps_its_time(self, view: View) -> None:
        """
        The same error again is no news; another takes its place; success ends it.
        """
        error = ReportedError(code="PoolFull", text="no room", at_seconds=1.0)
        view.failed(DATASET, error)
        view.failed(DATASET, error.set(at_seconds=2.0))
        first = view.node.failures[str(DATASET)]
        view.failed(DATASET, error.set(text="none", at_seconds=3.0))
        second = view.node.failures[str(DATASET)]
        view.succeeded(DATASET)
        view.succeeded(HOST)

        assert (first.at_seconds, second.at_seconds, view.node.failures) == (1.0, 3.0, pmap())

    def test_waiting(self, view: View) -> None:
        """
        What is waited for is told until nothing is; the same again is no news.
        """
        view.waits(DATASET, "the dentist")
        first = view.node
        view.waits(DATASET, "the dentist")
        same = view.node is first
        view.waits(DATASET, "")

        assert (first.waiting, same, view.node.waiting) == (pmap({str(DATASET): "the dentist"}), True, pmap())
