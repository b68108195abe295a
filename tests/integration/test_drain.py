"""
Nodes that are drained, removed and let in again, on real processes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import ApiError, Cluster, Ledger
from tests.integration.loopback import addresses
from tests.integration.test_cluster import checked


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    def dataset(name: str) -> dict[str, str]:
        return {
            "backend": "directory",
            "root_path": str(tmp_path / name / "pool"),
            "mount_root": str(tmp_path / name / "flocker"),
        }

    with Cluster(tmp_path, dataset, addresses=addresses("n1", "n2", "n3")) as cluster:
        yield cluster


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path)


def refusals(cluster: Cluster, node: str) -> list[float]:
    """
    When an agent was told that its node was removed.
    """
    messages = cluster.logged(node)
    return [each["timestamp"] for each in messages if "was removed from this cluster" in str(each.get("reason"))]


def named(drained: Any) -> tuple[list[list[str]], dict[str, str]]:
    """
    Of an answer to drain: the volumes that have been placed together, and those that have not, with the reason.
    """
    placed = sorted([d["name"] for d in it["group"]["datasets"]] for it in drained["placed"])
    unplaced = {it["group"]["datasets"][0]["name"]: " ".join(it["reasons"]) for it in drained["unplaced"]}
    return placed, unplaced


def test_drain_remove_readmit(cluster: Cluster, ledger: Ledger) -> None:
    """
    A node is drained as far as can be, and what stays is named; removed when it has nothing any more, its agent is
    turned away, less and less often; let in again, it is used as before. The application loses nothing.
    """
    n1 = str(cluster.node_ids["n1"])
    volumes = {"data": {}, "archive": {"primary": "n1"}, "far": {"primary": "n3"}}
    cluster.deploy(volumes, {"ledger": ledger.app("n1", "data")})
    for name, node in (("data", "n1"), ("archive", "n1"), ("far", "n3")):
        cluster.settled(name, node)
    cluster.kill("n3")
    cluster.wait(lambda: not cluster.nodes()[str(cluster.node_ids["n3"])]["connected"])
    cluster.api("POST", "/v2/moves", {"dataset": "far", "target": "n1"})

    placed, unplaced = named(cluster.api("POST", f"/v2/nodes/{n1}/drain", {}))
    assert placed == [["archive"], ["data"]]
    assert unplaced == {"far": "node n3, which has the data, is not connected"}
    cluster.settled("data", "n2")
    cluster.settled("archive", "n2")
    with pytest.raises(ApiError, match="moving from or to it: dataset far") as refused:
        cluster.api("DELETE", f"/v2/nodes/{n1}")
    assert refused.value.status == 409

    cluster.start("n3")
    cluster.wait(lambda: cluster.nodes()[str(cluster.node_ids["n3"])]["connected"])
    assert named(cluster.api("POST", f"/v2/nodes/{n1}/drain", {})) == ([["far"]], {})
    assert cluster.wait(lambda: cluster.api("DELETE", f"/v2/nodes/{n1}"))["removed"]

    times = cluster.wait(lambda: len(found := refusals(cluster, "n1")) >= 6 and found)
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert waits[4] > 1.0
    assert not cluster.nodes()[n1]["connected"]

    cluster.api("POST", f"/v2/nodes/{n1}/readmit", {})
    cluster.wait(lambda: cluster.nodes()[n1]["connected"])
    cluster.api("POST", "/v2/moves", {"dataset": "data", "target": "n1"})
    checked(cluster, ledger, "n1")
