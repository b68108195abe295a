"""
Inputs that nobody thought of: whatever once broke something, what every target should survive, and damaged seeds.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.fuzz.run import NAMES
from tests.fuzz.targets import TARGETS, saved

DAMAGED = 150
"""Of each target's seeds, damaged here and there; far more is done by ``make fuzz``."""
INSERTED = (b"\0", b"\xff" * 8, b"[" * 500, b'{"a":' * 300, b"\xed\xa0\x80", b"9" * 400)


def damaged(data: bytes, chance: random.Random) -> bytes:
    """
    An input with a few bytes changed, removed, doubled or exchanged.
    """
    result = bytearray(data)
    for _ in range(chance.randrange(1, 6)):
        at, size = chance.randrange(len(result) + 1), chance.choice((1, 1, 2, 4, 16, 64))
        match chance.randrange(4):
            case 0:
                result[at : at + size] = chance.randbytes(size)
            case 1:
                del result[at : at + size]
            case 2:
                result[at:at] = result[at : at + size]
            case _:
                result[at:at] = chance.choice(
                    (b"\0", b"\xff" * 8, b"[" * 500, b'{"a":' * 300, b"\xed\xa0\x80", b"9" * 400)
                )
    return bytes(result)


def inputs(name: str) -> Iterator[bytes]:
    """
    What a target is given.
    """
    chance = random.Random(name)
    seeds = list(TARGETS[name].seeds())
    yield b""
    yield from seeds
    for path in saved(name):
        yield path.read_bytes()
    for _ in range(DAMAGED):
        yield damaged(chance.choice(seeds), chance)


def test_all_targets_have_a_name() -> None:
    """
    The command knows every target.
    """
    assert sorted(NAMES) == sorted(TARGETS)


@pytest.mark.parametrize("name", NAMES)
def test_survives(name: str) -> None:
    """
    Nothing but the refusals that are meant comes of any of them, and the next client is served.
    """
    for data in inputs(name):
        TARGETS[name].run(data)
