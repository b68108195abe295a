"""
One real cluster for all tests of API v1: a control service over TLS, and agents. Each test makes what it needs.

``n1`` and ``n2`` have a runtime that can do all that a container of v1 may ask for, ``n3`` one of plain processes.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster import Cluster
from tests.integration.loopback import addresses
from tests.v1.client import Client


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """
    The cluster.
    """
    folder = tmp_path_factory.mktemp("v1")

    def dataset(name: str) -> dict[str, str]:
        return {
            "backend": "directory",
            "root_path": str(folder / name / "pool"),
            "mount_root": str(folder / name / "flocker"),
        }

    with Cluster(
        folder,
        dataset,
        addresses=addresses("n1", "n2", "n3"),
        runtime=lambda name: None if name == "n3" else {"backend": "memory"},
    ) as running:
        yield running


@pytest.fixture(scope="session")
def client(cluster: Cluster) -> Iterator[Client]:
    """
    A user's client.
    """
    user = Client(cluster)
    yield user
    user.close()
