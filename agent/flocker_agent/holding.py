"""
One agent a folder: who works with a folder of state holds it until the process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from flocker_py.errors import FlockerError

LOCK_FILE = "agent.lock"


class StateInUse(FlockerError):
    """
    Another agent that is still running works with this folder. Stop it first, or, for two agents on one host, give each
    a ``state_path`` of its own in its agent.yml.
    """

    lasting = True


def hold(folder: Path, lock_file: str = LOCK_FILE) -> int:
    """
    Make a folder if it is not there, and hold it for this process.

    :param lock_file: the name of the file in it by which it is held.
    :returns: the file descriptor that holds it; closing it, or the end of the process, lets go.
    :raises StateInUse: another process holds it.
    :raises OSError: it can't be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / lock_file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise StateInUse(f"{folder}") from error
    return descriptor
