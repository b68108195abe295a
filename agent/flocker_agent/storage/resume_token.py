"""
Reading the tokens by which ZFS names a receive that was cut.

A token is ``1-CHECKSUM-SIZE-CONTENT``: a packed list of names and values (``nvlist``), compressed by zlib, in hex;
the size is that of the packed list, the checksum the first word of a fletcher4 over the compressed bytes. Source:
OpenZFS, ``get_receive_resume_token_impl`` in dsl_dataset.c, ``zfs_send_resume_token_to_nvlist`` in libzfs_sendrecv.c,
and for the packed list nvpair.c.
"""

from __future__ import annotations

import struct
import zlib

from pyrsistent import PVector, pvector

from flocker_py.model import Guid
from flocker_py.records import Record, sequence, value
from flocker_py.storage import ResumeRefused

_VERSION = "1"
_WORD = 1 << 64
# Far above the some 300 bytes of a real one; bounds what a made-up token can make us unpack.
_LARGEST_PACKED_BYTES = 1 << 20

_NATIVE, _XDR = 0, 1
_TYPE_BOOLEAN, _TYPE_UINT64, _TYPE_STRING, _TYPE_BOOLEAN_VALUE = 1, 8, 9, 21

# As in libzfs_core's lists of flags. A stream must go on with the flags that it began with.
_FLAGS = {
    "largeblockok": "large_blocks",
    "embedok": "embedded_data",
    "compressok": "compress",
    "rawok": "raw",
}


class ResumeToken(Record):
    """
    Where a cut stream goes on.

    :param to_guid: of the snapshot that was being received.
    :param from_guid: of the one it builds on; None: none.
    :param to_name: what the sender called the snapshot, pool and dataset included.
    :param resume_object: and ``resume_offset_bytes``: for ``lzc_send_resume``.
    :param received_bytes: that need not be sent again.
    :param flags: as ``lzc_send`` names them.
    """

    to_guid: Guid = value(int)
    from_guid: Guid | None = value((int, type(None)), default=None)
    to_name: str = value(str)
    resume_object: int = value(int)
    resume_offset_bytes: int = value(int)
    received_bytes: int = value(int)
    flags: PVector[str] = sequence(str, default=())


def decoded(token: str) -> ResumeToken:
    """
    What a token says.

    :raises ResumeRefused: it is no token, or was damaged.
    """
    try:
        return _token(_unpacked(_content(token)))
    except (ValueError, LookupError, TypeError, struct.error, zlib.error) as error:
        raise ResumeRefused(f"the resume token {token[:60]!r} can't be read ({error})") from error


def fletcher4(content: bytes) -> int:
    """
    The first word of the checksum that ZFS calls fletcher4, over whole 32-bit words, least byte first.
    """
    words = len(content) // 4
    total: int = sum(struct.unpack_from(f"<{words}I", content))
    return total % _WORD


def _content(token: str) -> bytes:
    version, checksum, size, hexadecimal = token.split("-")
    if version != _VERSION:
        raise ValueError(f"version {version} is unknown")
    compressed = bytes.fromhex(hexadecimal)
    if fletcher4(compressed) != int(checksum, 16):
        raise ValueError("the checksum is wrong")
    packed_bytes = int(size, 16)
    if packed_bytes > _LARGEST_PACKED_BYTES:
        raise ValueError("it is too large")
    content = zlib.decompressobj().decompress(compressed, _LARGEST_PACKED_BYTES + 1)
    if len(content) != packed_bytes:
        raise ValueError("the size is wrong")
    return content


def _unpacked(packed: bytes) -> dict[str, int | str | bool]:
    encoding, little_endian = packed[0], packed[1]
    if encoding == _NATIVE:
        return _native(packed, "<" if little_endian else ">")
    if encoding == _XDR:
        return _xdr(packed)
    raise ValueError(f"encoding {encoding} is unknown")


def _native(packed: bytes, order: str) -> dict[str, int | str | bool]:
    """
    As the kernel lays the list out in memory. Pairs are a header, the name and the value, each on a multiple of 8.
    """
    found: dict[str, int | str | bool] = {}
    position = 12
    while size := struct.unpack_from(f"{order}i", packed, position)[0]:
        _, name_size, _, _, kind = struct.unpack_from(f"{order}ihhii", packed, position)
        if size < 16 + name_size or name_size < 1:
            raise ValueError("a pair has an impossible size")
        name = packed[position + 16 : position + 16 + name_size - 1].decode()
        content = packed[position + _aligned(16 + name_size, 8) : position + size]
        if kind == _TYPE_UINT64:
            found[name] = struct.unpack_from(f"{order}Q", content)[0]
        elif kind == _TYPE_STRING:
            found[name] = content.partition(b"\0")[0].decode()
        elif kind == _TYPE_BOOLEAN:
            found[name] = True
        elif kind == _TYPE_BOOLEAN_VALUE:
            found[name] = struct.unpack_from(f"{order}i", content)[0] != 0
        # Other types (redaction lists) are of streams that are never made here.
        position += size
    return found


def _xdr(packed: bytes) -> dict[str, int | str | bool]:
    """
    As in RFC 4506, most significant byte first; pairs carry their own size.
    """
    found: dict[str, int | str | bool] = {}
    position = 12
    while size := struct.unpack_from(">i", packed, position)[0]:
        (name_size,) = struct.unpack_from(">i", packed, position + 8)
        if size < 20 or name_size < 0:
            raise ValueError("a pair has an impossible size")
        name = packed[position + 12 : position + 12 + name_size].decode()
        at = position + 12 + _aligned(name_size, 4)
        (kind,) = struct.unpack_from(">i", packed, at)
        at += 8
        if kind == _TYPE_UINT64:
            found[name] = struct.unpack_from(">Q", packed, at)[0]
        elif kind == _TYPE_STRING:
            (length,) = struct.unpack_from(">i", packed, at)
            found[name] = packed[at + 4 : at + 4 + length].decode()
        elif kind == _TYPE_BOOLEAN:
            found[name] = True
        elif kind == _TYPE_BOOLEAN_VALUE:
            found[name] = struct.unpack_from(">i", packed, at)[0] != 0
        position += size
    return found


def _aligned(size: int, boundary: int) -> int:
    return -(-size // boundary) * boundary


def _token(found: dict[str, int | str | bool]) -> ResumeToken:
    from_guid = found.get("fromguid")
    return ResumeToken(
        to_guid=_number(found, "toguid"),
        from_guid=None if from_guid is None else _number(found, "fromguid"),
        to_name=str(found["toname"]),
        resume_object=_number(found, "object"),
        resume_offset_bytes=_number(found, "offset"),
        received_bytes=_number(found, "bytes"),
        flags=pvector(flag for name, flag in _FLAGS.items() if found.get(name)),
    )


def _number(found: dict[str, int | str | bool], name: str) -> Guid:
    number = found[name]
    if not isinstance(number, int):
        raise TypeError(f"{name} is not a number")
    return Guid(number)
