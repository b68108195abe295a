"""
Volumes of the cluster in the containers of real engines, one per node.
"""

from __future__ import annotations

import json
import select
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from tests.cluster import DEADLINE_SECONDS, Cluster
from tests.integration.loopback import addresses
from tests.integration.tools import Ended
from tests.plugins import Plugin
from tests.volume_engines import IMAGE, Engine, engine_missing, image_files, run

Require = Callable[..., None]
NAMES = ("n1", "n2")


class Node:
    """
    A node with an engine and a plugin.
    """

    def __init__(self, name: str, engine: Engine, plugin: Plugin) -> None:
        self.name = name
        self.engine = engine
        self.plugin = plugin


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    # The names of sockets are short, and overlays don't lie on overlays.
    path = Path(tempfile.mkdtemp(prefix="fpv"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[Cluster]:
    def dataset(name: str) -> dict[str, str]:
        return {
            "backend": "directory",
            "root_path": str(folder / "cluster" / name / "pool"),
            "mount_root": str(folder / "cluster" / name / "flocker"),
        }

    (folder / "cluster").mkdir()
    with Cluster(folder / "cluster", dataset, addresses=addresses(*NAMES)) as running:
        yield running


@pytest.fixture(scope="module")
def nodes(folder: Path, request: pytest.FixtureRequest, require: Require) -> Iterator[dict[str, Node]]:
    missing = engine_missing()
    if missing is not None:
        require("docker", missing)
    cluster: Cluster = request.getfixturevalue("cluster")
    with ExitStack() as undo:
        found = {}
        for name in NAMES:
            engine = undo.enter_context(Engine(folder / name))
            options = ["--engine", str(engine.socket_path), "--forget-seconds", "2"]
            plugin = Plugin(cluster, name, socket_path=engine.plugin_socket, options=options)
            found[name] = Node(name, engine, undo.enter_context(plugin))
        yield found


@pytest.fixture
def n1(nodes: dict[str, Node]) -> Engine:
    return nodes["n1"].engine


@pytest.fixture
def n2(nodes: dict[str, Node]) -> Engine:
    return nodes["n2"].engine


@pytest.fixture
def volume() -> str:
    return f"vol-{uuid4().hex[:8]}"


def done(ended: Ended) -> str:
    """
    What a command printed that must succeed.
    """
    assert ended.status == 0, ended.err
    return ended.out.strip()


def refused(ended: Ended) -> str:
    """
    What one said that must not.
    """
    assert ended.status != 0, ended.out
    return ended.err


def is_free(cluster: Cluster, volume: str) -> bool:
    return cluster.dataset(volume)["lease"] is None


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
    done(n1.container(volume, "echo kept > /data/file; sleep 1000000", "--detach"))
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
    cluster.wait(lambda: done(n1.docker("exec", container, "cat", "/data/file")) == "run")
    n1.kill()
    n1.start()
    cluster.wait(lambda: n1.docker("exec", container, "cat", "/data/file").out == "run\nrun\n")
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
    cluster.wait(lambda: done(engine.docker("exec", container, "cat", "/data/file")) == "run")
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
        cluster.wait(lambda: engine.docker("exec", container, "cat", "/data/file").out == "run\nrun\n")
        mounts = engine.volume(volume)["Status"]["mounts_here"]
        done(engine.docker("rm", "--force", container))
        cluster.wait(lambda: is_free(cluster, volume))
        plugin.kill()
    plugin.start()

    assert 1 == mounts


def podman_missing(folder: Path) -> str | None:
    if shutil.which("podman") is None:
        return "podman is not installed"
    ended = podman(folder, "version")
    return None if ended.status == 0 else f"podman doesn't run: {ended.err.strip()}"


def podman(folder: Path, *arguments: str) -> Ended:
    places = ("--root", str(folder / "podman" / "root"), "--runroot", str(folder / "podman" / "run"))
    return run("podman", *places, *arguments, variables={"CONTAINERS_CONF": str(folder / "containers.conf")})


def test_podman(cluster: Cluster, nodes: dict[str, Node], folder: Path, volume: str, require: Require) -> None:
    """
    Podman's containers have the same volumes, are told the same, and leave them to others when they end.
    """
    n1, n2 = nodes["n1"], nodes["n2"].engine
    (folder / "containers.conf").write_text(
        "[containers]\n"
        'default_ulimits = ["nofile=1024:4096", "nproc=4096:8192"]\n'
        "[engine]\n"
        'runtime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
        f'[engine.volume_plugins]\nflocker = "{n1.plugin.socket_path}"\n'
    )
    missing = podman_missing(folder)
    if missing is not None:
        require("podman", missing)
    image = "localhost/flocker-test/volumes:1"
    (folder / "podman").mkdir(exist_ok=True)
    done(podman(folder, "import", str(image_files(folder / "podman")), image))
    bad = refused(podman(folder, "volume", "create", "--driver", "flocker", "-o", "size=10", volume))
    done(podman(folder, "volume", "create", "--driver", "flocker", "-o", "size=100M", volume))
    writing = ("run", "--rm", "--network", "none", "-v", f"{volume}:/data", image, "/bin/sh", "-c")
    done(podman(folder, *writing, "echo podman > /data/file"))
    free = is_free(cluster, volume)
    there = done(n2.container(volume, "cat /data/file", "--rm"))
    container = done(n2.container(volume, "sleep 1000000", "--detach"))
    error = refused(podman(folder, *writing, "true"))
    done(n2.docker("rm", "--force", container))
    done(podman(folder, "volume", "rm", volume))

    assert ("podman", True) == (there, free)
    assert [True, True] == ["it has no unit" in bad, f"volume {volume} is in use on node" in error]
