"""
Copies within a pool, on the backends that work on any machine.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from flocker_py.testing.storage_contract import NewPool
from tests.contract.test_storage import DirectoryUnderTest, MemoryUnderTest
from tests.copying_contract import CopyingContract


class TestDirectory(CopyingContract):
    """
    On folders.
    """

    @pytest.fixture
    def new_pool(self, tmp_path: Path) -> NewPool:
        """
        Pools on what there is.
        """
        numbers = itertools.count()

        def new() -> DirectoryUnderTest:
            folder = tmp_path / str(next(numbers))
            folder.mkdir()
            return DirectoryUnderTest(folder, None)

        return new


class TestMemory(CopyingContract):
    """
    In memory.
    """

    @pytest.fixture
    def new_pool(self) -> NewPool:
        """
        Pools in this process.
        """
        return MemoryUnderTest
