"""
An owner that is cut off from everybody, and lives, on real ZFS.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster import CONTROL
from tests.conftest import Require
from tests.fenced import LEASE_SECONDS, SignedLedger, cut_off_and_failed_over
from tests.worlds import NODES
from tests.zfs.namespaces import hosts
from tests.zfs.test_networks import NamespacedCluster

# A guest has one emulated or shared CPU for two agents, control and the test.
pytestmark = pytest.mark.timeout(400)


def test_cut_off_and_failed_over(tmp_path: Path, require: Require) -> None:
    """
    An owner that is cut off from everybody, and lives, has ended its application and unmounted before the dataset can
    be failed over without anybody's word. Never do two write; what the copy had is there, and all else is put aside.
    """
    require("zfs")
    require("root")
    require("nftables")
    with (
        hosts([CONTROL, *NODES]) as addresses,
        NamespacedCluster(tmp_path, addresses, fault_points=True, lease_seconds=LEASE_SECONDS) as cluster,
    ):
        cut_off_and_failed_over(cluster, SignedLedger(tmp_path))
