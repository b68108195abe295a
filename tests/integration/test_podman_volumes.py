"""
Volumes of the cluster in the containers of Podman, on two nodes, beside those of Docker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from uuid import uuid4

import pytest

from tests.cluster import Cluster
from tests.podman import Podman
from tests.volume_engines import engine_missing
from tests.volume_nodes import Node, done, is_free, refused, volume_nodes

Require = Callable[..., None]
SOCKET = "podman.sock"


@pytest.fixture(scope="module")
def nodes(require: Require) -> Iterator[dict[str, Node]]:
    missing = engine_missing()
    if missing is not None:
        require("docker", missing)
    with volume_nodes(SOCKET) as found:
        yield found


@pytest.fixture(scope="module")
def podmans(require: Require, request: pytest.FixtureRequest) -> Iterator[dict[str, Podman]]:
    require("podman")
    nodes: dict[str, Node] = request.getfixturevalue("nodes")
    with ExitStack() as undo:
        found = {}
        for name, node in nodes.items():
            folder = node.engine.folder
            found[name] = Podman(folder / "podman", node.plugin.socket_path, folder / SOCKET)
        for podman in found.values():
            undo.enter_context(podman)
        yield found


@pytest.fixture
def p1(podmans: dict[str, Podman]) -> Podman:
    return podmans["n1"]


@pytest.fixture
def p2(podmans: dict[str, Podman]) -> Podman:
    return podmans["n2"]


@pytest.fixture
def cluster(nodes: dict[str, Node]) -> Cluster:
    return nodes["n1"].plugin.cluster


@pytest.fixture
def volume() -> str:
    return f"vol-{uuid4().hex[:8]}"


def made(podman: Podman, volume: str, *options: str) -> str:
    return done(podman("volume", "create", "--driver", "flocker", *options, volume))


def test_written_here_read_there(cluster: Cluster, p1: Podman, p2: Podman, volume: str) -> None:
    """
    What a container has written on one node, one of the other reads, whose Podman has looked what there is; and back.
    """
    made(p1, volume, "-o", "size=100M")
    done(p1.container(volume, "echo one >> /data/file", "--rm"))
    free = is_free(cluster, volume)
    done(p2("volume", "reload"))
    there = done(p2.container(volume, "echo two >> /data/file; cat /data/file", "--rm"))
    status = p2.volume(volume)["Status"]
    back = done(p1.container(volume, "cat /data/file", "--rm"))

    assert (True, "one\ntwo", "one\ntwo") == (free, there, back)
    assert (cluster.addresses["n2"], 2, "100 MiB") == tuple(status[key] for key in ("owner", "epoch", "size"))


def test_made_on_each_node(cluster: Cluster, p1: Podman, p2: Podman, volume: str) -> None:
    """
    To make what another node has made is to use it.
    """
    made(p1, volume, "-o", "size=100M")
    dataset_id = cluster.dataset(volume)["dataset_id"]
    done(p1.container(volume, "echo kept > /data/file", "--rm"))
    made(p2, volume, "-o", "size=100M")

    assert "kept" == done(p2.container(volume, "cat /data/file", "--rm"))
    assert dataset_id == cluster.dataset(volume)["dataset_id"]


def test_beside_docker(p1: Podman, nodes: dict[str, Node], volume: str) -> None:
    """
    Docker and Podman have the same volumes.
    """
    made(p1, volume)
    done(p1.container(volume, "echo podman > /data/file", "--rm"))
    docker = nodes["n2"].engine

    assert "podman" == done(docker.container(volume, "cat /data/file", "--rm"))
    done(docker.docker("volume", "rm", volume))
    done(p1("volume", "reload"))
    assert volume not in p1.volumes()


def test_held(cluster: Cluster, p1: Podman, p2: Podman, nodes: dict[str, Node], volume: str) -> None:
    """
    While a container of Podman has a volume, others are told at once who has it, and can't remove it; then it comes.
    """
    made(p1, volume)
    made(p2, volume)
    container = done(p1.container(volume, "echo kept > /data/file; exec sleep 1000000", "--detach"))
    cluster.wait(lambda: p1.written(container) == "kept\n")
    others = [refused(p2.container(volume, "true", "--rm")), refused(nodes["n2"].engine.container(volume, "true"))]
    removing = [refused(podman("volume", "rm", volume)) for podman in (p1, p2)]
    known = volume in p2.volumes()
    done(p1("rm", "--force", "--time", "0", container))
    free = is_free(cluster, volume)
    there = done(p2.container(volume, "cat /data/file", "--rm"))

    expected = f"volume {volume} is in use on node {cluster.addresses['n1']}"
    assert [True] * 4 == [expected in error for error in (*others, removing[1])] + ["being used" in removing[0]]
    assert (True, True, "kept") == (known, free, there)


def test_held_by_docker(cluster: Cluster, p1: Podman, nodes: dict[str, Node], volume: str) -> None:
    """
    What a container of Docker has on another node, Podman's user can't have, and reads who has it.
    """
    made(p1, volume)
    docker = nodes["n2"].engine
    container = done(docker.container(volume, "sleep 1000000", "--detach"))
    error = refused(p1.container(volume, "true", "--rm"))
    done(docker.docker("rm", "--force", container))

    assert f"volume {volume} is in use on node {cluster.addresses['n2']}" in error
    assert "" == done(p1.container(volume, "true", "--rm"))


def test_shared_on_a_node(cluster: Cluster, p1: Podman, volume: str) -> None:
    """
    Containers of one node share a volume, and it is held until the last of them has ended.
    """
    made(p1, volume)
    first, second = (done(p1.container(volume, "exec sleep 1000000", "--detach")) for _ in range(2))
    done(p1("rm", "--force", "--time", "0", first))
    held = not is_free(cluster, volume)
    done(p1("rm", "--force", "--time", "0", second))

    assert (True, True) == (held, is_free(cluster, volume))


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("size=10", "size=10: it has no unit. Write size=10G"),
        ("colour=red", "colour=red: there is no option colour, only size, "),
    ],
)
def test_bad_option(p1: Podman, volume: str, option: str, expected: str) -> None:
    """
    Podman's user reads which option is wrong, and nothing is made.
    """
    error = refused(p1("volume", "create", "--driver", "flocker", "-o", option, volume))

    assert expected in error
    assert volume not in p1.volumes()


def test_removed(cluster: Cluster, p1: Podman, p2: Podman, volume: str) -> None:
    """
    A volume that is removed on one node is gone on all, once they look, unless it is protected.
    """
    kept = f"{volume}-kept"
    made(p1, volume)
    made(p1, kept, "-o", "protected=true")
    done(p2("volume", "reload"))
    done(p2("volume", "rm", volume))
    error = refused(p2("volume", "rm", kept))
    # Until then Podman lists nothing at all, and says that this one is gone.
    listing = refused(p1("volume", "ls"))
    done(p1("volume", "reload"))

    assert f"there is no volume {volume}" in listing
    assert f"`flockerctl unprotect {kept}`" in error
    assert ([False, False], [True, True]) == (
        [volume in podman.volumes() for podman in (p1, p2)],
        [kept in podman.volumes() for podman in (p1, p2)],
    )


def test_kept_while_it_is_used(cluster: Cluster, p1: Podman, nodes: dict[str, Node], volume: str) -> None:
    """
    What a container of Podman uses is kept, and what nobody does is let go.
    """
    plugin, other = nodes["n1"].plugin, f"{volume}-other"
    made(p1, volume)
    made(p1, other)
    done(p1.container(volume, "exec sleep 1000000", "--detach"))
    assert plugin.mount(other).error == ""
    cluster.wait(lambda: is_free(cluster, other))

    assert not is_free(cluster, volume)


def test_plugin_killed(cluster: Cluster, p1: Podman, p2: Podman, nodes: dict[str, Node], volume: str) -> None:
    """
    The volume of a container that ended while the plugin was away is let go, and another node can have it.
    """
    plugin = nodes["n1"].plugin
    made(p1, volume)
    container = done(p1.container(volume, "echo kept > /data/file; exec sleep 1000000", "--detach"))
    cluster.wait(lambda: p1.written(container) == "kept\n")
    plugin.kill()
    p1("rm", "--force", "--time", "0", container)
    plugin.start()
    cluster.wait(lambda: is_free(cluster, volume))
    made(p2, volume)

    assert "kept" == done(p2.container(volume, "cat /data/file", "--rm"))


def test_never_heard_of(p1: Podman, p2: Podman, volume: str) -> None:
    """
    A Podman that was neither told of a volume nor has looked makes one of its own, empty; that can be put right.
    """
    made(p1, volume)
    done(p1.container(volume, "echo kept > /data/file", "--rm"))
    there = done(p2.container(volume, "ls /data", "--rm"))
    driver = p2.volume(volume)["Driver"]
    done(p2("volume", "rm", volume))
    done(p2("volume", "reload"))

    assert ("", "local") == (there, driver)
    assert "kept" == done(p2.container(volume, "cat /data/file", "--rm"))
