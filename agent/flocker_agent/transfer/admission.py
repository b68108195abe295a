"""
Whom a node takes snapshots from: whom the control service assigned to it, and nobody else.
"""

from __future__ import annotations

from collections.abc import Callable

from flocker_py.assignment import DatasetAssignment, Receive
from flocker_py.model import DatasetId, MoveId, NodeId
from flocker_py.records import Record, value


class Admitted(Record):
    """
    The transfer may go on. Until the end of it is told, nobody else changes the dataset on this node.
    """


class Refused(Record):
    """
    The transfer may not go on.

    :param code: and ``text``: as an error's class and message.
    :param lasting: trying again can't help before somebody changes something.
    """

    code: str = value(str)
    text: str = value(str)
    lasting: bool = value(bool, default=False)


Admission = Callable[[DatasetId, int, MoveId, NodeId], Admitted | Refused]
"""
Of dataset, epoch and move that a sender names, and the node that it has proven to be. Called from any thread; for as
long as it takes the sender waits.
"""


def admission(
    assigned: DatasetAssignment | None, dataset_id: DatasetId, epoch: int, move_id: MoveId, peer: NodeId
) -> Admitted | Refused:
    """
    Whether a transfer is what was assigned.

    :param assigned: what this node was last asked to do with the dataset; None: nothing.
    :param peer: the node at the other end, by its certificate.
    """
    if not isinstance(assigned, Receive):
        # The sender may have heard of the move first.
        return Refused(
            code="TransferUnexpected",
            text=f"this node was not asked to receive dataset {dataset_id}, as far as it has heard",
        )
    if assigned.source != peer:
        return Refused(
            code="TransferUnexpected",
            text=f"dataset {dataset_id} comes from node {assigned.source}, not from node {peer}",
        )
    if assigned.epoch != epoch:
        return Refused(
            code="EpochWrong",
            text=f"dataset {dataset_id} is at epoch {assigned.epoch} as far as this node has heard, not at {epoch}",
        )
    if assigned.move_id != move_id:
        return Refused(
            code="TransferUnexpected",
            text=f"dataset {dataset_id} is in move {assigned.move_id}, not in {move_id}",
        )
    return Admitted()
