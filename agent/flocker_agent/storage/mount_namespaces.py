"""
What is mounted, here and in other mount namespaces: who sees a folder by another path than this process does, as what
runs in a container.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

_OCTAL = re.compile(r"\\([0-7]{3})")
_PROC = Path("/proc")


class Place(NamedTuple):
    """
    A file or folder as all mount namespaces have it.

    :ivar device: of the file system, as mountinfo has it: for btrfs that isn't what stat says.
    :ivar path: in the file system.
    """

    device: str
    path: str

    def is_in(self, other: Place) -> bool:
        """
        Whether it is the other one, or something below it.
        """
        return self.device == other.device and is_below(self.path, other.path)


class Mounted(NamedTuple):
    """
    One mounted file system, or a part of one, from mountinfo (proc(5)).

    :ivar mount_id: in its namespace.
    :ivar root: what is to be seen at the path.
    :ivar source: for ZFS the dataset or snapshot.
    """

    mount_id: int
    root: Place
    path: str
    kind: str
    source: str

    def place(self, path: str) -> Place:
        """
        Where something below the path is.
        """
        below = path[len(self.path) :].strip("/")
        return Place(self.root.device, f"{self.root.path.rstrip('/')}/{below}" if below else self.root.path)


def mounts_in(mountinfo: str) -> list[Mounted]:
    """
    What a mountinfo file lists, in the order of mounting.
    """
    found = []
    # Not splitlines: paths may have in them what else ends a line.
    for line in mountinfo.strip("\n").split("\n"):
        before, _, after = line.partition(" - ")
        mount_id, _, device, root, path, *_ = before.split(" ")
        kind, source, *_ = after.split(" ")
        place = Place(device, unescaped(root))
        found.append(Mounted(int(mount_id), place, unescaped(path), kind, unescaped(source)))
    return found


def mounts(process: Path = _PROC / "self") -> list[Mounted]:
    """
    What is mounted, as a process sees it.

    :raises OSError: it has ended, or may not be looked into.
    """
    return mounts_in(os.fsdecode((process / "mountinfo").read_bytes()))


def place_of(folder: Path) -> Place | None:
    """
    Where a folder of this process's is. None: it isn't there.
    """
    try:
        descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        path = _led_to(_PROC / "self" / "fd" / str(descriptor))
        # By its path alone it couldn't be told which of the file systems that are mounted over one another it is in.
        shown = (_PROC / "self" / "fdinfo" / str(descriptor)).read_text().splitlines()
    finally:
        os.close(descriptor)
    mount_id = int(next(line for line in shown if line.startswith("mnt_id:")).partition(":")[2])
    return next((mounted.place(path) for mounted in mounts() if mounted.mount_id == mount_id), None)


class View:
    """
    What processes in another mount namespace see.

    :param mounted: as they list it.
    :param root: their root folder, in whose terms they do so.
    """

    def __init__(self, mounted: Iterable[Mounted], root: str) -> None:
        self.mounted = [each._replace(path=os.path.normpath(f"{root}/{each.path}")) for each in mounted]

    def shows(self, places: Iterable[Place]) -> bool:
        """
        Whether exactly one of these places, or something below it, is mounted there. What is mounted above of them
        doesn't count: a container with all of the host's files does not use all of them.
        """
        return any(mounted.root.is_in(place) for place in places for mounted in self.mounted)

    def place(self, path: str) -> Place | None:
        """
        Where something is that the kernel shows under this path.
        """
        above = [mounted for mounted in self.mounted if is_below(path, mounted.path)]
        # Of several that are mounted at one path the last is seen.
        return max(reversed(above), key=lambda mounted: len(mounted.path)).place(path) if above else None


class Views:
    """
    The views of processes in other mount namespaces. Each namespace is looked at once.
    """

    def __init__(self) -> None:
        self._own = _led_to(_PROC / "self" / "ns" / "mnt")
        self._known: dict[tuple[str, str], View] = {}

    def of(self, process: Path) -> View | None:
        """
        What a process sees. None: it is in this process's namespace, or has ended.

        :param process: its folder in /proc.
        """
        try:
            try:
                # Its root, too: mountinfo lists only what is below it.
                namespace, root = _led_to(process / "ns" / "mnt"), _led_to(process / "root")
            except PermissionError:
                # Somebody else's, in whichever namespace; what is mounted there all may know.
                return View(mounts(process), "/")
            if namespace == self._own:
                return None
            if (namespace, root) not in self._known:
                self._known[namespace, root] = View(mounts(process), root)
            return self._known[namespace, root]
        except OSError:
            return None


def processes() -> Iterator[Path]:
    """
    The folders of all processes in /proc.
    """
    return (process for process in _PROC.iterdir() if process.name.isdigit())


def _led_to(link: Path) -> str:
    return str(link.readlink())


def is_below(path: str, other: str) -> bool:
    """
    Whether a path is the other one, or one below it.
    """
    return path == other or path.startswith(f"{other.rstrip('/')}/")


def unescaped(text: str) -> str:
    """
    As it was before the kernel wrote it into a file of /proc.
    """
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), text)
