"""
What a stream of the memory backend carries: one content, or the steps from one content to another, as bytes. Pure.

A body is a sequence of items, numbers big-endian: the length of a name (2 bytes), the name, and either all ones
(8 bytes), by which the name goes, or its new size (8 bytes), the number of its new pieces (4 bytes) and the pieces,
each an offset (8 bytes), a length (4 bytes) and so many bytes. What no piece covers stays as it was, or is zeros.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

from pyrsistent import PMap, pmap

from flocker_py.storage import StreamCorrupt

Content = PMap[bytes, bytes]
_BLOCK_BYTES = 64 * 1024
_GONE = (1 << 64) - 1
_NAME = struct.Struct(">H")
_SIZE = struct.Struct(">Q")
_COUNT = struct.Struct(">I")
_PIECE = struct.Struct(">QI")


def body(base: Mapping[bytes, bytes], content: Mapping[bytes, bytes]) -> bytes:
    """
    The steps from one content to another.
    """
    parts: list[bytes] = []
    for name in sorted(base.keys() | content.keys()):
        before, after = base.get(name), content.get(name)
        if before == after:
            continue
        parts += [_NAME.pack(len(name)), name]
        if after is None:
            parts.append(_SIZE.pack(_GONE))
            continue
        pieces = list(_pieces(before or b"", after))
        parts += [_SIZE.pack(len(after)), _COUNT.pack(len(pieces))]
        for offset, piece in pieces:
            parts += [_PIECE.pack(offset, len(piece)), piece]
    return b"".join(parts)


def applied(base: Content, steps: bytes) -> Content:
    """
    The content to which steps lead.

    :raises StreamCorrupt: they are no steps.
    """
    result = base.evolver()
    position = 0
    try:
        while position < len(steps):
            (name_length,) = _NAME.unpack_from(steps, position)
            position += _NAME.size
            name = steps[position : position + name_length]
            position += name_length
            (size,) = _SIZE.unpack_from(steps, position)
            position += _SIZE.size
            if size == _GONE:
                result.remove(name)
                continue
            (count,) = _COUNT.unpack_from(steps, position)
            position += _COUNT.size
            after = bytearray(base.get(name, b"")[:size].ljust(size, b"\0"))
            for _ in range(count):
                offset, length = _PIECE.unpack_from(steps, position)
                position += _PIECE.size
                after[offset : offset + length] = steps[position : position + length]
                position += length
            if len(after) != size or position > len(steps):
                raise StreamCorrupt(f"The pieces of {name!r} don't fit it")
            result[name] = bytes(after)
    except (struct.error, KeyError, MemoryError, OverflowError) as error:
        raise StreamCorrupt("The stream's checksums are right, but it makes no sense") from error
    return result.persistent()


def added_bytes(base: Mapping[bytes, bytes], content: Mapping[bytes, bytes]) -> int:
    """
    How much room a content takes beside another.
    """
    return sum(len(name) + len(part) for name, part in content.items() if base.get(name) is not part)


NOTHING: Content = pmap()


def _pieces(before: bytes, after: bytes) -> Iterator[tuple[int, bytes]]:
    for offset in range(0, len(after), _BLOCK_BYTES):
        piece = after[offset : offset + _BLOCK_BYTES]
        if piece != before[offset : offset + _BLOCK_BYTES]:
            yield offset, piece
