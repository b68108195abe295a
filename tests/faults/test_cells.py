"""
Which cells are run, and how it is counted what became of them.
"""

from __future__ import annotations

from typing import Literal

import pytest

from tests.faults.cells import DAY_VARIABLE, FAILED, OTHER_COLUMNS, WHICH_VARIABLE, chosen_of_others, results_of, table
from tests.faults.points import BIRTH_POINTS, FAILOVER_POINTS, Point

MODULE = "tests/faults/test_matrix.py"


def report(
    test: str, outcome: Literal["passed", "failed"], when: Literal["setup", "call", "teardown"] = "call"
) -> pytest.TestReport:
    """
    Of one cell.
    """
    cell = test.partition("[")[2].rstrip("]")
    properties = [("faults", f"{cell} 1.5 s")] if outcome == "passed" else []
    return pytest.TestReport(test, ("", 0, ""), {}, outcome, None, when, user_properties=properties)


def test_failures_of_every_story() -> None:
    """
    Cells of failovers and births that failed are counted like those of moves, wherever in the test it was.
    """
    failed = [
        report(f"{MODULE}::test_killed[control.begun.before:control]", "failed"),
        report(f"{MODULE}::test_killed_in_a_failover[target.failover.taken:target]", "failed", "setup"),
        report(f"{MODULE}::test_killed_at_a_birth[target.birth.created:target+control]", "failed", "teardown"),
    ]

    assert results_of(MODULE, [], failed) == {
        "control.begun.before:control": FAILED,
        "target.failover.taken:target": FAILED,
        "target.birth.created:target+control": FAILED,
    }


def test_other_modules() -> None:
    """
    What another module runs is not counted.
    """
    passed = [report("tests/zfs/test_matrix.py::test_killed[control.begun.before:control]", "passed")]
    failed = [report("tests/faults/test_cancel.py::test_cancelled[control.begun.before:source]", "failed")]

    assert results_of(MODULE, passed, failed) == {}


def test_failed_at_the_end() -> None:
    """
    A cell whose cluster could not be taken down has failed.
    """
    test = f"{MODULE}::test_killed_at_a_birth[target.birth.created:target]"

    results = results_of(MODULE, [report(test, "passed")], [report(test, "failed", "teardown")])

    assert table(results).splitlines()[1].split() == ["target.birth.created", "-", "FAILED", "-", "-", "-", "-"]


@pytest.mark.parametrize("points", [FAILOVER_POINTS, BIRTH_POINTS])
def test_each_cell_has_its_day(monkeypatch: pytest.MonkeyPatch, points: tuple[Point, ...]) -> None:
    """
    One cell a day goes through all of them.
    """
    monkeypatch.setenv(WHICH_VARIABLE, "few")
    count = len(points) * len(OTHER_COLUMNS)
    names = set()
    for number in range(count):
        monkeypatch.setenv(DAY_VARIABLE, str(number))
        names |= {cell.name for cell in chosen_of_others(points)}

    assert len(names) == count
