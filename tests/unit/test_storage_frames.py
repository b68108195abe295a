"""
The frames of the embedded backends' streams.
"""

from __future__ import annotations

import os
import struct
import zlib

import pytest

from flocker_agent.storage.frames import (
    HEADER_BYTES,
    PAYLOAD_LIMIT_BYTES,
    FrameKind,
    FrameReader,
    FrameWriter,
    header_bytes,
    parsed_header,
)
from flocker_py.storage import StreamCorrupt, StreamCut


def forged(kind: int, length_bytes: int) -> bytes:
    """
    A header with a right checksum.
    """
    fields = struct.pack(">4sB3xQII", b"FLKs", kind, 0, length_bytes, 0)
    return fields + struct.pack(">I", zlib.crc32(fields))


def through_a_pipe(content: bytes) -> FrameReader:
    """
    A reader of some bytes, after which the pipe ends.
    """
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    return FrameReader(reading)


def test_golden() -> None:
    """
    A frame is, for ever, these bytes.
    """
    assert header_bytes(FrameKind.DATA, 258, b"abc").hex() == (
        "464c4b73" + "03" + "000000" + "0000000000000102" + "00000003" + "352441c2" + "642d8634"
    )


def test_header() -> None:
    """
    A header is read as it was written.
    """
    header = parsed_header(header_bytes(FrameKind.ENTRIES, 1 << 40, b"payload"))

    assert (header.kind, header.position, header.length_bytes) == (FrameKind.ENTRIES, 1 << 40, 7)


@pytest.mark.parametrize("position", range(HEADER_BYTES))
def test_damaged_header(position: int) -> None:
    """
    A wrong bit anywhere in a header is seen.
    """
    header = bytearray(header_bytes(FrameKind.DATA, 5, b"payload"))
    header[position] ^= 1

    with pytest.raises(StreamCorrupt):
        parsed_header(bytes(header))


@pytest.mark.parametrize(("kind", "length_bytes"), [(0, 1), (5, 1), (3, PAYLOAD_LIMIT_BYTES + 1)])
def test_unknown_frame(kind: int, length_bytes: int) -> None:
    """
    A frame of a kind or length that this version does not know is refused.
    """
    with pytest.raises(StreamCorrupt, match=str(kind)):
        parsed_header(forged(kind, length_bytes))


def test_through_a_pipe() -> None:
    """
    Frames come out of a pipe as they went in.
    """
    reading, writing = os.pipe()
    writer, reader = FrameWriter(writing), FrameReader(reading)
    writer.write(FrameKind.DATA, b"one", position=7)
    writer.write(FrameKind.END)

    first, payload = reader.read()

    assert (first.kind, first.position, bytes(payload), reader.read()[0].kind) == (
        FrameKind.DATA,
        7,
        b"one",
        FrameKind.END,
    )


def test_damaged_payload() -> None:
    """
    A wrong bit in a payload is seen.
    """
    with pytest.raises(StreamCorrupt, match="damaged"):
        through_a_pipe(header_bytes(FrameKind.DATA, 0, b"one") + b"onE").read()


@pytest.mark.parametrize("kept_bytes", [0, 1, HEADER_BYTES, HEADER_BYTES + 2])
def test_cut(kept_bytes: int) -> None:
    """
    A frame that ends early was cut.
    """
    with pytest.raises(StreamCut):
        through_a_pipe((header_bytes(FrameKind.DATA, 0, b"one") + b"one")[:kept_bytes]).read()


def test_nobody_reads() -> None:
    """
    Writing where nobody reads is a cut.
    """
    reading, writing = os.pipe()
    os.close(reading)

    with pytest.raises(StreamCut):
        FrameWriter(writing).write(FrameKind.DATA, b"one")


def test_frame_larger_than_the_pipe() -> None:
    """
    A frame that doesn't fit the pipe goes through in parts.
    """
    import threading

    reading, writing = os.pipe()
    payload = os.urandom(PAYLOAD_LIMIT_BYTES)
    thread = threading.Thread(target=FrameWriter(writing).write, args=(FrameKind.DATA, payload))
    thread.start()

    _, arrived = FrameReader(reading).read()

    thread.join()
    assert bytes(arrived) == payload
