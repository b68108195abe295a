"""
Pools of the zfs backend, for tests.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flocker_agent.storage.zfs import ZfsStorage
from flocker_py.model import DatasetId
from flocker_py.storage import StorageError
from flocker_py.testing.storage_pools import MEBIBYTE, MountedFiles
from flocker_py.testing.trees import TreeEntry
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

    :ivar name: of the pool.
    :ivar image: the file.
    """

    def __init__(self, name: str, image: Path, mount_root: Path) -> None:
        self.name = name
        self.image = image
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

    def path_of(self, dataset_id: DatasetId) -> Path:
        """
        Where a dataset is mounted, if it is.
        """
        return self._root / str(dataset_id)

    def name_of(self, dataset_id: DatasetId) -> str:
        """
        What ZFS calls a dataset.
        """
        return f"{self.name}/flocker/{dataset_id}"

    def unmount_all(self) -> None:
        """
        So that the pool can be destroyed.
        """
        try:
            dataset_ids = list(self.storage.datasets())
        except StorageError:
            return
        for dataset_id in dataset_ids:
            try:
                self.storage.unmount(dataset_id)
            except StorageError:
                # Destroying the pool by force says better what is wrong.
                continue


@contextmanager
def new_pools(new_mount_root: Callable[[], Path]) -> Iterator[Callable[[], ZfsUnderTest]]:
    """
    Makes pools; all are gone at the end.
    """
    with ExitStack() as undo:

        def made() -> ZfsUnderTest:
            pool = undo.enter_context(temporary_pool(IMAGE_BYTES))
            under_test = ZfsUnderTest(pool.name, pool.image, new_mount_root())
            undo.callback(under_test.unmount_all)
            return under_test

        yield made
