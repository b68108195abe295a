"""
How long something that went wrong is waited for.
"""

from __future__ import annotations

from uuid import UUID

import pytest
from twisted.internet.task import Clock

from flocker_agent.failures import Failures
from flocker_agent.view import View
from flocker_py.model import NodeId
from flocker_py.observed import NodeObservation
from flocker_py.storage import StorageError


def failures(clock: Clock) -> Failures:
    node = NodeObservation(
        node_id=NodeId(UUID(int=1)),
        era=UUID(int=9),
        address="192.0.2.1",
        transfer_port=4525,
        version="1",
        storage="memory",
        runtime="memory",
    )
    return Failures(View(node), clock)


def test_what_never_failed_is_not_waited_for() -> None:
    """
    Also where the clock began to count long before 0.
    """
    clock = Clock()
    clock.advance(-500.0)

    assert failures(clock).still_to_wait_seconds("db") == 0


def test_what_failed_is_waited_for() -> None:
    """
    What failed is tried again after a while, and after a longer one if it fails again.
    """
    clock = Clock()
    clock.advance(-500.0)
    known = failures(clock)

    waits = [known.failed("db", StorageError("no")), known.failed("db", StorageError("no"))]
    clock.advance(waits[0])

    assert 0 < waits[0] < waits[1]
    assert known.still_to_wait_seconds("db") == pytest.approx(waits[1] - waits[0])
    known.forgiven("db")
    assert known.still_to_wait_seconds("db") == 0
