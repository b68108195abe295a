"""
Going on from another copy: failover, adoption, restoring. What others have is put aside, and nothing is guessed.
"""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

import pytest
from pyrsistent import pmap, pvector

from flocker_control.absence import Absence, LastHeard, absence
from flocker_control.copies import age_text, is_candidate, known_copies, loss, loss_text, since_text, snapshot_text
from flocker_control.decisions import decide
from flocker_control.explain import lines
from flocker_control.failover import Adopt, Failover, RestoreStash
from flocker_control.ownership import advanced
from flocker_control.refusals import Refusal, RefusalCode
from flocker_control.situation import Situation, diverged_nodes
from flocker_control.slices import assignments, fulfilled, stash_assignments
from flocker_control.stash_wishes import DropStash, MountStash
from flocker_control.state import Changes, State, Stored, changed, stash_key
from flocker_py.assignment import Destroy, Keep, Own, Receive, Remove, Stash, StashAssignment
from flocker_py.model import (
    Container,
    ContainerName,
    Dataset,
    DatasetId,
    FinishedMove,
    Guid,
    Mount,
    Move,
    MoveId,
    MoveOutcome,
    MovePhase,
    Node,
    NodeId,
    Ownership,
    PartitionPolicy,
    StashWish,
)
from flocker_py.observed import DatasetObservation, NodeObservation, SendProgress, StashObservation
from flocker_py.storage import Role

A, B, C = (NodeId(UUID(int=n)) for n in (1, 2, 3))
D1, D2 = (DatasetId(UUID(int=n)) for n in (100, 101))
MOVE, OLD_MOVE = (MoveId(UUID(int=n)) for n in (200, 201))
OLD, SHOWN, NEWER = Guid(5), Guid(7), Guid(9)
STASH = f"{D1}-epoch-1-at-2"
NOW_SECONDS = 10_000.0


def copy_of(dataset_id: DatasetId = D1, **fields: Any) -> DatasetObservation:
    return DatasetObservation(dataset_id=dataset_id, **{"role": Role.OWNER, "epoch": 1, "mounted": True, **fields})


def replica(dataset_id: DatasetId = D1, guid: Guid | None = SHOWN, **fields: Any) -> DatasetObservation:
    return copy_of(dataset_id, **{"role": Role.REPLICA, "epoch": 0, "mounted": False, "newest_guid": guid, **fields})


def released(dataset_id: DatasetId = D1, **fields: Any) -> DatasetObservation:
    return copy_of(dataset_id, **{"role": Role.RELEASED, "mounted": False, "newest_guid": SHOWN, **fields})


def stash(**fields: Any) -> StashObservation:
    known = {"name": STASH, "dataset_id": D1, "role": Role.RELEASED, "epoch": 1, "guids": pvector([OLD, SHOWN])}
    return StashObservation(**{**known, **fields})


def node(node_id: NodeId, *copies: DatasetObservation, **fields: Any) -> NodeObservation:
    return NodeObservation(
        node_id=node_id,
        era=UUID(int=9),
        address="192.0.2.1",
        transfer_port=4525,
        version="1",
        storage="memory",
        runtime="memory",
        container_fields=pvector(["mounts"]),
        **{"storage_known": True, "datasets": pmap({c.dataset_id: c for c in copies}), **fields},
    )


def with_stash(node_id: NodeId, *copies: DatasetObservation, **fields: Any) -> NodeObservation:
    return node(node_id, *copies, stashes=pmap({STASH: stash(**fields)}))


def ownership(dataset_id: DatasetId = D1, **fields: Any) -> Ownership:
    return Ownership(**{"dataset_id": dataset_id, "owner": A, "created": True, **fields})


def move(phase: MovePhase = MovePhase.COPYING, **fields: Any) -> Move:
    return Move(
        **{
            "move_id": OLD_MOVE,
            "source": A,
            "target": B,
            "phase": phase,
            "started_at_seconds": 1.0,
            **fields,
        }
    )


def state(*records: Stored) -> State:
    nodes = (Node(node_id=A, name="alpha"), Node(node_id=B, name="beta"), Node(node_id=C))
    return changed(State(), Changes().put(*nodes, *records), revision=5)


def dataset(dataset_id: DatasetId = D1, **fields: Any) -> Dataset:
    return Dataset(**{"dataset_id": dataset_id, "primary": A, "name": f"d{int(dataset_id) - 99}", **fields})


def container(*dataset_ids: DatasetId) -> Container:
    mounts = pvector(Mount(dataset_id=dataset_id) for dataset_id in dataset_ids)
    return Container(name=ContainerName("db"), node_id=A, mounts=mounts)


def failover(**fields: Any) -> Failover:
    known = {"target": B, "guids": pmap({D1: SHOWN}), "owner_is_dead": True, "move_id": MOVE}
    return Failover(**{"dataset_id": D1, "at_seconds": NOW_SECONDS, **known, **fields})


def adopt(**fields: Any) -> Adopt:
    return Adopt(**{"dataset_id": D1, "node_id": B, "epoch": 2, "move_id": MOVE, "at_seconds": NOW_SECONDS, **fields})


def restore(**fields: Any) -> RestoreStash:
    return RestoreStash(
        **{"node_id": A, "name": STASH, "epoch": 2, "move_id": MOVE, "at_seconds": NOW_SECONDS, **fields}
    )


def decided(present: State, command: Any, *nodes: NodeObservation) -> Changes | Refusal:
    return decide(present, command, pmap({n.node_id: n for n in nodes}))


def accepted(present: State, command: Any, *nodes: NodeObservation) -> Changes:
    result = decided(present, command, *nodes)
    assert isinstance(result, Changes), result
    return result


def owned_after(present: State, command: Any, *nodes: NodeObservation, dataset_id: DatasetId = D1) -> Ownership:
    record = accepted(present, command, *nodes).puts[f"ownership/{dataset_id}"]
    assert isinstance(record, Ownership)
    return record


def refused(present: State, command: Any, *nodes: NodeObservation) -> RefusalCode:
    result = decided(present, command, *nodes)
    assert isinstance(result, Refusal), result
    return result.code


def situation(own: Ownership, *nodes: NodeObservation, **fields: Any) -> Situation:
    return Situation(
        **{
            "dataset": dataset(primary=own.owner),
            "ownership": own,
            "known_nodes": state().nodes,
            "nodes": pmap({n.node_id: n for n in nodes}),
            "now_seconds": NOW_SECONDS,
            "next_move_id": MOVE,
            **fields,
        }
    )


OWNED = (dataset(), ownership())
GONE = Absence(
    node_id=A,
    since_seconds=9_000.0,
    complete=True,
    datasets=pmap({D1: LastHeard(role=Role.OWNER, epoch=1, newest_guid=NEWER)}),
)
BETA = node(B, replica())


class TestFailover:
    """
    An owner is gone, and a replica is promoted.
    """

    def test_gives_the_dataset_to_the_target(self) -> None:
        """
        The target becomes owner under the next epoch, and takes over with the snapshot that was confirmed.
        """
        own = owned_after(state(*OWNED, GONE), failover(), BETA, node(C))

        assert own == ownership(
            owner=B,
            epoch=2,
            deposed=pmap({A: 1}),
            bases=pmap({A: SHOWN}),
            move=move(
                MovePhase.TAKING,
                move_id=MOVE,
                started_at_seconds=NOW_SECONDS,
                released_at_seconds=9_000.0,
                final_guid=SHOWN,
                failover=True,
            ),
        )

    def test_dataset_is_wanted_there(self) -> None:
        """
        Afterwards nothing leads the dataset back.
        """
        changes = accepted(state(*OWNED), failover(), BETA)

        assert changes.puts[f"dataset/{D1}"] == dataset(primary=B)

    @pytest.mark.parametrize("phase", [MovePhase.COPYING, MovePhase.RELEASING, MovePhase.FINAL])
    def test_in_the_midst_of_a_move(self, phase: MovePhase) -> None:
        """
        The move is told to have failed, and the failover takes its place.
        """
        moving = ownership(move=move(phase))

        own = owned_after(state(dataset(primary=B), moving), failover(), BETA)

        assert own.last_move is not None
        assert (own.owner, own.last_move.outcome, own.last_move.move_id) == (B, MoveOutcome.FAILED, OLD_MOVE)

    def test_back_to_the_source_that_handed_it_over(self) -> None:
        """
        A target that dies right after the commit is replaced by the source, which still has its copy.
        """
        taking = ownership(owner=B, epoch=2, handed_over=pmap({A: SHOWN}), move=move(MovePhase.TAKING))

        own = owned_after(state(dataset(primary=B), taking), failover(target=A), node(A, released()))

        assert (own.owner, own.epoch, dict(own.handed_over), dict(own.deposed)) == (A, 3, {}, {B: 2, C: 2})

    def test_twice(self) -> None:
        """
        A second failover keeps in mind what the first one left to be put aside.
        """
        first = ownership(owner=B, epoch=2, deposed=pmap({A: 1}), move=move(MovePhase.TAKING, failover=True))

        own = owned_after(state(dataset(primary=B), first), failover(target=C), node(C, replica()))

        assert (own.owner, own.epoch, dict(own.deposed)) == (C, 3, {A: 1, B: 2})

    def test_former_owner_with_the_same_snapshot_is_not_deposed(self) -> None:
        """
        A copy that ends in what is promoted, and was handed over, is still removed as a former owner's.
        """
        own = ownership(owner=A, epoch=3, handed_over=pmap({C: SHOWN}))

        after = owned_after(state(dataset(), own), failover(), BETA, node(C, released()))

        assert (dict(after.handed_over), dict(after.deposed)) == ({C: SHOWN}, {A: 3})

    def test_former_owner_with_more_is_deposed(self) -> None:
        """
        What was handed over later than what is promoted is put aside, where it would have been removed.
        """
        own = ownership(owner=A, epoch=3, handed_over=pmap({C: NEWER}))

        after = owned_after(state(dataset(), own), failover(), BETA, node(C, released(newest_guid=NEWER)))

        assert (dict(after.handed_over), dict(after.deposed)) == ({}, {A: 3, C: 3})

    def test_group_goes_together(self) -> None:
        """
        All datasets of a container fail over in one command, and the container with them.
        """
        present = state(dataset(), ownership(), dataset(D2), ownership(D2), container(D1, D2))
        command = failover(guids=pmap({D1: SHOWN, D2: OLD}))

        changes = accepted(present, command, node(B, replica(), replica(D2, OLD)))

        owners = [changes.puts[f"ownership/{d}"] for d in (D1, D2)]
        moved = changes.puts["container/db"]
        assert isinstance(moved, Container)
        assert [(o.owner, o.move.final_guid) for o in owners if isinstance(o, Ownership) and o.move] == [
            (B, SHOWN),
            (B, OLD),
        ]
        assert moved.node_id == B

    def test_moves_of_a_group_can_be_told_apart(self) -> None:
        """
        Each dataset of a group gets a move of its own.
        """
        present = state(dataset(), ownership(), dataset(D2), ownership(D2), container(D1, D2))
        command = failover(guids=pmap({D1: SHOWN, D2: OLD}))

        changes = accepted(present, command, node(B, replica(), replica(D2, OLD)))

        owners = [changes.puts[f"ownership/{d}"] for d in (D1, D2)]
        assert len({o.move.move_id for o in owners if isinstance(o, Ownership) and o.move is not None}) == 2

    def test_part_of_a_group_that_is_there_already(self) -> None:
        """
        A dataset of the group that the target owns stays as it is, but for the wish.
        """
        present = state(dataset(), ownership(), dataset(D2), ownership(D2, owner=B), container(D1, D2))

        changes = accepted(present, failover(), node(B, replica(), copy_of(D2)))

        assert f"ownership/{D2}" not in changes.puts
        assert changes.puts[f"dataset/{D2}"] == dataset(D2, primary=B)

    def test_owner_whose_pool_lost_it(self) -> None:
        """
        An owner that is connected and known not to have the dataset any more needs no word, and has nothing to lose.
        """
        own = owned_after(state(*OWNED), failover(owner_is_dead=False), BETA, node(A), node(C))

        assert (own.owner, dict(own.deposed)) == (B, {})

    REFUSED: ClassVar[dict[str, tuple[RefusalCode, State, Failover, tuple[NodeObservation, ...]]]] = {
        "no such dataset": (RefusalCode.DATASET_UNKNOWN, state(), failover(), (BETA,)),
        "deleted": (RefusalCode.DATASET_DELETED, state(dataset(deleted=True), ownership()), failover(), (BETA,)),
        "no such node": (RefusalCode.NODE_UNKNOWN, state(*OWNED), failover(target=UUID(int=9)), (BETA,)),
        "there already": (RefusalCode.ALREADY_THERE, state(*OWNED), failover(target=A), ()),
        "never made": (RefusalCode.NEVER_MADE, state(dataset(), ownership(created=False)), failover(), (node(B),)),
        "the owner is connected": (RefusalCode.OWNER_CONNECTED, state(*OWNED), failover(), (BETA, node(A, copy_of()))),
        "the owner can't look at its pool": (
            RefusalCode.OWNER_CONNECTED,
            state(*OWNED),
            failover(),
            (BETA, node(A, storage_known=False)),
        ),
        "the target is away": (RefusalCode.NODE_AWAY, state(*OWNED), failover(), ()),
        "the target can't look": (RefusalCode.NODE_AWAY, state(*OWNED), failover(), (node(B, storage_known=False),)),
        "the target has no copy": (RefusalCode.COPY_UNFIT, state(*OWNED), failover(), (node(B),)),
        "the target's copy is half there": (
            RefusalCode.COPY_UNFIT,
            state(*OWNED),
            failover(),
            (node(B, replica(guid=None)),),
        ),
        "the target still owns it": (
            RefusalCode.COPY_UNFIT,
            state(dataset(), ownership(epoch=2)),
            failover(),
            (node(B, copy_of(newest_guid=SHOWN)),),
        ),
        "another snapshot": (RefusalCode.NOT_CONFIRMED, state(*OWNED), failover(), (node(B, replica(guid=NEWER)),)),
        "nothing confirmed": (RefusalCode.NOT_CONFIRMED, state(*OWNED), failover(guids=pmap()), (BETA,)),
        "without the word": (
            RefusalCode.OWNER_NOT_KNOWN_DEAD,
            state(*OWNED),
            failover(owner_is_dead=False),
            (BETA,),
        ),
        "another of the container is not confirmed": (
            RefusalCode.NOT_CONFIRMED,
            state(dataset(), ownership(), dataset(D2), ownership(D2), container(D1, D2)),
            failover(),
            (node(B, replica(), replica(D2)),),
        ),
        "the store is older": (
            RefusalCode.STORE_OLDER,
            state(*OWNED),
            failover(),
            (BETA, node(C, copy_of(epoch=4))),
        ),
        "the store never heard of it": (
            RefusalCode.STORE_OLDER,
            state(dataset(), ownership(created=False)),
            failover(),
            (BETA,),
        ),
    }

    @pytest.mark.parametrize("case", REFUSED)
    def test_refused(self, case: str) -> None:
        """
        A failover that could lose more than was said, or make two owners, is refused.
        """
        code, present, command, nodes = self.REFUSED[case]

        assert refused(present, command, *nodes) is code


class TestDiverged:
    """
    Who may have what a promoted snapshot lacks.
    """

    CASES: ClassVar[dict[str, tuple[bool, dict[str, Any], tuple[NodeObservation, ...]]]] = {
        "a replica of the same": (False, {}, (node(C, replica()),)),
        "a replica of something else": (True, {}, (node(C, replica(guid=NEWER)),)),
        "known to have none": (False, {}, (node(C),)),
        "can't look at its pool": (True, {}, (node(C, storage_known=False),)),
        "laid down, but not handed over": (True, {}, (node(C, released()),)),
        "away, and nothing was ever heard": (True, {}, ()),
        "away, and had none": (False, {"absences": pmap({C: absence(node(C), 1.0)})}, ()),
        "away, and had one": (True, {"absences": pmap({C: absence(node(C, replica()), 1.0)})}, ()),
        "away, and had not looked": (True, {"absences": pmap({C: absence(node(C, storage_known=False), 1.0)})}, ()),
    }

    @pytest.mark.parametrize("case", CASES)
    def test_node(self, case: str) -> None:
        """
        A node is deposed unless it is known to have nothing but what is promoted.
        """
        expected, fields, nodes = self.CASES[case]

        assert (C in diverged_nodes(situation(ownership(), BETA, *nodes, **fields), SHOWN)) is expected

    def test_target_of_a_move_that_is_away(self) -> None:
        """
        What came in after it was last heard of, a node can't have told.
        """
        s = situation(ownership(move=move(target=C)), BETA, absences=pmap({C: absence(node(C), 1.0)}))

        assert C in diverged_nodes(s, SHOWN)


FAILED_OVER = ownership(
    owner=B,
    epoch=2,
    deposed=pmap({A: 1}),
    bases=pmap({A: SHOWN}),
    move=move(MovePhase.TAKING, final_guid=SHOWN, failover=True),
)
SERVED = FAILED_OVER.set(move=None)
SERVING = node(B, copy_of(epoch=2))


class TestAfterwards:
    """
    What nodes are told after a failover.
    """

    def test_target_is_told_to_take_over(self) -> None:
        """
        The new owner gets what the target of a move gets after the commit; and keeps the snapshot that leads back.
        """
        asked = assignments(situation(FAILED_OVER, BETA))[B]

        assert asked == Own(dataset_id=D1, epoch=2, take_guid=SHOWN, keep_snapshots=True, keep_guids=pvector([SHOWN]))

    def test_old_owner_that_is_back_stops_first(self) -> None:
        """
        While the old owner is seen to have the dataset, the new one is not told to begin.
        """
        asked = assignments(situation(FAILED_OVER, BETA, node(A, copy_of())))

        assert asked == {A: Keep(dataset_id=D1, epoch=2)}

    def test_new_owner_that_has_begun_goes_on(self) -> None:
        """
        Once the new owner has taken over it is never told less, whoever comes back.
        """
        asked = assignments(situation(FAILED_OVER, SERVING, node(A, copy_of())))

        assert isinstance(asked[B], Own)

    def test_old_owner_keeps_its_copy_until_the_new_one_serves(self) -> None:
        """
        Until then it may be what is needed after all.
        """
        assert assignments(situation(FAILED_OVER, BETA, node(A, released())))[A] == Keep(dataset_id=D1, epoch=2)

    def test_old_owner_puts_its_copy_aside(self) -> None:
        """
        Once the new owner serves, the old one puts its copy aside.
        """
        asked = assignments(situation(SERVED, SERVING, node(A, released())))[A]

        assert asked == Stash(dataset_id=D1, epoch=2, common_guid=SHOWN, keep_seconds=30 * 86_400.0)

    def test_what_never_knew_is_removed_as_ever(self) -> None:
        """
        A replica of a node that is not deposed is removed, as after any move.
        """
        assert assignments(situation(SERVED, SERVING, node(C, replica())))[C] == Remove(dataset_id=D1, epoch=2)

    def test_move_back_waits_for_the_stash(self) -> None:
        """
        A deposed node that is to receive again puts aside first what it has.
        """
        back = SERVED.set(move=move(source=B, target=A))

        assert isinstance(assignments(situation(back, SERVING, node(A, released())))[A], Stash)

    def test_move_back_begins_where_the_histories_part(self) -> None:
        """
        Afterwards it is told with which snapshot of its stash it can begin.
        """
        back = SERVED.set(move=move(source=B, target=A), deposed=pmap())

        asked = assignments(situation(back, SERVING, with_stash(A)))[A]

        assert isinstance(asked, Receive)
        assert asked.base_guid == SHOWN

    def test_new_owner_of_a_later_move_has_no_such_snapshot(self) -> None:
        """
        What a planned move sends is not the whole history, so the way back is forgotten.
        """
        final = SERVED.set(move=move(MovePhase.FINAL, source=B, target=C, final_guid=NEWER), deposed=pmap())
        s = situation(final, node(C, replica(guid=NEWER)), dataset=dataset(primary=C))

        assert dict(advanced(s).bases) == {}

    def test_caught_up(self) -> None:
        """
        A target that took in more before it was told to begin takes over with that.
        """
        after = advanced(situation(FAILED_OVER, node(B, replica(guid=NEWER))))

        assert after.move is not None
        assert (after.move.final_guid, dict(after.bases)) == (NEWER, {A: NEWER})

    def test_unstashed(self) -> None:
        """
        A target that put its copy aside before it was told to take over does so with what it has put aside.
        """
        after = advanced(situation(FAILED_OVER, with_stash(B, epoch=1)))

        assert (after.from_stash, after.epoch, after.move) == (STASH, 2, FAILED_OVER.move)

    NOT_ASIDE: ClassVar[dict[str, Situation]] = {
        "no failover": situation(FAILED_OVER.set(move=move(MovePhase.TAKING, final_guid=SHOWN)), with_stash(B)),
        "it is known where": situation(FAILED_OVER.set(from_stash="other"), with_stash(B)),
        "the target is away": situation(FAILED_OVER),
        "the copy is there": situation(FAILED_OVER, with_stash(B, replica())),
        "nothing there": situation(FAILED_OVER, BETA.set(datasets=pmap())),
        "of another dataset": situation(FAILED_OVER, with_stash(B, dataset_id=D2)),
        "of another history": situation(FAILED_OVER, with_stash(B, guids=pvector([OLD]))),
        "of a later epoch": situation(FAILED_OVER, with_stash(B, epoch=2)),
    }

    @pytest.mark.parametrize("case", NOT_ASIDE)
    def test_not_unstashed(self, case: str) -> None:
        """
        Nothing else is taken for what was promoted.
        """
        assert advanced(self.NOT_ASIDE[case]).from_stash == self.NOT_ASIDE[case].ownership.from_stash

    def test_put_aside(self) -> None:
        """
        A node that has nothing under the dataset's name is not deposed any more; the base stays for the way back.
        """
        after = advanced(situation(SERVED, SERVING, with_stash(A)))

        assert (dict(after.deposed), dict(after.bases)) == ({}, {A: SHOWN})

    def test_unbased(self) -> None:
        """
        With the last stash that has it, the base goes, too.
        """
        after = advanced(situation(SERVED.set(deposed=pmap()), SERVING, node(A)))

        assert dict(after.bases) == {}

    def test_taken(self) -> None:
        """
        A failover that has reached its end is told as one.
        """
        after = advanced(situation(FAILED_OVER.set(from_stash=STASH), SERVING))

        assert isinstance(after.last_move, FinishedMove)
        assert (after.move, after.from_stash, after.last_move.failover) == (None, None, True)

    def test_deletion_reaches_deposed_copies(self) -> None:
        """
        What the operator deletes is destroyed on deposed nodes, too, and waits for them.
        """
        s = situation(SERVED, SERVING, dataset=dataset(deleted=True))

        assert assignments(s) == {A: Destroy(dataset_id=D1, epoch=2), B: Destroy(dataset_id=D1, epoch=2)}


class TestAdopt:
    """
    The control service's store is older than the cluster.
    """

    def test_what_the_cluster_has_is_taken(self) -> None:
        """
        The node becomes owner under a higher epoch than anybody has seen; others put aside what they have.
        """
        own = owned_after(state(*OWNED), adopt(), node(A, released()), node(B, copy_of(epoch=2)), node(C))

        assert (own.owner, own.epoch, own.created, dict(own.deposed)) == (B, 3, True, {A: 1})

    def test_owner_goes_on_without_a_snapshot(self) -> None:
        """
        What is owned there is gone on with as it is.
        """
        own = owned_after(state(*OWNED), adopt(), node(A), node(B, copy_of(epoch=2, newest_guid=OLD)), node(C))

        assert own.move is not None
        assert own.move.final_guid is None

    def test_replica(self) -> None:
        """
        What was a replica is taken over with its newest snapshot.
        """
        present = state(dataset(), ownership(created=False))

        own = owned_after(present, adopt(epoch=0), node(A), BETA, node(C))

        assert own.move is not None
        assert (own.created, own.move.final_guid) == (True, SHOWN)

    def test_dataset_without_any_record(self) -> None:
        """
        What the store never heard of gets a record.
        """
        changes = accepted(state(), adopt(), node(A), node(B, copy_of(epoch=2, maximum_size_bytes=4096)), node(C))

        assert changes.puts[f"dataset/{D1}"] == Dataset(dataset_id=D1, primary=B, maximum_size_bytes=4096)

    def test_container_follows(self) -> None:
        """
        The container that uses it is wanted there, too.
        """
        present = state(*OWNED, container(D1))

        changes = accepted(present, adopt(), node(A), node(B, copy_of(epoch=2)), node(C))

        assert changes.puts["container/db"] == container(D1).set(node_id=B)

    REFUSED: ClassVar[dict[str, tuple[RefusalCode, State, Adopt, tuple[NodeObservation, ...]]]] = {
        "the node is away": (RefusalCode.COPY_UNFIT, state(*OWNED), adopt(), ()),
        "the node has none": (RefusalCode.COPY_UNFIT, state(*OWNED), adopt(), (node(B),)),
        "deleted": (
            RefusalCode.DATASET_DELETED,
            state(dataset(deleted=True), ownership()),
            adopt(),
            (node(B, copy_of(epoch=2)),),
        ),
        "the record is not older": (
            RefusalCode.OWNER_CONNECTED,
            state(dataset(), ownership(epoch=2)),
            adopt(),
            (node(B, copy_of(epoch=2)),),
        ),
        "another epoch": (RefusalCode.NOT_CONFIRMED, state(*OWNED), adopt(), (node(B, copy_of(epoch=3)),)),
        "came in only in part": (
            RefusalCode.COPY_UNFIT,
            state(dataset(), ownership(created=False)),
            adopt(epoch=0),
            (node(B, replica(guid=None)),),
        ),
        "another has a later epoch": (
            RefusalCode.COPY_UNFIT,
            state(*OWNED),
            adopt(),
            (node(B, copy_of(epoch=2)), node(C, released(epoch=3))),
        ),
        "another owns it under the same epoch": (
            RefusalCode.COPY_UNFIT,
            state(*OWNED),
            adopt(),
            (node(B, released(epoch=2)), node(C, copy_of(epoch=2))),
        ),
        "somebody can't be asked": (
            RefusalCode.OWNER_NOT_KNOWN_DEAD,
            state(*OWNED),
            adopt(),
            (node(B, copy_of(epoch=2)), node(C, storage_known=False)),
        ),
    }

    @pytest.mark.parametrize("case", REFUSED)
    def test_refused(self, case: str) -> None:
        """
        Nothing is guessed, and an earlier epoch never wins.
        """
        code, present, command, nodes = self.REFUSED[case]

        assert refused(present, command, *nodes) is code

    def test_word_for_those_that_are_away(self) -> None:
        """
        The operator's word stands in for nodes that can't be asked.
        """
        own = owned_after(state(*OWNED), adopt(others_are_dead=True), node(B, copy_of(epoch=2)))

        assert (own.owner, dict(own.deposed)) == (B, {A: 1, C: 1})


class TestRestore:
    """
    What was put aside becomes the dataset again.
    """

    def test_given_back(self) -> None:
        """
        The node becomes owner, begins with the stash, and the present owner is deposed in turn.
        """
        own = owned_after(state(dataset(primary=B), SERVED.set(deposed=pmap())), restore(), with_stash(A), SERVING)

        assert (own.owner, own.epoch, own.from_stash, B in own.deposed) == (A, 3, STASH, True)

    def test_without_any_snapshot(self) -> None:
        """
        A stash without snapshots is restored as it is.
        """
        present = state(dataset(primary=B), SERVED.set(deposed=pmap()))

        own = owned_after(present, restore(), with_stash(A, guids=pvector([])), SERVING)

        assert own.move is not None
        assert own.move.final_guid is None

    def test_present_owner_stops_first(self) -> None:
        """
        While the present owner has not laid the dataset down, the other is told nothing.
        """
        own = owned_after(state(dataset(primary=B), SERVED.set(deposed=pmap())), restore(), with_stash(A), SERVING)

        asked = assignments(situation(own, with_stash(A), SERVING, known_nodes=pmap()))

        assert (asked.get(A), asked[B]) == (None, Keep(dataset_id=D1, epoch=3))

    def test_node_is_told_where_the_data_is(self) -> None:
        """
        Then the node takes over, with what it has put aside.
        """
        own = owned_after(state(dataset(primary=B), SERVED.set(deposed=pmap())), restore(), with_stash(A), SERVING)

        asked = assignments(situation(own, with_stash(A), node(B, released(epoch=2))))[A]

        assert isinstance(asked, Own)
        assert (asked.from_stash, asked.take_guid) == (STASH, SHOWN)

    def test_later_epoch_than_that_of_the_stash(self) -> None:
        """
        Under its own epoch it was laid down, so it is taken up under a later one.
        """
        present = state(dataset(primary=B), SERVED.set(deposed=pmap()))

        assert owned_after(present, restore(), with_stash(A, epoch=8), SERVING).epoch == 9

    SETTLED = state(dataset(primary=B), SERVED.set(deposed=pmap()))
    REFUSED: ClassVar[dict[str, tuple[RefusalCode, State, RestoreStash, tuple[NodeObservation, ...]]]] = {
        "no such stash": (RefusalCode.STASH_UNKNOWN, SETTLED, restore(), (node(A), SERVING)),
        "the node is away": (RefusalCode.STASH_UNKNOWN, SETTLED, restore(), (SERVING,)),
        "of a dataset that is not known": (RefusalCode.DATASET_UNKNOWN, state(), restore(), (with_stash(A),)),
        "the store is older": (
            RefusalCode.STORE_OLDER,
            SETTLED,
            restore(),
            (with_stash(A), node(B, copy_of(epoch=7))),
        ),
        "another epoch by now": (RefusalCode.NOT_CONFIRMED, SETTLED, restore(epoch=1), (with_stash(A), SERVING)),
        "the dataset is there": (
            RefusalCode.STASH_STAYS,
            state(dataset(), ownership(epoch=2)),
            restore(),
            (with_stash(A, copy_of(epoch=2)),),
        ),
        "a copy is there": (RefusalCode.STASH_STAYS, SETTLED, restore(), (with_stash(A, replica()), SERVING)),
        "it moves": (
            RefusalCode.STASH_STAYS,
            state(dataset(primary=B), FAILED_OVER),
            restore(),
            (with_stash(A), SERVING),
        ),
        "the owner is away": (RefusalCode.OWNER_NOT_KNOWN_DEAD, SETTLED, restore(), (with_stash(A),)),
        "another dataset of the container is elsewhere": (
            RefusalCode.DATASET_ELSEWHERE,
            state(
                dataset(primary=B),
                SERVED,
                dataset(D2, primary=B),
                ownership(D2, owner=B),
                container(D1, D2).set(node_id=B),
            ),
            restore(),
            (with_stash(A), SERVING),
        ),
    }

    @pytest.mark.parametrize("case", REFUSED)
    def test_refused(self, case: str) -> None:
        """
        A stash is restored only where it is in nobody's way.
        """
        code, present, command, nodes = self.REFUSED[case]

        assert refused(present, command, *nodes) is code

    def test_other_datasets_of_the_container_that_are_there(self) -> None:
        """
        A container whose other datasets are there already follows.
        """
        others = (dataset(D2, primary=B), ownership(D2), container(D1, D2).set(node_id=B))
        present = state(dataset(primary=B), SERVED.set(deposed=pmap()), *others)

        changes = accepted(present, restore(), with_stash(A, copy_of(D2)), SERVING)

        assert changes.puts["container/db"] == container(D1, D2)

    def test_word_that_the_owner_is_dead(self) -> None:
        """
        The operator's word stands in for an owner that can't be asked.
        """
        assert owned_after(self.SETTLED, restore(owner_is_dead=True), with_stash(A)).owner == A


class TestWishes:
    """
    What operators ask of stashes.
    """

    KEY = stash_key(A, STASH)

    def mount(self, *, mounted: bool = True) -> MountStash:
        return MountStash(node_id=A, name=STASH, mounted=mounted)

    def drop(self, confirmed: str = STASH) -> DropStash:
        return DropStash(node_id=A, name=STASH, confirmed=confirmed)

    def test_mount(self) -> None:
        """
        A stash is wanted readable.
        """
        changes = accepted(state(), self.mount(), with_stash(A))

        assert changes.puts[self.KEY] == StashWish(node_id=A, name=STASH, mounted=True)

    def test_drop(self) -> None:
        """
        A stash is wanted destroyed, and readable no more.
        """
        present = state(StashWish(node_id=A, name=STASH, mounted=True))

        changes = accepted(present, self.drop(), with_stash(A))

        assert changes.puts[self.KEY] == StashWish(node_id=A, name=STASH, dropped=True)

    def test_drop_needs_the_name_once_more(self) -> None:
        """
        What may be nowhere else is not destroyed by a slip.
        """
        assert refused(state(), self.drop(""), with_stash(A)) is RefusalCode.NOT_CONFIRMED

    @pytest.mark.parametrize("nodes", [(), (node(A),)], ids=["away", "no stash"])
    def test_unknown(self, nodes: tuple[NodeObservation, ...]) -> None:
        """
        Nothing is asked of a stash that nobody reports.
        """
        assert refused(state(), self.mount(), *nodes) is RefusalCode.STASH_UNKNOWN

    def test_dropped_already(self) -> None:
        """
        What is being destroyed can be asked to be destroyed again, and nothing else.
        """
        present = state(StashWish(node_id=A, name=STASH, dropped=True))

        assert accepted(present, self.drop(), with_stash(A)) == Changes()
        assert refused(present, self.mount(), with_stash(A)) is RefusalCode.STASH_UNKNOWN

    def test_being_restored(self) -> None:
        """
        What is becoming the dataset again is left alone.
        """
        present = state(dataset(), ownership(from_stash=STASH))

        assert refused(present, self.drop(), with_stash(A)) is RefusalCode.STASH_STAYS

    def test_node_is_told(self) -> None:
        """
        Wishes reach the node, with whether the stash may go once its time is over.
        """
        wishes = {self.KEY: StashWish(node_id=A, name=STASH, mounted=True)}

        asked = stash_assignments(with_stash(A), wishes, {D1: situation(SERVED, SERVING)})

        assert asked == {STASH: StashAssignment(mounted=True, may_expire=True)}

    NEEDLESS: ClassVar[dict[str, Any]] = {
        "served under a later epoch": (True, situation(SERVED, SERVING)),
        "deleted": (True, situation(SERVED, dataset=dataset(deleted=True))),
        "nobody serves it": (False, situation(SERVED)),
        "not served yet": (False, situation(FAILED_OVER, SERVING)),
        "the store is older": (False, situation(SERVED, node(B, copy_of(epoch=9)))),
        "no record of it": (False, None),
        "of the present epoch": (False, situation(ownership(owner=B), node(B, copy_of()))),
    }

    @pytest.mark.parametrize("case", NEEDLESS)
    def test_may_expire(self, case: str) -> None:
        """
        Whatever its age, a stash is kept until the dataset is known to be served without it.
        """
        expected, s = self.NEEDLESS[case]

        asked = stash_assignments(with_stash(A), {}, {} if s is None else {D1: s})

        assert (STASH in asked) is expected

    FULFILLED: ClassVar[dict[str, Any]] = {
        "gone": (True, {"dropped": True}, node(A)),
        "there": (False, {"dropped": True}, with_stash(A)),
        "readable, which lasts": (False, {"mounted": True}, with_stash(A, path="/x")),
        "unmounted": (True, {}, with_stash(A)),
        "not unmounted yet": (False, {}, with_stash(A, path="/x")),
        "not known": (False, {"dropped": True}, node(A, storage_known=False)),
        "another node's": (False, {"dropped": True}, node(B)),
    }

    @pytest.mark.parametrize("case", FULFILLED)
    def test_fulfilled(self, case: str) -> None:
        """
        A wish is forgotten once it is so, but for the mounting.
        """
        expected, fields, seen = self.FULFILLED[case]

        assert bool(fulfilled(seen, [StashWish(node_id=A, name=STASH, **fields)])) is expected


SENDING = SendProgress(
    move_id=OLD_MOVE,
    round=2,
    round_bytes=300,
    total_bytes=1000,
    sent_bytes=5000,
    rate_bytes_per_second=1.0,
    acknowledged_guid=SHOWN,
)


class TestKnown:
    """
    What is said of copies, and of what is not known.
    """

    def test_copies(self) -> None:
        """
        Copies are listed with the newest snapshots first, those that were last heard of included.
        """
        gone = absence(node(A, copy_of(newest_guid=OLD, newest_at_seconds=50.0)), 9_000.0)
        nothing = absence(node(C), 1.0)

        s = situation(ownership(), node(B, replica(newest_at_seconds=60.0)), absences=pmap({A: gone, C: nothing}))

        copies = known_copies(s)
        assert [(c.node_id, c.connected, is_candidate(s, c)) for c in copies] == [(B, True, True), (A, False, False)]

    def test_record_of_an_absence_says_nothing_of_who_is_back(self) -> None:
        """
        Of a node that is connected only its report counts.
        """
        s = situation(ownership(), node(A), absences=pmap({A: absence(node(A, copy_of()), 1.0)}))

        assert known_copies(s) == ()

    LOSSES: ClassVar[dict[str, Any]] = {
        "the last that was known": (copy_of(newest_guid=SHOWN), (0, False), "nothing is known to be missing; what was"),
        "laid down": (released(), (0, True), "nothing is missing"),
        "acknowledged": (copy_of(newest_guid=NEWER, sending=SENDING), (700, False), "at least 700 B are missing"),
        "something else acknowledged": (
            copy_of(newest_guid=NEWER, sending=SENDING.set(acknowledged_guid=OLD)),
            (None, False),
            "how much is missing is not known",
        ),
    }

    @pytest.mark.parametrize("case", LOSSES)
    def test_loss(self, case: str) -> None:
        """
        What is known to be missing is told, and that there may be more.
        """
        owners, expected, text = self.LOSSES[case]
        s = situation(ownership(), BETA, absences=pmap({A: absence(node(A, owners), 9_000.0)}))

        found = loss(s, SHOWN)

        assert (found.at_least_bytes, found.nothing) == expected
        assert text in loss_text(s, LastHeard(role=Role.REPLICA, epoch=0, newest_guid=SHOWN, newest_at_seconds=60.0))

    def test_loss_without_word_of_the_owner(self) -> None:
        """
        Without any word of the owner nothing is known.
        """
        s = situation(ownership(), BETA)

        assert loss(s, SHOWN).at_least_bytes is None
        assert "written after the snapshot is not in it" in loss_text(s, LastHeard(role=Role.REPLICA, epoch=0))

    def test_former_owner_goes_on_as_it_was_laid_down(self) -> None:
        """
        What a former owner wrote after its newest snapshot is taken up with it, and whoever chooses it is told so.
        """
        text = loss_text(situation(ownership(), BETA), LastHeard(role=Role.RELEASED, epoch=1, newest_at_seconds=60.0))

        assert "what was written elsewhere after 1970-01-01 00:01:00 UTC is not in it" in text
        assert "what was written there before it was laid down is" in text

    def test_since(self) -> None:
        """
        Since when a node is away is told, or since when at least.
        """
        s = situation(ownership(), absences=pmap({A: GONE}), started_at_seconds=60.0)

        assert since_text(s, A) == "since 1970-01-01 02:30:00 UTC"
        assert since_text(s, B) == "since before this control service was started at 1970-01-01 00:01:00 UTC"

    @pytest.mark.parametrize(
        ("fields", "text"),
        [
            ({}, "no snapshot"),
            ({"newest_guid": SHOWN}, "snapshot (of unknown name) with GUID 7, of unknown age"),
            (
                {"newest_guid": SHOWN, "newest_name": "m", "newest_at_seconds": 9_100.0},
                "snapshot m with GUID 7, taken at 1970-01-01 02:31:40 UTC, 15 min ago",
            ),
        ],
    )
    def test_snapshot(self, fields: dict[str, Any], text: str) -> None:
        """
        A copy's newest snapshot is told by name, GUID and age.
        """
        assert snapshot_text(situation(ownership()), LastHeard(role=Role.REPLICA, epoch=0, **fields)) == text

    @pytest.mark.parametrize(
        ("seconds", "text"), [(0, "0 s"), (59, "59 s"), (3600, "1 h"), (3725, "1 h 2 min"), (90_061, "1 d 1 h")]
    )
    def test_age(self, seconds: int, text: str) -> None:
        """
        A span is told in its two largest units.
        """
        assert age_text(seconds) == text

    def test_story_of_an_unavailable_dataset(self) -> None:
        """
        What was last heard of the owner, and from where one can go on.
        """
        story = " ".join(lines(situation(ownership(), BETA, absences=pmap({A: GONE}))))

        assert "Node alpha has had no connection since 1970-01-01 02:30:00 UTC; then it had it as its own" in story
        assert "go on from there by `flockerctl failover d1 --to beta`" in story

    def test_story_without_word_of_the_owner(self) -> None:
        """
        That nothing is known is said.
        """
        assert "Nothing is known of what node alpha has" in " ".join(lines(situation(ownership())))


class TestFencedOwner:
    """
    An owner is gone that serves only for as long as its lease lasts.
    """

    PRESENT: ClassVar = state(
        dataset(on_partition=PartitionPolicy.FENCE), ownership(leased_epoch=1), container(D1), GONE
    )
    TARGET: ClassVar = BETA.set(container_fields=pvector(["mounts", "on_partition.fence"]))

    def decided(self, present: State, left_seconds: float, command: Any = None) -> Changes | Refusal:
        command = failover(owner_is_dead=False) if command is None else command
        return decide(present, command, pmap({B: self.TARGET}), pmap({A: left_seconds}))

    def test_nobody_has_to_say_anything(self) -> None:
        """
        When the lease has expired by our own clock, no word of an operator is needed.
        """
        assert isinstance(self.decided(self.PRESENT, 0.0), Changes)

    def test_before_the_lease_has_expired(self) -> None:
        """
        Until then it may be served: in how many seconds it can be tried again is said.
        """
        refusal = self.decided(self.PRESENT, 12.3)

        assert isinstance(refusal, Refusal)
        assert (refusal.code, "in 13 s" in refusal.text) == (RefusalCode.NOT_YET, True)

    def test_operators_word_still_counts(self) -> None:
        """
        Who knows that the node is dead needs not wait.
        """
        assert isinstance(self.decided(self.PRESENT, 12.3, failover()), Changes)

    @pytest.mark.parametrize(
        "present",
        [
            state(dataset(), ownership(leased_epoch=1), container(D1)),
            state(dataset(on_partition=PartitionPolicy.FENCE), ownership(), container(D1)),
            state(dataset(on_partition=PartitionPolicy.FENCE), ownership(leased_epoch=1)),
        ],
        ids=["policy keep", "the owner never said so", "no container that would be ended"],
    )
    def test_owner_that_goes_on(self, present: State) -> None:
        """
        An owner that isn't known to go by its lease may serve for ever, and has to be known to be dead.
        """
        refusal = self.decided(present, -1000.0)

        assert isinstance(refusal, Refusal)
        assert refusal.code is RefusalCode.OWNER_NOT_KNOWN_DEAD

    def test_restoring_what_was_put_aside(self) -> None:
        """
        The same holds where a stash is to become the dataset again.
        """
        present = state(
            dataset(primary=B, on_partition=PartitionPolicy.FENCE),
            ownership(owner=B, epoch=2, leased_epoch=2),
            container(D1).set(node_id=B),
        )
        alpha = with_stash(A).set(container_fields=pvector(["mounts", "on_partition.fence"]))

        answers = [decide(present, restore(), pmap({A: alpha}), pmap({B: left})) for left in (1.0, 0.0)]

        assert [isinstance(answer, Changes) for answer in answers] == [False, True]
