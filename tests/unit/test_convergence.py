# ruff: noqa: E501
"""
When a cluster is as a deployment asks, and what is said until then.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from pyrsistent import pmap, pvector

from flocker_admin.convergence import (
    Convergence,
    Item,
    Standing,
    container_item,
    convergence,
    dataset_item,
    finished_move_text,
    finished_moves,
    move_progress_text,
)
from flocker_py.client.views import (
    ContainersView,
    ContainerView,
    DatasetView,
    ErrorView,
    LeavingContainerView,
    MountView,
    MoveView,
    NodeView,
    RestartView,
)
from flocker_py.deployed import DeployedApp, DeployedNode, DeployedVolume, Deployment
from flocker_py.model import ContainerName, DatasetId, MoveId, NodeId

N1 = NodeId(UUID("11111111-1111-4111-8111-111111111111"))
N2 = NodeId(UUID("22222222-2222-4222-8222-222222222222"))
PG = DatasetId(UUID("dddddddd-dddd-4ddd-8ddd-dddddddddddd"))
OTHER = DatasetId(UUID("eeeeeeee-eeee-4eee-8eee-eeeeeeeeeeee"))
MOVE = MoveId(UUID("33333333-3333-4333-8333-333333333333"))
NAMES = {N1: "n1", N2: "n2"}
NODES = [NodeView(node_id=N1, name="n1", connected=True), NodeView(node_id=N2, address="192.0.2.2", connected=True)]
DB = ContainerName("db")


def dataset(**fields: Any) -> DatasetView:
    return DatasetView(
        **{
            "dataset_id": PG,
            "name": "pg",
            "primary": N1,
            "owner": N1,
            "epoch": 1,
            "created": True,
            "deleted": False,
            "status": "ok",
            **fields,
        }
    )


def move(**fields: Any) -> MoveView:
    return MoveView(**{"move_id": MOVE, "dataset_id": PG, "source": N1, "target": N2, **fields})


def container(**fields: Any) -> ContainerView:
    return ContainerView(**{"name": DB, "node_id": N1, "runs_on": N1, "state": "running", **fields})


def all_of(*containers: ContainerView, **fields: Any) -> ContainersView:
    return ContainersView(revision=1, containers=containers, **fields)


def error(text: str) -> ErrorView:
    return ErrorView(code="PoolFull", text=text, at_seconds=1.0, node_id=N1)


WAITS_FOR_N2 = "node n2, which has no connection to the control service"

DATASETS: list[tuple[DatasetView | None, bool, Standing, str]] = [
    (dataset(), False, Standing.DONE, "on n1"),
    (dataset(used_bytes=1536), False, Standing.DONE, "on n1, 1.5 KiB used"),
    (None, False, Standing.WORKING, "not known yet"),
    (dataset(status="creating"), False, Standing.WORKING, "is being made on n1"),
    (dataset(status="waiting"), False, Standing.WORKING, "on n1, waiting"),
    (dataset(status="unknown", waiting_for="node n1 to come"), False, Standing.TROUBLED, "on n1, unknown, waiting for node n1 to come"),
    (dataset(status="error", last_error=error("no room")), False, Standing.TROUBLED, "on n1, error, waiting for no room"),
    (dataset(status="deleted"), False, Standing.FAILED, "somebody has deleted it"),
    (dataset(status="moving", move=move(phase="copying")), False, Standing.WORKING, "moving from n1 to n2: copying"),
    (dataset(status="waiting", move=move()), False, Standing.WORKING, "moving from n1 to n2: about to begin"),
    (
        dataset(status="moving", move=move(phase="copying", round=2, round_bytes=512, total_bytes=1024)),
        False,
        Standing.WORKING,
        "moving from n1 to n2: copying, round 2, 512 B of 1 KiB (50 %)",
    ),
    (
        dataset(status="waiting", move=move(phase="copying", waiting_for=WAITS_FOR_N2)),
        False,
        Standing.TROUBLED,
        f"moving from n1 to n2: copying, waiting for {WAITS_FOR_N2}",
    ),
    (
        dataset(status="waiting", primary=N2, waiting_for="somebody to ask", last_move=move(outcome="failed", reason="outrun")),
        False,
        Standing.FAILED,
        "the move to n2 was given up: outrun; it is on n1",
    ),
    (
        dataset(status="waiting", primary=N2, waiting_for="somebody to ask", last_move=move(outcome="cancelled")),
        False,
        Standing.FAILED,
        "the move to n2 was cancelled; it is on n1",
    ),
    (dataset(status="waiting", primary=N2, last_move=move(outcome="failed")), False, Standing.WORKING, "on n1, waiting"),
    (None, True, Standing.DONE, "deleted"),
    (dataset(status="deleted", deleted=True), True, Standing.DONE, "deleted"),
    (dataset(status="deleting", deleted=True), True, Standing.WORKING, "is being deleted"),
    (dataset(status="error", deleted=True, waiting_for="n1"), True, Standing.TROUBLED, "is being deleted, waiting for n1"),
]  # fmt: skip


@pytest.mark.parametrize(("seen", "deleted", "standing", "text"), DATASETS)
def test_volume(seen: DatasetView | None, deleted: bool, standing: Standing, text: str) -> None:
    """
    Each state of a dataset is told in words, and is done, going on, in trouble, or past hope.
    """
    item = dataset_item("pg", seen, NAMES, deleted=deleted)

    assert (item.standing, item.text) == (standing, text)


CONTAINERS: list[tuple[ContainerView | None, bool, Standing, str]] = [
    (container(), False, Standing.DONE, "running on n1"),
    (container(last_error=error("memory is another")), False, Standing.DONE, "running on n1; memory is another"),
    (container(warnings=pvector(["links: db leads nowhere"])), False, Standing.DONE, "running on n1; links: db leads nowhere"),
    (None, False, Standing.WORKING, "not known yet"),
    (container(node_id=N2), False, Standing.WORKING, "running on n1, wanted on n2"),
    (container(state="starting"), False, Standing.WORKING, "starting on n1"),
    (container(state="waiting", runs_on=None, waiting_for="dataset pg to be made"), False, Standing.WORKING, "waiting on n1, waiting for dataset pg to be made"),
    (container(state="waiting", last_error=error("no such program")), False, Standing.TROUBLED, "waiting on n1, waiting for no such program"),
    (
        container(state="exited", node_id=N2, exit_status=0, waiting_for="dataset pg, which is moving"),
        False,
        Standing.WORKING,
        "stopped, wanted on n2, waiting for dataset pg, which is moving",
    ),
    (container(state="exited", exit_status=0), False, Standing.DONE, "ended on n1 with exit status 0"),
    (container(state="exited", exit_status=1), False, Standing.FAILED, "ended on n1 with exit status 1, and its policy does not start it again"),
    (
        container(state="exited", exit_status=1, restart=RestartView(name="always")),
        False,
        Standing.WORKING,
        "ended on n1 with exit status 1, and is started again",
    ),
    (
        container(state="exited", exit_status=1, restarts=2, restart=RestartView(name="on-failure", maximum_retry_count=2)),
        False,
        Standing.FAILED,
        "ended on n1 with exit status 1, and its policy does not start it again",
    ),
    (
        container(state="exited", exit_status=1, restarts=1, restart=RestartView(name="on-failure", maximum_retry_count=2)),
        False,
        Standing.WORKING,
        "ended on n1 with exit status 1, and is started again",
    ),
    (container(state="exited", exit_status=0, restart=RestartView(name="on-failure")), False, Standing.DONE, "ended on n1 with exit status 0"),
    (container(outdated=True), False, Standing.WORKING, "running on n1 as it was before"),
    (container(outdated=True, state="stopping"), False, Standing.WORKING, "stopping on n1 as it was before"),
    (
        container(outdated=True, state="exited", exit_status=1, waiting_for="dataset pg to be mounted"),
        False,
        Standing.WORKING,
        "exited on n1 as it was before, waiting for dataset pg to be mounted",
    ),
    (container(outdated=True, last_error=error("no image")), False, Standing.TROUBLED, "running on n1 as it was before, waiting for no image"),
    (container(outdated=True, node_id=N2), False, Standing.WORKING, "running on n1, wanted on n2"),
    (None, True, Standing.DONE, "removed"),
    (container(), True, Standing.WORKING, "is being removed from n1"),
]  # fmt: skip


@pytest.mark.parametrize(("seen", "deleted", "standing", "text"), CONTAINERS)
def test_app(seen: ContainerView | None, deleted: bool, standing: Standing, text: str) -> None:
    """
    Each state of a container is told in words, by its restart policy.
    """
    item = container_item("db", seen, NAMES, deleted=deleted)

    assert (item.standing, item.text) == (standing, text)


def test_numbers_are_not_part_of_the_stage() -> None:
    """
    What changes with every look is left out of the stage, so that a stage can be told once.
    """
    seen = dataset(status="moving", move=move(phase="copying", round=1, rate_bytes_per_second=2048.0))
    item = dataset_item("pg", seen, NAMES, deleted=False)

    assert (item.stage, item.text) == (
        "moving from n1 to n2: copying",
        "moving from n1 to n2: copying, round 1, 2 KiB/s",
    )


def test_fraction_of_a_round() -> None:
    """
    While a round is copied, how much of it is done is known, and never more than all.
    """
    seen = dataset(status="moving", move=move(phase="copying", round_bytes=2000, total_bytes=1000))

    assert dataset_item("pg", seen, NAMES, deleted=False).fraction == 1.0


def test_numbers_of_a_move() -> None:
    """
    All numbers of a move are shown with their units.
    """
    text = move_progress_text(
        move(
            round=3,
            round_bytes=1024,
            total_bytes=4096,
            rate_bytes_per_second=1024.0,
            eta_seconds=3.0,
            predicted_downtime_seconds=0.4,
        )
    )

    assert text == (
        "round 3, 1 KiB of 4 KiB (25 %), 1 KiB/s, 3.0 s left in this round, would stop the application for 400 ms"
    )


@pytest.mark.parametrize(
    ("ended", "text"),
    [
        (
            move(outcome="done", round=3, sent_bytes=4 * 2**20, started_at_seconds=1.0, ended_at_seconds=5.0, downtime_seconds=0.8),
            "pg from n1 to n2: 4 MiB in 3 rounds, took 4.0 s, 1 MiB/s on average, application stopped for 800 ms",
        ),
        (move(outcome="done", round=1, sent_bytes=0, started_at_seconds=1.0, ended_at_seconds=1.0), "pg from n1 to n2: 0 B in 1 round, took 0 ms"),
        (move(outcome="done"), "pg from n1 to n2: done"),
        (move(outcome="failed", reason="outrun"), "pg from n1 to n2: failed, outrun"),
        (move(outcome="cancelled", reason="cancelled"), "pg from n1 to n2: cancelled"),
        (move(), "pg from n1 to n2: not over"),
        (move(target=NodeId(UUID(int=7)), outcome="cancelled"), f"pg from n1 to {UUID(int=7)}: cancelled"),
    ],
)  # fmt: skip
def test_finished_move(ended: MoveView, text: str) -> None:
    """
    What a move took is told in a line.
    """
    assert finished_move_text("pg", ended, NAMES) == text


def test_only_new_endings_are_told() -> None:
    """
    A move that was over before isn't told again.
    """
    old, new = (
        dataset(last_move=move(outcome="done")),
        dataset(last_move=move(move_id=MoveId(UUID(int=5)), outcome="done")),
    )
    never = dataset()

    assert list(finished_moves([old, new, never], [MOVE])) == [(new, new.last_move)]


def deployment(*volumes: DeployedVolume, apps: tuple[DeployedApp, ...] = ()) -> Deployment:
    return Deployment(
        cluster_name="prod",
        volumes=pmap({volume.name: volume for volume in volumes}),
        apps=pmap({app.name: app for app in apps}),
    )


def test_all_that_is_named_is_looked_at() -> None:
    """
    With all its volumes and apps as wanted, a deployment is done.
    """
    wanted = deployment(DeployedVolume(name="pg"), apps=(DeployedApp(name=DB, node="n1"),))

    assert convergence(wanted, [dataset()], all_of(container()), NODES).done


@pytest.mark.parametrize(
    ("reference", "listed"),
    [
        ("n2", DeployedNode(name="n2", node_id=N2)),
        ("n2", DeployedNode(name="n2", address="192.0.2.2")),
        ("192.0.2.2", None),
        (str(N2), None),
    ],
)
def test_volume_that_somebody_wants_elsewhere(reference: str, listed: DeployedNode | None) -> None:
    """
    However the deployment calls a node, a volume that is wanted on another one is not as it says.
    """
    wanted = deployment(DeployedVolume(name="pg", primary=reference))
    wanted = wanted.set(nodes=pmap({} if listed is None else {"n2": listed}))
    found = convergence(wanted, [dataset()], all_of(), NODES)

    assert found.items[0].text.startswith("somebody wants it on n1 meanwhile, not on ")


@pytest.mark.parametrize(
    ("left", "standing", "text"),
    [
        ({}, Standing.WORKING, "is being removed from 192.0.2.2"),
        ({"last_error": error("Docker")}, Standing.TROUBLED, "is being removed from 192.0.2.2, waiting for Docker"),
        (
            {"waiting_for": "word of dataset pg"},
            Standing.WORKING,
            "is being removed from 192.0.2.2, waiting for word of dataset pg",
        ),
    ],
)
def test_app_that_has_not_ended_yet(left: dict[str, Any], standing: Standing, text: str) -> None:
    """
    An app that is to run no more is waited for until no node has it, whoever wants it no more.
    """
    wanted = deployment(apps=(DeployedApp(name=DB, deleted=True),))
    db = LeavingContainerView(name=DB, node_id=N2, state="stopping", **left)
    web = db.set(name=ContainerName("web"))
    item = convergence(wanted, [], all_of(leaving=[db, web]), NODES).items[0]

    assert (item.standing, item.text) == (standing, text)
    assert convergence(wanted, [], all_of(leaving=[web]), NODES).done


def test_app_that_a_silent_node_may_have() -> None:
    """
    A node that is connected and has not told yet what it runs is waited for; of one that is away nobody can say.
    """
    wanted = deployment(apps=(DeployedApp(name=DB, deleted=True),))
    away = [NODES[0], NODES[1].set(connected=False)]
    item = convergence(wanted, [], all_of(unknown_nodes=[N2]), NODES).items[0]

    assert (item.standing, item.text) == (
        Standing.WORKING,
        "is removed, unless 192.0.2.2 has it, which has not told yet",
    )
    assert convergence(wanted, [], all_of(unknown_nodes=[N2]), away).done


def test_node_that_is_not_known_yet() -> None:
    """
    While nobody knows the node that the deployment means, the volume is told by its state.
    """
    wanted = deployment(DeployedVolume(name="pg", primary="192.0.2.99"))

    assert convergence(wanted, [dataset(status="creating")], all_of(), NODES).items[0].standing is Standing.WORKING


def test_app_that_somebody_wants_elsewhere() -> None:
    """
    An app that was put elsewhere meanwhile is not as the deployment says.
    """
    found = convergence(deployment(apps=(DeployedApp(name=DB, node=str(N2)),)), [], all_of(container()), NODES)

    assert found.items[0].text == "somebody wants it on n1 meanwhile, not on 192.0.2.2 as the deployment does"


@pytest.mark.parametrize(
    ("state", "last", "standing"),
    [
        ("running", move(outcome="failed", reason="it doesn't start"), Standing.FAILED),
        ("starting", move(outcome="failed", reason="it doesn't start"), Standing.WORKING),
        ("running", move(outcome="done"), Standing.WORKING),
    ],
)
def test_app_that_went_back(state: str, last: MoveView, standing: Standing) -> None:
    """
    An app that runs where its volume went back to doesn't get any further, and that is said.
    """
    wanted = deployment(DeployedVolume(name="pg"), apps=(DeployedApp(name=DB, node="n2"),))
    seen = container(node_id=N2, state=state, mounts=pvector([MountView(dataset_id=PG, name="pg")]))
    volume = dataset(status="waiting", primary=N2, waiting_for="somebody to ask", last_move=last)
    found = convergence(wanted, [volume], all_of(seen), NODES)

    assert (found.items[1].standing, found.failed) == (standing, standing is Standing.FAILED)


def test_volume_whose_move_was_cancelled() -> None:
    """
    After a cancelled move the volume stays where it was, and is not as the deployment says.
    """
    seen = dataset(last_move=move(outcome="cancelled"))
    item = dataset_item("pg", seen, NAMES, deleted=False, wanted=N2)

    assert (item.standing, item.text) == (Standing.FAILED, "the move to n2 was cancelled; it stays on n1")


def test_others_are_not_waited_for() -> None:
    """
    What the deployment doesn't name may be in any trouble.
    """
    trouble = dataset(dataset_id=OTHER, name="other", status="error")

    assert convergence(deployment(DeployedVolume(name="pg")), [dataset(), trouble], all_of(), NODES).done


def test_volume_is_found_by_its_id() -> None:
    """
    A volume that is given by id is the dataset of that id, whatever it is called.
    """
    wanted = deployment(DeployedVolume(name="pg", dataset_id=OTHER))
    found = convergence(wanted, [dataset(status="error"), dataset(dataset_id=OTHER, name="old")], all_of(), NODES)

    assert found.done


def test_name_of_a_deleted_dataset_can_be_used_again() -> None:
    """
    Of two datasets of one name the one that isn't deleted is meant.
    """
    gone = dataset(dataset_id=OTHER, status="deleted", deleted=True)

    assert convergence(deployment(DeployedVolume(name="pg")), [dataset(), gone], all_of(), NODES).done


def item(standing: Standing) -> Item:
    return Item(kind="volume", name="pg", standing=standing, stage="", text="")


@pytest.mark.parametrize(
    ("standings", "done", "failed"),
    [
        ([], True, False),
        ([Standing.DONE], True, False),
        ([Standing.DONE, Standing.WORKING], False, False),
        ([Standing.TROUBLED], False, False),
        ([Standing.FAILED, Standing.WORKING], False, False),
        ([Standing.FAILED, Standing.DONE], False, True),
        ([Standing.FAILED, Standing.TROUBLED], False, True),
    ],
)
def test_end(standings: list[Standing], done: bool, failed: bool) -> None:
    """
    It is done when all is done, and failed when something failed and nothing else is going on.
    """
    found = Convergence(items=pvector(item(standing) for standing in standings))

    assert (found.done, found.failed) == (done, failed)
