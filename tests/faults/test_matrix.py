"""
The kill matrix on the directory backend: real processes, real TLS, kill -9.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cluster import Cluster, Ledger
from tests.faults.cells import Cell, chosen
from tests.faults.directory import cluster_with_fault_points, leftovers
from tests.faults.matrix import Matrix

pytestmark = pytest.mark.timeout(300)


class _Matrices:
    """
    A cluster for all cells; another one after a cell that has failed.
    """

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self._folders = folders
        self._open = ExitStack()
        self._cluster: Cluster | None = None
        self._matrix: Matrix | None = None

    def run(self, cell: Cell) -> float:
        if self._matrix is None or self._cluster is None:
            folder: Path = self._folders.mktemp("matrix")
            self._cluster = self._open.enter_context(cluster_with_fault_points(folder))
            self._matrix = Matrix(self._cluster, Ledger(folder, pause_seconds=0.005), leftovers(folder))
        try:
            return self._matrix.run(cell)
        except BaseException as error:
            self._matrix = None
            # With the error: it gets the logs, and what stands still is killed.
            self._open.__exit__(type(error), error, error.__traceback__)
            raise

    def close(self) -> None:
        self._open.close()


@pytest.fixture(scope="module")
def matrices(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Matrices]:
    matrices = _Matrices(tmp_path_factory)
    yield matrices
    matrices.close()


@pytest.mark.parametrize("cell", chosen(), ids=lambda cell: cell.name)
def test_killed(matrices: _Matrices, cell: Cell, record_property: Callable[[str, object], None]) -> None:
    """
    Killed at this point, and started again, all ends as it should, without an operator.
    """
    seconds = matrices.run(cell)
    record_property("faults", f"{cell.name} {seconds:.1f} s")
