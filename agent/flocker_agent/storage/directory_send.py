"""
The sending side of the directory backend.

A stream is an opening, the steps (see ``directory_steps``), the data in parts of up to 1 MiB, and an end; one that goes
on after a cut has no steps, and its data begins where the receiver's token says. The same pair of snapshots always
makes the same stream.
"""

from __future__ import annotations

import zlib

from flocker_agent.storage.directory_manifest import Segment
from flocker_agent.storage.directory_packs import PackReader, data_parts
from flocker_agent.storage.directory_snapshots import entries_of
from flocker_agent.storage.directory_state import DatasetPaths, DatasetState
from flocker_agent.storage.directory_steps import steps
from flocker_agent.storage.frames import HEADER_BYTES, PAYLOAD_LIMIT_BYTES, FrameKind, FrameWriter
from flocker_agent.storage.openings import Opening, opening_bytes
from flocker_agent.storage.rules import checked_base
from flocker_agent.storage.tokens import resume_position
from flocker_py.storage import SendPlan

BACKEND = "directory"


class Outgoing:
    """
    One stream, before it is sent.

    :raises SnapshotMissing: there is no such snapshot.
    :raises WrongBase: it can't build on that base.
    :raises ResumeRefused: the token is not of this stream.
    """

    def __init__(self, paths: DatasetPaths, state: DatasetState, plan: SendPlan) -> None:
        snapshot = state.snapshot(plan.to_guid)
        if plan.from_guid is not None:
            checked_base(state.ages, plan.to_guid, plan.from_guid)
        self._paths = paths
        self._steps, self._data = steps(entries_of(paths, plan.from_guid), entries_of(paths, plan.to_guid))
        data_bytes = sum(segment.length for segment in self._data)
        key = zlib.crc32(self._steps)
        self._opening = Opening(
            backend=BACKEND,
            to_guid=plan.to_guid,
            to_name=snapshot.name,
            created_at_seconds=snapshot.created_at_seconds,
            from_guid=plan.from_guid,
            resume_position=resume_position(plan, data_bytes, key),
            data_bytes=data_bytes,
            key=key,
        )

    @property
    def estimate_bytes(self) -> int:
        """
        How long the stream will be, to the byte.
        """
        opening, position = self._opening, self._opening.resume_position
        rest_bytes = opening.data_bytes - (position or 0)
        steps_bytes = len(self._steps) if position is None else 0
        frames = 2 + -(-rest_bytes // PAYLOAD_LIMIT_BYTES) + -(-steps_bytes // PAYLOAD_LIMIT_BYTES)
        return rest_bytes + steps_bytes + len(opening_bytes(opening)) + frames * HEADER_BYTES

    def send(self, stream: int) -> None:
        """
        Write it. Blocks until all is written.

        :param stream: descriptor of the writing end of a pipe.
        :raises StreamCut: the reading end was closed.
        """
        frames = FrameWriter(stream)
        frames.write(FrameKind.OPENING, opening_bytes(self._opening))
        position = self._opening.resume_position
        if position is None:
            position = 0
            for start in range(0, len(self._steps), PAYLOAD_LIMIT_BYTES):
                part = memoryview(self._steps)[start : start + PAYLOAD_LIMIT_BYTES]
                frames.write(FrameKind.ENTRIES, part, position=start)
        buffer = memoryview(bytearray(PAYLOAD_LIMIT_BYTES))
        with PackReader(self._paths.packs) as packs:
            for parts in data_parts(self._data, position, PAYLOAD_LIMIT_BYTES):
                filled = _filled(packs, parts, buffer)
                frames.write(FrameKind.DATA, filled, position=position)
                position += len(filled)
        frames.write(FrameKind.END, position=position)


def _filled(packs: PackReader, parts: list[Segment], buffer: memoryview) -> memoryview:
    length = 0
    for part in parts:
        packs.fill(buffer[length : length + part.length], part.pack, part.pack_offset)
        length += part.length
    return buffer[:length]
