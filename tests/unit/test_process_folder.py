"""
The folder of a container of the process runtime, where others come and go too.
"""

from __future__ import annotations

from pathlib import Path

from flocker_agent.runtime.process_folder import ProcessFolder


def test_folder_that_was_removed_cannot_be_held(tmp_path: Path) -> None:
    """
    Between a look at a container and taking hold of it, whoever held it may have removed it: nobody is stopped by that.
    """
    folder = ProcessFolder(tmp_path / "gone", trash=tmp_path)
    with folder.holding() as lock:
        assert lock is None
    assert not folder.exists()


def test_folder_is_held_once(tmp_path: Path) -> None:
    """
    Whoever holds a container keeps others from it, until then.
    """
    folder, other = (ProcessFolder(tmp_path / "app", trash=tmp_path) for _ in range(2))
    folder.create()
    with folder.holding() as lock:
        assert lock is not None
        with other.holding() as second:
            assert second is None
    with other.holding() as lock:
        assert lock is not None
