"""
Telling an operator how a deployment goes: live in a terminal, line by line elsewhere, or as JSON.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import click
from pyrsistent import PVector
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from flocker_admin.convergence import Convergence, Item, Standing
from flocker_admin.preview import plan_lines
from flocker_py.client.views import AppliedView, MoveView, PlanView
from flocker_py.records import Record, sequence, value
from flocker_py.wire import TYPE_KEY, encode, json_text

_STYLES: Mapping[Standing, tuple[str, str]] = {
    Standing.DONE: ("✓", "green"),
    Standing.WORKING: ("…", "cyan"),
    Standing.TROUBLED: ("!", "yellow"),
    Standing.FAILED: ("✗", "bold red"),
}
_BAR_CELLS = 24
_NUMBERS_EVERY_SECONDS = 5.0
"""How often a line about the same stage is written where lines stay."""


class MoveEnding(Record):
    """
    A move that ended while it was watched.

    :param text: what it took, in a line.
    """

    name: str = value(str)
    text: str = value(str)
    move: MoveView = value(MoveView)


class Ending(Record):
    """
    How a deployment ended.

    :param outcome: one word for programs: ``planned``, ``applied``, ``converged``, ``failed``, ``timeout`` or
        ``interrupted``.
    :param good: all that was asked is done.
    """

    outcome: str = value(str)
    text: str = value(str)
    good: bool = value(bool)
    moves: PVector[MoveEnding] = sequence(MoveEnding, default=())


class Report(Protocol):
    """
    Where the course of a deployment is told.
    """

    def plan(self, plan: PlanView) -> None:
        """
        What would change.
        """
        ...

    def applied(self, applied: AppliedView) -> None:
        """
        It was applied.
        """
        ...

    def progress(self, convergence: Convergence) -> None:
        """
        How everything is doing now.
        """
        ...

    def note(self, text: str) -> None:
        """
        Something worth knowing.
        """
        ...

    def end(self, ending: Ending) -> None:
        """
        It is over.
        """
        ...

    def close(self) -> None:
        """
        Leave the terminal as it was, however it ended.
        """
        ...


class JsonReport:
    """
    One JSON object a line, on standard output.
    """

    def __init__(self) -> None:
        self._last: Convergence | None = None

    def plan(self, plan: PlanView) -> None:
        self._write("plan", **_plain(plan))

    def applied(self, applied: AppliedView) -> None:
        self._write("applied", **_plain(applied))

    def progress(self, convergence: Convergence) -> None:
        if convergence != self._last:
            self._last = convergence
            self._write("progress", done=convergence.done, **_plain(convergence))

    def note(self, text: str) -> None:
        self._write("note", text=text)

    def end(self, ending: Ending) -> None:
        self._write("end", **_plain(ending))

    def close(self) -> None:
        pass  # every line is whole

    def _write(self, event: str, **fields: Any) -> None:
        click.echo(json_text({"event": event, **fields}))


class PlainReport:
    """
    A line for everything that changes, on standard output.

    :param seconds: a clock.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._told: dict[tuple[str, str], tuple[str, float]] = {}

    def plan(self, plan: PlanView) -> None:
        for line in plan_lines(plan):
            click.echo(line.text)

    def applied(self, applied: AppliedView) -> None:
        click.echo(f"Applied; the cluster is at revision {applied.revision}.")

    def progress(self, convergence: Convergence) -> None:
        now = self._seconds()
        for item in convergence.items:
            key = (item.kind, item.name)
            stage, at = self._told.get(key, ("", 0.0))
            changed = item.stage != stage
            if changed or (
                item.standing is not Standing.DONE and item.text != item.stage and now - at >= _NUMBERS_EVERY_SECONDS
            ):
                self._told[key] = (item.stage, now)
                click.echo(item_text(item))

    def note(self, text: str) -> None:
        click.echo(text, err=True)

    def end(self, ending: Ending) -> None:
        for moved in ending.moves:
            click.echo(moved.text)
        click.echo(ending.text, err=not ending.good)

    def close(self) -> None:
        pass  # every line is whole


class LiveReport:
    """
    A table in a terminal, drawn again with every look.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None

    def plan(self, plan: PlanView) -> None:
        for line in plan_lines(plan):
            self._console.print(Text(line.text, style=line.style), soft_wrap=True)

    def applied(self, applied: AppliedView) -> None:
        self._console.print(Text(f"Applied; the cluster is at revision {applied.revision}.", style="bold"))

    def progress(self, convergence: Convergence) -> None:
        if self._live is None:
            # Refreshed by hand: its own thread would draw between two looks for nothing.
            self._live = Live(console=self._console, auto_refresh=False, vertical_overflow="visible")
            self._live.start()
        self._live.update(items_table(convergence), refresh=True)

    def note(self, text: str) -> None:
        self._console.print(Text(text, style="yellow"), soft_wrap=True)

    def end(self, ending: Ending) -> None:
        self.close()
        for moved in ending.moves:
            self._console.print(Text(moved.text, style="cyan"), soft_wrap=True)
        self._console.print(Text(ending.text, style="bold green" if ending.good else "bold red"), soft_wrap=True)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()


def report_for(seconds: Callable[[], float], *, as_json: bool) -> Report:
    """
    The kind of report that standard output is good for.

    :param seconds: a clock.
    """
    if as_json:
        return JsonReport()
    if sys.stdout.isatty():
        return LiveReport(Console())
    return PlainReport(seconds)


def items_table(convergence: Convergence) -> Table:
    """
    Everything and how it is doing, as a table with a bar for each transfer.
    """
    table = Table.grid(padding=(0, 1))
    for item in convergence.items:
        sign, style = _STYLES[item.standing]
        bar = Text(bar_text(item.fraction), style="cyan") if item.fraction is not None else Text("")
        table.add_row(Text(sign, style=style), Text(item.kind), Text(item.name, style="bold"), bar, Text(item.text))
    return table


def item_text(item: Item) -> str:
    """
    One thing and how it is doing, in a line.
    """
    return f"{item.kind} {item.name}: {item.text}"


def bar_text(fraction: float) -> str:
    """
    A bar of fixed width.

    :param fraction: 0 .. 1.
    """
    full = round(_BAR_CELLS * min(1.0, max(0.0, fraction)))
    return "█" * full + "░" * (_BAR_CELLS - full)


def _plain(record: Any) -> dict[str, Any]:
    return {name: found for name, found in encode(record).items() if name != TYPE_KEY}
