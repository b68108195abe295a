"""
The operator's tools as processes, for the tests of what they print and how they exit.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from flocker_py.records import Record, value

_PROGRAMS = {
    "flocker-deploy": "from flocker_admin.deploy import main; main()",
    "flockerctl": "from flocker_admin.ctl import main; main()",
}
DEADLINE_SECONDS = float(os.environ.get("FLOCKER_TEST_DEADLINE_SECONDS", "100"))


class Ended(Record):
    """
    What a tool left behind.

    :param status: its exit status; negative: the signal that ended it.
    """

    status: int = value(int)
    out: str = value(str)
    err: str = value(str)


class Tool:
    """
    A running tool.

    :param inside: what it is started by, such as ``nsenter``.
    """

    def __init__(
        self,
        program: str,
        *arguments: str,
        folder: Path,
        variables: dict[str, str] | None = None,
        inside: Sequence[str] = (),
    ) -> None:
        environment = {name: text for name, text in os.environ.items() if not name.startswith("FLOCKER_")}
        self._process = subprocess.Popen(
            [*inside, sys.executable, "-c", _PROGRAMS[program], *arguments],
            cwd=folder,
            env={**environment, "PYTHONUNBUFFERED": "1", **(variables or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._out: list[str] = []
        self._err: list[str] = []
        self._readers = [
            threading.Thread(target=self._read_out, daemon=True),
            threading.Thread(target=self._read_err, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def until(self, text: str) -> str:
        """
        Wait for a line of standard output that has the text, and answer with it.

        :raises AssertionError: it ended without, or has not written it in time.
        """
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"{text!r} was not written, but: {self._out} {self._err}") from None
            assert line is not None, f"it ended without writing {text!r}, but: {self._out} {self._err}"
            if text in line:
                return line

    def interrupt(self) -> None:
        """
        As Ctrl-C does.
        """
        self._process.send_signal(signal.SIGINT)

    def goes_on(self, seconds: float) -> bool:
        """
        Whether it has not ended in this time.
        """
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def ended(self) -> Ended:
        """
        Wait for its end.
        """
        try:
            status = self._process.wait(DEADLINE_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
            for reader in self._readers:
                reader.join(DEADLINE_SECONDS)
        return Ended(status=status, out="".join(self._out), err="".join(self._err))

    def _read_out(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._out.append(line)
                self._lines.put(line)
        self._lines.put(None)

    def _read_err(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            self._err.extend(lines)


def run_tool(
    program: str,
    *arguments: str,
    folder: Path,
    variables: dict[str, str] | None = None,
    inside: Sequence[str] = (),
) -> Ended:
    """
    Run a tool to its end.
    """
    return Tool(program, *arguments, folder=folder, variables=variables, inside=inside).ended()
