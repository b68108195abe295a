"""
Leases of nodes, as the control service counts them.
"""

from __future__ import annotations

from uuid import UUID

import pytest

from flocker_control.leases import Leases
from flocker_py.leases import (
    DEFAULT_LEASE_SECONDS,
    FENCE_GRACE_SECONDS,
    FENCING_SECONDS,
    ends_at_seconds,
    expires_at_seconds,
    margin_seconds,
    renewal_seconds,
)
from flocker_py.model import Node, NodeId

NODE = Node(node_id=NodeId(UUID(int=1)), lease_seconds=20.0)
STARTED_SECONDS = 1000.0
# Of leases of 20 s: two thousandths of the 30 s until all is fenced, and the fencing itself, rounded up.
MARGIN_SECONDS = 10.1


def test_margin() -> None:
    """
    The margin covers the fencing and what two clocks differ by meanwhile.
    """
    assert margin_seconds(20.0) == pytest.approx(MARGIN_SECONDS)


def test_grace_is_part_of_fencing() -> None:
    """
    An application that ignores that it is asked to end is killed long before its node must be through.
    """
    assert 2 * FENCE_GRACE_SECONDS < FENCING_SECONDS


def test_agent_is_through_before_control_begins() -> None:
    """
    With clocks of one rate and an instant link, what is left of the margin is the fencing and a little.
    """
    sent_seconds = 50.0

    assert ends_at_seconds(sent_seconds, 20.0) + FENCING_SECONDS < expires_at_seconds(sent_seconds, 20.0)


@pytest.mark.parametrize(("lease_seconds", "again_seconds"), [(20.0, 4.0), (0.0, 1.0)])
def test_renewals(lease_seconds: float, again_seconds: float) -> None:
    """
    A lease is renewed five times in its length; who got none asks again in a second.
    """
    assert renewal_seconds(lease_seconds) == again_seconds


def leases(**fields: float) -> Leases:
    return Leases(started_at_seconds=STARTED_SECONDS, **fields)


def test_nothing_expires_just_after_a_start() -> None:
    """
    Who has just started takes it that a lease was granted at the last moment before.
    """
    expiry = STARTED_SECONDS + 20.0 + MARGIN_SECONDS

    assert not leases().has_expired(NODE, expiry - 0.01)
    assert leases().has_expired(NODE, expiry)


def test_node_that_never_had_a_lease() -> None:
    """
    Of a node that was never granted any, none has to be waited for.
    """
    assert leases().has_expired(NODE.set(lease_seconds=0.0), STARTED_SECONDS)


def test_renewal_puts_the_expiry_off() -> None:
    """
    The last renewal counts.
    """
    renewed = leases().renewed(NODE, 1005.0).renewed(NODE, 1100.0)

    assert renewed.expires_at_seconds(NODE) == pytest.approx(1100.0 + 20.0 + MARGIN_SECONDS)


def test_no_longer_lease_than_is_recorded() -> None:
    """
    A lease that would be longer than the one that is recorded waits until it is, since whoever starts after us knows
    only of what is recorded.
    """
    assert leases(lease_seconds=60.0).granted_seconds(NODE) == 20.0
    assert leases(lease_seconds=60.0).to_record(NODE, STARTED_SECONDS) == 60.0


def test_longer_lease_of_earlier_counts() -> None:
    """
    Shorter leases are granted at once, but a longer one from before the start may still be in force.
    """
    shorter = leases(lease_seconds=5.0).renewed(NODE, STARTED_SECONDS)

    assert shorter.granted_seconds(NODE) == 5.0
    assert shorter.expires_at_seconds(NODE) == pytest.approx(STARTED_SECONDS + 20.0 + MARGIN_SECONDS)
    assert shorter.to_record(NODE, STARTED_SECONDS + 30.0) == 20.0


def test_shorter_lease_is_recorded_in_the_end() -> None:
    """
    Once every lease of earlier has expired, the shorter one is recorded.
    """
    assert leases(lease_seconds=5.0).to_record(NODE, STARTED_SECONDS + 31.0) == 5.0


def test_default_is_stated_once() -> None:
    """
    Without another word leases are of the default length.
    """
    assert leases().lease_seconds == DEFAULT_LEASE_SECONDS
