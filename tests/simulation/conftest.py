"""
Simulations kill processes in the middle of what they do; what is left of them is nobody's concern.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _buried(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # A coroutine of a killed agent that is collected leaves its eliot action from another context: harmless noise.
    monkeypatch.setattr("sys.unraisablehook", lambda _: None)
    yield
    gc.collect()
