"""
What will happen, in the order of virtual time. One step is one event; time jumps to the next.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

from flocker_py.leases import CLOCK_DRIFT
from tests.simulation.chance import Chance


class Life:
    """
    From the start of a process to its end. What was due in it dies with it.
    """

    __slots__ = ("alive", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True


class Event:
    """
    Something that will happen, if its process still lives then.

    :param timer: somebody only waits for time to pass; an event otherwise is work under way.
    """

    __slots__ = ("act", "called_off", "label", "life", "timer")

    def __init__(self, label: str, life: Life, act: Callable[[], None], *, timer: bool) -> None:
        self.label = label
        self.life = life
        self.act = act
        self.timer = timer
        self.called_off = False

    def active(self) -> bool:
        """
        Whether it is still to come.
        """
        return not self.called_off and self.life.alive

    def cancel(self) -> None:
        """
        It won't happen.
        """
        self.called_off = True


class Scheduler:
    """
    Virtual time.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._number = 0
        self._heap: list[tuple[float, int, Event]] = []

    def put(self, seconds: float, label: str, life: Life, act: Callable[[], None], *, timer: bool = False) -> Event:
        """
        Something happens in so many seconds.
        """
        event = Event(label, life, act, timer=timer)
        self._number += 1
        heapq.heappush(self._heap, (self.now + seconds, self._number, event))
        return event

    def next(self) -> Event | None:
        """
        The next event; time is when it happens.
        """
        while self._heap:
            due, _, event = heapq.heappop(self._heap)
            if event.active():
                self.now = max(self.now, due)
                event.called_off = True
                return event
        return None

    def at_work(self) -> bool:
        """
        Whether anything is under way that does not merely wait for time to pass.
        """
        return any(not event.timer and event.active() for _, _, event in self._heap)


def clock_rate(chance: Chance, name: str, *, wrong: bool) -> float:
    """
    How fast somebody's clock runs.

    :param wrong: as wrong as it may be, in one direction or the other; or else it may be right.
    """
    rates = (1 - CLOCK_DRIFT, 1 + CLOCK_DRIFT)
    return chance.pick(f"{name} rate", rates if wrong else (1.0, 1.0, *rates))


class SkewedClock:
    """
    The clock of one process: it goes wrong by an offset, and a little too fast or too slow.
    """

    def __init__(self, scheduler: Scheduler, life: Life, *, offset_seconds: float, rate: float) -> None:
        self._scheduler = scheduler
        self._life = life
        self._offset_seconds = offset_seconds
        self._rate = rate

    def seconds(self) -> float:
        """
        What it shows.
        """
        return self._offset_seconds + self._scheduler.now * self._rate

    def lasts(self, seconds: float) -> float:
        """
        How long it really takes until it shows so much more.
        """
        return seconds / self._rate

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any) -> Event:  # Twisted's names
        """
        Call when it shows so much more.
        """
        # Time passes before a call, however little: what waits for a clock whose figures are rounded asks again.
        return self._scheduler.put(
            max(delay / self._rate, 1e-6), f"{self._life.name} timer", self._life, lambda: callable(*args), timer=True
        )
