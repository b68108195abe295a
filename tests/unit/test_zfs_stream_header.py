"""
Reading the first record of a ZFS stream.
"""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flocker_agent.storage.zfs_stream_header import HEADER_BYTES, StreamHeader, could_begin, decoded
from flocker_py.model import Guid
from flocker_py.storage import StreamCorrupt

NAME = b"p/flocker/11111111-1111-4111-8111-111111111111@flocker_py-b"
# As in streams of ZFS 2.3.2: compressed and embedded blocks; with a resumed send, and a raw one.
PLAIN, RESUMING, RAW = 17563665, 17563665 | 1 << 22, 17563665 | 1 << 26


GUID = Guid(5152450671657875055)


def header(
    order: str = "<",
    *,
    kind: int = 0,
    magic: int = 0x2F5BACBAC,
    version: int = PLAIN,
    objects: int = 2,
    from_guid: int = 0,
    name: bytes = NAME,
) -> bytes:
    """
    A first record.
    """
    fields = (kind, 0, magic, version, 1795471875, objects, 12, GUID, from_guid, name)
    return struct.pack(f"{order}IIQQQIIQQ256s", *fields)


class TestDecoded:
    @pytest.mark.parametrize("order", ["<", ">"])
    def test_full(self, order: str) -> None:
        """
        A stream of a whole dataset, of whichever kind of machine, says which snapshot it carries.
        """
        assert decoded(header(order)) == StreamHeader(to_guid=GUID, to_name=NAME.decode())

    def test_increment(self) -> None:
        """
        An increment says on what it builds.
        """
        assert decoded(header(from_guid=(1 << 64) - 1)).from_guid == (1 << 64) - 1

    @pytest.mark.parametrize(
        ("version", "expected"), [(PLAIN, (False, False)), (RESUMING, (True, False)), (RAW, (False, True))]
    )
    def test_features(self, version: int, expected: tuple[bool, bool]) -> None:
        """
        A stream says whether it goes on with another, and whether it is raw.
        """
        found = decoded(header(version=version))

        assert (found.resuming, found.raw) == expected

    @pytest.mark.parametrize(
        "record",
        [
            header(magic=1),
            header(kind=1),
            header(version=PLAIN + 1),
            header(objects=3),
            bytes(HEADER_BYTES),
            b"GET / HTTP/1.1\r\n" * 20,
        ],
        ids=["other magic", "other record", "package of streams", "volume", "zeros", "http"],
    )
    def test_refused(self, record: bytes) -> None:
        """
        What is not a stream of one snapshot of a file system is refused.
        """
        with pytest.raises(StreamCorrupt):
            decoded(record[:HEADER_BYTES])

    @given(name=st.binary(max_size=256))
    def test_any_name(self, name: bytes) -> None:
        """
        A damaged name is read as something; the checksum behind it tells.
        """
        assert decoded(header(name=name)).to_guid == GUID


class TestCouldBegin:
    @pytest.mark.parametrize("order", ["<", ">"])
    @given(length=st.integers(min_value=0, max_value=HEADER_BYTES))
    def test_beginning(self, order: str, length: int) -> None:
        """
        Every beginning of a stream is one.
        """
        assert could_begin(header(order)[:length])

    @pytest.mark.parametrize("start", [b"G", b"\0\0\0\1", bytes(12)])
    def test_something_else(self, start: bytes) -> None:
        """
        What begins otherwise is no beginning of a stream, however short.
        """
        assert not could_begin(start)
