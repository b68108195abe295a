"""
The situation of one dataset: what is wanted, who owns it, what the nodes report; and the facts that follow.

A node that has no session is *unknown*: it is neither taken to hold a dataset nor to lack it.
"""

from __future__ import annotations

from uuid import UUID

from pyrsistent import PMap, PVector

from flocker_control.absence import Absence
from flocker_py.model import (
    Container,
    Dataset,
    DatasetId,
    DatasetLease,
    Guid,
    Move,
    MoveId,
    MovePhase,
    Node,
    NodeId,
    OverrunPolicy,
    Ownership,
    PartitionPolicy,
)
from flocker_py.observed import ContainerPhase, DatasetObservation, NodeObservation, SendProgress, SendVerdict
from flocker_py.records import Record, mapping, sequence, value
from flocker_py.storage import Role

KEEP_STASH_SECONDS = 30 * 86_400.0
"""How long what was put aside is kept, unless the control service is told otherwise."""


class Situation(Record):
    """
    All that the decision about one dataset may depend on.

    :param dataset: as it is to be served now. What waits for the end of a lease is in ``wanted`` alone.
    :param lease: that a user holds on the dataset, with how much of it is left; None: nobody holds one.
    :param wanted: None: as it is served.
    :param known_nodes: every node that ever had a session.
    :param absences: what was last heard of those that have none now, as far as that is known.
    :param nodes: reports of those that have one now.
    :param containers: those that mount this dataset.
    :param companions: the other datasets that these containers mount: they are stopped together, so they are
        released together.
    :param keep_stash_seconds: how long what is put aside is kept.
    :param started_at_seconds: when the control service was started, since the epoch of Unix.
    :param now_seconds: since the epoch of Unix.
    :param next_move_id: the id that a move gets if one begins.
    :param owner_lease_left_seconds: for how long the owner's lease can't be taken as expired yet; 0 or less: the owner
        has by now ended all that depends on it. None: unknown.
    """

    dataset: Dataset = value(Dataset)
    ownership: Ownership = value(Ownership)
    known_nodes: PMap[NodeId, Node] = mapping(UUID, Node, default={})
    nodes: PMap[NodeId, NodeObservation] = mapping(UUID, NodeObservation, default={})
    containers: PVector[Container] = sequence(Container, default=())
    companions: PVector[Ownership] = sequence(Ownership, default=())
    companion_policies: PMap[DatasetId, Dataset] = mapping(UUID, Dataset, default={})
    absences: PMap[NodeId, Absence] = mapping(UUID, Absence, default={})
    keep_stash_seconds: float = value((int, float), default=KEEP_STASH_SECONDS)
    started_at_seconds: float = value((int, float), default=0.0)
    now_seconds: float = value((int, float))
    next_move_id: MoveId = value(UUID)
    lease: DatasetLease | None = value((DatasetLease, type(None)), default=None)
    lease_left_seconds: float | None = value((int, float, type(None)), default=None)
    wanted: Dataset | None = value((Dataset, type(None)), default=None)
    owner_lease_left_seconds: float | None = value((int, float, type(None)), default=None)

    def seen(self, node_id: NodeId) -> DatasetObservation | None:
        """
        The dataset as a node reports it; None: unknown, or known to be absent.
        """
        node = self.nodes.get(node_id)
        return None if node is None else node.datasets.get(self.dataset.dataset_id)

    def absent(self, node_id: NodeId) -> bool:
        """
        Whether a node is known not to have the dataset. An unknown node is not.
        """
        node = self.nodes.get(node_id)
        return node is not None and node.storage_known and self.dataset.dataset_id not in node.datasets


def node_name(s: Situation, node_id: NodeId) -> str:
    """
    What users call a node: its name, or its id while it has none.
    """
    node = s.known_nodes.get(node_id)
    return node.name if node is not None and node.name is not None else str(node_id)


def move_under_way(s: Situation) -> Move:
    """
    The present move.

    :raises ValueError: there is none.
    """
    if s.ownership.move is None:
        raise ValueError(f"dataset {s.dataset.dataset_id} is not being moved")
    return s.ownership.move


def final_guid(s: Situation) -> Guid:
    """
    The final snapshot of the present move.

    :raises ValueError: it is not known, or there is no move.
    """
    guid = move_under_way(s).final_guid
    if guid is None:
        raise ValueError(f"the final snapshot of dataset {s.dataset.dataset_id} is not known")
    return guid


def phase(s: Situation) -> MovePhase | None:
    """
    How far the present move is; None: there is none.
    """
    return None if s.ownership.move is None else s.ownership.move.phase


def record_is_older(s: Situation) -> NodeId | None:
    """
    A node that has seen a higher epoch than our own record: the record was restored from an old copy.
    """
    for node_id, node in s.nodes.items():
        seen = node.datasets.get(s.dataset.dataset_id)
        if seen is not None and seen.epoch > s.ownership.epoch:
            return node_id
    return None


def exists_already(s: Situation) -> NodeId | None:
    """
    A node that has the dataset although, by our record, it never was made: the record is not of this cluster's
    present, or the id was used before. Nothing may be made beside it.
    """
    if s.ownership.created:
        return None
    for node_id, node in s.nodes.items():
        seen = node.datasets.get(s.dataset.dataset_id)
        if seen is not None and not (node_id == s.ownership.owner and _is_being_made(s, seen)):
            return node_id
    return None


def _is_being_made(s: Situation, seen: DatasetObservation) -> bool:
    # What is copied becomes an owner's only when all of it is there.
    return seen.role is Role.OWNER or (s.dataset.origin is not None and seen.role is Role.REPLICA and seen.epoch == 0)


def diverged_nodes(s: Situation, guid: Guid | None) -> frozenset[NodeId]:
    """
    The nodes but for the owner whose copy, if they have one, may hold what a history that ends in a snapshot lacks.
    """
    dataset_id, own = s.dataset.dataset_id, s.ownership
    # What came in after the node was last heard, it can't have told.
    incoming = {move.target for move in (own.move, own.last_move) if move is not None}
    result = set()
    for node_id in {*s.known_nodes, *s.nodes, *own.handed_over, *own.deposed, *incoming} - {own.owner}:
        if node_id in s.nodes:
            seen = s.seen(node_id)
            # What was owned there has live data, known to be no more than its snapshots only if it was handed over.
            read_only = seen is not None and (seen.role is Role.REPLICA or own.handed_over.get(node_id) == guid)
            same = read_only and seen is not None and seen.newest_guid == guid is not None
            if not same and not s.absent(node_id):
                result.add(node_id)
            continue
        last = s.absences.get(node_id)
        if last is None or not last.complete or dataset_id in last.datasets or node_id in incoming:
            result.add(node_id)
    return frozenset(result)


def must_stop_first(s: Situation) -> tuple[NodeId, ...]:
    """
    Nodes that were deposed, are there, and are not known to have laid down what they owned: while there is any, and the
    new owner has not begun, it isn't told to. A node without a session is taken to be dead, by the operator's word.
    """
    own = s.ownership
    if own.move is None or not own.move.failover or owner_serves(s):
        return ()
    return tuple(n for n in sorted(own.deposed, key=str) if n in s.nodes and not _has_laid_down(s, n))


def _has_laid_down(s: Situation, node_id: NodeId) -> bool:
    seen = s.seen(node_id)
    return s.nodes[node_id].storage_known and (seen is None or seen.role is not Role.OWNER)


def has_caught_up(s: Situation) -> bool:
    """
    Whether the target of a failover has taken in more than was promoted, before it was told to take over.
    """
    # What comes in only ever builds on what is there, so the later snapshot holds all of the earlier one.
    move, seen = s.ownership.move, s.seen(s.ownership.owner)
    return (
        move is not None
        and move.failover
        and move.final_guid is not None
        and seen is not None
        and seen.role is Role.REPLICA
        and seen.newest_guid not in (None, move.final_guid)
    )


def stash_of_promoted(s: Situation) -> str | None:
    """
    Under which name the target of a failover has put aside what was promoted: it had been asked to when its copy was
    chosen, and the report that it had done so came in later. None: it has not.
    """
    own, node = s.ownership, s.nodes.get(s.ownership.owner)
    move = own.move
    if move is None or not move.failover or own.from_stash is not None or node is None or not s.absent(own.owner):
        return None
    stashes = (stash for stash in node.stashes.values() if stash.dataset_id == s.dataset.dataset_id)
    # The copy was there when it was chosen, so the latest of them is what has become of it.
    fitting = [stash for stash in stashes if stash.epoch < own.epoch and move.final_guid in stash.guids]
    return max(fitting, key=lambda stash: (stash.epoch, stash.name)).name if fitting else None


def owner_serves(s: Situation) -> bool:
    """
    Whether the owner reports the dataset as its own, under the present epoch.
    """
    seen = s.seen(s.ownership.owner)
    return seen is not None and seen.role is Role.OWNER and seen.epoch == s.ownership.epoch


def owner_goes_by_its_lease(s: Situation) -> bool:
    """
    Whether the owner reports that it serves the dataset for as long as its lease lasts, which is news.
    """
    seen = s.seen(s.ownership.owner)
    return (
        s.dataset.on_partition is PartitionPolicy.FENCE
        and s.ownership.leased_epoch != s.ownership.epoch
        and owner_serves(s)
        and seen is not None
        and seen.leased
    )


def is_fenced(s: Situation) -> bool:
    """
    Whether the owner, connected or not, no longer serves the dataset, since its lease has ended: it may be granted
    elsewhere without anybody's word that the node is dead.
    """
    left_seconds = s.owner_lease_left_seconds
    return goes_by_its_lease(s) and left_seconds is not None and left_seconds <= 0


def goes_by_its_lease(s: Situation) -> bool:
    """
    Whether the owner has said, durably, that it serves the dataset for as long as its lease lasts, and can do so
    whatever becomes of its agent.
    """
    # Programs that others than the agent start aren't ended when it is dead: only containers are known to be.
    return (
        s.dataset.on_partition is PartitionPolicy.FENCE
        and s.ownership.leased_epoch == s.ownership.epoch
        and bool(s.containers)
    )


def is_born(s: Situation) -> bool:
    """
    Whether the first owner has made the dataset.
    """
    return not s.ownership.created and owner_serves(s)


def was_never_told(s: Situation) -> bool:
    """
    Whether the dataset was given to a node that never was part of the cluster, and is wanted elsewhere.
    """
    # A node that ever had a session may have been told to create the dataset, and may be doing so now.
    return not s.ownership.created and s.dataset.primary != s.ownership.owner and s.ownership.owner not in s.known_nodes


def other_primary_is_wanted(s: Situation) -> bool:
    """
    Whether a move should begin.
    """
    return (
        s.ownership.created
        and s.ownership.move is None
        and not s.dataset.deleted
        and s.dataset.primary not in (s.ownership.owner, s.ownership.refused_primary)
    )


def target_is_unwanted(s: Situation) -> bool:
    """
    Whether the present move, not yet committed, leads where nobody wants to go any more.
    """
    move = s.ownership.move
    if move is None or move.phase is MovePhase.TAKING:
        return False
    # One that goes back leads where nobody wanted to go; it is unwanted once something else is asked for.
    wanted = (move.target, s.ownership.refused_primary) if move.returns else (move.target,)
    return s.dataset.deleted or s.dataset.primary not in wanted


def sending(s: Situation) -> SendProgress | None:
    """
    How the source of the present move is doing, if it reports that.
    """
    move = s.ownership.move
    seen = None if move is None else s.seen(move.source)
    if move is None or seen is None or seen.sending is None or seen.sending.move_id != move.move_id:
        return None
    return seen.sending


def may_stop(progress: SendProgress | None, dataset: Dataset, *, is_used: bool = True) -> bool:
    """
    :param is_used: by containers, which would stand still. Otherwise the dataset goes once rounds don't get shorter any
        more, on whatever disks: nobody has to wait for the rest but who asked for the move.
    """
    if progress is None:
        return False
    return progress.verdict is SendVerdict.READY or (
        progress.verdict is SendVerdict.OUTRUN and (dataset.on_overrun is OverrunPolicy.CUT_OVER or not is_used)
    )


def companions_in_the_way(s: Situation) -> tuple[DatasetId, ...]:
    """
    Datasets used by the same containers that are not ready to go to the same target.
    """
    move = s.ownership.move
    if move is None:
        return ()
    return tuple(other.dataset_id for other in s.companions if not companion_is_ready(s, other, move.target))


def companion_is_ready(s: Situation, other: Ownership, target: NodeId) -> bool:
    if other.move is None:
        return other.owner == target
    if other.move.target != target:
        return False
    if other.move.phase is not MovePhase.COPYING:
        return True
    node = s.nodes.get(other.move.source)
    seen = None if node is None else node.datasets.get(other.dataset_id)
    progress = None if seen is None else seen.sending
    policy = s.companion_policies.get(other.dataset_id)
    return (
        policy is not None
        and progress is not None
        and progress.move_id == other.move.move_id
        and may_stop(progress, policy)
    )


def cut_over_fits(s: Situation) -> bool:
    """
    Whether the data would follow soon enough, or as soon as it ever will, were the application stopped now.
    """
    move = s.ownership.move
    return (
        move is not None
        and move.phase is MovePhase.COPYING
        and move.target in s.nodes
        and may_stop(sending(s), s.dataset, is_used=bool(s.containers))
        and not companions_in_the_way(s)
    )


def is_outrun(s: Situation) -> bool:
    """
    Whether the present move should be given up because it would never end.
    """
    progress = sending(s)
    return (
        phase(s) is MovePhase.COPYING
        and progress is not None
        and progress.verdict is SendVerdict.OUTRUN
        and s.dataset.on_overrun is OverrunPolicy.GIVE_UP
        and bool(s.containers)
    )


def companion_given_up(s: Situation) -> DatasetId | None:
    """
    A dataset used by the same containers whose move to the same target was given up: they wait for one another, so the
    present move would never end.
    """
    move = s.ownership.move
    if move is None or move.phase is MovePhase.TAKING or move.returns:
        return None
    for other in s.companions:
        if other.move is None and other.owner != move.target and other.refused_primary == move.target:
            return other.dataset_id
    return None


def is_stranded(s: Situation) -> bool:
    """
    Whether the present move should be given up because a companion's was.
    """
    return companion_given_up(s) is not None


def released_guid(s: Situation) -> Guid | None:
    """
    The final snapshot that the source of the present move reports, once it has laid the dataset down for good.
    """
    move = s.ownership.move
    seen = None if move is None else s.seen(move.source)
    if seen is None or seen.role is not Role.RELEASED or seen.epoch != s.ownership.epoch:
        return None
    return seen.final_guid


def is_final(s: Situation) -> bool:
    """
    Whether the final snapshot is known.
    """
    return phase(s) is MovePhase.RELEASING and released_guid(s) is not None


def target_holds_the_final_snapshot(s: Situation) -> bool:
    """
    Whether everything ever written is on the target.
    """
    move = s.ownership.move
    if move is None or move.phase is not MovePhase.FINAL or move.final_guid is None:
        return False
    seen = s.seen(move.target)
    return seen is not None and seen.role is Role.REPLICA and seen.newest_guid == move.final_guid


def companions_behind(s: Situation) -> tuple[DatasetId, ...]:
    """
    Datasets used by the same containers that go to the same target, and that the source may still keep: if they have
    to stay there, so has this one.

    :raises ValueError: there is no move.
    """
    move = move_under_way(s)
    behind = (MovePhase.COPYING, MovePhase.RELEASING)
    return tuple(
        other.dataset_id
        for other in s.companions
        if other.move is not None and other.move.target == move.target and other.move.phase in behind
    )


def may_be_committed(s: Situation) -> bool:
    """
    Whether everything is on the target that has to be there before it takes over.
    """
    return target_holds_the_final_snapshot(s) and not companions_behind(s)


def containers_not_running(s: Situation) -> tuple[Container, ...]:
    """
    Containers that mount the dataset and have not been seen to run on its owner.
    """
    node = s.nodes.get(s.ownership.owner)
    if node is None:
        return tuple(s.containers)
    return tuple(c for c in s.containers if not has_run(node, c))


def has_run(node: NodeObservation, container: Container) -> bool:
    seen = node.containers.get(container.name)
    # A container that ended by itself, as its policy allows, has been started all the same.
    return seen is not None and seen.phase in (ContainerPhase.RUNNING, ContainerPhase.EXITED)


def is_proven(s: Situation) -> bool:
    """
    Whether the owner can write, so that other copies are no longer needed.
    """
    seen = s.seen(s.ownership.owner)
    return owner_serves(s) and seen is not None and seen.mounted


def put_aside_nodes(s: Situation) -> tuple[NodeId, ...]:
    """
    Deposed nodes that report that nothing is left under the dataset's own name.
    """
    return tuple(n for n in s.ownership.deposed if s.absent(n))


def needless_bases(s: Situation) -> tuple[NodeId, ...]:
    """
    Nodes that have no stash any more which a snapshot would lead back from.
    """
    return tuple(
        n
        for n, guid in s.ownership.bases.items()
        if n not in s.ownership.deposed and s.absent(n) and not has_stash(s, n, guid)
    )


def has_stash(s: Situation, node_id: NodeId, guid: Guid) -> bool:
    """
    Whether a node reports a stash of the dataset that has a snapshot.
    """
    stashes = s.nodes[node_id].stashes.values()
    return any(stash.dataset_id == s.dataset.dataset_id and guid in stash.guids for stash in stashes)


def settled_nodes(s: Situation) -> tuple[NodeId, ...]:
    """
    Former owners that report the removal of their copy.
    """
    return tuple(n for n in s.ownership.handed_over if s.absent(n))


def is_settled(s: Situation) -> bool:
    """
    Whether there are any.
    """
    return s.ownership.move is None and bool(settled_nodes(s))


def holders(s: Situation) -> frozenset[NodeId]:
    """
    The nodes that have the dataset, may have it, or may be making it.
    """
    result = {node_id for node_id, node in s.nodes.items() if s.dataset.dataset_id in node.datasets}
    result |= {*s.ownership.handed_over, *s.ownership.deposed}
    if s.ownership.created or s.ownership.owner in s.known_nodes:
        result.add(s.ownership.owner)
    return frozenset(n for n in result if not s.absent(n))


def is_destroyed(s: Situation) -> bool:
    """
    Whether a deletion has reached every copy.
    """
    return s.dataset.deleted and s.ownership.move is None and not s.ownership.destroyed and not holders(s)
