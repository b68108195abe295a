"""
Power cuts: who loses power and when, by a seed, and what came of it.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.cluster import CONTROL
from tests.faults.points import MOVE, POINTS, SOURCE, TARGET, Point
from tests.power.machines import NODES

ONE_GUEST = ((CONTROL, *NODES),)
SEPARATE_GUESTS = ((CONTROL,), *((node,) for node in NODES))
_POINTS = tuple(point for point in POINTS if point.story == MOVE)
_SOME = ((SOURCE,), (TARGET,), (CONTROL,), (SOURCE, TARGET), (SOURCE, CONTROL), (TARGET, CONTROL))
# A move takes about this long here; what comes later cuts a cluster at rest.
_MOVE_SECONDS = 6.0


@dataclass(frozen=True)
class Cut:
    """
    When who loses power.

    :ivar victims: hosts; each takes along whoever is on its guest. ``source`` and ``target`` are those of the move.
    :ivar point: a fault point at which one of the programs stands still at that moment; None: the time counts.
    :ivar after_seconds: since the move was asked for.
    """

    victims: tuple[str, ...]
    point: Point | None = None
    after_seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.after_seconds:.2f} s" if self.point is None else self.point.name


@dataclass(frozen=True)
class Ended:
    """
    What came of a cut.

    :ivar seen: the last phase that was seen before it.
    :ivar accepted: whether anybody was told that the move is on.
    :ivar serves_seconds: from the cut until the application's next acknowledged record.
    :ivar settled_seconds: from the cut until nothing was left to do.
    """

    cut: Cut
    source: str
    target: str
    seen: str = "-"
    accepted: bool = False
    owner: str = "-"
    records: int = 0
    serves_seconds: float = 0.0
    settled_seconds: float = 0.0
    failure: str = ""

    def cells(self) -> tuple[str, ...]:
        """
        A row of the table.
        """
        return (
            f"{self.source}>{self.target}",
            "+".join(self.cut.victims),
            str(self.cut),
            self.seen,
            "yes" if self.accepted else "no",
            self.owner,
            str(self.records),
            f"{self.serves_seconds:.1f}",
            f"{self.settled_seconds:.1f}",
            "FAILED" if self.failure else "ok",
        )


_HEADINGS = ("move", "victims", "cut at", "seen", "told", "owner", "records", "serves s", "settled s", "verdict")


def chosen_cuts(seed: int, count: int, *, separate: bool) -> Iterator[Cut]:
    """
    Cuts by a seed: in turn at a fault point, each of them once before one comes again, and at a random moment.

    :param separate: control and nodes are on guests of their own, of which one or two are cut.
    """
    chance = random.Random(seed)
    victims = itertools.cycle(_SOME if separate else [(CONTROL, SOURCE, TARGET)])
    points = itertools.cycle(chance.sample(_POINTS, len(_POINTS)))
    for number in range(count):
        if number % 2:
            yield Cut(next(victims), after_seconds=chance.uniform(0, _MOVE_SECONDS))
        else:
            yield Cut(next(victims), next(points))


def table(rows: Sequence[Ended]) -> str:
    """
    What came of all cuts, a line each, with what failed beneath.
    """
    cells = [("cut", *_HEADINGS), *((str(number), *row.cells()) for number, row in enumerate(rows, start=1))]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    failures = [f"cut {number}: {row.failure}" for number, row in enumerate(rows, start=1) if row.failure]
    return "\n".join([*lines, *failures])
