"""
What of a container of Docker was changed by hand, and what Docker and people are told of it.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from flocker_agent.runtime import docker_changes
from flocker_agent.runtime import docker_spec as spec
from flocker_py.model import Container, ContainerName, NodeId

ASKED = Container(
    name=ContainerName("db"), node_id=NodeId(UUID(int=1)), image="postgres:16", memory_bytes=100, cpu_shares=5
)
NEVER = {"Name": "no", "MaximumRetryCount": 0}
AS_ASKED = {"Memory": 100, "CpuShares": 5, "PidsLimit": 9, "RestartPolicy": NEVER, "NetworkMode": "flocker"}


def inspected(host: dict[str, Any], *networks: str, status: str = "running") -> dict[str, Any]:
    """
    A container as Docker has it.
    """
    return {
        "State": {"Status": status},
        "Config": {"Labels": spec.labels(ASKED, [], "0123abcd")},
        "HostConfig": host,
        # Docker says so where there are none.
        "NetworkSettings": {"Networks": {name: {} for name in networks} or None},
    }


def test_as_asked() -> None:
    """
    Only what was asked for is compared: what Docker put there by itself is no change, and neither are more networks.
    """
    assert {} == docker_changes.changes(inspected(AS_ASKED, "flocker", "bridge"))


def test_changed() -> None:
    """
    Limits that were asked for, the restart policy and the network are as they should be.
    """
    changed = {"CpuShares": 7, "RestartPolicy": {**NEVER, "Name": "always"}}

    assert docker_changes.changes(inspected({**AS_ASKED, **changed})) == {
        "CpuShares": 5,
        "RestartPolicy": NEVER,
        "NetworkMode": "flocker",
    }


def test_ended() -> None:
    """
    Of what has ended nothing is put back: it is started anew.
    """
    assert {} == docker_changes.changes(inspected({**AS_ASKED, "Memory": 7}, "flocker", status="exited"))


def test_update_of_memory() -> None:
    """
    The limit of memory and swap goes with that of memory: Docker refuses one above the other.
    """
    assert docker_changes.update({"Memory": 100, "PidsLimit": 5}) == {"Memory": 100, "MemorySwap": 200, "PidsLimit": 5}
    assert docker_changes.update({"PidsLimit": 5}) == {"PidsLimit": 5}


def test_network_is_no_limit() -> None:
    """
    No update puts a container into its network.
    """
    assert {} == docker_changes.update({"NetworkMode": "flocker"})


@pytest.mark.parametrize(
    ("name", "wanted", "found", "told"),
    [
        ("Memory", 100, 70, "memory_bytes is 70, and 100 was asked for"),
        ("PidsLimit", 5, None, "pids_limit is without limit, and 5 was asked for"),
        ("NanoCpus", 1_500_000_000, 500_000_000, "cpus is 0.5, and 1.5 was asked for"),
        (
            "RestartPolicy",
            {"Name": "on-failure", "MaximumRetryCount": 3},
            {"Name": "always", "MaximumRetryCount": 0},
            "restart is always, and on-failure:3 was asked for",
        ),
        (
            "RestartPolicy",
            {"Name": "unless-stopped", "MaximumRetryCount": 0},
            {"Name": "", "MaximumRetryCount": 0},
            "restart is no, and unless-stopped was asked for",
        ),
    ],
)
def test_told(name: str, wanted: Any, found: Any, told: str) -> None:
    """
    People read which field it is, what it is, and what was asked for.
    """
    assert docker_changes.told({name: wanted}, inspected({name: found})) == told


@pytest.mark.parametrize(
    ("networks", "told"),
    [
        ([], "network is none, and flocker was asked for"),
        (["other", "bridge"], "network is bridge and other, and flocker was asked for"),
    ],
)
def test_told_networks(networks: list[str], told: str) -> None:
    """
    Of a container that isn't in its network, people read in which it is.
    """
    assert docker_changes.told({"NetworkMode": "flocker"}, inspected(AS_ASKED, *networks)) == told
