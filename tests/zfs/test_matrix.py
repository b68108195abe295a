"""
The kill matrix on real ZFS: two pools, network namespaces, kill -9.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster import CONTROL, Cluster
from tests.conftest import Require
from tests.faults.cells import Cell, chosen, chosen_of_others
from tests.faults.matrix import Leftovers, Matrices
from tests.faults.points import BIRTH_POINTS, FAILOVER_POINTS
from tests.zfs.namespaces import hosts
from tests.zfs.pools import temporary_pool

# A guest has one emulated or shared CPU for two agents, control and the test.
pytestmark = [pytest.mark.zfs, pytest.mark.timeout(400)]


@contextmanager
def opened(folder: Path) -> Iterator[tuple[Cluster, Leftovers]]:
    """
    A started cluster on two pools, and what its nodes may have left over.
    """
    with (
        hosts([CONTROL, "n1", "n2"]) as addresses,
        temporary_pool(size_bytes=512 << 20, name="fp-n1"),
        temporary_pool(size_bytes=512 << 20, name="fp-n2"),
        Cluster(
            folder,
            lambda name: {"backend": "zfs", "pool": f"fp-{name}", "mount_root": str(folder / name / "flocker")},
            addresses=addresses,
            namespaces={name: f"fp-{name}" for name in addresses},
            fault_points=True,
        ) as cluster,
    ):
        yield cluster, leftovers(folder)


def leftovers(folder: Path) -> Leftovers:
    """
    What a node has in its pool beside the dataset it owns, and beside its mount point.
    """

    def of(node: str, owned: str | None) -> list[str]:
        command = ["zfs", "list", "-H", "-o", "name,receive_resume_token", "-t", "all", "-r", f"fp-{node}"]
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        parent = f"fp-{node}/flocker"
        expected = {f"{name}\t-" for name in (f"fp-{node}", parent, *([f"{parent}/{owned}"] if owned else []))}
        mounts = [f"mount {path.name}" for path in (folder / node / "flocker").glob("*") if path.name != owned]
        return [line for line in listed if line not in expected] + mounts

    return of


@pytest.fixture(scope="module")
def matrices(tmp_path_factory: pytest.TempPathFactory, require: Require) -> Iterator[Matrices]:
    """
    A cluster on ZFS that all cells share.
    """
    require("zfs")
    require("root")
    matrices = Matrices(tmp_path_factory, opened)
    yield matrices
    matrices.close()


@pytest.mark.parametrize("cell", chosen(), ids=lambda cell: cell.name)
def test_killed(matrices: Matrices, cell: Cell, record_property: Callable[[str, object], None]) -> None:
    """
    Killed at this point, and started again, all ends as it should, without an operator.
    """
    with matrices.using() as matrix:
        seconds = matrix.run(cell)

    record_property("faults", f"{cell.name} {seconds:.1f} s")


@pytest.mark.parametrize("cell", chosen_of_others(FAILOVER_POINTS), ids=lambda cell: cell.name)
def test_killed_in_a_failover(matrices: Matrices, cell: Cell, record_property: Callable[[str, object], None]) -> None:
    """
    Killed at this point of a failover, and started again, the new owner serves; and nothing is left when the old one is
    back.
    """
    with matrices.using() as matrix:
        seconds = matrix.run_failover(cell)

    record_property("faults", f"{cell.name} {seconds:.1f} s")


@pytest.mark.parametrize("cell", chosen_of_others(BIRTH_POINTS), ids=lambda cell: cell.name)
def test_killed_at_a_birth(matrices: Matrices, cell: Cell, record_property: Callable[[str, object], None]) -> None:
    """
    Killed at this point, and started again, a dataset is made once.
    """
    with matrices.using() as matrix:
        seconds = matrix.run_birth(cell)

    record_property("faults", f"{cell.name} {seconds:.1f} s")
