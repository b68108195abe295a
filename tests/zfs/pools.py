"""
ZFS pools on files, for tests that run on a real kernel (see the harness beside this module).
"""

from __future__ import annotations

import os
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

KEEP_VARIABLE = "FLOCKER_ZFS_KEEP_POOLS"
DISKS_VARIABLE = "FLOCKER_ZFS_DISKS"


class PoolCommandFailed(Exception):
    """
    A zpool command refused. Its own words are in the text.
    """


@dataclass(frozen=True)
class Pool:
    """
    An imported pool.

    :ivar name: as in `zpool list`.
    :ivar image: the file that holds all of it.
    """

    name: str
    image: Path


@contextmanager
def temporary_pool(
    size_bytes: int = 1 << 30, *, folder: Path | None = None, name: str | None = None, keep: bool | None = None
) -> Iterator[Pool]:
    """
    A new, empty pool on a sparse file; destroyed at the end, with its file, unless it is to be kept.

    Its file systems have no mount point unless they are given one.

    :param size_bytes: the size of the file; ZFS needs at least 64 MiB.
    :param folder: where the file goes; by default a new temporary one, or for a kept pool the one in FLOCKER_ZFS_DISKS.
    :param name: the pool's name; by default a new one.
    :param keep: export the pool at the end and leave its file; by default so if FLOCKER_ZFS_KEEP_POOLS is `1`.
    :raises PoolCommandFailed: if ZFS refuses to make or destroy it.
    """
    keep = os.environ.get(KEEP_VARIABLE) == "1" if keep is None else keep
    if folder is None and keep and os.environ.get(DISKS_VARIABLE):
        folder = Path(os.environ[DISKS_VARIABLE])
    with tempfile.TemporaryDirectory(prefix="flocker-pool-") as scratch:
        pool_name = name or f"flockertest-{secrets.token_hex(4)}"
        image = (folder or Path(scratch)).resolve() / f"{pool_name}.img"
        with image.open("xb") as disk:
            disk.truncate(size_bytes)
        try:
            # Without a cache file: another import of pools on this machine must not look for this one.
            _zpool("create", "-o", "cachefile=none", "-O", "mountpoint=none", pool_name, str(image))
        except PoolCommandFailed:
            image.unlink()
            raise
        try:
            yield Pool(name=pool_name, image=image)
        finally:
            if keep:
                _zpool("export", "-f", pool_name)
            else:
                _zpool("destroy", "-f", pool_name)
                image.unlink()


def import_pool(image: Path) -> Pool:
    """
    Import the pool on a file that :func:`temporary_pool` made, as after a power cut.

    :raises PoolCommandFailed: if there is none on it, or it is damaged.
    """
    name = image.name.removesuffix(".img")
    # -f: after a power cut the pool still counts as in use by the machine that went down.
    _zpool("import", "-f", "-o", "cachefile=none", "-d", str(image), name)
    return Pool(name=name, image=image)


def _zpool(*arguments: str) -> None:
    done = subprocess.run(["zpool", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PoolCommandFailed(f"zpool {' '.join(arguments)}: {done.stderr.strip()}")
