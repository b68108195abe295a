"""
The figures of a demonstration, for people and for programs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from rich import box
from rich.table import Table

from flocker_py.units import bytes_text, duration_text, rate_text


class MoveFigures(NamedTuple):
    """
    One move.

    :ivar sent_bytes: over all rounds.
    :ivar seconds: from the beginning of the first round until the ledger's volume was the other node's.
    :ivar seen_downtime_seconds: between two acknowledged records, as the witness saw it.
    :ivar control_downtime_seconds: as the control service saw it; None: it doesn't say.
    :ivar written_meanwhile: records that the ledger wrote on the old node while its data was copied.
    """

    source: str
    target: str
    sent_bytes: int
    rounds: int
    seconds: float
    seen_downtime_seconds: float
    control_downtime_seconds: float | None
    written_meanwhile: int


class Outcome(NamedTuple):
    """
    How a demonstration ended.

    :ivar complaints: what went wrong; none: nothing did.
    """

    backend: str
    moves: list[MoveFigures]
    acknowledged: int
    records: int
    complaints: list[str]


def moves_table(moves: list[MoveFigures], backend: str) -> Table:
    """
    A row for each move.
    """
    table = Table(title=f"Moves of a running application, on {backend}", box=box.SIMPLE_HEAD)
    table.add_column("move", no_wrap=True)
    for column in (
        "sent",
        "rounds",
        "took",
        "average\nrate",
        "app stood\nstill",
        "control\nsays",
        "records\nmeanwhile",
    ):
        table.add_column(column, justify="right", no_wrap=True)
    for move in moves:
        control_seconds = move.control_downtime_seconds
        table.add_row(
            f"{move.source} → {move.target}",
            bytes_text(move.sent_bytes),
            str(move.rounds),
            duration_text(move.seconds),
            rate_text(move.sent_bytes / move.seconds) if move.seconds > 0 else "",
            duration_text(move.seen_downtime_seconds),
            "" if control_seconds is None else duration_text(control_seconds),
            f"{move.written_meanwhile:,}",
        )
    return table


def verdict(outcome: Outcome) -> str:
    """
    The last line.
    """
    if outcome.complaints:
        more = f" (and {len(outcome.complaints) - 1} more)" if len(outcome.complaints) > 1 else ""
        return f"VERDICT: FAILED: {outcome.complaints[0]}{more}"
    return (
        f"VERDICT: {len(outcome.moves)} moves on {outcome.backend}, {outcome.acknowledged:,} records acknowledged, "
        f"each there once and in order: no record lost"
    )


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """
    All of it, for a file.
    """
    return {**outcome._asdict(), "moves": [move._asdict() for move in outcome.moves], "verdict": verdict(outcome)}
