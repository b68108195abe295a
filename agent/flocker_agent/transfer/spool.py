"""
The elastic buffer between a connection and the storage backend that takes its data in.

A pool that commits takes nothing for a while, on disks for seconds. The sender must not stand still with it.
"""

from __future__ import annotations

import os
import threading
from collections import deque

from flocker_agent.transfer.channel import Piece
from flocker_agent.transfer.pipes import Pipe
from flocker_agent.transfer.wake import Wake
from flocker_py.streams import DATA_LIMIT_BYTES


class Pieces:
    """
    Buffers for pieces of a stream, used again and again. Methods may be called from any thread.
    """

    def __init__(self) -> None:
        self._free: list[Piece] = []

    def take(self) -> Piece:
        """
        A buffer for the largest piece there may be. The one given back last, as it is most likely in the cache.
        """
        try:
            return self._free.pop()
        except IndexError:
            return Piece(DATA_LIMIT_BYTES)

    def give_back(self, piece: Piece) -> None:
        """
        Let it be used again.
        """
        self._free.append(piece)


class Spool:
    """
    What has come and is not yet written to a pipe, and the thread that writes it.

    :param limit_bytes: how much may be held; two pieces at least are.
    :param wake: set when there is room again, and when all is written.
    """

    def __init__(self, name: str, pipe: Pipe, pieces: Pieces, *, limit_bytes: int, wake: Wake) -> None:
        self._pipe = pipe
        self._pieces = pieces
        self._limit_bytes = max(limit_bytes, 2 * DATA_LIMIT_BYTES)
        self._wake = wake
        self._queue: deque[Piece] = deque()
        self._held_bytes = 0
        self._ended = False
        self._refused_bytes = 0
        self._waited_for = False
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def has_room(self) -> bool:
        """
        Whether another piece may be put in. If not, ``wake`` is set as soon as one may.
        """
        with self._change:
            room = self._held_bytes + DATA_LIMIT_BYTES <= self._limit_bytes
            self._waited_for = not room
            return room

    def put(self, piece: Piece) -> None:
        """
        Add a piece; it is the spool's from now on.
        """
        with self._change:
            self._queue.append(piece)
            self._held_bytes += piece.size_bytes
            self._change.notify()

    def end(self, *, discard: bool = False) -> None:
        """
        Nothing more comes: write what is held, then close the pipe's writing end.

        :param discard: close it at once, and write nothing more.
        """
        with self._change:
            self._ended = True
            if discard:
                self._queue.clear()
            self._change.notify()

    def wait_until_written(self) -> None:
        """
        Wait until the pipe's writing end is closed. Comes to an end if the reading end is closed, or read from.
        """
        self._thread.join()

    @property
    def refused_bytes(self) -> int:
        """
        How much could not be written since nobody read the pipe any more.
        """
        return self._refused_bytes

    def _run(self) -> None:
        try:
            while (piece := self._next()) is not None:
                self._write(piece.view())
                self._pieces.give_back(piece)
                with self._change:
                    self._held_bytes -= piece.size_bytes
                    if self._waited_for:
                        self._waited_for = False
                        self._wake.set()
        finally:
            self._pipe.close_writing()
            self._wake.set()

    def _next(self) -> Piece | None:
        with self._change:
            while not self._queue and not self._ended:
                self._change.wait()
            return self._queue.popleft() if self._queue else None

    def _write(self, view: memoryview) -> None:
        try:
            while view:
                view = view[os.write(self._pipe.writing, view) :]
        except BrokenPipeError:
            # Why the backend stopped reading is what its own call says.
            self._refused_bytes += len(view)
