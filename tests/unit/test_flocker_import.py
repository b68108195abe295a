"""
What becomes of what Flocker's control service kept.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from pyrsistent import pmap, pvector

from flocker_control.dataset_leases import Moment
from flocker_control.flocker_configuration import ConfigurationUnreadable, old_configuration
from flocker_control.importing import Imported, imported
from flocker_control.state import Changes, State, changed
from flocker_py.model import (
    Container,
    ContainerName,
    Dataset,
    DatasetId,
    Link,
    Mount,
    Node,
    NodeId,
    Ownership,
    Port,
    RestartName,
    RestartPolicy,
)
from tests.old_configurations import (
    DATA,
    GONE,
    NODE_1,
    NODE_2,
    SPARE,
    VERSIONS,
    application,
    configuration,
    everything,
    manifestation,
    node,
    pairs,
    thing,
    uuid,
)

MIB = 1024**2
DAY_SECONDS = 1_500_000_000.0
NOW = Moment(at_seconds=77.0, boot_id=UUID(int=9))


def result(data: Any, state: State | None = None) -> Imported:
    return imported(old_configuration(json.dumps(data)), state or State(), day_seconds=DAY_SECONDS, now=NOW)


def after(data: Any) -> State:
    return changed(State(), result(data).changes, revision=1)


def complaint(data: Any) -> str:
    with pytest.raises(ConfigurationUnreadable) as caught:
        old_configuration(data if isinstance(data, str) else json.dumps(data))
    return str(caught.value)


def test_everything_is_taken() -> None:
    """
    Nodes, datasets, also deleted and unused ones, and containers keep their ids and all that is known of them. What
    has data may not be made anew.
    """
    one, two = NodeId(UUID(NODE_1)), NodeId(UUID(NODE_2))
    data, spare, gone = (DatasetId(UUID(text)) for text in (DATA, SPARE, GONE))
    metadata = pmap({"name": "db", "owner": "me"})

    assert after(everything(6)) == State(
        revision=1,
        nodes=pmap({one: Node(node_id=one), two: Node(node_id=two)}),
        datasets=pmap(
            {
                data: Dataset(
                    dataset_id=data, primary=one, name="db", maximum_size_bytes=20480 * MIB, metadata=metadata
                ),
                spare: Dataset(dataset_id=spare, primary=two),
                gone: Dataset(dataset_id=gone, primary=one, metadata=pmap({"name": "db"}), deleted=True),
            }
        ),
        ownerships=pmap(
            {
                dataset_id: Ownership(dataset_id=dataset_id, owner=owner, created=True)
                for dataset_id, owner in ((data, one), (spare, two), (gone, one))
            }
        ),
        containers=pmap(
            {
                ContainerName("db"): Container(
                    name=ContainerName("db"),
                    node_id=one,
                    image="postgres:9.4",
                    command=pvector(["postgres", ""]),
                    environment=pmap({"A": "b"}),
                    mounts=pvector([Mount(dataset_id=data, path="/var/lib/data")]),
                    ports=pvector([Port(internal=80, external=81), Port(internal=5432, external=5433)]),
                    links=pvector([Link(alias="web", local_port=1, remote_port=2)]),
                    restart=RestartPolicy(name=RestartName.ON_FAILURE, maximum_retry_count=3),
                    memory_bytes=128 * MIB,
                    cpu_shares=512,
                ),
                ContainerName("web"): Container(name=ContainerName("web"), node_id=two, image="nginx:latest"),
            }
        ),
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_all_versions_mean_the_same(version: int) -> None:
    """
    One cluster is the same cluster in the file of every version.
    """
    read = result(everything(version))

    assert (read, old_configuration(json.dumps(everything(version))).version) == (result(everything(6)), version)


def test_what_is_told() -> None:
    """
    There is a line for all that is taken, and none for what isn't.
    """
    read = result(everything(6))

    assert (list(read.taken), list(read.altered), list(read.left)) == (
        [
            f"node {NODE_1}",
            f"node {NODE_2}",
            f"dataset {DATA} db on node {NODE_1}",
            f"dataset {SPARE} on node {NODE_2}",
            f"dataset {GONE} db on node {NODE_1}, deleted",
            f"container db on node {NODE_1}, of the image postgres:9.4",
            f"container web on node {NODE_2}, of the image nginx:latest",
        ],
        [],
        [],
    )


@pytest.mark.parametrize(("expires_at", "left_seconds"), [(None, None), (1_500_000_060, 60.0)])
def test_lease(expires_at: int | None, left_seconds: float | None) -> None:
    """
    A lease is taken with what is left of it.
    """
    read = result(everything(6, leases=[(SPARE, NODE_2, expires_at)]))
    lease = changed(State(), read.changes, revision=1).dataset_leases[DatasetId(UUID(SPARE))]

    assert f"the lease of dataset {SPARE} for node {NODE_2}" in read.taken
    assert (UUID(NODE_2), left_seconds, NOW.at_seconds, NOW.boot_id) == (
        lease.node_id,
        lease.left_seconds,
        lease.counted_at_seconds,
        lease.boot_id,
    )


def test_what_has_no_place_is_listed() -> None:
    """
    A lease that has expired, and what there is no place for, is listed with the reason.
    """
    read = result(everything(6, leases=[(SPARE, NODE_2, 1_500_000_000)], devices=[(DATA, "vol-1")]))

    assert list(read.left) == [
        f"the lease of dataset {SPARE} for node {NODE_2}: it has expired",
        f"dataset {DATA} is on the block device vol-1: there is no block storage here, copy the data",
    ]


def test_replicas_are_listed() -> None:
    """
    A replica is not taken, and a dataset that is nowhere else isn't either.
    """
    read = result(
        configuration(
            4,
            [
                node(NODE_1, [manifestation(DATA)], []),
                node(NODE_2, [manifestation(DATA, primary=False), manifestation(SPARE, primary=False)], []),
            ],
        )
    )

    assert (list(read.left), [line for line in read.taken if line.startswith("dataset")]) == (
        [f"the replica of dataset {one} on node {NODE_2}: there are no replicas" for one in (DATA, SPARE)],
        [f"dataset {DATA} on node {NODE_1}"],
    )


def test_two_primaries_are_none() -> None:
    """
    A dataset that two nodes have as theirs is left to the operator.
    """
    both = [node(one, [manifestation(DATA)], []) for one in (NODE_1, NODE_2)]
    read = result(configuration(2, both))

    assert (list(read.left), after(configuration(1, both)).datasets) == (
        [f"dataset {DATA}: it is primary on several nodes, {NODE_1}, {NODE_2}"],
        pmap(),
    )


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [("same", "same", "several datasets have it"), ("a b", None, "the name 'a b' is not 1 to 63 letters")],
)
def test_names_that_can_not_be_names(first: str, second: str | None, reason: str) -> None:
    """
    A name that two datasets have, or that none can have here, stays in the metadata, which clients of Flocker look at.
    """
    data = configuration(3, [node(NODE_1, [manifestation(DATA, first), manifestation(SPARE, second)], [])])
    found = after(data).datasets[DatasetId(UUID(DATA))]

    assert (found.name, found.metadata["name"]) == (None, first)
    assert result(data).altered[0].startswith(f"dataset {DATA} keeps the name {first!r} as metadata only: {reason}")


@pytest.mark.parametrize(("size", "possible"), [(1, 64 * MIB), (64 * MIB + 1, 64 * MIB + 1024)])
def test_sizes_that_can_not_be_sizes(size: int, possible: int) -> None:
    """
    A size becomes the next one that a dataset can have, and that is told.
    """
    data = configuration(3, [node(NODE_1, [manifestation(DATA, size=size)], [])])

    assert (after(data).datasets[DatasetId(UUID(DATA))].maximum_size_bytes, list(result(data).altered)) == (
        possible,
        [f"dataset {DATA} may hold {possible} bytes, not {size}: the next possible size"],
    )


def test_dataset_that_can_not_be_one() -> None:
    """
    What no dataset can have here makes that one dataset left out, with the reason.
    """
    read = result(configuration(3, [node(NODE_1, [manifestation(DATA, metadata=(("", "x"),))], [])]))

    assert [line.split(" under")[0] for line in read.left] == [f"dataset {DATA}: the entry of metadata"]


def test_containers_that_can_not_be_containers() -> None:
    """
    A container that breaks a rule is left out, with the reason; the others are taken.
    """
    ports = [thing("Port", internal_port=1, external_port=80)]
    used = thing("AttachedVolume", manifestation=manifestation(GONE), mountpoint=thing("FilePath", path="/x"))
    applications = [
        application("a", ports=ports),
        application("b", ports=ports),
        application("/c"),
        application("d", volume=used),
    ]
    read = result(
        configuration(
            5, [node(NODE_1, [manifestation(GONE, deleted=True)], applications), node(NODE_2, [], [application("a")])]
        )
    )

    assert [line.split(": ")[0] for line in read.left] == [
        f"container /c on node {NODE_1}",
        f"container a on node {NODE_2}",
        f"container b on node {NODE_1}",
        f"container d on node {NODE_1}",
    ]


def test_swappiness_that_somebody_set() -> None:
    """
    Where it isn't what Flocker wrote by itself, it is kept.
    """
    data = configuration(6, [node(NODE_1, [], [application("a", swappiness=60)])])

    assert after(data).containers[ContainerName("a")].swappiness == 60


def test_node_that_is_known_stays_as_it_is() -> None:
    """
    A node whose agent has connected already keeps its name.
    """
    known = Node(node_id=NodeId(UUID(NODE_1)), name="alpha")
    state = changed(State(), Changes().put(known), revision=1)
    read = result(configuration(6, [node(NODE_1, [], [])]), state)

    assert (bool(read.changes), list(read.taken)) == (False, [f"node {NODE_1}"])


def test_what_nobody_knows_is_listed() -> None:
    """
    What is in a file and no part of such a file is told, at each place.
    """
    data = configuration(2, [{**node(NODE_1, [], []), "hostname": "x"}])
    data["more"] = 1

    assert list(result(data).left) == [
        "more: not known to be a part of such a file",
        "deployment.nodes.0.hostname: not known to be a part of such a file",
    ]


def test_maps_of_the_first_versions() -> None:
    """
    Flocker 0.4 wrote maps as plain objects.
    """
    plain = node(NODE_1, [], [])
    plain["manifestations"] = {DATA: manifestation(DATA)}
    plain["manifestations"][DATA]["dataset"]["metadata"] = {"name": "db"}

    assert after(configuration(1, [plain])).datasets[DatasetId(UUID(DATA))].name == "db"


def test_empty_deployment() -> None:
    """
    A control service that never was told anything has nothing to import.
    """
    assert not result(thing("Deployment")).changes


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("{", "line 1, column 2: no JSON: "),
        ("[" * 100_000, "it is nested too deep"),
        ("9" * 5000, "no JSON: "),
        ([], "Deployment must be a mapping, not a list"),
        ({"$__class__": 1}, "Configuration needs version; Configuration needs deployment"),
        (thing("Other"), "must be a Configuration of Flocker's, not 'Other'"),
        (thing("Configuration", version=7, deployment={}), "version: must be 2 to 6, the versions that Flocker 1.x"),
        (thing("Configuration", version=True, deployment={}), "version: must be 2 to 6, the versions that Flocker 1.x"),
        (thing("Deployment", nodes=3), "nodes: must be a map of nodes, not 3"),
        (thing("Deployment", nodes=thing("PMap", values=[1])), "nodes.0: must be a key and a value, not 1"),
        (thing("Deployment", nodes=[3]), "nodes.0: Node must be a mapping, not 3"),
        (thing("Deployment", nodes=[thing("Node", uuid=3)]), "nodes.0.uuid: must be a UUID, not 3"),
        (thing("Deployment", nodes=[thing("Node", uuid=uuid("x"))]), "nodes.0.uuid: must be a UUID, not 'x'"),
        (thing("Deployment", nodes=[thing("Node", uuid={"hex": 3})]), "nodes.0.uuid: must be a UUID, not 3"),
        (
            configuration(1, [node(NODE_1, [manifestation("x")], [])]),
            "nodes.0.manifestations.0.1.dataset.dataset_id: must",
        ),
        (
            configuration(1, [node(NODE_1, [{**manifestation(DATA), "primary": 1}], [])]),
            "nodes.0.manifestations.0.1.primary: must be true or false, not 1",
        ),
        (configuration(1, [node(NODE_1, [], [application("")])]), "nodes.0.applications.0.name: must not be empty"),
        (
            configuration(1, [node(NODE_1, [], [application("a", image=thing("DockerImage", tag="x"))])]),
            "nodes.0.applications.0.image: DockerImage needs repository",
        ),
        (
            configuration(1, [node(NODE_1, [], [application("a", volume=thing("AttachedVolume"))])]),
            "nodes.0.applications.0.volume: AttachedVolume needs mountpoint; nodes.0.applications.0.volume: Attached",
        ),
        (
            configuration(
                1,
                [
                    node(
                        NODE_1,
                        [],
                        [
                            application(
                                "a",
                                volume=thing(
                                    "AttachedVolume",
                                    manifestation=thing("Manifestation"),
                                    mountpoint=thing("FilePath", path=1),
                                ),
                            )
                        ],
                    )
                ],
            ),
            "nodes.0.applications.0.volume.mountpoint.path: must be a text, not 1",
        ),
        (
            configuration(1, [node(NODE_1, [], [application("a", ports=[thing("Port")], links=[thing("Link")])])]),
            "nodes.0.applications.0.ports.0: Port needs internal_port",
        ),
        (
            configuration(1, [node(NODE_1, [], [application("a", restart_policy=thing("RestartOften"))])]),
            "nodes.0.applications.0.restart_policy: must be a restart policy of Flocker's, not 'RestartOften'",
        ),
        (
            configuration(1, [node(NODE_1, [], [application("a", restart_policy=[])])]),
            "nodes.0.applications.0.restart_policy: must be a restart policy of Flocker's, not a list",
        ),
        (
            configuration(1, [node(NODE_1, [], [application("a", restart_policy={"$__class__$": 1})])]),
            "nodes.0.applications.0.restart_policy: must be a restart policy of Flocker's, not 1",
        ),
        (
            configuration(1, [node(NODE_1, [], [application("a", environment=pairs((1, "x"), ("x", 1)))])]),
            "nodes.0.applications.0.environment.0.0: must be a text, not 1",
        ),
        (configuration(3, [], leases=[("x", "y", 1)]), "deployment.leases.0.1.dataset_id: must be a UUID, not 'x'"),
        (configuration(4, [], devices=[("x", "")]), "deployment.persistent_state.blockdevice_ownership.0.0: must be a"),
    ],
)
def test_files_that_are_none(data: Any, text: str) -> None:
    """
    A file that Flocker can't have written is refused as a whole, with every reason and its place.
    """
    assert complaint(data)[: len(text)] == text


def test_file_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A file has an end.
    """
    monkeypatch.setattr("flocker_control.flocker_configuration.SIZE_LIMIT_CHARACTERS", 10)

    assert complaint(" " * 11) == "it has more than 10 characters"
