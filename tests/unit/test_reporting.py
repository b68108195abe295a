"""
How the course of a deployment is shown.
"""

from __future__ import annotations

import io
import json
from uuid import UUID

import pytest
from pyrsistent import pvector
from rich.console import Console

from flocker_admin.convergence import Convergence, Item, Standing
from flocker_admin.reporting import Ending, JsonReport, LiveReport, MoveEnding, PlainReport, bar_text
from flocker_py.client.views import AppliedView, MoveView, PlanView, StepView
from flocker_py.model import DatasetId, NodeId

N1 = NodeId(UUID(int=1))
PLAN = PlanView(
    revision=1, steps=pvector([StepView(action="create", kind="dataset", name="pg", text="create volume pg on n1")])
)
MOVED = MoveEnding(
    name="pg",
    text="Move of pg from n1 to n2: done",
    move=MoveView(dataset_id=DatasetId(UUID(int=2)), source=N1, target=N1, outcome="done"),
)
END = Ending(outcome="converged", text="Everything is as the file says.", good=True, moves=pvector([MOVED]))


def progress(text: str, standing: Standing = Standing.WORKING, fraction: float | None = None) -> Convergence:
    stage = text.partition(",")[0]
    return Convergence(
        items=pvector([Item(kind="volume", name="pg", standing=standing, stage=stage, text=text, fraction=fraction)])
    )


class Clock:
    """
    Seconds that pass when told.
    """

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_plain_report_is_a_line_for_every_change(capsys: pytest.CaptureFixture[str]) -> None:
    """
    A stage is told once; its numbers again after some seconds.
    """
    clock = Clock()
    report = PlainReport(clock)
    report.plan(PLAN)
    report.applied(AppliedView(revision=2))
    for second, text in enumerate(
        ["copying, 1 %", "copying, 2 %", "copying, 3 %", "copying, 4 %", "copying, 5 %", "copying, 6 %"]
    ):
        clock.now = float(second)
        report.progress(progress(text))
    report.progress(progress("on n2", Standing.DONE))
    report.end(END)
    report.close()

    assert capsys.readouterr().out.splitlines() == [
        "1 change, planned on revision 1:",
        "  + create volume pg on n1",
        "Applied; the cluster is at revision 2.",
        "volume pg: copying, 1 %",
        "volume pg: copying, 6 %",
        "volume pg: on n2",
        "Move of pg from n1 to n2: done",
        "Everything is as the file says.",
    ]


def test_plain_report_tells_what_went_wrong_apart(capsys: pytest.CaptureFixture[str]) -> None:
    """
    Notes and a bad end go to standard error.
    """
    report = PlainReport(Clock())
    report.note("trying again")
    report.end(Ending(outcome="timeout", text="Not done after 1 s", good=False))

    assert capsys.readouterr().err.splitlines() == ["trying again", "Not done after 1 s"]


def test_json_report_is_an_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """
    Every event is a line, and progress only where it is news.
    """
    report = JsonReport()
    report.plan(PLAN)
    report.applied(AppliedView(revision=2))
    report.progress(progress("copying"))
    report.progress(progress("copying"))
    report.note("trying again")
    report.end(END)
    report.close()
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert [(event["event"], event.get("outcome")) for event in events] == [
        ("plan", None),
        ("applied", None),
        ("progress", None),
        ("note", None),
        ("end", "converged"),
    ]


def live() -> tuple[LiveReport, io.StringIO]:
    screen = io.StringIO()
    return LiveReport(Console(file=screen, force_terminal=True, width=100, color_system=None)), screen


def test_live_report_draws_a_table() -> None:
    """
    In a terminal everything is shown with a sign, and a transfer with a bar.
    """
    report, screen = live()
    report.plan(PLAN)
    report.applied(AppliedView(revision=2))
    report.progress(progress("copying, 50 %", fraction=0.5))
    report.note("trying again")
    report.end(END)
    shown = screen.getvalue()

    assert f"… volume pg {bar_text(0.5)} copying, 50 %" in shown


def test_live_report_gives_the_cursor_back() -> None:
    """
    However it ends, the terminal's cursor is shown again.
    """
    report, screen = live()
    report.progress(progress("copying"))
    report.close()

    assert screen.getvalue().rstrip().endswith("\x1b[?25h")


@pytest.mark.parametrize(("fraction", "full"), [(0.0, 0), (0.5, 12), (1.0, 24), (7.0, 24), (-1.0, 0)])
def test_bar_is_always_as_wide(fraction: float, full: int) -> None:
    """
    A bar is never wider than its frame.
    """
    assert bar_text(fraction) == "█" * full + "░" * (24 - full)
