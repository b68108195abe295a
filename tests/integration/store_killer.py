"""
Lets processes use a store, and kills them with signal 9: a program of its own, so that it can fork without threads.

    python store_killer.py SCENARIO KILLS SEED FOLDER

``KILLS`` at random moments; for all but ``commit``, besides, before each step on the file system, one after the other.
What was found is checked after every kill. The result is one line of JSON; the exit status is 1 if anything was wrong.
"""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import twisted.internet.epollreactor
import twisted.internet.threads
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from flocker_control.backup_names import newest_first
from flocker_control.backups import back_up, read_backup
from flocker_control.restoring import restore
from flocker_control.sqlite_store import SQLiteStore, open_store
from flocker_control.store import Loaded

GOLDEN = Path(__file__).parent / "golden" / "store-format-1"
STEPS = {"os.chown", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "sqlite3.connect"}
KEPT = 3
HISTORY_COMMITS = 30
DEADLINE_SECONDS = 60.0

Say = Callable[[str], None]


class Wrong(Exception):
    """
    Something is not as was promised.
    """


class Child:
    """
    A process that acts until it is killed.

    :param kill_at_step: the step on the file system before which it is killed; None: only when we say so.
    """

    def __init__(self, act: Callable[[Say], None], kill_at_step: int | None = None) -> None:
        self._out, into = os.pipe()
        self._unread = b""
        self.process_id = os.fork()
        if self.process_id == 0:
            os.close(self._out)
            _act(act, into, kill_at_step)
        os.close(into)

    def first_line(self) -> str | None:
        """
        Wait for a line; None: the process has ended.
        """
        while b"\n" not in self._unread:
            ready, _, _ = select.select([self._out], [], [], DEADLINE_SECONDS)
            if not ready:
                os.kill(self.process_id, signal.SIGKILL)
                raise Wrong("a process stands still")
            part = os.read(self._out, 65536)
            if not part:
                return None
            self._unread += part
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode()

    def kill(self) -> None:
        """
        Signal 9.
        """
        os.kill(self.process_id, signal.SIGKILL)

    def end(self) -> tuple[list[str], bool]:
        """
        Wait for its end: the lines that were not read yet, and whether it was killed.

        :raises Wrong: it failed.
        """
        lines = list(iter(self.first_line, None))
        os.close(self._out)
        _, status = os.waitpid(self.process_id, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if not killed and status != 0:
            raise Wrong("; ".join(lines) or f"a process ended with {status}")
        return lines, killed


def _act(act: Callable[[Say], None], into: int, kill_at_step: int | None) -> NoReturn:
    status = 1
    try:
        if kill_at_step is not None:
            _count_steps(kill_at_step)
        act(lambda line: _write(into, line))
        status = 0
    except BaseException:  # noqa: BLE001  # whatever it is, the parent is told
        _write(into, "WRONG " + traceback.format_exc().replace("\n", " | "))
    finally:
        os._exit(status)


def _write(into: int, line: str) -> None:
    os.write(into, line.encode() + b"\n")


def _count_steps(kill_at: int) -> None:
    left = kill_at

    def step() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def audited(event: str, arguments: tuple[Any, ...]) -> None:
        if event in STEPS or (event == "open" and isinstance(arguments[2], int) and arguments[2] & 3 != os.O_RDONLY):
            step()

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            step()
            return function(*arguments)

        return call

    # These are not audited.
    for name in ("fsync", "fdatasync", "pwrite"):
        setattr(os, name, counted(getattr(os, name)))
    sys.addaudithook(audited)


def in_reactor(coroutine: Any) -> Any:
    """
    Run a coroutine in this process's own reactor.
    """
    reactor: Any = twisted.internet.epollreactor.EPollReactor()  # type: ignore[no-untyped-call]
    found: list[Any] = []

    def done(result: Any) -> None:
        found.append(result)
        reactor.crash()

    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(coroutine(reactor)).addBoth(done))
    reactor.run(installSignalHandlers=False)
    if isinstance(found[0], Failure):
        found[0].raiseException()
    return found[0]


def contents(data: Path) -> Loaded:
    """
    What is in a store, read by another process: its opening ends or undoes what was begun.
    """

    async def read(reactor: Any) -> Loaded:
        store = await open_store(reactor, data)
        loaded = await store.load()
        commits = await store.commits_after(loaded.revision)
        assert not commits
        await store.close()
        return loaded

    def told(say: Say) -> None:
        loaded = in_reactor(read)
        say(json.dumps([loaded.revision, dict(loaded.values)]))

    lines, _ = Child(told).end()
    revision, values = json.loads(lines[0])
    return Loaded(revision=revision, values=values)


# -- commits -----------------------------------------------------------------------------------------------------------


def written(revision: int) -> dict[str, str]:
    """
    What is in the store at a revision: several records with the same number.
    """
    if revision == 0:
        return {}
    number = str(revision)
    return {"a": number, "b" * 5000: number, "big": number * 300, f"only/{revision}": number}


async def commit_for_ever(store: SQLiteStore, say: Say) -> None:
    """
    Check what is there, and commit, one revision after the other, telling each that is acknowledged.
    """
    loaded = await store.load()
    revision = loaded.revision
    if dict(loaded.values) != written(revision):
        raise Wrong(f"at revision {revision} there is {sorted(loaded.values)} with {set(loaded.values.values())}")
    for commit in await store.commits_after(max(0, revision - HISTORY_COMMITS)):
        if dict(commit.puts) != written(commit.revision):
            raise Wrong(f"the commit of revision {commit.revision} is not what it was")
    say(f"open {revision}")
    while True:
        revision = await store.commit(revision, written(revision + 1), {f"only/{revision}"})
        say(f"done {revision}")


def commits(kills: int, chance: random.Random, folder: Path) -> dict[str, int]:
    """
    Killed while it opens and commits.
    """
    data = folder / "data"
    acknowledged = opened = unanswered = 0

    def act(say: Say) -> None:
        async def run(reactor: Any) -> None:
            await commit_for_ever(await open_store(reactor, data, history_commits=HISTORY_COMMITS), say)

        in_reactor(run)

    for _ in range(kills):
        child = Child(act)
        lines: list[str] = []
        if chance.random() < 0.75 and (line := child.first_line()) is not None:
            lines.append(line)
        time.sleep(chance.uniform(0, 0.02))
        child.kill()
        more, _ = child.end()
        for line in [*lines, *more]:
            word, number = line.split(maxsplit=1)
            if word == "open":
                opened += 1
                unanswered += int(number) - acknowledged
                if int(number) not in {acknowledged, acknowledged + 1}:
                    raise Wrong(f"revision {acknowledged} was acknowledged, and the store is at {number}")
            elif word != "done":
                raise Wrong(line)
            acknowledged = int(number)
    found = contents(data)
    if found.revision not in {acknowledged, acknowledged + 1} or dict(found.values) != written(found.revision):
        raise Wrong(f"revision {acknowledged} was acknowledged, and in the end the store is at {found.revision}")
    return {"kills": kills, "opened": opened, "commits": acknowledged, "done_without_answer": unanswered}


# -- whatever is done once ---------------------------------------------------------------------------------------------


def moments(kills: int, chance: random.Random, act: Callable[[Say], None]) -> Iterator[bool]:
    """
    Let it be done, and be killed at random moments, and before each of its steps; each time, whether it was killed. The
    caller prepares before each.
    """
    for _ in range(kills):
        child = Child(act)
        child.first_line()
        time.sleep(chance.uniform(0, 0.02))
        child.kill()
        yield child.end()[1]
    step = 0
    killed = True
    while killed:
        step += 1
        killed = Child(act, kill_at_step=step).end()[1]
        yield killed
    if step < 5:
        raise Wrong("it was over before it could be killed")


def upgrades(kills: int, chance: random.Random, folder: Path) -> dict[str, int]:
    """
    Killed while a store of format 1 is brought up.
    """
    data = folder / "data"
    expected = None
    total = 0

    def prepare() -> None:
        shutil.rmtree(data, ignore_errors=True)
        shutil.copytree(GOLDEN, data)

    def act(say: Say) -> None:
        say("begin")

        async def run(reactor: Any) -> None:
            await (await open_store(reactor, data)).close()

        in_reactor(run)

    prepare()
    old = read_backup(data / "store.sqlite")
    prepare()
    for _ in moments(kills, chance, act):
        total += 1
        found = contents(data)
        expected = found if expected is None else expected
        if found != expected or found.revision != old.mark.revision:
            raise Wrong(f"after the upgrade there is {found}")
        kept = read_backup(data / "store.sqlite.format-1-r3")
        if (kept.store_format, kept.mark.digest) != (1, old.mark.digest):
            raise Wrong("what was put aside is not what was there before")
        left_over(data, {"store.sqlite", "store.sqlite-mark", "store.lock", "store.sqlite.format-1-r3"})
        prepare()
    return {"kills": total - 1}


def restores(kills: int, chance: random.Random, folder: Path) -> dict[str, int]:
    """
    Killed while a backup is put in place of a store.
    """
    prepared, data, backups = folder / "prepared", folder / "data", folder / "backups"
    data.mkdir(parents=True)
    total = restored = 0

    def fill(say: Say) -> None:
        async def run(reactor: Any) -> None:
            store = await open_store(reactor, data)
            revision = (await store.load()).revision
            for _ in range(5):
                revision = await store.commit(revision, written(revision + 1), {f"only/{revision}"})
            say("filled")
            # Killed with its log: that has to be moved aside as well.
            await Deferred()

        in_reactor(run)

    for _ in range(2):
        filling = Child(fill)
        filling.first_line()
        filling.kill()
        filling.end()
        if not backups.exists():
            back_up(data, backups, now_seconds=1_700_000_000)
    shutil.copytree(data, prepared)

    def act(say: Say) -> None:
        say("begin")
        restore(data, backups, now_seconds=1_700_000_001)

    for _ in moments(kills, chance, act):
        total += 1
        found = contents(data)
        aside = [path for path in data.iterdir() if path.name.startswith("replaced-")]
        if found.revision == 11 and dict(found.values) == written(5) and len(aside) == 1:
            restored += 1
            # By then the process that wrote it is no more: what it had acknowledged is all there, in a log perhaps.
            kept = contents(aside[0])
            if kept.revision != 10 or dict(kept.values) != written(10):
                raise Wrong(f"what was put aside is at revision {kept.revision}")
        elif found.revision != 10 or dict(found.values) != written(10) or aside:
            raise Wrong(f"the store is at revision {found.revision}, with {[path.name for path in aside]}")
        left_over(data, {"store.sqlite", "store.sqlite-mark", "store.lock", *(path.name for path in aside)})
        shutil.rmtree(data)
        shutil.copytree(prepared, data)
    if not 0 < restored < total:
        raise Wrong(f"{restored} of {total} were restored: the moments were badly chosen")
    return {"kills": total - 1, "restored": restored}


def backups_while_committing(kills: int, chance: random.Random, folder: Path) -> dict[str, int]:
    """
    Killed while backups are made of a store that is in use, and old ones removed.
    """
    data, backups = folder / "data", folder / "backups"
    backups.mkdir(parents=True)
    others = {"notes.txt": b"mine", "store-20200101T000000Z-r7-00000000.sqlite": b"of another store"}
    for name, content in others.items():
        (backups / name).write_bytes(content)
    seconds = 1_700_000_000
    total = made = 0

    def act(say: Say) -> None:
        say("begin")
        numbers = iter(range(seconds, seconds + 1000))

        async def run(reactor: Any) -> None:
            store = await open_store(reactor, data)
            revision = (await store.load()).revision
            for _ in range(4):
                revision = await store.commit(revision, written(revision + 1), {f"only/{revision}"})
                backing_up = twisted.internet.threads.deferToThreadPool(
                    reactor, reactor.getThreadPool(), back_up, data, backups, now_seconds=next(numbers), keep=KEPT
                )
                revision = await store.commit(revision, written(revision + 1), {f"only/{revision}"})
                await backing_up
            await store.close()
            reactor.getThreadPool().stop()

        in_reactor(run)

    for _ in moments(kills, chance, act):
        total += 1
        seconds += 1000
        found = contents(data)
        if dict(found.values) != written(found.revision):
            raise Wrong(f"the store at revision {found.revision} is not whole")
        names = {path.name for path in backups.iterdir()}
        own = [it for it in newest_first(names) if it.store != "00000000"]
        for it in own:
            path = backups / it.text()
            # Raises if it isn't whole.
            if read_backup(path).mark.revision != it.revision or path.stat().st_mode & 0o777 != 0o600:
                raise Wrong(f"{path} is not as its name says")
        if any((backups / name).read_bytes() != content for name, content in others.items()):
            raise Wrong("a file of somebody else was changed")
        made += len(own)
        # The next one leaves as many as are to be kept, and nothing that is no backup.
        back_up(data, backups, now_seconds=seconds - 1, keep=KEPT)
        own = [it for it in newest_first({path.name for path in backups.iterdir()}) if it.store != "00000000"]
        left_over(backups, set(others), own)
        if len(own) > KEPT:
            raise Wrong(f"there are {len(own)} backups")
    return {"kills": total - 1, "read": made}


def left_over(folder: Path, known: set[str], backups: Any = ()) -> None:
    """
    :raises Wrong: there is what should not be there.
    """
    expected = known | {it.text() for it in backups}
    strange = {path.name for path in folder.iterdir()} - expected
    if strange:
        raise Wrong(f"left over in {folder}: {sorted(strange)}")


SCENARIOS = {"commit": commits, "upgrade": upgrades, "restore": restores, "backup": backups_while_committing}


def main() -> None:
    """
    Run a scenario.
    """
    scenario, kills, seed, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    try:
        result = SCENARIOS[scenario](kills, random.Random(seed), folder)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is told
        print(json.dumps({"wrong": str(error), "seed": seed}))
        traceback.print_exc()
        sys.exit(1)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
