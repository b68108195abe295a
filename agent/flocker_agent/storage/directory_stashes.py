"""
Reading what the directory backend has put aside.

Without root nothing can be mounted read-only, and whoever owns a file can write it. So what is shown is a copy, whose
modes let nobody write; whatever is done to it, the stash stays what it is.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from flocker_agent.storage.directory_apply import Restoration
from flocker_agent.storage.directory_capture import Capture
from flocker_agent.storage.directory_files import FOLDER_FLAGS
from flocker_agent.storage.directory_mounts import leads_to, refuse_if_used
from flocker_agent.storage.directory_packs import PackReader, PackWriter
from flocker_agent.storage.directory_pool import DirectoryPool
from flocker_agent.storage.directory_snapshots import newest_entries
from flocker_agent.storage.directory_state import DatasetPaths
from flocker_py.storage import DatasetBusy

_WRITE_BITS = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def is_stash_mounted(pool: DirectoryPool, name: str) -> bool:
    """
    Whether a stash can be read below the mount root.
    """
    folder = pool.readable / name
    return folder.is_dir() and leads_to(pool.mount_root / name) == str(folder / "data")


def mount_stash(pool: DirectoryPool, name: str) -> Path:
    """
    Show a copy of a stash's live tree.

    :returns: where.
    :raises DatasetBusy: the path is taken.
    """
    folder, link = pool.readable / name, pool.mount_root / name
    if os.path.lexists(link) and leads_to(link) != str(folder / "data"):
        raise DatasetBusy(f"Stash {name} can't be mounted: {link} is taken by something else; move it away")
    if not folder.is_dir():
        with pool.new_folder() as fresh:
            fresh.mkdir(mode=0o711)
            (fresh / "data").mkdir()
            _copy(DatasetPaths(pool.stashes / name), fresh / "data")
            pool.move(fresh, folder)
    link.parent.mkdir(parents=True, exist_ok=True)
    if not os.path.lexists(link):
        link.symlink_to(folder / "data")
    return link


def unmount_stash(pool: DirectoryPool, name: str) -> None:
    """
    Show it no more. Harmless if it isn't shown.

    :raises DatasetBusy: processes use it.
    """
    folder, link = pool.readable / name, pool.mount_root / name
    if folder.is_dir():
        refuse_if_used(f"Stash {name}", link, [folder], mappings=True)
    if leads_to(link) == str(folder / "data"):
        link.unlink()
    if folder.is_dir():
        pool.discard(folder)


def _copy(paths: DatasetPaths, target: Path) -> None:
    # By way of a snapshot that nobody keeps: whatever a snapshot can hold, the copy has.
    state = paths.load()
    pack_path = paths.packs / str(state.next_pack)
    pack_path.unlink(missing_ok=True)
    source, copy = os.open(paths.tree(), FOLDER_FLAGS), os.open(target, FOLDER_FLAGS)
    try:
        with PackReader(paths.packs) as packs, PackWriter(pack_path, state.next_pack) as pack:
            entries = Capture(source, newest_entries(paths, state), packs, pack, still=True).entries()
        with PackReader(paths.packs) as packs:
            Restoration(copy, {}, entries, packs).run()
    finally:
        pack_path.unlink(missing_ok=True)
        os.close(source)
        os.close(copy)
    for folder, _, files in os.walk(target, topdown=False):
        for path in (*(os.path.join(folder, file) for file in files), folder):
            mode = os.lstat(path).st_mode
            if not stat.S_ISLNK(mode):
                os.chmod(path, stat.S_IMODE(mode) & ~_WRITE_BITS)
