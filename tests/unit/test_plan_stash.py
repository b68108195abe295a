"""
The agent's plan for what another node was given: lay it down, put it aside; and for what was put aside.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from pyrsistent import pmap, pvector

from flocker_agent.changes import (
    AbortReceive,
    BranchStash,
    CleanSnapshots,
    DropStash,
    LayDownDataset,
    MountStash,
    Nothing,
    Problem,
    RemoveCopy,
    StashDataset,
    StopReceiving,
    StopSending,
    UnmountDataset,
    UnmountStash,
    UnstashDataset,
)
from flocker_agent.plan import Local, Sending, Step, dataset_step, kept_seconds, stash_step
from flocker_agent.view import View, stash_observation
from flocker_py.assignment import DatasetAssignment, Own, Receive, SendTo, Stash, StashAssignment
from flocker_py.model import ContainerName, DatasetId, Guid, MoveId, NodeId, OverrunPolicy
from flocker_py.observed import NodeObservation, StashObservation
from flocker_py.storage import Role, StoredDataset, StoredSnapshot

DATASET, OTHER = (DatasetId(UUID(int=n)) for n in (100, 101))
MOVE = MoveId(UUID(int=200))
HERE = NodeId(UUID(int=1))
COMMON = Guid(7)
ASIDE = Stash(dataset_id=DATASET, epoch=3, common_guid=COMMON, keep_seconds=60.0)
PUT_ASIDE = StashDataset(dataset_id=DATASET, label="epoch-2-at-3", common_guid=COMMON, keep_seconds=60.0)


def stored(role: Role = Role.RELEASED, **fields: Any) -> StoredDataset:
    return StoredDataset(**{"dataset_id": DATASET, "role": role, "epoch": 2, **fields})


def snapshots(*guids: int, **fields: Any) -> Any:
    return pvector(StoredSnapshot(guid=Guid(guid), name=f"s{guid}", **fields) for guid in guids)


SENDING = Sending(
    send_to=SendTo(
        move_id=MOVE,
        target=HERE,
        address="192.0.2.2",
        port=4525,
        max_downtime_seconds=2.0,
        on_overrun=OverrunPolicy.GIVE_UP,
    ),
    epoch=2,
)
RECEIVE = Receive(dataset_id=DATASET, epoch=3, move_id=MOVE, source=HERE, base_guid=COMMON)
OWN = Own(dataset_id=DATASET, epoch=3, from_stash="s")
SERVED = stored(Role.OWNER, epoch=3, mounted_at="/x", snapshots=snapshots(5, 7))

CASES: dict[str, tuple[DatasetAssignment, Local, Step | type[Step]]] = {
    "nothing is here": (ASIDE, Local(), Nothing()),
    "a container runs": (
        ASIDE,
        Local(stored=stored(Role.OWNER, mounted_at="/x"), users=pvector([ContainerName("db")])),
        Nothing(reason="container db, which uses it, to end"),
    ),
    "it is mounted": (
        ASIDE,
        Local(stored=stored(Role.OWNER, mounted_at="/x")),
        UnmountDataset(dataset_id=DATASET),
    ),
    "it is being sent": (
        ASIDE,
        Local(stored=stored(Role.OWNER), sending=SENDING),
        StopSending(dataset_id=DATASET),
    ),
    "it is coming in": (ASIDE, Local(stored=stored(Role.REPLICA), receiving=True), StopReceiving(dataset_id=DATASET)),
    "it is owned": (ASIDE, Local(stored=stored(Role.OWNER)), LayDownDataset(dataset_id=DATASET, epoch=2)),
    "it is laid down": (ASIDE, Local(stored=stored()), PUT_ASIDE),
    "it is a replica": (ASIDE, Local(stored=stored(Role.REPLICA)), PUT_ASIDE),
    "it is a replica with part of a stream": (
        ASIDE,
        Local(stored=stored(Role.REPLICA, resume_token="t")),
        AbortReceive(dataset_id=DATASET),
    ),
    "it never came in whole": (
        ASIDE,
        Local(stored=stored(Role.REPLICA, partial=True, resume_token="t")),
        RemoveCopy(dataset_id=DATASET),
    ),
    "it has seen a later epoch": (ASIDE, Local(stored=stored(epoch=4)), Problem),
    "receive: a stash has the base": (
        RECEIVE,
        Local(stashes=pmap({"s": stored(snapshots=snapshots(5, 7, 9))})),
        BranchStash(dataset_id=DATASET, name="s", guid=COMMON),
    ),
    "receive: two stashes have it": (
        RECEIVE,
        Local(stashes=pmap({"a": stored(snapshots=snapshots(7)), "b": stored(epoch=5, snapshots=snapshots(7))})),
        BranchStash(dataset_id=DATASET, name="b", guid=COMMON),
    ),
    "receive: somebody else's snapshot": (
        RECEIVE,
        Local(stashes=pmap({"s": stored(snapshots=snapshots(7, ours=False))})),
        Nothing(),
    ),
    "receive: no stash has it": (RECEIVE, Local(stashes=pmap({"s": stored(snapshots=snapshots(5))})), Nothing()),
    "receive: no base is known": (
        RECEIVE.set(base_guid=None),
        Local(stashes=pmap({"s": stored(snapshots=snapshots(7))})),
        Nothing(),
    ),
    "own: the data was put aside": (
        OWN,
        Local(stashes=pmap({"s": stored()})),
        UnstashDataset(dataset_id=DATASET, name="s"),
    ),
    "own: the stash is gone": (OWN, Local(), Problem),
    "own: a snapshot leads back": (
        OWN.set(keep_guids=pvector([COMMON])),
        Local(stored=SERVED),
        CleanSnapshots(dataset_id=DATASET, guids=pvector([Guid(5)])),
    ),
    "own: a stash is built on a snapshot": (
        OWN,
        Local(stored=SERVED.set(snapshots=snapshots(5, branched=True))),
        Nothing(),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_dataset_step(case: str) -> None:
    """
    The first step that is not done yet.
    """
    asked, local, expected = CASES[case]

    step = dataset_step(asked, local)

    assert isinstance(step, expected) if isinstance(expected, type) else step == expected, step


NOW = 1_800_000_000
EXPIRED = stored(properties=pmap({"stash-expires-at": str(NOW)}))
SHOWN = stored(mounted_at="/s")

STASH_CASES: dict[str, tuple[StashAssignment, StoredDataset | None, Any]] = {
    "nothing is there": (StashAssignment(mounted=True), None, Nothing()),
    "nothing is asked": (StashAssignment(), stored(), Nothing()),
    "wanted readable": (StashAssignment(mounted=True), stored(), MountStash(name="s")),
    "is readable": (StashAssignment(mounted=True), SHOWN, Nothing()),
    "wanted readable no more": (StashAssignment(), SHOWN, UnmountStash(name="s")),
    "wanted gone": (StashAssignment(dropped=True), stored(), DropStash(name="s")),
    "wanted gone, while readable": (StashAssignment(dropped=True), SHOWN, UnmountStash(name="s")),
    "its time is over": (StashAssignment(may_expire=True), EXPIRED, DropStash(name="s")),
    "its time is over, but it is needed": (StashAssignment(), EXPIRED, Nothing()),
    "its time is over, but it is wanted readable": (
        StashAssignment(mounted=True, may_expire=True),
        EXPIRED,
        MountStash(name="s"),
    ),
    "its time is not over": (
        StashAssignment(may_expire=True),
        stored(properties=pmap({"stash-expires-at": str(NOW + 1)})),
        Nothing(),
    ),
    "put aside while the clock was not set": (
        StashAssignment(may_expire=True),
        stored(properties=pmap({"stash-expires-at": str(30 * 86400)})),
        Nothing(),
    ),
    "it never expires": (StashAssignment(may_expire=True), stored(), Nothing()),
}


@pytest.mark.parametrize("case", STASH_CASES)
def test_stash_step(case: str) -> None:
    """
    What was put aside is shown, hidden or destroyed as asked, and outlives its time if it may be needed.
    """
    asked, stash, expected = STASH_CASES[case]

    assert stash_step("s", asked, stash, now_seconds=float(NOW)) == expected


@pytest.mark.parametrize("text", ["", "soon", "-1", "1e3"])
def test_time_that_is_none(text: str) -> None:
    """
    What somebody else wrote into a property is no time.
    """
    assert kept_seconds(stored(properties=pmap({"stashed-at": text})), "stashed-at") is None


NODE = NodeObservation(
    node_id=HERE,
    era=UUID(int=7),
    address="192.0.2.1",
    transfer_port=4525,
    version="1",
    storage="memory",
    runtime="memory",
)
KEPT = stored(
    used_bytes=10,
    properties=pmap({"stashed-at": "100", "stash-expires-at": "160"}),
    snapshots=snapshots(5, 7, created_at_seconds=90.0),
)


def test_stash_is_told() -> None:
    """
    What is told of a stash: what it was, since when and until when it is kept, and how far it goes.
    """
    assert stash_observation("s", KEPT) == StashObservation(
        name="s",
        dataset_id=DATASET,
        role=Role.RELEASED,
        epoch=2,
        since_seconds=100.0,
        expires_at_seconds=160.0,
        used_bytes=10,
        guids=pvector([Guid(5), Guid(7)]),
        newest_at_seconds=90.0,
    )


def test_stash_without_snapshots_is_told() -> None:
    """
    A stash may have no snapshot, and no times if somebody else made it.
    """
    told = stash_observation("s", stored())

    assert (told.newest_at_seconds, told.since_seconds) == (None, None)


def test_view_of_stashes() -> None:
    """
    A look at the stashes tells whose have changed, and a plan sees those of its dataset.
    """
    view = View(NODE)

    news = view.all_stashes(1, pmap({"s": KEPT, "t": stored(dataset_id=OTHER)}))

    assert (news, set(view.node.stashes), dict(view.local(DATASET).stashes)) == (
        {DATASET, OTHER},
        {"s", "t"},
        {"s": KEPT},
    )


def test_view_of_stashes_that_did_not_change() -> None:
    """
    What is as it was is no news, and what is gone is.
    """
    view = View(NODE)
    view.all_stashes(1, pmap({"s": KEPT}))

    assert view.all_stashes(2, pmap({"s": KEPT})) == set()
    assert (view.all_stashes(3, pmap()), dict(view.node.stashes)) == ({DATASET}, {})


def test_view_of_stashes_is_not_overtaken() -> None:
    """
    A later look is never overruled by an earlier one.
    """
    view = View(NODE)
    view.all_stashes(2, pmap({"s": KEPT}))

    assert (view.all_stashes(1, pmap()), set(view.node.stashes)) == (set(), {"s"})
