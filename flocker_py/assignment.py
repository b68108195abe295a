"""
What the control service asks of one node: per dataset one of seven roles, the containers to run and those to get ready
for, what is to become of stashes, and where the ports lead that containers on other nodes publish.

A node acts on an assignment only if its epoch is not below the one written in the dataset's own properties.
Having no assignment for a dataset means nothing: the node leaves it exactly as it is.
"""

from __future__ import annotations

from uuid import UUID

from pyrsistent import PMap, PVector

from flocker_py.model import (
    Container,
    ContainerName,
    DatasetId,
    Guid,
    MoveId,
    NodeId,
    Origin,
    OverrunPolicy,
)
from flocker_py.records import Record, mapping, sequence, value

_NONE = type(None)
_NUMBER = (int, float)


class SendTo(Record):
    """
    Where the owner sends snapshots of a dataset that moves.

    :param address: IP address of the target's transfer port.
    :param max_downtime_seconds: catch-up rounds go on until the predicted cut-over fits this.
    """

    move_id: MoveId = value(UUID)
    target: NodeId = value(UUID)
    address: str = value(str)
    port: int = value(int)
    max_downtime_seconds: float = value(_NUMBER)
    on_overrun: OverrunPolicy = value(OverrunPolicy)


class Own(Record):
    """
    You may write this dataset, under this epoch; and nobody else may.

    :param may_create: make it, empty, if it is not there. Only ever true for a dataset that never existed.
    :param take_guid: taking over: the newest snapshot must be this one, else touch nothing and say so.
    :param keep_snapshots: snapshots of ours are still somebody's base; leave them.
    :param send_to: where to send snapshots while going on serving; None: nowhere.
    :param leased: only for as long as the node's lease lasts: when it ends, end what uses the dataset, and unmount it.
    :param keep_guids: these snapshots are the way back for a node that was put out of the history; leave them.
    :param from_stash: the data was put aside here under this name: give it its place back, if nothing else is in it.
    :param origin: with ``may_create``: make it as a copy of that, which is here, too; None: empty.
    """

    dataset_id: DatasetId = value(UUID)
    epoch: int = value(int)
    may_create: bool = value(bool, default=False)
    take_guid: Guid | None = value((int, _NONE), default=None)
    maximum_size_bytes: int | None = value((int, _NONE), default=None)
    keep_snapshots: bool = value(bool, default=False)
    send_to: SendTo | None = value((SendTo, _NONE), default=None)
    leased: bool = value(bool, default=False)
    keep_guids: PVector[Guid] = sequence(int, default=())
    from_stash: str | None = value((str, _NONE), default=None)
    origin: Origin | None = value((Origin, _NONE), default=None)


class Release(Record):
    """
    Stop writing: containers stopped, unmounted, read-only, recorded as released; then send the final snapshot.

    :param send_to: None while the target can't be reached; the dataset stays released.
    """

    dataset_id: DatasetId = value(UUID)
    epoch: int = value(int)
    send_to: SendTo | None = value((SendTo, _NONE), default=None)


class Receive(Record):
    """
    Take in snapshots of this dataset, from this node only, as a read-only replica.

    :param epoch: of the source's ownership; a sender that names another is turned away.
    :param base_guid: a snapshot that the source has, too: begin from a stash that has it, if there is nothing else.
    """

    dataset_id: DatasetId = value(UUID)
    epoch: int = value(int)
    move_id: MoveId = value(UUID)
    source: NodeId = value(UUID)
    maximum_size_bytes: int | None = value((int, _NONE), default=None)
    base_guid: Guid | None = value((int, _NONE), default=None)


class Keep(Record):
    """
    Do not write this dataset, and do not lose it either.
    """

    dataset_id: DatasetId = value(UUID)
    epoch: int = value(int)


class Remove(Record):
    """
    Your copy is no longer needed: remove it, if it is what we think it is.

    :param proven_guid: the newest snapshot that is proven to be elsewhere. A former owner's copy is removed only if
        this is its newest snapshot and nothing was written since; None: only a replica that never was owned.
    """

    dataset_id: DatasetId = value(UUID)
    epoch: int = value(int)
    proven_guid: Guid | None = value((int, _NONE), default=None)


class Destroy(Record):
    """
    The operator deleted this dataset: destroy every copy of it, with its snapshots.
    """

    dataset_id: DatasetId = value(UUID)
    epoch: int = value(int)


class Stash(Record):
    """
    Another node has been given this dataset without your word: write it no more, and put what you have aside, whole.

    :param common_guid: what the owner took over with. A copy that ends in this snapshot, with nothing written since,
        holds nothing that the owner lacks, and is removed.
    :param keep_seconds: how long it is to be kept at least.
    """

    dataset_id: DatasetId = value(UUID)
    epoch: int = value(int)
    common_guid: Guid | None = value((int, _NONE), default=None)
    keep_seconds: float = value(_NUMBER)


DatasetAssignment = Own | Release | Receive | Keep | Remove | Destroy | Stash


class StashAssignment(Record):
    """
    What is to become of something that was put aside.

    :param mounted: make it readable, and no more than that.
    :param dropped: destroy it, for good, as the operator asked.
    :param may_expire: once its time is over it may be destroyed: the dataset is served under a later epoch, or deleted.
    """

    mounted: bool = value(bool, default=False)
    dropped: bool = value(bool, default=False)
    may_expire: bool = value(bool, default=False)


class Forward(Record):
    """
    A port that containers on other nodes publish, and where it leads from this one.

    :param containers: that publish it, by name.
    :param address: IP address of the node where the one is that does; None: nowhere, since several nodes have one.
    """

    protocol: str = value(str)
    port: int = value(int)
    containers: PVector[ContainerName] = sequence(str, default=())
    address: str | None = value((str, _NONE), default=None)


class NodeAssignment(Record):
    """
    One node's slice of what is wanted.

    :param revision: of the control service's store when this was decided.
    :param forwards: for a node that forwards: by protocol and port, as in ``tcp/5432``.
    :param preparing: what will run here once its data has come: get what it needs, such as its image, and say so.
    """

    node_id: NodeId = value(UUID)
    revision: int = value(int)
    datasets: PMap[DatasetId, DatasetAssignment] = mapping(
        UUID, (Own, Release, Receive, Keep, Remove, Destroy, Stash), default={}
    )
    containers: PMap[ContainerName, Container] = mapping(str, Container, default={})
    stashes: PMap[str, StashAssignment] = mapping(str, StashAssignment, default={})
    forwards: PMap[str, Forward] = mapping(str, Forward, default={})
    preparing: PMap[ContainerName, Container] = mapping(str, Container, default={})


class Remembered(Record):
    """
    An assignment as a node keeps it, for the time when the control service is away.

    :param era: of the host when it was written, as in ``NodeObservation``.
    """

    era: UUID = value(UUID)
    assignment: NodeAssignment = value(NodeAssignment)
