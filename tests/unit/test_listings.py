"""
Tables of what there is.
"""

from __future__ import annotations

from uuid import UUID

import pytest
from pyrsistent import pvector

from flocker_admin.listings import (
    aligned,
    container_lines,
    dataset_lines,
    drained_lines,
    lease_lines,
    move_lines,
    node_lines,
    status_lines,
)
from flocker_py.client.views import (
    BackupsView,
    BackupView,
    ContainersView,
    ContainerView,
    DatasetView,
    DrainedView,
    FailureView,
    GroupView,
    LeaseView,
    LeavingContainerView,
    MountView,
    MoveView,
    NamedDatasetView,
    NodeView,
    PlacedView,
    PortView,
    StatusView,
    TroubleView,
    UnplacedView,
    node_names,
)
from flocker_py.model import ContainerName, DatasetId, MoveId, NodeId

N1 = NodeId(UUID("11111111-1111-4111-8111-111111111111"))
N2 = NodeId(UUID("22222222-2222-4222-8222-222222222222"))
PG = DatasetId(UUID("dddddddd-dddd-4ddd-8ddd-dddddddddddd"))
MOVE = MoveId(UUID("33333333-3333-4333-8333-333333333333"))
SHA256 = f"sha256:{'0123456789abcdef' * 4}"
SHA512 = f"sha512:{'0123456789abcdef' * 8}"
NAMES = {N1: "n1", N2: "n2"}


def dataset(name: str | None = "pg", status: str = "ok", used_bytes: int | None = 1024) -> DatasetView:
    return DatasetView(
        dataset_id=PG,
        name=name,
        primary=N1,
        owner=N1,
        epoch=1,
        created=True,
        deleted=False,
        status=status,
        used_bytes=used_bytes,
        maximum_size_bytes=None if used_bytes is None else 2**30,
    )


def test_columns_are_as_wide_as_needed() -> None:
    """
    Columns line up, and no line ends in blanks.
    """
    assert aligned(("A", "LONG"), [("xyz", "1"), ("x", "")]) == ["A    LONG", "xyz  1", "x"]


def test_nodes() -> None:
    """
    Nodes are listed by name, and below them what goes wrong on them.
    """
    failure = FailureView(about="db", code="PoolFull", text="no room", at_seconds=1.0)
    here = NodeView(
        node_id=N1,
        name="n1",
        address="192.0.2.1",
        connected=True,
        storage="zfs",
        runtime="process",
        free_bytes=2**30,
        version="0.1.0",
        lease_left_seconds=30.1,
        failures=pvector([failure]),
    )
    nameless = NodeView(node_id=N2, connected=False)

    assert node_lines([nameless, here]) == [
        "NAME  ADDRESS    STATE      LEASE  STORAGE  RUNTIME  FREE   VERSION  ID",
        f"n1    192.0.2.1  connected  valid  zfs      process  1 GiB  0.1.0    {N1}",
        f"-     -          away       -      -        -        -      -        {N2}",
        "n1: db: no room (PoolFull)",
    ]


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"connected": True, "draining": True}, "connected, draining"),
        ({"connected": False, "draining": True}, "away, draining"),
        ({"connected": False, "removed": True}, "removed"),
    ],
    ids=["draining", "away", "removed"],
)
def test_nodes_that_go(fields: dict[str, bool], state: str) -> None:
    """
    A node that is drained or removed says so.
    """
    assert state in node_lines([NodeView(node_id=N1, **fields)])[1]


DB = GroupView(container=ContainerName("db"), datasets=pvector([NamedDatasetView(dataset_id=PG, name="pg")]))
WEB = GroupView(container=ContainerName("web"))
LONE = GroupView(datasets=pvector([NamedDatasetView(dataset_id=PG)]))


@pytest.mark.parametrize(
    ("drained", "expected"),
    [
        (DrainedView(dry_run=True), ["Nothing is on node n1."]),
        (
            DrainedView(
                dry_run=False,
                placed=pvector([PlacedView(group=DB, target=N1), PlacedView(group=LONE, target=N2)]),
                leaving=pvector([WEB]),
            ),
            [
                "app db with volume pg moves to n1",
                f"volume {PG} moves to {N2}",
                "app web is leaving already",
                "Node n1 takes nothing new until flockerctl undrain n1.",
            ],
        ),
        (
            DrainedView(
                dry_run=True,
                placed=pvector([PlacedView(group=WEB, target=N1)]),
                unplaced=pvector([UnplacedView(group=DB, reasons=pvector(["no room", "no port"]))]),
            ),
            ["app web would move to n1", "app db with volume pg would stay:", "    no room", "    no port"],
        ),
        (
            DrainedView(dry_run=False, unplaced=pvector([UnplacedView(group=WEB, reasons=pvector(["no other node"]))])),
            [
                "app web stays:",
                "    no other node",
                "Node n1 takes nothing new until flockerctl undrain n1, and what stays can be asked for again.",
            ],
        ),
    ],
    ids=["nothing", "all goes", "dry run", "one stays"],
)
def test_drained(drained: DrainedView, expected: list[str]) -> None:
    """
    What becomes of everything on a node is said, with the reasons of what stays.
    """
    assert drained_lines("n1", drained, {N1: "n1"}) == expected


@pytest.mark.parametrize(
    ("left_seconds", "text"), [(12.0, "valid 12 s more"), (0.0, "expired 0 ms ago"), (-125.0, "expired 2 min 5 s ago")]
)
def test_lease_of_a_node_that_is_away(left_seconds: float, text: str) -> None:
    """
    Of a node that is away one sees when its lease can be taken as expired, or since when it can.
    """
    node = NodeView(node_id=N2, connected=False, lease_left_seconds=left_seconds)

    assert text in node_lines([node])[1]


def test_name_of_a_node() -> None:
    """
    A node without a name is called by its address, and without that by its id.
    """
    nodes = [
        NodeView(node_id=N1, address="192.0.2.1", connected=True),
        NodeView(node_id=N2, connected=False),
    ]

    assert node_names(nodes) == {N1: "192.0.2.1", N2: str(N2)}


def test_datasets() -> None:
    """
    Datasets are listed by name, but for those that are gone.
    """
    assert dataset_lines([dataset(None, "creating", None), dataset(), dataset("old", "deleted")], NAMES) == [
        f"NAME  OWNER  STATUS    USED   LIMIT  {'ID':36}  DETAILS",
        f"pg    n1     ok        1 KiB  1 GiB  {PG}  on n1, 1 KiB used",
        f"-     n1     creating  -      -      {PG}  is being made on n1",
    ]


def line_of(container: ContainerView) -> str:
    """
    What is listed of one container.
    """
    return container_lines(ContainersView(revision=1, containers=[container]), NAMES)[1]


def test_containers() -> None:
    """
    Containers are listed with where they run and what they mount, those that are wanted no more until they have ended.
    """
    db = ContainerView(
        name=ContainerName("db"),
        node_id=N1,
        runs_on=N1,
        state="running",
        mounts=pvector([MountView(dataset_id=PG, name="pg"), MountView(dataset_id=PG)]),
    )
    web = ContainerView(name=ContainerName("web"), node_id=N2, state="waiting")
    old = LeavingContainerView(name=ContainerName("old"), node_id=N2, state="stopping")

    assert container_lines(ContainersView(revision=1, containers=[web, db], leaving=[old]), NAMES) == [
        f"NAME  STATE     NODE  RESTARTS  HEALTH  IMAGE  RUNS  PINNED  PORTS  {'VOLUMES':39}  DETAILS",
        f"db    running   n1    0         -       -      -     -       -      pg,{PG}  running on n1",
        f"web   waiting   n2    0         -       -      -     -       -      {'-':39}  waiting on n2",
        f"old   stopping  n2    -         -       -      -     -       -      {'-':39}  is being removed from n2",
    ]


@pytest.mark.parametrize(
    ("port", "text"),
    [
        (PortView(internal=80, external=8080), "8080:80"),
        (PortView(internal=53, external=53, protocol="udp"), "53:53/udp"),
        (PortView(internal=80, external=8080, host_address="192.0.2.1"), "192.0.2.1:8080:80"),
        (PortView(internal=80, external=8080, host_address="2001:db8::1"), "[2001:db8::1]:8080:80"),
    ],
)
def test_ports(port: PortView, text: str) -> None:
    """
    Ports are listed as ``cluster.yml`` has them.
    """
    web = ContainerView(name=ContainerName("web"), node_id=N1, state="running", ports=pvector([port, port]))

    assert f"  {text},{text}  " in line_of(web)


@pytest.mark.parametrize(
    ("health", "text"), [(None, "-"), ("none", "-"), ("starting", "starting"), ("unhealthy", "unhealthy")]
)
def test_health(health: str | None, text: str) -> None:
    """
    What a check says is listed, with the image; without a check there is nothing to say.
    """
    web = ContainerView(
        name=ContainerName("web"), node_id=N1, state="running", health=health, image="registry.example/web:1"
    )

    assert line_of(web).split()[4:6] == [text, "registry.example/web:1"]


@pytest.mark.parametrize(
    ("image", "digest", "cells"),
    [
        ("shop:1", SHA256, ["shop:1", "sha256:0123456789ab...", "no"]),
        ("shop:1", None, ["shop:1", "-", "no"]),
        (f"shop@{SHA256}", SHA256, ["shop@sha256:0123456789ab...", "sha256:0123456789ab...", "yes"]),
        (f"shop:1@{SHA512}", SHA256, ["shop:1@sha512:0123456789ab...", "sha256:0123456789ab...", "yes"]),
        ("Shop", None, ["Shop", "-", "-"]),
        (None, None, ["-", "-", "-"]),
    ],
)
def test_image(image: str | None, digest: str | None, cells: list[str]) -> None:
    """
    Which image runs is listed by its digest, and whether the name that it was asked for by is pinned to one.
    """
    web = ContainerView(name=ContainerName("web"), node_id=N1, state="running", image=image, image_digest=digest)

    assert line_of(web).split()[5:8] == cells


def test_moves() -> None:
    """
    Moves under way come first, then those that ended, the newest first.
    """
    moves = [
        MoveView(move_id=MOVE, dataset_id=PG, source=N2, target=N1, outcome="cancelled", ended_at_seconds=1.0),
        MoveView(move_id=MOVE, dataset_id=PG, source=N1, target=N2, phase="copying", round=1),
        MoveView(dataset_id=PG, source=N1, target=N2, waiting_for="node n2"),
    ]

    assert move_lines(moves, NAMES, {PG: "pg"}) == [
        f"VOLUME  FROM  TO  PHASE    {'MOVE':36}  DETAILS",
        f"pg      n1    n2  copying  {MOVE}  round 1",
        f"pg      n1    n2  -        {'-':36}  waiting for node n2",
        "",
        "Ended:",
        "pg from n2 to n1: cancelled",
    ]


def test_no_moves() -> None:
    """
    No move is said in words.
    """
    assert move_lines([], NAMES, {}) == ["No move is under way."]


def test_leases() -> None:
    """
    Leases are listed by the names of what is leased, and for how long.
    """
    other = DatasetId(UUID("eeeeeeee-eeee-4eee-8eee-eeeeeeeeeeee"))
    leases = [
        LeaseView(dataset_id=PG, node_id=N1, left_seconds=125.0, is_waited_for=True),
        LeaseView(dataset_id=other, node_id=N2, is_waited_for=False),
    ]

    assert lease_lines(leases, NAMES, {PG: "pg"}) == [
        f"{'VOLUME':36}  NODE  LEFT                  WAITED FOR",
        f"{other}  n2    until it is released  no",
        f"{'pg':36}  n1    2 min 5 s             yes",
    ]


def test_no_leases() -> None:
    """
    No lease is said in words.
    """
    assert lease_lines([], NAMES, {}) == ["No volume is leased."]


TROUBLE = TroubleView(code="StoreFull", text="no room in /data", at_seconds=0.0)
NEWEST = BackupView(name="store-r7", revision=7, taken_at_seconds=0.0)
BACKUPS = BackupsView(directory="/backups", every_seconds=3600.0, keep=3)
STATUSES = {
    "no backups": (StatusView(version="1", revision=7, nodes_known=2, nodes_connected=1), "backups: none are made"),
    "none yet": (
        StatusView(version="1", revision=7, nodes_known=2, nodes_connected=2, backups=BACKUPS),
        "newest backup: none yet",
    ),
    "newest": (
        StatusView(version="1", revision=7, nodes_known=2, nodes_connected=2, backups=BACKUPS.set(newest=NEWEST)),
        "newest backup: store-r7, revision 7, of 1970-01-01 00:00:00 UTC",
    ),
    "failed backup": (
        StatusView(version="1", revision=7, nodes_known=2, nodes_connected=2, backups=BACKUPS.set(error=TROUBLE)),
        "last backup failed: no room in /data (StoreFull)",
    ),
    "full store": (
        StatusView(version="1", revision=7, nodes_known=2, nodes_connected=2, store_error=TROUBLE),
        "store: no room in /data (StoreFull)",
    ),
}


@pytest.mark.parametrize("what", STATUSES)
def test_status(what: str) -> None:
    """
    Who asks how the control service does is told of nodes, store and backups, trouble included.
    """
    status, line = STATUSES[what]

    assert any(told.startswith(line) for told in status_lines(status))
