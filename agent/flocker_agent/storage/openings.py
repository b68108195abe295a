"""
What the streams of the embedded backends say of themselves before their first byte of data. Pure.
"""

from __future__ import annotations

import json

from pyrsistent import InvariantException

from flocker_py.model import Guid
from flocker_py.records import Record, value
from flocker_py.storage import StreamCorrupt

_NONE = type(None)
_VERSION = 1


class Opening(Record):
    """
    The first frame of a stream.

    :param backend: whose stream it is; no other can read it.
    :param to_name: what the snapshot is called where it comes from.
    :param resume_position: where in its data the stream goes on; None: it begins.
    :param data_bytes: how much data the whole stream has.
    :param key: tells streams apart that bring the same snapshot in different ways.
    :param created_at_seconds: when the snapshot was taken, since the epoch of Unix; None: not known.
    """

    backend: str = value(str)
    to_guid: Guid = value(int)
    to_name: str = value(str)
    from_guid: Guid | None = value((int, _NONE), default=None)
    resume_position: int | None = value((int, _NONE), default=None)
    data_bytes: int = value(int)
    key: int = value(int, default=0)
    created_at_seconds: float | None = value((int, float, _NONE), default=None)


def opening_bytes(opening: Opening) -> bytes:
    """
    An opening as it is sent.
    """
    return json.dumps({"version": _VERSION, **opening.serialize()}).encode()


def parsed_opening(payload: bytes, backend: str) -> Opening:
    """
    An opening as it arrived.

    :param backend: whose stream it must be.
    :raises StreamCorrupt: it is none, or of another backend or a newer version.
    """
    try:
        fields = json.loads(payload)
        version = fields.pop("version")
        opening = Opening(**fields) if version == _VERSION else None
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError, InvariantException) as error:
        raise StreamCorrupt("The stream's opening makes no sense") from error
    if opening is None:
        raise StreamCorrupt(f"The stream is of version {version!r}; this program knows version {_VERSION}")
    if opening.backend != backend:
        raise StreamCorrupt(f"The stream is of the backend {opening.backend!r}, not of {backend!r}")
    return opening
