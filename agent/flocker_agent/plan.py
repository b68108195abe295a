"""
What to do next about one dataset, or one container: from what is asked and what is here to one change.

Each answer is the first step that is not done yet; after it, one looks again. So a plan needs no memory: killed between
any two steps and started again, an agent goes on with the right one.

Two rules stand above all others. What the dataset's own properties say beats what is asked under a lower epoch. And
whoever has laid a dataset down takes it up again only under a higher epoch, never under the same one.
"""

from __future__ import annotations

from typing import assert_never
from uuid import UUID

from pyrsistent import PMap, PVector, pvector

from flocker_agent.changes import (
    AbortReceive,
    BecomeReplica,
    BindContainer,
    BranchStash,
    CleanSnapshots,
    ContainerChange,
    CopyDataset,
    CreateDataset,
    DatasetChange,
    DestroyDataset,
    DropStash,
    FenceContainer,
    FinishSending,
    LayDownDataset,
    LimitDataset,
    MountDataset,
    MountStash,
    Nothing,
    Problem,
    RemoveContainer,
    RemoveCopy,
    StartContainer,
    StartSending,
    StashChange,
    StashDataset,
    StopContainer,
    StopReceiving,
    StopSending,
    TakeDataset,
    TakeFinalSnapshot,
    UnmountDataset,
    UnmountStash,
    UnstashDataset,
)
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
from flocker_py.model import Container, ContainerName, Guid, Origin, RestartName
from flocker_py.observed import ContainerObservation, ContainerPhase
from flocker_py.records import Record, mapping, sequence, value
from flocker_py.sentences import listed
from flocker_py.storage import Role, StoredDataset

_NONE = type(None)


class Sending(Record):
    """
    A sending session of ours, while it runs and until another takes its place.

    :param final_guid: what it was told to end with; None: it sends catch-up rounds.
    :param ended: it has ended, and ``failed`` says whether by an error.
    :param acknowledged_guid: the newest snapshot that the target re-read from its pool.
    """

    send_to: SendTo = value(SendTo)
    epoch: int = value(int)
    final_guid: Guid | None = value((int, _NONE), default=None)
    ended: bool = value(bool, default=False)
    failed: bool = value(bool, default=False)
    acknowledged_guid: Guid | None = value((int, _NONE), default=None)


class Local(Record):
    """
    One dataset on this host.

    :param stored: as the pool has it; None: it is not there.
    :param receiving: a stream is coming in at this moment.
    :param users: containers that run with it.
    :param stashes: what was put aside of it here, by name.
    :param lease_over: the lease of this node has ended, and was not renewed.
    """

    stored: StoredDataset | None = value((StoredDataset, _NONE), default=None)
    sending: Sending | None = value((Sending, _NONE), default=None)
    receiving: bool = value(bool, default=False)
    users: PVector[ContainerName] = sequence(str, default=())
    stashes: PMap[str, StoredDataset] = mapping(str, StoredDataset, default={})
    lease_over: bool = value(bool, default=False)


Step = DatasetChange | Nothing | Problem

_LEASE = "the control service to renew the lease of its node, which has ended"


STASHED_AT, EXPIRES_AT = "stashed-at", "stash-expires-at"
"""The properties of a stash in the pool that say since when it is one, and until when: seconds since Unix's epoch."""


_CLOCK_NOT_SET_SECONDS = 1_000_000_000
"""In 2001: what was put aside by a host whose clock was not set, and so near 1970, has no time that could be over."""


def kept_seconds(stash: StoredDataset, name: str) -> float | None:
    """
    A time that is kept in a property; None: it isn't there, or is none.
    """
    text = stash.properties.get(name, "")
    return float(text) if text.isascii() and text.isdigit() else None


def final_name(epoch: int) -> str:
    """
    The name of the final snapshot of an epoch.
    """
    return f"final-{epoch}"


def final_guid(stored: StoredDataset) -> Guid | None:
    """
    The final snapshot of a dataset that was laid down; None: there is none of its epoch.
    """
    if stored.role is not Role.RELEASED:
        return None
    for snapshot in stored.snapshots:
        if snapshot.ours and snapshot.name == final_name(stored.epoch):
            return snapshot.guid
    return None


def newest_guid(stored: StoredDataset) -> Guid | None:
    """
    The newest snapshot, whoever made it.
    """
    return stored.snapshots[-1].guid if stored.snapshots else None


def dataset_step(assignment: DatasetAssignment | None, local: Local) -> Step:
    """
    The next step for a dataset.
    """
    if assignment is None:
        return Nothing()
    stored = local.stored
    if stored is not None and stored.epoch > assignment.epoch:
        return Problem(
            code="EpochBehind",
            text=f"asked under epoch {assignment.epoch}, but the dataset here has seen epoch {stored.epoch}: the store"
            " of the control service is older than the cluster. Restore its newest copy; nothing was done",
        )
    match assignment:
        case Own():
            return _own(assignment, local)
        case Release():
            return _release(assignment, local)
        case Receive():
            return _receive(assignment, local)
        case Keep():
            return _keep(local)
        case Remove():
            return _remove(assignment, local)
        case Destroy():
            return _destroy(assignment, local)
        case Stash():
            return _stash(assignment, local)
        case _:
            assert_never(assignment)


def _own(asked: Own, local: Local) -> Step:
    stored = local.stored
    if asked.leased and local.lease_over:
        return _fence(asked, local)
    if stored is None:
        if asked.from_stash in local.stashes:
            return UnstashDataset(dataset_id=asked.dataset_id, name=str(asked.from_stash))
        if asked.may_create and asked.origin is not None:
            return CopyDataset(
                dataset_id=asked.dataset_id, origin=asked.origin, maximum_size_bytes=asked.maximum_size_bytes
            )
        if asked.may_create:
            return CreateDataset(
                dataset_id=asked.dataset_id,
                epoch=asked.epoch,
                maximum_size_bytes=asked.maximum_size_bytes,
            )
        if asked.take_guid is not None:
            return Problem(
                code="DatasetLost",
                text="the copy that this node was to take over is not here any more: the node had been told to remove"
                " it, or to put it aside, before, and its report of that came too late. What it was a copy of is kept"
                " where it was: fail over again, to a node that has it, or restore a stash",
            )
        return Problem(
            code="DatasetLost",
            text="this node owns the dataset, but its pool does not have it. Nothing is created in its place: import"
            " the pool or disk that holds it, or delete the dataset",
        )
    if stored.role is not Role.OWNER or stored.epoch < asked.epoch:
        return _take(asked, stored, local)
    if stored.mounted_at is None:
        return MountDataset(dataset_id=asked.dataset_id)
    if asked.send_to is not None:
        step = _send(asked.send_to, asked, local, final=None)
    elif _is_open(local.sending):
        step = StopSending(dataset_id=asked.dataset_id)
    else:
        step = _clean(asked, stored)
    # Last, since a limit may be refused for as long as too much is stored, and must not be in the way of the rest.
    if isinstance(step, Nothing) and stored.maximum_size_bytes != asked.maximum_size_bytes:
        return LimitDataset(dataset_id=asked.dataset_id, maximum_size_bytes=asked.maximum_size_bytes)
    return step


def _fence(asked: Own, local: Local) -> Step:
    # Nothing is written down of it: renewed under the same epoch, the lease lets all go on from where it was.
    if local.stored is None or local.stored.mounted_at is None:
        return Nothing(reason=_LEASE)
    if local.users:
        return _wait_for(local.users)
    return UnmountDataset(dataset_id=asked.dataset_id)


def _take(asked: Own, stored: StoredDataset, local: Local) -> Step:
    if stored.epoch == asked.epoch:
        return Nothing(
            reason=f"a higher epoch: the copy there is {stored.role.value} under epoch {stored.epoch}, under which it"
            " is not written again"
        )
    if local.receiving:
        return StopReceiving(dataset_id=asked.dataset_id)
    if _is_open(local.sending):
        return StopSending(dataset_id=asked.dataset_id)
    if stored.role is Role.REPLICA and asked.take_guid is None:
        if asked.origin is not None and stored.epoch == 0:
            return _made(asked, asked.origin, stored)
        return Problem(
            code="NotTheOwnersCopy",
            text="asked to own what is only a replica here, without the snapshot it must have; nothing was done",
        )
    if asked.take_guid is not None and newest_guid(stored) != asked.take_guid:
        return Problem(
            code="WrongSnapshot",
            text=f"asked to take over at snapshot {asked.take_guid}, but the newest one here is {newest_guid(stored)};"
            " nothing was done",
        )
    if stored.resume_token is not None:
        return AbortReceive(dataset_id=asked.dataset_id)
    return TakeDataset(dataset_id=asked.dataset_id, epoch=asked.epoch)


def _made(asked: Own, origin: Origin, stored: StoredDataset) -> Step:
    if not asked.may_create:
        return Nothing(reason="the control service, which has to say again that it is to be made")
    # What was copied in part, before this agent or its host went down, is copied again.
    if stored.partial:
        return AbortReceive(dataset_id=asked.dataset_id)
    # Others' programs may take snapshots of it already, which change nothing of it.
    if stored.snapshots and stored.snapshots[0].name == origin.snapshot:
        return TakeDataset(dataset_id=asked.dataset_id, epoch=asked.epoch)
    return Problem(
        code="NotTheCopy",
        text=f"asked to make a copy of snapshot {origin.snapshot} of dataset {origin.dataset_id}, and there is another"
        " replica under its id already; nothing was done",
    )


def _clean(asked: Own, stored: StoredDataset) -> Step:
    if asked.keep_snapshots:
        return Nothing()
    ours = pvector(s.guid for s in stored.snapshots if s.ours and not s.branched and s.guid not in asked.keep_guids)
    return CleanSnapshots(dataset_id=asked.dataset_id, guids=ours) if ours else Nothing()


def _release(asked: Release, local: Local) -> Step:
    stored = local.stored
    if stored is None or stored.role is Role.REPLICA:
        return Problem(
            code="DatasetLost",
            text="asked to release a dataset that this node does not have as its own; nothing was done",
        )
    if stored.role is Role.OWNER or stored.epoch < asked.epoch:
        if local.users:
            return _wait_for(local.users)
        if stored.mounted_at is not None:
            return UnmountDataset(dataset_id=asked.dataset_id)
        return LayDownDataset(dataset_id=asked.dataset_id, epoch=asked.epoch)
    guid = final_guid(stored)
    if guid is None:
        return TakeFinalSnapshot(dataset_id=asked.dataset_id, epoch=asked.epoch)
    if asked.send_to is None:
        return Nothing(reason="the target to have a connection to the control service")
    return _send(asked.send_to, asked, local, final=guid)


def _send(send_to: SendTo, asked: Own | Release, local: Local, *, final: Guid | None) -> Step:
    sending = local.sending
    fresh = StartSending(dataset_id=asked.dataset_id, epoch=asked.epoch, send_to=send_to, final_guid=final)
    if sending is None or _is_of_another_move(sending, send_to, asked.epoch):
        return StopSending(dataset_id=asked.dataset_id) if _is_open(sending) else fresh
    if final is not None and sending.acknowledged_guid == final:
        return Nothing()
    if sending.ended:
        return fresh
    if (sending.send_to.address, sending.send_to.port) != (send_to.address, send_to.port):
        return StopSending(dataset_id=asked.dataset_id)
    if final is not None and sending.final_guid != final:
        return FinishSending(dataset_id=asked.dataset_id, final_guid=final)
    return Nothing()


def _is_of_another_move(sending: Sending, send_to: SendTo, epoch: int) -> bool:
    return (sending.send_to.move_id, sending.epoch) != (send_to.move_id, epoch)


def _is_open(sending: Sending | None) -> bool:
    return sending is not None and not sending.ended


def _receive(asked: Receive, local: Local) -> Step:
    stored = local.stored
    if local.receiving:
        return Nothing()
    if stored is None:
        return _branch(asked, local)
    match stored.role:
        case Role.OWNER:
            return Problem(
                code="OwnedHere",
                text=f"asked to receive a dataset that this node's own record says it owns, under epoch {stored.epoch};"
                " nothing was done",
            )
        case Role.RELEASED:
            if _is_open(local.sending):
                return StopSending(dataset_id=asked.dataset_id)
            if stored.mounted_at is not None:
                return UnmountDataset(dataset_id=asked.dataset_id)
            return BecomeReplica(dataset_id=asked.dataset_id, epoch=asked.epoch)
        case Role.REPLICA:
            return Nothing()
        case _:
            assert_never(stored.role)


def _branch(asked: Receive, local: Local) -> Step:
    # The newest stash first: whichever has the snapshot has the same data in it.
    for name, stash in sorted(local.stashes.items(), key=lambda item: (-item[1].epoch, item[0])):
        for snapshot in stash.snapshots:
            if snapshot.guid == asked.base_guid and snapshot.ours:
                return BranchStash(dataset_id=asked.dataset_id, name=name, guid=snapshot.guid)
    return Nothing()


def _stash(asked: Stash, local: Local) -> Step:
    stored = local.stored
    if stored is None:
        return Nothing()
    step = _keep(local)
    if not isinstance(step, Nothing) or step.reason:
        return step
    if stored.partial:
        # Nothing of it was ever whole, and nothing of it can be read.
        return RemoveCopy(dataset_id=asked.dataset_id)
    if stored.resume_token is not None:
        return AbortReceive(dataset_id=asked.dataset_id)
    return StashDataset(
        dataset_id=asked.dataset_id,
        label=f"epoch-{stored.epoch}-at-{asked.epoch}",
        common_guid=asked.common_guid,
        keep_seconds=asked.keep_seconds,
    )


def _keep(local: Local) -> Step:
    stored = local.stored
    if stored is None:
        return Nothing()
    if local.receiving:
        return StopReceiving(dataset_id=stored.dataset_id)
    if local.users:
        return _wait_for(local.users)
    if stored.mounted_at is not None:
        return UnmountDataset(dataset_id=stored.dataset_id)
    if _is_open(local.sending):
        return StopSending(dataset_id=stored.dataset_id)
    if stored.role is Role.OWNER:
        # Under its own epoch: what is here is no more than what was owned then, whatever others own now.
        return LayDownDataset(dataset_id=stored.dataset_id, epoch=stored.epoch)
    return Nothing()


def _remove(asked: Remove, local: Local) -> Step:
    stored = local.stored
    if stored is None:
        return Nothing()
    if stored.role is Role.OWNER or stored.mounted_at is not None or local.receiving or _is_open(local.sending):
        return _keep(local)
    if stored.role is Role.REPLICA:
        return RemoveCopy(dataset_id=asked.dataset_id)
    if asked.proven_guid is None or newest_guid(stored) != asked.proven_guid:
        return Problem(
            code="NotProvenElsewhere",
            text=f"asked to remove a former owner's copy whose newest snapshot is {newest_guid(stored)}, while only"
            f" {asked.proven_guid} is proven to be elsewhere; it was kept",
        )
    return RemoveCopy(dataset_id=asked.dataset_id, proven_guid=asked.proven_guid)


def _destroy(asked: Destroy, local: Local) -> Step:
    stored = local.stored
    if stored is None:
        return Nothing()
    if local.receiving:
        return StopReceiving(dataset_id=asked.dataset_id)
    if _is_open(local.sending):
        return StopSending(dataset_id=asked.dataset_id)
    if local.users:
        return _wait_for(local.users)
    if stored.mounted_at is not None:
        return UnmountDataset(dataset_id=asked.dataset_id)
    return DestroyDataset(dataset_id=asked.dataset_id)


def _wait_for(users: PVector[ContainerName]) -> Nothing:
    return Nothing(reason=f"{listed('container', users)}, which {'uses' if len(users) == 1 else 'use'} it, to end")


def stash_step(
    name: str,
    asked: StashAssignment,
    stash: StoredDataset | None,
    *,
    now_seconds: float,
) -> StashChange | Nothing:
    """
    The next step for what was put aside.

    :param stash: as the pool has it; None: it is not there.
    :param now_seconds: since the epoch of Unix.
    """
    if stash is None:
        return Nothing()
    expires_at_seconds = kept_seconds(stash, EXPIRES_AT)
    expired = (
        asked.may_expire
        and expires_at_seconds is not None
        and _CLOCK_NOT_SET_SECONDS < expires_at_seconds <= now_seconds
    )
    if asked.dropped or (expired and not asked.mounted):
        return UnmountStash(name=name) if stash.mounted_at is not None else DropStash(name=name)
    if asked.mounted and stash.mounted_at is None:
        return MountStash(name=name)
    if not asked.mounted and stash.mounted_at is not None:
        return UnmountStash(name=name)
    return Nothing()


def container_step(
    asked: Container | None,
    seen: ContainerObservation | None,
    started_as: Container | None,
    *,
    unready: tuple[UUID, ...],
    leased: bool | None = None,
    lease_over: bool = False,
    left_alone: tuple[UUID, ...] = (),
) -> ContainerChange | Nothing:
    """
    The next step for a container.

    :param asked: None: it should not be here.
    :param started_as: its definition when it was started; None where it wasn't.
    :param unready: the datasets it mounts that can't be used at this moment.
    :param leased: whether it is to end with the lease of this node, since a dataset of it is; None: nobody says.
    :param lease_over: that has ended.
    :param left_alone: the datasets it runs with that are owned here, and of which nothing is asked: whoever asks knows
        too little of them, so what runs with them goes on as it is.
    """
    if seen is not None and seen.leased and lease_over and seen.phase is not ContainerPhase.EXITED:
        return FenceContainer(name=seen.name)
    if seen is not None and left_alone:
        return Nothing(
            reason=f"word of {listed('dataset', left_alone)}, of which nothing is asked; until then it goes on as it is"
        )
    if seen is not None and (asked is None or (started_as is not None and not same(asked, started_as))):
        if seen.phase is ContainerPhase.EXITED:
            return RemoveContainer(name=seen.name)
        grace_seconds = 10.0 if started_as is None else started_as.stop_grace_seconds
        return StopContainer(name=seen.name, grace_seconds=grace_seconds)
    if asked is None:
        return Nothing()
    if seen is not None and not _should_be_started_again(asked, seen):
        runs = seen.phase in (ContainerPhase.STARTING, ContainerPhase.RUNNING)
        if runs and leased is not None and leased != seen.leased:
            return BindContainer(name=seen.name, leased=leased)
        return Nothing()
    if leased and lease_over:
        return Nothing(reason=_LEASE)
    if unready:
        return Nothing(reason=f"{listed('dataset', unready)} to be mounted on its node")
    return StartContainer(container=asked, leased=leased is True)


def same(one: Container, other: Container) -> bool:
    """
    Whether two definitions start the same thing. On which node it was wanted when makes no difference.
    """
    return bool(one.set(node_id=other.node_id) == other)


def _should_be_started_again(asked: Container, seen: ContainerObservation) -> bool:
    # What a runtime's supervisor starts again by itself never shows as ended. It does after a reboot of the host, or
    # when the supervisor was killed: then nobody knows the exit status.
    if seen.phase is not ContainerPhase.EXITED:
        return False
    if seen.stopped:
        # By us, because it was not to run then, or the lease had ended. Asked for again, it goes on.
        return True
    match asked.restart.name:
        case RestartName.ALWAYS:
            return True
        case RestartName.ON_FAILURE:
            return seen.exit_status is None
        case RestartName.NEVER:
            return False
        case _:
            assert_never(asked.restart.name)
