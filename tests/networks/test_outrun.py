"""
An application that writes faster than the link to the move's target carries.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import Ledger
from tests.integration.loopback import addresses
from tests.relayed import RelayedCluster
from tests.worlds import NODES

# Twice over; and half as much again, even where each record takes 200 ms to be on disk.
LINK_BYTES_PER_SECOND = 36_000
RECORD_BYTES = 32 << 10

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RelayedCluster]:
    with RelayedCluster(tmp_path, addresses=addresses(*NODES), bytes_per_second=LINK_BYTES_PER_SECOND) as cluster:
        yield cluster


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path, pause_seconds=0.4, record_bytes=RECORD_BYTES)


def deployed(cluster: RelayedCluster, ledger: Ledger, node: str, on_overrun: str) -> None:
    volume = {"max_downtime": "0.5s", "on_overrun": on_overrun}
    cluster.deploy({"data": volume}, {"ledger": ledger.app(node, "data")})


def sent_for(cluster: RelayedCluster, ledger: Ledger, on_overrun: str) -> None:
    """
    Begin a move while there is little to copy yet.
    """
    deployed(cluster, ledger, "n1", on_overrun)
    cluster.settled("data", "n1")
    cluster.wait(ledger.acknowledged)
    deployed(cluster, ledger, "n2", on_overrun)


def test_given_up(cluster: RelayedCluster, ledger: Ledger) -> None:
    """
    By its policy the move is given up: the application never stops, it is said why, and nothing is left on the target.
    """
    sent_for(cluster, ledger, "give-up")
    before = cluster.container("ledger")

    def given_up() -> Any:
        dataset = cluster.dataset("data")
        return dataset if dataset["move"] is None and dataset["last_move"] else None

    dataset = cluster.wait(given_up)
    after = cluster.container("ledger")
    ledger.check(Path(dataset["path"]))
    cluster.wait(lambda: not cluster.left_over("n1"))

    assert (dataset["owner"], dataset["last_move"]["outcome"]) == (str(cluster.node_ids["n1"]), "failed")
    assert "writes as fast as the link or a disk carries" in dataset["last_move"]["reason"]
    # Until the source has heard of it, what it made of the target's giving up is told.
    cluster.wait(lambda: "somebody to ask for the move again" in (cluster.dataset("data")["waiting_for"] or ""))
    assert (after["node_id"], after["restarts"]) == (before["node_id"], before["restarts"])


def test_cut_over_all_the_same(cluster: RelayedCluster, ledger: Ledger) -> None:
    """
    By the other policy the application is stopped however long it takes, and all of its records arrive.
    """
    sent_for(cluster, ledger, "cut-over")
    cluster.wait(lambda: (cluster.dataset("data")["move"] or {"phase": None})["phase"] in {"releasing", "final"})
    # That it takes as long as was foretold needn't be waited for.
    cluster.ports["n2"].bytes_per_second = None
    dataset = cluster.settled("data", "n2")
    ledger.check(Path(dataset["path"]))
    cluster.wait(lambda: not cluster.left_over("n2"))

    assert dataset["last_move"]["outcome"] == "done"
