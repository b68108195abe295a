"""
Where the logs go: one JSON object a line, causally linked by eliot, written by a thread of its own.
"""

from __future__ import annotations

import json
import logging
import logging.config
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

from eliot import FileDestination, add_destinations, log_message
from eliot.logwriter import ThreadedWriter
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogBeginner
from zope.interface import implementer

LOGGER = "flocker"
"""The name under which messages reach Python's own logging, where ``logging`` in agent.yml asks for that."""


@implementer(ILogObserver)
class _FromTwisted:
    """
    What Twisted and libraries on it log, as eliot messages.
    """

    def __call__(self, event: LogEvent) -> None:
        level = event.get("log_level", LogLevel.info)
        failure = event.get("log_failure")
        if level < LogLevel.warn and failure is None:
            return
        log_message(
            message_type="twisted:log",
            level=level.name,
            namespace=event.get("log_namespace", ""),
            message=formatEvent(event),
            traceback=None if failure is None else failure.getTraceback(),
        )


def _to_python_logging(message: Mapping[str, Any]) -> None:
    logging.getLogger(LOGGER).info(json.dumps(message, default=str, sort_keys=True))


def start_logging(
    reactor: Any, path: Path | None = None, *, python_logging: Mapping[str, Any] | None = None
) -> Callable[[], None]:
    """
    Log to a file, or to standard error.

    :param path: of a file that is appended to; made with mode 0600 if it isn't there.
    :param python_logging: in the form of ``logging.config.dictConfig``; messages go there too, as logger ``flocker``.
    :returns: call it last of all: it writes what is still to be written.
    :raises OSError: the file can't be opened.
    :raises ValueError: ``python_logging`` is not in that form.
    """
    file: TextIO = sys.stderr
    if path is not None:
        path.touch(mode=0o600)
        file = path.open("a", buffering=1)
    if python_logging is not None:
        logging.config.dictConfig(dict(python_logging))
        add_destinations(_to_python_logging)
    writer = ThreadedWriter(FileDestination(file=file), reactor)
    # It adds itself to eliot's destinations, and removes itself when it is stopped.
    writer.startService()
    from_twisted: Any = _FromTwisted()  # pyright doesn't follow zope's interfaces
    globalLogBeginner.beginLoggingTo([from_twisted], redirectStandardIO=False, discardBuffer=True)

    def stop() -> None:
        writer.stopService()

    return stop
