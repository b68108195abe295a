"""
Signals to processes whose ids may by now be another's.
"""

from __future__ import annotations

import os
import signal

from flocker_agent.runtime.process_table import process_entry


def process_handle(pid: int, ticks: int) -> int | None:
    """
    A file descriptor (pidfd_open(2)) of the process that has this id and started at that time, for the caller to close;
    it becomes readable when the process ends. None: that process is gone.
    """
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    # The handle keeps the id from being used again, so what is read now is about the process that it stands for.
    entry = process_entry(pid)
    if entry is None or entry.ticks != ticks:
        os.close(handle)
        return None
    return handle


def send(pid: int, ticks: int, signals: tuple[signal.Signals, ...]) -> None:
    """
    Send signals to the process that has this id and started at that time; harmless if it is gone.
    """
    handle = process_handle(pid, ticks)
    if handle is None:
        return
    try:
        for number in signals:
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)
