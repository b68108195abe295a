"""
Moves through power cuts: a few, by a seed of the day, on guests of the ZFS test kernel. ``make test-faults`` has more.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import require
from tests.power.cuts import ONE_GUEST, SEPARATE_GUESTS, Cut, chosen_cuts, table
from tests.power.machines import powered_cluster
from tests.power.moves import CutMoves
from tests.zfs.harness.choice import is_built

SEED_VARIABLE = "FLOCKER_POWER_SEED"
pytestmark = [pytest.mark.zfs, pytest.mark.timeout(600)]


@pytest.fixture(autouse=True)
def _guests() -> None:
    require("root")
    if "FLOCKER_ZFS_KERNEL" in os.environ:
        require("zfs", "this is a guest itself")
    if not is_built("uml"):
        require("zfs", "its kernel is not built; run tests/zfs/harness/zfskernel.py build --kind uml")
    if not Path("/dev/net/tun").exists():
        require("zfs", "there is no /dev/net/tun, by which a guest is connected")


@pytest.mark.parametrize(
    ("layout", "count"), [(ONE_GUEST, 2), (SEPARATE_GUESTS, 2)], ids=["one-guest", "separate-guests"]
)
def test_cuts(layout: Sequence[Sequence[str]], count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    After a power cut, a move ends by itself where it should, with every acknowledged record and nothing left over.
    """
    seed = int(os.environ.get(SEED_VARIABLE, time.time() // 86400))
    cuts: list[Cut] = list(chosen_cuts(seed, count, separate=layout is SEPARATE_GUESTS))
    ended = []
    with powered_cluster(tmp_path, layout) as cluster:
        moves = CutMoves(cluster)
        for cut in cuts:
            ended.append(moves.moved(cut))
            assert not ended[-1].failure, f"{SEED_VARIABLE}={seed}\n{table(ended)}\n{cluster.logs()}"
    with capsys.disabled():
        print(f"\nseed {seed}\n{table(ended)}")
