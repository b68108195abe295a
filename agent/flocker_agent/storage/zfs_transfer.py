"""
Sending from and receiving into a ZFS pool.

Streams always carry large blocks and compressed blocks as they lie in the pool, the same along a chain of increments
(changing the flag for large blocks between increments has lost data: openzfs#6224); those of an encrypted dataset are
raw, and need no key on either side. A receive is never forced: nothing is ever rolled back for it.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from flocker_agent.storage import resume_token, zfs_mounts, zfs_stream_header
from flocker_agent.storage import zfs_names as names
from flocker_agent.storage.resume_token import ResumeToken
from flocker_agent.storage.zfs_listing import DatasetEntry, SnapshotEntry
from flocker_agent.storage.zfs_pool import CANMOUNT_NOAUTO, READONLY_ON, ZfsPool, snapshot_in
from flocker_agent.storage.zfs_stream_header import HEADER_BYTES, StreamHeader
from flocker_py.model import DatasetId, Guid
from flocker_py.storage import (
    DatasetBusy,
    DatasetDiverged,
    DatasetExists,
    DatasetMissing,
    PoolFull,
    ResumeRefused,
    Role,
    SendPlan,
    SnapshotExists,
    SnapshotMissing,
    StorageError,
    StreamCorrupt,
    StreamCut,
    WrongBase,
)

# Not embedded_data (`zfs send -e`, which `-w` includes): with it, releases since 2.2.7 don't send spill blocks that are
# embedded, and nothing says so: a symbolic link to a long, compressible path could not be read on the other side
# (2.3.2, measured 2026-11; openzfs#18239, fix in openzfs#19091). An encrypted dataset has no embedded blocks.
_FLAGS = ["large_blocks", "compress"]
_RAW = [*_FLAGS, "raw"]

# What a dataset that comes into being is, set by the kernel as part of the receive. If that is killed before it gets
# there, the parent's properties and the absence of a role say the same.
_NEW_REPLICA = {
    b"readonly": READONLY_ON,
    b"canmount": CANMOUNT_NOAUTO,
    names.ROLE.encode(): Role.REPLICA.value.encode(),
    names.EPOCH.encode(): b"0",
}


class _Sending(NamedTuple):
    snapshot: bytes
    base: bytes | None
    flags: list[str]
    token: ResumeToken | None


def estimate_bytes(pool: ZfsPool, dataset_id: DatasetId, plan: SendPlan) -> int:
    """
    As promised by ``Storage.send_estimate_bytes``.
    """
    sending = _sending(pool, dataset_id, plan)
    whole_bytes: int = pool.core.call(
        "lzc_send_space",
        sending.snapshot,
        sending.base,
        flags=sending.flags,
        doing=f"estimating a send of {sending.snapshot.decode()}",
        said={"SnapshotNotFound": SnapshotMissing, "NameInvalid": WrongBase},
    )
    return whole_bytes if sending.token is None else max(0, whole_bytes - sending.token.received_bytes)


def send(pool: ZfsPool, dataset_id: DatasetId, plan: SendPlan, stream: int) -> None:
    """
    As promised by ``Storage.send``.
    """
    sending = _sending(pool, dataset_id, plan)
    doing = f"sending {sending.snapshot.decode()}"
    if sending.token is None:
        pool.core.call("lzc_send", sending.snapshot, sending.base, stream, flags=sending.flags, doing=doing)
        return
    pool.core.call(
        "lzc_send_resume",
        sending.snapshot,
        sending.base,
        stream,
        flags=sending.flags,
        resumeobj=sending.token.resume_object,
        resumeoff=sending.token.resume_offset_bytes,
        doing=doing,
    )


def _sending(pool: ZfsPool, dataset_id: DatasetId, plan: SendPlan) -> _Sending:
    entry = pool.entry(dataset_id, snapshots=True)
    snapshot = snapshot_in(entry, plan.to_guid)
    token = None
    base_guid = plan.from_guid
    flags = _RAW if entry.encrypted else _FLAGS
    if plan.resume_token is not None:
        token = resume_token.decoded(plan.resume_token)
        if token.to_guid != plan.to_guid:
            raise ResumeRefused(f"the token is of snapshot {token.to_guid}, not of {plan.to_guid}")
        if plan.from_guid not in (None, token.from_guid):
            raise ResumeRefused(f"the token builds on snapshot {token.from_guid}, not on {plan.from_guid}")
        base_guid = token.from_guid
        flags = list(token.flags)
    base = None if base_guid is None else _base(pool, entry, snapshot, base_guid)
    return _Sending(snapshot=f"{entry.name}@{snapshot.name}".encode(), base=base, flags=flags, token=token)


def _base(pool: ZfsPool, entry: DatasetEntry, snapshot: SnapshotEntry, guid: Guid) -> bytes:
    older = entry.snapshot(guid)
    if older is not None:
        name, createtxg = f"{entry.name}@{older.name}".encode(), older.createtxg
    else:
        found = pool.core.call(
            "lzc_get_bookmarks",
            entry.name.encode(),
            [b"guid", b"createtxg"],
            doing=f"listing the bookmarks of {entry.name}",
        )
        for short, properties in found.items():
            if properties[b"guid"][b"value"] == guid:
                name, createtxg = entry.name.encode() + b"#" + short, properties[b"createtxg"][b"value"]
                break
        else:
            raise WrongBase(f"{entry.name} has neither a snapshot nor a bookmark of GUID {guid}")
    if createtxg >= snapshot.createtxg:
        raise WrongBase(f"{name.decode()} is not older than {entry.name}@{snapshot.name}")
    return name


def receive(pool: ZfsPool, dataset_id: DatasetId, stream: int) -> SnapshotEntry:
    """
    As promised by ``Storage.receive``.
    """
    raw_header = _read_header(stream)
    header = zfs_stream_header.decoded(raw_header)
    pool.ensure_parent()
    name = names.dataset_name(pool.name, dataset_id)
    entry = pool.entry_of(name, snapshots=True)
    short = names.received_name(header.to_name, header.to_guid)
    if entry is None:
        _check_new(header, name)
    else:
        _check_existing(header, entry, short)
    kept = entry is not None and entry.resume_token is not None
    try:
        _receive(pool, f"{name}@{short}", stream, raw_header, header, new=entry is None or entry.inconsistent)
    except PoolFull:
        if not kept:
            # What has arrived would only keep the pool full.
            _abort(pool, name)
        raise
    return _received(pool, name, header)


def _receive(pool: ZfsPool, snapshot: str, stream: int, raw_header: bytes, header: StreamHeader, *, new: bool) -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, raw_header)
        record = pool.core.begin_record(reading)
    finally:
        os.close(reading)
        os.close(writing)
    pool.core.call(
        "lzc_receive_with_cmdprops",
        snapshot.encode(),
        stream,
        record,
        force=False,
        resumable=True,
        raw=header.raw,
        cmdprops=_NEW_REPLICA if new else {},
        doing=f"receiving {snapshot}",
        # Looked for just before: somebody changed the dataset at the same time.
        said={"DatasetNotFound": WrongBase, "ReceivePropertyFailure": _PropertiesNotSet},
    )


def _received(pool: ZfsPool, name: str, header: StreamHeader) -> SnapshotEntry:
    entry = pool.entry_of(name, snapshots=True)
    if entry is None:
        raise DatasetMissing(f"{name} was destroyed as soon as it was received")
    found = entry.snapshot(header.to_guid)
    if found is None:
        raise StreamCorrupt(f"{name} was received without the snapshot {header.to_guid} that its stream announced")
    return found


def _check_new(header: StreamHeader, name: str) -> None:
    if header.resuming:
        raise ResumeRefused(f"{name} isn't there, and the stream goes on with a part of it")
    if header.from_guid is not None:
        raise WrongBase(f"{name} isn't there, and the stream builds on its snapshot {header.from_guid}")


def _check_existing(header: StreamHeader, entry: DatasetEntry, short: str) -> None:
    mounted = zfs_mounts.mounts_of(entry.name)
    if mounted:
        raise DatasetBusy(f"{entry.name} is mounted at {', '.join(mounted)}")
    if entry.resume_token is not None:
        kept = resume_token.decoded(entry.resume_token)
        if not header.resuming or (kept.to_guid, kept.from_guid) != (header.to_guid, header.from_guid):
            raise ResumeRefused(
                f"{entry.name} keeps a part of snapshot {kept.to_guid}, and the stream doesn't go on with it"
            )
        return
    if header.resuming:
        raise ResumeRefused(f"{entry.name} keeps no partial receive, and the stream goes on with one")
    if entry.inconsistent:
        raise DatasetBusy(f"{entry.name} is being received already")
    if header.from_guid is None:
        raise DatasetExists(f"{entry.name} is here, and the stream carries a whole dataset")
    if entry.snapshot(header.from_guid) is None:
        raise WrongBase(f"{entry.name} has no snapshot {header.from_guid}, on which the stream builds")
    newest = entry.snapshots[-1]
    if newest.guid != header.from_guid:
        raise DatasetDiverged(f"{entry.name} has newer snapshots than the stream's base, up to {newest.name}")
    if any(snapshot.name == short for snapshot in entry.snapshots):
        raise SnapshotExists(f"{entry.name}@{short}")


def _read_header(stream: int) -> bytes:
    header = b""
    while len(header) < HEADER_BYTES:
        part = os.read(stream, HEADER_BYTES - len(header))
        header += part
        if not zfs_stream_header.could_begin(header):
            raise StreamCorrupt("what came is not a ZFS stream")
        if not part:
            raise StreamCut(f"the stream ended after {len(header)} bytes")
    return header


def _abort(pool: ZfsPool, name: str) -> None:
    entry = pool.entry_of(name)
    if entry is not None and entry.resume_token is not None:
        pool.abort_receive(entry)


class _PropertiesNotSet(StorageError):
    """
    A dataset was received, but what it is could not be written to it.
    """
