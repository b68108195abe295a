"""
A link between two programs that fails as it is told to: bytes are cut off, turned, delayed, held back or slowed down.

It knows nothing of what it carries, so with TLS above it, it can do what a network can do, and no more.
"""

from __future__ import annotations

import enum
import os
import random
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

# What a direction holds on its way when there is a delay. As much as a link of 100 MB/s and 200 ms, so that the delay
# alone doesn't slow it.
_UNDERWAY_BYTES = 20 << 20
# Otherwise as little as a router's queue: whoever writes feels a limited rate, and little is lost in a cut.
_QUEUE_BYTES = 64 << 10
_READ_BYTES = 64 << 10
_DEADLINE_SECONDS = 60.0


class Way(enum.Enum):
    """
    A direction: to the port that is relayed, or back to the caller.
    """

    THERE = "there"
    BACK = "back"


BOTH_WAYS = frozenset(Way)


class Failing(enum.Enum):
    """
    How a connection fails at a byte.
    """

    RESET = "reset"
    CLOSED = "closed"
    SILENT = "silent"
    TURNED = "turned"


@dataclass(frozen=True)
class Fault:
    """
    One connection's failure.

    :param way: which way the bytes go that are counted.
    :param at_byte: so many are still carried. With TURNED, the one after them comes through, with one bit turned.
    :param failing: RESET: both ends get a reset. CLOSED: both ends see an orderly end of what came before. SILENT:
        nothing is carried any more, either way, and nobody is told.
    :param bit: which one is turned.
    """

    way: Way
    at_byte: int
    failing: Failing
    bit: int = 0


def random_fault(chance: random.Random, sizes: dict[Way, int], failings: Sequence[Failing] = tuple(Failing)) -> Fault:
    """
    A fault anywhere in a connection, half of them among the first bytes and the last ones, where much is decided.

    :param sizes: how many bytes such a connection carries.
    """
    way = chance.choice(list(Way))
    size_bytes = max(1, sizes[way])
    where = chance.random()
    near = min(size_bytes, 6000)
    if where < 0.25:
        at_byte = chance.randrange(near)
    elif where < 0.5:
        at_byte = size_bytes - 1 - chance.randrange(near)
    else:
        at_byte = chance.randrange(size_bytes)
    return Fault(way=way, at_byte=at_byte, failing=chance.choice(list(failings)), bit=chance.randrange(8))


class Carried:
    """
    What a connection carried.

    :ivar failed: the fault that has come about, if any.
    """

    def __init__(self) -> None:
        self.bytes = dict.fromkeys(Way, 0)
        self.failed: Fault | None = None
        self.over = False


class _Flow:
    """
    One direction of a connection.
    """

    def __init__(self, way: Way, source: socket.socket, sink: socket.socket, faults: Iterable[Fault]) -> None:
        self.way = way
        self.source = source
        self.sink = sink
        self.faults = sorted((one for one in faults if one.way is way), key=lambda one: one.at_byte)
        self.underway: deque[tuple[float, memoryview]] = deque()
        self.underway_bytes = 0
        self.free_seconds = 0.0
        self.ended = False
        self.end_passed = False


class _Broken(Exception):
    """
    The connection is over at once.
    """


class _Connection:
    """
    One connection and its way through the relay. For the relay's thread.
    """

    def __init__(self, near: socket.socket, far: socket.socket, faults: Sequence[Fault], carried: Carried) -> None:
        self.ends = (near, far)
        self.flows = (_Flow(Way.THERE, near, far, faults), _Flow(Way.BACK, far, near, faults))
        self.carried = carried
        self.silent = False
        # Closed with something unread, a socket sends a reset after the end: it would be no orderly one.
        self.draining = False
        for end in self.ends:
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _QUEUE_BYTES)

    @property
    def over(self) -> bool:
        return all(flow.end_passed and (flow.ended or not self.draining) for flow in self.flows)

    @property
    def failed(self) -> bool:
        return self.silent or self.draining

    def fail(self, failing: Failing) -> None:
        match failing:
            case Failing.SILENT:
                self.silent = True
            case Failing.CLOSED:
                self.draining = True
                for flow in self.flows:
                    flow.underway.clear()
                    flow.underway_bytes = 0
                    flow.end_passed = True
                    # It may be gone already.
                    with suppress(OSError):
                        flow.sink.shutdown(socket.SHUT_WR)
            case _:
                raise _Broken

    def close(self, *, reset: bool) -> None:
        self.carried.over = True
        for end in self.ends:
            if reset:
                # No lingering: what is not sent is thrown away, and the other end gets a reset.
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.close()


class Relay:
    """
    Listens at a port of its own on loopback, and carries what comes to another.

    :param faults: of the connections to come, one entry each; further ones have none.
    :param delay_seconds: each way.
    :param bytes_per_second: each way; None: as fast as it goes.
    """

    def __init__(
        self,
        address: str,
        port: int,
        *,
        faults: Iterable[Sequence[Fault]] = (),
        delay_seconds: float = 0.0,
        bytes_per_second: int | None = None,
    ) -> None:
        self._target = (address, port)
        self._faults = deque(faults)
        self.delay_seconds = delay_seconds
        self.bytes_per_second = bytes_per_second
        self._held: frozenset[Way] = frozenset()
        self._cutting = False
        self._closed = False
        self._settled = threading.Event()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.carried: list[Carried] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        # Or the kernel takes in megabytes (net.ipv4.tcp_rmem), which no network does.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _QUEUE_BYTES)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, name=f"relay-to-{address}-{port}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """
        Break everything, and listen no more.
        """
        self._closed = True
        os.eventfd_write(self._wake, 1)
        self._thread.join(_DEADLINE_SECONDS)
        os.close(self._wake)

    def plan(self, *faults: Sequence[Fault]) -> None:
        """
        Have the next connections fail, one after the other; those that are planned already come no more.
        """
        self._faults = deque(faults)

    def hold(self, ways: Iterable[Way] = BOTH_WAYS) -> None:
        """
        Carry nothing any more, not even that a connection ends; and if anything is held, let nobody in. What is on its
        way stays there.
        """
        self._held = frozenset(ways)
        self._settle()

    def heal(self) -> None:
        """
        Carry everything again, and what was held back first.
        """
        self.hold(())

    def cut(self) -> None:
        """
        Reset all connections that there are.
        """
        self._cutting = True
        self._settle()

    def _settle(self) -> None:
        # So that what the caller does next comes after it.
        self._settled.clear()
        os.eventfd_write(self._wake, 1)
        self._settled.wait(_DEADLINE_SECONDS)

    # -- in the thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        connections: list[_Connection] = []
        try:
            while not self._closed:
                self._note_orders(connections)
                self._wait(connections)
                if not self._held:
                    connections += self._callers()
                for connection in [one for one in connections if not one.silent]:
                    try:
                        for flow in connection.flows:
                            self._carry(connection, flow)
                    except (_Broken, OSError):
                        connection.close(reset=True)
                        connections.remove(connection)
                        continue
                    if connection.over:
                        connection.close(reset=False)
                        connections.remove(connection)
        finally:
            for connection in connections:
                connection.close(reset=True)
            self._listener.close()
            self._settled.set()

    def _note_orders(self, connections: list[_Connection]) -> None:
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            return
        if self._cutting:
            self._cutting = False
            for connection in connections:
                connection.close(reset=True)
            connections.clear()
        self._settled.set()

    def _wait(self, connections: Sequence[_Connection]) -> None:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if not self._held:
            poll.register(self._listener, select.POLLIN)
        now = time.monotonic()
        due_seconds: list[float] = []
        interest: dict[int, int] = {}
        for flow in (flow for one in connections if not one.silent for flow in one.flows):
            if flow.way in self._held:
                continue
            if not flow.ended and flow.underway_bytes < self._room_bytes():
                number = flow.source.fileno()
                interest[number] = interest.get(number, 0) | select.POLLIN
            if flow.underway:
                if flow.underway[0][0] > now:
                    due_seconds.append(flow.underway[0][0] - now)
                else:
                    number = flow.sink.fileno()
                    interest[number] = interest.get(number, 0) | select.POLLOUT
        for number, events in interest.items():
            poll.register(number, events)
        # Rounded up: to wake a moment too early is to be busy until then.
        poll.poll(min(due_seconds) * 1000 + 1 if due_seconds else None)

    def _room_bytes(self) -> int:
        return _UNDERWAY_BYTES if self.delay_seconds and self.bytes_per_second is None else _QUEUE_BYTES

    def _callers(self) -> list[_Connection]:
        try:
            near, _ = self._listener.accept()
        except BlockingIOError:
            return []
        faults = self._faults.popleft() if self._faults else ()
        try:
            far = socket.create_connection(self._target, timeout=5.0)
        except OSError:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            near.close()
            return []
        carried = Carried()
        self.carried.append(carried)
        return [_Connection(near, far, faults, carried)]

    def _carry(self, connection: _Connection, flow: _Flow) -> None:
        if flow.way in self._held or connection.silent:
            return
        if not flow.ended and flow.underway_bytes < self._room_bytes():
            self._take(connection, flow)
        if connection.draining:
            flow.underway.clear()
            flow.underway_bytes = 0
            return
        now = time.monotonic()
        while flow.underway and flow.underway[0][0] <= now:
            due, data = flow.underway.popleft()
            flow.underway_bytes -= len(data)
            rest = self._given(connection, flow, data)
            if connection.failed:
                return
            if rest:
                flow.underway.appendleft((due, rest))
                flow.underway_bytes += len(rest)
                return
        if flow.ended and not flow.underway and not flow.end_passed:
            flow.end_passed = True
            flow.sink.shutdown(socket.SHUT_WR)

    def _take(self, connection: _Connection, flow: _Flow) -> None:
        rate = self.bytes_per_second
        try:
            data = flow.source.recv(_READ_BYTES if rate is None else max(512, min(_READ_BYTES, rate // 50)))
        except BlockingIOError:
            return
        except OSError:
            if not connection.draining:
                raise
            data = b""
        if not data:
            flow.ended = True
            return
        begin = max(time.monotonic(), flow.free_seconds)
        flow.free_seconds = begin if rate is None else begin + len(data) / rate
        flow.underway.append((flow.free_seconds + self.delay_seconds, memoryview(data)))
        flow.underway_bytes += len(data)

    def _given(self, connection: _Connection, flow: _Flow, data: memoryview) -> memoryview:
        """
        Give on what is due, and answer with what could not be given yet.
        """
        carried = connection.carried.bytes
        while data:
            part = data
            if flow.faults:
                fault, left_bytes = flow.faults[0], flow.faults[0].at_byte - carried[flow.way]
                if left_bytes <= 0:
                    connection.carried.failed = flow.faults.pop(0)
                    if fault.failing is not Failing.TURNED:
                        connection.fail(fault.failing)
                        return data
                    data = memoryview(bytes([data[0] ^ 1 << fault.bit]) + data[1:])
                    continue
                part = data[:left_bytes]
            try:
                sent = flow.sink.send(part)
            except BlockingIOError:
                return data
            carried[flow.way] += sent
            data = data[sent:]
        return data
