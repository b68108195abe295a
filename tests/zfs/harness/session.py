"""
One run of a command in a guest, seen from the host: start, stream the output, collect the status, leave nothing behind.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from tests.zfs.harness.job import Exited, Failed, Request, TimedOut
from tests.zfs.harness.progress import say

_POLL_SECONDS = 0.03
_HALT_SECONDS = 10.0
_CONSOLE_LINES = 40
_KERNEL_TROUBLE = (
    "Kernel panic",
    "Oops",
    "BUG:",
    "VERIFY",
    "PANIC at",
    "soft lockup",
    "ran out of memory on the host side",
)


class Interrupted(Exception):
    """
    A signal asked the harness to stop; the guest is gone, and the exit status is 128 and the signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.number = number


@contextmanager
def signals_raised() -> Iterator[None]:
    """
    SIGINT, SIGTERM and SIGHUP raise :class:`Interrupted` inside the block, once; more don't disturb the cleaning up.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupt(number: int, _frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(number)

    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_guest(
    guest: Sequence[str],
    folder: Path,
    request: Request,
    job: Mapping[str, Any],
    boot_seconds: float,
    *,
    environment: Mapping[str, str],
) -> Exited | Failed | TimedOut:
    """
    Start a guest, copy its command's output to this process's as it comes, and end it, whatever happens.

    :param guest: the program that is the guest, with its arguments; its output is the guest's console.
    :param folder: the run's folder.
    :param boot_seconds: the time the guest may take until the command starts.
    """
    control, console = folder / "control", folder / "console.log"
    (control / "job.json").write_text(json.dumps(job))
    (control / "job.json").chmod(0o600)
    streams = [(control / "stdout", sys.stdout.fileno()), (control / "stderr", sys.stderr.fileno())]
    offsets = {path: 0 for path, _ in streams}
    with console.open("wb") as console_sink:
        process = subprocess.Popen(
            # A harness that is killed takes its guest along: at once with this, and thoroughly by the warden.
            ["setpriv", "--pdeathsig", "KILL", *guest],
            stdin=subprocess.DEVNULL,
            stdout=console_sink,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=dict(environment),
            # UML signals its whole process group when it ends.
            start_new_session=True,
        )
    started = time.monotonic()
    running_since: float | None = None
    warden: subprocess.Popen[bytes] | None = None
    try:
        warden = _warden(process.pid, "" if request.keep else str(folder))
        while True:
            ended = process.poll() is not None
            for path, sink in streams:
                offsets[path] = _copied(path, offsets[path], sink)
            if running_since is None and (control / "started").exists():
                running_since = time.monotonic()
            if (control / "result.json").exists():
                break
            if ended:
                return Failed(_death(process.returncode, console, folder), booted=running_since is not None)
            now = time.monotonic()
            if running_since is None and now - started > boot_seconds:
                return Failed(
                    f"the guest did not start the command within {boot_seconds:.0f} s.{_console_tail(console)}",
                    booted=False,
                )
            if (
                running_since is not None
                and request.timeout_seconds is not None
                and now - running_since > request.timeout_seconds
            ):
                return TimedOut(request.timeout_seconds)
            time.sleep(_POLL_SECONDS)
        try:
            process.wait(_HALT_SECONDS)
        except subprocess.TimeoutExpired:
            say("the guest reported its result, but does not halt: ending it")
        for path, sink in streams:
            offsets[path] = _copied(path, offsets[path], sink)
    finally:
        _end(process)
        if warden is not None:
            warden.kill()
            warden.communicate()
    result = json.loads((control / "result.json").read_text())
    if "failure" in result:
        return Failed(f"the guest could not run the command: {result['failure']}.{_console_tail(console)}", booted=True)
    return Exited(result["status"], _trouble(console))


def _warden(group: int, folder: str) -> subprocess.Popen[bytes]:
    program = Path(__file__).with_name("warden.py")
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(program), str(group), folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _copied(path: Path, offset: int, sink: int) -> int:
    """
    Copy what a file has grown by since an offset; the new offset.
    """
    try:
        with path.open("rb") as source:
            source.seek(offset)
            while piece := source.read(1 << 20):
                offset += len(piece)
                view = memoryview(piece)
                while view:
                    view = view[os.write(sink, view) :]
    except FileNotFoundError:
        pass
    return offset


def _end(process: subprocess.Popen[bytes]) -> None:
    """
    Kill everything in the guest's process group (a UML guest is many processes of the host), and wait until it is gone.
    """
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def _death(status: int, console: Path, folder: Path) -> str:
    how = f"by signal {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
    return f"the guest ended {how} before the command's status was known (folder {folder}).{_console_tail(console)}"


def _console_tail(console: Path) -> str:
    """
    The console from the first sign of trouble on, else its end.
    """
    lines = _console_lines(console)
    first = next((index for index, line in enumerate(lines) if _is_trouble(line)), len(lines) - _CONSOLE_LINES)
    shown = lines[max(0, first) :][:_CONSOLE_LINES]
    return "\nIts console:\n" + "\n".join(f"  | {line}" for line in shown) if shown else " Its console is empty."


def _trouble(console: Path) -> list[str]:
    return [line for line in _console_lines(console) if _is_trouble(line)]


def _is_trouble(line: str) -> bool:
    return any(sign in line for sign in _KERNEL_TROUBLE)


def _console_lines(console: Path) -> list[str]:
    return console.read_text(errors="replace").replace("\r", "").splitlines()
