"""
How the directory backend mounts: the live tree is moved to where it can be reached, and a link below the mount root
leads there. Without root nothing can keep a process from what it has open, so unmounting looks for such processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from flocker_agent.storage.directory_state import DatasetPaths
from flocker_py.model import DatasetId
from flocker_py.storage import DatasetBusy

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NAMED_PROCESSES = 5


def boot_id() -> str:
    """
    Of the host, as it runs now.
    """
    return _BOOT_ID.read_text().strip()


def is_mounted(paths: DatasetPaths, link: Path) -> bool:
    """
    Whether the link leads to the live tree.
    """
    return leads_to(link) == str(paths.mounted / "data") and paths.mounted.is_dir()


def refuse_taken(dataset_id: DatasetId, paths: DatasetPaths, link: Path) -> None:
    """
    Nothing, if the link can be made.

    :raises DatasetBusy: its name is taken.
    """
    if os.path.lexists(link) and leads_to(link) != str(paths.mounted / "data"):
        raise DatasetBusy(f"{dataset_id} can't be mounted: {link} is taken by something else; move it away")


def mount(dataset_id: DatasetId, paths: DatasetPaths, link: Path) -> None:
    """
    Make the live tree reachable.

    :raises DatasetBusy: the link's name is taken.
    """
    target = paths.mounted / "data"
    refuse_taken(dataset_id, paths, link)
    link.parent.mkdir(parents=True, exist_ok=True)
    if not paths.mounted.is_dir():
        paths.live.rename(paths.mounted)
    if not os.path.lexists(link):
        link.symlink_to(target)


def unmount(dataset_id: DatasetId, paths: DatasetPaths, link: Path) -> None:
    """
    Make the live tree unreachable.

    :raises DatasetBusy: processes use it; it stays reachable.
    """
    # So that the path doesn't go away for a moment under most of those who use it; mappings take longer to look at.
    refuse_if_used(str(dataset_id), link, [paths.mounted], mappings=False)
    detach(paths, link)
    # Who came in between the look and the move is seen now, and nobody comes after.
    try:
        refuse_if_used(str(dataset_id), link, [paths.live, paths.mounted], mappings=True)
    except DatasetBusy:
        mount(dataset_id, paths, link)
        raise


def detach(paths: DatasetPaths, link: Path) -> None:
    """
    Move the live tree to where it is unreachable, whoever uses it.
    """
    if leads_to(link) == str(paths.mounted / "data"):
        link.unlink()
    if paths.mounted.is_dir():
        paths.mounted.rename(paths.live)


def processes_using(folders: list[Path], *, mappings: bool) -> Iterator[int]:
    """
    The processes, of those that we may look into and but for this one, that have something below a folder open, or
    stand in it.

    :param mappings: or have mapped something into their memory and closed it.
    """
    # A folder's own path is as the kernel writes it: links resolved, as far as it is there.
    prefixes = [os.fsencode(os.path.realpath(folder)) for folder in folders]
    for name in os.listdir(b"/proc"):
        if name.isdigit() and int(name) != os.getpid() and _uses(b"/proc/" + name, prefixes, mappings):
            yield int(name)


def _uses(process: bytes, prefixes: list[bytes], mappings: bool) -> bool:
    links = [process + b"/cwd", process + b"/root"]
    try:
        links += [b"%s/fd/%s" % (process, number) for number in os.listdir(process + b"/fd")]
    except OSError:
        # It has ended, or is somebody else's: its working directory may still be seen.
        pass
    for link in links:
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if any(target == prefix or target.startswith(prefix + b"/") for prefix in prefixes):
            return True
    if not mappings:
        return False
    try:
        with open(process + b"/maps", "rb") as stream:
            maps = stream.read()
    except OSError:
        return False
    return any(prefix + b"/" in maps for prefix in prefixes)


def refuse_if_used(what: str, link: Path, folders: list[Path], *, mappings: bool) -> None:
    """
    Nothing, if no process uses what is below these folders.

    :param what: and ``link``: for the message.
    :raises DatasetBusy: one does.
    """
    users = sorted(processes_using(folders, mappings=mappings))
    if users:
        named = ", ".join(f"{user} ({_command(user)})" for user in users[:_NAMED_PROCESSES])
        more = f" and {len(users) - _NAMED_PROCESSES} more" if len(users) > _NAMED_PROCESSES else ""
        raise DatasetBusy(f"{what} at {link} is used by process {named}{more}")


def _command(process_id: int) -> str:
    try:
        return Path(f"/proc/{process_id}/comm").read_text(errors="replace").strip()
    except OSError:
        return "ended meanwhile"


def leads_to(link: Path) -> str | None:
    """
    Where a link leads; None: it isn't one.
    """
    try:
        return os.readlink(link)
    except OSError:
        return None
