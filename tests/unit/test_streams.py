"""
What agents say to each other during a transfer, octet by octet.
"""

from __future__ import annotations

from uuid import UUID

import pytest
from pyrsistent import pvector

from flocker_agent.transfer import errors
from flocker_py.model import DatasetId, Guid, MoveId, NodeId
from flocker_py.streams import (
    DATA_LIMIT_BYTES,
    HEADER_BYTES,
    MESSAGE_LIMIT_BYTES,
    NETWORK_CODES,
    AbortPartial,
    Accept,
    Alive,
    Cancel,
    DiscardReplica,
    End,
    FrameKind,
    FrameRefused,
    Hello,
    Message,
    Offer,
    Refusal,
    Result,
    State,
    frame,
    header,
    message,
    write_data_header,
)

MESSAGES: list[Message] = [
    Hello(
        dataset_id=DatasetId(UUID(int=1)),
        epoch=7,
        move_id=MoveId(UUID(int=2)),
        sender=NodeId(UUID(int=3)),
        task_id="x@/1",
    ),
    State(guids=pvector([Guid(1), Guid(2**64 - 1)]), resume_token="1-abc", free_bytes=2**60),
    State(free_bytes=0),
    Refusal(code="PoolFull", text="voll – no room", lasting=False),
    Offer(
        to_guid=Guid(5), from_guid=Guid(4), name="move-1", estimate_bytes=9, resumed=True, needless_before_guid=Guid(3)
    ),
    Accept(),
    End(size_bytes=2**40),
    Result(guid=Guid(5), newest_guid=Guid(5)),
    Cancel(),
    AbortPartial(),
    DiscardReplica(),
    Alive(received_bytes=1),
]


@pytest.mark.parametrize("said", MESSAGES, ids=lambda said: type(said).__name__)
def test_message_survives_the_connection(said: Message) -> None:
    """
    What one side says is what the other reads.
    """
    octets = frame(said)

    assert (header(octets[:HEADER_BYTES]), message(octets[HEADER_BYTES:])) == (
        (FrameKind.MESSAGE, len(octets) - HEADER_BYTES),
        said,
    )


def test_every_message_has_an_example() -> None:
    """
    No message is left out of these tests.
    """
    assert {type(said) for said in MESSAGES} == set(Message.__args__)


def test_frame_is_fixed() -> None:
    """
    The octets of a message don't change between versions that speak the same protocol.
    """
    assert frame(End(size_bytes=3)) == b'\x01FLK\x00\x00\x00\x1d{"size_bytes":3,"type":"End"}'


def test_data_header_is_fixed() -> None:
    """
    The octets before a piece of stream don't change between versions that speak the same protocol.
    """
    buffer = bytearray(b"." * 10)

    write_data_header(buffer, 0x10000)

    assert bytes(buffer) == b"\x02FLK\x00\x01\x00\x00.."


def test_largest_data_frame_is_taken() -> None:
    """
    A piece of stream may be as large as the limit says.
    """
    buffer = bytearray(HEADER_BYTES)
    write_data_header(buffer, DATA_LIMIT_BYTES)

    assert header(buffer) == (FrameKind.DATA, DATA_LIMIT_BYTES)


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"GET / HT", id="http"),
        pytest.param(b"\x00FLK\x00\x00\x00\x01", id="kind 0"),
        pytest.param(b"\x03FLK\x00\x00\x00\x01", id="kind 3"),
        pytest.param(b"\x01FLK\x00\x00\x00\x00", id="empty message"),
        pytest.param(b"\x02FLK\x00\x00\x00\x00", id="empty data"),
        pytest.param(b"\x01FLK" + (MESSAGE_LIMIT_BYTES + 1).to_bytes(4), id="large message"),
        pytest.param(b"\x02FLK" + (DATA_LIMIT_BYTES + 1).to_bytes(4), id="large data"),
        pytest.param(b"\x02FLK\xff\xff\xff\xff", id="largest number"),
        pytest.param(b"\x02flk\x00\x00\x00\x01", id="another magic"),
    ],
)
def test_header_of_something_else_is_refused(octets: bytes) -> None:
    """
    What is no header is refused before anything is made room for.
    """
    with pytest.raises(FrameRefused):
        header(octets)


def test_strangers_get_little_room() -> None:
    """
    A message may be limited to less than the usual.
    """
    with pytest.raises(FrameRefused, match="1 to 100"):
        header(b"\x01FLK" + (101).to_bytes(4), message_limit_bytes=100)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"type":"Bye"}',
        b'{"type":"End"}',
        b'{"type":"End","size_bytes":"3"}',
        b'{"type":"End","size_bytes":true}',
        b'{"type":"End","size_bytes":NaN}',
        b'{"type":"End","size_bytes":3,"more":1}',
        b'{"type":"Dataset"}',
        b"[" * 100_000,
        b'{"type":"End","size_bytes":' + b"9" * 10_000 + b"}",
    ],
)
def test_garbled_message_is_refused(body: bytes) -> None:
    """
    A message that can't be read is an error, whatever is wrong with it.
    """
    with pytest.raises(FrameRefused):
        message(body)


@pytest.mark.parametrize("code", sorted(NETWORK_CODES))
def test_troubles_of_the_network(code: str) -> None:
    """
    What the control service takes for the network's fault are errors that a sender has.
    """
    assert issubclass(getattr(errors, code), errors.TransferError)
