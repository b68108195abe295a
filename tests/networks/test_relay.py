"""
The link that fails on demand: what tests of networks rely on.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.relay import Failing, Fault, Relay, Way

CONTENT = bytes(range(256)) * 1024
SECONDS = 60.0
"""Until something comes that must."""
A_MOMENT_SECONDS = 0.3
"""In which nothing comes that must not."""


class Echo:
    """
    A port that sends back what comes.
    """

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.ends: list[str] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def _echo(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
            except OSError:
                self.ends.append("reset")
            else:
                self.ends.append("closed")


@pytest.fixture
def echo() -> Iterator[Echo]:
    echo = Echo()
    yield echo
    echo.listener.close()


def heard(relay: Relay, content: bytes = CONTENT) -> tuple[bytes, str]:
    """
    What comes back, and how it ends.
    """
    got = bytearray()
    with socket.create_connection(("127.0.0.1", relay.port), timeout=SECONDS) as caller:

        def send() -> None:
            try:
                caller.sendall(content)
                caller.shutdown(socket.SHUT_WR)
            except OSError:
                pass

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        try:
            while data := caller.recv(65536):
                got += data
        except ConnectionError:
            return bytes(got), "reset"
        thread.join()
    return bytes(got), "closed"


def test_everything_comes_through(echo: Echo) -> None:
    """
    A relay that is told nothing changes nothing.
    """
    with Relay("127.0.0.1", echo.port) as relay:
        result = heard(relay)

    assert result == (CONTENT, "closed")


@pytest.mark.parametrize("way", list(Way))
@pytest.mark.parametrize("at_byte", [0, 1, 65536, 200_001])
def test_cut(echo: Echo, way: Way, at_byte: int) -> None:
    """
    Exactly the bytes before the cut come through, whichever way they go, and then an orderly end.
    """
    with Relay("127.0.0.1", echo.port, faults=[[Fault(way, at_byte, Failing.CLOSED)]]) as relay:
        got, end = heard(relay)
        there, back = relay.carried[0].bytes[Way.THERE], relay.carried[0].bytes[Way.BACK]
        healthy = heard(relay)

    assert (got == CONTENT[:back], end, (there if way is Way.THERE else back), healthy) == (
        True,
        "closed",
        at_byte,
        (CONTENT, "closed"),
    )


def test_reset(echo: Echo) -> None:
    """
    A reset is seen as one on both ends.
    """
    with Relay("127.0.0.1", echo.port, faults=[[Fault(Way.THERE, 70_000, Failing.RESET)]]) as relay:
        _, end = heard(relay)
        deadline = time.monotonic() + SECONDS
        while not echo.ends and time.monotonic() < deadline:
            time.sleep(0.01)

    assert (end, echo.ends) == ("reset", ["reset"])


@pytest.mark.parametrize("way", list(Way))
def test_one_bit(echo: Echo, way: Way) -> None:
    """
    One bit of one byte is turned, and nothing else.
    """
    with Relay("127.0.0.1", echo.port, faults=[[Fault(way, 123_456, Failing.TURNED, bit=3)]]) as relay:
        got, _ = heard(relay)

    expected = bytearray(CONTENT)
    expected[123_456] ^= 8
    assert got == bytes(expected)


def test_silence(echo: Echo) -> None:
    """
    A connection that falls silent ends for nobody.
    """
    got = b""
    with (
        Relay("127.0.0.1", echo.port, faults=[[Fault(Way.BACK, 1000, Failing.SILENT)]]) as relay,
        socket.create_connection(("127.0.0.1", relay.port), timeout=SECONDS) as caller,
    ):
        caller.sendall(CONTENT[:2000])
        while len(got) < 1000:
            data = caller.recv(65536)
            assert data, "it ended"
            got += data
        caller.settimeout(A_MOMENT_SECONDS)
        with pytest.raises(TimeoutError):
            caller.recv(65536)

    assert got == CONTENT[:1000]


@pytest.mark.parametrize("way", list(Way))
def test_held(echo: Echo, way: Way) -> None:
    """
    What is held back comes when it is healed.
    """
    with (
        Relay("127.0.0.1", echo.port) as relay,
        socket.create_connection(("127.0.0.1", relay.port), timeout=SECONDS) as caller,
    ):
        caller.sendall(b"before")
        before = caller.recv(100)
        relay.hold([way])
        caller.sendall(b"held")
        caller.settimeout(A_MOMENT_SECONDS)
        with pytest.raises(TimeoutError):
            caller.recv(100)
        relay.heal()
        caller.settimeout(SECONDS)
        after = caller.recv(100)

    assert (before, after) == (b"before", b"held")


def test_delay_and_rate(echo: Echo) -> None:
    """
    A link that is slow and far away takes at least the time that it should.
    """
    with Relay("127.0.0.1", echo.port, delay_seconds=0.1, bytes_per_second=1 << 20) as relay:
        began = time.monotonic()
        result = heard(relay)
        seconds = time.monotonic() - began

    assert result == (CONTENT, "closed")
    assert seconds >= len(CONTENT) / (1 << 20) + 0.2
