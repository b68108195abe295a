"""
What the tests of faults share, and the table of the kill matrix at the end of the run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.cells import FAILED, day, results_of, table
from tests.faults.directory import opened
from tests.faults.matrix import Matrices

TABLE_VARIABLE = "FLOCKER_FAULTS_TABLE"


@pytest.fixture(scope="session")
def matrices(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrices]:
    """
    A cluster on the directory backend that all tests share.
    """
    matrices = Matrices(tmp_path_factory, opened)
    yield matrices
    matrices.close()


def pytest_configure(config: pytest.Config) -> None:
    # Here, before there are workers: all must choose the same cells.
    day()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    show_table(terminalreporter, "tests/faults/test_matrix.py", again="make test-faults CELL=", file="matrix.txt")


def show_table(terminalreporter: pytest.TerminalReporter, test_module: str, *, again: str, file: str) -> None:
    """
    Print the table of the cells that were run, and write it to a file.

    :param test_module: that has run them.
    :param again: the command that runs a cell, before the cell's name.
    :param file: its name in ``build/faults``, unless the environment says where.
    """
    stats = terminalreporter.stats
    results = results_of(test_module, stats.get("passed", []), [*stats.get("failed", []), *stats.get("error", [])])
    if not results:
        return
    text = table(results)
    terminalreporter.section("Killed and started again: seconds until all was as it should be")
    terminalreporter.write_line(text)
    failed = [name for name, result in results.items() if result == FAILED]
    terminalreporter.write_line(f"{len(results)} cells, {len(failed)} failed")
    for name in failed:
        terminalreporter.write_line(f"  again: {again}{name}")
    path = Path(os.environ.get(TABLE_VARIABLE, f"build/faults/{file}"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")
