"""
Sentences for users.
"""

from __future__ import annotations

import pytest

from flocker_py.sentences import listed


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a"], "node a"),
        (["a", "b"], "nodes a and b"),
        (["a", "b", "c"], "nodes a, b and c"),
        ([1, 2], "nodes 1 and 2"),
    ],
)
def test_listed(names: list[object], expected: str) -> None:
    """
    One is named in the singular, several in the plural.
    """
    assert listed("node", names) == expected
