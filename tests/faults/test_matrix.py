"""
The kill matrix on the directory backend: real processes, real TLS, kill -9.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.cells import Cell, chosen, chosen_of_others
from tests.faults.matrix import Matrices
from tests.faults.points import BIRTH_POINTS, FAILOVER_POINTS

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("cell", chosen(), ids=lambda cell: cell.name)
def test_killed(matrices: Matrices, cell: Cell, record_property: Callable[[str, object], None]) -> None:
    """
    Killed at this point, and started again, all ends as it should, without an operator.
    """
    with matrices.using() as matrix:
        seconds = matrix.run(cell)

    record_property("faults", f"{cell.name} {seconds:.1f} s")


@pytest.mark.parametrize("cell", chosen_of_others(FAILOVER_POINTS), ids=lambda cell: cell.name)
def test_killed_in_a_failover(matrices: Matrices, cell: Cell, record_property: Callable[[str, object], None]) -> None:
    """
    Killed at this point of a failover, and started again, the new owner serves; and nothing is left when the old one is
    back.
    """
    with matrices.using() as matrix:
        seconds = matrix.run_failover(cell)

    record_property("faults", f"{cell.name} {seconds:.1f} s")


@pytest.mark.parametrize("cell", chosen_of_others(BIRTH_POINTS), ids=lambda cell: cell.name)
def test_killed_at_a_birth(matrices: Matrices, cell: Cell, record_property: Callable[[str, object], None]) -> None:
    """
    Killed at this point, and started again, a dataset is made once.
    """
    with matrices.using() as matrix:
        seconds = matrix.run_birth(cell)

    record_property("faults", f"{cell.name} {seconds:.1f} s")
