"""
What each node is asked to do: the roles of one dataset, and the containers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pyrsistent import PMap, pmap, pvector

from flocker_control import situation as facts
from flocker_control.situation import Situation
from flocker_control.state import stash_key
from flocker_py.assignment import (
    DatasetAssignment,
    Destroy,
    Keep,
    Own,
    Receive,
    Release,
    Remove,
    SendTo,
    Stash,
    StashAssignment,
)
from flocker_py.model import (
    Container,
    Dataset,
    DatasetId,
    Move,
    MovePhase,
    NodeId,
    Ownership,
    PartitionPolicy,
    StashWish,
)
from flocker_py.observed import NodeObservation, StashObservation
from flocker_py.storage import Role


def assignments(s: Situation) -> PMap[NodeId, DatasetAssignment]:
    """
    What each node concerned is asked to do with the dataset, under an ownership that is durable.
    """
    if facts.record_is_older(s) is not None or facts.exists_already(s) is not None:
        return pmap()
    if s.dataset.deleted and s.ownership.move is None:
        # What never was made by our record, and yet is on another node, isn't ours to destroy.
        doomed = (n for n in facts.holders(s) if s.ownership.created or n == s.ownership.owner)
        return pmap({n: Destroy(dataset_id=s.dataset.dataset_id, epoch=s.ownership.epoch) for n in doomed})
    concerned = {s.ownership.owner, *s.ownership.handed_over, *s.ownership.deposed}
    concerned |= {n for n, node in s.nodes.items() if s.dataset.dataset_id in node.datasets}
    if s.ownership.move is not None:
        concerned |= {s.ownership.move.target, s.ownership.move.source}
    if facts.must_stop_first(s):
        # Told nothing, it leaves what it has as it is; it may have been told already, and then it has begun.
        concerned.discard(s.ownership.owner)
    return pmap({n: _assignment(s, n) for n in concerned})


def _assignment(s: Situation, node_id: NodeId) -> DatasetAssignment:
    own, move = s.ownership, s.ownership.move
    if node_id == own.owner:
        return _owners_assignment(s)
    proven = facts.is_proven(s) and (move is None or move.phase is MovePhase.COPYING)
    if node_id in own.deposed and proven:
        return Stash(
            dataset_id=own.dataset_id,
            epoch=own.epoch,
            common_guid=own.bases.get(node_id),
            keep_seconds=s.keep_stash_seconds,
        )
    if node_id in own.deposed:
        # Until the new owner has begun, this may be the copy that is needed after all.
        return Keep(dataset_id=own.dataset_id, epoch=own.epoch)
    if move is not None and node_id == move.target:
        return Receive(
            dataset_id=own.dataset_id,
            epoch=own.epoch,
            move_id=move.move_id,
            source=move.source,
            maximum_size_bytes=s.dataset.maximum_size_bytes,
            base_guid=own.bases.get(node_id),
        )
    proven = proven and move is None
    if proven and node_id in own.handed_over:
        return Remove(dataset_id=own.dataset_id, epoch=own.epoch, proven_guid=own.handed_over[node_id])
    seen = s.seen(node_id)
    if proven and seen is not None and seen.role is Role.REPLICA:
        return Remove(dataset_id=own.dataset_id, epoch=own.epoch)
    return Keep(dataset_id=own.dataset_id, epoch=own.epoch)


def _owners_assignment(s: Situation) -> DatasetAssignment:
    own, move = s.ownership, s.ownership.move
    if move is not None and move.phase in (MovePhase.RELEASING, MovePhase.FINAL):
        return Release(dataset_id=own.dataset_id, epoch=own.epoch, send_to=_send_to(s, move))
    taking = move is not None and move.phase is MovePhase.TAKING
    copying = move is not None and move.phase is MovePhase.COPYING
    return Own(
        dataset_id=own.dataset_id,
        epoch=own.epoch,
        may_create=not own.created,
        take_guid=move.final_guid if taking and move is not None else None,
        maximum_size_bytes=s.dataset.maximum_size_bytes,
        keep_snapshots=move is not None or bool(own.handed_over),
        send_to=_send_to(s, move) if copying and move is not None else None,
        leased=s.dataset.on_partition is PartitionPolicy.FENCE,
        keep_guids=pvector(sorted(set(own.bases.values()))),
        from_stash=own.from_stash,
        origin=None if own.created else s.dataset.origin,
    )


def _send_to(s: Situation, move: Move) -> SendTo | None:
    target = s.nodes.get(move.target)
    if target is None:
        return None
    return SendTo(
        move_id=move.move_id,
        target=move.target,
        address=target.address,
        port=target.transfer_port,
        max_downtime_seconds=s.dataset.max_downtime_seconds,
        on_overrun=s.dataset.on_overrun,
    )


_SERVING_PHASES = (None, MovePhase.COPYING, MovePhase.TAKING)


def runs_on(
    container: Container, datasets: Mapping[DatasetId, Dataset], ownerships: Mapping[DatasetId, Ownership]
) -> NodeId | None:
    """
    The one node that should run a container now. With mounts, it is where all of its datasets are, wherever that is:
    containers follow their data. None: nowhere at present, because data is missing or on its way.
    """
    if not container.mounts:
        return container.node_id
    owners: set[NodeId] = set()
    for mount in container.mounts:
        ownership, dataset = ownerships.get(mount.dataset_id), datasets.get(mount.dataset_id)
        if ownership is None or dataset is None or dataset.deleted or not ownership.created:
            return None
        if (None if ownership.move is None else ownership.move.phase) not in _SERVING_PHASES:
            return None
        owners.add(ownership.owner)
    return owners.pop() if len(owners) == 1 else None


def stash_assignments(
    node: NodeObservation, wishes: Mapping[str, StashWish], situations: Mapping[DatasetId, Situation]
) -> PMap[str, StashAssignment]:
    """
    What is to become of what a node has put aside.

    :param wishes: of operators, by key in the store.
    :param situations: of the datasets that these are of, as far as there is a record of them.
    """
    result = {}
    for name, stash in node.stashes.items():
        wish = wishes.get(stash_key(node.node_id, name))
        result[name] = StashAssignment(
            mounted=wish is not None and wish.mounted,
            dropped=wish is not None and wish.dropped,
            may_expire=_is_needless(situations.get(stash.dataset_id), stash),
        )
    return pmap({name: asked for name, asked in result.items() if asked != StashAssignment()})


def _is_needless(s: Situation | None, stash: StashObservation) -> bool:
    if s is None or facts.record_is_older(s) is not None:
        return False
    if s.dataset.deleted:
        return True
    own = s.ownership
    return own.move is None and own.from_stash != stash.name and own.epoch > stash.epoch and facts.is_proven(s)


def fulfilled(node: NodeObservation, wishes: Iterable[StashWish]) -> tuple[StashWish, ...]:
    """
    The wishes about a node's stashes that nothing is left to do for.
    """
    if not node.storage_known:
        return ()
    return tuple(wish for wish in wishes if wish.node_id == node.node_id and _is_fulfilled(node, wish))


def _is_fulfilled(node: NodeObservation, wish: StashWish) -> bool:
    stash = node.stashes.get(wish.name)
    return stash is None or (not wish.mounted and not wish.dropped and stash.path is None)
