"""
Pools that are full in the middle of a move, on real ZFS: the owner goes on, the reason says what is needed, and the
move goes on by itself once there is room.
"""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from tests.cluster import Cluster, Ledger
from tests.zfs.test_moves import checked, cluster, ledger, moved, running_again, started

pytestmark = pytest.mark.timeout(400)
__all__ = ("cluster", "ledger")

MIB = 1 << 20


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


def test_source_without_room_for_a_snapshot(cluster: Cluster, ledger: Ledger) -> None:
    """
    A source that can't take a snapshot goes on serving, and the move waits for room there.
    """
    started(cluster, ledger)
    own = f"fp-n1/flocker/{cluster.dataset('data')['dataset_id']}"
    # So that the application itself still has room: what is tried here is the snapshot.
    zfs("set", f"reservation={64 * MIB}", own)
    eat_room("n1", left_bytes=0)
    moved(cluster, ledger, "n2")

    dataset = short_of_room(cluster)
    assert (dataset["owner"], dataset["move"]["phase"]) == (str(cluster.node_ids["n1"]), "copying")
    assert dataset["waiting_for"].startswith("node n1 to succeed: ")
    assert "Free some, or add storage" in dataset["waiting_for"]
    running_again(cluster, ledger)

    zfs("destroy", "fp-n1/eater")
    zfs("set", "reservation=none", own)
    checked(cluster, ledger, "n2")
