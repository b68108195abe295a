"""
The receiving side of the directory backend.

What arrives lies in the dataset's ``receiving`` folder until it is all there: the opening, the steps, the new pack, and
how far that is. Then the live tree is brought to the new state, and one write of the dataset's record makes it the
newest snapshot. Killed at any moment, what had arrived is still there, less than 8 MiB of it left out.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flocker_agent.storage.directory_apply import Restoration
from flocker_agent.storage.directory_files import FOLDER_FLAGS, sync_folder, write_all
from flocker_agent.storage.directory_manifest import Entry, Segment
from flocker_agent.storage.directory_mounts import boot_id
from flocker_agent.storage.directory_packs import PackReader, data_parts
from flocker_agent.storage.directory_pool import DirectoryPool
from flocker_agent.storage.directory_send import BACKEND
from flocker_agent.storage.directory_snapshots import commit, entries_of, rebuilt, repaired
from flocker_agent.storage.directory_state import DatasetPaths, DatasetState, RecordUnreadable
from flocker_agent.storage.directory_steps import taken
from flocker_agent.storage.frames import FrameHeader, FrameKind, FrameReader
from flocker_agent.storage.openings import Opening, opening_bytes, parsed_opening
from flocker_agent.storage.rules import Kept
from flocker_py.model import DatasetId
from flocker_py.storage import StorageError, StreamCorrupt

# So much is sent again, at most, after kill -9; and so much is to be written to disk at once, at most.
_NOTED_BYTES = 4 * 1024 * 1024
_SYNCED_BYTES = 64 * 1024 * 1024
_STEPS_LIMIT_BYTES = 1 << 30
_NOTE_BYTES = 256


class Arrival:
    """
    A partial receive, in its folder.

    :param folder: that it is in.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.pack = folder / "pack"

    @property
    def exists(self) -> bool:
        """
        Whether anything is kept.
        """
        return self._folder.is_dir()

    def make(self, opening: Opening, steps: bytes) -> None:
        """
        Begin, with no data. It outlives this process at once, and the host once data was synced.
        """
        self._folder.mkdir(mode=0o700)
        contents = {
            "opening": opening_bytes(opening.set(resume_position=None)),
            "steps": steps,
            "pack": b"",
            "position": self._note(0, None),
        }
        for name, content in contents.items():
            (self._folder / name).write_bytes(content)

    def opening(self) -> Opening:
        """
        What the stream said of itself.
        """
        return parsed_opening((self._folder / "opening").read_bytes(), BACKEND)

    def steps(self) -> bytes:
        """
        The steps that the stream brought.
        """
        return (self._folder / "steps").read_bytes()

    def kept(self) -> Kept:
        """
        How far it is.
        """
        opening, position = self.opening(), self._position()
        if position is None:
            raise RecordUnreadable(f"{self._folder}: nothing of it is certain since the host was down")
        return Kept(to_guid=opening.to_guid, from_guid=opening.from_guid, key=opening.key, position=position)

    @property
    def is_lost(self) -> bool:
        """
        Whether nothing of it is certain to be there, since the host was down.
        """
        try:
            self.opening()
            return self._position() is None
        except (OSError, ValueError, KeyError, StreamCorrupt):
            return True

    def _position(self) -> int | None:
        # After the host was down, only what was synced is certainly in the file.
        note = json.loads((self._folder / "position").read_bytes())
        position: int | None = note["noted"] if note["boot"] == boot_id() else note["synced"]
        return position

    def _harden(self) -> None:
        for name in ("opening", "steps", "position"):
            descriptor = os.open(self._folder / name, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        for folder in (self._folder, self._folder.parent):
            sync_folder(folder)

    @contextmanager
    def writing(self, data: list[Segment]) -> Iterator[DataWriter]:
        """
        Go on with the data. How far it came is noted in the end, whatever ends it.

        :param data: where all of it goes.
        """
        start = self.kept().position
        pack = os.open(self.pack, os.O_RDWR)
        position = os.open(self._folder / "position", os.O_RDWR)
        writer = DataWriter(pack, start, data, lambda noted, synced: write_all(position, self._note(noted, synced), 0))
        try:
            yield writer
            writer.sync()
        except StorageError:
            # Cut or damaged: what came before is good.
            writer.sync()
            self._harden()
            raise
        except OSError:
            # The disk is full, or worse: as if nothing of this stream had come.
            writer.forget(start)
            raise
        finally:
            os.close(pack)
            os.close(position)

    @staticmethod
    def _note(noted: int, synced: int | None) -> bytes:
        # Always as long, so that one write replaces it.
        return json.dumps({"boot": boot_id(), "noted": noted, "synced": synced}).encode().ljust(_NOTE_BYTES)


class DataWriter:
    """
    Writes a stream's data to its places in a pack.

    :param pack: descriptor of the pack.
    :param position: how much of the data is there already.
    :param data: where all of it goes.
    :param note: called with how much is there, and how much of it is synced.
    """

    def __init__(self, pack: int, position: int, data: list[Segment], note: Callable[[int, int], object]) -> None:
        self.position = position
        self._pack = pack
        self._data = data
        self._note = note
        self._noted = self._synced = position
        self._places = data_places(data, position)
        self._place: Segment | None = None

    def write(self, payload: memoryview) -> None:
        """
        Write what comes next.

        :raises StreamCorrupt: there is no more place for data.
        """
        while payload:
            place = self._place or next(self._places, None)
            if place is None:
                raise StreamCorrupt("More data came than the steps have a use for")
            part = payload[: place.length]
            write_all(self._pack, part, place.pack_offset)
            self.position += len(part)
            payload = payload[len(part) :]
            self._place = None
            if len(part) < place.length:
                self._place = place._replace(length=place.length - len(part), pack_offset=place.pack_offset + len(part))
        if self.position - self._synced >= _SYNCED_BYTES:
            self.sync()
        elif self.position - self._noted >= _NOTED_BYTES:
            self._noted = self.position
            self._note(self.position, self._synced)

    def sync(self) -> None:
        """
        Make what has been written durable.
        """
        os.fdatasync(self._pack)
        self._noted = self._synced = self.position
        self._note(self.position, self.position)

    def forget(self, position: int) -> None:
        """
        Give back what was written after a position.
        """
        place = next(data_places(self._data, position), None)
        if place is not None:
            os.ftruncate(self._pack, min(place.pack_offset, os.fstat(self._pack).st_size))
        self._note(position, position)


class Receive:
    """
    One receive, from the first byte after the opening on.

    :param present: the dataset's record; None: it isn't there yet.
    """

    def __init__(
        self, pool: DirectoryPool, dataset_id: DatasetId, present: DatasetState | None, opening: Opening
    ) -> None:
        self._pool = pool
        self._dataset_id = dataset_id
        self._present = present
        self._opening = opening
        self._paths = pool.paths(dataset_id)
        self._arrival = Arrival(self._paths.receiving)

    def run(self, frames: FrameReader) -> None:
        """
        Take the stream in.

        :raises StorageError: as promised by ``Storage.receive``.
        """
        header, payload = frames.read()
        if self._opening.resume_position is None:
            steps = bytearray()
            while header.kind is FrameKind.ENTRIES and len(steps) < _STEPS_LIMIT_BYTES:
                _refuse_gap(header, len(steps))
                steps += payload
                header, payload = frames.read()
            entries, data = self._taken(bytes(steps))
            self._begin(bytes(steps))
        else:
            entries, data = self._taken(self._arrival.steps())
        try:
            with self._arrival.writing(data) as writer:
                while header.kind is FrameKind.DATA:
                    _refuse_gap(header, writer.position)
                    writer.write(payload)
                    header, payload = frames.read()
                _refuse_gap(header, writer.position)
                if header.kind is not FrameKind.END or writer.position != self._opening.data_bytes:
                    raise StreamCorrupt(f"The data ends at {writer.position} of {self._opening.data_bytes} bytes")
            self._finish(entries)
        except OSError:
            if self._opening.resume_position is None:
                self.undo()
            raise

    def undo(self) -> None:
        """
        Throw away what has arrived; a dataset that was nothing else is gone.
        """
        if self._present is None:
            self._pool.discard(self._paths.root)
        else:
            self._pool.discard(self._paths.receiving)

    def _taken(self, steps: bytes) -> tuple[dict[bytes, Entry], list[Segment]]:
        before = entries_of(self._paths, self._opening.from_guid)
        if zlib.crc32(steps) != self._opening.key:
            raise StreamCorrupt("The steps are not those that the stream began with")
        return taken(before, steps, self._opening.data_bytes, self._next_pack())

    def _next_pack(self) -> int:
        return DatasetState(dataset_id=self._dataset_id).next_pack if self._present is None else self._present.next_pack

    def _begin(self, steps: bytes) -> None:
        with self._pool.new_folder() as fresh:
            if self._present is None:
                made = DatasetPaths(fresh)
                made.make(DatasetState(dataset_id=self._dataset_id, whole=False), live=False)
                Arrival(made.receiving).make(self._opening, steps)
                self._pool.move(fresh, self._paths.root)
            else:
                Arrival(fresh).make(self._opening, steps)
                fresh.rename(self._paths.receiving)

    def _finish(self, entries: dict[bytes, Entry]) -> None:
        with self._pool.changing(self._dataset_id) as state:
            packs = PackReader(self._paths.packs, {state.next_pack: self._arrival.pack})
            marked = self._restored(state, entries, packs) if state.whole else rebuilt(self._paths, entries, packs)
            self._pool.settled_ns[self._dataset_id] = time.monotonic_ns()
            pack = self._paths.packs / str(state.next_pack)
            pack.unlink(missing_ok=True)
            if self._opening.data_bytes:
                # A second name, not a move: should the commit fail, what has arrived is still all there.
                pack.hardlink_to(self._arrival.pack)
            commit(
                self._paths,
                state,
                self._opening.to_guid,
                self._opening.to_name,
                marked,
                clean=True,
                created_at_seconds=self._opening.created_at_seconds,
            )
            self._pool.sweep(self._paths.receiving)

    def _restored(self, state: DatasetState, entries: dict[bytes, Entry], packs: PackReader) -> dict[bytes, Entry]:
        if state.dirty_guid not in {None, self._opening.to_guid}:
            state = repaired(self._pool, state)
        before = entries_of(self._paths, self._opening.from_guid)
        self._paths.save(state.set(dirty_guid=self._opening.to_guid))
        root = os.open(self._paths.live / "data", FOLDER_FLAGS)
        try:
            with packs:
                try:
                    return Restoration(root, before, entries, packs).run()
                except OSError:
                    # If that fails too, the record says so, and the live tree is made anew before anybody sees it.
                    Restoration(root, entries, before, packs).run()
                    self._paths.save(state)
                    raise
        finally:
            os.close(root)


def data_places(data: list[Segment], position: int) -> Iterator[Segment]:
    """
    Where data goes from a position on.
    """
    for parts in data_parts(data, position, 1 << 62):
        yield from parts


def _refuse_gap(header: FrameHeader, position: int) -> None:
    if header.position != position:
        raise StreamCorrupt(f"The {header.kind.name.lower()} of position {header.position} came at {position}")
