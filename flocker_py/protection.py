"""
The mark that keeps users of volume drivers from deleting a dataset: an entry of its metadata.
"""

from __future__ import annotations

from collections.abc import Mapping

PROTECTED = "protected"
_YES = "true"


def is_protected(metadata: Mapping[str, str]) -> bool:
    """
    Whether a dataset with this metadata is protected.
    """
    return metadata.get(PROTECTED) == _YES


def with_protection(metadata: Mapping[str, str], *, protected: bool) -> dict[str, str]:
    """
    The metadata of a dataset that is protected, or is not; all else stays.
    """
    others = {key: text for key, text in metadata.items() if key != PROTECTED}
    return {**others, PROTECTED: _YES} if protected else others
