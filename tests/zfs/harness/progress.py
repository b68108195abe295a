"""
What the harness says while it works: one line per step on standard error, a heartbeat while a long one runs.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

HEARTBEAT_SECONDS = 10.0
_LOG_TAIL_LINES = 25


class StepFailed(Exception):
    """
    A step of the harness did not work. The text says which, what it printed last, and where the rest is.
    """


def say(text: str) -> None:
    """
    Print one line about the harness itself, marked as such: the command's own output goes by unmarked.
    """
    print(f"zfskernel: {text}", file=sys.stderr, flush=True)


@contextmanager
def step(title: str, log: Path | None = None) -> Iterator[None]:
    """
    Say what begins, give a sign of life every ten seconds, and say how long it took.

    :param title: the step, as a phrase that goes on after "zfskernel: ".
    :param log: a file the step writes to; its last line is shown with each heartbeat.
    """
    say(f"{title} ...")
    started = time.monotonic()
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(HEARTBEAT_SECONDS):
            say(f"  still at it after {time.monotonic() - started:.0f} s{_last_line(log)}")

    pulse = threading.Thread(target=beat, daemon=True)
    pulse.start()
    try:
        yield
    finally:
        ended.set()
        pulse.join()
    say(f"{title}: done in {time.monotonic() - started:.1f} s")


def run_logged(
    command: Sequence[str],
    log: Path,
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    must_finish: bool = False,
) -> None:
    """
    Run a program to its end with both its outputs appended to a log file, and nothing to read.

    :param must_finish: don't kill it when this process is asked to end, but wait for it.
    :raises StepFailed: if it exits with another status than 0; the text has the end of the log.
    """
    with log.open("ab") as sink:
        sink.write(f"$ {shlex.join(command)}\n".encode())
        sink.flush()
        process = subprocess.Popen(
            command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        try:
            status = process.wait()
        except BaseException:
            # A signal asks the harness to end: so must the compilers, but not a package that is half installed.
            if not must_finish:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    if status != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])
        raise StepFailed(f"`{shlex.join(command)}` failed with status {status}. The end of {log}:\n{tail}")


def _last_line(log: Path | None) -> str:
    if log is None or not log.exists():
        return ""
    with log.open("rb") as text:
        text.seek(max(0, log.stat().st_size - 400))
        lines = text.read().decode(errors="replace").splitlines()
    return f": {lines[-1].strip()[-90:]}" if lines else ""
