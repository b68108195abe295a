"""
Real clusters to measure on: control service and agents as processes, on either backend.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.cluster import CONTROL, Cluster
from tests.zfs.pools import temporary_pool

_hosts = itertools.count(10)
NODES = ("n1", "n2")


@contextmanager
def cluster(folder: Path, backend: str, *, pool_bytes: int) -> Iterator[Cluster]:
    """
    Control and two nodes on loopback.

    :param backend: ``directory`` or ``zfs``; the latter needs root and a ZFS kernel.
    """
    addresses = {name: f"127.66.0.{next(_hosts)}" for name in (CONTROL, *NODES)}

    def dataset(name: str) -> dict[str, str]:
        mount_root = str(folder / name / "flocker")
        if backend == "zfs":
            return {"backend": "zfs", "pool": f"bench-{name}", "mount_root": mount_root}
        return {"backend": "directory", "root_path": str(folder / name / "pool"), "mount_root": mount_root}

    with ExitStack() as undo:
        if backend == "zfs":
            for name in NODES:
                undo.enter_context(temporary_pool(size_bytes=pool_bytes, name=f"bench-{name}", folder=folder))
        yield undo.enter_context(Cluster(folder, dataset, addresses=addresses))
