"""
The engine of a node is killed in the middle of a move, and started again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from flocker_admin.exits import Exit
from tests.conftest import Require
from tests.database_moves import VOLUME
from tests.docker_nodes import DockerNodes, docker_nodes
from tests.faults.arming import arm
from tests.faults.inside import HOLD
from tests.images import WEB_IMAGE, import_web
from tests.integration.test_database_moves import on_directories
from tests.web_visits import PAGE, VOLUMES, Visitor, at_rest, web

pytestmark = pytest.mark.timeout(500)
# After Docker has made a container, until it has published its ports.
_PUBLISHING_SECONDS = 0.1


@pytest.fixture
def nodes(require: Require) -> Iterator[DockerNodes]:
    require("docker")
    with docker_nodes(["n1", "n2"], on_directories) as nodes:
        for host in nodes.hosts.values():
            import_web(host)
        yield nodes


@pytest.mark.parametrize(
    ("victim", "phases"),
    [
        ("n1", ("copying", "releasing", "final", "taking")),
        ("n1", ("releasing", "final", "taking")),
        ("n2", ("final", "taking")),
    ],
)
def test_killed_in_a_move(nodes: DockerNodes, victim: str, phases: tuple[str, ...]) -> None:
    """
    Wherever the move ends: the volume has one owner, one container runs there, and no count was given twice or lost.
    """
    cluster = nodes.cluster
    ended = nodes.deploy(VOLUMES, {"web": web("n1")})
    assert ended.status == 0, ended.out + ended.err
    with Visitor(nodes) as visitor:
        cluster.wait(lambda: len(visitor.counts) > 20)
        moving = nodes.deploying(VOLUMES, {"web": web("n2")})
        # It may be over before anybody has seen this phase; then the engine is killed after it.
        cluster.wait(lambda: in_phase(cluster.dataset(VOLUME), phases), poll_seconds=0.005)
        nodes.hosts[victim].kill()
        nodes.hosts[victim].start()
        dataset = cluster.wait(lambda: at_rest(cluster.dataset(VOLUME)))
        owner = next(name for name, node_id in cluster.node_ids.items() if str(node_id) == dataset["owner"])
        cluster.wait(lambda: nodes.running(WEB_IMAGE) == [owner])
        ended = moving.ended()
        answered = len(visitor.counts)
        cluster.wait(lambda: len(visitor.counts) > answered + 20)
    running = nodes.running(WEB_IMAGE)

    assert running == [owner]
    assert ended.status == (Exit.DONE if owner == "n2" else Exit.FAILED), ended.out + ended.err
    assert visitor.counts == sorted(set(visitor.counts))


def in_phase(dataset: dict[str, Any], phases: tuple[str, ...]) -> bool:
    move = dataset["move"]
    return dataset["last_move"] is not None if move is None else move["phase"] in phases


def test_killed_while_it_publishes(nodes: DockerNodes) -> None:
    """
    The target's engine is killed while it starts the application: that goes back, and can be moved again. If Docker
    holds its port for nobody from then on, the move waits for that while the source serves, says that Docker has to be
    restarted, and goes on once it was.
    """
    cluster = nodes.cluster
    ended = nodes.deploy(VOLUMES, {"web": web("n1")})
    assert ended.status == 0, ended.out + ended.err
    body = {"dataset": cluster.dataset(VOLUME)["dataset_id"], "target": str(cluster.node_ids["n2"])}
    cluster.api("POST", "/v2/moves", body)
    cluster.wait(lambda: nodes.hosts["n2"].docker("ps", "--all", "--quiet"), poll_seconds=0.005)
    time.sleep(_PUBLISHING_SECONDS)
    nodes.hosts["n2"].kill()
    nodes.hosts["n2"].start()
    cluster.wait(lambda: at_rest(cluster.dataset(VOLUME)))
    if nodes.owner(VOLUME) == "n1":
        cluster.api("POST", "/v2/moves", body)
    cluster.wait(lambda: is_held(cluster.dataset(VOLUME)) or nodes.owner(VOLUME) == "n2")
    held = is_held(cluster.dataset(VOLUME))
    served = held and nodes.page("n1", PAGE)
    relieved = nodes.relieve()
    cluster.wait(lambda: nodes.owner(VOLUME) == "n2" and nodes.running(WEB_IMAGE) == ["n2"])

    assert not held or (served and relieved == ["n2"])


def is_held(dataset: dict[str, Any]) -> bool:
    return "held by Docker for no container" in (dataset["waiting_for"] or "")


def test_down_on_the_target(require: Require) -> None:
    """
    Where the target's engine goes down before it has started the application, that goes back without waiting for the
    engine, and flocker-deploy tells why and ends.
    """
    require("docker")
    with docker_nodes(["n1", "n2"], on_directories, fault_points=True) as nodes:
        for host in nodes.hosts.values():
            import_web(host)
        ended = nodes.deploy(VOLUMES, {"web": web("n1")})
        assert ended.status == 0, ended.out + ended.err
        armed = arm(nodes.cluster, "n2", "mounted", mode=HOLD)
        moving = nodes.deploying(VOLUMES, {"web": web("n2")})
        armed.wait()
        nodes.hosts["n2"].stop()
        armed.let_go()
        ended = moving.ended()
        dataset = nodes.cluster.dataset(VOLUME)
        page = nodes.cluster.wait(lambda: nodes.page("n1", PAGE))

    assert ended.status == Exit.FAILED, ended.out + ended.err
    assert (dataset["move"], dataset["last_move"]["outcome"], page) == (None, "failed", "1")
    assert "Docker Engine does not answer" in dataset["last_move"]["reason"]
    assert json.loads(ended.out.splitlines()[-1])["moves"][0]["move"]["reason"] == dataset["last_move"]["reason"]
