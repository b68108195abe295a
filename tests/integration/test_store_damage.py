"""
Bits that are flipped, blocks that are lost, files that are cut: the store is as it was, or is refused.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from twisted.internet import reactor

from flocker_control.sqlite_store import SQLiteStore, open_store
from flocker_control.store import StoreDamaged, StoreTooNew
from flocker_control.store_files import MARK_FILE, STORE_FILE
from flocker_py.testing.reactor_thread import in_reactor

pytestmark = pytest.mark.timeout(600)

COMMITS = 12
PARTS = (STORE_FILE, f"{STORE_FILE}-wal", MARK_FILE)
EXAMPLES = int(os.environ.get("FLOCKER_DAMAGE_EXAMPLES", "150"))

Contents = tuple[int, dict[str, str], list[Any]]


def values(revision: int) -> dict[str, str]:
    return {f"dataset/{n}": f'{{"revision": {revision}, "text": "{"é" * (200 * n)}"}}' for n in range(revision % 5 + 1)}


def opened(data: Path) -> SQLiteStore:
    return in_reactor(lambda: open_store(reactor, data, history_commits=8))


def contents(store: SQLiteStore) -> Contents:
    loaded = in_reactor(store.load)
    commits = in_reactor(lambda: store.commits_after(max(0, loaded.revision - 8)))
    return loaded.revision, dict(loaded.values), list(commits)


class Prepared:
    """
    Stores as a process leaves them that is killed: all in the log, all in the file, or some in each.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.expected: dict[str, Contents] = {}
        for state, log_from in (("log", 0), ("file", COMMITS), ("both", COMMITS // 2)):
            data = folder / f"{state}-made"
            store = opened(data)
            for revision in range(COMMITS):
                if revision == log_from:
                    # Closing brings all that is in the log into the file.
                    in_reactor(store.close)
                    store = opened(data)
                puts = values(revision + 1)
                in_reactor(partial(store.commit, revision, puts, {f"dataset/{revision % 7}"} - {*puts}))
            self.expected[state] = contents(store)
            if log_from == COMMITS:
                in_reactor(store.close)
            # A copy of what there is while the store is open is what a killed process leaves.
            shutil.copytree(data, folder / state, ignore=shutil.ignore_patterns("*-shm", "*.lock"))
            if log_from != COMMITS:
                in_reactor(store.close)

    def put_back(self, state: str) -> Path:
        data = self._folder / "data"
        shutil.rmtree(data, ignore_errors=True)
        shutil.copytree(self._folder / state, data)
        return data


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return Prepared(tmp_path_factory.mktemp("damage"))


def flipped(content: bytearray, at: int, bit: int) -> bytes:
    content[at] ^= 1 << bit % 8
    return bytes(content)


def cut(content: bytearray, at: int, _: int) -> bytes:
    return bytes(content[:at])


def lost_block(content: bytearray, at: int, _: int) -> bytes:
    start = at // 512 * 512
    return bytes(content[:start]) + bytes(len(content[start : start + 512])) + bytes(content[start + 512 :])


def block_of_elsewhere(content: bytearray, at: int, other: int) -> bytes:
    """
    A write that went to the wrong place, or one that never arrived after others did.
    """
    size = 4096
    start, source = at // size * size, other % len(content) // size * size
    return bytes(content[:start]) + bytes(content[source : source + size]) + bytes(content[start + size :])


DAMAGE: tuple[Callable[[bytearray, int, int], bytes], ...] = (flipped, flipped, cut, lost_block, block_of_elsewhere)


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture], print_blob=True)
@given(
    state=st.sampled_from(["log", "file", "both"]),
    part=st.sampled_from([*PARTS[:2], *PARTS[:2], MARK_FILE]),
    damage=st.sampled_from(DAMAGE),
    at=st.integers(0, 2**32),
    other=st.integers(0, 2**32),
)
def test_right_or_refused(
    *, prepared: Prepared, state: str, part: str, damage: Callable[..., bytes], at: int, other: int
) -> None:
    """
    A damaged store opens with all that it had, and can be used; or it is refused by name, and nothing is changed.
    """
    data = prepared.put_back(state)
    path = data / part
    content = bytearray(path.read_bytes()) if path.exists() else bytearray()
    if not content:
        return
    path.write_bytes(damage(content, at % len(content), other))
    before = {each.name: each.read_bytes() for each in data.iterdir()}
    revision, present, commits = prepared.expected[state]

    try:
        store = opened(data)
    except (StoreDamaged, StoreTooNew) as error:
        note(f"refused: {error}")
        assert str(data / STORE_FILE) in str(error)
        after = {name: (data / name).read_bytes() for name in before}
        assert before == after
        return

    assert contents(store) == (revision, present, commits)
    in_reactor(lambda: store.commit(revision, {"dataset/1": "new"}, {"dataset/0"}))
    in_reactor(store.close)
    store = opened(data)
    found = contents(store)
    in_reactor(store.close)
    assert found[:2] == (revision + 1, {**{k: v for k, v in present.items() if k != "dataset/0"}, "dataset/1": "new"})


def test_flipped_bit_in_each_record(prepared: Prepared) -> None:
    """
    One wrong bit in the text of any record, which leaves the file as good as any to SQLite, is noticed.
    """
    sound = prepared.put_back("file").joinpath(STORE_FILE).read_bytes()
    records = prepared.expected["file"][1]
    for text in records.values():
        # The texts of records begin like those of no commit of the past, where quotes are escaped.
        for start in [at for at in range(len(sound)) if sound.startswith(text.encode()[:60], at)]:
            data = prepared.put_back("file")
            content = bytearray(sound)
            (data / STORE_FILE).write_bytes(flipped(content, start + 13, 0))

            with pytest.raises(StoreDamaged, match="are not those that were committed"):
                opened(data)
    assert all(text.encode()[:60] in sound for text in records.values())


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("state", ["log", "file", "both"])
def test_lost_file(prepared: Prepared, state: str, name: str) -> None:
    """
    A store of which a file is missing opens with all that it had, or is refused.
    """
    data = prepared.put_back(state)
    (data / name).unlink(missing_ok=True)

    try:
        store = opened(data)
    except StoreDamaged:
        return
    found = contents(store)
    in_reactor(store.close)
    assert found == prepared.expected[state]


def test_older_copy(prepared: Prepared) -> None:
    """
    A store in whose place somebody put an older copy is refused: it lacks what was acknowledged.
    """
    older = prepared.put_back("file").joinpath(STORE_FILE).read_bytes()
    data = prepared.put_back("file")
    store = opened(data)
    in_reactor(lambda: store.commit(COMMITS, {"dataset/1": "new"}, frozenset()))
    in_reactor(store.close)
    (data / STORE_FILE).write_bytes(older)

    with pytest.raises(StoreDamaged, match=f"at revision {COMMITS}, but revision {COMMITS + 1} was acknowledged"):
        opened(data)


def test_copy_by_itself(prepared: Prepared) -> None:
    """
    A whole copy that somebody put into an empty directory is a store.
    """
    data = prepared.put_back("file")
    (data / MARK_FILE).unlink()

    store = opened(data)
    found = contents(store)
    in_reactor(store.close)
    assert found == prepared.expected["file"]


def test_change_while_it_is_open(prepared: Prepared) -> None:
    """
    What was changed behind the back of an open store is not told as if it were right.
    """
    data = prepared.put_back("file")
    store = opened(data)
    with sqlite3.connect(data / STORE_FILE) as stranger:
        stranger.execute("UPDATE records SET value = 'other' WHERE key = 'dataset/1'")
        stranger.execute("UPDATE history SET puts = '{}' WHERE revision = ?", (COMMITS,))
    stranger.close()

    with pytest.raises(StoreDamaged, match=STORE_FILE):
        in_reactor(store.load)
    with pytest.raises(StoreDamaged, match=STORE_FILE):
        in_reactor(lambda: store.commits_after(COMMITS - 2))
    in_reactor(store.close)
