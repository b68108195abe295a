"""
Leases that users hold on datasets: how they are counted, and what they are in the way of.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from pyrsistent import pmap, pvector

from flocker_control import explain
from flocker_control.commands import (
    ApplyAll,
    CancelMove,
    ChangeMetadata,
    Command,
    CreateDataset,
    DeleteDataset,
    Failover,
    PutContainer,
    ResizeDataset,
    StartMove,
    UnderLease,
)
from flocker_control.dataset_leases import (
    AcquireLease,
    LeaseRule,
    Moment,
    ReleaseLease,
    is_held,
    kept_up,
    left_seconds,
    look_again_seconds,
    served,
    under_leases,
)
from flocker_control.decisions import decide, refusals
from flocker_control.refusals import Refusal, RefusalCode
from flocker_control.situation import Situation
from flocker_control.state import Changes, State, Stored, changed
from flocker_py.model import (
    Container,
    ContainerName,
    Dataset,
    DatasetId,
    DatasetLease,
    KeptDataset,
    Mount,
    Move,
    MoveId,
    MovePhase,
    Node,
    NodeId,
    Ownership,
)
from flocker_py.observed import DatasetObservation, NodeObservation
from flocker_py.storage import Role

A, B, C = (NodeId(UUID(int=number)) for number in (1, 2, 3))
D, OTHER = (DatasetId(UUID(int=number)) for number in (11, 12))
MOVE = MoveId(UUID(int=21))
BOOT, NEXT_BOOT = UUID(int=31), UUID(int=32)
MIB = 1024**2
NOW = Moment(at_seconds=1000.0, boot_id=BOOT)


def later(seconds: float) -> Moment:
    return NOW.set(at_seconds=NOW.at_seconds + seconds)


def lease(seconds: float | None = 10.0, **fields: Any) -> DatasetLease:
    return DatasetLease(
        **{
            "dataset_id": D,
            "node_id": A,
            "left_seconds": seconds,
            "counted_at_seconds": NOW.at_seconds,
            "boot_id": BOOT,
            **fields,
        }
    )


class TestCounting:
    """
    How much of a lease is left.
    """

    @pytest.mark.parametrize(
        ("held", "now", "expected"),
        [
            pytest.param(lease(), NOW, 10.0, id="just written down"),
            pytest.param(lease(), later(4), 6.0, id="in part"),
            pytest.param(lease(), later(12), -2.0, id="over"),
            pytest.param(lease(None), later(1e9), None, id="for ever"),
            pytest.param(lease(), NOW.set(boot_id=NEXT_BOOT, at_seconds=5000.0), 10.0, id="after a boot"),
            pytest.param(lease(), later(-500), 10.0, id="a clock that went back"),
            pytest.param(lease(-1), NOW, -1.0, id="never held"),
        ],
    )
    def test_left(self, held: DatasetLease, now: Moment, expected: float | None) -> None:
        """
        What has passed is counted within one run of the host, and by its clock alone.
        """
        assert expected == left_seconds(held, now)

    @pytest.mark.parametrize(
        ("held", "now", "expected"),
        [
            (None, NOW, False),
            (lease(), later(9.9), True),
            (lease(), later(10), False),
            (lease(None), later(1e9), True),
            (lease(0), NOW, False),
        ],
    )
    def test_is_held(self, held: DatasetLease | None, now: Moment, expected: bool) -> None:
        """
        A lease is held until nothing is left of it.
        """
        assert expected == is_held(held, now)

    @pytest.mark.parametrize(
        ("held", "now", "expected"),
        [
            pytest.param(lease(), later(4), 6.0, id="when it ends"),
            pytest.param(lease(), later(40), 0.0, id="at once if it has"),
            pytest.param(lease(100), later(10), 40.0, id="when half of a long one has passed"),
            pytest.param(lease(100), later(70), 0.0, id="at once if it has passed"),
            pytest.param(lease(), NOW.set(boot_id=NEXT_BOOT), 0.0, id="at once after a boot"),
            pytest.param(lease(None), NOW, None, id="never"),
        ],
    )
    def test_look_again(self, held: DatasetLease, now: Moment, expected: float | None) -> None:
        """
        It is looked at again when there is something to do about it.
        """
        assert expected == look_again_seconds(held, now)

    @pytest.mark.parametrize(
        ("held", "now", "expected"),
        [
            (lease(), later(4), Changes()),
            (lease(None), later(4), Changes()),
            (lease(), later(10), Changes().delete(f"lease/{D}")),
            (lease(100), later(50), Changes().put(lease(50.0, counted_at_seconds=1050.0))),
            (
                lease(),
                Moment(at_seconds=3.0, boot_id=NEXT_BOOT),
                Changes().put(lease(counted_at_seconds=3.0, boot_id=NEXT_BOOT)),
            ),
            (lease(-1), Moment(at_seconds=3.0, boot_id=NEXT_BOOT), Changes().delete(f"lease/{D}")),
        ],
        ids=["nothing", "for ever", "ended", "half", "boot", "boot of one that had ended"],
    )
    def test_kept_up(self, held: DatasetLease, now: Moment, expected: Changes) -> None:
        """
        What has ended is deleted; what is left of the others is written down when half has passed, or after a boot.
        """
        assert expected == kept_up(pmap({D: held}), now)


def state(*records: Stored, **fields: Any) -> State:
    """
    Nodes called alpha and beta, a dataset of A called data, and these records.
    """
    known = (
        Node(node_id=A, name="alpha"),
        Node(node_id=B, name="beta"),
        Dataset(**{"dataset_id": D, "primary": A, "name": "data", "maximum_size_bytes": 128 * MIB, **fields}),
        Ownership(dataset_id=D, owner=A, created=True),
    )
    return changed(State(), Changes().put(*known, *records), revision=5)


def decided(present: State, command: Command) -> State | Refusal:
    decision = decide(present, command, pmap())
    return decision if isinstance(decision, Refusal) else changed(present, decision, revision=6)


def acquire(node_id: NodeId = A, seconds: float | None = 10.0, now: Moment = NOW) -> AcquireLease:
    return AcquireLease(dataset_id=D, node_id=node_id, seconds=seconds, now=now)


class TestAcquire:
    """
    Who gets a lease.
    """

    def test_new(self) -> None:
        """
        Whoever comes first; neither dataset nor node has to be there.
        """
        after = changed(State(), decide(State(), acquire(), pmap()), revision=1)  # type: ignore[arg-type]

        assert pmap({D: lease()}) == after.dataset_leases

    @pytest.mark.parametrize("present", [state(lease()), changed(State(), Changes().put(lease()), revision=1)])
    def test_held_by_another(self, present: State) -> None:
        """
        Nobody else until it has ended; the refusal names the holder.
        """
        refusal = decided(present, acquire(B, now=later(5)))

        assert isinstance(refusal, Refusal)
        assert (RefusalCode.LEASE_HELD, A) == (refusal.code, refusal.holder)

    def test_renewed(self) -> None:
        """
        Its holder at any time, from then on; what waits for its end goes on waiting.
        """
        kept = KeptDataset(primary=A)
        after = decided(state(lease(kept=kept)), acquire(seconds=None, now=later(5)))

        assert isinstance(after, State)
        assert lease(None, counted_at_seconds=1005.0, kept=kept) == after.dataset_leases[D]

    def test_ended(self) -> None:
        """
        Anybody once it has ended, although nobody has noticed yet.
        """
        after = decided(state(lease()), acquire(B, now=later(11)))

        assert isinstance(after, State)
        assert lease(node_id=B, counted_at_seconds=1011.0) == after.dataset_leases[D]


class TestRelease:
    """
    Giving up a lease.
    """

    def test_held(self) -> None:
        """
        Then it is there no more.
        """
        after = decided(state(lease()), ReleaseLease(dataset_id=D, now=NOW))

        assert isinstance(after, State)
        assert not after.dataset_leases

    @pytest.mark.parametrize("present", [state(), state(lease(0)), State()])
    def test_not_held(self, present: State) -> None:
        """
        What isn't held can't be released.
        """
        refusal = decided(present, ReleaseLease(dataset_id=D, now=NOW))

        assert isinstance(refusal, Refusal)
        assert RefusalCode.LEASE_UNKNOWN is refusal.code


MOVED = StartMove(dataset_id=D, target=B)
RESIZED = ResizeDataset(dataset_id=D, maximum_size_bytes=256 * MIB)
DELETED = DeleteDataset(dataset_id=D)
AGAINST = {"move": MOVED, "resize": RESIZED, "delete": DELETED}


@pytest.fixture(params=AGAINST)
def against(request: pytest.FixtureRequest) -> Any:
    return AGAINST[request.param]


class TestInTheWay:
    """
    What a lease is in the way of, and what not.
    """

    def test_refused(self, against: Command) -> None:
        """
        A leased dataset is neither moved nor resized nor deleted; the refusal names the holder.
        """
        refusal = decided(state(lease()), against)

        assert isinstance(refusal, Refusal)
        assert (RefusalCode.DATASET_LEASED, A, f"dataset/{D}") == (refusal.code, refusal.holder, refusal.about)
        assert "data is leased to node alpha" in refusal.text

    def test_refused_in_a_deployment(self, against: Command) -> None:
        """
        Nor by a deployment, which is told all that is in its way.
        """
        found = refusals(state(lease()), ApplyAll(commands=pvector([against])), pmap())

        assert [RefusalCode.DATASET_LEASED] == [refusal.code for refusal in found]

    def test_refused_for_a_companion(self) -> None:
        """
        Nor by moving the container that uses it.
        """
        container = Container(
            name=ContainerName("db"), node_id=A, command=pvector(["x"]), mounts=pvector([Mount(dataset_id=D)])
        )
        refusal = decided(state(lease(), container), PutContainer(container=container.set(node_id=B)))

        assert isinstance(refusal, Refusal)
        assert RefusalCode.DATASET_LEASED is refusal.code

    def test_names(self) -> None:
        """
        What has no name is called by its id.
        """
        present = state(lease(node_id=C), name=None)
        refusal = decided(present, MOVED)

        assert isinstance(refusal, Refusal)
        assert f"{D} is leased to node {C}" in refusal.text

    @pytest.mark.parametrize(
        "command",
        [
            ChangeMetadata(dataset_id=D, metadata={"a": "b"}),
            ResizeDataset(dataset_id=D, maximum_size_bytes=128 * MIB),
            CreateDataset(dataset_id=OTHER, primary=A),
        ],
        ids=["metadata", "the same size", "another dataset"],
    )
    def test_not_in_the_way(self, command: Command) -> None:
        """
        What leaves the dataset where it is, and as large as it is, may be done.
        """
        assert isinstance(decided(state(lease()), command), State)

    def test_creation(self) -> None:
        """
        A lease may be there before the dataset.
        """
        present = state(lease(dataset_id=OTHER))

        assert isinstance(decided(present, CreateDataset(dataset_id=OTHER, primary=A)), State)

    def test_staying(self) -> None:
        """
        A move that began before the lease may be cancelled.
        """
        move = Move(move_id=MOVE, source=A, target=B, phase=MovePhase.COPYING, started_at_seconds=1.0)
        moving = Ownership(dataset_id=D, owner=A, created=True, move=move)
        after = decided(state(moving, lease(), primary=B), CancelMove(move_id=MOVE))

        assert isinstance(after, State)
        assert (A, None) == (after.datasets[D].primary, after.dataset_leases[D].kept)

    def test_failover(self) -> None:
        """
        What an operator gives to another node, since its own is gone, is given although it is leased.
        """
        copy = DatasetObservation(dataset_id=D, role=Role.REPLICA, epoch=1, newest_guid=7)
        node = NodeObservation(
            node_id=B,
            era=UUID(int=1),
            address="192.0.2.2",
            transfer_port=4525,
            version="1",
            storage="memory",
            runtime="memory",
            storage_known=True,
            datasets=pmap({D: copy}),
        )
        command = Failover(dataset_id=D, target=B, guids=pmap({D: 7}), owner_is_dead=True, move_id=MOVE, at_seconds=1.0)
        decision = decide(state(lease()), command, pmap({B: node}))

        assert isinstance(decision, Changes)
        after = changed(state(lease()), decision, revision=6)
        assert (B, lease()) == (after.ownerships[D].owner, after.dataset_leases[D])


def under(rule: LeaseRule, command: Command) -> UnderLease:
    return UnderLease(rule=rule, command=command)


class TestWaiting:
    """
    What is asked for with ``when_released``.
    """

    def test_is_wanted_and_waits(self, against: Command) -> None:
        """
        It is wanted from now on; until the lease ends the dataset is served as it was.
        """
        present = state(lease())
        after = decided(present, under(LeaseRule.WAIT, against))
        assert isinstance(after, State)
        wanted = after.datasets[D]

        assert (True, present.datasets[D]) == (
            wanted != present.datasets[D],
            served(wanted, after.dataset_leases[D]),
        )

    def test_is_done_at_the_end(self, against: Command) -> None:
        """
        Then it is served as it is wanted.
        """
        waiting = decided(state(lease()), under(LeaseRule.WAIT, against))
        assert isinstance(waiting, State)
        after = decided(waiting, ReleaseLease(dataset_id=D, now=NOW))
        assert isinstance(after, State)

        assert after.datasets[D] == served(after.datasets[D], after.dataset_leases.get(D))

    def test_taken_back(self) -> None:
        """
        Wanting it as it is takes the wish back.
        """
        waiting = decided(state(lease()), under(LeaseRule.WAIT, MOVED))
        assert isinstance(waiting, State)
        after = decided(waiting, StartMove(dataset_id=D, target=A))

        assert isinstance(after, State)
        assert lease() == after.dataset_leases[D]

    def test_two_wishes(self) -> None:
        """
        A second wish waits with the first.
        """
        waiting = decided(state(lease()), under(LeaseRule.WAIT, MOVED))
        assert isinstance(waiting, State)
        after = decided(waiting, under(LeaseRule.WAIT, RESIZED))

        assert isinstance(after, State)
        assert KeptDataset(primary=A, maximum_size_bytes=128 * MIB) == after.dataset_leases[D].kept

    def test_without_a_lease(self, against: Command) -> None:
        """
        Without a lease it is as if nothing had been said.
        """
        assert decided(state(), against) == decided(state(), under(LeaseRule.WAIT, against))


class TestForce:
    """
    What is asked for with ``force``.
    """

    @pytest.mark.parametrize("command", [MOVED, RESIZED], ids=["move", "resize"])
    def test_is_done(self, command: Command) -> None:
        """
        It is done, and the lease stays.
        """
        after = decided(state(lease()), under(LeaseRule.FORCE, command))

        assert isinstance(after, State)
        assert (lease(), after.datasets[D]) == (
            after.dataset_leases[D],
            served(after.datasets[D], after.dataset_leases[D]),
        )

    def test_deletion_ends_the_lease(self) -> None:
        """
        What is deleted needs no lease any more.
        """
        after = decided(state(lease()), under(LeaseRule.FORCE, DELETED))

        assert isinstance(after, State)
        assert (True, False) == (after.datasets[D].deleted, D in after.dataset_leases)

    def test_one_wish_of_two(self) -> None:
        """
        What is forced is done while another wish goes on waiting.
        """
        waiting = decided(state(lease()), under(LeaseRule.WAIT, MOVED))
        assert isinstance(waiting, State)
        after = decided(waiting, under(LeaseRule.FORCE, RESIZED))

        assert isinstance(after, State)
        assert KeptDataset(primary=A, maximum_size_bytes=256 * MIB) == after.dataset_leases[D].kept

    def test_rules_for_everything_else(self) -> None:
        """
        Changes of other records are left as they are.
        """
        changes = Changes().put(Node(node_id=C))

        assert (changes, ()) == under_leases(state(lease()), changes, LeaseRule.REFUSE)


class TestSentences:
    """
    What users are told.
    """

    def situation(self, command: Command | None, seconds: float | None = 10.0) -> Situation:
        """
        Of the leased dataset, after a wish that waits.
        """
        after = state(lease(seconds))
        if command is not None:
            decision = decided(after, under(LeaseRule.WAIT, command))
            assert isinstance(decision, State)
            after = decision
        seen = DatasetObservation(dataset_id=D, role=Role.OWNER, epoch=1, mounted=True, maximum_size_bytes=128 * MIB)
        node = NodeObservation(
            node_id=A,
            era=UUID(int=1),
            address="192.0.2.1",
            transfer_port=4525,
            version="1",
            storage="memory",
            runtime="memory",
            storage_known=True,
            datasets=pmap({D: seen}),
        )
        held, wanted = after.dataset_leases[D], after.datasets[D]
        return Situation(
            dataset=served(wanted, held),
            wanted=None if held.kept is None else wanted,
            lease=held,
            lease_left_seconds=left_seconds(held, later(4)),
            ownership=after.ownerships[D],
            known_nodes=after.nodes,
            nodes=pmap({A: node}),
            now_seconds=1.0,
            next_move_id=MOVE,
        )

    @pytest.mark.parametrize(
        ("command", "what"), [(MOVED, "moved to node beta"), (RESIZED, "resized"), (DELETED, "deleted")]
    )
    def test_waits(self, command: Command, what: str) -> None:
        """
        It is said what waits for which lease.
        """
        s = self.situation(command)
        left = "it is leased to node alpha for another 6 s, unless it is released"

        assert (explain.Status.WAITING, f"the end of its lease, to be {what}: {left}") == (
            explain.status(s),
            explain.waiting_for(s),
        )

    def test_is_wanted(self) -> None:
        """
        What is wanted is told as it is wanted.
        """
        assert "It is wanted on node beta." == explain.lines(self.situation(MOVED))[0]

    def test_nothing_waits(self) -> None:
        """
        A lease that is in nobody's way is told all the same.
        """
        s = self.situation(None, None)

        assert explain.Status.OK is explain.status(s)
        assert "It is leased to node alpha until it is released." in explain.lines(s)
