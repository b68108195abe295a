"""
What a volume needs next to be mounted here, what is shown of it, and whether it may go.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from flocker_agent.plugin.listing import listed, mountpoint, shown
from flocker_agent.plugin.mounting import (
    AskForMove,
    Look,
    Ready,
    Refuse,
    Step,
    TakeLease,
    Wait,
    called,
    next_step,
    too_late_text,
)
from flocker_agent.plugin.removing import why_not_removed
from flocker_py.client.views import (
    ContainersView,
    ContainerView,
    CopiesView,
    CopyView,
    DatasetView,
    ErrorView,
    LeaseView,
    MountView,
    MoveView,
)
from flocker_py.model import ContainerName, DatasetId, MoveId, NodeId

HERE, THERE, ELSEWHERE = (NodeId(UUID(int=number)) for number in (1, 2, 3))
PG, OTHER = DatasetId(UUID(int=10)), DatasetId(UUID(int=11))
OLD, NEW = MoveId(UUID(int=20)), MoveId(UUID(int=21))
NAMES = {HERE: "here", THERE: "there", ELSEWHERE: "elsewhere"}


def lease(node: NodeId = HERE, left_seconds: float | None = None, *, is_waited_for: bool = False) -> LeaseView:
    return LeaseView(dataset_id=PG, node_id=node, left_seconds=left_seconds, is_waited_for=is_waited_for)


def move(target: NodeId, move_id: MoveId = NEW, **more: Any) -> MoveView:
    source = THERE if target != THERE else HERE
    return MoveView(move_id=move_id, dataset_id=PG, source=source, target=target, **more)


def app(node: NodeId, dataset_id: DatasetId = PG) -> ContainersView:
    mounts = [MountView(dataset_id=dataset_id)]
    container = ContainerView(name=ContainerName("web"), node_id=node, state="running", mounts=mounts)
    return ContainersView(revision=1, containers=[container])


def look(
    *,
    owner: NodeId = HERE,
    containers: ContainersView | None = None,
    asked: bool = False,
    known_move: MoveId | None = None,
    **more: Any,
) -> Look:
    """
    By default, a volume that is mounted here, and held.
    """
    fields: dict[str, Any] = {
        "dataset_id": PG,
        "name": "pg",
        "primary": owner,
        "owner": owner,
        "epoch": 4,
        "created": True,
        "deleted": False,
        "status": "ok",
        "path": "/flocker/pg",
        "mounted": True,
        "lease": lease(),
    }
    return Look(
        volume="pg",
        dataset=DatasetView(**{**fields, **more}),
        containers=ContainersView(revision=1) if containers is None else containers,
        here=HERE,
        names=NAMES,
        asked=asked,
        last_move=known_move,
    )


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (look(), Ready(path="/flocker/pg")),
        (look(containers=app(HERE)), Ready(path="/flocker/pg")),
        (look(containers=app(THERE, OTHER)), Ready(path="/flocker/pg")),
        (look(lease=None), TakeLease()),
        (look(lease=lease(left_seconds=60.0)), TakeLease()),
        (look(owner=THERE, lease=None), TakeLease()),
        (look(owner=THERE), AskForMove()),
        # It had been given up, or its operator wanted it elsewhere before it was held.
        (look(owner=THERE, primary=HERE), AskForMove()),
        (look(primary=THERE), AskForMove()),
        (look(primary=THERE, asked=True), Ready(path="/flocker/pg")),
        # What the operator wants when it is released waits.
        (look(primary=THERE, lease=lease(is_waited_for=True)), Ready(path="/flocker/pg")),
        # Where it is mounted, the rest of its move is nobody's concern here.
        (look(move=move(HERE, phase="taking")), Ready(path="/flocker/pg")),
    ],
)
def test_next(seen: Look, expected: Step) -> None:
    """
    A volume is held, then brought, then used.
    """
    assert expected == next_step(seen)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (look(mounted=False), "the agent of this node is about to mount it"),
        (look(mounted=False, created=False), "it is being made"),
        (look(mounted=False, waiting_for="its agent"), "it waits for its agent"),
        (
            look(mounted=False, last_error=ErrorView(code="PoolFull", text="no room", at_seconds=1.0)),
            "no room",
        ),
        (look(path=None), "the agent of this node is about to mount it"),
        (look(owner=THERE, primary=HERE, asked=True), "the agent of this node is about to mount it"),
        (
            look(owner=THERE, primary=HERE, move=move(HERE, phase="copying"), status="unavailable"),
            "it is moving here from node there (phase copying)",
        ),
        (
            look(owner=THERE, primary=HERE, asked=True, move=move(HERE, phase="copying", waiting_for="node there")),
            "it is moving here from node there (phase copying, waiting for node there)",
        ),
    ],
)
def test_waits(seen: Look, expected: str) -> None:
    """
    What is on its way is waited for, with the reason.
    """
    assert Wait(reason=expected) == next_step(seen)


FAILED = move(HERE, outcome="failed", reason="no room")


@pytest.mark.parametrize(
    "seen",
    [
        look(owner=THERE, primary=HERE, asked=True, last_move=FAILED, known_move=NEW),
        look(owner=THERE, primary=HERE, asked=True, last_move=move(ELSEWHERE, outcome="failed")),
        look(owner=THERE, primary=HERE, asked=True, last_move=move(HERE, outcome="done")),
        look(primary=HERE, asked=True, last_move=FAILED, mounted=False),
    ],
    ids=["known before", "to another node", "done", "here all the same"],
)
def test_other_moves(seen: Look) -> None:
    """
    Only the failure of the move that was asked for ends the waiting.
    """
    assert isinstance(next_step(seen), Wait)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (look(deleted=True), "is being deleted"),
        (look(lease=lease(THERE)), "in use on node there, which holds a lease of it until that is released"),
        (look(lease=lease(THERE, 60.0)), "for another 60 s"),
        (look(containers=app(THERE)), "used by the app web on node there"),
        (look(move=move(THERE, phase="copying")), "moving from node here to node there (phase copying)"),
        (look(owner=THERE, asked=True, last_move=FAILED), "couldn't be moved here from node there: no room"),
        (look(owner=THERE, asked=True, last_move=move(HERE, outcome="cancelled")), "from node there: cancelled"),
        (look(owner=THERE, status="unavailable"), "flockerctl failover pg --to here"),
        (look(owner=THERE, status="unknown"), "is on node there, which has no connection"),
    ],
)
def test_refused(seen: Look, expected: str) -> None:
    """
    What somebody else has, or can't come, is refused at once, with who has it or what to do.
    """
    step = next_step(seen)

    assert isinstance(step, Refuse)
    assert step.text.startswith("volume pg ")
    assert expected in step.text


def test_too_late() -> None:
    """
    Who has waited for too long is told that it goes on.
    """
    text = too_late_text("pg", "here", 100.0, "it is moving here")

    assert text.startswith("volume pg is not on node here yet after 100 s: it is moving here. That goes on by itself;")


def test_unknown_node() -> None:
    """
    A node that nobody has named is called by its id.
    """
    assert ("there", str(PG)) == (called(NAMES, THERE), called(NAMES, NodeId(PG)))


class TestListing:
    """
    What Docker shows.
    """

    @pytest.mark.parametrize(
        ("seen", "expected"),
        [(look(), "/flocker/pg"), (look(owner=THERE), ""), (look(mounted=False), ""), (look(path=None), "")],
    )
    def test_mountpoint(self, seen: Look, expected: str) -> None:
        """
        There is a path only where a volume can be used on this node.
        """
        assert expected == mountpoint(seen.dataset, HERE)

    def test_listed(self) -> None:
        """
        Datasets with a name are volumes, in the order of their names; deleted ones aren't.
        """
        datasets = [look(name=name).dataset for name in ("b", None, "a")]
        gone = look(name="c", deleted=True).dataset

        assert ["a", "b"] == [each["Name"] for each in listed([*datasets, gone], HERE)]

    def test_bare(self) -> None:
        """
        Of a volume that nobody uses there is little to say.
        """
        copies = CopiesView(dataset_id=PG, owner=HERE, epoch=4, owner_connected=True)
        status = shown(look(lease=None), copies, 0)["Status"]

        assert {
            "dataset_id": str(PG),
            "owner": "here",
            "epoch": 4,
            "status": "ok",
            "waiting_for": None,
            "last_error": None,
            "move": None,
            "replicas": [],
            "size": None,
            "used": None,
            "protected": False,
            "lease": None,
            "apps": [],
            "mounts_here": 0,
        } == status

    def test_full(self) -> None:
        """
        Of another there is much.
        """
        copies = CopiesView(
            dataset_id=PG,
            owner=HERE,
            epoch=4,
            owner_connected=True,
            copies=[
                CopyView(node_id=node, connected=True, role="replica", epoch=4, candidate=True, text="a copy")
                for node in (HERE, THERE)
            ],
        )
        seen = look(
            containers=app(HERE),
            maximum_size_bytes=1024**3,
            used_bytes=1024,
            metadata={"protected": "true"},
            last_error=ErrorView(code="PoolFull", text="no room", at_seconds=1.0),
            move=move(THERE, phase="copying", round=2, sent_bytes=1024),
        )
        found = shown(seen, copies, 2)

        assert (
            "/flocker/pg",
            "no room",
            {"from": "here", "to": "there", "phase": "copying", "round": 2, "sent": "1 KiB", "waiting_for": None},
            [{"node": "there", "connected": True, "text": "a copy"}],
            ("1 GiB", "1 KiB", True, ["web"], 2),
            {"node": "here", "left_seconds": None},
        ) == (
            found["Mountpoint"],
            *(found["Status"][key] for key in ("last_error", "move", "replicas")),
            tuple(found["Status"][key] for key in ("size", "used", "protected", "apps", "mounts_here")),
            found["Status"]["lease"],
        )

    def test_move_that_has_sent_nothing(self) -> None:
        """
        A move that hasn't begun to send says so.
        """
        copies = CopiesView(dataset_id=PG, owner=HERE, epoch=4, owner_connected=True)

        assert None is shown(look(move=move(THERE)), copies, 0)["Status"]["move"]["sent"]


class TestRemoving:
    """
    Whether a volume may go.
    """

    def test_free(self) -> None:
        """
        What nobody uses may go.
        """
        assert why_not_removed(look(lease=None, containers=app(HERE, OTHER)), 0) is None

    @pytest.mark.parametrize(
        ("seen", "mounts", "expected"),
        [
            (look(metadata={"protected": "true"}), 0, "flockerctl unprotect pg"),
            (look(), 2, "2 on this node have it mounted"),
            (look(lease=lease(THERE)), 0, "in use on node there"),
            (look(), 0, "leased to this node until that is released"),
            (look(lease=lease(left_seconds=9.0)), 0, "leased to this node for another 9 s"),
            (look(lease=None, containers=app(THERE)), 0, "used by the app web on node there"),
        ],
    )
    def test_in_use(self, seen: Look, mounts: int, expected: str) -> None:
        """
        What is used or protected stays, and it is said why.
        """
        text = why_not_removed(seen, mounts)

        assert text is not None
        assert expected in text
