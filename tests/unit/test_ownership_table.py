"""
The table in the docstring of the module that decides about ownership, from which the picture in the docs is drawn: its
columns *from* and *to* are what the rows do.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from flocker_control.ownership import TABLE, transition
from flocker_control.situation import Situation
from flocker_py.model import Move, MovePhase, Ownership
from tests.unit.test_ownership import APPLIES, FINAL, MOVE, STAYS, A, B

DRAWN = runpy.run_path(str(Path(__file__).parent.parent.parent / "docs/_ext/ownership_table.py"))
ROWS: dict[str, Any] = {row.name: row for row in DRAWN["rows"]()}
GUARDS = {name: guard for name, guard, _ in TABLE}
MOVING = {"move_id": MOVE, "source": A, "target": B, "started_at_seconds": 900.0}
SITUATIONS = {**{case: s for case, (_, s) in APPLIES.items()}, **STAYS}


def state(own: Ownership) -> str:
    """
    The state of an ownership, in the words of the table.
    """
    if own.destroyed:
        return "gone"
    if own.move is not None:
        return own.move.phase.value
    return "steady" if own.created else "new"


def target(before: Ownership, after: Ownership) -> str:
    """
    What the column *to* should say.
    """
    was, now = before.move, after.move
    if after.epoch != before.epoch:
        return f"{state(after)}, epoch + {after.epoch - before.epoch}"
    if state(after) != state(before):
        turned = was and now and (now.source, now.target) == (was.target, was.source)
        return f"{state(after)}, back" if turned else state(after)
    moved_on = was and now and (now.final_guid, after.from_stash) != (was.final_guid, before.from_stash)
    return f"{state(after)}, from there" if moved_on else "the same"


@pytest.mark.parametrize("case", APPLIES)
def test_leads_to(case: str) -> None:
    """
    A row leads to the state that its column says, and raises the epoch or turns the move around if that says so.
    """
    _, s = APPLIES[case]
    found = transition(s)

    assert found is not None
    assert target(s.ownership, found[1]) == ROWS[found[0]].target


def in_every_state(s: Situation) -> list[Situation]:
    """
    The same reports, whatever the state of the ownership is.
    """
    moves = (None, None, *(Move(**{**MOVING, "phase": phase}) for phase in MovePhase))
    return [s.set(ownership=s.ownership.set(created=n > 0, move=move)) for n, move in enumerate(moves)]


@pytest.mark.parametrize("name", ROWS)
def test_begins_in(name: str) -> None:
    """
    A row applies in each of the states that its column says; *any*: its guard doesn't look at the state.
    """
    cases = [s for row, s in APPLIES.values() if row == name]
    guard = GUARDS.get(name)
    if all(s.dataset.deleted for s in cases):
        tried = {"deleted"}
    elif guard is not None and all(guard(at) for s in cases for at in in_every_state(s)):
        tried = {"any"}
    else:
        tried = {state(s.ownership) for s in cases}

    assert tried == set(ROWS[name].origins)


def at_all_phases(s: Situation) -> list[Situation]:
    """
    The situation, and what it would be with its move elsewhere.
    """
    move = s.ownership.move
    if move is not None and move.failover:
        # There is no other: it begins behind the commit.
        return [s]
    if move is None:
        if s.ownership.handed_over:
            # What was handed over was made before.
            return [s]
        return [s, s.set(ownership=s.ownership.set(created=not s.ownership.created))]
    return [
        s.set(ownership=s.ownership.set(move=move.set(phase=phase, final_guid=move.final_guid or FINAL)))
        for phase in MovePhase
    ]


@pytest.mark.parametrize("case", SITUATIONS)
def test_begins_nowhere_else(case: str) -> None:
    """
    In no other state a row applies, whatever else there is.
    """
    found = {(row[0], state(s.ownership)) for s in at_all_phases(SITUATIONS[case]) if (row := transition(s))}

    for name, begins in found:
        assert ROWS[name].origins in {("any",), ("deleted",)} or begins in ROWS[name].origins
