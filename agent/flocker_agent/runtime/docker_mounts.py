"""
Whether a container has the file systems that it was to have.

An engine in a mount namespace of its own, as some packages of Docker run it, doesn't see what the agent mounts. It
binds the folder below instead, which is there, and empty, and nothing fails. So after a start the devices of the
container's mounts are compared with those of the datasets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

_OCTAL = re.compile(r"\\([0-7]{3})")


def unseen(paths: Iterable[str], ours: str, theirs: str) -> list[str]:
    """
    Those of the paths whose file system a container has nowhere.

    :param paths: absolute, without links in them.
    :param ours: what mountinfo (proc(5)) says to the agent; ``theirs``: to the container.
    """
    present = {device for device, _ in _mounts(theirs)}
    return [path for path in paths if _device_of(path, ours) not in present]


def _device_of(path: str, mountinfo: str) -> str | None:
    wanted = PurePosixPath(path)
    device, depth = None, -1
    for each, at in _mounts(mountinfo):
        mounted = PurePosixPath(at)
        # Of those mounted at one place, the last is seen.
        if wanted.is_relative_to(mounted) and len(mounted.parts) >= depth:
            device, depth = each, len(mounted.parts)
    return device


def _mounts(mountinfo: str) -> Iterable[tuple[str, str]]:
    for line in mountinfo.splitlines():
        _, _, device, _, at, *_ = line.split(" ")
        yield device, _OCTAL.sub(lambda found: chr(int(found[1], 8)), at)
