"""
The mark of protected datasets.
"""

from __future__ import annotations

import pytest

from flocker_py.protection import is_protected, with_protection


@pytest.mark.parametrize(
    ("metadata", "expected"), [({}, False), ({"protected": "true"}, True), ({"protected": "no"}, False)]
)
def test_only_the_mark_protects(metadata: dict[str, str], expected: bool) -> None:
    """
    A dataset is protected by an entry of its metadata.
    """
    assert expected == is_protected(metadata)


@pytest.mark.parametrize("before", [{"owner": "me"}, {"owner": "me", "protected": "true"}])
@pytest.mark.parametrize("protected", [True, False])
def test_all_else_stays(before: dict[str, str], protected: bool) -> None:
    """
    Protecting a dataset, or not any longer, changes no other entry.
    """
    after = with_protection(before, protected=protected)

    assert (protected, "me") == (is_protected(after), after["owner"])
