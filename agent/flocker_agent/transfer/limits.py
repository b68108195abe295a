"""
How much of the host a transfer may take, and how long it waits.
"""

from __future__ import annotations

from flocker_py.records import Record, value

_NUMBER = (int, float)
_MIB = 1 << 20


def _positive(number: int | float) -> tuple[bool, str]:
    return number > 0, f"must be greater than zero, not {number}"


def _not_negative(number: int | float) -> tuple[bool, str]:
    return number >= 0, f"must not be negative, but is {number}"


class TransferLimits(Record):
    """
    How much of the host transfers may take, and how long they wait.

    :param receiving: transfers that a node takes at the same time; more are turned away, and try again.
    :param strangers: connections that have not yet said who they are and what they want.
    :param receive_buffer_bytes: what a receiver may hold in memory per transfer while its pool commits.
    :param reserve_bytes: room that stays free in the target's pool.
    :param silence_seconds: after which the other side is taken for dead.
    :param handshake_seconds: for connecting, TLS and the first words.
    """

    receiving: int = value(int, default=8, invariant=_positive)
    strangers: int = value(int, default=32, invariant=_positive)
    receive_buffer_bytes: int = value(int, default=64 * _MIB, invariant=_positive)
    reserve_bytes: int = value(int, default=16 * _MIB, invariant=_not_negative)
    silence_seconds: float = value(_NUMBER, default=30.0, invariant=_positive)
    handshake_seconds: float = value(_NUMBER, default=10.0, invariant=_positive)
