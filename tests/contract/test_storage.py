"""
The storage contract, on every backend that works on any machine.
"""

from __future__ import annotations

import itertools
import os
import pickle
import shutil
import subprocess
import tempfile
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

    def read_stash(self, name: str) -> dict[bytes, TreeEntry]:
        """
        As promised by ``Files``.
        """
        return {path: _decoded(content) for path, content in self._pool.storage.stash_content(name).items()}


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


class MountedFileSystems:
    """
    File systems of the size of a pool, in memory: how fast a test is does not depend on the disk.

    :param folder: to mount them in.
    :param kind: ``tmpfs``, or one that there is an mkfs for.
    """

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder = folder
        self._kind = kind
        self._mounted: list[Path] = []
        self._images: list[Path] = []

    def new(self) -> Path:
        """
        Another one, empty.
        """
        target = self._folder / str(len(self._mounted))
        target.mkdir()
        if self._kind == "tmpfs":
            source, options = "tmpfs", f"size={POOL_BYTES}"
        else:
            image = Path(tempfile.mkstemp(prefix="flocker-test-", dir="/dev/shm")[1])
            self._images.append(image)
            os.truncate(image, POOL_BYTES)
            blocks = ["-b", "4096"] if self._kind == "ext4" else []
            subprocess.run([f"mkfs.{self._kind}", "-q", *blocks, image], check=True)
            source, options = str(image), "loop"
        subprocess.run(["mount", "-t", self._kind, "-o", options, source, target], check=True)
        self._mounted.append(target)
        return target

    def remove(self) -> None:
        """
        All of them.
        """
        for folder in self._mounted:
            subprocess.run(["umount", "--lazy", folder], check=True)
        for image in self._images:
            image.unlink()


# Some give a hundred streams to a disk that has to be asked each time whether all of it is there.
@pytest.mark.timeout(400)
class TestDirectoryStorage(StorageContract):
    """
    The directory backend on ext4, where times tell that a file was changed; as an ordinary user, on what there is.
    """

    @pytest.fixture
    def new_pool(self, tmp_path: Path) -> Iterator[NewPool]:
        """
        Pools on ext4, or without an end.
        """
        if os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
            numbers = itertools.count()
            yield lambda: DirectoryUnderTest(_made(tmp_path / str(next(numbers))), None)
            return
        file_systems = MountedFileSystems(tmp_path, "ext4")
        yield lambda: DirectoryUnderTest(file_systems.new(), POOL_BYTES)
        file_systems.remove()


@pytest.mark.timeout(400)
class TestDirectoryStorageOnTmpfs(StorageContract):
    """
    The directory backend on tmpfs, where only the content tells that a file was changed.
    """

    @pytest.fixture
    def new_pool(self, tmp_path: Path, require: Require) -> Iterator[NewPool]:
        """
        Pools on tmpfs.
        """
        require("root")
        file_systems = MountedFileSystems(tmp_path, "tmpfs")
        yield lambda: DirectoryUnderTest(file_systems.new(), POOL_BYTES)
        file_systems.remove()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


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
