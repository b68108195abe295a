"""
Ends a guest whose harness was killed: waits for the end of its standard input, then kills the guest's process group.

Run as a program of its own, with the group's number and a folder to remove. Some processes of a UML guest outlive its
main one.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys


def main(group: int, folder: str) -> None:
    while os.read(0, 1):
        pass
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
