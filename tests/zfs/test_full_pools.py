"""
Pools that are full in the middle of a move, on real ZFS: the owner goes on, the reason says what is needed, and the
move goes on by itself once there is room.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import Cluster, Ledger
from tests.conftest import Require
from tests.faults.arming import arm
from tests.faults.inside import HOLD
from tests.zfs.test_moves import ballast, checked, ledger, moved, running_again, started, two_pools, zfs_list

pytestmark = pytest.mark.timeout(400)
__all__ = ("ledger",)

MIB = 1 << 20


@pytest.fixture
def cluster(tmp_path: Path, require: Require) -> Iterator[Cluster]:
    require("zfs")
    require("root")
    with two_pools(tmp_path, fault_points=True) as cluster:
        yield cluster


def zfs(*arguments: str) -> str:
    return subprocess.run(["zfs", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def eat_room(node: str, *, left_bytes: int) -> None:
    """
    Let another dataset of a node's pool lay claim to its room.
    """
    eater = f"fp-{node}/eater"
    zfs("create", "-o", "mountpoint=none", eater)
    while True:
        available_bytes = int(zfs("get", "-Hp", "-o", "value", "available", eater))
        try:
            zfs("set", f"reservation={available_bytes - left_bytes}", eater)
        except subprocess.CalledProcessError:
            # What was free a moment ago has been written to since.
            continue
        return


def short_of_room(cluster: Cluster) -> Any:
    """
    Wait until the move waits for room.
    """

    def waits() -> Any:
        dataset = cluster.dataset("data")
        error = dataset["last_error"]
        return dataset if dataset["status"] == "waiting" and error and error["code"] == "PoolFull" else None

    return cluster.wait(waits)


def test_target_fills_in_mid_stream(cluster: Cluster, ledger: Ledger) -> None:
    """
    Room was enough when a stream began, and somebody else takes it while that comes in: the application goes on where
    it is, the move says who needs what, and gets to its end once there is room.
    """
    started(cluster, ledger)
    ballast(cluster, 80 * MIB)
    held = arm(cluster, "n2", "full.begun", mode=HOLD)
    moved(cluster, ledger, "n2")
    held.wait()
    eat_room("n2", left_bytes=16 * MIB)
    held.let_go()

    dataset = short_of_room(cluster)
    assert (dataset["owner"], dataset["move"]["phase"]) == (str(cluster.node_ids["n1"]), "copying")
    assert "On the target: receiving " in dataset["last_error"]["text"], "the stream has not failed in its midst"
    # Tried again, it is refused before anything is sent, and says how much is needed.
    needs = r"needs about ([\d.]+) MiB, and 16 MiB must stay free; the pool has \d+ MiB.* Free some, or add storage"
    told = cluster.wait(lambda: re.search(needs, cluster.ctl("explain", "data").out))
    assert float(told[1]) < 82
    running_again(cluster, ledger)
    # However often it is tried, nothing gathers at the source.
    assert len(zfs_list("n1", "snapshot")) <= 2

    zfs("destroy", "fp-n2/eater")
    checked(cluster, ledger, "n2")
    assert cluster.dataset("data")["last_move"]["outcome"] == "done"


def test_source_fills_in_mid_stream(cluster: Cluster, ledger: Ledger) -> None:
    """
    A source that can't take another snapshot, since somebody else has taken its room while a stream went out, goes on
    serving; the move waits for room there, and gets to its end once there is some.
    """
    started(cluster, ledger)
    own = f"fp-n1/flocker/{cluster.dataset('data')['dataset_id']}"
    # So that the application itself still has room: what is tried here is the snapshot.
    zfs("set", f"reservation={64 * MIB}", own)
    held = arm(cluster, "n2", "full.begun", mode=HOLD)
    moved(cluster, ledger, "n2")
    held.wait()
    eat_room("n1", left_bytes=0)
    held.let_go()

    dataset = short_of_room(cluster)
    assert (dataset["owner"], dataset["move"]["phase"]) == (str(cluster.node_ids["n1"]), "copying")
    assert dataset["waiting_for"].startswith("node n1 to succeed: ")
    assert "Free some, or add storage" in dataset["waiting_for"]
    running_again(cluster, ledger)

    zfs("destroy", "fp-n1/eater")
    zfs("set", "reservation=none", own)
    checked(cluster, ledger, "n2")


def test_target_fills_after_the_commit(cluster: Cluster, ledger: Ledger) -> None:
    """
    An application that can't write on its target goes back. What it may have written there needs room for a snapshot,
    for which this waits, and says so.
    """
    started(cluster, ledger)
    held = arm(cluster, "n2", "container.starting", mode=HOLD)
    moved(cluster, ledger, "n2")
    held.wait()
    eat_room("n2", left_bytes=0)
    held.let_go()

    dataset = short_of_room(cluster)
    assert dataset["waiting_for"].startswith("node n2 to succeed: ")
    assert "Free some, or add storage" in dataset["waiting_for"]
    assert "went back to node n1" in dataset["last_move"]["reason"]

    zfs("destroy", "fp-n2/eater")
    cluster.wait(lambda: cluster.dataset("data")["owner"] == str(cluster.node_ids["n1"]))
    running_again(cluster, ledger)
    # It is wanted on n2 until somebody says otherwise.
    moved(cluster, ledger, "n1")
    checked(cluster, ledger, "n1")
