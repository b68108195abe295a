"""
Two clocks, any delay: what a lease allows has ended before anybody takes it as expired.
"""

from __future__ import annotations

from fractions import Fraction
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from flocker_control.leases import Leases
from flocker_py.leases import (
    CLOCK_DRIFT,
    FENCING_SECONDS,
    LONGEST_LEASE_SECONDS,
    SHORTEST_LEASE_SECONDS,
    ends_at_seconds,
    expires_at_seconds,
)
from flocker_py.model import Node, NodeId

LENGTHS = st.floats(SHORTEST_LEASE_SECONDS, LONGEST_LEASE_SECONDS)
# In thousandths of a second, so that what is compared in the end differs by more than a float is off by.
TIMES = st.integers(0, 10**9).map(lambda number: number / 1000)
DELAYS = st.integers(0, 10**7).map(lambda number: number / 1000)
RATES = st.floats(1 - CLOCK_DRIFT, 1 + CLOCK_DRIFT)
NODE_ID = NodeId(UUID(int=1))


class Clock:
    """
    A clock that is off, in its rate by no more than is allowed, and in what it shows by anything.
    """

    def __init__(self, rate: float, offset_seconds: float) -> None:
        self.rate = Fraction(rate)
        self.offset_seconds = Fraction(offset_seconds)

    def shows(self, true_seconds: Fraction) -> float:
        return float(self.offset_seconds + true_seconds * self.rate)

    def true_seconds(self, shown_seconds: float) -> Fraction:
        return (Fraction(shown_seconds) - self.offset_seconds) / self.rate


CLOCKS = st.builds(Clock, RATES, TIMES)


@given(CLOCKS, CLOCKS, LENGTHS, TIMES, DELAYS)
def test_fenced_before_expired(
    agents: Clock, controls: Clock, lease_seconds: float, sent_seconds: float, delay_seconds: float
) -> None:
    """
    For all clocks within the bound and all delays on the link, the agent has fenced before control says expired.
    """
    sent, received = Fraction(sent_seconds), Fraction(sent_seconds) + Fraction(delay_seconds)

    through = agents.true_seconds(ends_at_seconds(agents.shows(sent), lease_seconds) + FENCING_SECONDS)
    expired = controls.true_seconds(expires_at_seconds(controls.shows(received), lease_seconds))

    assert through < expired


@given(
    CLOCKS,
    CLOCKS,
    st.lists(st.tuples(st.booleans(), LENGTHS, DELAYS, DELAYS), min_size=1, max_size=8),
    LENGTHS,
)
def test_restarts_and_other_lengths(
    agents: Clock, controls: Clock, steps: list[tuple[bool, float, float, float]], first_seconds: float
) -> None:
    """
    However often control is started anew, and with whatever length of leases: as long as the agent goes by any lease
    that it was ever granted, none is taken as expired.
    """
    now = Fraction(0)
    node = Node(node_id=NODE_ID, lease_seconds=0.0)
    leases = Leases(started_at_seconds=controls.shows(now), lease_seconds=first_seconds)
    ends: list[Fraction] = []
    for restarts, length_seconds, wait_seconds, delay_seconds in steps:
        now += Fraction(wait_seconds)
        if restarts:
            leases = Leases(started_at_seconds=controls.shows(now), lease_seconds=length_seconds)
        sent, now = now, now + Fraction(delay_seconds)
        shown = controls.shows(now)
        granted = leases.granted_seconds(node)
        if granted:
            leases = leases.renewed(node, shown)
            end = ends_at_seconds(agents.shows(sent), granted) + FENCING_SECONDS
            ends.append(agents.true_seconds(end))
        node = node.set(lease_seconds=leases.to_record(node, shown))

        expired = controls.true_seconds(leases.expires_at_seconds(node))
        assert all(end < expired or end <= now for end in ends)
