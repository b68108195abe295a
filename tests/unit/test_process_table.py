"""
Processes as ``/proc`` tells of them.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from flocker_agent.runtime.process_ending import process_handle, send
from flocker_agent.runtime.process_table import ProcessEntry, descendants, entry_from_stat, process_entry

STAT = "7 ({name}) {state} 3 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 {ticks} 3305472 0 18446744073709551615"


def entry(parent: int, state: str = "S") -> ProcessEntry:
    return ProcessEntry(parent=parent, ticks=1, state=state)


@pytest.fixture
def sleeping() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process
        process.kill()


class TestEntry:
    """
    One line of ``/proc/PID/stat``.
    """

    @pytest.mark.parametrize("name", ["sh", "two words", ") R 1 (", "a\nb", ""])
    def test_any_name(self, name: str) -> None:
        """
        Whatever a process calls itself, its parent, state and time are read right.
        """
        found = entry_from_stat(STAT.format(name=name, state="Z", ticks=4321))

        assert (3, "Z", 4321) == (found.parent, found.state, found.ticks)

    def test_own(self) -> None:
        """
        A process finds itself, with its parent.
        """
        found = process_entry(os.getpid())

        assert found is not None and found.parent == os.getppid()

    def test_none(self) -> None:
        """
        There is no process of an id that the kernel never gives.
        """
        assert process_entry(0) is None


class TestDescendants:
    """
    Who comes from whom.
    """

    def test_all_generations(self) -> None:
        """
        Children and theirs are found, and neither the process itself nor others.
        """
        table = {1: entry(0), 2: entry(1), 3: entry(2), 4: entry(3), 5: entry(1), 6: entry(2)}

        assert {3, 4, 6} == set(descendants(table, 2))

    def test_zombies(self) -> None:
        """
        What has ended is not among them; what it is still the parent of is.
        """
        table = {2: entry(1), 3: entry(2, "Z"), 4: entry(3)}

        assert {4} == set(descendants(table, 2))


class TestSignals:
    """
    Signals go to the process that is meant.
    """

    def test_sent(self, sleeping: subprocess.Popen[bytes]) -> None:
        """
        A process that is what it was gets the signal.
        """
        found = process_entry(sleeping.pid)
        assert found is not None
        send(sleeping.pid, found.ticks, (signal.SIGTERM,))

        assert -signal.SIGTERM == sleeping.wait()

    def test_not_to_another(self, sleeping: subprocess.Popen[bytes]) -> None:
        """
        A process that got the id of one that is gone gets no signal meant for that.
        """
        found = process_entry(sleeping.pid)
        assert found is not None
        send(sleeping.pid, found.ticks - 1, (signal.SIGKILL,))

        assert sleeping.poll() is None

    def test_gone(self, sleeping: subprocess.Popen[bytes]) -> None:
        """
        There is no handle of a process that is gone.
        """
        found = process_entry(sleeping.pid)
        assert found is not None
        sleeping.kill()
        sleeping.wait()

        assert process_handle(sleeping.pid, found.ticks) is None

    def test_zombie(self, sleeping: subprocess.Popen[bytes]) -> None:
        """
        Signals to a process that has ended, though nobody cleared it away yet, are harmless.
        """
        found = process_entry(sleeping.pid)
        assert found is not None
        sleeping.kill()
        os.waitid(os.P_PID, sleeping.pid, os.WEXITED | os.WNOWAIT)

        send(sleeping.pid, found.ticks, (signal.SIGTERM, signal.SIGKILL))
