"""
What two agents say to each other while one sends snapshots of a dataset to the other.

A connection carries frames: a header of 8 octets and a body. A frame is either a message (a record as JSON, see
``flocker_py.wire``) or a piece of a stream as the storage backend wrote it.

======  ======  ===============================================================
octet   length  in the header
======  ======  ===============================================================
0       1       kind: 1 message, 2 data
1       3       ``FLK``; whatever talks something else is recognised at once
4       4       length of the body, most significant octet first
======  ======  ===============================================================

The conversation, sender on the left::

    Hello        ->
                 <-  State | Refusal
    DiscardReplica ->                                the replica is of no use as a base
    AbortPartial ->                                  the kept part of an earlier stream is of no use
                 <-  State | Refusal
    Offer        ->                                  once a round
                 <-  Accept | Refusal
    data ... End ->
                 <-  Result | Refusal
    Cancel       ->                                  instead of anything; so is closing the connection

A ``Refusal`` can also come in the middle of data, and ends the conversation. ``Alive`` is said by either side whenever
it would be silent for too long.
"""

from __future__ import annotations

import enum
import struct
from uuid import UUID

from pyrsistent import PVector

from flocker_py.errors import FlockerError
from flocker_py.model import DatasetId, Guid, MoveId, NodeId
from flocker_py.records import Record, sequence, value
from flocker_py.wire import WireError, decode, encode, json_text, json_value

PROTOCOL = 1

DATA_LIMIT_BYTES = 1 << 20
MESSAGE_LIMIT_BYTES = 4 << 20
"""Of a message once the other side has said Hello: room for the GUIDs of over 100,000 snapshots."""
HELLO_LIMIT_BYTES = 16 << 10

NETWORK_CODES = frozenset({"PeerUnreachable", "PeerLost", "PeerSilent"})
"""What a sender reports where nothing is wrong but the network, or the host at its other end."""

_HEADER = struct.Struct("!B3sI")
HEADER_BYTES = _HEADER.size
_MAGIC = b"FLK"
_NONE = type(None)


class FrameRefused(FlockerError):
    """
    What came from the other side is not what two agents say to each other. It runs another version of flocker_py, or
    is no agent at all; the connection is closed.
    """


class FrameKind(enum.IntEnum):
    """
    What the body of a frame is.
    """

    MESSAGE = 1
    DATA = 2


class Hello(Record):
    """
    The sender's first words.

    :param epoch: under which the sender owns the dataset, or released it.
    :param sender: who the sender is; its certificate must say the same.
    :param task_id: where in the log this belongs; None: nowhere.
    """

    protocol: int = value(int, default=PROTOCOL)
    dataset_id: DatasetId = value(UUID)
    epoch: int = value(int)
    move_id: MoveId = value(UUID)
    sender: NodeId = value(UUID)
    task_id: str | None = value((str, _NONE), default=None)


class State(Record):
    """
    What the receiver's pool holds of the dataset.

    :param guids: of all its snapshots, oldest first.
    :param resume_token: of the partial receive that is kept; None: none is.
    :param free_bytes: room in its pool.
    """

    guids: PVector[Guid] = sequence(int, default=())
    resume_token: str | None = value((str, _NONE), default=None)
    free_bytes: int = value(int)


class Refusal(Record):
    """
    The receiver does not go on.

    :param code: name of the error's class.
    :param lasting: trying again can't help before somebody changes something.
    """

    code: str = value(str)
    text: str = value(str)
    lasting: bool = value(bool, default=False)


class Offer(Record):
    """
    The stream that comes next.

    :param from_guid: the snapshot it builds on; None: it is whole.
    :param name: of the snapshot it makes, for people.
    :param resumed: it goes on where the kept partial receive ends.
    :param needless_before_guid: snapshots that earlier rounds brought and that are older than this one are not needed
        any more; None: leave them.
    """

    to_guid: Guid = value(int)
    from_guid: Guid | None = value((int, _NONE), default=None)
    name: str = value(str)
    estimate_bytes: int = value(int)
    resumed: bool = value(bool, default=False)
    needless_before_guid: Guid | None = value((int, _NONE), default=None)


class Accept(Record):
    """
    The stream may come.
    """


class End(Record):
    """
    The stream is through.

    :param size_bytes: how much of it there was.
    """

    size_bytes: int = value(int)


class Result(Record):
    """
    The stream was taken in; both GUIDs were re-read from the receiver's pool.

    :param guid: of the snapshot the stream made.
    :param newest_guid: of the newest snapshot there is.
    """

    guid: Guid = value(int)
    newest_guid: Guid = value(int)


class Cancel(Record):
    """
    The sender stops; what arrived may be kept.
    """


class AbortPartial(Record):
    """
    The partial receive that is kept is of no use: throw it away, and say the state again.
    """


class DiscardReplica(Record):
    """
    The replica has nothing in common with the source any more, as after a move that was given up: throw it away, and
    say the state again.
    """


class Alive(Record):
    """
    Still there.

    :param received_bytes: of this round, as far as taken off the connection; 0 from a sender.
    """

    received_bytes: int = value(int, default=0)


Message = Hello | State | Refusal | Offer | Accept | End | Result | Cancel | AbortPartial | DiscardReplica | Alive


def frame(message: Message) -> bytes:
    """
    A message as it goes over the connection.
    """
    body = json_text(encode(message)).encode("ascii")
    return _HEADER.pack(FrameKind.MESSAGE, _MAGIC, len(body)) + body


def write_data_header(buffer: bytearray | memoryview, size_bytes: int) -> None:
    """
    Write the header of a piece of stream into the first ``HEADER_BYTES`` of a buffer.
    """
    _HEADER.pack_into(buffer, 0, FrameKind.DATA, _MAGIC, size_bytes)


def header(
    octets: bytes | bytearray | memoryview, *, message_limit_bytes: int = MESSAGE_LIMIT_BYTES
) -> tuple[FrameKind, int]:
    """
    What ``HEADER_BYTES`` octets say: what the body is, and how many bytes of it follow.

    :param message_limit_bytes: the largest message that is taken now.
    :raises FrameRefused: they are not a header, or announce something too large or empty.
    """
    kind_number, magic, size_bytes = _HEADER.unpack(octets)
    if magic != _MAGIC:
        raise FrameRefused(f"A frame began with {bytes(octets)!r}, which is no frame of this protocol")
    try:
        kind = FrameKind(kind_number)
    except ValueError:
        raise FrameRefused(f"A frame was of kind {kind_number}, which there is not") from None
    limit_bytes = DATA_LIMIT_BYTES if kind is FrameKind.DATA else message_limit_bytes
    if not 0 < size_bytes <= limit_bytes:
        raise FrameRefused(f"A frame announced {size_bytes} bytes where 1 to {limit_bytes} are taken")
    return kind, size_bytes


def message(body: bytes | bytearray | memoryview) -> Message:
    """
    The message that a frame's body is.

    :raises FrameRefused: it is none.
    """
    try:
        text = bytes(body).decode("utf-8")
        decoded = decode(Message, json_value(text))
    except (UnicodeDecodeError, WireError) as error:
        raise FrameRefused(f"A message can't be read: {error}") from error
    assert isinstance(decoded, Message)  # noqa: S101  # tells type checkers what the union holds
    return decoded
