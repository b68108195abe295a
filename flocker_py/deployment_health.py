"""
Checks of health in a deployment document, as Compose writes them.

================================  ==================================================
written as ``test``               run in the container
================================  ==================================================
``["CMD", "pg_isready", "-q"]``   the program with its arguments
``["CMD-SHELL", "pg_isready"]``   the text, by ``/bin/sh -c``
``"pg_isready"``                  the same
================================  ==================================================
"""

from __future__ import annotations

from pyrsistent import pvector

from flocker_py.container_values import HIGHEST_HEALTH_RETRIES, LONGEST_DURATION_SECONDS
from flocker_py.deployment_values import ARGUMENT_CHARACTERS, ARGUMENTS, read_duration
from flocker_py.documents import (
    Fields,
    Place,
    read_any_text,
    read_text,
    reader_by,
    reader_of_integer,
    reader_of_list,
    shown,
)
from flocker_py.model import HealthCheck
from flocker_py.units import DurationUnreadable, duration_seconds

SHELL = ("/bin/sh", "-c")
# What an image says of its health can't be taken back: a container without a check has that of its image.
UNIMPLEMENTED = ("disable", "start_interval")


def read_health(place: Place) -> HealthCheck | None:
    """
    A check, with Compose's defaults for what is left out.
    """
    fields = Fields(place, "healthcheck", UNIMPLEMENTED)
    command = fields.need("test", read_health_test)
    interval = fields.take("interval", read_duration)
    timeout = fields.take("timeout", read_duration)
    start_period = fields.take("start_period", _read_start_period)
    retries = fields.take("retries", reader_of_integer(1, HIGHEST_HEALTH_RETRIES))
    fields.finish()
    if command is None:
        return None
    plain = HealthCheck(command=pvector(command))
    return plain.set(
        interval_seconds=interval or plain.interval_seconds,
        timeout_seconds=timeout or plain.timeout_seconds,
        start_period_seconds=start_period or plain.start_period_seconds,
        retries=retries or plain.retries,
    )


def read_health_test(place: Place) -> list[str] | None:
    """
    Program and arguments of a check.
    """
    if isinstance(place.value, str):
        text = read_text(place)
        words: list[str] = [] if text is None else ["CMD-SHELL", text]
    elif isinstance(place.value, list):
        words = reader_of_list(read_any_text, "texts")(place) or []
        if len(words) != len(place.value):
            return None
    else:
        place.complain(f"must be a text for a shell, or a list that begins with CMD, not {shown(place.value)}")
        return None
    if len(words) > ARGUMENTS or any(len(word) > ARGUMENT_CHARACTERS for word in words):
        place.complain(f"has more than {ARGUMENTS} words, or one of more than {ARGUMENT_CHARACTERS} characters")
        return None
    match words:
        case ["CMD", program, *arguments] if program:
            return [program, *arguments]
        case ["CMD-SHELL", text] if text:
            return [*SHELL, text]
        case ["NONE", *_]:
            place.complain("NONE is not implemented: leave healthcheck out, and the image's own check stays")
        case []:
            if isinstance(place.value, list):
                place.complain("must begin with CMD or CMD-SHELL, and is empty")
        case _:
            place.complain("must be [CMD, program, argument...] or [CMD-SHELL, text]")
    return None


_read_any_duration = reader_by(duration_seconds, DurationUnreadable)


def _read_start_period(place: Place) -> float | None:
    seconds = _read_any_duration(place)
    if seconds is not None and not 0 <= seconds <= LONGEST_DURATION_SECONDS:
        place.complain("must be at least 0 s and at most 1 d")
        return None
    return seconds
