"""
The kill matrix on the directory backend: real processes, real TLS, kill -9.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.cells import Cell, chosen
from tests.faults.matrix import Matrices

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("cell", chosen(), ids=lambda cell: cell.name)
def test_killed(matrices: Matrices, cell: Cell, record_property: Callable[[str, object], None]) -> None:
    """
    Killed at this point, and started again, all ends as it should, without an operator.
    """
    with matrices.using() as matrix:
        seconds = matrix.run(cell)

    record_property("faults", f"{cell.name} {seconds:.1f} s")
