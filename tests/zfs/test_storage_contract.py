"""
The storage contract, on the zfs backend and a real kernel.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from flocker_agent.storage.zfs import ZfsStorage
from flocker_py.model import DatasetId
from flocker_py.storage import StorageError
from flocker_py.testing.storage_contract import NewPool, StorageContract
from flocker_py.testing.storage_pools import MEBIBYTE, MountedFiles
from flocker_py.testing.trees import TreeEntry
from tests.conftest import require
from tests.zfs.pools import temporary_pool

# Of which ZFS keeps about half for itself, in a pool as small as this.
IMAGE_BYTES = 224 * MEBIBYTE


class SyncedFiles(MountedFiles):
    """
    Files whose holes show: ZFS says how many blocks a file has once they are in the pool, some seconds after the write.
    """

    def __init__(self, pool: ZfsUnderTest) -> None:
        super().__init__(lambda: pool.storage)
        self._pool = pool

    def read(self, dataset_id: DatasetId) -> dict[bytes, TreeEntry]:
        """
        As promised by ``Files``.
        """
        subprocess.run(["zpool", "sync", self._pool.name], check=True)
        return super().read(dataset_id)


class ZfsUnderTest:
    """
    A pool on a file.
    """

    def __init__(self, name: str, mount_root: Path) -> None:
        self.name = name
        self.mount_root: Path | None = mount_root
        self._root = mount_root
        self.storage = ZfsStorage(name, mount_root)
        self.files = SyncedFiles(self)
        self.size_bytes: int | None = self.storage.free_bytes()

    def reopen(self) -> None:
        """
        As promised by ``PoolUnderTest``.
        """
        self.storage = ZfsStorage(self.name, self._root)

    def unmount_all(self) -> None:
        """
        So that the pool can be destroyed.
        """
        for dataset_id in self.storage.datasets():
            try:
                self.storage.unmount(dataset_id)
            except StorageError:
                # Destroying the pool by force says so better.
                continue


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
        with ExitStack() as undo:

            def made() -> ZfsUnderTest:
                pool = undo.enter_context(temporary_pool(IMAGE_BYTES))
                under_test = ZfsUnderTest(pool.name, tmp_path_factory.mktemp("mounts"))
                undo.callback(under_test.unmount_all)
                return under_test

            yield made
