"""
The storage contract, on the zfs backend and a real kernel.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flocker_py.testing.storage_contract import NewPool, StorageContract
from tests.conftest import require
from tests.zfs.under_test import new_pools


# An emulated processor is 10 to 40 times slower than this one.
@pytest.mark.timeout(900)
@pytest.mark.zfs
class TestZfsStorage(StorageContract):
    """
    Everything that ``Storage`` promises, by the zfs backend.
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
