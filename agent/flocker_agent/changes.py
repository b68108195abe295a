"""
What an agent can do to one dataset or container: one record per kind of change.

A change is one step that can be repeated: after a crash, what it did is read back from the pool, and planned anew.
"""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from pyrsistent import PVector

from flocker_py.assignment import SendTo
from flocker_py.model import Container, ContainerName, DatasetId, Guid, Origin
from flocker_py.records import Record, sequence, value

_NONE = type(None)
_NUMBER = (int, float)


class Change(Record):
    """
    One step. ``kind`` is the type of its eliot action; its fields are the action's.
    """

    kind: ClassVar[str]


class CreateDataset(Change):
    """
    Make a dataset that never existed.
    """

    kind = "flocker:agent:create"
    dataset_id: DatasetId = value(UUID)
    epoch: int = value(int)
    maximum_size_bytes: int | None = value((int, _NONE), default=None)


class CopyDataset(Change):
    """
    Make a dataset that never existed from a snapshot of another one in the pool. It is nobody's until it is taken.
    """

    kind = "flocker:agent:copy"
    dataset_id: DatasetId = value(UUID)
    origin: Origin = value(Origin)
    maximum_size_bytes: int | None = value((int, _NONE), default=None)


class TakeDataset(Change):
    """
    Become the owner, under an epoch.
    """

    kind = "flocker:agent:take"
    dataset_id: DatasetId = value(UUID)
    epoch: int = value(int)


class LimitDataset(Change):
    """
    Set how much a dataset may hold.
    """

    kind = "flocker:agent:limit"
    dataset_id: DatasetId = value(UUID)
    maximum_size_bytes: int | None = value((int, _NONE), default=None)


class MountDataset(Change):
    """
    Make the data reachable.
    """

    kind = "flocker:agent:mount"
    dataset_id: DatasetId = value(UUID)


class UnmountDataset(Change):
    """
    Make the data unreachable.
    """

    kind = "flocker:agent:unmount"
    dataset_id: DatasetId = value(UUID)


class LayDownDataset(Change):
    """
    Record that nobody writes here any more under this epoch.
    """

    kind = "flocker:agent:lay-down"
    dataset_id: DatasetId = value(UUID)
    epoch: int = value(int)


class TakeFinalSnapshot(Change):
    """
    Snapshot what was laid down.
    """

    kind = "flocker:agent:final-snapshot"
    dataset_id: DatasetId = value(UUID)
    epoch: int = value(int)


class BecomeReplica(Change):
    """
    Turn a copy that was laid down into a replica, if nothing was written since its newest snapshot.
    """

    kind = "flocker:agent:become-replica"
    dataset_id: DatasetId = value(UUID)
    epoch: int = value(int)


class StartSending(Change):
    """
    Open a session to another node, and send.

    :param final_guid: send up to this snapshot and end; None: send catch-up rounds until told to finish.
    """

    kind = "flocker:agent:start-sending"
    dataset_id: DatasetId = value(UUID)
    epoch: int = value(int)
    send_to: SendTo = value(SendTo)
    final_guid: Guid | None = value((int, _NONE), default=None)


class FinishSending(Change):
    """
    Send the final snapshot on the session that is open.
    """

    kind = "flocker:agent:finish-sending"
    dataset_id: DatasetId = value(UUID)
    final_guid: Guid = value(int)


class StopSending(Change):
    """
    End a session.
    """

    kind = "flocker:agent:stop-sending"
    dataset_id: DatasetId = value(UUID)


class StopReceiving(Change):
    """
    End what is coming in.
    """

    kind = "flocker:agent:stop-receiving"
    dataset_id: DatasetId = value(UUID)


class AbortReceive(Change):
    """
    Throw away what came in only in part.
    """

    kind = "flocker:agent:abort-receive"
    dataset_id: DatasetId = value(UUID)


class RemoveCopy(Change):
    """
    Remove a copy that is proven to be elsewhere.

    :param proven_guid: for a former owner's copy: the newest snapshot, since which nothing may have been written.
    """

    kind = "flocker:agent:remove-copy"
    dataset_id: DatasetId = value(UUID)
    proven_guid: Guid | None = value((int, _NONE), default=None)


class DestroyDataset(Change):
    """
    Destroy what the operator deleted.
    """

    kind = "flocker:agent:destroy"
    dataset_id: DatasetId = value(UUID)


class CleanSnapshots(Change):
    """
    Remove snapshots of ours that nobody builds on.
    """

    kind = "flocker:agent:clean-snapshots"
    dataset_id: DatasetId = value(UUID)
    guids: PVector[Guid] = sequence(int, default=())


class StashDataset(Change):
    """
    Put aside what another node's copy may lack; or remove it, if it lacks nothing.

    :param common_guid: if the copy ends in this snapshot, with nothing written since, it is removed.
    """

    kind = "flocker:agent:stash"
    dataset_id: DatasetId = value(UUID)
    label: str = value(str)
    common_guid: Guid | None = value((int, _NONE), default=None)
    keep_seconds: float = value(_NUMBER)


class UnstashDataset(Change):
    """
    Give what was put aside its place back.
    """

    kind = "flocker:agent:unstash"
    dataset_id: DatasetId = value(UUID)
    name: str = value(str)


class BranchStash(Change):
    """
    Begin a replica as a snapshot of what was put aside, so that what follows need not be sent whole.
    """

    kind = "flocker:agent:branch-stash"
    dataset_id: DatasetId = value(UUID)
    name: str = value(str)
    guid: Guid = value(int)


class MountStash(Change):
    """
    Make what was put aside readable.
    """

    kind = "flocker:agent:mount-stash"
    name: str = value(str)


class UnmountStash(Change):
    """
    Make it unreadable again.
    """

    kind = "flocker:agent:unmount-stash"
    name: str = value(str)


class DropStash(Change):
    """
    Destroy what was put aside: the operator said so, or its time is over and nobody needs it.
    """

    kind = "flocker:agent:drop-stash"
    name: str = value(str)


class StartContainer(Change):
    """
    Start a container.
    """

    kind = "flocker:agent:start-container"
    container: Container = value(Container)
    leased: bool = value(bool, default=False)


class BindContainer(Change):
    """
    Bind a running container to the node's lease, or unbind it.
    """

    kind = "flocker:agent:bind-container"
    name: ContainerName = value(str)
    leased: bool = value(bool)


class FenceContainer(Change):
    """
    End a container because the node's lease has ended.
    """

    kind = "flocker:agent:fence-container"
    name: ContainerName = value(str)


class RepairContainer(Change):
    """
    Put back what somebody has changed of a container while it runs.
    """

    kind = "flocker:agent:repair-container"
    name: ContainerName = value(str)


class StopContainer(Change):
    """
    Stop a container.
    """

    kind = "flocker:agent:stop-container"
    name: ContainerName = value(str)
    grace_seconds: float = value(_NUMBER)


class RemoveContainer(Change):
    """
    Forget a container that has ended.
    """

    kind = "flocker:agent:remove-container"
    name: ContainerName = value(str)


class Nothing(Record):
    """
    All is as it should be, or others have to act first; news will come.

    :param reason: what is waited for; empty where nothing is.
    """

    reason: str = value(str, default="")


class Problem(Record):
    """
    What is asked can't be done, and trying won't help: what is here contradicts it.

    :param code: stable name of the problem.
    """

    code: str = value(str)
    text: str = value(str)


DatasetChange = (
    CreateDataset
    | CopyDataset
    | TakeDataset
    | LimitDataset
    | MountDataset
    | UnmountDataset
    | LayDownDataset
    | TakeFinalSnapshot
    | BecomeReplica
    | StartSending
    | FinishSending
    | StopSending
    | StopReceiving
    | AbortReceive
    | RemoveCopy
    | DestroyDataset
    | CleanSnapshots
    | StashDataset
    | UnstashDataset
    | BranchStash
)
StashChange = MountStash | UnmountStash | DropStash
ContainerChange = StartContainer | BindContainer | FenceContainer | RepairContainer | StopContainer | RemoveContainer
