"""
What the tests of faults share, and the table of the kill matrix at the end of the run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.cells import day, table
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
    show_table(terminalreporter, again="make test-faults CELL=")


def show_table(terminalreporter: pytest.TerminalReporter, *, again: str) -> None:
    """
    Print the table of the cells that were run, and write it to a file.

    :param again: the command that runs a cell, before the cell's name.
    """
    results: dict[str, str] = {}
    for report in terminalreporter.stats.get("passed", []):
        for name, text in getattr(report, "user_properties", ()):
            if name == "faults" and report.when == "call":
                cell, _, seconds = str(text).partition(" ")
                results[cell] = seconds
    for report in terminalreporter.stats.get("failed", []) + terminalreporter.stats.get("error", []):
        if "test_killed[" in report.nodeid:
            results[report.nodeid.partition("[")[2].rstrip("]")] = "FAILED"
    if not results:
        return
    text = table(results)
    terminalreporter.section("Killed and started again: seconds until all was as it should be")
    terminalreporter.write_line(text)
    failed = [name for name, result in results.items() if result == "FAILED"]
    terminalreporter.write_line(f"{len(results)} cells, {len(failed)} failed")
    for name in failed:
        terminalreporter.write_line(f"  again: {again}{name}")
    path = Path(os.environ.get(TABLE_VARIABLE, "build/faults/matrix.txt"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")
