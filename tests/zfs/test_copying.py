"""
Copies within a pool of real ZFS.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flocker_py.testing.storage_contract import NewPool
from tests.conftest import require
from tests.copying_contract import CopyingContract
from tests.zfs.under_test import new_pools


@pytest.mark.timeout(900)
@pytest.mark.zfs
class TestZfs(CopyingContract):
    """
    By streams from one dataset into another.
    """

    @pytest.fixture
    def new_pool(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewPool]:
        """
        As promised by ``PoolFixtures``.
        """
        require("zfs")
        require("root")
        with new_pools(lambda: tmp_path_factory.mktemp("mounts")) as made:
            yield made
