"""
Being told of what happens to containers of Docker, over restarts of the engine.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from eliot import log_message

from flocker_agent.runtime.docker_engine import DockerEngine, EngineAway, EngineRefused
from flocker_agent.runtime.docker_spec import name_of
from flocker_py.model import ContainerName

_FIRST_WAIT_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 5.0
_ENDING_SECONDS = 5.0
# What Docker calls what changes a container. It also tells of every command that a check of its health runs.
_MATTERING = frozenset(
    (
        "create",
        "destroy",
        "die",
        "health_status",
        "kill",
        "oom",
        "pause",
        "rename",
        "restart",
        "start",
        "stop",
        "unpause",
        "update",
    )
)
_OUT_OF_MEMORY = "oom"


class Watch:
    """
    A thread that follows the events of an engine.

    :param label: of the containers that matter.
    :param present: their names; asked whenever events may have been missed.
    """

    def __init__(
        self,
        engine: DockerEngine,
        label: str,
        present: Callable[[], list[ContainerName]],
        changed: Callable[[ContainerName], None],
    ) -> None:
        self._engine = engine
        self._label = label
        self._present = present
        self._changed = changed
        self._over = threading.Event()
        self._begun = threading.Event()
        self._hang_up: Callable[[], None] = lambda: None
        self._guard = threading.Lock()
        self._thread = threading.Thread(target=self._follow, name="docker-events", daemon=True)
        self._thread.start()
        # What happens from now on is told, if there is an engine.
        self._begun.wait(_LONGEST_WAIT_SECONDS)

    def end(self) -> None:
        """
        Nothing is told any more. Harmless if it has ended.
        """
        with self._guard:
            self._over.set()
            hang_up = self._hang_up
        # What can't be hung up is no longer connected, or ends with its engine: nothing is left to do about it.
        with contextlib.suppress(Exception):
            hang_up()
        if self._thread is not threading.current_thread():
            self._thread.join(_ENDING_SECONDS)

    def _follow(self) -> None:
        wait_seconds = _FIRST_WAIT_SECONDS
        known: set[ContainerName] = set()
        while not self._over.is_set():
            try:
                events, hang_up = self._engine.events(self._label)
                with self._guard:
                    self._hang_up = hang_up
                wait_seconds = _FIRST_WAIT_SECONDS
                try:
                    self._listen(events, known)
                finally:
                    with contextlib.suppress(Exception):
                        hang_up()
            except (EngineAway, EngineRefused):
                pass
            except Exception:  # noqa: BLE001  # the SDK fails in many ways where a stream is closed under it
                if not self._over.is_set():
                    threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
            self._begun.set()
            for name in sorted(known):
                if self._over.is_set():
                    return
                self._tell(name)
            self._over.wait(wait_seconds)
            wait_seconds = min(2 * wait_seconds, _LONGEST_WAIT_SECONDS)

    def _listen(self, events: Iterator[dict[str, Any]], known: set[ContainerName]) -> None:
        """
        Tell of what happens, until the engine goes or the watch is over.

        :param known: the containers that were there when it was last known; changed as that changes.
        """
        if self._over.is_set():
            return
        # It was away, or we were: whatever was there then, or is now, may have changed.
        present = set(self._present())
        if self._begun.is_set():
            for name in sorted(known | present):
                self._tell(name)
        known.clear()
        known.update(present)
        self._begun.set()
        for event in events:
            if self._over.is_set():
                return
            self._happened(event["Action"].partition(":")[0], name_of(event["Actor"]["Attributes"]), known)

    def _happened(self, action: str, name: ContainerName, known: set[ContainerName]) -> None:
        if action == _OUT_OF_MEMORY:
            log_message(message_type="flocker:docker:out-of-memory", name=name)
        if action in _MATTERING:
            known.add(name)
            self._tell(name)

    def _tell(self, name: ContainerName) -> None:
        if self._over.is_set():
            return
        try:
            self._changed(name)
        except Exception:  # noqa: BLE001  # whatever it is, it is shown, and the next is told all the same
            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
