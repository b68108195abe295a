"""
A plan as a user reads it, line by line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from flocker_py.client.views import PlanView
from flocker_py.records import Record, value

# Per action: its sign, and its style in a terminal. What is lost for ever stands out.
_SIGNS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "create": ("+", "green"),
        "start": ("+", "green"),
        "resize": ("~", "yellow"),
        "update": ("~", "yellow"),
        "restart": ("~", "yellow"),
        "name-node": ("~", "yellow"),
        "move": (">", "cyan"),
        "stop": ("-", "red"),
        "delete": ("-", "bold red"),
    }
)
_OTHER_SIGN = ("*", "default")


class Line(Record):
    """
    A line for a user.

    :param style: for a terminal that has styles; the text says it all without.
    """

    text: str = value(str)
    style: str = value(str, default="default")


def plan_lines(plan: PlanView) -> list[Line]:
    """
    What would change, then what stays though the file doesn't have it, then warnings.
    """
    return [*_step_lines(plan), *_unmanaged_lines(plan), *_warning_lines(plan)]


def _step_lines(plan: PlanView) -> Iterator[Line]:
    if not plan.steps:
        yield Line(text="Nothing to change: everything is wanted as the file says.")
        return
    count = len(plan.steps)
    yield Line(
        text=f"{count} {'change' if count == 1 else 'changes'}, planned on revision {plan.revision}:", style="bold"
    )
    for step in plan.steps:
        sign, style = _SIGNS.get(step.action, _OTHER_SIGN)
        yield Line(text=f"  {sign} {step.text}", style=style)


def _unmanaged_lines(plan: PlanView) -> Iterator[Line]:
    if plan.unmanaged:
        yield Line(text="Not in the file, and left as it is:", style="bold")
    for thing in plan.unmanaged:
        yield Line(text=f"    {thing.text}", style="dim")


def _warning_lines(plan: PlanView) -> Iterator[Line]:
    for warning in plan.warnings:
        yield Line(text=f"Warning: {warning}", style="bold yellow")
