"""
Sizes, rates and durations as people write and read them.

Sizes are powers of 1024: ``20G`` and ``20GiB`` are the same. ``GB`` is refused, for it means two things.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

from flocker_py.errors import FlockerError

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

MINIMUM_SIZE_BYTES = 64 * MIB
"""The smallest limit that a dataset can have."""
SIZE_STEP_BYTES = KIB
"""What every limit of a dataset is a multiple of."""
MAXIMUM_SIZE_BYTES = 2**63 - SIZE_STEP_BYTES
"""The largest limit that a dataset can have: what a signed 64-bit number holds."""

_SIZE_LETTERS = "KMGTPE"
# Twenty digits are more than the largest size has; no more are read, for the work grows with them.
_SIZE = re.compile(rf"([0-9]{{1,20}}(?:\.[0-9]{{1,20}})?) ?([{_SIZE_LETTERS}]?)(iB|B)?", re.IGNORECASE | re.ASCII)
_DURATION_UNITS_SECONDS = {
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "min": Fraction(60),
    "h": Fraction(3600),
    "d": Fraction(86400),
}
_DURATION_PART = re.compile(r" ?([0-9]{1,12}(?:\.[0-9]{1,12})?) ?(ms|s|min|m|h|d)", re.ASCII)
MAXIMUM_DURATION_SECONDS = 10 * 365 * 86400.0
"""The longest duration that is read; longer ones are surely mistakes."""


class SizeUnreadable(FlockerError):
    """
    A size is a number of bytes, or a number with K, M, G, T, P or E: 20G, 512MiB, 1.5T. These are powers of 1024.
    """

    lasting = True


class DurationUnreadable(FlockerError):
    """
    A duration is a number of seconds, or numbers with ms, s, m, h or d: 500ms, 2s, 1h30m.
    """

    lasting = True


def size_bytes(written: object) -> int:
    """
    The number of bytes that somebody wrote, fractions rounded up.

    :param written: ``20G``, ``512MiB``, ``1.5g``, ``1024``, or an integer.
    :raises SizeUnreadable: it is no size, is negative, or is larger than any disk.
    """
    if isinstance(written, int) and not isinstance(written, bool):
        number = written
    else:
        number = math.ceil(_size_from_text(written))
    if not 0 <= number <= MAXIMUM_SIZE_BYTES:
        raise SizeUnreadable(f"{_shortened(written)} is not between 0 and {MAXIMUM_SIZE_BYTES} bytes")
    return number


def _size_from_text(written: object) -> Fraction:
    match = _SIZE.fullmatch(written.strip()) if isinstance(written, str) else None
    if match is None:
        raise SizeUnreadable(f"{_shortened(written)} is not a size")
    number, letter, tail = match.groups()
    if letter and tail is not None and tail.lower() == "b":
        raise SizeUnreadable(
            f"{_shortened(written)} may mean powers of 1000 or of 1024; for 1024, write {number}{letter.upper()}"
        )
    if not letter and tail is not None and tail.lower() == "ib":
        raise SizeUnreadable(f"{_shortened(written)} is not a size")
    power: int = _SIZE_LETTERS.index(letter.upper()) + 1 if letter else 0
    return Fraction(number) * Fraction(1024) ** power


def size_limit_complaint(limit_bytes: int) -> str | None:
    """
    Why a size can't be the limit of a dataset, or None if it can.
    """
    if limit_bytes < MINIMUM_SIZE_BYTES:
        return f"{limit_bytes} bytes is less than the smallest size, {bytes_text(MINIMUM_SIZE_BYTES)}"
    if limit_bytes % SIZE_STEP_BYTES:
        return f"{limit_bytes} bytes is not a multiple of {SIZE_STEP_BYTES}"
    if limit_bytes > MAXIMUM_SIZE_BYTES:
        return f"{limit_bytes} bytes is more than the largest size, {MAXIMUM_SIZE_BYTES}"
    return None


def duration_seconds(written: object) -> float:
    """
    The number of seconds that somebody wrote.

    :param written: ``500ms``, ``2s``, ``1h30m``, or a number of seconds, at most ten years.
    :raises DurationUnreadable: it is no duration, is negative, or is too long to be meant.
    """
    if isinstance(written, bool) or not isinstance(written, str | int | float):
        raise DurationUnreadable(f"{_shortened(written)} is not a duration")
    seconds = _duration_from_text(written) if isinstance(written, str) else written
    # Written so that NaN fails.
    if not 0 <= seconds <= MAXIMUM_DURATION_SECONDS:
        raise DurationUnreadable(f"{_shortened(written)} is not between 0 seconds and ten years")
    return float(seconds)


def _duration_from_text(written: str) -> Fraction:
    rest = written.strip()
    total = Fraction(0)
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,12})?", rest, re.ASCII):
        return Fraction(rest)
    if not rest:
        raise DurationUnreadable(f"{_shortened(written)} is not a duration")
    while rest:
        match = _DURATION_PART.match(rest)
        if match is None:
            raise DurationUnreadable(f"{_shortened(written)} is not a duration")
        total += Fraction(match.group(1)) * _DURATION_UNITS_SECONDS[match.group(2)]
        rest = rest[match.end() :]
    return total


def bytes_text(number_bytes: float) -> str:
    """
    A number of bytes for people: ``0 B``, ``1.5 GiB``, ``20 GiB``.
    """
    size = float(number_bytes)
    unit = "B"
    for letter in _SIZE_LETTERS:
        # What would be shown as 1024 of a unit is shown as 1 of the next.
        if abs(size) < 1023.95:
            break
        size /= 1024
        unit = f"{letter}iB"
    return f"{size:.1f}".removesuffix(".0") + f" {unit}"


def rate_text(rate_bytes_per_second: float) -> str:
    """
    A rate for people: ``112.5 MiB/s``.
    """
    return f"{bytes_text(rate_bytes_per_second)}/s"


def duration_text(seconds: float) -> str:
    """
    A duration for people, to two or three figures: ``12 ms``, ``1.8 s``, ``45 s``, ``2 min 5 s``, ``3 h 20 min``.
    """
    if seconds < 0:
        return f"-{duration_text(-seconds)}"
    if seconds < 0.9995:
        return f"{round(seconds * 1000)} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, large, small_size, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // small_size
            return f"{whole // size} {large} {rest} {small}" if rest else f"{whole // size} {large}"
    return f"{whole} s"


def _shortened(written: object) -> str:
    text = repr(written) if not isinstance(written, int) or abs(written) < 10**30 else "a huge number"
    return text if len(text) <= 60 else f"{text[:60]}..."
