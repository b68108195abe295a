"""
Files of Compose with volumes of the cluster, as the documentation shows them, brought up on one node and on another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from tests.cluster import Cluster
from tests.compose import Project, compose_version
from tests.docs.blocks import ROOT, fences
from tests.volume_engines import Engine, engine_missing
from tests.volume_nodes import Node, done, refused, volume_nodes

Require = Callable[..., None]
Projects = Callable[[str], tuple[Project, Project]]

PAGE = ROOT / "docs" / "how-to" / "docker-volumes.md"
EXTERNAL, MADE_BY_COMPOSE = (
    "\n".join(block.content) + "\n" for block in fences(PAGE) if (block.language, block.marker) == ("yaml", "compose")
)


@pytest.fixture(scope="module")
def nodes(require: Require) -> Iterator[dict[str, Node]]:
    missing = engine_missing()
    if missing is not None:
        require("docker", missing)
    require("compose")
    with volume_nodes() as found:
        yield found


@pytest.fixture
def cluster(nodes: dict[str, Node]) -> Cluster:
    return nodes["n1"].plugin.cluster


@pytest.fixture
def n1(nodes: dict[str, Node]) -> Engine:
    return nodes["n1"].engine


@pytest.fixture
def n2(nodes: dict[str, Node]) -> Engine:
    return nodes["n2"].engine


@pytest.fixture
def volume() -> str:
    return f"vol-{uuid4().hex[:8]}"


@pytest.fixture
def projects(n1: Engine, n2: Engine, tmp_path: Path) -> Iterator[Projects]:
    """
    Makes a file the project ``shop`` of both nodes.
    """

    def made(text: str) -> tuple[Project, Project]:
        first, second = (Project(engine, tmp_path / engine.folder.name, "shop", text) for engine in (n1, n2))
        return first, second

    yield made
    for engine in (n1, n2):
        for container in engine.docker("ps", "--all", "--quiet").out.split():
            done(engine.docker("rm", "--force", container))


def called(text: str, volume: str) -> str:
    """
    A file of the documentation with a volume of another name.
    """
    assert text.count("name: orders\n") == 1
    return text.replace("name: orders\n", f"name: {volume}\n")


def changed(text: str, volume: str, **fields: object) -> str:
    """
    The same, with other entries of its volume; None takes one out.
    """
    document = yaml.safe_load(called(text, volume))
    document["volumes"]["orders"].update(fields)
    document["volumes"]["orders"] = {k: v for k, v in document["volumes"]["orders"].items() if v is not None}
    return yaml.safe_dump(document)


def create(engine: Engine, volume: str) -> None:
    done(engine.docker("volume", "create", "-d", "flocker", "-o", "size=10G", volume))


def names(cluster: Cluster) -> list[str]:
    """
    Of all volumes of the cluster.
    """
    return [dataset["name"] for dataset in cluster.api("GET", "/v2/datasets")["datasets"] if not dataset["deleted"]]


def test_moves_with_its_project(cluster: Cluster, n1: Engine, projects: Projects) -> None:
    """
    The file of the documentation, as it is: down here and up there, the volume has come with what was written.
    """
    first, second = projects(EXTERNAL)
    before = names(cluster)
    create(n1, "orders")
    made = cluster.dataset("orders")["dataset_id"]
    done(first.up())
    cluster.wait(lambda: first.written() == "started\n")
    done(first.down())
    done(second.up())
    cluster.wait(lambda: second.written() == "started\nstarted\n")
    dataset = cluster.dataset("orders")
    done(second.down("--volumes"))

    assert (made, str(cluster.node_ids["n2"]), 2) == (dataset["dataset_id"], dataset["owner"], dataset["epoch"])
    assert {*before, "orders"} == set(names(cluster))
    done(n1.docker("volume", "rm", "orders"))


def test_held(cluster: Cluster, n1: Engine, projects: Projects, volume: str) -> None:
    """
    While the project is up on one node, the user of another is told at once who has its volume; afterwards it comes.
    """
    first, second = projects(called(EXTERNAL, volume))
    create(n1, volume)
    done(first.up())
    cluster.wait(lambda: first.written() == "started\n")
    error = refused(second.up())
    done(first.down())
    done(second.up())
    cluster.wait(lambda: second.written() == "started\nstarted\n")

    assert f"volume {volume} is in use on node {cluster.addresses['n1']}, which holds a lease of it" in error


def test_made_by_compose(cluster: Cluster, n2: Engine, projects: Projects, volume: str) -> None:
    """
    Compose makes what it is to make, with its options, and another node can have it once its Docker was told the same.
    """
    first, second = projects(called(MADE_BY_COMPOSE, volume))
    done(first.up())
    cluster.wait(lambda: first.written() == "started\n")
    made = cluster.dataset(volume)
    done(first.down())
    create(n2, volume)
    done(second.up())
    cluster.wait(lambda: second.written() == "started\nstarted\n")
    dataset = cluster.dataset(volume)
    done(second.down())
    done(first.up())
    cluster.wait(lambda: first.written() == "started\n" * 3)

    assert (10 * 1024**3, made["dataset_id"]) == (made["maximum_size_bytes"], dataset["dataset_id"])
    assert str(cluster.node_ids["n2"]) == dataset["owner"]


def test_options_that_docker_was_not_told(
    cluster: Cluster, n2: Engine, projects: Projects, volume: str, require: Require
) -> None:
    """
    Compose 1 takes options that Docker doesn't know of for a change, and refuses; as one that is there it finds it.
    """
    if compose_version() > 1:
        require("compose 1", "this is a later version, which compares no options")
    first, second = projects(called(MADE_BY_COMPOSE, volume))
    done(first.up())
    cluster.wait(lambda: first.written() == "started\n")
    done(first.down())
    before = cluster.dataset(volume)
    error = refused(second.up())

    after = cluster.dataset(volume)
    create(n2, volume)
    still = second.up().status
    _, external = projects(called(EXTERNAL, volume))
    done(external.up())
    cluster.wait(lambda: external.written() == "started\nstarted\n")

    assert (True, before) == ('specifies "size" driver_opt 10G' in error, after)
    # Docker keeps to what it knew when it was asked first.
    assert 1 == still


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"size": "10"}, "size=10: it has no unit. Write size=10G"),
        ({"colour": "red"}, "colour=red: there is no option colour, only size, "),
    ],
)
def test_bad_option(cluster: Cluster, projects: Projects, volume: str, options: dict[str, str], expected: str) -> None:
    """
    Compose's user reads which option is wrong, and nothing is made.
    """
    first, _ = projects(changed(MADE_BY_COMPOSE, volume, driver_opts=options))

    assert expected in refused(first.up())
    assert volume not in names(cluster)


def test_without_a_name(cluster: Cluster, projects: Projects, volume: str) -> None:
    """
    Without a name a volume is called after its project too, and a project of that name elsewhere has the same volume.

    Without options there is nothing that another node's Docker would have to be told.
    """
    first, second = projects(changed(MADE_BY_COMPOSE, volume, name=None, driver_opts=None))
    done(first.up())
    cluster.wait(lambda: first.written() == "started\n")
    done(first.down())
    done(second.up())
    cluster.wait(lambda: second.written() == "started\nstarted\n")
    owner = cluster.dataset("shop_orders")["owner"]
    done(second.down("--volumes"))

    assert str(cluster.node_ids["n2"]) == owner
    assert "shop_orders" not in names(cluster)


def test_removed(cluster: Cluster, n2: Engine, projects: Projects, volume: str) -> None:
    """
    ``down --volumes`` deletes what Compose has made, on all nodes, but not while another node uses it.
    """
    first, _ = projects(called(MADE_BY_COMPOSE, volume))
    done(first.up())
    done(first.down())
    container = done(n2.container(volume, "sleep 1000000", "--detach"))
    error = first.down("--volumes")
    kept = volume in names(cluster)
    done(n2.docker("rm", "--force", container))
    done(first.down("--volumes"))

    assert (True, True) == (kept, f"volume {volume} is in use on node {cluster.addresses['n2']}" in error.err)
    assert volume not in names(cluster)


def test_external_is_kept(cluster: Cluster, n1: Engine, projects: Projects, volume: str) -> None:
    """
    ``down --volumes`` keeps what Compose was told to find.
    """
    first, _ = projects(called(EXTERNAL, volume))
    create(n1, volume)
    done(first.up())
    done(first.down("--volumes"))

    assert volume in names(cluster)
