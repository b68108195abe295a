"""
The store in a file: kill -9, two at once, damage, full disks, permissions.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from twisted.internet import reactor

from flocker_control.sqlite_store import SQLiteStore, open_store
from flocker_control.store import StoreDamaged, StoreFull, StoreInUse, StoreTooNew
from flocker_control.store_files import LOCK_FILE, STORE_FILE
from flocker_py.testing.reactor_thread import in_reactor

# Commits the revision under two keys, as fast as it can, and prints each revision once it is acknowledged.
COMMITTER = """
import sys
from pathlib import Path
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from flocker_control.sqlite_store import open_store

async def commit_for_ever():
    store = await open_store(reactor, Path(sys.argv[1]))
    revision = (await store.load()).revision
    print("open", revision, flush=True)
    while True:
        text = str(revision + 1)
        revision = await store.commit(revision, {"a": text, "b" * 5000: text}, {f"only/{revision - 1}"})
        print("committed", revision, flush=True)

Deferred.fromCoroutine(commit_for_ever()).addErrback(lambda failure: (failure.printTraceback(), reactor.stop()))
reactor.run()
"""


def opened(directory: Path) -> SQLiteStore:
    """
    The store in a directory.
    """
    return in_reactor(lambda: open_store(reactor, directory))


def put(store: SQLiteStore, revision: int, **values: str) -> int:
    """
    One commit that puts these values.
    """
    return in_reactor(lambda: store.commit(revision, values, frozenset()))


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """
    The directory of a store at revision 1, closed.
    """
    store = opened(tmp_path / "data")
    put(store, 0, a="1")
    in_reactor(store.close)
    return tmp_path / "data"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """
    A file system with room for 1 MiB.
    """
    directory = tmp_path / "small"
    directory.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", directory], check=False, capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small file system can't be mounted here: {mounted.stderr.strip()}")
    yield directory
    subprocess.run(["umount", "-l", directory], check=True)


class TestDurability:
    """
    What was acknowledged is there.
    """

    def test_survives_a_restart(self, stored: Path) -> None:
        """
        A store that is closed and opened again has what was put.
        """
        store = opened(stored)

        loaded = in_reactor(store.load)
        in_reactor(store.close)
        assert (1, {"a": "1"}) == (loaded.revision, dict(loaded.values))

    def test_survives_kill_9(self, tmp_path: Path) -> None:
        """
        Killed over and over while it commits, a store has every acknowledged commit and never half of one.
        """
        acknowledged = 0
        for commits_before_kill in (0, 1, 2, 7, 30, 3):
            command = [sys.executable, "-c", COMMITTER, str(tmp_path / "data")]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
                assert child.stdout is not None
                first = child.stdout.readline().split()
                assert ["open", str(max(acknowledged, int(first[1])))] == first
                for _ in range(commits_before_kill):
                    acknowledged = int(child.stdout.readline().split()[1])
                os.kill(child.pid, signal.SIGKILL)
                # What was acknowledged between the last line read and the kill counts too.
                for line in child.stdout:
                    acknowledged = int(line.split()[1])

        store = opened(tmp_path / "data")
        loaded = in_reactor(store.load)
        history = in_reactor(lambda: store.commits_after(0))
        in_reactor(store.close)
        assert loaded.revision in (acknowledged, acknowledged + 1)
        assert {str(loaded.revision)} == set(loaded.values.values())
        assert list(range(1, loaded.revision + 1)) == [commit.revision for commit in history]

    def test_unfinished_store_is_made_again(self, tmp_path: Path) -> None:
        """
        What is left of a store whose making was interrupted is no store, and in nobody's way.
        """
        (tmp_path / f"{STORE_FILE}.new").write_bytes(b"half")

        store = opened(tmp_path)
        revision = in_reactor(store.load).revision
        in_reactor(store.close)
        assert 0 == revision


class TestOneAtATime:
    """
    One control service per data directory.
    """

    def test_second_is_refused(self, stored: Path) -> None:
        """
        A second control service is refused, and is told which process is in its way.
        """
        first = opened(stored)

        with pytest.raises(StoreInUse, match=rf"{stored} .* {os.getpid()}$"):
            opened(stored)
        in_reactor(first.close)

    def test_refusal_leaves_the_first_alone(self, stored: Path) -> None:
        """
        The refusal of a second one does the first no harm.
        """
        first = opened(stored)
        with pytest.raises(StoreInUse):
            opened(stored)

        revision = put(first, 1, b="2")
        in_reactor(first.close)
        assert 2 == revision

    def test_free_after_close(self, stored: Path) -> None:
        """
        Once the first is closed another may start, whatever is left in the lock file.
        """
        in_reactor(opened(stored).close)

        assert f"{os.getpid()}\n" == (stored / LOCK_FILE).read_text()
        in_reactor(opened(stored).close)


class TestPermissions:
    """
    The store is for its owner's eyes.
    """

    def test_directory_is_private(self, stored: Path) -> None:
        """
        The directory is made for its owner alone.
        """
        assert 0o700 == stat.S_IMODE(stored.stat().st_mode)

    def test_files_are_private(self, stored: Path) -> None:
        """
        Every file of an open store is for its owner alone.
        """
        store = opened(stored)
        put(store, 1, b="2")

        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in stored.iterdir()}
        in_reactor(store.close)
        names = ["store.sqlite", "store.sqlite-wal", "store.sqlite-shm", "store.sqlite-mark", "store.lock"]
        assert dict.fromkeys(names, 0o600) == modes


def _overwritten(path: Path) -> None:
    path.write_bytes(b"this is not a database" * 1000)


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _cut(path: Path) -> None:
    contents = path.read_bytes()
    path.write_bytes(contents[: len(contents) // 2])


def _scribbled(path: Path) -> None:
    contents = bytearray(path.read_bytes())
    contents[4096 : 4096 + 200] = b"\xff" * 200
    path.write_bytes(contents)


def _foreign(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE others (a, b)")
    connection.close()


def _missing_main_file(path: Path) -> None:
    path.rename(path.with_name(path.name + "-wal"))


def _bad_history(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE history SET puts = '{'")
    connection.close()


def _bad_text(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE records SET value = CAST(x'ff' AS TEXT)")
    connection.close()


class TestDamage:
    """
    A store that isn't whole is refused, never taken for a new one.
    """

    @pytest.mark.parametrize(
        "damage", [_overwritten, _emptied, _cut, _scribbled, _foreign, _missing_main_file, _bad_text, _bad_history]
    )
    def test_refused_at_open(self, stored: Path, damage: Callable[[Path], None]) -> None:
        """
        Damage is found when the store is opened, and the message names the file.
        """
        damage(stored / STORE_FILE)

        with pytest.raises(StoreDamaged, match=STORE_FILE):
            opened(stored)

    def test_refused_store_is_not_locked(self, stored: Path) -> None:
        """
        After a refusal the directory is free: a restored backup can be opened at once.
        """
        backup = (stored / STORE_FILE).read_bytes()
        _emptied(stored / STORE_FILE)
        with pytest.raises(StoreDamaged):
            opened(stored)

        (stored / STORE_FILE).write_bytes(backup)
        in_reactor(opened(stored).close)

    def test_newer_format_is_refused(self, stored: Path) -> None:
        """
        A store of a later version is refused as such.
        """
        with sqlite3.connect(stored / STORE_FILE) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()

        with pytest.raises(StoreTooNew, match="99"):
            opened(stored)


class TestNoRoom:
    """
    Full and read-only disks.
    """

    def test_full_disk_refuses_the_commit(self, small_disk: Path) -> None:
        """
        With no room left a commit is refused, what was there stays, and with room again the same commit is accepted.
        """
        store = opened(small_disk / "data")
        put(store, 0, a="1")
        ballast = small_disk / "ballast"
        with pytest.raises(OSError, match="space"), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

        with pytest.raises(StoreFull, match=STORE_FILE):
            put(store, 1, big="x" * 100_000)
        assert (1, {"a": "1"}) == (in_reactor(store.load).revision, dict(in_reactor(store.load).values))
        ballast.unlink()
        assert 2 == put(store, 1, big="x" * 100_000)
        in_reactor(store.close)

    def test_read_only_disk(self, small_disk: Path) -> None:
        """
        A data directory that can't be written to is refused at once.
        """
        in_reactor(opened(small_disk / "data").close)
        subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)

        with pytest.raises(StoreFull, match=str(small_disk)):
            opened(small_disk / "data")

    def test_directory_cannot_be_made(self, tmp_path: Path) -> None:
        """
        A data directory below a file is refused, naming it.
        """
        (tmp_path / "file").write_text("")

        with pytest.raises(StoreFull, match="file/data"):
            opened(tmp_path / "file" / "data")
