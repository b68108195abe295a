"""
The cells of the matrix: which program is killed at which fault point; and the table of how that went.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tests.faults.points import CONTROL, POINTS, SOURCE, TARGET, Point

WHICH_VARIABLE = "FLOCKER_FAULTS"
"""
``all`` cells; ``some`` (default): each single victim at every point, and one pair, another one every day; ``few``: one
cell at every sixth point, other ones every day.
"""

_FEW = 6

DAY_VARIABLE = "FLOCKER_FAULTS_DAY"
"""The number of the day that chooses the pairs; so that a choice can be had again."""

SINGLES = ((SOURCE,), (TARGET,), (CONTROL,))
PAIRS = ((SOURCE, TARGET), (SOURCE, CONTROL), (TARGET, CONTROL))


class Cell(NamedTuple):
    """
    One square of the matrix.
    """

    point: Point
    victims: tuple[str, ...]

    @property
    def name(self) -> str:
        """
        ``POINT:VICTIM`` or ``POINT:VICTIM+VICTIM``.
        """
        return f"{self.point.name}:{'+'.join(self.victims)}"


def day() -> int:
    """
    The day whose pairs are run.
    """
    return int(os.environ.setdefault(DAY_VARIABLE, str(int(time.time() // 86400))))


def chosen(points: Iterable[Point] = POINTS) -> list[Cell]:
    """
    The cells that the environment asks for.
    """
    which = os.environ.get(WHICH_VARIABLE, "some")
    if which == "few":
        columns = (*SINGLES, *PAIRS)
        return [
            Cell(point, columns[(number + day()) // _FEW % len(columns)])
            for number, point in enumerate(points)
            if (number + day()) % _FEW == 0
        ]
    everything = which == "all"
    cells = []
    for number, point in enumerate(points):
        pairs = PAIRS if everything else (PAIRS[(number + day()) % len(PAIRS)],)
        cells += [Cell(point, victims) for victims in (*SINGLES, *pairs)]
    return cells


def table(results: Mapping[str, str], points: Iterable[Point] = POINTS) -> str:
    """
    Points down, victims across.

    :param results: by name of the cell.
    """
    columns = ["+".join(victims) for victims in (*SINGLES, *PAIRS)]
    width = max(len(point.name) for point in POINTS)
    lines = [" ".join([f"{'killed at':{width}}", *(f"{column:>14}" for column in columns)])]
    for point in points:
        found = [results.get(f"{point.name}:{column}", "") for column in columns]
        if any(found):
            lines.append(" ".join([f"{point.name:{width}}", *(f"{text or '-':>14}" for text in found)]))
    return "\n".join(lines)
