"""
The order of the tests on ZFS, and the table of the kill matrix at the end of the run.
"""

from __future__ import annotations

import pytest

from tests.faults.conftest import show_table


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Last comes what runs engines of Docker.
    """
    # They make the kernel filter what crosses bridges, in all its namespaces, for as long as it runs; and other tests
    # join hosts by bridges, and cut them off there.
    items.sort(key=lambda item: item.path.name == "test_database_moves.py")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    # A file of its own: where this machine has ZFS itself, that of `directory` is there.
    show_table(
        terminalreporter,
        "tests/zfs/test_matrix.py",
        again="make test-faults BACKEND=zfs CELL=",
        file="matrix-zfs.txt",
    )
