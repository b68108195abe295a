"""
The store, its upgrade, its backups and its restore, killed at any moment.

Whether what was written survives a loss of power is SQLite's doing and not seen here; see docs/decisions/0002-store.md.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("store_killer.py")
MEMORY_DISK = Path("/dev/shm")

# A thousand kills, on a machine that may be busy with others' tests.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """
    A folder where waiting for a disk is no part of it, if there is one: signal 9 takes nothing from the page cache.
    """
    if not os.access(MEMORY_DISK, os.W_OK):
        yield tmp_path / "store"
        return
    made = Path(tempfile.mkdtemp(prefix="flocker-store-", dir=MEMORY_DISK))
    yield made / "store"
    shutil.rmtree(made)


def killed(scenario: str, kills: int, seed: int, folder: Path) -> dict[str, int]:
    """
    What the program found. It fails if anything was not as it should be.
    """
    command = [sys.executable, str(PROGRAM), scenario, str(kills), str(seed), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    result: dict[str, int] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("seed", range(4))
def test_commits(folder: Path, seed: int) -> None:
    """
    Killed a thousand times while it opens and commits, a store has every commit that was acknowledged and none by half.
    """
    found = killed("commit", 250, seed, folder)

    assert found["kills"] == 250
    # Kills must have come before the answer and after it, or nothing was tried.
    assert found["commits"] > 250
    assert 0 < found["done_without_answer"] < 250


def test_commits_on_disk(tmp_path: Path) -> None:
    """
    The same on the disk that there is, with its own timing.
    """
    assert killed("commit", 40, 1, tmp_path / "store")["kills"] == 40


def test_upgrade(folder: Path) -> None:
    """
    Killed while it is brought up from format 1, a store is brought up by the next start, and what it was is put aside.
    """
    assert killed("upgrade", 30, 1, folder)["kills"] > 30


def test_restore(folder: Path) -> None:
    """
    Killed while a backup is restored, a store is the old one or the restored one, and the old one is not lost.
    """
    assert killed("restore", 30, 1, folder)["restored"] > 0


def test_backups(folder: Path) -> None:
    """
    Killed while backups are made and old ones removed, every file that is called a backup is one; others' files stay.
    """
    assert killed("backup", 30, 1, folder)["read"] > 30
