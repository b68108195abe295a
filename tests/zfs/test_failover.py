"""
An owner dies on real ZFS: what it had is put aside, and shares its snapshots with what comes back.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.failing_over import Stubborn, dead_owner_comes_back
from tests.zfs.test_moves import cluster, zfs_list

# A guest has one emulated or shared CPU for two agents, control and the test.
pytestmark = pytest.mark.timeout(400)

__all__ = ["cluster"]


def test_dead_owner(cluster: Cluster, tmp_path: Path) -> None:  # the fixture
    """
    A dead owner's dataset goes on elsewhere, its data is put aside, and the way back begins where the histories part;
    once the stash is dropped, nothing is left of it, nor of the snapshot that both had.
    """
    dead_owner_comes_back(cluster, Stubborn(tmp_path))

    dataset_id = cluster.dataset("data")["dataset_id"]
    cluster.wait(lambda: not zfs_list("n1", "snapshot"))
    assert zfs_list("n1", "all") == [f"fp-n1/flocker/{dataset_id}", "fp-n1/flocker/stash"]
    cluster.wait(lambda: zfs_list("n2", "all") == [])
