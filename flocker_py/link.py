"""
The link between control service and agent: AMP over mutual TLS, with our JSON records as payload.

Both sides call. AMP limits a value to 65,535 bytes and knows nothing of more, so a record is cut into parts; AMP also
has no opinion on how long a peer may be silent, so both sides ping.
"""

from __future__ import annotations

import zlib
from typing import Any, TypeVar

from eliot import Action, current_action, log_message, start_action
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectionDone
from twisted.protocols import amp
from twisted.python.failure import Failure

from flocker_py import wire
from flocker_py.clock import Clock, Timer
from flocker_py.errors import FlockerError, explanation
from flocker_py.messages import AssignmentUpdate, NodeReport
from flocker_py.records import Record, value

PART_BYTES = 65_000
MESSAGE_LIMIT_BYTES = 32 * 1024 * 1024
PING_SECONDS = 5.0
SILENCE_SECONDS = 20.0

_SHOWN_CHARACTERS = 500
_LOST = Failure(ConnectionDone())
_R = TypeVar("_R", bound=Record)


class LinkRefused(FlockerError):
    """
    The other side of the link refused this session or message. The message says why.
    """


class MessageTooLong(LinkRefused):
    """
    A message on the link is longer than its limit. Fewer datasets or containers on one node would make it shorter.
    """


class Refused(Exception):
    """
    How a refusal travels over AMP.
    """


class Unreadable(Record):
    """
    What stands for a text that could not be unpacked: ``decoded`` refuses it. AMP answers with "unknown error" to
    whatever goes wrong before a command is dispatched, so the reason is taken that far.
    """

    reason: str = value(str)


class LongText(amp.Argument):
    """
    Text of any length up to the limit: compressed, and cut into as many values as it takes.
    """

    def toBox(self, name: bytes, strings: dict[bytes, bytes], objects: dict[str, Any], proto: object) -> None:  # noqa: N802, ARG002  # AMP's name
        text = objects[name.decode()].encode()
        if len(text) > MESSAGE_LIMIT_BYTES:
            raise MessageTooLong(f"a message of {len(text)} bytes")
        packed = zlib.compress(text, 1)
        for number, start in enumerate(range(0, len(packed), PART_BYTES)):
            strings[b"%s.%d" % (name, number)] = packed[start : start + PART_BYTES]

    def fromBox(self, name: bytes, strings: dict[bytes, bytes], objects: dict[str, Any], proto: object) -> None:  # noqa: N802, ARG002  # AMP's name
        parts: list[bytes] = []
        while (key := b"%s.%d" % (name, len(parts))) in strings:
            parts.append(strings.pop(key))
        objects[name.decode()] = _unpacked(b"".join(parts))


def _unpacked(packed: bytes) -> str | Unreadable:
    unpack = zlib.decompressobj()
    try:
        text = unpack.decompress(packed, MESSAGE_LIMIT_BYTES)
        if unpack.unconsumed_tail or not unpack.eof:
            return Unreadable(
                reason=f"a message that is cut short, or unpacks to more than {MESSAGE_LIMIT_BYTES} bytes"
            )
        return text.decode()
    except (zlib.error, UnicodeDecodeError) as error:
        return Unreadable(reason=f"a message that can't be unpacked: {error}")


_ERRORS: dict[type[Exception], bytes] = {Refused: b"REFUSED"}


class LinkCommand(amp.Command):
    """
    A command whose arguments are refused, with the reason, if they are none.
    """

    @classmethod
    def parseArguments(cls, box: Any, protocol: object) -> Any:  # noqa: N802  # AMP's name
        """
        What a box says.

        :raises twisted.protocols.amp.RemoteAmpError: nothing that the command takes; AMP answers so, and hangs up.
        """
        try:
            return super().parseArguments(box, protocol)
        except Exception as error:
            # Whatever the arguments' own classes raise: AMP would log it as a fault of this program's.
            log_message(
                message_type="flocker:link:malformed",
                command=cls.__name__,
                reason=explanation(error)[:_SHOWN_CHARACTERS],
            )
            raise amp.RemoteAmpError(
                b"REFUSED", f"the arguments of {cls.__name__} can't be read", fatal=True
            ) from error


class Greet(LinkCommand):
    """
    Agent to control, first of all: who I am, which version of the messages I speak, and all that I see.
    """

    arguments = [(b"version", amp.Integer()), (b"report", LongText()), (b"task", amp.Unicode())]
    response = [(b"control_version", amp.Unicode())]
    errors = _ERRORS


class Report(LinkCommand):
    """
    Agent to control: what is new here.
    """

    arguments = [(b"report", LongText()), (b"task", amp.Unicode())]
    response = []
    errors = _ERRORS


class Assign(LinkCommand):
    """
    Control to agent: what is new for you.
    """

    arguments = [(b"update", LongText()), (b"task", amp.Unicode())]
    response = []
    errors = _ERRORS


class Renew(LinkCommand):
    """
    Agent to control: let me go on serving what is to be served only for as long as my lease lasts.

    The lease is counted by the agent from the moment before it sends this. 0: there is none at present; ask again.
    """

    arguments = [(b"task", amp.Unicode())]
    response = [(b"lease_seconds", amp.Float())]
    errors = _ERRORS


class Ping(LinkCommand):
    """
    Either way: are you there?
    """

    response = []


def task_id() -> str:
    """
    What lets the other side continue the present eliot action; empty outside of any.
    """
    action = current_action()
    return "" if action is None else action.serialize_task_id().decode()


def continued(task: str, action_type: str) -> Action:
    """
    An eliot action that continues what the other side does; a new one where its id can't be read.
    """
    if task:
        try:
            return Action.continue_task(task_id=task)
        except ValueError:
            log_message(message_type="flocker:link:malformed-task", task=task[:100])
    return start_action(action_type=action_type)


def decoded(record_type: type[_R], text: str | Unreadable) -> _R:
    """
    A record from a message.

    :raises Refused: it is not one.
    """
    if isinstance(text, Unreadable):
        raise Refused(text.reason)
    try:
        return wire.from_text(record_type, text)
    except FlockerError as error:
        # Of another version, too: it must be told so, or it would hear of an unknown error for ever.
        raise Refused(explanation(error)) from error


class Link(amp.AMP):
    """
    One session. Whoever listens is told of messages by methods; silence for too long ends the session.

    :param reactor: clock of the pings.
    """

    def __init__(self, reactor: Clock) -> None:
        super().__init__()
        self._reactor = reactor
        self._next_ping: Timer | None = None
        self._heard_at = 0.0
        self._buffered_bytes = 0

    def connectionMade(self) -> None:  # noqa: N802  # Twisted's name
        super().connectionMade()
        self._heard_at = self._reactor.seconds()
        self._next_ping = self._reactor.callLater(PING_SECONDS, self._ping)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802  # Twisted's name
        self._heard_at = self._reactor.seconds()
        # AMP collects the parts of one box before it looks at any; a peer that never ends one must not fill memory.
        self._buffered_bytes += len(data)
        if self._buffered_bytes > 2 * MESSAGE_LIMIT_BYTES:
            self.abort()
            return
        try:
            super().dataReceived(data)
        except Exception as error:  # noqa: BLE001  # AMP's own, of boxes that are empty or answer nothing
            self._malformed(error)

    def unhandledError(self, failure: Failure) -> None:  # noqa: N802  # Twisted's name
        """
        Something came that nobody waits for an answer to, and it was wrong.
        """
        self._malformed(failure.value or ConnectionDone())

    def _malformed(self, error: BaseException) -> None:
        log_message(message_type="flocker:link:malformed", reason=explanation(error)[:_SHOWN_CHARACTERS])
        self.abort()

    def ampBoxReceived(self, box: Any) -> None:  # noqa: N802  # Twisted's name
        self._buffered_bytes = 0
        super().ampBoxReceived(box)

    def connectionLost(self, reason: Failure = _LOST) -> None:  # noqa: N802  # Twisted's name
        if self._next_ping is not None and self._next_ping.active():
            self._next_ping.cancel()
        super().connectionLost(reason)

    def _ping(self) -> None:
        if self._reactor.seconds() - self._heard_at > SILENCE_SECONDS:
            self.abort()
            return
        self._next_ping = self._reactor.callLater(PING_SECONDS, self._ping)
        self.callRemote(Ping).addErrback(lambda _: None)  # a lost connection says so by itself

    def abort(self) -> None:
        """
        End the session at once, without waiting for the other side.
        """
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()

    @Ping.responder
    def ping(self) -> dict[str, Any]:
        """
        Yes, here.
        """
        return {}


def call(link: Link, command: type[amp.Command], **arguments: Any) -> Deferred[dict[str, Any]]:
    """
    Call the other side, as part of the present eliot action.

    :raises MessageTooLong: by way of the Deferred: it was not sent.
    """
    result: Deferred[dict[str, Any]] = maybeDeferred(link.callRemote, command, task=task_id(), **arguments)
    return result


__all__ = [
    "Assign",
    "AssignmentUpdate",
    "Greet",
    "Link",
    "LinkRefused",
    "NodeReport",
    "Ping",
    "Refused",
    "Renew",
    "Report",
    "Unreadable",
    "call",
    "continued",
    "decoded",
]
