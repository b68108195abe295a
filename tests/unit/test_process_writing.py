"""
The files that supervisors write: logs of bounded size, and files that are replaced as a whole.
"""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from flocker_agent.runtime.process_log import BoundedLog
from flocker_agent.runtime.process_writing import overwrite_text, replace_text


class TestBoundedLog:
    """
    The output of a container.
    """

    def test_put_aside(self, tmp_path: Path) -> None:
        """
        A full log is put aside, two full ones are kept, and the oldest is forgotten.
        """
        log = BoundedLog(str(tmp_path / "log"), 10)
        for number in range(8):
            log.write(f"line {number}".encode())

        assert {"log": "line 7", "log.1": "line 6", "log.2": "line 5"} == {
            path.name: path.read_text() for path in tmp_path.iterdir()
        }

    def test_goes_on(self, tmp_path: Path) -> None:
        """
        A log that is there already is added to, and what is in it counts.
        """
        (tmp_path / "log").write_text("12345")
        log = BoundedLog(str(tmp_path / "log"), 10)
        log.write(b"67890")
        log.write(b"new")

        assert ("new", "1234567890") == ((tmp_path / "log").read_text(), (tmp_path / "log.1").read_text())

    def test_long_line(self, tmp_path: Path) -> None:
        """
        Output that is longer than a file may be is written all the same.
        """
        log = BoundedLog(str(tmp_path / "log"), 10)
        log.write(bytes(100))

        assert [("log", 100)] == [(path.name, path.stat().st_size) for path in tmp_path.iterdir()]

    def test_comes_back(self, tmp_path: Path) -> None:
        """
        Output is lost while it can't be written, and written again as soon as it can.
        """
        folder = tmp_path / "logs"
        log = BoundedLog(str(folder / "log"), 100)
        log.write(b"lost")
        folder.mkdir()
        log.write(b"kept")

        assert b"kept" == (folder / "log").read_bytes()

    def test_private(self, tmp_path: Path) -> None:
        """
        Nobody else may read it.
        """
        BoundedLog(str(tmp_path / "log"), 100).write(b"secret")

        assert 0o600 == stat.S_IMODE((tmp_path / "log").stat().st_mode)


class TestReplaceText:
    """
    Files that are old or new, never half.
    """

    def test_replaced(self, tmp_path: Path) -> None:
        """
        The new content is there, private, and nothing else is left.
        """
        path = tmp_path / "file"
        path.write_text("old and longer")
        replace_text(str(path), "new \udcff")

        assert [("file", b"new \xff", 0o600)] == [
            (found.name, found.read_bytes(), stat.S_IMODE(found.stat().st_mode)) for found in tmp_path.iterdir()
        ]

    def test_fails(self, tmp_path: Path) -> None:
        """
        What can't be replaced is untouched, and nothing else is left.
        """
        path = tmp_path / "file"
        path.mkdir()
        with pytest.raises(IsADirectoryError):
            replace_text(str(path), "new")

        assert [path] == list(tmp_path.iterdir())

    def test_overwritten(self, tmp_path: Path) -> None:
        """
        Where a second file can't be made beside the old one, the old one is written over.
        """
        path = tmp_path / "file"
        path.write_text("old and longer")
        (tmp_path / "file.new").symlink_to("/dev/full")
        with pytest.raises(OSError, match="No space left"):
            replace_text(str(path), "new")
        (tmp_path / "file.new").symlink_to("/dev/full")
        overwrite_text(str(path), "new")

        assert "new" == path.read_text()
