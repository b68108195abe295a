"""
The main job on real ZFS: two agents in two network namespaces on two pools.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flocker_py.testing.storage_contract_mounts import process_using
from tests.cluster import CONTROL, Cluster, Ledger
from tests.conftest import Require
from tests.zfs.namespaces import cut, heal, hosts
from tests.zfs.pools import temporary_pool

# A guest has one emulated or shared CPU for two agents, control and the test.
pytestmark = pytest.mark.timeout(400)


@contextmanager
def two_pools(folder: Path, *, fault_points: bool = False) -> Iterator[Cluster]:
    """
    A started cluster, with nodes ``n1`` and ``n2``.
    """
    with (
        hosts([CONTROL, "n1", "n2"]) as addresses,
        temporary_pool(size_bytes=512 << 20, name="fp-n1"),
        temporary_pool(size_bytes=512 << 20, name="fp-n2"),
        Cluster(
            folder,
            lambda name: {"backend": "zfs", "pool": f"fp-{name}", "mount_root": str(folder / name / "flocker")},
            addresses=addresses,
            # Slow enough to be seen, and cut, in the middle of a transfer.
            transfer={"maximum_rate": "16M"},
            namespaces={name: f"fp-{name}" for name in addresses},
            fault_points=fault_points,
        ) as cluster,
    ):
        yield cluster


@pytest.fixture
def cluster(tmp_path: Path, require: Require) -> Iterator[Cluster]:
    require("zfs")
    require("root")
    with two_pools(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path, pause_seconds=0.01)


def zfs_list(node: str, kinds: str) -> list[str]:
    """
    Names of what is below ``flocker`` in a node's pool.
    """
    command = ["zfs", "list", "-H", "-o", "name", "-t", kinds, "-r", f"fp-{node}/flocker"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [name for name in listed if name != f"fp-{node}/flocker"]


def started(cluster: Cluster, ledger: Ledger) -> None:
    cluster.deploy({"data": {}}, {"ledger": ledger.app("n1", "data")})
    cluster.settled("data", "n1")
    cluster.wait(lambda: len(ledger.acknowledged()) > 20)


def moved(cluster: Cluster, ledger: Ledger, node: str) -> None:
    cluster.deploy({"data": {}}, {"ledger": ledger.app(node, "data")})


def running_again(cluster: Cluster, ledger: Ledger) -> None:
    count = len(ledger.acknowledged())
    cluster.wait(lambda: len(ledger.acknowledged()) > count + 5)


def checked(cluster: Cluster, ledger: Ledger, node: str) -> None:
    """
    Every acknowledged record is there, on one node, with no snapshot, hold or partial receive left anywhere.
    """
    dataset = cluster.settled("data", node)
    running_again(cluster, ledger)
    cluster.deploy({"data": {}}, {"ledger": {"state": "deleted"}})
    cluster.wait(lambda: not cluster.api("GET", "/v2/containers")["containers"])
    cluster.end_containers()
    ledger.check(Path(dataset["path"]))
    other = "n1" if node == "n2" else "n2"
    cluster.wait(lambda: not zfs_list(node, "snapshot"))

    assert zfs_list(other, "all") == []
    assert zfs_list(node, "all") == [f"fp-{node}/flocker/{dataset['dataset_id']}"]


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


def ballast(cluster: Cluster, size_bytes: int) -> None:
    """
    Incompressible data in the volume.
    """
    path = Path(cluster.dataset("data")["path"])
    with (path / "ballast").open("wb") as file:
        for _ in range(size_bytes >> 20):
            file.write(os.urandom(1 << 20))
        os.fsync(file.fileno())


def test_cut_network_resumes(cluster: Cluster, ledger: Ledger) -> None:
    """
    A transfer that is cut in the middle goes on where it was, and the application runs on meanwhile.
    """
    started(cluster, ledger)
    ballast(cluster, 80 << 20)
    moved(cluster, ledger, "n2")
    move = cluster.wait(lambda: (cluster.dataset("data")["move"] or {}).get("sent_bytes", 0) > (10 << 20))
    assert move
    cut("n2")
    running_again(cluster, ledger)
    heal("n2")

    checked(cluster, ledger, "n2")
    last = cluster.dataset("data")["last_move"]
    assert last["outcome"] == "done"


@pytest.mark.parametrize("victims", [["n1"], ["n2"], [CONTROL, "n1"]])
def test_kill_in_the_middle(cluster: Cluster, ledger: Ledger, victims: list[str]) -> None:
    """
    Agents and control killed in the middle of a transfer get to its end once they are started again.
    """
    started(cluster, ledger)
    ballast(cluster, 40 << 20)
    moved(cluster, ledger, "n2")
    cluster.wait(lambda: (cluster.dataset("data")["move"] or {}).get("sent_bytes", 0) > (5 << 20))
    for name in victims:
        cluster.kill(name, signal.SIGKILL)
    for name in victims:
        cluster.start(name)

    checked(cluster, ledger, "n2")


def test_shell_in_a_volume(cluster: Cluster, ledger: Ledger) -> None:
    """
    While somebody stands in a volume, a move of it waits for that process by name; after some time it has failed, and
    the application goes on where it was. Without the process the next move goes through.
    """
    started(cluster, ledger)
    path = Path(cluster.dataset("data")["path"])
    with process_using(path, "working directory") as process_id:
        process = f"process {process_id} (python"
        cluster.api("POST", "/v2/moves", {"dataset": "data", "target": "n2"})
        cluster.wait(lambda: process in (cluster.dataset("data")["waiting_for"] or ""))
        last = cluster.wait(lambda: (found := cluster.dataset("data"))["move"] is None and found["last_move"])
        assert (last["outcome"], process in last["reason"]) == ("failed", True)
        assert cluster.dataset("data")["owner"] == str(cluster.node_ids["n1"])
        running_again(cluster, ledger)

    cluster.api("POST", "/v2/moves", {"dataset": "data", "target": "n2"})
    checked(cluster, ledger, "n2")
