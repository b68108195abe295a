"""
Fault points as a program meets them: it tells that it has arrived, and goes no further until it is killed or let go.

What is wanted of a program is told by files in a folder of its own, made by ``tests.faults.arming``:

==================  ==================================================================================================
file                what it is
==================  ==================================================================================================
``NAME.armed``      the next arrival at this point is wanted (``Wanted``, as JSON)
``NAME.claimed``    the same, between being found and being told
``NAME.arrived``    the program has arrived, and stands still
``NAME.go``         made to let go what is held
``passed``          a line for every point passed, with the dataset
==================  ==================================================================================================
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

FOLDER_VARIABLE = "FLOCKER_TEST_FAULTS"
STOP, HOLD = "stop", "hold"
_POLL_SECONDS = 0.005


class Wanted(NamedTuple):
    """
    What is to be done at a point.

    :ivar point: the half of its name that the program knows.
    :ivar mode: ``stop`` the whole process where it is, as a kill would; or ``hold`` only what has arrived.
    :ivar dataset_id: only there; None: whichever dataset it is.
    :ivar also: ids of processes that are stopped at the same instant.
    """

    point: str
    mode: str = STOP
    dataset_id: str | None = None
    also: tuple[int, ...] = ()


class Arrivals:
    """
    The fault points of this process.

    :param folder: of its files; must be there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._passed = os.open(folder / "passed", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def at(self, point: str, dataset_id: object = None) -> None:
        """
        This thread has arrived. Returns when it may go on, mostly at once.
        """
        claimed = self._claimed(point, str(dataset_id))
        if claimed is None:
            return
        path, wanted = claimed
        self._tell(path, wanted)
        if wanted.mode == HOLD:
            while not path.with_suffix(".go").exists():
                time.sleep(_POLL_SECONDS)

    async def at_async(self, reactor: Any, point: str, dataset_id: object = None) -> None:
        """
        The same for a coroutine: the reactor runs on while it is held.
        """
        claimed = self._claimed(point, str(dataset_id))
        if claimed is None:
            return
        path, wanted = claimed
        self._tell(path, wanted)
        if wanted.mode == HOLD:
            from twisted.internet.task import deferLater

            while not path.with_suffix(".go").exists():
                await deferLater(reactor, _POLL_SECONDS, lambda: None)

    def _claimed(self, point: str, dataset_id: str) -> tuple[Path, Wanted] | None:
        os.write(self._passed, f"{point} {dataset_id}\n".encode())
        with self._lock:
            for path in self._folder.glob("*.armed"):
                # It may have been taken back at this very moment.
                with suppress(FileNotFoundError):
                    wanted = Wanted(**json.loads(path.read_text()))
                    if wanted.point == point and wanted.dataset_id in (None, dataset_id):
                        return path.rename(path.with_suffix(".claimed")), wanted
        return None

    def _tell(self, path: Path, wanted: Wanted) -> None:
        for pid in wanted.also:
            # One of them may have ended by itself.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        path.rename(path.with_suffix(".arrived"))
        if wanted.mode == STOP:
            # To this thread: it executes nothing more, and the others stop with it.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
