"""
Parts of the sentences that users read.
"""

from __future__ import annotations

from collections.abc import Iterable


def listed(noun: str, names: Iterable[object]) -> str:
    """
    Several of a kind, by name: ``node a``, ``nodes a and b``, ``nodes a, b and c``.

    :param noun: in the singular.
    :param names: one at least.
    """
    *most, last = map(str, names)
    return f"{noun}s {', '.join(most)} and {last}" if most else f"{noun} {last}"
