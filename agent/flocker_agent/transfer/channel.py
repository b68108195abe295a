"""
Frames over one TLS connection, for a thread that does nothing else.

The socket never blocks; the thread polls instead, so that it can be woken, can say that it is alive while it waits, and
can hear the other side while it writes. One thread at a time: OpenSSL's connections may not be used by two.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import Protocol

from flocker_agent.transfer.errors import ConversationBroken, PeerLost, PeerSilent, PeerTrustless
from flocker_agent.transfer.wake import Wake
from flocker_py.streams import (
    HEADER_BYTES,
    HELLO_LIMIT_BYTES,
    MESSAGE_LIMIT_BYTES,
    Alive,
    FrameKind,
    Message,
    frame,
    header,
    message,
)

# Once a second, for the other side may be less patient than this one; if this one is impatient itself, more often.
_ALIVE_SECONDS = 1.0
_ALIVE_PER_SILENCE = 4


class HasDescriptor(Protocol):
    """
    What can be polled.
    """

    def fileno(self) -> int: ...


class Piece:
    """
    A piece of a stream, in a buffer that is used again.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self.buffer = bytearray(capacity_bytes)
        self.size_bytes = 0

    def view(self) -> memoryview:
        """
        The piece itself.
        """
        return memoryview(self.buffer)[: self.size_bytes]


class Channel:
    """
    One connection, whose handshake is over.

    :param wake: ends every wait; ``check`` is asked then, and raises what the thread should stop with.
    :param new_piece: gives the buffer for data that comes; one of at least ``DATA_LIMIT_BYTES``. None: no data is
        taken.
    """

    def __init__(
        self,
        connection: ssl.SSLSocket,
        *,
        wake: Wake,
        check: Callable[[], None],
        silence_seconds: float,
        clock: Callable[[], float],
        new_piece: Callable[[], Piece] | None = None,
    ) -> None:
        self._connection = connection
        connection.setblocking(False)
        self._wake = wake
        self._check = check
        self._silence_seconds = silence_seconds
        self._alive_seconds = min(_ALIVE_SECONDS, silence_seconds / _ALIVE_PER_SILENCE)
        self._clock = clock
        self._new_piece = new_piece
        self._poll = select.poll()
        self._inbox: deque[Message] = deque()
        self._header = bytearray(HEADER_BYTES)
        self._body: memoryview | None = None
        self._piece: Piece | None = None
        self._filled_bytes = 0
        self._writing = False
        self._heard_message = False
        self._heard_seconds = self._said_seconds = clock()

    def send(self, message: Message) -> None:
        """
        Say something. Returns once it is on its way.

        :raises PeerLost: the connection broke.
        :raises PeerSilent: the other side neither takes nor says anything.
        """
        self.write(memoryview(frame(message)))

    def write(self, octets: memoryview) -> None:
        """
        Send whole frames, and take in messages that come meanwhile.

        :raises PeerLost: the connection broke.
        :raises PeerSilent: the other side neither takes nor says anything.
        """
        self._writing = True
        begin_seconds = self._clock()
        while octets:
            try:
                # All of it or nothing: what was begun must be offered again as it was.
                sent = self._connection.send(octets)
            except ssl.SSLWantWriteError:
                wanted = select.POLLIN | select.POLLOUT if self._new_piece is None else select.POLLOUT
                self._wait(wanted, begin_seconds)
                if self._new_piece is None:
                    self._take_in()
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN, begin_seconds)
            except OSError as error:
                raise self._lost(error) from error
            else:
                octets = octets[sent:]
        self._writing = False
        self._said_seconds = self._clock()

    def say_alive(self, received_bytes: int = 0) -> None:
        """
        Tell the other side that this one is there, if it hasn't heard anything for a while. To be called whenever
        ``wait`` returns.
        """
        if self._clock() - self._said_seconds >= self._alive_seconds:
            self.send(Alive(received_bytes=received_bytes))

    def say_last(self, message: Message) -> None:
        """
        Say something if that can be done at once, on a connection that is given up.
        """
        if self._writing:
            return
        try:
            self._connection.send(frame(message))
        except OSError:
            pass

    def send_off(self, message: Message, timeout_seconds: float) -> None:
        """
        Say the last word, and give the other side time to read it and close the connection. What it says is thrown
        away: closing a socket with something unread in it may take the last word back.
        """
        if self._writing:
            return
        self.send(message)
        try:
            self._connection.shutdown(socket.SHUT_WR)
        except OSError:
            return
        end_seconds = self._clock() + timeout_seconds
        while (left_seconds := end_seconds - self._clock()) > 0:
            self._connection.settimeout(left_seconds)
            try:
                if not self._connection.recv(1 << 16):
                    return
            except OSError:
                return

    def listening_again(self) -> None:
        """
        Begin to count the other side's silence now: until now it was this side that did not listen.
        """
        self._heard_seconds = self._clock()

    @property
    def between_frames(self) -> bool:
        """
        Whether no frame is there in part only.
        """
        return self._body is None and self._filled_bytes == 0

    def broken_off(self) -> Piece | None:
        """
        What there is of a piece of stream that did not come whole. For when the connection is lost.
        """
        piece, self._piece = self._piece, None
        if piece is None or self._filled_bytes == 0:
            return None
        piece.size_bytes = self._filled_bytes
        return piece

    def incoming(self) -> Message | Piece | None:
        """
        What has come, without waiting; None: nothing whole. ``Alive`` is taken note of and not handed out.

        :raises FrameRefused: it is not a frame.
        :raises PeerLost: the connection was closed or broke.
        """
        if self._inbox:
            return self._inbox.popleft()
        while True:
            found = self._incoming_frame()
            if not isinstance(found, Alive):
                return found

    def wait(self, timeout_seconds: float, *also: HasDescriptor | int, listen: bool = True) -> None:
        """
        Wait until something may have come, one of the others is readable, ``wake`` is set, or the time is over; no
        longer than until the next ``say_alive`` is due.

        :param listen: whether anything is expected from the other side now.
        :raises PeerSilent: nothing has been heard for too long.
        """
        if self._inbox or (listen and self._connection.pending()):
            self._note_wake(0)
            return
        now = self._clock()
        until_alive = self._said_seconds + self._alive_seconds - now
        timeout_seconds = min(timeout_seconds, until_alive)
        if listen:
            silent_seconds = now - self._heard_seconds
            if silent_seconds >= self._silence_seconds and not self._readable():
                raise self._silent(silent_seconds)
            timeout_seconds = min(timeout_seconds, self._silence_seconds - silent_seconds)
            self._poll.register(self._connection, select.POLLIN)
        for descriptor in also:
            self._poll.register(descriptor, select.POLLIN)
        try:
            self._note_wake(max(0.0, timeout_seconds))
        finally:
            if listen:
                self._poll.unregister(self._connection)
            for descriptor in also:
                self._poll.unregister(descriptor)

    def close(self) -> None:
        """
        Close the connection. What the other side has not read by then may be lost to it.
        """
        self._connection.close()

    def _wait(self, events: int, begin_seconds: float) -> None:
        now = self._clock()
        # While it writes, a side hears only what happens to come.
        silent_seconds = now - max(self._heard_seconds, begin_seconds)
        if silent_seconds >= self._silence_seconds:
            raise self._silent(silent_seconds)
        self._poll.register(self._connection, events)
        try:
            self._note_wake(self._silence_seconds - silent_seconds)
        finally:
            self._poll.unregister(self._connection)

    def _note_wake(self, timeout_seconds: float) -> None:
        self._poll.register(self._wake, select.POLLIN)
        self._poll.poll(timeout_seconds * 1000)
        self._wake.clear()
        self._check()

    def _readable(self) -> bool:
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        return bool(poll.poll(0))

    def _silent(self, silent_seconds: float) -> PeerSilent:
        return PeerSilent(f"Nothing was heard from the other side for {silent_seconds:.0f} s")

    def _take_in(self) -> None:
        while True:
            found = self._incoming_frame()
            if found is None:
                return
            if not isinstance(found, Alive | Piece):
                self._inbox.append(found)

    def _incoming_frame(self) -> Message | Piece | None:
        if self._body is None:
            if not self._fill(memoryview(self._header)):
                return None
            self._begin_body()
        assert self._body is not None  # noqa: S101  # _begin_body has just made it
        if not self._fill(self._body):
            return None
        body, piece = self._body, self._piece
        self._body = self._piece = None
        if piece is not None:
            return piece
        self._heard_message = True
        return message(body)

    def _begin_body(self) -> None:
        limit_bytes = MESSAGE_LIMIT_BYTES if self._heard_message or self._new_piece is None else HELLO_LIMIT_BYTES
        kind, size_bytes = header(self._header, message_limit_bytes=limit_bytes)
        match kind:
            case FrameKind.MESSAGE:
                self._body = memoryview(bytearray(size_bytes))
            case FrameKind.DATA:
                if self._new_piece is None or not self._heard_message:
                    raise ConversationBroken("The other side sent data where none is taken")
                self._piece = self._new_piece()
                self._piece.size_bytes = size_bytes
                self._body = self._piece.view()

    def _fill(self, view: memoryview) -> bool:
        size_bytes = len(view)
        receive = self._connection.recv_into
        while self._filled_bytes < size_bytes:
            try:
                # One TLS record, 16 KiB at most, comes out of each call.
                received = receive(view[self._filled_bytes :])
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return False
            except OSError as error:
                raise self._lost(error) from error
            if received == 0:
                raise PeerLost("The other side closed the connection")
            self._filled_bytes += received
            self._heard_seconds = self._clock()
        self._filled_bytes = 0
        return True

    def _lost(self, error: OSError) -> PeerLost | PeerTrustless:
        # With TLS 1.3 a client hears only after its handshake that its certificate is refused.
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError) and not self._heard_message:
            return PeerTrustless(f"The other side does not accept the connection: {error}")
        return PeerLost(f"The connection broke: {error}")
