"""
What users ask. What becomes of it is said by ``flocker_control.decisions``.
"""

from __future__ import annotations

from uuid import UUID

from pyrsistent import PMap, PVector

from flocker_control.dataset_leases import AcquireLease, LeaseRule, ReleaseLease
from flocker_control.failover import (
    Adopt,
    Failover,
    RestoreStash,
)
from flocker_control.stash_wishes import DropStash, MountStash
from flocker_py.model import (
    Container,
    ContainerName,
    DatasetId,
    MoveId,
    NodeId,
    Origin,
    OverrunPolicy,
    PartitionPolicy,
    StartFailurePolicy,
)
from flocker_py.records import Record, mapping, sequence, value

_NONE = type(None)
_NUMBER = (int, float)

MOVE_POLICY_FIELDS = ("max_downtime_seconds", "on_overrun", "on_start_failure")
"""By which rules a dataset is moved."""


class CreateDataset(Record):
    """
    Make a dataset, empty or as a copy of a snapshot.

    :param dataset_id: never used before. The primary need not be a node that is known yet.
    :param origin: of a dataset that the primary owns.
    """

    dataset_id: DatasetId = value(UUID)
    primary: NodeId = value(UUID)
    name: str | None = value((str, _NONE), default=None)
    maximum_size_bytes: int | None = value((int, _NONE), default=None)
    metadata: PMap[str, str] = mapping(str, str, default={})
    max_downtime_seconds: float = value(_NUMBER, default=2.0)
    on_overrun: OverrunPolicy = value(OverrunPolicy, default=OverrunPolicy.GIVE_UP)
    on_start_failure: StartFailurePolicy = value(StartFailurePolicy, default=StartFailurePolicy.GO_BACK)
    on_partition: PartitionPolicy = value(PartitionPolicy, default=PartitionPolicy.KEEP)
    origin: Origin | None = value((Origin, _NONE), default=None)


class ChangePrimary(Record):
    """
    Want a dataset on another node. Asking again for what was given up or cancelled is a new wish.
    """

    dataset_id: DatasetId = value(UUID)
    primary: NodeId = value(UUID)


class ResizeDataset(Record):
    """
    Want a dataset of another size.
    """

    dataset_id: DatasetId = value(UUID)
    maximum_size_bytes: int | None = value((int, _NONE))


class RenameDataset(Record):
    """
    Call a dataset something else.
    """

    dataset_id: DatasetId = value(UUID)
    name: str | None = value((str, _NONE))


class ChangeMetadata(Record):
    """
    Attach other metadata to a dataset, instead of what it has.
    """

    dataset_id: DatasetId = value(UUID)
    metadata: PMap[str, str] = mapping(str, str, default={})


class ChangeMovePolicy(Record):
    """
    Move a dataset by other rules, from now on and in the move that is under way.
    """

    dataset_id: DatasetId = value(UUID)
    max_downtime_seconds: float = value(_NUMBER)
    on_overrun: OverrunPolicy = value(OverrunPolicy)
    on_start_failure: StartFailurePolicy = value(StartFailurePolicy)


class ChangePartitionPolicy(Record):
    """
    Let a dataset be served, or not, while its node has no connection to the control service.
    """

    dataset_id: DatasetId = value(UUID)
    on_partition: PartitionPolicy = value(PartitionPolicy)


class DeleteDataset(Record):
    """
    Delete a dataset, for ever. Doing it twice is harmless.
    """

    dataset_id: DatasetId = value(UUID)


class PutContainer(Record):
    """
    Run a container, or run it as something else. If it changes its node, the datasets that it keeps go with it.

    :param node_may_be_unknown: its node need not be one that ever was part of the cluster: it runs there once it is.
    """

    container: Container = value(Container)
    node_may_be_unknown: bool = value(bool, default=False)


class RemoveContainer(Record):
    """
    Run a container no more. Its datasets stay.
    """

    name: ContainerName = value(str)


class PutNode(Record):
    """
    Say what a node is called, where it is, and what kind it is.

    :param name: and ``address``, ``labels``: None leaves what is known.
    """

    node_id: NodeId = value(UUID)
    name: str | None = value((str, _NONE), default=None)
    address: str | None = value((str, _NONE), default=None)
    labels: PMap[str, str] | None = value((PMap, _NONE), default=None)


class DrainNode(Record):
    """
    Put nothing new on a node. What is there goes elsewhere by commands of its own: see ``flocker_control.placement``.
    """

    node_id: NodeId = value(UUID)


class UndrainNode(Record):
    """
    Let a node be used again. What has left it stays where it is.
    """

    node_id: NodeId = value(UUID)


class RemoveNode(Record):
    """
    Take a node that has nothing any more out of the cluster. Doing it twice is harmless.

    :param is_dead: the operator's word that it never comes back: nothing is waited for that it may still have of what
        belongs to others.
    """

    node_id: NodeId = value(UUID)
    is_dead: bool = value(bool, default=False)


class ReadmitNode(Record):
    """
    Let a node that was removed be part of the cluster again. If its name was given to another, it has none.
    """

    node_id: NodeId = value(UUID)


class StartMove(Record):
    """
    Move a dataset, together with the container that uses it and all that this container uses.
    """

    dataset_id: DatasetId = value(UUID)
    target: NodeId = value(UUID)


class CancelMove(Record):
    """
    Let a dataset stay where it is, together with the container that uses it and all that this container uses.
    """

    move_id: MoveId = value(UUID)


class UnderLease(Record):
    """
    Do something although datasets are leased: now, or when the leases end.
    """

    command: Command = value(Record)
    rule: LeaseRule = value(LeaseRule)


class ApplyAll(Record):
    """
    Do all of these, one after the other, or nothing.
    """

    commands: PVector[Command] = sequence(Record, default=())


Command = (
    CreateDataset
    | ChangePrimary
    | ResizeDataset
    | RenameDataset
    | ChangeMetadata
    | ChangeMovePolicy
    | ChangePartitionPolicy
    | DeleteDataset
    | PutContainer
    | RemoveContainer
    | PutNode
    | DrainNode
    | UndrainNode
    | RemoveNode
    | ReadmitNode
    | StartMove
    | CancelMove
    | Failover
    | Adopt
    | RestoreStash
    | MountStash
    | DropStash
    | AcquireLease
    | ReleaseLease
    | UnderLease
    | ApplyAll
)
