"""
From a schedule that fails to a shorter one that fails in the same way.

Each fault and each wish has a name, and happens or doesn't whatever else does; so what is left out changes only what
follows from it. Delta debugging (Zeller and Hildebrandt, 2002) over the list of those that happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from pyrsistent import pvector

from tests.simulation.chance import Schedule
from tests.simulation.schedule import Outcome, bury, run


def shrunk(
    outcome: Outcome, *, seconds: float = 60.0, attempt: Callable[[Schedule], Outcome] = run
) -> tuple[Schedule, int]:
    """
    The schedule with as little in it as could be found in so many seconds, and how many schedules that took.
    """
    if outcome.broken is None:
        return outcome.schedule, 0
    rule = outcome.broken.rule
    deadline = time.monotonic() + seconds
    tries = 0

    def fails(schedule: Schedule) -> bool:
        nonlocal tries
        tries += 1
        tried = attempt(schedule)
        same = tried.broken is not None and tried.broken.rule == rule
        bury(tried)
        return same

    best = outcome.schedule.set(keep=pvector(outcome.world.chance.chosen), failure=rule)
    if not fails(best):
        # Without the rule that goes on until there were opportunities enough, it ends before it fails.
        best = best.set(steps=outcome.world.steps)
    if fails(best.set(calm=True)):
        best = best.set(calm=True)
    kept: Sequence[str] = list(best.keep or ())
    pieces = 2
    while len(kept) > 0 and time.monotonic() < deadline:
        size = max(1, len(kept) // pieces)
        for start in range(0, len(kept), size):
            fewer = [*kept[:start], *kept[start + size :]]
            if fails(best.set(keep=pvector(fewer))):
                kept, pieces = fewer, max(2, pieces - 1)
                best = best.set(keep=pvector(kept))
                break
        else:
            if size == 1:
                break
            pieces = min(len(kept), pieces * 2)
    for steps in (10, 25, 50, 100, 150, 200):
        if steps < best.steps and time.monotonic() < deadline and fails(best.set(steps=steps)):
            return best.set(steps=steps), tries
    return best, tries
