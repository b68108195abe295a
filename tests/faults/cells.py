"""
The cells of the matrix: which program is killed at which fault point; and the table of how that went.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pytest import TestReport

from tests.faults.points import ALL_POINTS, CONTROL, POINTS, SOURCE, TARGET, Point

WHICH_VARIABLE = "FLOCKER_FAULTS"
"""
``all`` cells; ``some`` (default): at every point the program that arrives there, and one other single victim or pair,
another one every day, so that five days go through all; ``few``: one cell at every sixth point, other ones every day.
Fewer of failovers and births, which have fewer points.
"""

_FEW = 6

DAY_VARIABLE = "FLOCKER_FAULTS_DAY"
"""The number of the day that chooses the cells; so that a choice can be had again."""

SINGLES = ((SOURCE,), (TARGET,), (CONTROL,))
PAIRS = ((SOURCE, TARGET), (SOURCE, CONTROL), (TARGET, CONTROL))


# Where the source is dead already, or there is none.
OTHER_COLUMNS = ((TARGET,), (CONTROL,), (TARGET, CONTROL))


FAILED = "FAILED"


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
    The day whose cells are run.
    """
    return int(os.environ.setdefault(DAY_VARIABLE, str(int(time.time() // 86400))))


def chosen(points: Iterable[Point] = POINTS) -> list[Cell]:
    """
    The cells that the environment asks for.
    """
    which = os.environ.get(WHICH_VARIABLE, "some")
    columns = (*SINGLES, *PAIRS)
    if which == "few":
        return [
            Cell(point, columns[(number + day()) // _FEW % len(columns)])
            for number, point in enumerate(points)
            if (number + day()) % _FEW == 0
        ]
    if which == "all":
        return [Cell(point, victims) for point in points for victims in columns]
    cells = []
    for number, point in enumerate(points):
        others = [victims for victims in columns if victims != (point.side,)]
        cells += [Cell(point, (point.side,)), Cell(point, others[(number + day()) % len(others)])]
    return cells


def chosen_of_others(points: Iterable[Point]) -> list[Cell]:
    """
    The same for points of a failover, or of a birth: all cells, or one at every third point, or one in all.
    """
    which = os.environ.get(WHICH_VARIABLE, "some")
    if which == "all":
        return [Cell(point, victims) for point in points for victims in OTHER_COLUMNS]
    if which == "few":
        # Neither number of points is a multiple of three: so in as many days as there are cells each has its turn.
        one = [*points]
        return [Cell(one[day() % len(one)], OTHER_COLUMNS[day() % 3])]
    return [
        Cell(point, OTHER_COLUMNS[(number + day()) // 3 % 3])
        for number, point in enumerate(points)
        if (number + day()) % 3 == 0
    ]


def results_of(test_module: str, passed: Iterable[TestReport], failed: Iterable[TestReport]) -> dict[str, str]:
    """
    How the cells of a run went: by name of the cell, how long it took, or ``FAILED``.

    :param test_module: that runs them, by the path that its tests' ids begin with; what it runs else is not counted.
    :param failed: also of setting up and taking down.
    """
    results: dict[str, str] = {}
    for report in passed:
        for name, text in report.user_properties:
            if name == "faults" and report.when == "call" and report.nodeid.startswith(f"{test_module}::"):
                cell, _, seconds = str(text).partition(" ")
                results[cell] = seconds
    for report in failed:
        test, _, parameters = report.nodeid.partition("[")
        if test.startswith(f"{test_module}::test_killed"):
            results[parameters.removesuffix("]")] = FAILED
    return results


def table(results: Mapping[str, str], points: Iterable[Point] = ALL_POINTS) -> str:
    """
    Points down, victims across.

    :param results: by name of the cell.
    """
    columns = ["+".join(victims) for victims in (*SINGLES, *PAIRS)]
    width = max(len(point.name) for point in ALL_POINTS)
    lines = [" ".join([f"{'killed at':{width}}", *(f"{column:>14}" for column in columns)])]
    for point in points:
        found = [results.get(f"{point.name}:{column}", "") for column in columns]
        if any(found):
            lines.append(" ".join([f"{point.name:{width}}", *(f"{text or '-':>14}" for text in found)]))
    return "\n".join(lines)
