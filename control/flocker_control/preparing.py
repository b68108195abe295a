"""
Whether the target of a move has all that the containers need there, such as their images.

It gets that while the source still serves: a source is released once its target says of each container, as it is
defined now, that it has been prepared. What keeps the target from it keeps the move waiting, and nobody stands still.
"""

from __future__ import annotations

from collections.abc import Mapping

from flocker_control import situation as facts
from flocker_control.situation import Situation, node_name
from flocker_py.definitions import definition_digest
from flocker_py.model import Container, DatasetId, MovePhase, NodeId, Ownership
from flocker_py.observed import preparation_of


def preparing_nodes(container: Container | None, ownerships: Mapping[DatasetId, Ownership]) -> frozenset[NodeId]:
    """
    The nodes that are to get ready for a container: those to which datasets that it uses are being copied.

    :param container: None: it is wanted no more.
    """
    mounts = () if container is None else container.mounts
    moves = (own.move for mount in mounts if (own := ownerships.get(mount.dataset_id)) is not None)
    return frozenset(move.target for move in moves if move is not None and move.phase is MovePhase.COPYING)


def unprepared(s: Situation) -> tuple[Container, ...]:
    """
    The containers that the present move has to wait for, since its target has not prepared them as they are now.
    """
    move = s.ownership.move
    if move is None or move.phase is not MovePhase.COPYING or _stands_still(s):
        return ()
    node = s.nodes.get(move.target)
    prepared = {} if node is None else node.prepared
    return tuple(c for c in s.containers if prepared.get(c.name) != definition_digest(c))


def _stands_still(s: Situation) -> bool:
    # Another of their datasets has been released, or is elsewhere: they don't run, and waiting would but take longer.
    return any(
        other.owner != s.ownership.owner or (other.move is not None and other.move.phase is not MovePhase.COPYING)
        for other in s.companions
    )


def waits_for(s: Situation) -> str | None:
    """
    What the present move waits for because its target is not ready for a container, for people; None: nothing, or
    there is something else that takes as long.
    """
    move = s.ownership.move
    node = None if move is None else s.nodes.get(move.target)
    if node is None:
        return None
    missing = unprepared(s)
    called = node_name(s, node.node_id)
    for container in missing:
        error = node.failures.get(preparation_of(container.name))
        if error is not None:
            return f"node {called} to have what container {container.name} needs there: {error.text}"
    if missing and facts.may_stop(facts.sending(s), s.dataset):
        return f"node {called} to fetch what container {missing[0].name} needs there, such as its image"
    return None
