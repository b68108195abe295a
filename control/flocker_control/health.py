"""
Whether containers are well, by their own checks.

=======================  ===================================================================
what is seen             what that means
=======================  ===================================================================
no check                 nothing: that it runs is enough
``healthy``              it is well
``starting``             not yet, and no longer than ``longest_starting_seconds``
``unhealthy``            it is not
a check, and no answer   as ``starting``: its runtime has not said anything yet
ended with status 0      it has done what it had to, and is not asked any more
ended otherwise          it is not well, if its definition has a check
=======================  ===================================================================
"""

from __future__ import annotations

from flocker_py.model import Container, HealthCheck
from flocker_py.observed import ContainerObservation, ContainerPhase, Health

MARGIN_SECONDS = 10.0
"""For a host that is busy: a check begins late, and its answer comes late."""


def is_checked(container: Container, seen: ContainerObservation) -> bool:
    """
    Whether somebody asks the container how it is: by its definition, or by what its image says.
    """
    return container.health is not None or seen.health is not Health.NONE


def is_unwell(container: Container, seen: ContainerObservation) -> bool:
    """
    Whether a container has a check that does not, or not yet, find it well.
    """
    if seen.phase is ContainerPhase.EXITED:
        return container.health is not None and seen.exit_status != 0
    return is_checked(container, seen) and seen.health is not Health.HEALTHY


def longest_starting_seconds(check: HealthCheck | None) -> float:
    """
    How long a check takes at the most to find an application either well or not.

    :param check: None: the image's own, of which nothing is known here. Docker's defaults are taken for it.
    """
    known = HealthCheck() if check is None else check
    one_seconds = known.interval_seconds + known.timeout_seconds
    # One more than ``retries``: the first that fails and counts may begin as late as a check after the start period,
    # since one that began before its end is waited for (moby, daemon/health.go: handleProbeResult).
    return known.start_period_seconds + (known.retries + 1) * one_seconds + MARGIN_SECONDS
