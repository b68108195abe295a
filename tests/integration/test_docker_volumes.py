"""
Volumes of the cluster in the containers of real engines, one per node.
"""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from tests.cluster import DEADLINE_SECONDS, Cluster
from tests.volume_engines import IMAGE, Engine, engine_missing
from tests.volume_nodes import Node, done, is_free, refused, volume_nodes

Require = Callable[..., None]


@pytest.fixture(scope="module")
def nodes(require: Require) -> Iterator[dict[str, Node]]:
    missing = engine_missing()
    if missing is not None:
        require("docker", missing)
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


def test_written_here_read_there(cluster: Cluster, n1: Engine, n2: Engine, volume: str) -> None:
    """
    What a container has written on one node, a container on the other reads; and back.
    """
    done(n1.docker("volume", "create", "-d", "flocker", "-o", "size=100M", volume))
    done(n1.container(volume, "echo one >> /data/file", "--rm"))
    seen = volume in n2.volumes()
    there = done(n2.container(volume, "echo two >> /data/file; cat /data/file", "--rm"))
    status = n1.volume(volume)["Status"]
    back = done(n1.container(volume, "cat /data/file", "--rm"))

    assert (True, "one\ntwo", "one\ntwo") == (seen, there, back)
    assert (cluster.addresses["n2"], 2, "100 MiB") == tuple(status[key] for key in ("owner", "epoch", "size"))


def test_held(cluster: Cluster, n1: Engine, n2: Engine, volume: str) -> None:
    """
    While a container has a volume, the user of another node is told at once who has it; afterwards it comes.
    """
    container = done(n1.container(volume, "echo kept > /data/file; sleep 1000000", "--detach"))
    cluster.wait(lambda: n1.written(container) == "kept\n")
    other = refused(n2.container(volume, "true", "--rm"))
    removing = [refused(engine.docker("volume", "rm", volume)) for engine in (n1, n2)]
    done(n1.docker("rm", "--force", container))
    there = done(n2.container(volume, "cat /data/file", "--rm"))

    expected = f"volume {volume} is in use on node {cluster.addresses['n1']}"
    assert [True, True, True] == [expected in other, "in use" in removing[0], expected in removing[1]]
    assert "kept" == there


def test_shared_on_a_node(cluster: Cluster, n1: Engine, volume: str) -> None:
    """
    Containers of one node share a volume, and it is held until the last of them has ended.
    """
    first, second = (done(n1.container(volume, "sleep 1000000", "--detach")) for _ in range(2))
    mounts = n1.volume(volume)["Status"]["mounts_here"]
    done(n1.docker("rm", "--force", first))
    held = not is_free(cluster, volume)
    done(n1.docker("rm", "--force", second))

    assert (2, True, True) == (mounts, held, is_free(cluster, volume))


def test_options(n1: Engine, volume: str) -> None:
    """
    Docker's user reads which option is wrong, and ``--mount`` takes options, too.
    """
    bad = refused(n1.docker("volume", "create", "-d", "flocker", "-o", "size=10", volume))
    mount = f"type=volume,volume-driver=flocker,source={volume},target=/data,volume-opt=size=200M"
    done(n1.docker("run", "--rm", "--network", "none", "--mount", mount, IMAGE, "ls", "/data"))

    assert "size=10: it has no unit. Write size=10G" in bad
    assert "200 MiB" == n1.volume(volume)["Status"]["size"]


def test_without_a_name(n1: Engine) -> None:
    """
    What has no name isn't made.
    """
    options = ("--rm", "--network", "none", "-v", "/data", "--volume-driver", "flocker")

    assert "needs a name" in refused(n1.docker("run", *options, IMAGE, "true"))


def test_removed(n1: Engine, n2: Engine, volume: str) -> None:
    """
    A volume that is removed on one node is gone on all, unless it is protected.
    """
    done(n1.docker("volume", "create", "-d", "flocker", volume))
    done(n2.docker("volume", "rm", volume))
    kept = f"{volume}-kept"
    done(n1.docker("volume", "create", "-d", "flocker", "-o", "protected=true", kept))
    error = refused(n1.docker("volume", "rm", kept))

    assert f"`flockerctl unprotect {kept}`" in error
    assert ([False, False], [True, True]) == (
        [volume in engine.volumes() for engine in (n1, n2)],
        [kept in engine.volumes() for engine in (n1, n2)],
    )


def test_plugin_killed(cluster: Cluster, nodes: dict[str, Node], volume: str) -> None:
    """
    A plugin that is away while a container ends is asked again by Docker, and knows who had what.
    """
    engine, plugin = nodes["n1"].engine, nodes["n1"].plugin
    container = done(engine.container(volume, "echo kept > /data/file; sleep 1000000", "--detach"))
    cluster.wait(lambda: engine.written(container) == "kept\n")
    plugin.kill()
    with ThreadPoolExecutor() as threads:
        removing = threads.submit(engine.docker, "rm", "--force", container)
        plugin.start()
        removed = removing.result()
    done(removed)
    cluster.wait(lambda: is_free(cluster, volume))

    assert "kept" == done(nodes["n2"].engine.container(volume, "cat /data/file", "--rm"))


def test_docker_killed(cluster: Cluster, n1: Engine, n2: Engine, volume: str) -> None:
    """
    Of a Docker that is dead nothing is concluded; once it is back and its container is gone, the volume is let go.
    """
    container = done(n1.container(volume, "echo kept > /data/file; sleep 1000000", "--detach"))
    cluster.wait(lambda: n1.written(container) == "kept\n")
    n1.kill()
    error = refused(n2.container(volume, "true", "--rm"))
    n1.start()
    cluster.wait(lambda: is_free(cluster, volume))

    assert f"volume {volume} is in use on node" in error
    assert "kept" == done(n2.container(volume, "cat /data/file", "--rm"))


def test_docker_starts_containers_again(cluster: Cluster, n1: Engine, n2: Engine, volume: str) -> None:
    """
    A container that Docker starts again after it was killed has its volume, and holds it.
    """
    container = done(n1.container(volume, "echo run >> /data/file; sleep 1000000", "--detach", "--restart", "always"))
    cluster.wait(lambda: n1.written(container) == "run\n")
    n1.kill()
    n1.start()
    cluster.wait(lambda: n1.written(container) == "run\nrun\n")
    error = refused(n2.container(volume, "true", "--rm"))
    done(n1.docker("rm", "--force", container))
    cluster.wait(lambda: is_free(cluster, volume))

    assert f"volume {volume} is in use on node" in error


def test_host_boots(cluster: Cluster, nodes: dict[str, Node], volume: str) -> None:
    """
    Docker, which starts its containers before it is up, waits for a plugin that systemd is yet to start.
    """
    engine, plugin = nodes["n1"].engine, nodes["n1"].plugin
    options = ("--detach", "--restart", "always")
    container = done(engine.container(volume, "echo run >> /data/file; sleep 1000000", *options))
    cluster.wait(lambda: engine.written(container) == "run\n")
    plugin.kill()
    engine.kill()
    path = plugin.state / "mounted.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "era": str(uuid4())}))
    plugin.socket_path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as given, ThreadPoolExecutor() as threads:
        given.bind(str(plugin.socket_path))
        given.listen(16)
        starting = threads.submit(engine.start)
        # It asks for the volumes that it remembers.
        assert select.select([given], [], [], DEADLINE_SECONDS)[0]
        plugin.start(given=given)
        starting.result()
        cluster.wait(lambda: engine.written(container) == "run\nrun\n")
        mounts = engine.volume(volume)["Status"]["mounts_here"]
        done(engine.docker("rm", "--force", container))
        cluster.wait(lambda: is_free(cluster, volume))
        plugin.kill()
    plugin.start()

    assert 1 == mounts
