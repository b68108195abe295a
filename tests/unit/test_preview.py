"""
A plan as its reader sees it.
"""

from __future__ import annotations

from pyrsistent import pvector

from flocker_admin.preview import plan_lines
from flocker_py.client.views import PlanView, StepView, UnmanagedView


def step(action: str, kind: str = "dataset", name: str = "pg") -> StepView:
    return StepView(action=action, kind=kind, name=name, text=f"{action} {name}")


def texts(plan: PlanView) -> list[str]:
    return [line.text for line in plan_lines(plan)]


def test_changes_then_what_stays_then_warnings() -> None:
    """
    A plan lists its changes in order, with a sign each, then what it leaves alone, then what to be careful of.
    """
    plan = PlanView(
        revision=7,
        steps=pvector([step("create"), step("move"), step("start", "container", "db"), step("delete", name="old")]),
        unmanaged=pvector(
            [UnmanagedView(kind="container", name="web", text="app web is in the cluster and not in the document")]
        ),
        warnings=pvector(["node n2 is away"]),
    )

    assert texts(plan) == [
        "4 changes, planned on revision 7:",
        "  + create pg",
        "  > move pg",
        "  + start db",
        "  - delete old",
        "Not in the file, and left as it is:",
        "    app web is in the cluster and not in the document",
        "Warning: node n2 is away",
    ]


def test_one_change_is_one() -> None:
    """
    One change is counted as one.
    """
    assert texts(PlanView(revision=1, steps=pvector([step("resize")])))[0] == "1 change, planned on revision 1:"


def test_nothing_to_change() -> None:
    """
    An empty plan says so.
    """
    assert texts(PlanView(revision=1)) == ["Nothing to change: everything is wanted as the file says."]


def test_action_of_a_newer_service() -> None:
    """
    What a newer service does that isn't known here is shown with a sign of its own.
    """
    plan = PlanView(revision=1, steps=pvector([step("fly", "balloon", "b")]))

    assert texts(plan)[1] == "  * fly b"
