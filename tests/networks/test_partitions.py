"""
Moves in a cluster whose parts don't reach one another: every phase, every pair, also only one way.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.integration.loopback import addresses
from tests.partings import ONE_WAY, PHASES, WHOLE, Parting, cut_off
from tests.relayed import relayed_worlds
from tests.worlds import NODES, Worlds

LONG = os.environ.get("FLOCKER_FAULTS") == "all"
# Every parting in every phase in the long form; here, one that is one-way in each phase.
CELLS = [
    (phase, parting)
    for number, phase in enumerate(PHASES)
    for parting in (*WHOLE, *(ONE_WAY if LONG else ONE_WAY[number : number + 1]))
]


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    worlds = relayed_worlds(lambda: tmp_path_factory.mktemp("cluster"), lambda: addresses(*NODES))
    yield worlds
    worlds.leave()


@pytest.mark.timeout(300)
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
