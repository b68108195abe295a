"""
Server-sent events, as they arrive: bytes in, events out (WHATWG HTML, section 9.2, event stream interpretation).
"""

from __future__ import annotations

from flocker_py.records import Record, value

# A line longer than this is no event of ours; nothing grows without bound because of it.
LINE_LIMIT_BYTES = 4 * 1024 * 1024


class StreamTooLong(ValueError):
    """
    A line of the stream has no end.
    """


class Event(Record):
    """
    One event.

    :param name: what kind it is; ``message`` where the stream doesn't say.
    :param event_id: the last one that the stream said; empty: none yet.
    """

    name: str = value(str, default="message")
    data: str = value(str, default="")
    event_id: str = value(str, default="")


class EventReader:
    """
    Puts events together from pieces of a stream.

    :raises StreamTooLong: from ``take``.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._name = ""
        self._data: list[str] = []
        self._event_id = ""

    def take(self, data: bytes) -> list[Event]:
        """
        The events that are complete with these bytes.
        """
        # One kind of line end is enough to look for; a carriage return at the end may be half of one.
        *lines, self._rest = (self._rest + data).replace(b"\r\n", b"\n").split(b"\n")
        if len(self._rest) > LINE_LIMIT_BYTES:
            raise StreamTooLong(f"more than {LINE_LIMIT_BYTES} bytes without an end of line")
        found = [self._line(line.decode("utf-8", "replace")) for line in lines]
        return [event for event in found if event is not None]

    def _line(self, line: str) -> Event | None:
        if not line:
            return self._finished()
        field, _, text = line.partition(":")
        text = text.removeprefix(" ")
        match field:
            case "event":
                self._name = text
            case "data":
                self._data.append(text)
            case "id":
                self._event_id = text
            case _:
                pass  # a comment, or a field that means nothing to us
        return None

    def _finished(self) -> Event | None:
        name, data = self._name, self._data
        self._name, self._data = "", []
        if not data:
            return None
        return Event(name=name or "message", data="\n".join(data), event_id=self._event_id)
