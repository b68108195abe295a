"""
The main job on real processes: a container moves between hosts with its volume, and nothing is lost.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import CONTROL, Cluster, Ledger
from tests.integration.loopback import addresses


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    def dataset(name: str) -> dict[str, str]:
        return {
            "backend": "directory",
            "root_path": str(tmp_path / name / "pool"),
            "mount_root": str(tmp_path / name / "flocker"),
        }

    with Cluster(tmp_path, dataset, addresses=addresses("n1", "n2")) as cluster:
        yield cluster


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path)


def started(cluster: Cluster, ledger: Ledger) -> None:
    cluster.deploy({"data": {}}, {"ledger": ledger.app("n1", "data")})
    cluster.settled("data", "n1")
    cluster.wait(lambda: len(ledger.acknowledged()) > 50)


def moved(cluster: Cluster, ledger: Ledger, node: str) -> None:
    cluster.deploy({"data": {}}, {"ledger": ledger.app(node, "data")})


def running_again(cluster: Cluster, ledger: Ledger) -> None:
    count = len(ledger.acknowledged())
    cluster.wait(lambda: len(ledger.acknowledged()) > count + 20)


def checked(cluster: Cluster, ledger: Ledger, node: str) -> None:
    """
    Stop the application where it is, and look at its records; nothing else is left of the dataset anywhere.
    """
    dataset = cluster.settled("data", node)
    running_again(cluster, ledger)
    cluster.deploy({"data": {}}, {"ledger": {"state": "deleted"}})
    cluster.wait(lambda: not cluster.api("GET", "/v2/containers")["containers"])
    cluster.wait(lambda: not any(ledger_runs(cluster, name) for name in cluster.node_ids))
    ledger.check(Path(dataset["path"]))


def ledger_runs(cluster: Cluster, node: str) -> bool:
    from flocker_agent.runtime.runtimes import opened_runtime
    from flocker_py.observed import ContainerPhase

    state = cluster.folder / node / "state" / "containers"
    runtime = opened_runtime({"backend": "process", "state_path": str(state)})
    return any(c.phase is not ContainerPhase.EXITED for c in runtime.containers().values())


def test_move_and_back(cluster: Cluster, ledger: Ledger) -> None:
    """
    A writing application moves to the other node and back, and every acknowledged record is there once.
    """
    started(cluster, ledger)
    for node in ("n2", "n1"):
        moved(cluster, ledger, node)
        cluster.settled("data", node)
        running_again(cluster, ledger)

    checked(cluster, ledger, "n1")


def test_agent_restart_keeps_the_application(cluster: Cluster, ledger: Ledger) -> None:
    """
    kill -9 of an agent, and its restart, don't stop the application for a moment.
    """
    started(cluster, ledger)
    before = cluster.container("ledger")["restarts"]
    cluster.kill("n1")
    running_again(cluster, ledger)
    cluster.start("n1")
    cluster.wait(lambda: cluster.nodes()[str(cluster.node_ids["n1"])]["connected"])
    running_again(cluster, ledger)

    assert cluster.wait(lambda: cluster.container("ledger"))["restarts"] == before
    checked(cluster, ledger, "n1")


@pytest.mark.parametrize("victims", [["n1"], ["n2"], [CONTROL], ["n1", "n2"], ["n1", CONTROL], ["n2", CONTROL]])
def test_kill_during_a_move(cluster: Cluster, ledger: Ledger, victims: list[str]) -> None:
    """
    Whoever is killed in the middle of a move, once started again it gets to its end.
    """
    started(cluster, ledger)
    moved(cluster, ledger, "n2")
    for name in victims:
        cluster.kill(name)
    for name in victims:
        cluster.start(name)

    checked(cluster, ledger, "n2")


def test_control_away(cluster: Cluster, ledger: Ledger) -> None:
    """
    Nodes keep serving what they own while the control service is away, even when their agents restart.
    """
    started(cluster, ledger)
    cluster.kill(CONTROL)
    cluster.kill("n1")
    cluster.start("n1")
    running_again(cluster, ledger)
    cluster.start(CONTROL)

    checked(cluster, ledger, "n1")


def test_cancel(cluster: Cluster, ledger: Ledger) -> None:
    """
    A move that is cancelled leaves the application where it was, and nothing on the target.
    """
    started(cluster, ledger)
    os.kill(cluster.pid("n2"), signal.SIGSTOP)
    moved(cluster, ledger, "n2")
    move = cluster.wait(lambda: cluster.dataset("data")["move"])
    cluster.api("DELETE", f"/v2/moves/{move['move_id']}")
    os.kill(cluster.pid("n2"), signal.SIGCONT)

    assert cluster.wait(lambda: cluster.dataset("data")["last_move"])["outcome"] == "cancelled"
    checked(cluster, ledger, "n1")


def test_delete(cluster: Cluster, ledger: Ledger) -> None:
    """
    A deleted volume is destroyed on its node once nothing uses it.
    """
    started(cluster, ledger)
    path = Path(cluster.dataset("data")["path"])
    cluster.deploy({"data": {}}, {"ledger": {"state": "deleted"}})
    cluster.deploy({"data": {"state": "deleted"}}, {})

    cluster.wait(lambda: not path.exists())
    cluster.wait(lambda: not list((cluster.folder / "n1" / "pool").glob("datasets/*")))
