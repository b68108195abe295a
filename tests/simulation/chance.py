"""
Everything that a seed decides.

Each decision has a name of its own (what it is about, and the how-manieth of its kind), and depends on the seed and
that name alone: leaving one fault out changes what follows from it, and nothing else. That is what lets a schedule be
shrunk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

from flocker_py.records import PVector, Record, sequence, value

T = TypeVar("T")
_SCALE = 1.0 / (1 << 64)

FAULTS = {
    "cut": 0.03,
    "delay": 0.05,
    "partition": 0.012,
    "kill": 0.012,
    "kill-in-call": 0.02,
    "kill-control": 0.008,
    "kill-before-persist": 0.03,
    "kill-before-announce": 0.04,
    "reboot": 0.004,
    "slow-call": 0.03,
    "late-answer": 0.02,
    "pool-full": 0.03,
    "pool-away": 0.01,
    "store-full": 0.04,
    "cut-stream": 0.1,
    "cut-copy": 0.5,
    "not-remembered": 0.25,
    "start-fails": 0.1,
    "not-well": 0.15,
    "unwell-later": 0.1,
    "slow-stop": 0.2,
    "slow-fetch": 0.4,
    "fetch-fails": 0.1,
    "ignores-term": 0.2,
    "engine-dies": 0.01,
    "engine-dies-at-work": 0.15,
    "application-dies": 0.01,
    "dies-before-answer": 0.02,
    "outrun": 0.05,
}
"""Each kind of fault, and how likely it is where it can happen, in a schedule that has this kind at all."""


class Schedule(Record):
    """
    What decides a run: the seed, and what is left of its choices.

    :param keep: the faults and wishes that happen, of those that the seed would choose; None: all of them.
    :param calm: every message and call takes the same time.
    :param steps: how long faults go on.
    """

    seed: int = value(int)
    keep: PVector[str] | None = value((PVector, type(None)), default=None)
    calm: bool = value(bool, default=False)
    steps: int = value(int, default=230)
    nodes: int | None = value((int, type(None)), default=None)
    failure: str = value(str, default="")
    notes: PVector[str] = sequence(str, default=())


class Chance:
    """
    The decisions of one schedule.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._key = schedule.seed.to_bytes(8, "big", signed=False)
        self._keep = None if schedule.keep is None else frozenset(schedule.keep)
        self._calm = schedule.calm
        self._named: Counter[str] = Counter()
        self.faults_on = False
        self.weight = 1.0
        self.chosen: list[str] = []
        self.opportunities = 0
        self.faults: Counter[str] = Counter()
        # Schedules differ in kind, not only in detail: each leaves some kinds of faults out, and has more or less of
        # the others. (Groce and others, "Swarm testing", ISSTA 2012.)
        strength = (0.3, 1.0, 1.0, 2.5)[int(self.draw("strength") * 4)]
        self._likely = {kind: likely * strength for kind, likely in FAULTS.items() if self.draw(f"has {kind}") < 0.6}

        # Whatever else is left out, something can go wrong at every step.
        self._likely.setdefault("kill", 0.3 * FAULTS["kill"])

    def draw(self, name: str) -> float:
        """
        A number from 0 up to 1, by its name.
        """
        digest = blake2b(name.encode(), digest_size=8, key=self._key).digest()
        return int.from_bytes(digest, "big") * _SCALE

    def pick(self, name: str, options: Sequence[T]) -> T:
        """
        One of several, by a name.
        """
        return options[int(self.draw(name) * len(options))]

    def numbered(self, name: str) -> str:
        """
        A name with its number: the first, second and so on of that name.
        """
        self._named[name] = number = self._named[name] + 1
        return f"{name} #{number}"

    def happens(self, kind: str, where: str) -> str | None:
        """
        Whether a fault happens here: its name, or None. Each question is an opportunity.
        """
        likely = self._likely.get(kind)
        if likely is None or not self.faults_on:
            return None
        self.opportunities += 1
        name = self.numbered(f"{kind} {where}")
        if self.draw(name) >= likely * self.weight or not self._kept(name):
            return None
        self.faults[kind] += 1
        self.chosen.append(name)
        return name

    def wished(self, name: str, likely: float) -> bool:
        """
        Whether a user asks for something now.
        """
        if self.draw(name) >= likely or not self._kept(name):
            return False
        self.chosen.append(name)
        return True

    def _kept(self, name: str) -> bool:
        return self._keep is None or name in self._keep

    def seconds(self, name: str, least: float, most: float) -> float:
        """
        How long something takes.
        """
        if self._calm:
            return least
        return least + (most - least) * self.draw(name)
