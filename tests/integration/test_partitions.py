"""
Parts of a cluster that don't reach one another, in every phase of a move.

While it lasts, the move says for what it waits; once it is over, the move gets to its end without anybody's help.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cluster import CONTROL
from tests.integration.relayed_world import World, Worlds
from tests.relayed import RelayedCluster

LONG = os.environ.get("FLOCKER_FAULTS") == "long"
# Each way. Phases that would be over in no time last long enough to be met.
DELAY_SECONDS = 0.08
SOURCE, TARGET, ALL = "source", "target", "all"
PHASES = ("copying", "releasing", "final", "taking", "settling")


@dataclass(frozen=True)
class Parting:
    """
    :param between: who don't reach each other. :param only_from: who alone isn't heard.
    """

    between: tuple[str, str]
    only_from: str | None = None

    def __str__(self) -> str:
        one, other = self.between
        if self.only_from is None:
            return f"{one}|{other}"
        return f"{self.only_from}-unheard-by-{other if self.only_from == one else one}"


PAIRS = ((CONTROL, SOURCE), (CONTROL, TARGET), (SOURCE, TARGET))
WHOLE = [Parting(pair) for pair in (*PAIRS, (ALL, ALL))]
ONE_WAY = [Parting(pair, only_from) for pair in PAIRS for only_from in pair]
# Every parting in every phase in the long form; here, one-way partings go through the phases by turns.
CELLS = [
    (phase, parting)
    for number, phase in enumerate(PHASES)
    for parting in (*WHOLE, *(ONE_WAY if LONG else ONE_WAY[number % 3 :: 3]))
]


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    worlds = Worlds(tmp_path_factory)
    yield worlds
    worlds.leave()


@pytest.fixture
def world(worlds: Worlds) -> Iterator[World]:
    world = worlds.enter()
    try:
        yield world
    finally:
        world.cluster.heal()


def phase_of(dataset: Any) -> str | None:
    """
    How far a move is.
    """
    if dataset["move"] is not None:
        return str(dataset["move"]["phase"])
    return "settling" if dataset["settling"] else None


def expected(phase: str, parting: Parting, source: str, target: str) -> tuple[str | None, bool]:
    """
    What the move says that it waits for, as a pattern (None: for nothing), and whether it may get to its end without
    being healed, since what it needed may have come through in time.
    """
    away = "node {}, which has no connection to the control service"
    match parting.between:
        case (one, _) if one == ALL:
            return away.format(target if phase in {"taking", "settling"} else source), False
        case (_, other) if other == SOURCE:
            # Once the final snapshot is known, and it may be on the target already, the source isn't needed.
            return (None, True) if phase in {"taking", "settling"} else (away.format(source), phase != "copying")
        case (one, _) if one == CONTROL:
            return away.format(target), False
        case _:
            if phase in {"taking", "settling"}:
                return None, True
            broken = "(connection|Nothing was heard|No TLS handshake|no answer)"
            return f"node {source} to succeed: .*{broken}", phase != "copying"


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("phase", "parting"), CELLS, ids=str)
def test_parted(worlds: Worlds, world: World, phase: str, parting: Parting) -> None:
    """
    A move that is cut off in any phase waits and says for whom, and gets to its end when the network is whole again.
    """
    try:
        cut_off(world, phase, parting)
    except BaseException as error:
        worlds.leave(error)
        raise


def part(cluster: RelayedCluster, parting: Parting, source: str, target: str) -> None:
    """
    Part those that are meant.
    """
    names = {SOURCE: source, TARGET: target, CONTROL: CONTROL}
    if parting.between == (ALL, ALL):
        cluster.part_all()
        return
    one, other = (names[name] for name in parting.between)
    cluster.part(one, other, only_from=None if parting.only_from is None else names[parting.only_from])


def cut_off(world: World, phase: str, parting: Parting) -> None:
    cluster, source, target = world.cluster, world.node, world.other
    cluster.delay(DELAY_SECONDS)
    world.deploy(target)
    # Over at once after it was met, a phase shows which one it was.
    cluster.wait(lambda: phase_of(cluster.dataset("data")) == phase, poll_seconds=0.005)
    part(cluster, parting, source, target)
    waits_for, may_end = expected(phase, parting, source, target)

    def said_or_done() -> bool:
        dataset = cluster.dataset("data")
        if may_end and dataset["move"] is None and dataset["owner"] == str(cluster.node_ids[target]):
            return True
        return waits_for is not None and re.search(waits_for, dataset["waiting_for"] or "") is not None

    cluster.wait(said_or_done)
    if phase == "copying" and parting.only_from is None:
        # Where only one of them isn't heard, what the other says may have led further before that was noticed.
        world.running_again()
    cluster.heal()
    world.check(target)
