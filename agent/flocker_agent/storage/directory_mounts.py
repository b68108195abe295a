"""
How the directory backend mounts: the live tree is moved to where it can be reached, and a link below the mount root
leads there. Without root nothing can keep a process from what it has open, so unmounting looks for such processes; in
other mount namespaces, too, where the tree has another path, or none that leads through the folders it is moved in.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from flocker_agent.storage.directory_state import DatasetPaths
from flocker_agent.storage.mount_namespaces import Place, View, Views, mounts, place_of, processes
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
    stand in it; and those in other mount namespaces, such as containers, that have one of the folders, or something
    below it, mounted.

    :param mappings: or have mapped something into their memory and closed it.
    """
    # A folder's own path is as the kernel writes it: links resolved, as far as it is there.
    paths = [os.fsencode(os.path.realpath(folder)) for folder in folders]
    places = _places(folders)
    views = Views()
    for process in processes():
        if int(process.name) == os.getpid():
            continue
        view = views.of(process)
        if _uses(process, paths, mappings) if view is None else _uses_elsewhere(process, view, places, mappings):
            yield int(process.name)


def _uses(process: Path, paths: list[bytes], mappings: bool) -> bool:
    if any(link == path or link.startswith(path + b"/") for link in _links(process) for path in paths):
        return True
    maps = _maps(process) if mappings else b""
    return any(path + b"/" in maps for path in paths)


def _uses_elsewhere(process: Path, view: View, places: list[Place], mappings: bool) -> bool:
    """
    What is mounted there can be opened at any moment, and by a path that goes on leading to it when the tree is moved.
    If it sees no more than a folder above, it uses what it has open or stands in, like a process of this namespace.
    """
    if view.shows(places):
        return True
    used = set(_links(process))
    if mappings:
        # Address, permissions, offset, device, inode, and where there is one, the path.
        used |= {fields[5] for line in _maps(process).splitlines() if len(fields := line.split(maxsplit=5)) == 6}
    found = [view.place(os.fsdecode(path)) for path in used]
    return any(each.is_in(place) for each in found if each is not None for place in places)


def _links(process: Path) -> Iterator[bytes]:
    folder = os.fsencode(process)
    links = [folder + b"/cwd", folder + b"/root"]
    try:
        links += [b"%s/fd/%s" % (folder, number) for number in os.listdir(folder + b"/fd")]
    except OSError:
        # It has ended, or is somebody else's: its working directory may still be seen.
        pass
    for link in links:
        try:
            yield os.readlink(link)
        except OSError:
            continue


def _maps(process: Path) -> bytes:
    try:
        return (process / "maps").read_bytes()
    except OSError:
        return b""


def _places(folders: list[Path]) -> list[Place]:
    return [place for folder in folders if (place := place_of(folder)) is not None]


def refuse_if_used(what: str, link: Path, folders: list[Path], *, mappings: bool) -> None:
    """
    Nothing, if no process uses what is below these folders, and it isn't mounted elsewhere.

    :param what: and ``link``: for the message.
    :raises DatasetBusy: one does, or it is.
    """
    places = _places(folders)
    elsewhere = [mounted.path for mounted in mounts() if any(mounted.root.is_in(place) for place in places)]
    if elsewhere:
        raise DatasetBusy(f"{what} at {link} is also mounted at {', '.join(elsewhere)}: unmount it there")
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
