"""
Reading the first record of a ZFS stream: which snapshot it carries, and on what it builds.

Source: OpenZFS, ``dmu_replay_record_t`` and ``drr_begin`` in sys/zfs_ioctl.h; the layout is the same in all releases.
"""

from __future__ import annotations

import struct

from flocker_py.model import Guid
from flocker_py.records import Record, value
from flocker_py.storage import StreamCorrupt

# Of one dmu_replay_record_t: type, length of the payload, and a union whose largest member has 304 bytes.
HEADER_BYTES = 312
_MAGIC = 0x2F5BACBAC
_BEGIN = 0
_SUBSTREAM = 1
_FILE_SYSTEM = 2
_RESUMING, _RAW = 1 << 20, 1 << 24
_BEGINNINGS = tuple(struct.pack(f"{order}Q", _MAGIC) for order in "<>")


class StreamHeader(Record):
    """
    What a stream says of itself before its data.

    :param from_guid: None: it carries the whole dataset.
    :param to_name: what the sender called the snapshot, pool and dataset included.
    :param resuming: it goes on with a receive that was cut.
    :param raw: it carries encrypted data as it lay in the pool.
    """

    to_guid: Guid = value(int)
    from_guid: Guid | None = value((int, type(None)), default=None)
    to_name: str = value(str)
    resuming: bool = value(bool, default=False)
    raw: bool = value(bool, default=False)


def could_begin(start: bytes) -> bool:
    """
    Whether a stream may begin with these bytes, of which there are fewer than ``HEADER_BYTES``.
    """
    kind, magic = start[:4], start[8:16]
    return kind == bytes(len(kind)) and any(beginning.startswith(magic) for beginning in _BEGINNINGS)


def decoded(header: bytes) -> StreamHeader:
    """
    What the first record says.

    :param header: ``HEADER_BYTES`` bytes.
    :raises StreamCorrupt: it is no first record of a stream of one file system's one snapshot.
    """
    for order in "<>":
        kind, _, magic, version, _, objects, _, to_guid, from_guid, name = struct.unpack_from(
            f"{order}IIQQQIIQQ256s", header
        )
        if kind == _BEGIN and magic == _MAGIC:
            break
    else:
        raise StreamCorrupt("what came is not a ZFS stream")
    # DMU_GET_STREAM_HDRTYPE and DMU_GET_FEATUREFLAGS: the lowest 2 bits, and the 30 above them.
    features = version >> 2 & (1 << 30) - 1
    if version & 3 != _SUBSTREAM or objects != _FILE_SYSTEM:
        raise StreamCorrupt("the stream is not of one snapshot of a file system")
    return StreamHeader(
        to_guid=Guid(to_guid),
        from_guid=Guid(from_guid) if from_guid else None,
        to_name=name.partition(b"\0")[0].decode(errors="replace"),
        resuming=bool(features & _RESUMING),
        raw=bool(features & _RAW),
    )
