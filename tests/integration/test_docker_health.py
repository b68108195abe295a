"""
Applications in containers of Docker that have a check of their health, moved between nodes with an engine each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from flocker_admin.exits import Exit
from tests.conftest import Require
from tests.database_moves import VOLUME
from tests.docker_nodes import DockerNodes, docker_nodes
from tests.images import DATA, WEB_IMAGE, import_web
from tests.integration.test_database_moves import on_directories

pytestmark = pytest.mark.timeout(500)
PATIENT = {"retries": 1000}
"""It is never found unhealthy while a test lasts."""


@pytest.fixture
def nodes(require: Require) -> Iterator[DockerNodes]:
    require("docker")
    with docker_nodes(["n1", "n2"], on_directories) as nodes:
        for host in nodes.hosts.values():
            import_web(host)
        yield nodes


def web(node: str, **check: Any) -> dict[str, Any]:
    """
    A web application that is well once somebody has made a file in its container.
    """
    return {
        "node": node,
        "image": WEB_IMAGE,
        "ports": ["8080:80"],
        "mounts": [{"volume": VOLUME, "path": DATA}],
        "restart": "always",
        "stop_grace": "2s",
        "healthcheck": {"test": ["CMD", "test", "-e", "/tmp/well"], "interval": "1s", "retries": 2, **check},
    }


def container_id(nodes: DockerNodes, node: str) -> str:
    return nodes.hosts[node].docker("ps", "--quiet", "--filter", f"ancestor={WEB_IMAGE}").strip()


def make_well(nodes: DockerNodes, node: str) -> None:
    nodes.hosts[node].docker("exec", container_id(nodes, node), "touch", "/tmp/well")


def found_unwell(nodes: DockerNodes, node: str) -> int:
    """
    How often the check has failed, which it does each second.
    """
    found = container_id(nodes, node)
    if not found:
        return 0
    streak: int = json.loads(nodes.hosts[node].docker("inspect", found))[0]["State"]["Health"]["FailingStreak"]
    return streak


def begun(nodes: DockerNodes, app: dict[str, Any], volume: dict[str, Any]) -> None:
    """
    The application runs, and is well, on n1.
    """
    nodes.cluster.deploy({VOLUME: volume}, {"web": app})
    nodes.cluster.settled(VOLUME, "n1")
    nodes.cluster.wait(lambda: container_id(nodes, "n1"))
    make_well(nodes, "n1")
    nodes.cluster.wait(lambda: nodes.cluster.container("web")["health"] == "healthy")
    nodes.cluster.wait(lambda: nodes.page("n1", "/cgi-bin/count") == "1")


def test_move_waits_for_health(nodes: DockerNodes) -> None:
    """
    However long an application takes to become well, its move is done only then, and until then the source keeps its
    copy.
    """
    cluster = nodes.cluster
    begun(nodes, web("n1", **PATIENT), {})
    cluster.deploy({VOLUME: {}}, {"web": web("n2", **PATIENT)})
    cluster.wait(lambda: found_unwell(nodes, "n2") >= 4)
    # What the engine knows is told to control some time later.
    cluster.wait(lambda: cluster.container("web")["state"] == "running" and cluster.dataset(VOLUME)["waiting_for"])
    dataset, container = cluster.dataset(VOLUME), cluster.container("web")

    assert (dataset["move"]["phase"], dataset["status"]) == ("taking", "moving")
    assert dataset["waiting_for"] == "container web to become healthy on node n2"
    assert (container["state"], container["health"]) == ("running", "starting")
    assert list((cluster.folder / "n1" / "pool").glob("datasets/*"))

    make_well(nodes, "n2")
    dataset = cluster.settled(VOLUME, "n2")
    assert (dataset["last_move"]["outcome"], cluster.container("web")["health"]) == ("done", "healthy")
    assert nodes.page("n2", "/cgi-bin/count") == "2"
    listed = cluster.ctl("apps").out
    digest = str(cluster.container("web")["image_digest"])
    assert f"healthy  {WEB_IMAGE}  {digest[:19]}...  no      8080:80" in listed


def test_unhealthy_goes_back(nodes: DockerNodes) -> None:
    """
    An application that is not well on the target runs on the source again, whether it is well there or not, and
    flocker-deploy tells why and ends.
    """
    cluster = nodes.cluster
    begun(nodes, web("n1"), {"size": "1G"})
    ended = nodes.deploy({VOLUME: {"size": "1G"}}, {"web": web("n2")})
    dataset = cluster.dataset(VOLUME)

    assert ended.status == Exit.FAILED, ended.out + ended.err
    assert "container web doesn't become healthy on node n2: its check says that it is unhealthy" in ended.out
    assert (dataset["owner"], dataset["last_move"]["outcome"]) == (str(cluster.node_ids["n1"]), "failed")
    assert dataset["last_move"]["reason"].endswith("went back to node n1")
    assert nodes.running(WEB_IMAGE) == ["n1"]
    cluster.wait(lambda: cluster.container("web")["health"] == "unhealthy")
    cluster.wait(lambda: not cluster.dataset(VOLUME)["settling"])
    dataset = cluster.dataset(VOLUME)
    assert (dataset["owner"], dataset["move"]) == (str(cluster.node_ids["n1"]), None)
    assert nodes.page("n1", "/cgi-bin/count") == "2"


def test_unhealthy_stays(nodes: DockerNodes) -> None:
    """
    Where a volume should stay, the move waits and says why; once the application is well, it is done.
    """
    cluster = nodes.cluster
    volume = {"on_start_failure": "stay"}
    begun(nodes, web("n1"), volume)
    cluster.deploy({VOLUME: volume}, {"web": web("n2")})
    waits = cluster.wait(lambda: "on_start_failure" in (text := cluster.dataset(VOLUME)["waiting_for"] or "") and text)
    dataset = cluster.dataset(VOLUME)

    assert waits.endswith(
        "it stays: container web doesn't become healthy on node n2: its check says that it is unhealthy"
    )
    assert (dataset["owner"], dataset["move"]["phase"]) == (str(cluster.node_ids["n2"]), "taking")
    assert list((cluster.folder / "n1" / "pool").glob("datasets/*"))

    make_well(nodes, "n2")
    assert cluster.settled(VOLUME, "n2")["last_move"]["outcome"] == "done"
