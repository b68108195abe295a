"""
What schedules went through: how many steps, which faults in which phase of a move, and how moves ended.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flocker_py.model import Ownership

LEAST_OPPORTUNITIES = 220
"""How often something can go wrong in every schedule, at least."""

PHASES = ("none", "copying", "releasing", "final", "taking")


class Figures:
    """
    Sums over one schedule, or many.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.pairs: Counter[tuple[str, str]] = Counter()
        self.moves: Counter[str] = Counter()
        self.least_opportunities = -1

    def transition(self, was: Ownership, now: Ownership) -> None:
        """
        An ownership has changed.
        """
        if now.move is not None and (was.move is None or was.move.phase is not now.move.phase):
            self.moves[f"reached {now.move.phase.value}"] += 1
        if now.last_move is not None and now.last_move != was.last_move:
            self.moves[f"ended {now.last_move.outcome.value}"] += 1
        if now.move is not None and now.move.failover and was.owner != now.owner:
            self.moves["failed over"] += 1
        if now.move is not None and now.move.returns and (was.move is None or not was.move.returns):
            self.moves["went back"] += 1
        if was.deposed and len(now.deposed) < len(was.deposed):
            self.moves["put aside on a deposed node"] += 1
        if now.destroyed and not was.destroyed:
            self.moves["datasets deleted"] += 1

    def add(self, other: Figures) -> None:
        """
        Another schedule was run.
        """
        self.counts += other.counts
        self.faults += other.faults
        self.pairs += other.pairs
        self.moves += other.moves
        if other.least_opportunities >= 0:
            known = self.least_opportunities
            self.least_opportunities = other.least_opportunities if known < 0 else min(known, other.least_opportunities)

    def table(self) -> str:
        """
        All of it, for people.
        """
        lines = [f"{self.counts[name]:>12,} {name}" for name in sorted(self.counts)]
        lines.append(f"{self.least_opportunities:>12,} fault opportunities in the schedule that had the fewest")
        lines.append("")
        lines += [f"{number:>12,} moves: {name}" for name, number in sorted(self.moves.items())]
        lines.append("")
        lines.append(f"{'faults, by the phase of a move':<32}" + "".join(f"{phase:>11}" for phase in PHASES))
        for kind, number in sorted(self.faults.items()):
            cells = "".join(f"{self.pairs[kind, phase]:>11,}" for phase in PHASES)
            lines.append(f"{kind:<22}{number:>10,}{cells}")
        return "\n".join(lines)
