"""
What a volume needs next to be mounted on this node.

======================================================  =========================================================
what is seen, the first that holds                      what is done
======================================================  =========================================================
it is being deleted                                     refused
it is leased to another node                            refused, with the node
an app of the cluster on another node uses it           refused, with the app
it is moving, or is to move, to another node            refused, with the node
its move here, which was asked for, has failed          refused, with the reason
another node has it, which can't be heard, and no move  refused, with what an operator can do
has begun
it isn't leased to this node, until it is released      take the lease
another node has it, or it is wanted on another         ask for the move, once
this node has it, and has it mounted                    done
otherwise                                               wait
======================================================  =========================================================

What is refused is refused at once, and nothing is left of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from pyrsistent import PMap

from flocker_py.client.views import ContainersView, ContainerView, DatasetView, MoveView
from flocker_py.model import MoveId, NodeId
from flocker_py.records import Record, mapping, value

_NONE = type(None)


class Refuse(Record):
    """
    It can't be had, and why.
    """

    text: str = value(str)


class TakeLease(Record):
    """
    Hold it for this node.
    """


class AskForMove(Record):
    """
    Want it on this node.
    """


class Wait(Record):
    """
    Look again later.

    :param reason: what is waited for.
    """

    reason: str = value(str)


class Ready(Record):
    """
    It can be used.

    :param path: on this node.
    """

    path: str = value(str)


Step = Refuse | TakeLease | AskForMove | Wait | Ready


class Look(Record):
    """
    What is known when a step is decided.

    :param volume: what Docker calls it.
    :param here: this node; ``names``: what to call each.
    :param asked: the move was asked for already; ``last_move``: the one that had ended last before.
    """

    volume: str = value(str)
    dataset: DatasetView = value(DatasetView)
    containers: ContainersView = value(ContainersView)
    here: NodeId = value(UUID)
    names: PMap[NodeId, str] = mapping(UUID, str, default={})
    asked: bool = value(bool, default=False)
    last_move: MoveId | None = value((UUID, _NONE), default=None)


def users(look: Look) -> list[ContainerView]:
    """
    The apps of the cluster that use the volume.
    """
    return [
        container
        for container in look.containers.containers
        if any(mount.dataset_id == look.dataset.dataset_id for mount in container.mounts)
    ]


def next_step(look: Look) -> Step:
    """
    What is to be done next.
    """
    text = _refusal(look)
    if text is not None:
        return Refuse(text=text)
    dataset, lease = look.dataset, look.dataset.lease
    if lease is None or lease.left_seconds is not None:
        return TakeLease()
    owned = dataset.owner == look.here
    # What waits for the end of the lease isn't done while it is mounted.
    wanted_here = dataset.primary == look.here or (owned and lease.is_waited_for)
    under_way = owned or dataset.move is not None
    if not look.asked and not (wanted_here and under_way):
        return AskForMove()
    if owned and dataset.mounted and dataset.path is not None:
        return Ready(path=dataset.path)
    return Wait(reason=_reason(look))


def _refusal(look: Look) -> str | None:
    dataset, here = look.dataset, look.here
    if dataset.deleted:
        return f"volume {look.volume} is being deleted"
    lease = dataset.lease
    if lease is not None and lease.node_id != here:
        return held_text(look.volume, _named(look, lease.node_id), lease.left_seconds)
    for container in users(look):
        if container.node_id != here:
            where = _named(look, container.node_id)
            return (
                f"volume {look.volume} is used by the app {container.name} on node {where}, and moves with that alone:"
                " move or remove the app by flocker-deploy"
            )
    move = dataset.move
    if move is not None and move.target != here:
        return (
            f"volume {look.volume} is moving from node {_named(look, move.source)} to node {_named(look, move.target)}"
            f" (phase {move.phase}): try again when it is there, or let it stay by `flockerctl cancel {look.volume}`"
        )
    if look.asked and move is None and dataset.owner != here:
        failed = _failed_move(look)
        if failed is not None:
            reason = failed.reason or failed.outcome
            return f"volume {look.volume} couldn't be moved here from node {_named(look, failed.source)}: {reason}"
    begun = look.asked or move is not None
    if not begun and dataset.owner != here and dataset.status in ("unavailable", "unknown"):
        owner = _named(look, dataset.owner)
        return (
            f"volume {look.volume} is on node {owner}, which has no connection to the control service. Bring that node "
            f"back; if it is gone for good, go on from another copy by `flockerctl failover {look.volume} --to "
            f"{_named(look, here)}`"
        )
    return None


def _failed_move(look: Look) -> MoveView | None:
    last = look.dataset.last_move
    if last is None or last.move_id == look.last_move or last.target != look.here or last.outcome == "done":
        return None
    return last


def held_text(volume: str, node: str, left_seconds: float | None) -> str:
    """
    That somebody else has a volume.

    :param left_seconds: of the lease; None: it lasts until it is released.
    """
    left = "until that is released" if left_seconds is None else f"for another {left_seconds:.0f} s"
    return (
        f"volume {volume} is in use on node {node}, which holds a lease of it {left}: stop the container that uses it "
        f"there. If there is none any more, release it by `flockerctl release {volume}`"
    )


def _reason(look: Look) -> str:
    dataset, move = look.dataset, look.dataset.move
    if move is not None:
        waits = f", waiting for {move.waiting_for}" if move.waiting_for else ""
        return f"it is moving here from node {_named(look, move.source)} (phase {move.phase}{waits})"
    if dataset.waiting_for is not None:
        return f"it waits for {dataset.waiting_for}"
    if dataset.last_error is not None:
        return dataset.last_error.text
    if not dataset.created:
        return "it is being made"
    return "the agent of this node is about to mount it"


def too_late_text(volume: str, here: str, waited_seconds: float, reason: str) -> str:
    """
    That a volume isn't there yet, and that trying again goes on with what was begun.
    """
    return (
        f"volume {volume} is not on node {here} yet after {waited_seconds:.0f} s: {reason}. That goes on by itself; try"
        f" again, and it is found where it is by then. `flockerctl explain {volume}` shows how it does"
    )


def called(names: Mapping[NodeId, str], node_id: NodeId) -> str:
    """
    What to call a node.
    """
    return names.get(node_id, str(node_id))


def _named(look: Look, node_id: NodeId) -> str:
    return called(look.names, node_id)
