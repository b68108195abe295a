"""
A shell that a page's commands are typed into.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_DEADLINE_SECONDS = 200.0
_END = "--end-of-command--"


class Done(NamedTuple):
    """
    What a command came to.

    :ivar output: standard output and error together.
    """

    status: int
    output: str


class Shell:
    """
    One bash. What commands do to the folder and to variables stays, as it does for a reader.
    """

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=_environment(folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
        )

    def run(self, command: str) -> Done:
        """
        Type a command, and wait for its end.
        """
        assert self._process.stdin is not None
        # Without a terminal the shell would give its own input, the commands to come, to this one.
        self._process.stdin.write(f"{{ {command}\n}} </dev/null\nprintf '\\n{_END} %s\\n' $?\n".encode())
        output = self._read_to_end(command)
        text, _, status = output.rpartition(f"\n{_END} ")
        return Done(int(status), text)

    def close(self) -> None:
        """
        End the shell.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.kill()
        self._process.wait()

    def _read_to_end(self, command: str) -> str:
        assert self._process.stdout is not None
        collected = b""
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while f"\n{_END} ".encode() not in collected or not collected.endswith(b"\n"):
            left_seconds = deadline - time.monotonic()
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, left_seconds))
            piece = self._process.stdout.read(65536) if ready else b""
            if not piece:
                text = collected.decode(errors="replace")
                raise AssertionError(f"{command!r} did not come to an end; so far it said:\n{text}")
            collected += piece
        return collected.decode(errors="replace")


def _environment(folder: Path) -> Mapping[str, str]:
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    programs = str(Path(sys.executable).parent)
    return {
        "LC_ALL": "C.UTF-8",
        **kept,
        "HOME": str(folder),
        "PATH": os.pathsep.join([programs, os.environ.get("PATH", os.defpath)]),
        # As wide as the pages; a terminal would be told.
        "COLUMNS": "200",
    }
