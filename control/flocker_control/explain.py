"""
Why a dataset is not yet as it is wanted, in sentences for its users.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

from flocker_control import preparing, starting
from flocker_control import situation as facts
from flocker_control.copies import is_candidate, known_copies, known_copy, loss_text, since_text, snapshot_text
from flocker_control.situation import Situation, node_name
from flocker_py.model import Dataset, DatasetLease, Move, MovePhase, NodeId
from flocker_py.observed import HOST, SendVerdict
from flocker_py.sentences import listed
from flocker_py.storage import Role


class Status(enum.Enum):
    """
    One word for how a dataset is doing.
    """

    OK = "ok"
    CREATING = "creating"
    MOVING = "moving"
    WAITING = "waiting"
    ERROR = "error"
    DELETING = "deleting"
    DELETED = "deleted"
    UNAVAILABLE = "unavailable"
    UNKNOWN = "unknown"


_HAD = {
    Role.OWNER: "it as its own under epoch",
    Role.RELEASED: "it as laid down under epoch",
    Role.REPLICA: "a replica of it from epoch",
}
"""What a node has, after "reports" or "had"."""


def status(s: Situation) -> Status:
    """
    How the dataset is doing.
    """
    if s.ownership.destroyed:
        return Status.DELETED
    if facts.record_is_older(s) is not None or facts.exists_already(s) is not None:
        return Status.ERROR
    if s.dataset.deleted:
        return Status.DELETING
    if s.ownership.created and s.ownership.owner not in s.nodes:
        return Status.UNAVAILABLE
    if s.ownership.move is not None:
        return Status.WAITING if _move_waits_for(s, s.ownership.move) else Status.MOVING
    if s.ownership.owner not in s.nodes:
        return Status.UNKNOWN
    if _failure(s, s.ownership.owner) is not None:
        return Status.ERROR
    if not s.ownership.created:
        return Status.CREATING
    if s.dataset.primary != s.ownership.owner or s.wanted is not None:
        return Status.WAITING
    return Status.OK if _is_as_wanted(s) else Status.WAITING


def _is_as_wanted(s: Situation) -> bool:
    seen = s.seen(s.ownership.owner)
    return facts.is_proven(s) and seen is not None and seen.maximum_size_bytes == s.dataset.maximum_size_bytes


def waiting_for(s: Situation) -> str | None:
    """
    What has to happen before the dataset gets further; None: nothing, it is on its way or there.
    """
    ahead = facts.record_is_older(s)
    if ahead is not None:
        return (
            "somebody to restore the newest copy of the control service's store, or to say which node has the dataset"
            f" by `flockerctl adopt {s.dataset.name or s.dataset.dataset_id} --from NODE`: node {node_name(s, ahead)}"
            " has seen a later epoch of this dataset than this control service knows of, so its store is older than the"
            " cluster. Until then nothing is done with this dataset"
        )
    beside = facts.exists_already(s)
    if beside is not None and not s.ownership.destroyed:
        return (
            f"somebody to say what it is that node {node_name(s, beside)} has under this id: by the control service's"
            " record the dataset was never made. Restore the newest copy of the store, or take it for the dataset by"
            f" `flockerctl adopt {s.dataset.name or s.dataset.dataset_id} --from {node_name(s, beside)}`, or delete the"
            " dataset here and use another id. Nothing is made beside it, and nothing of it is destroyed"
        )
    move = s.ownership.move
    if move is not None:
        waits = _move_waits_for(s, move) or _checks_wait_for(s, move)
        return waits or _nodes_wait_for(s, (move.source, move.target))
    if s.ownership.destroyed:
        return None
    if s.dataset.deleted:
        return _deletion_waits_for(s)
    owner = s.ownership.owner
    if owner not in s.known_nodes:
        return f"node {owner}, which has never been part of this cluster"
    if owner not in s.nodes:
        return _connection_of(s, owner)
    failure = _failure(s, owner)
    if failure is not None:
        return f"node {node_name(s, owner)} to succeed: {failure}"
    if s.wanted is not None and s.lease is not None:
        return _lease_in_the_way(s, s.wanted, s.lease)
    if s.dataset.primary == s.ownership.refused_primary and s.ownership.last_move is not None:
        return f"somebody to ask for the move again: {s.ownership.last_move.reason}"
    return _nodes_wait_for(s, (owner,))


def _lease_in_the_way(s: Situation, wanted: Dataset, lease: DatasetLease) -> str:
    what = "resized"
    if wanted.deleted:
        what = "deleted"
    elif wanted.primary != s.dataset.primary:
        what = f"moved to node {node_name(s, wanted.primary)}"
    return f"the end of its lease, to be {what}: {_lease_text(s, lease)}"


def _lease_text(s: Situation, lease: DatasetLease) -> str:
    left = s.lease_left_seconds
    until = "until it is released" if left is None else f"for another {max(0.0, left):.0f} s, unless it is released"
    return f"it is leased to node {node_name(s, lease.node_id)} {until}"


def _deletion_waits_for(s: Situation) -> str | None:
    holders = sorted(facts.holders(s), key=str)
    away = [node_name(s, n) for n in holders if n not in s.nodes]
    if away:
        return f"{listed('node', away)} to come back, and to destroy {'its copy' if len(away) == 1 else 'their copies'}"
    for node_id in holders:
        failure = _failure(s, node_id)
        if failure is not None:
            return f"node {node_name(s, node_id)} to succeed: {failure}"
    return _nodes_wait_for(s, holders)


def _connection_of(s: Situation, node_id: NodeId) -> str:
    return f"node {node_name(s, node_id)}, which has had no connection to the control service {since_text(s, node_id)}"


def _failure(s: Situation, node_id: NodeId) -> str | None:
    failures = s.nodes[node_id].failures
    failure = failures.get(str(s.dataset.dataset_id)) or failures.get(HOST)
    return None if failure is None else failure.text


def _nodes_wait_for(s: Situation, node_ids: Iterable[NodeId]) -> str | None:
    """
    What the nodes themselves say they wait for, in the midst of what they do.
    """
    for node_id in node_ids:
        reason = None if node_id not in s.nodes else s.nodes[node_id].waiting.get(str(s.dataset.dataset_id))
        if reason is not None:
            return f"{reason} (on node {node_name(s, node_id)})"
    return None


def _move_waits_for(s: Situation, move: Move) -> str | None:
    first = facts.must_stop_first(s)
    if first:
        names = listed("node", (node_name(s, n) for n in first))
        if len(first) == 1:
            return f"{names}, which had the dataset and is connected, to stop its containers and lay it down"
        return f"{names}, which had the dataset and are connected, to stop their containers and lay it down"
    needed = (move.source, move.target) if move.phase is not MovePhase.TAKING else (move.target,)
    for node_id in needed:
        if node_id not in s.known_nodes:
            return f"node {node_id}, which has never been part of this cluster"
        if node_id not in s.nodes:
            return _connection_of(s, node_id)
    # Only then: what fails on one node is often no more than what follows from the other's absence.
    for node_id in needed:
        failure = _failure(s, node_id)
        if failure is not None:
            return f"node {node_name(s, node_id)} to succeed: {failure}"
    if move.phase is MovePhase.TAKING:
        return _containers_wait_for(s, move)
    progress = facts.sending(s)
    others = facts.companions_in_the_way(s)
    caught_up = progress is not None and progress.verdict is not SendVerdict.CATCHING_UP
    if move.phase is MovePhase.COPYING and caught_up and others:
        return f"{listed('dataset', others)}, which the same container uses, to catch up"
    behind = facts.companions_behind(s)
    if facts.target_holds_the_final_snapshot(s) and behind:
        return f"{listed('dataset', behind)}, which the same container uses, to be laid down on its node"
    return preparing.waits_for(s)


def _containers_wait_for(s: Situation, move: Move) -> str | None:
    text = starting.waits_for(s)
    if text is not None:
        return text
    node = s.nodes[move.target]
    for container in facts.containers_not_running(s):
        failure = node.failures.get(container.name)
        if failure is not None:
            return f"container {container.name} to start on node {node_name(s, move.target)}: {failure.text}"
    return None


def _checks_wait_for(s: Situation, move: Move) -> str | None:
    unwell = starting.unwell(s)
    if not unwell:
        return None
    return f"{listed('container', (c.name for c in unwell))} to become healthy on node {node_name(s, move.target)}"


def lines(s: Situation) -> list[str]:
    """
    The whole story of one dataset, a sentence a line.
    """
    own, move = s.ownership, s.ownership.move
    result = []
    if own.destroyed:
        return ["It was deleted, and no copy of it is left."]
    wanted = s.dataset if s.wanted is None else s.wanted
    result.append(
        f"It is wanted on node {node_name(s, wanted.primary)}." if not wanted.deleted else "It is to be deleted."
    )
    made = "" if own.created else " It has not been made yet."
    result.append(f"Node {node_name(s, own.owner)} owns it under epoch {own.epoch}.{made}")
    for node_id, node in sorted(s.nodes.items(), key=lambda item: str(item[0])):
        seen = node.datasets.get(s.dataset.dataset_id)
        if seen is None:
            continue
        mounted = "mounted" if seen.path is None else f"mounted at {seen.path}"
        where = f", {mounted}" if seen.mounted else ", not mounted"
        writes = "" if seen.role is Role.OWNER else ", read-only"
        result.append(f"Node {node_name(s, node_id)} reports {_HAD[seen.role]} {seen.epoch}{where}{writes}.")
    if s.lease is not None:
        result.append(f"I{_lease_text(s, s.lease)[1:]}.")
    if move is not None:
        result.append(f"It {_going(s, move)}, in the phase {move.phase.value}.")
    result += _copies_elsewhere(s)
    for node_id in sorted(own.deposed, key=str):
        result.append(
            f"What node {node_name(s, node_id)} has of it, if anything, may differ from what is served: it is put aside"
            " as soon as that node is connected and the owner serves."
        )
    for node_id in sorted(own.handed_over, key=str):
        result.append(f"Node {node_name(s, node_id)} still has to remove its former copy.")
    waits = waiting_for(s)
    result.append(f"It waits for {waits.rstrip(chr(46))}." if waits else "Nothing is in its way.")
    return result


def _going(s: Situation, move: Move) -> str:
    source, target = (f"node {node_name(s, node_id)}" for node_id in (move.source, move.target))
    if move.failover:
        return f"is failed over from {source} to {target}"
    if move.returns:
        return f"goes back from {source} to {target}, since its application didn't start"
    return f"is moving from {source} to {target}"


def _copies_elsewhere(s: Situation) -> list[str]:
    """
    Of what has no connection, what was last heard; and, if that is the owner, how to go on without it.
    """
    result = []
    unavailable = s.ownership.created and s.ownership.owner not in s.nodes
    if unavailable and known_copy(s, s.ownership.owner) is None:
        result.append(f"Nothing is known of what node {node_name(s, s.ownership.owner)} has of it at present.")
    for copy in known_copies(s):
        where, what = node_name(s, copy.node_id), snapshot_text(s, copy.heard)
        if not copy.connected:
            result.append(
                f"Node {where} has had no connection {since_text(s, copy.node_id)}; then it had {_HAD[copy.heard.role]}"
                f" {copy.heard.epoch}, with {what}."
            )
        elif unavailable and is_candidate(s, copy):
            result.append(
                f"Node {where} has {what}: {loss_text(s, copy.heard)}. If node {node_name(s, s.ownership.owner)} is"
                f" gone for good, go on from there by `flockerctl failover"
                f" {s.dataset.name or s.dataset.dataset_id} --to {where}`."
            )
    return result
