"""
Be told by the kernel (inotify(7)) when a container's supervisor writes its status, or ends.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from flocker_agent.runtime.process_files import LOCK_FILE, STATUS_FILE
from flocker_py.runtime import ContainerRuntimeError

# <sys/inotify.h>
_IN_CLOSE_WRITE = 0x0008
_IN_MOVED_TO = 0x0080
_IN_CREATE = 0x0100
_IN_Q_OVERFLOW = 0x4000
_IN_IGNORED = 0x8000
_IN_ONLYDIR = 0x01000000

_EVENT = struct.Struct("iIII")
_READ_BYTES = 1 << 16
_LETTING_GO_SECONDS = 1.0
_BRIEFLY_SECONDS = 0.001

_libc = ctypes.CDLL(None, use_errno=True)


class WatchRefused(ContainerRuntimeError):
    """
    The kernel watches no more folders for this user. Raise fs.inotify.max_user_instances or max_user_watches.
    """


def watch_folders(root: Path, changed: Callable[[str], None], *, held: Callable[[str], bool]) -> Callable[[], None]:
    """
    Call back, from a thread of its own, with the name of a folder whose container may have changed.

    :param root: holds a folder per container, now or later.
    :param held: answers whether the container of a folder is held.
    :returns: call it to end this; when it returns, there are no more calls back.
    :raises WatchRefused: the kernel has no more watches to give.
    """
    watcher = _Watcher(root, changed, held)
    thread = threading.Thread(target=watcher.watch, name="watch containers", daemon=True)
    thread.start()

    def end() -> None:
        watcher.end()
        if threading.current_thread() is not thread:
            thread.join()

    return end


class _Watcher:
    def __init__(self, root: Path, changed: Callable[[str], None], held: Callable[[str], bool]) -> None:
        self._root = root
        self._changed = changed
        self._held = held
        self._ended = False
        self._inotify = _checked(_libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
        self._wake, self._wake_end = os.pipe2(os.O_CLOEXEC)
        self._folders: dict[int, str] = {}
        self._root_watch = self._add(root, _IN_CREATE | _IN_MOVED_TO)
        for folder in root.iterdir():
            self._follow(folder.name)

    def end(self) -> None:
        if not self._ended:
            self._ended = True
            os.close(self._wake_end)

    def watch(self) -> None:
        poll = select.poll()
        poll.register(self._inotify, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while not self._ended:
            poll.poll()
            for folder in self._news():
                if not self._ended:
                    self._tell(folder)
        os.close(self._inotify)
        os.close(self._wake)

    def _tell(self, folder: str) -> None:
        try:
            self._changed(folder)
        except Exception:  # noqa: BLE001  # whatever it is, it is shown, and the next is told all the same
            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))

    def _news(self) -> Iterator[str]:
        """
        The folders that the events that are there now are about, each once.
        """
        seen: dict[str, None] = {}
        for watch, mask, name in self._events():
            if mask & _IN_Q_OVERFLOW:
                seen.update(dict.fromkeys(folder.name for folder in self._root.iterdir()))
            elif watch == self._root_watch:
                if self._follow(name):
                    seen[name] = None
            elif mask & _IN_IGNORED:
                self._folders.pop(watch, None)
            elif watch in self._folders and self._matters(self._folders[watch], mask, name):
                seen[self._folders[watch]] = None
        yield from seen

    def _matters(self, folder: str, mask: int, name: str) -> bool:
        if mask & _IN_MOVED_TO:
            return name == STATUS_FILE
        if name != LOCK_FILE:
            return False
        # The kernel tells of the closing of a file an instant before it lets go of its locks.
        deadline = time.monotonic() + _LETTING_GO_SECONDS
        while self._held(folder) and time.monotonic() < deadline:
            time.sleep(_BRIEFLY_SECONDS)
        return True

    def _events(self) -> Iterator[tuple[int, int, str]]:
        try:
            data = os.read(self._inotify, _READ_BYTES)
        except BlockingIOError:
            return
        position = 0
        while position < len(data):
            watch, mask, _, length = _EVENT.unpack_from(data, position)
            position += _EVENT.size
            yield watch, mask, os.fsdecode(data[position : position + length].rstrip(b"\0"))
            position += length

    def _follow(self, folder: str) -> bool:
        try:
            self._folders[self._add(self._root / folder, _IN_MOVED_TO | _IN_CLOSE_WRITE)] = folder
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def _add(self, folder: Path, mask: int) -> int:
        return _checked(_libc.inotify_add_watch(self._inotify, os.fsencode(folder), mask | _IN_ONLYDIR))


def _checked(answer: int) -> int:
    if answer >= 0:
        return answer
    number = ctypes.get_errno()
    failure = OSError(number, os.strerror(number))
    if isinstance(failure, (FileNotFoundError, NotADirectoryError)):
        raise failure
    raise WatchRefused(f"inotify: {failure.strerror}")
