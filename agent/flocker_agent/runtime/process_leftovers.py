"""
The end of processes whose supervisor was killed.

The kernel kills an application with its supervisor, but not what the application started. Those processes are known by
the token of the run in their environment or, where they wrote over that (as PostgreSQL's do to show a title), by the
pipe that is their output.
"""

from __future__ import annotations

import os
import select
import signal
import time
from pathlib import Path

from flocker_agent.runtime.process_ending import process_handle
from flocker_agent.runtime.process_files import TOKEN_VARIABLE, Status
from flocker_agent.runtime.process_table import ZOMBIE, boot_id, process_table

_LOOK_AGAIN_SECONDS = 0.02
_PROC = Path("/proc")


def leftovers(status: Status) -> dict[int, int]:
    """
    The processes that a run left behind, zombies left out: when each started, in clock ticks, by process id.

    :param status: the last that its supervisor wrote.
    """
    if status.boot != boot_id():
        return {}
    return {
        pid: entry.ticks
        for pid, entry in process_table().items()
        if entry.state != ZOMBIE and entry.ticks >= status.supervisor_ticks and _belongs(pid, status)
    }


def end_leftovers(status: Status, *, timeout_seconds: float) -> bool:
    """
    Kill what a run left behind.

    :param timeout_seconds: how long the kernel may take to end it.
    :returns: whether nothing of it runs any more.
    """
    deadline = time.monotonic() + timeout_seconds
    while found := leftovers(status):
        handles = [handle for pid, ticks in found.items() if (handle := process_handle(pid, ticks)) is not None]
        try:
            _kill(handles)
        finally:
            for handle in handles:
                os.close(handle)
        if time.monotonic() >= deadline:
            return False
    return True


def _kill(handles: list[int]) -> None:
    poll = select.poll()
    for handle in handles:
        try:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        except ProcessLookupError:
            continue
        poll.register(handle, select.POLLIN)
    poll.poll(_LOOK_AGAIN_SECONDS * 1000)


def _belongs(pid: int, status: Status) -> bool:
    folder = _PROC / str(pid)
    try:
        if f"{TOKEN_VARIABLE}={status.token}".encode() in (folder / "environ").read_bytes().split(b"\0"):
            return True
        pipe = f"pipe:[{status.output_pipe}]"
        return any(str(link.readlink()) == pipe for link in (folder / "fd" / "1", folder / "fd" / "2"))
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        # Gone meanwhile, a thread of the kernel, or another user's.
        return False
