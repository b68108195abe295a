"""
What was last heard of a node that has no session: all that is known of its copies until it comes back.
"""

from __future__ import annotations

from uuid import UUID

from pyrsistent import PMap, pmap

from flocker_py.model import DatasetId, Guid, NodeId
from flocker_py.observed import DatasetObservation, NodeObservation
from flocker_py.records import Record, mapping, value
from flocker_py.storage import Role

_NONE = type(None)
_NUMBER = (int, float)


class LastHeard(Record):
    """
    One dataset, as the node last reported it.

    :param acknowledged_guid: the newest snapshot of it that the target of a move was known to have; None: not known.
    :param unsent_bytes: of the last snapshot, so much had not been sent; None: it was not being sent. What was written
        after that snapshot is in neither.
    """

    role: Role = value(Role)
    epoch: int = value(int)
    newest_guid: Guid | None = value((int, _NONE), default=None)
    newest_name: str | None = value((str, _NONE), default=None)
    newest_at_seconds: float | None = value((*_NUMBER, _NONE), default=None)
    used_bytes: int = value(int, default=0)
    acknowledged_guid: Guid | None = value((int, _NONE), default=None)
    unsent_bytes: int | None = value((int, _NONE), default=None)


class Absence(Record):
    """
    A node that has no session. Forgotten when it comes back.

    :param since_seconds: when its last session ended, since the epoch of Unix, by the control service's clock.
    :param complete: the node had looked at all of its pool; without this, it may have more than is here.
    """

    node_id: NodeId = value(UUID)
    since_seconds: float = value(_NUMBER)
    complete: bool = value(bool, default=False)
    datasets: PMap[DatasetId, LastHeard] = mapping(UUID, LastHeard, default={})


def absence(node: NodeObservation, since_seconds: float) -> Absence:
    """
    What is to be remembered of a node whose session has ended.
    """
    return Absence(
        node_id=node.node_id,
        since_seconds=since_seconds,
        complete=node.storage_known,
        datasets=pmap({dataset_id: last_heard(seen) for dataset_id, seen in node.datasets.items()}),
    )


def last_heard(seen: DatasetObservation) -> LastHeard:
    """
    What is to be remembered of one of its datasets.
    """
    sending = seen.sending
    return LastHeard(
        role=seen.role,
        epoch=seen.epoch,
        newest_guid=seen.newest_guid,
        newest_name=seen.newest_name,
        newest_at_seconds=seen.newest_at_seconds,
        used_bytes=seen.used_bytes,
        acknowledged_guid=None if sending is None else sending.acknowledged_guid,
        unsent_bytes=None if sending is None else max(0, sending.total_bytes - sending.round_bytes),
    )
