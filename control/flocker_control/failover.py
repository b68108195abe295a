"""
What an operator decides in the place of a node that can't be asked: to go on from another copy of a dataset.

Each of these gives a dataset to a node under a higher epoch without the word of the one that had it. So each repeats
what it was decided on, and is refused if that is no longer so; and what the others have is put aside, never removed.
"""

from __future__ import annotations

import math
from uuid import UUID, uuid5

from pyrsistent import PMap, pmap, pvector

from flocker_control import ownership as table
from flocker_control import situation as facts
from flocker_control.groups import called, present, user_of
from flocker_control.membership import node_called
from flocker_control.refusals import Refusal, RefusalCode
from flocker_control.situation import Situation, node_name
from flocker_control.state import Changes, State
from flocker_py.model import Dataset, DatasetId, Guid, MoveId, NodeId, Ownership
from flocker_py.observed import DatasetObservation, NodeObservation
from flocker_py.records import Record, mapping, value
from flocker_py.storage import Role


class Failover(Record):
    """
    Give a dataset whose owner is gone to a node that has a copy, with all that the same container uses.

    :param guids: the newest snapshot there of each of them, as it was shown.
    :param owner_is_dead: the operator's word that the owner does not run any more.
    :param at_seconds: since the epoch of Unix.
    """

    dataset_id: DatasetId = value(UUID)
    target: NodeId = value(UUID)
    guids: PMap[DatasetId, Guid] = mapping(UUID, int, default={})
    owner_is_dead: bool = value(bool, default=False)
    move_id: MoveId = value(UUID)
    at_seconds: float = value((int, float))


class Adopt(Record):
    """
    Take what a node has for the dataset, since the control service's record of it is older than the cluster, or there
    is none.

    :param epoch: of what the node has, as it was shown.
    :param others_are_dead: the operator's word that no node without a session runs with this dataset.
    """

    dataset_id: DatasetId = value(UUID)
    node_id: NodeId = value(UUID)
    epoch: int = value(int)
    others_are_dead: bool = value(bool, default=False)
    move_id: MoveId = value(UUID)
    at_seconds: float = value((int, float))


class RestoreStash(Record):
    """
    Make what was put aside on a node the dataset again. What is the dataset now is put aside in turn.

    :param epoch: of the dataset at present, as it was shown.
    :param owner_is_dead: as in ``Failover``; not needed while the owner has a session, since it then stops first.
    """

    node_id: NodeId = value(UUID)
    name: str = value(str)
    epoch: int = value(int)
    owner_is_dead: bool = value(bool, default=False)
    move_id: MoveId = value(UUID)
    at_seconds: float = value((int, float))


Observed = PMap[NodeId, NodeObservation]
Leases = PMap[NodeId, float]
"""
For how long the lease of each node without a session can't be taken as expired yet, in seconds; 0 or less: it has.
"""

NO_LEASES: Leases = pmap()


def situation_of(
    state: State,
    dataset: Dataset,
    ownership: Ownership,
    observed: Observed,
    command: Failover | Adopt | RestoreStash,
    *,
    leases: Leases,
) -> Situation:
    """
    What these decisions look at. Each dataset gets a move of its own.
    """
    container = user_of(state, dataset.dataset_id)
    first = isinstance(command, RestoreStash) or command.dataset_id == dataset.dataset_id
    move_id = command.move_id if first else MoveId(uuid5(command.move_id, str(dataset.dataset_id)))
    return Situation(
        dataset=dataset,
        ownership=ownership,
        known_nodes=state.nodes,
        nodes=observed,
        containers=pvector(() if container is None else (container,)),
        absences=state.absences,
        now_seconds=command.at_seconds,
        next_move_id=move_id,
        owner_lease_left_seconds=leases.get(ownership.owner),
    )


def failing_over(state: State, command: Failover, observed: Observed, leases: Leases = NO_LEASES) -> Changes | Refusal:
    """
    What a failover changes, or why it can't be.
    """
    dataset = present(state, command.dataset_id)
    if isinstance(dataset, Refusal):
        return dataset
    if command.target not in state.nodes:
        return Refusal.of(RefusalCode.NODE_UNKNOWN, f"there is no node {command.target}")
    changes = Changes()
    for member in group(state, dataset):
        own = state.ownerships[member.dataset_id]
        if own.owner == command.target:
            continue
        s = situation_of(state, member, own, observed, command, leases=leases)
        guid = command.guids.get(member.dataset_id)
        found = failover_refusal(s, command.target, guid, owner_is_dead=command.owner_is_dead)
        if found is not None:
            return found
        changes = changes.put(table.failed_over(s, command.target, guid))
    if not changes:
        name = node_called(state, command.target)
        return Refusal.of(RefusalCode.ALREADY_THERE, f"the dataset {called(dataset)} belongs to node {name} already")
    return _wanted_there(state, changes, dataset, command.target)


def group(state: State, dataset: Dataset) -> tuple[Dataset, ...]:
    """
    A dataset, and the others that the same container uses.
    """
    container = user_of(state, dataset.dataset_id)
    mounts = () if container is None else container.mounts
    others = (state.datasets[m.dataset_id] for m in mounts if m.dataset_id in state.datasets)
    return (dataset, *(other for other in others if other.dataset_id != dataset.dataset_id))


def _wanted_there(state: State, changes: Changes, dataset: Dataset, node_id: NodeId) -> Changes:
    # The ownerships are in the changes already; of those that stay, a wish that was given up is a new one now.
    container = user_of(state, dataset.dataset_id)
    for member in group(state, dataset):
        changes = changes.put(member.set(primary=node_id))
        own = state.ownerships[member.dataset_id]
        if f"ownership/{member.dataset_id}" not in changes.puts:
            changes = changes.put(own.set(refused_primary=None))
    return changes if container is None else changes.put(container.set(node_id=node_id))


def failover_refusal(s: Situation, target: NodeId, guid: Guid | None, *, owner_is_dead: bool) -> Refusal | None:
    """
    Why a dataset can't be failed over to a node; None: it can.

    :param guid: what the operator takes to be the newest snapshot there; None: nothing was confirmed.
    """
    name, own = called(s.dataset), s.ownership
    there = node_name(s, target)
    ahead = facts.record_is_older(s)
    if ahead is not None or facts.exists_already(s) is not None:
        return Refusal.of(
            RefusalCode.STORE_OLDER,
            f"the control service's record of the dataset {name} is older than the cluster: say which node has it by"
            f" `flockerctl adopt {name} --from NODE`",
        )
    if not own.created:
        return Refusal.of(
            RefusalCode.NEVER_MADE,
            f"the dataset {name} has never been made, so there is nothing to fail over: delete it, and create it on"
            f" node {there} under another name",
        )
    if own.owner in s.nodes and not s.absent(own.owner):
        return Refusal.of(
            RefusalCode.OWNER_CONNECTED,
            f"node {node_name(s, own.owner)}, which owns the dataset {name}, is connected: move it instead"
            f" (`flockerctl move {name} {there}`), which loses nothing. If its pool is lost for good, stop its agent"
            " first",
        )
    found = _copy_refusal(s, target)
    if found is not None:
        return found
    seen = s.seen(target)
    newest = None if seen is None else seen.newest_guid
    if guid != newest:
        shown = "nothing was confirmed" if guid is None else f"{guid} was confirmed"
        return Refusal.of(
            RefusalCode.NOT_CONFIRMED,
            f"the newest snapshot of the dataset {name} on node {there} is {newest}, and {shown}: look again at what"
            f" would be lost, and confirm {newest}",
        )
    if owner_is_dead or s.absent(own.owner) or facts.is_fenced(s):
        return None
    if facts.goes_by_its_lease(s) and s.owner_lease_left_seconds is not None:
        return Refusal.of(
            RefusalCode.NOT_YET,
            f"node {node_name(s, own.owner)}, which owns the dataset {name}, has no connection, and serves it until its"
            f" lease has ended, which is sure in {math.ceil(s.owner_lease_left_seconds)} s: try again then. Or make"
            " sure that the node does not run, and say so (--owner-is-dead)",
        )
    return Refusal.of(
        RefusalCode.OWNER_NOT_KNOWN_DEAD,
        f"node {node_name(s, own.owner)}, which owns the dataset {name}, has no connection and may go on serving it"
        " all the same: make sure that it does not run (switch it off), and say so (--owner-is-dead). If it does"
        " run, two applications write, and what one of them writes ends up in a stash",
    )


def _copy_refusal(s: Situation, target: NodeId) -> Refusal | None:
    name, there = called(s.dataset), node_name(s, target)
    if target not in s.nodes or not s.nodes[target].storage_known:
        return Refusal.of(
            RefusalCode.NODE_AWAY,
            f"node {there} has no connection to the control service, or can't look at its pool: a dataset is failed"
            " over only to a node that tells what it has",
        )
    seen = s.seen(target)
    if seen is None or seen.newest_guid is None:
        return Refusal.of(
            RefusalCode.COPY_UNFIT, f"node {there} has no copy of the dataset {name} that could be gone on with"
        )
    if seen.role is Role.OWNER:
        return Refusal.of(
            RefusalCode.COPY_UNFIT,
            f"node {there} owned the dataset {name} under epoch {seen.epoch} and has not laid it down yet: in a moment",
        )
    return None


def adopting(state: State, command: Adopt, observed: Observed) -> Changes | Refusal:
    """
    What an adoption changes, or why it can't be.
    """
    node = observed.get(command.node_id)
    seen = None if node is None else node.datasets.get(command.dataset_id)
    if seen is None:
        return Refusal.of(
            RefusalCode.COPY_UNFIT,
            f"node {node_called(state, command.node_id)} reports no copy of the dataset {command.dataset_id}, or has no"
            " connection to the control service: nothing was adopted",
        )
    dataset = state.datasets.get(command.dataset_id)
    if dataset is None:
        size = seen.maximum_size_bytes
        dataset = Dataset(dataset_id=command.dataset_id, primary=command.node_id, maximum_size_bytes=size)
        own = Ownership(dataset_id=command.dataset_id, owner=command.node_id)
    else:
        own = state.ownerships[command.dataset_id]
    s = situation_of(state, dataset, own, observed, command, leases=NO_LEASES)
    found = _adopt_refusal(s, seen, command, recorded=dataset.dataset_id in state.datasets)
    if found is not None:
        return found
    changes = Changes().put(dataset.set(primary=command.node_id), table.adopted(s, command.node_id))
    if dataset.dataset_id not in state.datasets:
        return changes
    return _wanted_there(state, changes, dataset, command.node_id)


def _adopt_refusal(s: Situation, seen: DatasetObservation, command: Adopt, *, recorded: bool) -> Refusal | None:
    name, there = called(s.dataset), node_name(s, command.node_id)
    if s.dataset.deleted:
        return Refusal.of(
            RefusalCode.DATASET_DELETED,
            f"by the control service's record the dataset {name} has been deleted: what is left of it is not adopted",
        )
    if recorded and facts.record_is_older(s) is None and facts.exists_already(s) is None:
        return Refusal.of(
            RefusalCode.OWNER_CONNECTED,
            f"the control service's record of the dataset {name} is not older than what the nodes report: move it, or"
            " fail it over, instead",
        )
    if seen.epoch != command.epoch:
        return Refusal.of(
            RefusalCode.NOT_CONFIRMED,
            f"what node {there} has of the dataset {name} is of epoch {seen.epoch}, and {command.epoch} was confirmed",
        )
    if seen.role is Role.REPLICA and seen.newest_guid is None:
        return Refusal.of(RefusalCode.COPY_UNFIT, f"what node {there} has of the dataset {name} came in only in part")
    for node_id in sorted(s.nodes, key=str):
        other = s.seen(node_id)
        if other is None or node_id == command.node_id or other.role is Role.REPLICA:
            continue
        if other.epoch > seen.epoch or (other.epoch == seen.epoch and other.role is Role.OWNER):
            return Refusal.of(
                RefusalCode.COPY_UNFIT,
                f"what node {there} has of the dataset {name} is of epoch {seen.epoch}; node {node_name(s, node_id)}"
                f" has {other.role.value} of epoch {other.epoch}: adopt it from there; an earlier epoch never wins",
            )
    away = [n for n in sorted(s.known_nodes, key=str) if n not in s.nodes or not s.nodes[n].storage_known]
    if away and not command.others_are_dead:
        return Refusal.of(
            RefusalCode.OWNER_NOT_KNOWN_DEAD,
            f"node {', '.join(node_name(s, n) for n in away)} can't be asked, and may own the dataset {name} under a"
            " later epoch: let it connect first, or make sure that it does not run, and say so (--others-are-dead)",
        )
    return None


def restoring(state: State, command: RestoreStash, observed: Observed, leases: Leases = NO_LEASES) -> Changes | Refusal:
    """
    What restoring a stash changes, or why it can't be.
    """
    node = observed.get(command.node_id)
    stash = None if node is None else node.stashes.get(command.name)
    if node is None or stash is None:
        return stash_unknown(state, command.node_id, command.name)
    dataset = present(state, stash.dataset_id)
    if isinstance(dataset, Refusal):
        return dataset
    own = state.ownerships[dataset.dataset_id]
    s = situation_of(state, dataset, own, observed, command, leases=leases)
    found = _restore_refusal(s, command) or _companions_refusal(state, dataset, command.node_id)
    if found is not None:
        return found
    guid = stash.guids[-1] if stash.guids else None
    restored = table.failed_over(s, command.node_id, guid, from_stash=command.name)
    # Under a later epoch than the stash's own: under that one it was laid down.
    restored = restored.set(epoch=max(restored.epoch, stash.epoch + 1))
    return _wanted_there(state, Changes().put(restored), dataset, command.node_id)


def stash_unknown(state: State, node_id: NodeId, name: str) -> Refusal:
    """
    That there is no such stash.
    """
    return Refusal.of(
        RefusalCode.STASH_UNKNOWN,
        f"node {node_called(state, node_id)} reports no stash {name}, or has no connection to the control service",
    )


def _restore_refusal(s: Situation, command: RestoreStash) -> Refusal | None:
    name, own, there = called(s.dataset), s.ownership, node_name(s, command.node_id)
    if facts.record_is_older(s) is not None or facts.exists_already(s) is not None:
        return Refusal.of(
            RefusalCode.STORE_OLDER,
            f"the control service's record of the dataset {name} is older than the cluster: say which node has it"
            f" first, by `flockerctl adopt {name} --from NODE`",
        )
    if own.epoch != command.epoch:
        return Refusal.of(
            RefusalCode.NOT_CONFIRMED,
            f"the dataset {name} is at epoch {own.epoch} by now, and {command.epoch} was confirmed: look again",
        )
    if own.owner == command.node_id or not s.absent(command.node_id):
        return Refusal.of(
            RefusalCode.STASH_STAYS,
            f"node {there} has a copy of the dataset {name} under its own name at present: a stash is restored where"
            " there is none. Move the dataset to another node first, or read the stash (`flockerctl stashes mount`)",
        )
    if own.move is not None:
        return Refusal.of(RefusalCode.STASH_STAYS, f"the dataset {name} is moving: cancel that, or let it end, first")
    if own.owner not in s.nodes and not command.owner_is_dead and not facts.is_fenced(s):
        return Refusal.of(
            RefusalCode.OWNER_NOT_KNOWN_DEAD,
            f"node {node_name(s, own.owner)}, which owns the dataset {name}, has no connection and may go on serving it"
            " all the same: let it connect, so that it stops first, or make sure that it does not run, and say so"
            " (--owner-is-dead)",
        )
    return None


def _companions_refusal(state: State, dataset: Dataset, node_id: NodeId) -> Refusal | None:
    for other in group(state, dataset)[1:]:
        if state.ownerships[other.dataset_id].owner != node_id:
            return Refusal.of(
                RefusalCode.DATASET_ELSEWHERE,
                f"the container that uses the dataset {called(dataset)} also uses the dataset {called(other)}, which is"
                f" not on node {node_called(state, node_id)}: remove the container first",
            )
    return None
