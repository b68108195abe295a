"""
Backups of the store and their restore, stores of older and newer formats, by hand and by the service itself.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pyrsistent import pmap, pvector
from twisted.internet import reactor
from twisted.internet.task import Clock

from flocker_control import codec
from flocker_control.backup_names import parsed
from flocker_control.backup_schedule import BackupPlan, BackupReport, BackupSchedule
from flocker_control.backups import (
    Backup,
    BackupAmbiguous,
    BackupFailed,
    BackupMissing,
    back_up,
    back_up_if_changed,
    read_backup,
    way_back,
)
from flocker_control.restoring import Restored, restore
from flocker_control.sqlite_store import SQLiteStore, open_store
from flocker_control.state import State
from flocker_control.store import Loaded, StoreDamaged, StoreFull, StoreInUse, StoreMissing, StoreTooNew
from flocker_control.store_commands import restored_lines
from flocker_control.store_files import LOCK_FILE, MARK_FILE, STORE_FILE
from flocker_py.model import (
    Container,
    ContainerName,
    Dataset,
    DatasetId,
    FinishedMove,
    Guid,
    Link,
    Mount,
    Move,
    MoveId,
    MoveOutcome,
    MovePhase,
    Node,
    NodeId,
    OverrunPolicy,
    Ownership,
    Port,
    RestartName,
    RestartPolicy,
)
from flocker_py.testing.reactor_thread import in_reactor
from tests.conftest import Require

GOLDEN = Path(__file__).parent / "golden" / "store-format-1"
NOW = 1_800_000_000.0


def opened(data: Path) -> SQLiteStore:
    return in_reactor(lambda: open_store(reactor, data))


def read(data: Path) -> Loaded:
    store = opened(data)
    loaded = in_reactor(store.load)
    in_reactor(store.close)
    return loaded


def commit(store: SQLiteStore, *numbers: int) -> None:
    for number in numbers:
        in_reactor(partial(store.commit, number - 1, {"a": str(number), "b": str(number)}, frozenset()))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def store(data: Path) -> Iterator[SQLiteStore]:
    """
    A store at revision 3, in use.
    """
    made = opened(data)
    commit(made, 1, 2, 3)
    yield made
    in_reactor(made.close)


@pytest.fixture
def closed(data: Path) -> Path:
    """
    The directory of a store at revision 3 that nobody uses.
    """
    made = opened(data)
    commit(made, 1, 2, 3)
    in_reactor(made.close)
    return data


class TestBackup:
    """
    A copy is whole, or it isn't there.
    """

    def test_of_a_store_in_use(self, store: SQLiteStore, data: Path, folder: Path) -> None:
        """
        A store is copied while it is in use, with what is in its log alone, and goes on.
        """
        made = back_up(data, folder, now_seconds=NOW)
        commit(store, 4)

        assert (made.mark.revision, read_backup(made.path).mark) == (3, made.mark)

    def test_is_one_private_file(self, store: SQLiteStore, data: Path, folder: Path) -> None:
        """
        A backup is one file, for its owner's eyes, in a folder that is too.
        """
        made = back_up(data, folder, now_seconds=NOW)

        assert [made.path] == list(folder.iterdir())
        assert (0o600, 0o700) == (stat.S_IMODE(made.path.stat().st_mode), stat.S_IMODE(folder.stat().st_mode))

    def test_keeps_the_newest(self, store: SQLiteStore, data: Path, folder: Path) -> None:
        """
        As many as are asked for stay, the newest ones; what isn't a backup of this store stays whatever it is.
        """
        folder.mkdir()
        others = [
            "notes.txt",
            "store-20200101T000000Z-r1-00000000.sqlite",
            "store-20200101T000000Z-r1.sqlite",
            STORE_FILE,
        ]
        for name in others:
            (folder / name).write_text("mine")
        made = [back_up(data, folder, now_seconds=NOW + second, keep=3).path.name for second in range(5)]

        assert {*made[2:], *others} == {path.name for path in folder.iterdir()}
        assert {"mine"} == {(folder / name).read_text() for name in others}

    def test_only_if_changed(self, store: SQLiteStore, data: Path, folder: Path) -> None:
        """
        Of a store that is as its newest backup no other is made, also by a process that didn't make that one.
        """

        def again(newest: Backup | None, second: int) -> Backup:
            return back_up_if_changed(data, folder, now_seconds=NOW + second, keep=9, newest=newest)

        first = again(None, 0)
        same = [again(first, 1), again(None, 2)]
        commit(store, 4)
        other = again(first, 3)

        assert (same, other.mark.revision, 2) == ([first, first], 4, len(list(folder.iterdir())))

    def test_made_again_if_it_is_gone(self, store: SQLiteStore, data: Path, folder: Path) -> None:
        """
        If the newest backup has been removed, another is made.
        """
        first = back_up_if_changed(data, folder, now_seconds=NOW, keep=9, newest=None)
        first.path.unlink()

        assert back_up_if_changed(data, folder, now_seconds=NOW + 1, keep=9, newest=first).path.exists()

    def test_damage_is_noticed(self, closed: Path, folder: Path) -> None:
        """
        A store that isn't whole is not copied: no backup is made, and no older one removed.
        """
        first = back_up(closed, folder, now_seconds=NOW)
        path = closed / STORE_FILE
        with sqlite3.connect(path) as stranger:
            stranger.execute("UPDATE records SET value = 'x'")
        stranger.close()

        with pytest.raises(BackupFailed, match="not those that were committed"):
            back_up(closed, folder, now_seconds=NOW + 1, keep=1)
        assert [first.path] == list(folder.iterdir())

    def test_emptied_store(self, store: SQLiteStore, data: Path, folder: Path, tmp_path: Path) -> None:
        """
        Of an emptied file no backup is made, and the log beside it is left alone.
        """
        copy = tmp_path / "copy"
        shutil.copytree(data, copy)
        log = (copy / f"{STORE_FILE}-wal").read_bytes()
        (copy / STORE_FILE).write_bytes(b"")

        with pytest.raises(BackupFailed, match=STORE_FILE):
            back_up(copy, folder, now_seconds=NOW)
        assert log == (copy / f"{STORE_FILE}-wal").read_bytes()

    def test_folder_that_cannot_be(self, store: SQLiteStore, data: Path, tmp_path: Path) -> None:
        """
        A folder that can't be written to is named in the error.
        """
        (tmp_path / "file").write_text("")

        with pytest.raises(BackupFailed, match=str(tmp_path / "file" / "backups")):
            back_up(data, tmp_path / "file" / "backups", now_seconds=NOW)

    def test_no_store(self, data: Path, folder: Path) -> None:
        """
        Where there is no store there is nothing to copy, and no folder is made.
        """
        with pytest.raises(StoreMissing, match=str(data)):
            back_up(data, folder, now_seconds=NOW)
        assert not folder.exists()

    def test_remains_of_a_dead_process(self, store: SQLiteStore, data: Path, folder: Path) -> None:
        """
        What a killed process of this host left unfinished is removed; another host's is not.
        """
        folder.mkdir()
        # No process has this id: it is larger than Linux allows.
        (folder / f".flocker-copy-{os.uname().nodename}-99999999").write_text("")
        (folder / ".flocker-copy-elsewhere-99999999").write_text("")
        made = back_up(data, folder, now_seconds=NOW)

        assert {made.path.name, ".flocker-copy-elsewhere-99999999"} == {path.name for path in folder.iterdir()}


class TestRestore:
    """
    A backup in place of a store.
    """

    def test_restores(self, closed: Path, folder: Path) -> None:
        """
        The store has what the backup has, at a revision that was never used; what it had before is kept.
        """
        made = back_up(closed, folder, now_seconds=NOW)
        store = opened(closed)
        commit(store, 4, 5)
        in_reactor(store.close)
        done = restore(closed, folder, now_seconds=NOW)
        found, kept = read(closed), read(done.replaced or closed)

        aside = closed / "replaced-20270115T080000Z"
        assert done == Restored(
            source=made.path, copied_revision=3, revision=6, replaced=aside, acknowledged_revision=5
        )
        assert (6, {"a": "3", "b": "3"}) == (found.revision, dict(found.values))
        assert (5, {"a": "5", "b": "5"}) == (kept.revision, dict(kept.values))

    def test_plans_on_the_replaced_store_are_refused(self, closed: Path, folder: Path) -> None:
        """
        Nobody takes the restored store for the one that it replaced: no revision means both.
        """
        back_up(closed, folder, now_seconds=NOW)
        restore(closed, folder, now_seconds=NOW)
        store = opened(closed)

        with pytest.raises(Exception, match="revision 4, and the change was made for 3"):
            commit(store, 4)
        in_reactor(store.close)

    def test_replaces_a_damaged_store(self, closed: Path, folder: Path) -> None:
        """
        A damaged store is replaced, and kept as it is for whoever may want to look at it.
        """
        back_up(closed, folder, now_seconds=NOW)
        (closed / STORE_FILE).write_bytes(b"damaged")
        done = restore(closed, folder, now_seconds=NOW)

        assert done.replaced is not None
        assert (4, b"damaged") == (read(closed).revision, (done.replaced / STORE_FILE).read_bytes())

    def test_to_a_new_host(self, closed: Path, folder: Path, tmp_path: Path) -> None:
        """
        A backup is restored where there was no store.
        """
        made = back_up(closed, folder, now_seconds=NOW)
        done = restore(tmp_path / "new", made.path, now_seconds=NOW)

        assert (None, None, 4) == (done.replaced, done.acknowledged_revision, read(tmp_path / "new").revision)

    def test_what_was_replaced_can_be_restored(self, closed: Path, folder: Path) -> None:
        """
        A restore can be undone: what it put aside is a store, its log included.
        """
        back_up(closed, folder, now_seconds=NOW)
        first = restore(closed, folder, now_seconds=NOW)
        assert first.replaced is not None
        second = restore(closed, first.replaced / STORE_FILE, now_seconds=NOW)

        assert (3, 5, {"a": "3", "b": "3"}) == (second.copied_revision, second.revision, dict(read(closed).values))
        assert second.replaced != first.replaced

    def test_what_was_put_aside_is_told(self, tmp_path: Path, folder: Path) -> None:
        """
        Every restore names what earlier ones and upgrades have left; what somebody removes is not missed.
        """
        data = golden(tmp_path)
        read(data)
        back_up(data, folder, now_seconds=NOW)
        first, second = (restore(data, folder, now_seconds=NOW + number) for number in (0, 1))
        assert (first.replaced, second.replaced) == (
            data / "replaced-20270115T080000Z",
            data / "replaced-20270115T080001Z",
        )
        told = [" ".join(restored_lines(done)) for done in (first, second)]
        shutil.rmtree(data / "replaced-20270115T080000Z")
        (data / f"{STORE_FILE}.format-1-r3").unlink()
        shutil.rmtree(data / "replaced-20270115T080001Z")
        third = restore(data, folder, now_seconds=NOW + 2)

        assert "removed by you: store.sqlite.format-1-r3." in told[0]
        assert "removed by you: replaced-20270115T080000Z, store.sqlite.format-1-r3." in told[1]
        assert "removed by you" not in " ".join(restored_lines(third))
        assert golden_state(third.revision) == codec.loaded_state(read(data))

    def test_store_in_use(self, store: SQLiteStore, data: Path, folder: Path) -> None:
        """
        The store of a running service is not replaced.
        """
        back_up(data, folder, now_seconds=NOW)

        with pytest.raises(StoreInUse, match=str(os.getpid())):
            restore(data, folder, now_seconds=NOW)
        commit(store, 4)

    def test_damaged_backup(self, closed: Path, folder: Path) -> None:
        """
        A backup that isn't whole is refused, and nothing is changed.
        """
        made = back_up(closed, folder, now_seconds=NOW)
        content = bytearray(made.path.read_bytes())
        # Two texts of one byte each, as SQLite writes them; the name of the store may have an "a3", too.
        content[content.index(b"\x03\x0f\x0fa3") + 3] ^= 1
        made.path.write_bytes(content)
        before = {path.name: path.read_bytes() for path in closed.iterdir() if not path.name.endswith(("-shm", "-wal"))}

        with pytest.raises(StoreDamaged):
            restore(closed, made.path, now_seconds=NOW)
        assert before == {name: (closed / name).read_bytes() for name in before}
        assert not list(closed.glob("re*"))

    def test_newest_that_is_whole(self, closed: Path, folder: Path) -> None:
        """
        Of a folder the newest backup is taken that is whole.
        """
        first = back_up(closed, folder, now_seconds=NOW)
        second = back_up(closed, folder, now_seconds=NOW + 1)
        second.path.write_bytes(second.path.read_bytes()[:5000])

        assert first.path == restore(closed, folder, now_seconds=NOW).source

    def test_of_several_stores(self, closed: Path, folder: Path, tmp_path: Path) -> None:
        """
        Of a folder with backups of several stores that store's is taken which is replaced; if that is not known, none.
        """
        made = back_up(closed, folder, now_seconds=NOW)
        in_reactor(opened(tmp_path / "other").close)
        back_up(tmp_path / "other", folder, now_seconds=NOW + 1)

        assert made.path == restore(closed, folder, now_seconds=NOW).source
        with pytest.raises(BackupAmbiguous, match=made.name.store):
            restore(tmp_path / "third", folder, now_seconds=NOW)

    def test_of_another_store(self, closed: Path, folder: Path, tmp_path: Path) -> None:
        """
        A folder with backups of another store alone is not taken for this store's.
        """
        in_reactor(opened(tmp_path / "other").close)
        back_up(tmp_path / "other", folder, now_seconds=NOW)

        with pytest.raises(BackupMissing, match="which is to be replaced"):
            restore(closed, folder, now_seconds=NOW)

    @pytest.mark.parametrize("name", ["missing", "missing.sqlite"])
    def test_no_backup(self, closed: Path, tmp_path: Path, name: str) -> None:
        """
        What isn't there can't be restored.
        """
        with pytest.raises(BackupMissing, match=name):
            restore(closed, tmp_path / name, now_seconds=NOW)

    def test_folder_without_backups(self, closed: Path, folder: Path) -> None:
        """
        A folder without a backup can't be restored.
        """
        folder.mkdir()

        with pytest.raises(BackupMissing, match=str(folder)):
            restore(closed, folder, now_seconds=NOW)

    def test_backup_of_format_1(self, closed: Path, tmp_path: Path) -> None:
        """
        A backup of an earlier version, made by SQLite's own means, is restored and brought up.
        """
        with sqlite3.connect(tmp_path / "old.sqlite") as copy, sqlite3.connect(golden(tmp_path) / STORE_FILE) as source:
            source.backup(copy)
        restore(closed, tmp_path / "old.sqlite", now_seconds=NOW)

        assert golden_state(5) == codec.loaded_state(read(closed)).set(revision=5)

    def test_way_back(self, closed: Path, folder: Path) -> None:
        """
        The command that is told of a damaged store can be given as it stands.
        """
        back_up(closed, folder, now_seconds=NOW)
        (closed / STORE_FILE).write_bytes(b"damaged")
        told = way_back(closed, folder).splitlines()
        done = subprocess.run(
            [str(Path(sys.executable).parent / told[-1].split()[0]), *told[-1].split()[1:]],
            capture_output=True,
            text=True,
            check=False,
        )

        assert "2027-01-15 08:00:00 UTC, revision 3" in told[0]
        assert (0, "", 4) == (done.returncode, done.stderr, read(closed).revision)

    def test_owner(self, closed: Path, folder: Path, require: Require) -> None:
        """
        What root restores belongs to the user of the service.
        """
        require("root")
        os.chown(closed, 12345, 12346)
        back_up(closed, folder, now_seconds=NOW)
        done = restore(closed, folder, now_seconds=NOW)

        assert done.replaced is not None
        made = [closed / STORE_FILE, closed / MARK_FILE, done.replaced]
        assert {(12345, 12346)} == {(path.stat().st_uid, path.stat().st_gid) for path in made}


# -- formats -----------------------------------------------------------------------------------------------------------


def golden(tmp_path: Path) -> Path:
    """
    A store of format 1 as a killed service left it: all that it holds is in its log.
    """
    shutil.copytree(GOLDEN, tmp_path / "golden")
    return tmp_path / "golden"


def golden_state(revision: int) -> State:
    """
    What was committed to it, in today's records: what these have in addition has the value that means the same.
    """
    node, other = (NodeId(UUID(f"{digit * 8}-{digit * 4}-4{digit * 3}-8{digit * 3}-{digit * 12}")) for digit in "12")
    dataset = DatasetId(UUID("dddddddd-dddd-4ddd-8ddd-dddddddddddd"))
    move = MoveId(UUID("33333333-3333-4333-8333-333333333333"))
    container = Container(
        name=ContainerName("db"),
        node_id=node,
        image="postgres:16",
        command=pvector(["postgres", "-c", "fsync=on"]),
        environment=pmap({"PGDATA": "/data/é"}),
        mounts=pvector([Mount(dataset_id=dataset, path="/data")]),
        ports=pvector([Port(internal=5432, external=15432, protocol="udp")]),
        links=pvector([Link(alias="cache", local_port=80, remote_port=8080)]),
        restart=RestartPolicy(name=RestartName.ON_FAILURE, maximum_retry_count=3),
        memory_bytes=2**30,
        cpu_shares=512,
        swappiness=10,
        stop_grace_seconds=2.5,
        labels=pmap({"tier": "data"}),
    )
    ownership = Ownership(
        dataset_id=dataset,
        owner=node,
        epoch=7,
        created=True,
        move=Move(
            move_id=move,
            source=node,
            target=other,
            phase=MovePhase.FINAL,
            started_at_seconds=1_700_000_000.5,
            released_at_seconds=1_700_000_009.5,
            rounds=3,
            sent_bytes=4096,
            final_guid=Guid(2**64 - 1),
        ),
        last_move=FinishedMove(
            move_id=move,
            source=other,
            target=node,
            outcome=MoveOutcome.FAILED,
            reason="the target has no room",
            started_at_seconds=1_600_000_000.25,
            ended_at_seconds=1_600_000_060.0,
            rounds=4,
            sent_bytes=123_456_789,
            downtime_seconds=0.75,
        ),
        handed_over=pmap({other: Guid(42)}),
        refused_primary=other,
        destroyed=True,
    )
    return State(
        revision=revision,
        nodes=pmap(
            {
                node: Node(node_id=node, name="n1", address="2001:db8::1", labels=pmap({"rack": "a"})),
                other: Node(node_id=other),
            }
        ),
        datasets=pmap(
            {
                dataset: Dataset(
                    dataset_id=dataset,
                    primary=node,
                    name="postgres",
                    maximum_size_bytes=2**34,
                    metadata=pmap({"name": "pg"}),
                    deleted=True,
                    max_downtime_seconds=0.25,
                    on_overrun=OverrunPolicy.CUT_OVER,
                )
            }
        ),
        ownerships=pmap({dataset: ownership}),
        containers=pmap({container.name: container}),
    )


class TestFormats:
    """
    Stores that another version wrote.
    """

    def test_format_1(self, tmp_path: Path) -> None:
        """
        A store of format 1, left by a killed service, is brought up, and means what it meant.
        """
        assert golden_state(3) == codec.loaded_state(read(golden(tmp_path)))

    def test_history_of_format_1(self, tmp_path: Path) -> None:
        """
        The commits of the past are brought up with it.
        """
        store = opened(golden(tmp_path))
        commits = in_reactor(lambda: store.commits_after(0))
        in_reactor(store.close)

        assert ([1, 2, 3], ["container/gone"]) == ([it.revision for it in commits], list(commits[2].deletes))
        assert golden_state(3).datasets == {
            it.dataset_id: it for it in codec.commit_changes(commits[2]).puts.values() if isinstance(it, Dataset)
        }

    def test_what_it_was_is_kept(self, tmp_path: Path) -> None:
        """
        Before a store is brought up, a copy of it as it was is put aside; it can be restored.
        """
        data = golden(tmp_path)
        read(data)
        aside = data / f"{STORE_FILE}.format-1-r3"

        assert (1, 3, 0o600) == (
            read_backup(aside).store_format,
            read_backup(aside).mark.revision,
            stat.S_IMODE(aside.stat().st_mode),
        )
        restore(data, aside, now_seconds=NOW)
        assert golden_state(4) == codec.loaded_state(read(data))

    def test_brought_up_once(self, tmp_path: Path) -> None:
        """
        A store that was brought up is like any other: it is used, closed, and opened again.
        """
        data = golden(tmp_path)
        store = opened(data)
        in_reactor(lambda: store.commit(3, {}, {"container/db"}))
        in_reactor(store.close)

        assert golden_state(4).set(containers={}) == codec.loaded_state(read(data))

    def test_damaged_store_of_format_1(self, tmp_path: Path) -> None:
        """
        A damaged store of format 1 is refused before anything is changed.
        """
        data = golden(tmp_path)
        (data / f"{STORE_FILE}-wal").unlink()
        (data / STORE_FILE).write_bytes((data / STORE_FILE).read_bytes()[:4096])

        with pytest.raises(StoreDamaged, match=STORE_FILE):
            read(data)
        assert not (data / MARK_FILE).exists()

    def test_no_room_for_the_copy(self, tmp_path: Path) -> None:
        """
        If a copy can't be put aside, the store is not brought up.
        """
        data = golden(tmp_path)
        (data / f"{STORE_FILE}.format-1-r3").mkdir()
        (data / f"{STORE_FILE}.format-1-r3" / "x").write_text("")

        with pytest.raises(StoreFull, match="format-1-r3"):
            read(data)
        assert read_backup(data / STORE_FILE).store_format == 1

    @pytest.mark.parametrize("made", ["golden", "present"])
    def test_newer_is_refused_untouched(self, closed: Path, tmp_path: Path, made: str) -> None:
        """
        A store of a later version is refused, and not a byte of it is changed, its log included.
        """
        data = golden(tmp_path) if made == "golden" else closed
        with sqlite3.connect(data / STORE_FILE) as newer:
            newer.execute("PRAGMA user_version = 3")
            newer.execute("CREATE TABLE news (text)")
        newer.close()
        before = {path.name: path.read_bytes() for path in data.iterdir() if path.name != LOCK_FILE}

        with pytest.raises(StoreTooNew, match="has format 3, and this version knows formats up to 2"):
            opened(data)
        after = {path.name: path.read_bytes() for path in data.iterdir() if path.name in before}
        assert before == after


# -- the service's own -------------------------------------------------------------------------------------------------


class Scheduled:
    """
    A schedule in the reactor, whose time a test lets pass.
    """

    def __init__(self, data: Path, folder: Path, keep: int = 2) -> None:
        self.time = _Time()
        plan = BackupPlan(directory=folder, every_seconds=3600, keep=keep)
        self.schedule = BackupSchedule(self.time, data, plan, now_seconds=self.time.seconds)

    def run(self, act: Callable[[], None]) -> BackupReport:
        """
        Do something, and wait for the backup that this leads to.
        """

        async def acted() -> BackupReport:
            act()
            under_way = self.schedule._under_way
            if under_way is not None:
                await under_way
            return self.schedule.report

        return in_reactor(acted)

    def stop(self) -> None:
        in_reactor(self.schedule.stop)


class _Time(Clock):
    """
    Time that passes when a test says so; results of threads arrive in the true reactor.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rightNow = NOW

    def callFromThread(self, call: Any, *arguments: Any, **more: Any) -> None:  # Twisted's names
        reactor.callFromThread(call, *arguments, **more)  # type: ignore[attr-defined]


@pytest.fixture
def scheduled(store: SQLiteStore, data: Path, folder: Path) -> Iterator[Scheduled]:
    made = Scheduled(data, folder)
    yield made
    made.stop()


class TestSchedule:
    """
    Backups that are made by themselves.
    """

    def test_at_the_start(self, scheduled: Scheduled) -> None:
        """
        The first backup is made at once.
        """
        report = scheduled.run(scheduled.schedule.start)

        assert report.newest is not None
        assert (3, None) == (report.newest.mark.revision, report.error)

    def test_again(self, scheduled: Scheduled, store: SQLiteStore, folder: Path) -> None:
        """
        After an hour another is made, and as many stay as are to be kept; after one in which nothing changed, none.
        """
        scheduled.run(scheduled.schedule.start)
        for number in (4, 5, 6):
            commit(store, number)
            scheduled.run(lambda: scheduled.time.advance(3600))
        report = scheduled.run(lambda: scheduled.time.advance(3600))

        assert report.newest is not None
        revisions = sorted(name.revision for path in folder.iterdir() if (name := parsed(path.name)) is not None)
        assert (6, [5, 6], NOW + 3 * 3600) == (
            report.newest.mark.revision,
            revisions,
            report.newest.name.taken_at.timestamp(),
        )

    def test_failure_is_told_and_tried_again(self, scheduled: Scheduled, folder: Path) -> None:
        """
        A backup that fails is told, and tried again after a minute; what went wrong is forgotten when it succeeds.
        """
        folder.write_text("in the way")
        failed = scheduled.run(scheduled.schedule.start)
        folder.unlink()
        done = scheduled.run(lambda: scheduled.time.advance(60))

        assert failed.error is not None
        assert (None, "BackupFailed", NOW) == (failed.newest, failed.error.code, failed.error.at_seconds)
        assert str(folder) in failed.error.text
        assert (done.newest is None, done.error) == (False, None)
