"""
Opening storage backends by name.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from flocker_agent.storage.backends import BackendRefused, opened_storage


def test_directory(tmp_path: Path) -> None:
    """
    A directory pool is opened with its two folders.
    """
    storage = opened_storage("directory", {"root_path": str(tmp_path / "pool"), "mount_root": str(tmp_path / "mounts")})

    assert (storage.capabilities.name, dict(storage.datasets())) == ("directory", {})


def test_memory() -> None:
    """
    A memory pool needs nothing, and may have an end.
    """
    assert opened_storage("memory", {"capacity_bytes": 1000}).free_bytes() == 1000


@pytest.mark.parametrize(
    ("backend", "settings", "complaint"),
    [
        ("floppy", {}, "'floppy' is none of directory, memory, zfs"),
        ("zfs", {}, "pool is missing"),
        ("zfs", {"pool": ""}, "pool must be a text"),
        ("zfs", {"pool": "p", "root_path": "/x"}, "root_path is unknown"),
        ("directory", {"rootpath": "/x"}, "root_path is missing; rootpath is unknown"),
        ("directory", {"root_path": 5}, "root_path must be a text, not 5"),
        ("directory", {"root_path": "relative"}, "relative is not an absolute path"),
        ("memory", {"capacity_bytes": 0}, "0 is no number of bytes"),
        ("memory", {"capacity_bytes": True}, "True is no number of bytes"),
    ],
)
def test_refused(backend: str, settings: dict[str, object], complaint: str) -> None:
    """
    What names no backend, or not what it needs, is refused, and everything wrong is named at once.
    """
    with pytest.raises(BackendRefused, match=complaint):
        opened_storage(backend, settings)
