"""
How a sender is doing, told once a second and at every turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from flocker_agent.rounds import Outlook
from flocker_py.model import Guid, MoveId
from flocker_py.observed import SendProgress, SendVerdict

_EVERY_SECONDS = 1.0
# Rates are taken over so much time: long enough to be readable, short enough to follow.
_WINDOW_SECONDS = 5.0


class Progress:
    """
    The figures of one session. For one thread.

    :param tell: gets a record once a second while there is news, and at every turn.
    """

    def __init__(self, move_id: MoveId, clock: Callable[[], float], tell: Callable[[SendProgress], None]) -> None:
        self._move_id = move_id
        self._clock = clock
        self._tell = tell
        self._round = 0
        self._round_bytes = 0
        self._total_bytes = 0
        self._sent_bytes = 0
        self._in_round = False
        self._rate = 0.0
        self._samples: deque[tuple[float, int]] = deque()
        self._outlook = Outlook(verdict=SendVerdict.CATCHING_UP)
        self._told: SendProgress | None = None
        self._told_seconds = clock()
        self.acknowledged_guid: Guid | None = None

    def began_round(self, estimate_bytes: int) -> None:
        """
        A stream begins.
        """
        self._round += 1
        self._round_bytes = 0
        self._total_bytes = estimate_bytes
        self._in_round = True
        self._samples.clear()
        self._samples.append((self._clock(), 0))
        self.tell_if_due()

    def sent(self, size_bytes: int) -> None:
        """
        A piece of it was sent.
        """
        self._round_bytes += size_bytes
        self._sent_bytes += size_bytes

    def acknowledged(self, guid: Guid) -> None:
        """
        The target has re-read a snapshot from its own pool.
        """
        if self._in_round:
            self._sample(self._clock())
        self._in_round = False
        self._total_bytes = self._round_bytes
        self.acknowledged_guid = guid
        self.tell()

    def judged(self, outlook: Outlook) -> None:
        """
        There is another outlook on the cut-over.
        """
        turned = outlook.verdict is not self._outlook.verdict
        self._outlook = outlook
        if turned:
            self.tell()

    def tell_if_due(self) -> None:
        """
        Tell, if there is news and the last was a second ago.
        """
        if self._clock() - self._told_seconds >= _EVERY_SECONDS:
            self.tell()

    def ended(self) -> None:
        """
        The session is over, perhaps in the middle of a round: what was sent last counts, too.
        """
        if self._round:
            self.tell()

    def tell(self) -> None:
        """
        Tell now, if there is news.
        """
        now = self._clock()
        if self._in_round:
            self._sample(now)
        left_bytes = max(0, self._total_bytes - self._round_bytes)
        progress = SendProgress(
            move_id=self._move_id,
            round=max(1, self._round),
            round_bytes=self._round_bytes,
            total_bytes=max(self._total_bytes, self._round_bytes),
            sent_bytes=self._sent_bytes,
            rate_bytes_per_second=self._rate,
            eta_seconds=left_bytes / self._rate if self._rate > 0 else None,
            predicted_downtime_seconds=self._outlook.predicted_downtime_seconds,
            acknowledged_guid=self.acknowledged_guid,
            verdict=self._outlook.verdict,
        )
        self._told_seconds = now
        if progress != self._told:
            self._told = progress
            self._tell(progress)

    def _sample(self, now: float) -> None:
        samples = self._samples
        while len(samples) > 1 and samples[1][0] <= now - _WINDOW_SECONDS:
            samples.popleft()
        since_seconds, since_bytes = samples[0]
        if now > since_seconds:
            self._rate = (self._round_bytes - since_bytes) / (now - since_seconds)
        samples.append((now, self._round_bytes))
