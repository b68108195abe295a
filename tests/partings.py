"""
Parts of a cluster that don't reach one another, in every phase of a move.

While it lasts, the move says for what it waits; once it is over, the move gets to its end without anybody's help.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.cluster import CONTROL
from tests.worlds import NetworkedCluster, World

SOURCE, TARGET, ALL = "source", "target", "all"
_TRIES = 4
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
    away = "node {}, which has had no connection to the control service"
    match parting.between:
        case (one, _) if one == ALL:
            return away.format(target if phase in {"taking", "settling"} else f"({source}|{target})"), False
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


def part(cluster: NetworkedCluster, parting: Parting, source: str, target: str) -> None:
    """
    Part those that are meant.
    """
    names = {SOURCE: source, TARGET: target, CONTROL: CONTROL}
    if parting.between == (ALL, ALL):
        cluster.part_all()
        return
    one, other = (names[name] for name in parting.between)
    cluster.part(one, other, only_from=None if parting.only_from is None else names[parting.only_from])


def goes_on(world: World) -> None:
    """
    The application goes on at the source, or the move was committed before it was cut off: then only the target may.
    """
    count = len(world.ledger.acknowledged())

    def writes_or_is_committed() -> bool:
        written = len(world.ledger.acknowledged()) > count + 10
        return written or phase_of(world.cluster.dataset("data")) == "taking"

    world.cluster.wait(writes_or_is_committed)


def met(world: World, phase: str) -> tuple[str, str]:
    """
    Begin a move, and answer with its source and its target as soon as it is in a phase. A phase that was over before it
    was seen is looked for in the move back, over a slower network.
    """
    cluster, delay_seconds = world.cluster, world.cluster.phase_delay_seconds
    for _ in range(_TRIES):
        cluster.delay(delay_seconds)
        source, target = world.node, world.other
        world.deploy(target)

        def met_or_over() -> str | None:
            dataset = cluster.dataset("data")
            present = phase_of(dataset)
            if present == phase:
                return "met"
            over = present is None and dataset["owner"] == str(cluster.node_ids[target])  # noqa: B023  # called below
            return "over" if over else None

        if cluster.wait(met_or_over, poll_seconds=0.005) == "met":
            return source, target
        cluster.delay(0)
        world.check(target)
        delay_seconds *= 2
    raise AssertionError(f"{phase} was over too soon, {_TRIES} times")


def said_or_over(
    cluster: NetworkedCluster, target: str, phase: str, waits_for: str | None, may_end: bool
) -> str | None:
    """
    Whether a dataset says for what it waits, or its move has got to its end; None: neither.
    """
    dataset = cluster.dataset("data")
    if waits_for is not None and re.search(waits_for, dataset["waiting_for"] or "") is not None:
        return "said"
    # Parted later, control misses the target even if the move was over by then, and says so as soon as it notices.
    ended = dataset["move"] is None and (may_end or (phase == "copying" and not dataset["settling"]))
    return "over" if ended and dataset["owner"] == str(cluster.node_ids[target]) else None


def cut_off(world: World, phase: str, parting: Parting) -> None:
    """
    Part those that are meant while a move is in a phase, and see that it says so and gets to its end afterwards. If it
    was over before they were parted, it is the next one that is cut off.
    """
    cluster = world.cluster
    for _ in range(_TRIES):
        source, target = met(world, phase)
        part(cluster, parting, source, target)
        waits_for, may_end = expected(phase, parting, source, target)
        if cluster.wait(partial(said_or_over, cluster, target, phase, waits_for, may_end)) == "said" or may_end:
            break
        cluster.heal()
        cluster.delay(0)
        world.check(target)
    else:
        raise AssertionError(f"it was over before anybody was parted in {phase}, {_TRIES} times")
    if phase == "copying" or (TARGET in parting.between and phase in {"releasing", "final"}):
        goes_on(world)
    cluster.heal()
    cluster.delay(0)
    world.check(target)
