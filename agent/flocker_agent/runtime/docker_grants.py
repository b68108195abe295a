"""
What lets Docker start a container of ours: a file, made when the agent starts it, gone when the agent stops it.

Docker starts containers by itself: after they failed, and when the engine or the host begins. The agent may be away
then, and the dataset unmounted, or another node's by now. So each container has, beside its datasets, a bind of a file
that must be there when it starts. The files are on a file system in memory: after the host was booted there are none,
and nothing starts before the agent has looked. They are removed before a container is stopped, so that nothing starts
it after that, whoever tries.

That a container was stopped, and did not end by itself, is written down beside that, on disk.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import psutil

_IN_MEMORY = ("tmpfs", "ramfs")


def in_memory(path: Path) -> bool:
    """
    Whether what is in a folder, which need not be there yet, is gone when the host was booted.
    """
    there = next(each for each in (path, *path.parents) if each.exists()).resolve()
    # The longest mount point above it; of those mounted at one place, the last.
    mounts = [(part.mountpoint, part.fstype) for part in psutil.disk_partitions(all=True)]
    above = [(len(at), number, kind) for number, (at, kind) in enumerate(mounts) if there.is_relative_to(at)]
    return bool(above) and max(above)[2] in _IN_MEMORY


class Grants:
    """
    :param memory_path: on a file system in memory; made if it is not there.
    :param disk_path: for what outlasts a boot of the host; made if it is not there.
    """

    def __init__(self, memory_path: Path, disk_path: Path) -> None:
        self._granted = memory_path
        self._stopped = disk_path
        for folder in (self._granted, self._stopped):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, docker_name: str) -> Path:
        """
        Of the file that a container needs.
        """
        return self._granted / docker_name

    def granted(self, docker_name: str) -> bool:
        """
        Whether Docker may start it.
        """
        return self.path(docker_name).exists()

    def grant(self, docker_name: str) -> None:
        """
        From now on it may.

        :raises OSError: it can't be written down.
        """
        with contextlib.suppress(FileNotFoundError):
            (self._stopped / docker_name).unlink()
        self._granted.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path(docker_name).touch(mode=0o400)

    def revoke(self, docker_name: str) -> None:
        """
        From now on it may not.
        """
        with contextlib.suppress(FileNotFoundError):
            self.path(docker_name).unlink()

    def stopped(self, docker_name: str) -> bool:
        """
        Whether the agent has asked it to end.
        """
        return (self._stopped / docker_name).exists()

    def write_stopped(self, docker_name: str) -> None:
        """
        The agent is about to ask it to end.

        :raises OSError: it can't be written down.
        """
        descriptor = os.open(self._stopped / docker_name, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def forget(self, docker_name: str) -> None:
        """
        The container is there no more.
        """
        self.revoke(docker_name)
        with contextlib.suppress(FileNotFoundError):
            (self._stopped / docker_name).unlink()
