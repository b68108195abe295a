"""
When an application that ended is started again, and after which wait.

=============  =========================  ===========================
policy         ended with status 0        ended otherwise
=============  =========================  ===========================
never          stays ended                stays ended
always         starts again               starts again
on-failure     stays ended                starts again, up to a limit
=============  =========================  ===========================

Loaded by every supervisor: it imports nothing.
"""

from __future__ import annotations

NEVER = "never"
ALWAYS = "always"
ON_FAILURE = "on-failure"

FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 10.0
# An application that ran so long is taken to have started well, and its next end is the first of a new row.
SETTLED_SECONDS = 10.0


def starts_again(policy: str, maximum_retry_count: int | None, *, exit_status: int, restarts: int) -> bool:
    """
    Whether an application that ended by itself is started again.

    :param maximum_retry_count: of ``on-failure``; None: no limit.
    :param exit_status: negative: the signal that ended it.
    :param restarts: how often it was started again so far.
    """
    if policy == ALWAYS:
        return True
    if policy != ON_FAILURE or exit_status == 0:
        return False
    return maximum_retry_count is None or restarts < maximum_retry_count


def next_wait_seconds(last_wait_seconds: float, *, ran_seconds: float) -> float:
    """
    How long to wait before starting an application again.

    :param last_wait_seconds: before the run that just ended; 0 if it was the first.
    :param ran_seconds: how long that run took.
    """
    if last_wait_seconds == 0 or ran_seconds >= SETTLED_SECONDS:
        return FIRST_WAIT_SECONDS
    return min(2 * last_wait_seconds, LONGEST_WAIT_SECONDS)
