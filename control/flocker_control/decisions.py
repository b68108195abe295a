"""
What becomes of what users ask: changes to what is wanted, or a refusal.

``decide`` is total: every command leads to changes or to a refusal, whatever the state. A command that finds its wish
fulfilled already leads to no changes. What a command says of itself is checked as it is applied; what has to hold
between records (below) is checked once, when all parts of a command have been applied, so that two containers can
swap a dataset or a port in one ``ApplyAll``.

- A container's datasets exist, are not deleted, and are wanted on its node: they follow one another.
- A dataset is used by one container at most.
- An external port belongs to one container of a node.
- The names of nodes are unique, and so are those of datasets that are not deleted.
- A container asks for nothing that the runtime of its node can't do.
- A dataset isn't sent where there is no room for it, as far as the nodes have told.
- Nothing new is put on a node that is drained or was removed.
- What is leased is neither moved nor resized nor deleted: see ``flocker_control.dataset_leases``.
"""

from __future__ import annotations

from typing import assert_never

from pyrsistent import PMap, pmap

from flocker_control.absence import Absence
from flocker_control.commands import (
    MOVE_POLICY_FIELDS,
    ApplyAll,
    CancelMove,
    ChangeMetadata,
    ChangeMovePolicy,
    ChangePartitionPolicy,
    ChangePrimary,
    Command,
    CreateDataset,
    DeleteDataset,
    DrainNode,
    PutContainer,
    PutNode,
    ReadmitNode,
    RemoveContainer,
    RemoveNode,
    RenameDataset,
    ResizeDataset,
    StartMove,
    UnderLease,
    UndrainNode,
)
from flocker_control.consistency import inconsistencies
from flocker_control.dataset_leases import AcquireLease, LeaseRule, ReleaseLease, acquired, released, under_leases
from flocker_control.failover import (
    NO_LEASES,
    Adopt,
    Failover,
    Leases,
    RestoreStash,
    adopting,
    failing_over,
    restoring,
)
from flocker_control.groups import called, group_moved, group_on, led_to, present, user_of
from flocker_control.limits import (
    address_complaint,
    container_complaint,
    dataset_complaint,
    name_complaint,
    text_complaint,
)
from flocker_control.membership import closed, holdings, members, node_called, without_leftovers
from flocker_control.origins import origin_refusal
from flocker_control.refusals import Refusal, RefusalCode
from flocker_control.stash_wishes import DropStash, MountStash, wishing
from flocker_control.state import Changes, State, Stored, changed, key_of
from flocker_py.model import (
    Container,
    Dataset,
    DatasetId,
    DatasetLease,
    MoveId,
    MovePhase,
    Node,
    NodeId,
    Ownership,
    PartitionPolicy,
    StashWish,
)
from flocker_py.observed import NodeObservation


def decide(
    state: State,
    command: Command,
    observed: PMap[NodeId, NodeObservation],
    leases: Leases = NO_LEASES,
) -> Changes | Refusal:
    """
    What a command changes; or why it can't be done, and nothing changes.

    :param observed: reports of the nodes that have a session now.
    :param leases: of the nodes that have none.
    """
    changes = _applied(state, command, observed, leases)
    if isinstance(changes, Refusal):
        return changes
    changes, leased = under_leases(state, _effective(state, changes), _rule(command))
    after = changed(state, changes, revision=state.revision)
    return next(iter((*leased, *inconsistencies(state, after, changes, observed))), changes)


def refusals(state: State, command: Command, observed: PMap[NodeId, NodeObservation]) -> tuple[Refusal, ...]:
    """
    Everything that stands in the way of a command; nothing if ``decide`` accepts it.
    """
    changes = _applied(state, command, observed)
    if isinstance(changes, Refusal):
        return (changes,)
    changes, leased = under_leases(state, _effective(state, changes), _rule(command))
    after = changed(state, changes, revision=state.revision)
    return (*leased, *inconsistencies(state, after, changes, observed))


def _rule(command: Command) -> LeaseRule:
    match command:
        case UnderLease():
            return command.rule
        case Failover() | Adopt() | RestoreStash():
            # By the operator's word that what was is no more.
            return LeaseRule.FORCE
        case _:
            return LeaseRule.REFUSE


def _effective(state: State, changes: Changes) -> Changes:
    """
    The changes without those that change nothing.
    """
    result = Changes().put(*(record for record in changes.puts.values() if _known(state, record) != record))
    # A dataset and a node are never deleted: the id must never be used again, and the node may come back.
    records: tuple[Stored, ...] = (
        (*state.containers.values(), *state.dataset_leases.values()) if changes.deletes else ()
    )
    return result.delete(*(changes.deletes & {key_of(record) for record in records}))


def _known(state: State, record: Stored) -> Stored | None:
    match record:
        case Node():
            return state.nodes.get(record.node_id)
        case Dataset():
            return state.datasets.get(record.dataset_id)
        case Ownership():
            return state.ownerships.get(record.dataset_id)
        case Container():
            return state.containers.get(record.name)
        case StashWish():
            return state.stash_wishes.get(key_of(record))
        case DatasetLease():
            return state.dataset_leases.get(record.dataset_id)
        case Absence():
            return state.absences.get(record.node_id)
    assert_never(record)


def _applied(
    state: State, command: Command, observed: PMap[NodeId, NodeObservation], leases: Leases = NO_LEASES
) -> Changes | Refusal:
    match command:
        case CreateDataset():
            return _created(state, command, observed)
        case ChangePrimary():
            return _with_primary(state, command)
        case ResizeDataset():
            return _edited(state, command.dataset_id, maximum_size_bytes=command.maximum_size_bytes)
        case RenameDataset():
            return _edited(state, command.dataset_id, name=command.name)
        case ChangeMetadata():
            return _edited(state, command.dataset_id, metadata=command.metadata)
        case ChangeMovePolicy():
            if not command.max_downtime_seconds > 0:
                return Refusal.of(RefusalCode.VALUE_REFUSED, "a downtime has to be more than 0 s")
            return _edited(
                state,
                command.dataset_id,
                **{field: getattr(command, field) for field in MOVE_POLICY_FIELDS},
            )
        case ChangePartitionPolicy():
            return _with_partition_policy(state, command, observed)
        case DeleteDataset():
            return _deleted(state, command.dataset_id)
        case PutContainer():
            return _with_container(state, command)
        case RemoveContainer():
            if command.name not in state.containers:
                return Refusal.of(RefusalCode.CONTAINER_UNKNOWN, f"there is no container {command.name}")
            return Changes().delete(f"container/{command.name}")
        case PutNode():
            return _with_node(state, command)
        case DrainNode():
            return _with_draining(state, command.node_id, draining=True)
        case UndrainNode():
            return _with_draining(state, command.node_id, draining=False)
        case RemoveNode():
            return _without_node(state, command, observed)
        case ReadmitNode():
            return _readmitted(state, command.node_id)
        case StartMove():
            return _moving(state, command)
        case CancelMove():
            return _cancelled(state, command.move_id)
        case Failover():
            return failing_over(state, command, observed, leases)
        case Adopt():
            return adopting(state, command, observed)
        case RestoreStash():
            return restoring(state, command, observed, leases)
        case MountStash() | DropStash():
            return wishing(state, command, observed)
        case AcquireLease():
            return acquired(state, command)
        case ReleaseLease():
            return released(state, command)
        case UnderLease():
            return _applied(state, command.command, observed)
        case ApplyAll():
            return _all_applied(state, command, observed)
    assert_never(command)


def _all_applied(state: State, command: ApplyAll, observed: PMap[NodeId, NodeObservation]) -> Changes | Refusal:
    changes = Changes()
    after = state
    for part in command.commands:
        more = _applied(after, part, observed)
        if isinstance(more, Refusal):
            return more
        after = changed(after, more, revision=state.revision)
        changes = changes.then(more)
    return changes


# -- datasets ----------------------------------------------------------------------------------------------------------


def _created(state: State, command: CreateDataset, observed: PMap[NodeId, NodeObservation]) -> Changes | Refusal:
    if command.dataset_id in state.datasets:
        return Refusal.of(RefusalCode.DATASET_ID_IN_USE, f"the dataset id {command.dataset_id} is in use already")
    for node_id, node in observed.items():
        if command.dataset_id in node.datasets:
            return Refusal.of(
                RefusalCode.DATASET_ID_IN_USE,
                f"node {node_id} has data under the dataset id {command.dataset_id}: use another id, or restore the"
                " copy of the store that knows it",
            )
    if not command.max_downtime_seconds > 0:
        return Refusal.of(RefusalCode.VALUE_REFUSED, "a downtime has to be more than 0 s")
    dataset = Dataset(
        dataset_id=command.dataset_id,
        primary=command.primary,
        name=command.name,
        maximum_size_bytes=command.maximum_size_bytes,
        metadata=command.metadata,
        max_downtime_seconds=command.max_downtime_seconds,
        on_overrun=command.on_overrun,
        on_start_failure=command.on_start_failure,
        on_partition=command.on_partition,
        origin=command.origin,
    )
    complaint = dataset_complaint(dataset)
    if complaint is not None:
        return Refusal.of(RefusalCode.VALUE_REFUSED, complaint)
    refusal = None if command.origin is None else origin_refusal(state, command.origin, command.primary)
    if refusal is not None:
        return refusal
    return Changes().put(dataset, Ownership(dataset_id=dataset.dataset_id, owner=dataset.primary))


def _edited(state: State, dataset_id: DatasetId, **fields: object) -> Changes | Refusal:
    dataset = present(state, dataset_id)
    if isinstance(dataset, Refusal):
        return dataset
    dataset = dataset.set(**fields)
    complaint = dataset_complaint(dataset)
    return Changes().put(dataset) if complaint is None else Refusal.of(RefusalCode.VALUE_REFUSED, complaint)


def _with_primary(state: State, command: ChangePrimary) -> Changes | Refusal:
    dataset = present(state, command.dataset_id)
    if isinstance(dataset, Refusal):
        return dataset
    return led_to(state, Changes().put(dataset.set(primary=command.primary)), dataset.dataset_id)


def _with_partition_policy(
    state: State, command: ChangePartitionPolicy, observed: PMap[NodeId, NodeObservation]
) -> Changes | Refusal:
    dataset = present(state, command.dataset_id)
    if isinstance(dataset, Refusal):
        return dataset
    if dataset.on_partition is command.on_partition:
        return Changes()
    ownership = state.ownerships[dataset.dataset_id]
    changes = Changes().put(dataset.set(on_partition=command.on_partition))
    if command.on_partition is PartitionPolicy.KEEP:
        # Before any node is told to keep serving, nobody believes any more that it won't.
        return changes.put(ownership.set(leased_epoch=0))
    owner = observed.get(ownership.owner)
    seen = None if owner is None else owner.datasets.get(dataset.dataset_id)
    if seen is not None and seen.leased:
        # What it says is of the time before it was told to keep, and would be taken for an answer to this.
        return Refusal.of(
            RefusalCode.NOT_YET,
            f"the node that owns the dataset {called(dataset)} has not heard yet that it was to keep it: try again in"
            " a moment",
        )
    return changes


def _deleted(state: State, dataset_id: DatasetId) -> Changes | Refusal:
    dataset = state.datasets.get(dataset_id)
    if dataset is None:
        return Refusal.of(RefusalCode.DATASET_UNKNOWN, f"there is no dataset {dataset_id}")
    return Changes().put(dataset.set(deleted=True))


# -- containers and nodes ----------------------------------------------------------------------------------------------


def _with_container(state: State, command: PutContainer) -> Changes | Refusal:
    container = command.container
    if container.node_id not in state.nodes and not command.node_may_be_unknown:
        return Refusal.of(RefusalCode.NODE_UNKNOWN, f"there is no node {container.node_id}")
    complaint = container_complaint(container)
    if complaint is not None:
        return Refusal.of(RefusalCode.VALUE_REFUSED, f"container {container.name}: {complaint}")
    changes = Changes().put(container)
    before = state.containers.get(container.name)
    if before is None or before.node_id == container.node_id:
        return changes
    kept = {mount.dataset_id for mount in before.mounts} & {mount.dataset_id for mount in container.mounts}
    return changes.then(group_on(state, container, sorted(kept, key=str)))


def _with_node(state: State, command: PutNode) -> Changes | Refusal:
    labels = pmap() if command.labels is None else command.labels
    complaint = name_complaint(command.name) or address_complaint(command.address)
    complaint = complaint or text_complaint("the label", (*labels, *labels.values()))
    if complaint is not None:
        return Refusal.of(RefusalCode.VALUE_REFUSED, complaint)
    node = state.nodes.get(command.node_id, Node(node_id=command.node_id))
    given = {"name": command.name, "address": command.address, "labels": command.labels}
    return Changes().put(node.set(**{field: text for field, text in given.items() if text is not None}))


def _with_draining(state: State, node_id: NodeId, *, draining: bool) -> Changes | Refusal:
    node = state.nodes.get(node_id)
    if node is None:
        return Refusal.of(RefusalCode.NODE_UNKNOWN, f"there is no node {node_id}")
    if node.removed:
        return closed(state, node_id, key_of(node)) or Changes()
    return Changes().put(node.set(draining=draining))


def _without_node(state: State, command: RemoveNode, observed: PMap[NodeId, NodeObservation]) -> Changes | Refusal:
    node_id = command.node_id
    node = state.nodes.get(node_id)
    if node is None:
        return Refusal.of(RefusalCode.NODE_UNKNOWN, f"there is no node {node_id}")
    if node.removed:
        return Changes()
    name = node_called(state, node_id)
    if command.is_dead and node_id in observed:
        return Refusal.of(RefusalCode.NODE_IN_USE, f"node {name} is connected, and so it isn't dead", key_of(node))
    held = tuple(holdings(state, node_id, observed, leftovers=not command.is_dead))
    if held:
        return Refusal.of(
            RefusalCode.NODE_IN_USE,
            f"node {name} can't be removed before it has nothing any more (flockerctl drain {name}): {'; '.join(held)}",
            key_of(node),
        )
    forgotten = (without_leftovers(ownership, node_id) for ownership in state.ownerships.values())
    return Changes().put(node.set(removed=True, draining=False), *forgotten)


def _readmitted(state: State, node_id: NodeId) -> Changes | Refusal:
    node = state.nodes.get(node_id)
    if node is None:
        return Refusal.of(RefusalCode.NODE_UNKNOWN, f"there is no node {node_id}")
    taken = any(other.name == node.name for other in members(state) if other.node_id != node_id)
    return Changes().put(node.set(removed=False, name=None if taken else node.name))


# -- moves -------------------------------------------------------------------------------------------------------------


def _moving(state: State, command: StartMove) -> Changes | Refusal:
    dataset = present(state, command.dataset_id)
    if isinstance(dataset, Refusal):
        return dataset
    if command.target not in state.nodes:
        return Refusal.of(RefusalCode.NODE_UNKNOWN, f"there is no node {command.target}")
    ownership = state.ownerships[dataset.dataset_id]
    if ownership.move is None and ownership.owner == dataset.primary == command.target:
        return Refusal.of(
            RefusalCode.ALREADY_THERE, f"the dataset {called(dataset)} is on node {command.target} already"
        )
    return group_moved(state, dataset, command.target)


def _cancelled(state: State, move_id: MoveId) -> Changes | Refusal:
    for ownership in state.ownerships.values():
        if ownership.move is not None and ownership.move.move_id == move_id:
            dataset = state.datasets[ownership.dataset_id]
            return _stays(state, dataset, ownership)
        if ownership.last_move is not None and ownership.last_move.move_id == move_id:
            outcome = ownership.last_move.outcome.value
            return Refusal.of(RefusalCode.MOVE_ENDED, f"the move {move_id} has ended already: {outcome}")
    return Refusal.of(RefusalCode.MOVE_UNKNOWN, f"there is no move {move_id}")


def _stays(state: State, dataset: Dataset, ownership: Ownership) -> Changes | Refusal:
    container = user_of(state, dataset.dataset_id)
    group = [dataset.dataset_id] if container is None else [mount.dataset_id for mount in container.mounts]
    for other in (state.ownerships[dataset_id] for dataset_id in group if dataset_id in state.ownerships):
        move, name = other.move, called(state.datasets[other.dataset_id])
        if move is not None and move.phase is MovePhase.TAKING:
            return Refusal.of(
                RefusalCode.MOVE_COMMITTED,
                f"the dataset {name} belongs to node {move.target} already: the move can't be cancelled any more;"
                f" move it back to node {move.source} instead",
            )
        if container is not None and other.owner != ownership.owner:
            return Refusal.of(
                RefusalCode.DATASET_ELSEWHERE,
                f"the container {container.name} also uses the dataset {name}, which is on node {other.owner}:"
                " remove the container first, or move the other dataset",
            )
    if dataset.deleted:
        # Its move is aborted all the same, by the deletion.
        return Changes()
    return group_moved(state, dataset, ownership.owner)
