"""
The storage contract, on every backend that works on any machine.
"""

from __future__ import annotations

import pickle
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flocker_agent.storage.directory import DirectoryStorage
from flocker_agent.storage.memory import MemoryPool, MemoryStorage
from flocker_py.model import DatasetId
from flocker_py.testing.storage_contract import NewPool, StorageContract
from flocker_py.testing.storage_pools import MEBIBYTE, MountedFiles
from flocker_py.testing.trees import Tree, TreeEntry

POOL_BYTES = 96 * MEBIBYTE
Require = Callable[..., None]


class MemoryFiles:
    """
    Trees in datasets of the memory backend: each entry, content and all, is what its path stands for.
    """

    def __init__(self, pool: MemoryUnderTest) -> None:
        self._pool = pool

    def write(self, dataset_id: DatasetId, tree: Tree) -> None:
        """
        As promised by ``Files``.
        """
        for path, entry in tree.items():
            self._pool.storage.write(dataset_id, path, _encoded(entry))

    def write_at(self, dataset_id: DatasetId, path: bytes, offset: int, content: bytes) -> None:
        """
        As promised by ``Files``.
        """
        entry = _decoded(self._pool.storage.read(dataset_id, path))
        before = entry.content.ljust(offset, b"\0")
        changed = entry.set(content=before[:offset] + content + before[offset + len(content) :], mtime_ns=None)
        self._pool.storage.write(dataset_id, path, _encoded(changed))

    def remove(self, dataset_id: DatasetId, path: bytes) -> None:
        """
        As promised by ``Files``.
        """
        for each in self._pool.storage.content(dataset_id):
            if each == path or each.startswith(path + b"/"):
                self._pool.storage.remove(dataset_id, each)

    def read(self, dataset_id: DatasetId) -> dict[bytes, TreeEntry]:
        """
        As promised by ``Files``.
        """
        return {path: _decoded(content) for path, content in self._pool.storage.content(dataset_id).items()}


def _encoded(entry: TreeEntry) -> bytes:
    # Metadata behind the content, so that a change in place stays one, with a length that is always the same.
    metadata = pickle.dumps(entry.set(content=b""))
    return entry.content + metadata + len(metadata).to_bytes(8)


def _decoded(content: bytes) -> TreeEntry:
    split = len(content) - 8 - int.from_bytes(content[-8:])
    entry = pickle.loads(content[split:-8])  # noqa: S301  # written by this process
    assert isinstance(entry, TreeEntry)
    return entry.set(content=content[:split])


class MemoryUnderTest:
    """
    A pool of the memory backend.
    """

    size_bytes = POOL_BYTES
    mount_root = None

    def __init__(self) -> None:
        self._pool = MemoryPool(POOL_BYTES)
        self.storage = MemoryStorage(self._pool)
        self.files = MemoryFiles(self)

    def reopen(self) -> None:
        """
        As promised by ``PoolUnderTest``.
        """
        self.storage = MemoryStorage(self._pool)


class DirectoryUnderTest:
    """
    A pool of the directory backend.
    """

    def __init__(self, folder: Path, size_bytes: int | None) -> None:
        self._folder = folder
        self.size_bytes = size_bytes
        self.mount_root = folder / "mounts"
        self.storage = self._opened()
        self.files = MountedFiles(lambda: self.storage)

    def _opened(self) -> DirectoryStorage:
        return DirectoryStorage(self._folder / "pool", self.mount_root)

    def reopen(self) -> None:
        """
        As promised by ``PoolUnderTest``.
        """
        self.storage.close()
        self.storage = self._opened()


class TestDirectoryStorage(StorageContract):
    """
    The directory backend, on the file system that tests have their temporary files on.
    """

    @pytest.fixture
    def new_pool(self, tmp_path_factory: pytest.TempPathFactory) -> NewPool:
        """
        Pools without an end.
        """
        return lambda: DirectoryUnderTest(tmp_path_factory.mktemp("pool"), None)


class TestSmallDirectoryStorage(StorageContract):
    """
    The directory backend on file systems of 96 MiB in memory, where times don't tell that a file was changed.
    """

    @pytest.fixture
    def new_pool(self, tmp_path: Path, require: Require) -> Iterator[NewPool]:
        """
        Pools on tmpfs.
        """
        require("root")
        folders: list[Path] = []

        def made() -> DirectoryUnderTest:
            folder = tmp_path / str(len(folders))
            folder.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={POOL_BYTES}", "tmpfs", folder], check=True)
            folders.append(folder)
            return DirectoryUnderTest(folder, POOL_BYTES)

        yield made
        for folder in folders:
            subprocess.run(["umount", "--lazy", folder], check=True)


class TestMemoryStorage(StorageContract):
    """
    The memory backend.
    """

    @pytest.fixture
    def new_pool(self) -> NewPool:
        """
        Pools in this process.
        """
        return MemoryUnderTest
