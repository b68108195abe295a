"""
Section 2.6: version and nodes.
"""

from __future__ import annotations

import pytest

from tests.cluster import Cluster
from tests.v1.client import UNKNOWN, Client, unused_id


def test_version(client: Client) -> None:
    """
    The version is that of the last Flocker.
    """
    reply = client.get("/v1/version")

    assert (200, {"flocker": "1.15.0"}) == (reply.status, reply.body)


def test_nodes(client: Client, cluster: Cluster) -> None:
    """
    The nodes are listed by address and id.
    """
    expected = [{"host": cluster.addresses[name], "uuid": str(node_id)} for name, node_id in cluster.node_ids.items()]

    assert expected == sorted(client.get("/v1/state/nodes").body, key=lambda node: str(node["uuid"]))


@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_node_by_era(client: Client, cluster: Cluster, case: object) -> None:
    """
    A node is found by its era, in any case. All of ours booted under the same one.
    """
    assert callable(case)
    era = case(cluster.nodes()[client.node("n1")]["era"])
    reply = client.get(f"/v1/state/nodes/by_era/{era}")

    assert 200 == reply.status
    assert reply.body in [{"uuid": str(node_id)} for node_id in cluster.node_ids.values()]


def test_unknown_era(client: Client) -> None:
    """
    An era that no node has is not found.
    """
    reply = client.get(f"/v1/state/nodes/by_era/{unused_id()}")

    assert (404, "No node found with given era.") == (reply.status, reply.body["description"])


@pytest.mark.parametrize("era", ["x", "1" * 36, f"{UNKNOWN}x", "%00"])
def test_no_era(client: Client, era: str) -> None:
    """
    What is no UUID is no era: Flocker answered with 500.
    """
    reply = client.get(f"/v1/state/nodes/by_era/{era}")

    assert (400, True) == (reply.status, bool(reply.body["description"]))
