"""
What went wrong, how often in a row, and how long to wait before the next try.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from flocker_agent.view import View
from flocker_agent.worker import LONGEST_WAIT_SECONDS, wait_seconds
from flocker_py import errors
from flocker_py.clock import Clock
from flocker_py.observed import ReportedError


class Failures:
    """
    Per dataset or container; shown to users through the view.

    :param clock: of the waiting.
    :param now_seconds: since the epoch of Unix; None: what the clock shows.
    """

    def __init__(self, view: View, clock: Clock, now_seconds: Callable[[], float] | None = None) -> None:
        self._view = view
        self._clock = clock
        self._now_seconds = clock.seconds if now_seconds is None else now_seconds
        self._in_a_row: dict[str, int] = {}
        self._due_seconds: dict[str, float] = {}

    def failed(
        self, key: UUID | str, error: BaseException, *, longest_wait_seconds: float = LONGEST_WAIT_SECONDS
    ) -> float:
        """
        Something went wrong. Answers in how many seconds to try again.
        """
        lasting = isinstance(error, errors.FlockerError) and error.lasting
        self._in_a_row[str(key)] = self._in_a_row.get(str(key), 0) + 1
        self.told(key, errors.code(error), errors.explanation(error), lasting=lasting)
        wait = min(wait_seconds(self._in_a_row[str(key)]), longest_wait_seconds)
        self._due_seconds[str(key)] = self._clock.seconds() + wait
        return wait

    def told(self, key: UUID | str, code: str, text: str, *, lasting: bool) -> None:
        """
        Something is wrong that trying again won't change.
        """
        error = ReportedError(
            code=code,
            text=text,
            at_seconds=self._now_seconds(),
            lasting=lasting,
            attempts=max(1, self._in_a_row.get(str(key), 0)),
        )
        self._view.failed(key, error)

    def still_to_wait_seconds(self, key: UUID | str) -> float:
        """
        Until the next try; 0: it may be tried.
        """
        due_seconds = self._due_seconds.get(str(key))
        # What has not failed is not waited for, wherever the clock began to count.
        return 0.0 if due_seconds is None else max(0.0, due_seconds - self._clock.seconds())

    def forgiven(self, key: UUID | str) -> None:
        """
        Something else is asked now: it may be tried at once.
        """
        self._in_a_row.pop(str(key), None)
        self._due_seconds.pop(str(key), None)

    def succeeded(self, key: UUID | str) -> None:
        """
        It went well.
        """
        self.forgiven(key)
        self._view.succeeded(key)
