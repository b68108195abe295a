"""
Which address a request is sent to next, after what came of it so far.

==========================================  ================================  =========================================
what came of the last try                   doing it twice does no harm       it may do harm
==========================================  ================================  =========================================
it certainly never arrived                  the next address                  the next address
it may have arrived                         the next address                  the end: the caller has to find out
that address will never do                  the same, without that address    the same, without that address
==========================================  ================================  =========================================

After each round over all addresses there is a pause, each longer than the one before; after the last of them there is
one more round.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyrsistent import PVector

from flocker_py.records import Record, sequence, value


class Patience(Record):
    """
    How long a request is waited for.

    :param connect_seconds: for a connection to one address.
    :param answer_seconds: for the answer of one try, and once more for the rest of its body.
    :param silence_seconds: for a sign of life in a stream of events, where there is one every 15 seconds.
    :param whole_seconds: no try begins later, and none lasts much longer.
    :param pauses_seconds: between the rounds over all addresses. One second and a half in all: enough for a control
        service that is being restarted, not enough to annoy.
    """

    connect_seconds: float = value((float, int), default=10.0)
    answer_seconds: float = value((float, int), default=30.0)
    silence_seconds: float = value((float, int), default=60.0)
    whole_seconds: float = value((float, int), default=60.0)
    pauses_seconds: PVector[float] = sequence((float, int), default=(0.1, 0.4, 1.0))


class Failure(Record):
    """
    What came of a try.

    :param address: its number.
    :param arrived: the request may have been done all the same.
    :param lasting: it will be the same there, however often it is tried.
    """

    address: int = value(int)
    arrived: bool = value(bool)
    lasting: bool = value(bool)


class Try(Record):
    """
    What to do next.
    """

    address: int = value(int)
    pause_seconds: float = value((float, int), default=0.0)


def next_try(
    failures: Sequence[Failure], addresses: int, *, harmless: bool, patience: Patience, elapsed_seconds: float
) -> Try | None:
    """
    Where to try next; None: nowhere.

    :param failures: all tries so far, at least one. The first was at the address that is preferred.
    :param addresses: how many there are.
    :param harmless: doing it twice does no harm.
    :param elapsed_seconds: since the first try began.
    """
    if failures[-1].arrived and not harmless:
        return None
    hopeless = {failure.address for failure in failures if failure.lasting}
    first = failures[0].address
    order = [(first + step) % addresses for step in range(addresses)]
    left = [address for address in order if address not in hopeless]
    if not left:
        return None
    tries = {address: sum(failure.address == address for failure in failures) for address in left}
    address = min(left, key=lambda each: tries[each])
    rounds = tries[address]
    if rounds == 0 or rounds < max(tries.values()):
        pause_seconds = 0.0
    elif rounds <= len(patience.pauses_seconds):
        pause_seconds = patience.pauses_seconds[rounds - 1]
    else:
        return None
    if elapsed_seconds + pause_seconds >= patience.whole_seconds:
        return None
    return Try(address=address, pause_seconds=pause_seconds)
