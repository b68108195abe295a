"""
Clusters on the directory backend whose programs can be stopped at any fault point.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import CONTROL, Cluster
from tests.faults.matrix import Leftovers

_ADDRESS = itertools.count(10)


def cluster_with_fault_points(folder: Path) -> Cluster:
    """
    Nodes ``n1`` and ``n2`` at loopback addresses that no other test uses, in no other run either.
    """
    process = os.getpid()
    network = f"127.{128 + process // 256 % 127}.{process % 256}"
    return Cluster(
        folder,
        lambda name: {
            "backend": "directory",
            "root_path": str(folder / name / "pool"),
            "mount_root": str(folder / name / "flocker"),
        },
        addresses={name: f"{network}.{next(_ADDRESS)}" for name in (CONTROL, "n1", "n2")},
        fault_points=True,
    )


@contextmanager
def opened(folder: Path) -> Iterator[tuple[Cluster, Leftovers]]:
    """
    A started cluster, and what its nodes may have left over.
    """
    with cluster_with_fault_points(folder) as cluster:
        yield cluster, leftovers(folder)


def leftovers(folder: Path) -> Leftovers:
    """
    What a node has in its pool beside the dataset it owns, in files that only this backend has.
    """

    def of(node: str, owned: str | None) -> list[str]:
        pool = folder / node / "pool"
        left = [str(path.relative_to(pool)) for kind in ("stashes", "temporary") for path in (pool / kind).iterdir()]
        left += [f"datasets/{path.name}" for path in (pool / "datasets").iterdir() if path.name != owned]
        left += [f"mount {path.name}" for path in (folder / node / "flocker").glob("*") if path.name != owned]
        if owned is not None:
            kept = pool / "datasets" / owned / "kept"
            record = json.loads((kept / "dataset.json").read_text())
            left += [f"snapshot {snapshot['name']}" for snapshot in record["snapshots"]]
            left += [f"kept/{path.name}" for path in kept.glob("receiving*")]
            left += [f"pack {path.name}" for path in (kept / "packs").glob("*")]
        return left

    return of
