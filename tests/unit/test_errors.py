"""
What a user reads of an error.
"""

from __future__ import annotations

from flocker_py.errors import FlockerError, code, explanation


class PoolFull(FlockerError):
    """
    There is not enough room in the pool.
    Free some.
    """


def test_ours() -> None:
    """
    Of ours: which thing, the fact and the remedy, in one line.
    """
    assert explanation(PoolFull("tank")) == "tank. There is not enough room in the pool. Free some."


def test_ours_without_a_thing() -> None:
    """
    Where nothing is named the error's name stands for it.
    """
    assert explanation(PoolFull()) == "PoolFull. There is not enough room in the pool. Free some."


def test_not_ours() -> None:
    """
    Of others: what kind of error it is, and what it says.
    """
    assert explanation(KeyError("x")) == "KeyError: 'x'"


def test_code() -> None:
    """
    The code of an error is the name of its class.
    """
    assert code(PoolFull("tank")) == "PoolFull"
