"""
Programs that go on by themselves after the command that started them has ended.

Each has a file with its process id, and with what makes the id good for ever: the boot of the host, and the moment at
which the process started. An id that is another process's by now is not taken for it.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from flocker_py.errors import FlockerError
from flocker_py.records import Record, value
from flocker_py.wire import WireError, from_text, to_text

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_ENDED = ("Z", "X")
# The interpreter looks for modules where they are installed, and not in the current folder.
_PYTHON = (sys.executable, "-P", "-c")


class ProgramStillRunning(FlockerError):
    """
    A program did not end even after it was killed: it hangs in the kernel. Look at the host's disks, then try again.
    """


class ProgramMark(Record):
    """
    What names one process of this host for ever.

    :param boot_id: of the boot under which it runs.
    :param started_ticks: when it started, in clock ticks since that boot.
    """

    pid: int = value(int)
    boot_id: UUID = value(UUID)
    started_ticks: int = value(int)


class Program:
    """
    One program of ours that may be running.

    :param module: whose ``main`` it is.
    :param arguments: of its command line.
    :param folder: its own: with its log, ``log``, and its process id, ``pid``.
    """

    def __init__(self, name: str, module: str, arguments: Sequence[str], folder: Path) -> None:
        self.name = name
        self._module = module
        self._arguments = list(arguments)
        self._pid_path = folder / "pid"
        self.log_path = folder / "log"
        self.output_path = folder / "output"

    @property
    def pid(self) -> int | None:
        """
        Its process id; None: it is not running.
        """
        mark = self._mark()
        return mark.pid if mark is not None and _running(mark) else None

    def start(self) -> bool:
        """
        Start it, unless it is running. It gets a session of its own, and what it prints goes to its folder.

        :returns: whether it was started.
        :raises OSError: it can't be executed, or its folder can't be written to.
        """
        if self.pid is not None:
            return False
        call = f"from {self._module} import main; main()"
        with os.fdopen(os.open(self.output_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
            process = subprocess.Popen(
                [*_PYTHON, call, *self._arguments, f"--log-file={self.log_path}"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                start_new_session=True,
            )
        entry = _stat(process.pid)
        if entry is not None:
            mark = ProgramMark(pid=process.pid, boot_id=_boot_id(), started_ticks=entry[1])
            temporary = self._pid_path.with_suffix(".new")
            temporary.write_text(to_text(mark))
            temporary.replace(self._pid_path)
        # It is not ours to wait for. Python would complain of a child that nobody waited for.
        process.returncode = 0
        return True

    def end(self, *, grace_seconds: float) -> bool:
        """
        Ask it to end, and kill it if it doesn't. Returns when it has ended.

        :param grace_seconds: between the two; 0: kill it at once.
        :returns: whether it was running.
        :raises ProgramStillRunning: it survives even that.
        """
        mark = self._mark()
        if mark is None:
            return False
        with _handle(mark) as handle:
            was_running = handle is not None
            if handle is not None and not (
                (grace_seconds > 0 and _ended_by(handle, signal.SIGTERM, grace_seconds))
                or _ended_by(handle, signal.SIGKILL, 10.0)
            ):
                raise ProgramStillRunning(f"{self.name} (process {mark.pid})")
        _reap(mark.pid)
        self._pid_path.unlink(missing_ok=True)
        return was_running

    def last_words(self, lines: int) -> str:
        """
        The end of what it printed and logged.

        :param lines: at most so many of each.
        """
        parts = [tail(path, lines) for path in (self.output_path, self.log_path)]
        return "\n".join(part for part in parts if part)

    def _mark(self) -> ProgramMark | None:
        try:
            return from_text(ProgramMark, self._pid_path.read_text())
        except (FileNotFoundError, WireError):
            return None


def tail(path: Path, lines: int, *, most_bytes: int = 256 * 1024) -> str:
    """
    The last lines of a file; empty if there is none.
    """
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - most_bytes))
            found = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return "\n".join(found[-lines:])


def _running(mark: ProgramMark) -> bool:
    entry = _stat(mark.pid)
    if entry is None or entry[0] in _ENDED:
        _reap(mark.pid)
        return False
    return entry[1] == mark.started_ticks and mark.boot_id == _boot_id()


def _boot_id() -> UUID:
    return UUID(_BOOT_ID.read_text().strip())


def _stat(pid: int) -> tuple[str, int] | None:
    """
    State and start of a process. The command, in parentheses, may contain anything; proc(5) counts fields from 1.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])


@contextmanager
def _handle(mark: ProgramMark) -> Iterator[int | None]:
    """
    A descriptor of the process, which can't become another's (pidfd_open(2)); None: it is not running.
    """
    try:
        handle = os.pidfd_open(mark.pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield handle if _running(mark) else None
    finally:
        os.close(handle)


def _ended_by(handle: int, number: signal.Signals, timeout_seconds: float) -> bool:
    try:
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return True
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(timeout_seconds * 1000))


def _reap(pid: int) -> None:
    """
    Let go of it if it was started by this very process.
    """
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass


def wait_until_ended(program: Program, *, timeout_seconds: float) -> bool:
    """
    Whether a program ends by itself in time.
    """
    deadline = time.monotonic() + timeout_seconds
    while program.pid is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
