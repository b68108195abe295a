"""
Where a request is sent next.
"""

from __future__ import annotations

import pytest
from pyrsistent import pvector

from flocker_py.client.retrying import Failure, Patience, Try, next_try

PATIENCE = Patience(whole_seconds=10.0, pauses_seconds=[1.0, 2.0])


def lost(address: int) -> Failure:
    return Failure(address=address, arrived=True, lasting=False)


def refused(address: int) -> Failure:
    return Failure(address=address, arrived=False, lasting=False)


def untrusted(address: int) -> Failure:
    return Failure(address=address, arrived=False, lasting=True)


def after(*failures: Failure, addresses: int = 2, harmless: bool = True, elapsed_seconds: float = 0.0) -> Try | None:
    return next_try(failures, addresses, harmless=harmless, patience=PATIENCE, elapsed_seconds=elapsed_seconds)


def test_next_address() -> None:
    """
    After one address comes the next, at once.
    """
    assert after(refused(0)) == Try(address=1)


def test_round_begins_where_it_was_begun() -> None:
    """
    After the last address comes the first.
    """
    assert after(refused(1)) == Try(address=0)


def test_pause_between_rounds() -> None:
    """
    When all addresses were tried, there is a pause.
    """
    assert after(refused(1), refused(0)) == Try(address=1, pause_seconds=1.0)


def test_no_pause_within_a_round() -> None:
    """
    Within later rounds there is none.
    """
    assert after(refused(0), refused(1), refused(0)) == Try(address=1)


def test_longer_pauses() -> None:
    """
    Each pause is the one that comes next in the list.
    """
    assert after(refused(0), refused(0), addresses=1) == Try(address=0, pause_seconds=2.0)


def test_end_of_the_rounds() -> None:
    """
    After the last pause there is one more round.
    """
    assert after(*[refused(0)] * 3, addresses=1) is None


def test_end_of_the_time() -> None:
    """
    No try begins after the whole time.
    """
    assert after(refused(0), addresses=1, elapsed_seconds=9.0) is None


@pytest.mark.parametrize(("harmless", "expected"), [(True, Try(address=1)), (False, None)])
def test_what_may_have_arrived(harmless: bool, expected: Try | None) -> None:
    """
    What may have been done is asked again only if that does no harm.
    """
    assert after(lost(0), harmless=harmless) == expected


def test_what_never_arrived() -> None:
    """
    What never arrived is asked again in any case.
    """
    assert after(refused(0), harmless=False) == Try(address=1)


def test_hopeless_address() -> None:
    """
    An address that will never do is not tried again.
    """
    assert after(untrusted(0), refused(1)) == Try(address=1, pause_seconds=1.0)


def test_only_hopeless_addresses() -> None:
    """
    If all are such, that is the end.
    """
    assert after(untrusted(0), untrusted(1)) is None


def test_pauses_may_be_none() -> None:
    """
    Without pauses each address is tried once.
    """
    patience = Patience(pauses_seconds=pvector())

    assert next_try([refused(0)], 1, harmless=True, patience=patience, elapsed_seconds=0.0) is None
