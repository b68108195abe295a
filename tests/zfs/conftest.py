"""
The table of the kill matrix on ZFS, at the end of the run.
"""

from __future__ import annotations

import pytest

from tests.faults.conftest import show_table


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    show_table(terminalreporter, again="make test-faults BACKEND=zfs CELL=")
