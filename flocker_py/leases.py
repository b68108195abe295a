"""
The lease of a node: until when it may serve datasets whose policy says ``on_partition: fence``, and when the control
service may act as if it no longer does. Two clocks, which never compare what they show, only how long something takes.

==========  ==========================================  ===================================================
who         begins to count                             and is through
==========  ==========================================  ===================================================
the agent   when it SENDS the request that is answered  after ``lease_seconds``; ``FENCING_SECONDS`` later
                                                        nothing of what is fenced runs any more
control     when it RECEIVES that request, thus later   after ``lease_seconds`` + ``margin_seconds``: expired
==========  ==========================================  ===================================================

How long the request or its answer is on the way makes no difference: the agent's count begins before control's. What is
left is that clocks run at different rates. Where neither is off by more than ``CLOCK_DRIFT``, the agent is through at
most ``(lease + fencing) / (1 - drift)`` after it sent, and control takes the lease as expired at least
``(lease + margin) / (1 + drift)`` after it received; the margin is what makes the second no smaller than the first.
"""

from __future__ import annotations

import math

DEFAULT_LEASE_SECONDS = 20.0
SHORTEST_LEASE_SECONDS = 1.0
LONGEST_LEASE_SECONDS = 3600.0

CLOCK_DRIFT = 0.001
"""
By which part a clock may run too fast or too slow. Crystals are off by 0.0001, and adjtimex(2) corrects by at most
0.0005: ten times and twice as much.
"""

FENCE_GRACE_SECONDS = 2.0
"""Between asking an application to end because the lease did, and killing it."""

FENCING_SECONDS = 10.0
"""
From the end of a lease until nothing fenced runs any more, at most: up to a second until it is noticed, the grace
period, and the rest for the kernel to kill and unmount on a busy host.
"""

RENEWALS = 5
"""How often in its length a lease is renewed."""


def margin_seconds(lease_seconds: float) -> float:
    """
    How long control waits beyond the length of a lease; rounded up to a tenth of a second.
    """
    exact = (lease_seconds + FENCING_SECONDS) * (1 + CLOCK_DRIFT) / (1 - CLOCK_DRIFT) - lease_seconds
    return math.floor(exact * 10 + 1) / 10


def ends_at_seconds(sent_at_seconds: float, lease_seconds: float) -> float:
    """
    Until when an agent may go by a lease, by the clock that showed ``sent_at_seconds`` before it sent its request.
    """
    return sent_at_seconds + lease_seconds


def expires_at_seconds(received_at_seconds: float, lease_seconds: float) -> float:
    """
    When control may take a lease as expired, by the clock that showed ``received_at_seconds`` when the request came.
    """
    return received_at_seconds + lease_seconds + margin_seconds(lease_seconds)


def renewal_seconds(lease_seconds: float) -> float:
    """
    After how long an agent asks for the next lease. One that was granted none asks again in a second.
    """
    return lease_seconds / RENEWALS if lease_seconds > 0 else 1.0
