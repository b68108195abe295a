"""
Ports that lead to where their container is, with real engines: Docker's own rules are in the way, and containers reach
one another by links wherever each runs.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import CONTROL, Cluster
from tests.conftest import Require
from tests.engines import BUSYBOX_IMAGE, Host, engines

pytestmark = pytest.mark.timeout(300)
PORT = 8080
NODES = ("n1", "n2")
SERVE = f"mkdir -p /w; echo served > /w/index.html; exec httpd -f -p {PORT} -h /w"


@pytest.fixture
def hosts(tmp_path_factory: pytest.TempPathFactory, require: Require) -> Iterator[Mapping[str, Host]]:
    require("docker")
    require("nftables")
    with engines([CONTROL, *NODES], tmp_path_factory.mktemp("e")) as hosts:
        yield hosts


@pytest.fixture
def memory_path() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(dir="/dev/shm"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def cluster(hosts: Mapping[str, Host], memory_path: Path, tmp_path: Path) -> Iterator[Cluster]:
    folder = tmp_path / "cluster"
    folder.mkdir()
    with Cluster(
        folder,
        lambda name: {
            "backend": "directory",
            "root_path": str(folder / name / "pool"),
            "mount_root": str(folder / name / "flocker"),
        },
        addresses={name: host.address for name, host in hosts.items()},
        namespaces={name: host.namespace for name, host in hosts.items()},
        runtime=lambda name: {"backend": "docker", "socket": hosts[name].socket, "grants_path": str(memory_path)},
        also=lambda _: {"forwarding": {"enabled": True}},
    ) as cluster:
        yield cluster


def asking(where: str) -> str:
    """
    A line of shell that asks the service.
    """
    return f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | busybox nc -w 30 {where} {PORT}"


def answers(host: Host, where: str) -> bool:
    """
    Whether the service answers a program of a host.
    """
    command = [*host.inside, "sh", "-c", asking(where)]
    return b"served" in subprocess.run(command, capture_output=True, check=False).stdout


def answers_inside(host: Host, where: str) -> bool:
    """
    Whether the service answers the container ``web`` of a host.
    """
    container = host.docker("ps", "--quiet", "--filter", "label=org.flocker.container=web").strip()
    command = [*host.inside, "docker", "--host", host.socket, "exec", container, "sh", "-c", asking(where)]
    return b"served" in subprocess.run(command, capture_output=True, check=False).stdout


def database(node: str) -> dict[str, Any]:
    return {
        "node": node,
        "image": BUSYBOX_IMAGE,
        "command": ["sh", "-c", SERVE],
        "ports": [f"{PORT}:{PORT}"],
        "restart": "always",
    }


def web(node: str) -> dict[str, Any]:
    return {
        "node": node,
        "image": BUSYBOX_IMAGE,
        "command": ["sh", "-c", "exec sleep 100000"],
        "links": [{"alias": "db", "local_port": PORT, "remote_port": PORT}],
        "restart": "always",
    }


def test_service_stays_reachable(cluster: Cluster, hosts: Mapping[str, Host]) -> None:
    """
    A client outside and a linked container reach a service, at any node, before and after it moves.
    """
    seen = []
    for node in NODES:
        cluster.deploy({}, {"database": database(node), "web": web("n2")})
        # The one where it was before answers until it has ended.
        cluster.wait(lambda: cluster.container("database")["runs_on"] == str(cluster.node_ids[node]))  # noqa: B023
        for name in NODES:
            cluster.wait(lambda: answers(hosts[CONTROL], hosts[name].address))  # noqa: B023  # it is called at once
        cluster.wait(lambda: answers_inside(hosts["n2"], "db"))
        policies = [hosts[name].run("iptables", "-S", "FORWARD").splitlines()[0] for name in NODES]
        seen.append((cluster.container("database")["runs_on"], policies))

    assert seen == [(str(cluster.node_ids[node]), ["-P FORWARD DROP"] * 2) for node in NODES]


def test_engine_restarts(cluster: Cluster, hosts: Mapping[str, Host]) -> None:
    """
    An engine that is restarted, and puts its own rules in place anew, stands in no forwarded connection's way.
    """
    cluster.deploy({}, {"database": database("n1")})
    cluster.wait(lambda: answers(hosts[CONTROL], hosts["n2"].address))
    hosts["n2"].stop()
    hosts["n2"].start()

    assert answers(hosts[CONTROL], hosts["n2"].address)
