"""
The work on ports that containers on other nodes publish: when it looks, when it acts, and what it tells.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from pyrsistent import PMap, pmap, pvector
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from flocker_agent.failures import Failures
from flocker_agent.forward_work import LOOK_SECONDS, ForwardWork
from flocker_agent.forwarding.plan import (
    AcceptForwarded,
    AcceptNoMore,
    Family,
    ForwardChange,
    RemoveTable,
    ReplaceTable,
    Seen,
)
from flocker_agent.view import View
from flocker_py.assignment import Forward
from flocker_py.errors import FlockerError
from flocker_py.model import NodeId
from flocker_py.observed import FORWARDING, NodeObservation

NODE = NodeObservation(
    node_id=NodeId(UUID(int=1)),
    era=UUID(int=9),
    address="192.0.2.9",
    transfer_port=4525,
    version="0",
    storage="memory",
    runtime="memory",
)
WEB = pmap({"tcp/80": Forward(protocol="tcp", port=80, address="192.0.2.1", containers=pvector(["web"]))})
OTHER = pmap({"tcp/80": WEB["tcp/80"].set(address="192.0.2.2")})


class AtOnce:
    """
    Calls that block for no time.
    """

    async def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    def report(self, function: Callable[..., Any], *args: Any) -> None:
        function(*args)


class MemoryNetwork:
    """
    A host's network that is kept in memory.

    :ivar broken: why nothing can be done; None: it can.
    :ivar undone: somebody undoes at once whatever is done.
    """

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.looks = 0
        self.done: list[ForwardChange] = []
        self.broken: FlockerError | None = None
        self.undone = False
        self.forgotten = False
        self.closed = False

    def look(self, ports: frozenset[str]) -> Seen:
        self.looks += 1
        if self.broken is not None:
            raise self.broken
        return self.seen

    def perform(self, change: ForwardChange) -> str | None:
        self.done.append(change)
        match change:
            case ReplaceTable():
                table = str(len(self.done))
                self.seen = self.seen.set(table=None if self.undone else table)
                return table
            case RemoveTable():
                self.seen = self.seen.set(table=None)
            case AcceptForwarded():
                self.seen = self.seen.set(accepting=self.seen.accepting.append(change.family))
            case AcceptNoMore():
                self.seen = self.seen.set(accepting=self.seen.accepting.remove(change.family))
        return None

    def forget(self) -> None:
        self.forgotten = True

    def close(self) -> None:
        self.closed = True


class Working:
    """
    The work, with a host of its own that passes packets on.
    """

    def __init__(self, *, enabled: bool = True, **seen: Any) -> None:
        self.clock = Clock()
        self.network = MemoryNetwork(Seen(**{"routing": pvector(Family), **seen}))
        self.view = View(NODE)
        self.work = ForwardWork(
            network=self.network,
            enabled=enabled,
            failures=Failures(self.view, self.clock),
            blocking=AtOnce(),
            clock=self.clock,
            changed=lambda: None,
        )
        self.work.start()

    def asked(self, forwards: PMap[str, Forward]) -> list[ForwardChange]:
        """
        What is done when this is asked.
        """
        before = len(self.network.done)
        self.work.asked(forwards)
        return self.network.done[before:]

    @property
    def trouble(self) -> str:
        error = self.view.node.failures.get(FORWARDING)
        return "" if error is None else error.text


def addresses(changes: list[ForwardChange]) -> list[str]:
    return [change.rules.ipv4["tcp/80"] for change in changes if isinstance(change, ReplaceTable)]


def test_nothing_is_asked_yet() -> None:
    """
    Before anything is asked, what an earlier agent put in place is left as it is.
    """
    working = Working(table="earlier")

    assert (working.network.looks, working.network.done) == (0, [])


def test_asked() -> None:
    """
    What is asked is put in place at once, with what else it needs, and what is asked anew, too; the same again is
    nothing to do.
    """
    working = Working(dropping=pvector([Family.IPV4]))
    first, again, other, nothing = (working.asked(forwards) for forwards in (WEB, WEB, OTHER, pmap()))

    assert [addresses(first), addresses(again), addresses(other)] == [["192.0.2.1"], [], ["192.0.2.2"]]
    assert (first[1:], nothing) == (
        [AcceptForwarded(family=Family.IPV4)],
        [RemoveTable(), AcceptNoMore(family=Family.IPV4)],
    )


def test_looks_again() -> None:
    """
    What others change is found by the next look.
    """
    working = Working()
    working.asked(WEB)
    working.network.seen = working.network.seen.set(table="changed")
    before = len(working.network.done)
    working.clock.advance(LOOK_SECONDS)

    assert addresses(working.network.done[before:]) == ["192.0.2.1"]


def test_somebody_undoes_it() -> None:
    """
    Whoever undoes at once what is done does not keep the agent busy.
    """
    working = Working()
    working.network.undone = True
    working.asked(WEB)
    at_once = len(working.network.done)
    for _ in range(60):
        working.clock.advance(1.0)

    assert at_once <= 5
    assert len(working.network.done) - at_once <= 12


def test_error() -> None:
    """
    An error is told, and it is tried again, less and less often; but at once when something else is asked.
    """
    working = Working()
    working.network.broken = FlockerError("no nft")
    working.asked(WEB)
    told, looks = working.trouble, working.network.looks
    for _ in range(60):
        working.clock.advance(1.0)
    tries = working.network.looks - looks
    working.network.broken = None
    working.asked(OTHER)

    assert ("no nft" in told, 0 < tries <= 12) == (True, True)
    assert (addresses(working.network.done), working.trouble) == (["192.0.2.2"], "")


def test_trouble_that_ends() -> None:
    """
    A program that listens on a port is told of, and soon after it ended the port is led on.
    """
    working = Working(listening=pvector(["tcp/80"]))
    working.asked(WEB)
    told = working.trouble
    working.network.seen = working.network.seen.set(listening=pvector())
    working.clock.advance(1.0)

    assert ("end that program" in told, working.trouble, addresses(working.network.done)) == (True, "", ["192.0.2.1"])


@pytest.mark.parametrize("table", [None, "earlier"])
def test_disabled(table: str | None) -> None:
    """
    Where it is not enabled, what an earlier agent put in place is removed, which is then forgotten, and what is asked
    makes no difference.
    """
    working = Working(enabled=False, table=table)
    working.asked(WEB)
    working.clock.advance(10 * LOOK_SECONDS)

    assert working.network.done == ([] if table is None else [RemoveTable()])
    assert (working.network.forgotten, working.trouble) == (True, "")


def test_stop() -> None:
    """
    Ended, it leaves all in place, and lets another agent have the host.
    """
    working = Working()
    working.asked(WEB)
    before = len(working.network.done)
    Deferred.fromCoroutine(working.work.stop())

    assert (working.network.closed, len(working.network.done) - before) == (True, 0)
