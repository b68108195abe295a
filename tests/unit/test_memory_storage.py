"""
The memory backend beyond the contract.
"""

from __future__ import annotations

import itertools
import os
import zlib
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyrsistent import pmap

from flocker_agent.storage.frames import FrameKind, FrameWriter
from flocker_agent.storage.memory import MemoryPool, MemoryStorage
from flocker_agent.storage.memory_stream import NOTHING, applied, body
from flocker_agent.storage.openings import Opening, opening_bytes
from flocker_py.model import DatasetId, Guid
from flocker_py.storage import Role, StreamCorrupt

ID = DatasetId(UUID(int=1))
contents = st.dictionaries(
    st.binary(max_size=3), st.binary(max_size=20) | st.integers(0, 3).map(lambda n: bytes([n]) * 70_000), max_size=4
)


@given(before=contents, after=contents)
def test_body(before: dict[bytes, bytes], after: dict[bytes, bytes]) -> None:
    """
    The steps from any content to any other lead there.
    """
    assert applied(pmap(before), body(before, after)) == pmap(after)


@given(steps=st.binary(max_size=100))
def test_nonsense(steps: bytes) -> None:
    """
    Whatever the steps are, they lead to some content or are refused.
    """
    try:
        result = applied(NOTHING, steps)
    except StreamCorrupt:
        return
    assert all(isinstance(part, bytes) for part in result.values())


@pytest.mark.parametrize(
    "steps",
    [
        b"\0",
        b"\0\1a" + b"\xff" * 8,
        b"\0\1a" + b"\xff" * 7 + b"\xfe",
        b"\0\1a" + (2).to_bytes(8) + (1).to_bytes(4) + (1).to_bytes(8) + (2).to_bytes(4) + b"xx",
        b"\0\1a" + (2).to_bytes(8) + (1).to_bytes(4) + (0).to_bytes(8) + (2).to_bytes(4) + b"x",
    ],
)
def test_refused_steps(steps: bytes) -> None:
    """
    Steps that break off, remove what isn't there, or don't fit are refused.
    """
    with pytest.raises(StreamCorrupt):
        applied(NOTHING, steps)


def storage_with_records() -> tuple[MemoryPool, MemoryStorage]:
    """
    A pool with a mounted dataset.
    """
    pool = MemoryPool(mount_root=Path("/somewhere"))
    guids = itertools.count(100)
    storage = MemoryStorage(pool, new_guid=lambda: next(guids))
    storage.create(ID, role=Role.OWNER, epoch=1)
    storage.mount(ID)
    storage.write(ID, b"1", b"one")
    return pool, storage


def test_read() -> None:
    """
    What was written is read.
    """
    _, storage = storage_with_records()

    assert (storage.read(ID, b"1"), dict(storage.content(ID))) == (b"one", {b"1": b"one"})


def test_read_nothing() -> None:
    """
    What was never written is not there.
    """
    _, storage = storage_with_records()

    with pytest.raises(FileNotFoundError):
        storage.read(ID, b"2")


def test_overwritten_and_removed() -> None:
    """
    Room that is no longer taken is free again.
    """
    _, storage = storage_with_records()
    before = storage.free_bytes()
    storage.write(ID, b"2", b"two")
    storage.write(ID, b"2", b"longer")

    storage.remove(ID, b"2")

    assert storage.free_bytes() == before


@pytest.mark.parametrize("dataset_id", [ID, DatasetId(UUID(int=2))])
def test_writing_to_what_is_not_mounted(dataset_id: DatasetId) -> None:
    """
    What is not mounted can't be written to.
    """
    _, storage = storage_with_records()
    storage.unmount(ID)

    with pytest.raises(FileNotFoundError):
        storage.write(dataset_id, b"1", b"two")


def test_reboot() -> None:
    """
    After a restart of the host nothing is mounted, and all else is as it was.
    """
    pool, storage = storage_with_records()
    before = storage.dataset(ID)

    pool.reboot()

    assert (before.mounted_at, storage.dataset(ID)) == (f"/somewhere/{ID}", before.set(mounted_at=None))


def test_guids_of_a_simulation() -> None:
    """
    A simulation says which GUIDs there are.
    """
    _, storage = storage_with_records()

    assert storage.snapshot(ID, "one").guid == 100


OPENING = Opening(backend="memory", to_guid=Guid(5), to_name="a", data_bytes=0)
Frames = list[tuple[FrameKind, bytes, int]]


@pytest.mark.parametrize(
    "frames",
    [
        [(FrameKind.DATA, b"", 0)],
        [(FrameKind.OPENING, opening_bytes(OPENING), 0), (FrameKind.OPENING, opening_bytes(OPENING), 0)],
        [(FrameKind.OPENING, opening_bytes(OPENING), 0), (FrameKind.DATA, b"x", 1)],
        [(FrameKind.OPENING, opening_bytes(OPENING), 0), (FrameKind.END, b"\0\0\0\1", 0)],
        [
            (FrameKind.OPENING, opening_bytes(OPENING), 0),
            (FrameKind.DATA, b"x", 0),
            (FrameKind.END, zlib.crc32(b"x").to_bytes(4), 1),
        ],
    ],
)
def test_stream_out_of_order(frames: Frames) -> None:
    """
    Good frames in an order that makes no sense are refused, and leave nothing.
    """
    storage = MemoryStorage(MemoryPool())
    reading, writing = os.pipe()
    writer = FrameWriter(writing)
    for kind, payload, position in frames:
        writer.write(kind, payload, position=position)
    os.close(writing)
    with pytest.raises(StreamCorrupt):
        storage.receive(ID, reading)
    os.close(reading)

    assert dict(storage.datasets()) == {}
