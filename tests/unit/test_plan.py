"""
The agent's plan: one step at a time, from what is asked and what is here.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from pyrsistent import pvector

from flocker_agent.changes import (
    AbortReceive,
    BecomeReplica,
    BindContainer,
    CleanSnapshots,
    CopyDataset,
    CreateDataset,
    DestroyDataset,
    FenceContainer,
    FinishSending,
    LayDownDataset,
    LimitDataset,
    MountDataset,
    Nothing,
    Problem,
    RemoveContainer,
    RemoveCopy,
    StartContainer,
    StartSending,
    StopContainer,
    StopReceiving,
    StopSending,
    TakeDataset,
    TakeFinalSnapshot,
    UnmountDataset,
)
from flocker_agent.plan import Local, Sending, Step, container_step, dataset_step, final_guid, newest_guid
from flocker_py.assignment import DatasetAssignment, Destroy, Keep, Own, Receive, Release, Remove, SendTo
from flocker_py.model import (
    Container,
    ContainerName,
    DatasetId,
    Guid,
    MoveId,
    NodeId,
    Origin,
    OverrunPolicy,
    RestartName,
    RestartPolicy,
)
from flocker_py.observed import ContainerObservation, ContainerPhase
from flocker_py.storage import Role, StoredDataset, StoredSnapshot

DATASET = DatasetId(UUID(int=100))
MOVE = MoveId(UUID(int=200))
SOURCE, TARGET = NodeId(UUID(int=1)), NodeId(UUID(int=2))
NAME = ContainerName("db")
FINAL = Guid(77)


def send_to(**fields: Any) -> SendTo:
    return SendTo(
        **{
            "move_id": MOVE,
            "target": TARGET,
            "address": "192.0.2.2",
            "port": 4525,
            "max_downtime_seconds": 2.0,
            "on_overrun": OverrunPolicy.GIVE_UP,
            **fields,
        }
    )


def stored(role: Role = Role.OWNER, epoch: int = 1, *snapshots: tuple[int, str], **fields: Any) -> StoredDataset:
    return StoredDataset(
        **{
            "dataset_id": DATASET,
            "role": role,
            "epoch": epoch,
            "snapshots": pvector(StoredSnapshot(guid=Guid(g), name=n, ours=n != "theirs") for g, n in snapshots),
            "mounted_at": "/flocker/x" if role is Role.OWNER else None,
            **fields,
        }
    )


def here(dataset: StoredDataset | None = None, **fields: Any) -> Local:
    return Local(stored=dataset, **fields)


def sending(**fields: Any) -> Sending:
    return Sending(**{"send_to": send_to(), "epoch": 1, **fields})


ORIGIN = Origin(dataset_id=DatasetId(UUID(int=77)), snapshot="monday")


def own(epoch: int = 1, **fields: Any) -> Own:
    return Own(dataset_id=DATASET, epoch=epoch, **fields)


def release(**fields: Any) -> Release:
    return Release(**{"dataset_id": DATASET, "epoch": 1, "send_to": send_to(), **fields})


RECEIVE = Receive(dataset_id=DATASET, epoch=3, move_id=MOVE, source=SOURCE)
KEEP = Keep(dataset_id=DATASET, epoch=3)
REMOVE = Remove(dataset_id=DATASET, epoch=3, proven_guid=FINAL)
DESTROY = Destroy(dataset_id=DATASET, epoch=3)
USED = {"users": pvector([NAME])}
REPLICA = stored(Role.REPLICA, 1, (77, "final-1"))
LAID_DOWN = stored(Role.RELEASED, 1, (5, "move-1"), (77, "final-1"))
START = StartSending(dataset_id=DATASET, epoch=1, send_to=send_to())
START_FINAL = START.set(final_guid=FINAL)
STOP = StopSending(dataset_id=DATASET)
STOP_RECEIVING = StopReceiving(dataset_id=DATASET)
UNMOUNT = UnmountDataset(dataset_id=DATASET)

CASES: dict[str, tuple[DatasetAssignment | None, Local, Step | type[Step]]] = {
    "nothing is asked": (None, here(stored()), Nothing()),
    "what is here has seen a later epoch": (own(1), here(stored(epoch=2)), Problem),
    # own
    "own: it never existed": (
        own(may_create=True, maximum_size_bytes=5),
        here(),
        CreateDataset(dataset_id=DATASET, epoch=1, maximum_size_bytes=5),
    ),
    "own: it is gone": (own(), here(), Problem),
    "own: not mounted": (own(), here(stored(mounted_at=None)), MountDataset(dataset_id=DATASET)),
    "own: all is well": (own(), here(stored()), Nothing()),
    "own: another limit": (
        own(maximum_size_bytes=7),
        here(stored()),
        LimitDataset(dataset_id=DATASET, maximum_size_bytes=7),
    ),
    "own: a limit doesn't delay a move": (own(maximum_size_bytes=7, send_to=send_to()), here(stored()), START),
    "own: leased, and the lease goes on": (own(leased=True), here(stored()), Nothing()),
    "own: the lease is over, and it doesn't go by that": (own(), here(stored(), lease_over=True), Nothing()),
    "own: leased, the lease is over, and it is used": (
        own(leased=True, send_to=send_to()),
        here(stored(), lease_over=True, **USED),
        Nothing,
    ),
    "own: leased, the lease is over": (own(leased=True), here(stored(), lease_over=True), UNMOUNT),
    "own: leased, the lease is over, and it is unmounted": (
        own(leased=True),
        here(stored(mounted_at=None), lease_over=True),
        Nothing,
    ),
    "own: leased, the lease is over, and it is not here": (
        own(leased=True, may_create=True),
        here(lease_over=True),
        Nothing,
    ),
    "own: leased, the lease is over, and it was to be taken": (
        own(3, leased=True),
        here(stored(Role.REPLICA, mounted_at=None), lease_over=True),
        Nothing,
    ),
    "own: snapshots of ours are left over": (
        own(),
        here(stored(Role.OWNER, 1, (5, "move-1"), (6, "theirs"))),
        CleanSnapshots(dataset_id=DATASET, guids=pvector([Guid(5)])),
    ),
    "own: snapshots of ours are a base": (
        own(keep_snapshots=True),
        here(stored(Role.OWNER, 1, (5, "move-1"))),
        Nothing(),
    ),
    "own: made from a snapshot": (
        own(may_create=True, origin=ORIGIN),
        here(),
        CopyDataset(dataset_id=DATASET, origin=ORIGIN),
    ),
    "own: made from a snapshot, in part": (
        own(may_create=True, origin=ORIGIN),
        here(stored(Role.REPLICA, 0, partial=True, resume_token="t")),
        AbortReceive(dataset_id=DATASET),
    ),
    "own: made from a snapshot, and nobody's": (
        own(may_create=True, origin=ORIGIN),
        here(stored(Role.REPLICA, 0, (5, "monday"))),
        TakeDataset(dataset_id=DATASET, epoch=1),
    ),
    "own: made from a snapshot, and something else is there": (
        own(may_create=True, origin=ORIGIN),
        here(stored(Role.REPLICA, 0, (5, "move-1"))),
        Problem,
    ),
    "own: made from a snapshot, as far as is remembered": (
        own(origin=ORIGIN),
        here(stored(Role.REPLICA, 0, (5, "monday"))),
        Nothing(reason="the control service, which has to say again that it is to be made"),
    ),
    "own: made from a snapshot, and others took more of it": (
        own(may_create=True, origin=ORIGIN),
        here(stored(Role.REPLICA, 0, (5, "monday"), (6, "autosnap"))),
        TakeDataset(dataset_id=DATASET, epoch=1),
    ),
    "own: a session is no longer wanted": (own(), here(stored(), sending=sending()), STOP),
    "own: a session that ended is no longer wanted": (own(), here(stored(), sending=sending(ended=True)), Nothing()),
    "own: a session is wanted": (own(send_to=send_to()), here(stored()), START),
    "own: a session runs": (own(send_to=send_to()), here(stored(), sending=sending()), Nothing()),
    "own: a session has ended": (own(send_to=send_to()), here(stored(), sending=sending(ended=True)), START),
    "own: a session of an earlier move runs": (
        own(send_to=send_to()),
        here(stored(), sending=sending(send_to=send_to(move_id=MoveId(UUID(int=9))))),
        STOP,
    ),
    "own: a session of an earlier move has ended": (
        own(send_to=send_to()),
        here(stored(), sending=sending(send_to=send_to(move_id=MoveId(UUID(int=9))), ended=True)),
        START,
    ),
    "own: the target has another address now": (
        own(send_to=send_to(address="192.0.2.3")),
        here(stored(), sending=sending()),
        STOP,
    ),
    "own: a higher epoch": (own(2), here(stored()), TakeDataset(dataset_id=DATASET, epoch=2)),
    "own: taken up again after an abort": (own(2), here(LAID_DOWN), TakeDataset(dataset_id=DATASET, epoch=2)),
    "own: after an abort a session still runs": (own(2), here(LAID_DOWN, sending=sending()), STOP),
    "own: laid down under this very epoch": (own(1), here(LAID_DOWN), Nothing),
    "own: taken over at the final snapshot": (
        own(2, take_guid=FINAL),
        here(REPLICA),
        TakeDataset(dataset_id=DATASET, epoch=2),
    ),
    "own: taken over while the session is still open": (
        own(2, take_guid=FINAL),
        here(REPLICA, receiving=True),
        STOP_RECEIVING,
    ),
    "own: the copy to take over is gone": (own(2, take_guid=FINAL), here(None), Problem),
    "own: taken over at another snapshot": (own(2, take_guid=Guid(1)), here(REPLICA), Problem),
    "own: taken over without any snapshot": (own(2, take_guid=FINAL), here(stored(Role.REPLICA, 1)), Problem),
    "own: a replica without word of a snapshot": (own(2), here(REPLICA), Problem),
    "own: taken over with something half received": (
        own(2, take_guid=FINAL),
        here(REPLICA.set(resume_token="t")),
        AbortReceive(dataset_id=DATASET),
    ),
    # release
    "release: a container runs": (release(), here(stored(), **USED), Nothing),
    "release: mounted": (release(), here(stored()), UNMOUNT),
    "release: unmounted": (
        release(),
        here(stored(mounted_at=None)),
        LayDownDataset(dataset_id=DATASET, epoch=1),
    ),
    "release: laid down": (
        release(),
        here(stored(Role.RELEASED)),
        TakeFinalSnapshot(dataset_id=DATASET, epoch=1),
    ),
    "release: laid down under an older epoch": (
        release(epoch=2),
        here(LAID_DOWN),
        LayDownDataset(dataset_id=DATASET, epoch=2),
    ),
    "release: the session is open": (
        release(),
        here(LAID_DOWN, sending=sending()),
        FinishSending(dataset_id=DATASET, final_guid=FINAL),
    ),
    "release: the session finishes": (release(), here(LAID_DOWN, sending=sending(final_guid=FINAL)), Nothing()),
    "release: the session was lost": (
        release(),
        here(LAID_DOWN, sending=sending(ended=True, failed=True)),
        START_FINAL,
    ),
    "release: after a restart": (release(), here(LAID_DOWN), START_FINAL),
    "release: all is sent": (
        release(),
        here(LAID_DOWN, sending=sending(ended=True, acknowledged_guid=FINAL)),
        Nothing(),
    ),
    "release: the target is away": (release(send_to=None), here(LAID_DOWN), Nothing),
    "release: it is gone": (release(), here(), Problem),
    "release: only a replica is here": (release(), here(REPLICA), Problem),
    # receive
    "receive: nothing is here yet": (RECEIVE, here(), Nothing()),
    "receive: a stream comes in": (RECEIVE, here(stored(Role.REPLICA, 0), receiving=True), Nothing()),
    "receive: the first stream is in": (
        RECEIVE,
        here(stored(Role.REPLICA, 0)),
        Nothing(),
    ),
    "receive: laid down here earlier": (
        RECEIVE,
        here(LAID_DOWN),
        BecomeReplica(dataset_id=DATASET, epoch=3),
    ),
    "receive: laid down, but mounted by hand": (RECEIVE, here(LAID_DOWN.set(mounted_at="/x")), UNMOUNT),
    "receive: an old session still sends": (RECEIVE, here(LAID_DOWN, sending=sending()), STOP),
    "receive: owned here": (RECEIVE, here(stored()), Problem),
    # keep
    "keep: nothing is here": (KEEP, here(), Nothing()),
    "keep: a container runs": (KEEP, here(stored(), **USED), Nothing),
    "keep: mounted": (KEEP, here(stored()), UNMOUNT),
    "keep: an owner of former times": (
        KEEP,
        here(stored(mounted_at=None)),
        LayDownDataset(dataset_id=DATASET, epoch=1),
    ),
    "keep: a session still sends": (KEEP, here(LAID_DOWN, sending=sending()), STOP),
    "keep: laid down": (KEEP, here(LAID_DOWN), Nothing()),
    "keep: a stream comes in": (KEEP, here(REPLICA, receiving=True), STOP_RECEIVING),
    # remove
    "remove: nothing is here": (REMOVE, here(), Nothing()),
    "remove: proven to be elsewhere": (REMOVE, here(LAID_DOWN), RemoveCopy(dataset_id=DATASET, proven_guid=FINAL)),
    "remove: something else was proven": (REMOVE.set(proven_guid=Guid(5)), here(LAID_DOWN), Problem),
    "remove: nothing was proven": (REMOVE.set(proven_guid=None), here(LAID_DOWN), Problem),
    "remove: a replica": (REMOVE, here(REPLICA), RemoveCopy(dataset_id=DATASET)),
    "remove: a replica that comes in": (REMOVE, here(REPLICA, receiving=True), STOP_RECEIVING),
    "remove: an owner's": (REMOVE, here(stored(mounted_at=None)), LayDownDataset(dataset_id=DATASET, epoch=1)),
    "remove: mounted": (REMOVE, here(LAID_DOWN.set(mounted_at="/x")), UNMOUNT),
    "remove: a session still sends": (REMOVE, here(LAID_DOWN, sending=sending()), STOP),
    # destroy
    "destroy: nothing is here": (DESTROY, here(), Nothing()),
    "destroy: a stream comes in": (DESTROY, here(REPLICA, receiving=True), STOP_RECEIVING),
    "destroy: a session sends": (DESTROY, here(stored(), sending=sending()), STOP),
    "destroy: a container runs": (DESTROY, here(stored(), **USED), Nothing),
    "destroy: mounted": (DESTROY, here(stored()), UNMOUNT),
    "destroy: unmounted": (DESTROY, here(stored(mounted_at=None)), DestroyDataset(dataset_id=DATASET)),
}


@pytest.mark.parametrize("case", CASES)
def test_dataset_step(case: str) -> None:
    """
    The first step that is not done yet.
    """
    asked, local, expected = CASES[case]

    step = dataset_step(asked, local)

    assert isinstance(step, expected) if isinstance(expected, type) else step == expected, step


def test_final_guid_is_of_the_same_epoch() -> None:
    """
    The final snapshot of an earlier epoch is not taken for that of the present one.
    """
    assert final_guid(stored(Role.RELEASED, 2, (77, "final-1"))) is None


def test_no_final_guid_of_an_owner() -> None:
    """
    What can still be written has no final snapshot.
    """
    assert final_guid(stored(Role.OWNER, 1, (77, "final-1"))) is None


def test_newest_guid_counts_foreign_snapshots() -> None:
    """
    The newest snapshot is the newest, whoever made it.
    """
    assert newest_guid(stored(Role.OWNER, 1, (5, "move-1"), (6, "theirs"))) == 6


def container(**fields: Any) -> Container:
    return Container(**{"name": NAME, "node_id": SOURCE, **fields})


def seen(phase: ContainerPhase, **fields: Any) -> ContainerObservation:
    return ContainerObservation(name=NAME, phase=phase, **fields)


RUNNING, EXITED = ContainerPhase.RUNNING, ContainerPhase.EXITED
ALWAYS = RestartPolicy(name=RestartName.ALWAYS)
ON_FAILURE = RestartPolicy(name=RestartName.ON_FAILURE)
STOP_IT = StopContainer(name=NAME, grace_seconds=10.0)

CONTAINER_CASES: dict[str, tuple[Any, Any, Any, tuple[UUID, ...], Any]] = {
    "neither asked nor here": (None, None, None, (), Nothing()),
    "asked": (container(), None, None, (), StartContainer(container=container())),
    "asked, but its data isn't here": (container(), None, None, (DATASET,), Nothing),
    "runs": (container(), seen(RUNNING), container(), (), Nothing()),
    "runs, and was asked for on another node since": (
        container(node_id=TARGET),
        seen(RUNNING),
        container(),
        (),
        Nothing(),
    ),
    "runs as something else": (container(command=pvector(["x"])), seen(RUNNING), container(), (), STOP_IT),
    "has ended as something else": (
        container(command=pvector(["x"])),
        seen(EXITED),
        container(),
        (),
        RemoveContainer(name=NAME),
    ),
    "is no longer asked": (None, seen(RUNNING), container(), (), STOP_IT),
    "is no longer asked, with a grace of its own": (
        None,
        seen(RUNNING),
        container(stop_grace_seconds=3.0),
        (),
        STOP_IT.set(grace_seconds=3.0),
    ),
    "is no longer asked, and of unknown origin": (None, seen(RUNNING), None, (), STOP_IT),
    "is no longer asked, and has ended": (None, seen(EXITED), container(), (), RemoveContainer(name=NAME)),
    "has ended, and may": (container(), seen(EXITED, exit_status=0), container(), (), Nothing()),
    "should always run": (
        container(restart=ALWAYS),
        seen(EXITED),
        container(restart=ALWAYS),
        (),
        StartContainer(container=container(restart=ALWAYS)),
    ),
    "has failed too often": (
        container(restart=ON_FAILURE),
        seen(EXITED, exit_status=1),
        container(restart=ON_FAILURE),
        (),
        Nothing(),
    ),
    "was stopped, and is asked for again": (
        container(),
        seen(EXITED, exit_status=0, stopped=True),
        container(),
        (),
        StartContainer(container=container()),
    ),
    "ended nobody knows how": (
        container(restart=ON_FAILURE),
        seen(EXITED),
        container(restart=ON_FAILURE),
        (),
        StartContainer(container=container(restart=ON_FAILURE)),
    ),
}


@pytest.mark.parametrize("case", CONTAINER_CASES)
def test_container_step(case: str) -> None:
    """
    The first step that is not done yet.
    """
    asked, observed, started_as, unready, expected = CONTAINER_CASES[case]

    step = container_step(asked, observed, started_as, unready=unready)

    assert isinstance(step, expected) if isinstance(expected, type) else step == expected, step


LEASED = seen(RUNNING, leased=True)
START_IT = StartContainer(container=container())
LEASE_CASES: dict[str, tuple[Any, Any, bool | None, bool, Any]] = {
    "starts with the lease": (container(), None, True, False, START_IT.set(leased=True)),
    "starts without it": (container(), None, False, True, START_IT),
    "doesn't start when the lease is over": (container(), None, True, True, Nothing),
    "runs with the lease": (container(), LEASED, True, False, Nothing()),
    "is to be bound to it": (container(), seen(RUNNING), True, False, BindContainer(name=NAME, leased=True)),
    "is to be bound no more": (container(), LEASED, False, False, BindContainer(name=NAME, leased=False)),
    "of which nobody says anything": (container(), LEASED, None, False, Nothing()),
    "is just stopping": (container(), seen(ContainerPhase.STOPPING), True, False, Nothing()),
    "runs when the lease is over": (container(), LEASED, True, True, FenceContainer(name=NAME)),
    "runs on, asked for by nobody": (None, LEASED, None, True, FenceContainer(name=NAME)),
    "runs on without it": (container(), seen(RUNNING), False, True, Nothing()),
    "was fenced": (container(), seen(EXITED, leased=True, stopped=True), True, True, Nothing),
    "was fenced, and the lease goes on": (
        container(),
        seen(EXITED, leased=True, stopped=True),
        True,
        False,
        START_IT.set(leased=True),
    ),
    "had ended by itself before": (container(), seen(EXITED, leased=True, exit_status=0), True, False, Nothing()),
}


@pytest.mark.parametrize("case", LEASE_CASES)
def test_container_step_and_lease(case: str) -> None:
    """
    What is bound to the lease of the node runs while that lasts, and what it was in the midst of goes on afterwards.
    """
    asked, observed, leased, lease_over, expected = LEASE_CASES[case]

    step = container_step(asked, observed, container(), unready=(), leased=leased, lease_over=lease_over)

    assert isinstance(step, expected) if isinstance(expected, type) else step == expected, step


@pytest.mark.parametrize("asked", [None, container(command=pvector(["x"]))], ids=["not asked", "asked otherwise"])
def test_container_of_a_dataset_of_which_nothing_is_asked(asked: Any) -> None:
    """
    What runs with a dataset that is owned here and isn't known to whoever asks goes on as it is.
    """
    step = container_step(asked, seen(RUNNING), container(), unready=(), left_alone=(DATASET,))

    assert isinstance(step, Nothing)
    assert "nothing is asked" in step.reason
