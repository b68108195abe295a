"""
Programs that take the other side for dead sooner, and try again sooner: for tests in which somebody has to notice that.
"""

from __future__ import annotations

from functools import partial


def be_impatient() -> None:
    """
    Seconds where there were tens of them. To be called before the program begins.
    """
    from flocker_agent import link as agents_link
    from flocker_agent import transfers
    from flocker_agent.transfer.limits import TransferLimits
    from flocker_control import standstill
    from flocker_py import link

    link.PING_SECONDS, link.SILENCE_SECONDS = 0.5, 3.0
    agents_link.LONGEST_DELAY_SECONDS, agents_link.CONNECT_SECONDS = 1.0, 3.0
    standstill.LONGEST_SECONDS = 5.0
    # The name under which the agent makes its limits.
    setattr(transfers, "TransferLimits", partial(TransferLimits, silence_seconds=3.0, handshake_seconds=3.0))  # noqa: B010
