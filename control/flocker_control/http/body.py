"""
Bodies of requests: JSON of reasonable size and depth, and nothing that couldn't be stored afterwards.
"""

from __future__ import annotations

from typing import Any

from flocker_control.http.answers import RequestRefused
from flocker_py.wire import HIGHEST_INTEGER, LOWEST_INTEGER, WireError, json_value

BODY_LIMIT_BYTES = 1024 * 1024
DEPTH_LIMIT = 64


def parsed(body: bytes) -> Any:
    """
    The JSON value that a body is.

    :raises RequestRefused: it is not JSON in UTF-8, has a key twice in one object, is nested deeper than 64 levels, or
        has a number or character that can't be kept.
    """
    try:
        found = json_value(body.decode("utf-8"))
    except (UnicodeDecodeError, WireError) as error:
        raise RequestRefused(400, "BodyNotJSON", f"The request body is not JSON: {error}") from error
    complaint = _complaint(found)
    if complaint is not None:
        raise RequestRefused(400, "BodyRefused", f"The request body has {complaint}")
    return found


def _complaint(found: Any) -> str | None:
    level = [found]
    depth = 0
    while level:
        depth += 1
        if depth > DEPTH_LIMIT:
            return f"more than {DEPTH_LIMIT} levels of objects and arrays"
        below: list[Any] = []
        for part in level:
            match part:
                case str() if _has_half_a_pair(part):
                    return "a text with half a surrogate pair"
                case int() if not LOWEST_INTEGER <= part <= HIGHEST_INTEGER:
                    return "an integer of more than 64 bits"
                case float() if part in (float("inf"), float("-inf")):
                    return "a number that is too large"
                case dict():
                    below.extend(part)
                    below.extend(part.values())
                case list():
                    below.extend(part)
                case _:
                    pass
        level = below
    return None


def _has_half_a_pair(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)
