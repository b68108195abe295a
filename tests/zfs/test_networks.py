"""
Moves on real ZFS over a network that is far away, loses packets, and falls into parts.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import permutations
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.cluster import CONTROL
from tests.conftest import Require
from tests.partings import ALL, ONE_WAY, PHASES, SOURCE, TARGET, WHOLE, Parting, cut_off
from tests.worlds import MAXIMUM_RATE, NODES, NetworkedCluster, World, Worlds
from tests.zfs.namespaces import drop, drop_nothing, far_away, hosts
from tests.zfs.pools import temporary_pool

LONG = os.environ.get("FLOCKER_FAULTS") == "all"
# Every parting in every phase in the long form. Here some, for the same goes through all of them without ZFS.
SOME = [
    ("copying", Parting((SOURCE, TARGET))),
    ("final", Parting((ALL, ALL))),
    ("taking", Parting((CONTROL, TARGET))),
]
CELLS = [(phase, parting) for phase in PHASES for parting in (*WHOLE, *ONE_WAY)] if LONG else SOME

# A guest has one emulated or shared CPU for two agents, control and the test.
pytestmark = pytest.mark.timeout(400)


class NamespacedCluster(NetworkedCluster):
    """
    Each node in a network namespace of its own, with a pool of its own.

    :param fault_points: as in ``Cluster``, as is ``lease_seconds``.
    """

    # All of it shares one processor, which takes that long to see a phase and to part anything.
    phase_delay_seconds = 0.15

    def __init__(
        self,
        folder: Path,
        addresses: Mapping[str, str],
        *,
        fault_points: bool = False,
        lease_seconds: float | None = None,
    ) -> None:
        self._pools = ExitStack()
        super().__init__(
            folder,
            lambda name: {"backend": "zfs", "pool": f"fp-{name}", "mount_root": str(folder / name / "flocker")},
            addresses=addresses,
            namespaces={name: f"fp-{name}" for name in addresses},
            transfer={"maximum_rate": MAXIMUM_RATE},
            impatient=True,
            fault_points=fault_points,
            lease_seconds=lease_seconds,
        )

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            for name in NODES:
                undo.enter_context(temporary_pool(size_bytes=512 << 20, name=f"fp-{name}"))
            super().__enter__()
            self._pools = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._pools:
            super().__exit__(kind, error, traceback)

    def delay(self, seconds: float) -> None:
        """
        As in ``NetworkedCluster``.
        """
        for name in self.addresses:
            far_away(name, delay_seconds=seconds)

    def part(self, one: str, other: str, *, only_from: str | None = None) -> None:
        """
        As in ``NetworkedCluster``.
        """
        ways = [(source, target) for source, target in permutations((one, other)) if only_from in (None, source)]
        drop((self.addresses[source], self.addresses[target]) for source, target in ways)

    def part_all(self) -> None:
        """
        As in ``NetworkedCluster``.
        """
        drop(permutations(self.addresses.values(), 2))

    def heal(self) -> None:
        """
        As in ``NetworkedCluster``.
        """
        drop_nothing()

    def left_over(self, owner: str) -> list[str]:
        """
        As in ``NetworkedCluster``.
        """
        found: list[str] = []
        for name in NODES:
            kinds = "snapshot,bookmark" if name == owner else "all"
            root = f"fp-{name}/flocker"
            command = ["zfs", "list", "-H", "-o", "name", "-t", kinds, "-r", root]
            listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
            found += [one for one in listed if one != root]
        return found


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory, require: Require) -> Iterator[Worlds]:
    require("zfs")
    require("root")
    require("nftables")
    with ExitStack() as undo:
        addresses = undo.enter_context(hosts([CONTROL, *NODES]))
        worlds = Worlds(lambda: NamespacedCluster(tmp_path_factory.mktemp("cluster"), addresses))
        undo.callback(worlds.leave)
        yield worlds


@pytest.mark.parametrize(("phase", "parting"), CELLS, ids=str)
def test_parted(worlds: Worlds, phase: str, parting: Parting) -> None:
    """
    A move that is cut off in any phase waits and says for whom, and gets to its end when the network is whole again.
    """
    try:
        cut_off(worlds.enter(), phase, parting)
    except BaseException as error:
        worlds.leave(error)
        raise


def test_far_away_and_lossy(worlds: Worlds) -> None:
    """
    Over a link with a delay of 200 ms each way that loses one packet of a hundred, a move gets to its end.
    """
    world = worlds.enter()
    for name in NODES:
        far_away(name, delay_seconds=0.2, loss_percent=1.0)
    thinned(world)
    target = world.other
    try:
        world.deploy(target)
        world.check(target)
    except BaseException as error:
        worlds.leave(error)
        raise


def thinned(world: World) -> None:
    """
    Leave as little ballast as a link like this carries in some seconds: with such losses, no more than 50 KB/s or so.
    """
    path = Path(world.cluster.dataset("data")["path"]) / "ballast"
    with path.open("r+b") as file:
        file.truncate(256 << 10)
        os.fsync(file.fileno())
