"""
How sizes and durations are written and shown.
"""

from __future__ import annotations

from typing import Any

import pytest

from flocker_py.units import (
    GIB,
    KIB,
    MAXIMUM_SIZE_BYTES,
    MIB,
    DurationUnreadable,
    SizeUnreadable,
    bytes_text,
    duration_seconds,
    duration_text,
    rate_text,
    size_bytes,
    size_limit_complaint,
)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (0, 0),
        (1024, 1024),
        ("1024", 1024),
        ("1024B", 1024),
        ("20G", 20 * GIB),
        ("20g", 20 * GIB),
        ("20 GiB", 20 * GIB),
        (" 512MiB ", 512 * MIB),
        ("1.5k", 1536),
        ("0.1K", 103),
        ("1.0000000001K", KIB + 1),
        ("1T", 1024 * GIB),
        ("1P", 1024**5),
        ("7E", 7 * 1024**6),
    ],
)
def test_size_is_read(written: str | int, expected: int) -> None:
    """
    Sizes are powers of 1024, rounded up to whole bytes.
    """
    assert size_bytes(written) == expected


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("", "'' is not a size"),
        ("G", "'G' is not a size"),
        ("-1G", "'-1G' is not a size"),
        ("1,5G", "is not a size"),
        ("1iB", "'1iB' is not a size"),
        ("1GG", "is not a size"),
        ("1e9", "is not a size"),
        ("٣G", "is not a size"),
        ("20GB", "'20GB' may mean powers of 1000 or of 1024; for 1024, write 20G"),
        ("9E", "'9E' is not between 0 and"),
        (-1, "-1 is not between 0 and"),
        (2**63, "is not between 0 and"),
        (10**400, "a huge number is not between 0 and"),
        (True, "True is not a size"),
        (1.5, "1.5 is not a size"),
        (None, "None is not a size"),
        ("9" * 100, "999... is not a size"),
    ],
)
def test_what_is_no_size_is_refused(written: Any, complaint: str) -> None:
    """
    What isn't surely a size is refused, with what was written.
    """
    with pytest.raises(SizeUnreadable) as caught:
        size_bytes(written)

    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("limit_bytes", "complaint"),
    [
        (64 * MIB, None),
        (MAXIMUM_SIZE_BYTES, None),
        (64 * MIB - KIB, "67107840 bytes is less than the smallest size, 64 MiB"),
        (64 * MIB + 1, "67108865 bytes is not a multiple of 1024"),
        (MAXIMUM_SIZE_BYTES + KIB, f"{2**63} bytes is more than the largest size, {MAXIMUM_SIZE_BYTES}"),
    ],
)
def test_limit_of_a_dataset_has_bounds(limit_bytes: int, complaint: str | None) -> None:
    """
    A dataset's limit is at least 64 MiB, a multiple of 1024, and less than 8 EiB.
    """
    assert size_limit_complaint(limit_bytes) == complaint


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2s", 2.0),
        ("500ms", 0.5),
        ("1h", 3600.0),
        ("1h30m", 5400.0),
        ("1h 30min", 5400.0),
        ("1.5d", 129600.0),
        ("3", 3.0),
        (" 0.25 ", 0.25),
        (2, 2.0),
        (0.5, 0.5),
        (0, 0.0),
    ],
)
def test_duration_is_read(written: str | float, expected: float) -> None:
    """
    Durations are seconds, or numbers with units.
    """
    assert duration_seconds(written) == expected


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("", "'' is not a duration"),
        ("s", "'s' is not a duration"),
        ("2 weeks", "'2 weeks' is not a duration"),
        ("1h30", "'1h30' is not a duration"),
        ("-1s", "'-1s' is not a duration"),
        (-0.5, "-0.5 is not between 0 seconds and ten years"),
        (float("nan"), "nan is not between"),
        (float("inf"), "inf is not between"),
        ("99999d", "'99999d' is not between"),
        (True, "True is not a duration"),
        (None, "None is not a duration"),
    ],
)
def test_what_is_no_duration_is_refused(written: Any, complaint: str) -> None:
    """
    What isn't surely a duration is refused, with what was written.
    """
    with pytest.raises(DurationUnreadable) as caught:
        duration_seconds(written)

    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (MIB - 1, "1 MiB"),
        (20 * GIB, "20 GiB"),
        (-1536, "-1.5 KiB"),
        (2**80, "1048576 EiB"),
    ],
)
def test_bytes_are_shown(number: int, expected: str) -> None:
    """
    A number of bytes is shown with the unit that makes it short.
    """
    assert bytes_text(number) == expected


def test_rate_is_shown() -> None:
    """
    A rate is bytes in a second.
    """
    assert rate_text(112.5 * MIB) == "112.5 MiB/s"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 ms"),
        (0.0124, "12 ms"),
        (0.9996, "1.0 s"),
        (1.84, "1.8 s"),
        (9.96, "10 s"),
        (45.4, "45 s"),
        (60, "1 min"),
        (125, "2 min 5 s"),
        (3599.7, "1 h"),
        (12000, "3 h 20 min"),
        (100000, "1 d 3 h"),
        (-1.84, "-1.8 s"),
    ],
)
def test_duration_is_shown(seconds: float, expected: str) -> None:
    """
    A duration is shown to two or three figures.
    """
    assert duration_text(seconds) == expected
