"""
The directory backend is killed before each step that it takes on the file system, and tells the truth afterwards.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import pytest

from flocker_agent.storage.directory import DirectoryStorage
from flocker_py.model import DatasetId, Guid
from flocker_py.storage import (
    DatasetExists,
    DatasetMissing,
    Role,
    SendPlan,
    SnapshotExists,
    SnapshotMissing,
    StreamCut,
)
from flocker_py.testing.storage_pools import new_id, noise, resume_token, snapshot_guids, stream_of
from flocker_py.testing.trees import Tree, difference, file, read_tree, remove_entry, write_tree

# Some hundred processes, each with a pool of its own to look at.
pytestmark = pytest.mark.timeout(900)

ID = DatasetId(UUID("11111111-2222-3333-4444-555555555555"))
STEPS = {
    "os.chmod",
    "os.chown",
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.setxattr",
    "os.symlink",
    "os.truncate",
    "os.utime",
    "shutil.rmtree",
}
OLD: Tree = {
    b"kept": file(b"kept"),
    b"patched": file(noise(300_000), mtime_ns=10**18),
    b"gone": file(b"gone"),
    b"replaced": file(b"old"),
}
NEW: Tree = {
    b"kept": file(b"kept"),
    b"patched": file(noise(100_000) + noise(70_000, 1) + noise(300_000)[170_000:], mtime_ns=10**18 + 1),
    b"replaced": file(b"new and longer"),
    b"added": file(noise(80_000, 2)),
}


class Place:
    """
    A pool that can be put back to how it was prepared.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._prepared = folder / "prepared"
        self._present = folder / "present"
        self._present.mkdir()
        self.other = DirectoryStorage(_made(folder / "other") / "pool", folder / "other" / "mounts")

    def opened(self) -> DirectoryStorage:
        """
        The pool as it is now.
        """
        return DirectoryStorage(self._present / "pool", self._present / "mounts")

    def keep(self) -> None:
        """
        What it is now is how it was prepared.
        """
        shutil.copytree(self._present, self._prepared, symlinks=True)

    def put_back(self) -> None:
        """
        Make it what it was.
        """
        shutil.rmtree(self._present)
        shutil.copytree(self._prepared, self._present, symlinks=True)

    def killed_at_each_step(self, act: Callable[[DirectoryStorage], object]) -> Iterator[int]:
        """
        Let another process do something, and kill it before its first step, its second, and so on until it is through.

        :returns: each time, with the pool as it was left: the number of the step.
        """
        self.keep()
        for step in range(1, 2000):
            self.put_back()
            if not self._survived(act, step):
                assert step > 1, "it was over before it could be killed"
                return
            yield step
        raise AssertionError("it takes more steps than anybody would believe")

    def _survived(self, act: Callable[[DirectoryStorage], object], step: int) -> bool:
        storage = self.opened()
        process_id = os.fork()
        if process_id == 0:
            left = step

            def count(event: str, arguments: tuple[object, ...]) -> None:
                nonlocal left
                if event in STEPS or (event == "open" and is_writing(arguments[2])):
                    left -= 1
                    if left == 0:
                        os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(count)
            try:
                act(storage)
            except BaseException:  # noqa: BLE001  # nothing of the test may go on in this process
                os._exit(2)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(process_id, 0)[1])
        storage.close()
        assert status in {0, -signal.SIGKILL}
        return status != 0

    def content(self, storage: DirectoryStorage, guid: Guid) -> Tree:
        """
        What a snapshot holds.
        """
        clone_id = new_id()
        storage.clone(ID, guid, clone_id, epoch=1)
        tree = read_tree(storage.mount(clone_id))
        storage.unmount(clone_id)
        storage.destroy(clone_id)
        return tree

    def live(self, storage: DirectoryStorage) -> Tree:
        """
        What the dataset holds once it is owned and mounted.
        """
        storage.set_role(ID, role=Role.OWNER, epoch=9)
        return read_tree(storage.mount(ID))

    def stream(self, plan: SendPlan) -> Path:
        """
        A stream of the other pool, as a file.
        """
        path = self._folder / f"stream-{plan.from_guid}-{plan.resume_token}"
        path.write_bytes(stream_of(self.other, ID, plan))
        return path


def is_writing(flags: object) -> bool:
    """
    Whether a file is opened to be changed.
    """
    return isinstance(flags, int) and flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR) != 0


def replace(path: Path, tree: Tree) -> None:
    """
    Make a tree all that is at a path.
    """
    for name in read_tree(path).keys() - tree.keys():
        remove_entry(os.fsencode(path / os.fsdecode(name)))
    write_tree(path, tree)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def receive(storage: DirectoryStorage, stream: Path) -> None:
    """
    Receive what is in a file.
    """
    with stream.open("rb", buffering=0) as source:
        storage.receive(ID, source.fileno())


def owned(storage: DirectoryStorage, tree: Tree) -> Path:
    """
    A dataset with something in it, mounted.
    """
    storage.create(ID, role=Role.OWNER, epoch=1)
    path = storage.mount(ID)
    write_tree(path, tree)
    return path


@pytest.fixture
def place() -> Iterator[Place]:
    """
    In memory, where syncing takes no time.
    """
    folder = Path(tempfile.mkdtemp(prefix="flocker-test-", dir="/dev/shm"))
    yield Place(folder)
    shutil.rmtree(folder)


def test_create(place: Place) -> None:
    """
    A dataset is there, with what it was given, or it is not, and then it can be created.
    """
    place.opened().close()
    for step in place.killed_at_each_step(lambda storage: storage.create(ID, role=Role.OWNER, epoch=5)):
        storage = place.opened()
        with suppress(DatasetExists):
            storage.create(ID, role=Role.OWNER, epoch=5)

        assert (step, storage.dataset(ID).epoch, dict(place.live(storage))) == (step, 5, {})
        storage.close()


def test_destroy(place: Place) -> None:
    """
    A dataset is there, with all that it holds, or it is not.
    """
    storage = place.opened()
    owned(storage, OLD)
    guid = storage.snapshot(ID, "one").guid
    storage.unmount(ID)
    storage.close()
    for step in place.killed_at_each_step(lambda storage: storage.destroy(ID)):
        storage = place.opened()
        if ID in storage.datasets():
            assert (step, difference(OLD, place.content(storage, guid))) == (step, [])
            storage.destroy(ID)

        assert (step, dict(storage.datasets())) == (step, {})
        storage.close()


@pytest.mark.parametrize("mounted", [False, True])
def test_snapshot(place: Place, mounted: bool) -> None:
    """
    A snapshot is there, and right, or it is not, and can be taken; the others and the live data are as they were.
    """
    storage = place.opened()
    path = owned(storage, OLD)
    base = storage.snapshot(ID, "base").guid
    replace(path, NEW)
    if not mounted:
        storage.unmount(ID)
    storage.close()
    for step in place.killed_at_each_step(lambda storage: storage.snapshot(ID, "last")):
        storage = place.opened()
        with suppress(SnapshotExists):
            storage.snapshot(ID, "last")
        guids = snapshot_guids(storage, ID)

        assert (step, len(guids), guids[0]) == (step, 2, base)
        assert (step, difference(OLD, place.content(storage, base))) == (step, [])
        assert (step, difference(NEW, place.content(storage, guids[1]))) == (step, [])
        assert (step, difference(NEW, place.live(storage))) == (step, [])
        storage.close()


def test_destroy_snapshots(place: Place) -> None:
    """
    Snapshots are all there, or all gone; those that stay keep what they hold.
    """
    storage = place.opened()
    path = owned(storage, OLD)
    base = storage.snapshot(ID, "base").guid
    replace(path, NEW)
    middle, last = storage.snapshot(ID, "middle").guid, storage.snapshot(ID, "last").guid
    storage.close()
    for step in place.killed_at_each_step(lambda storage: storage.destroy_snapshots(ID, [base, middle])):
        storage = place.opened()
        assert snapshot_guids(storage, ID) in ([base, middle, last], [last])
        with suppress(SnapshotMissing):
            storage.destroy_snapshots(ID, [base, middle])

        assert (step, snapshot_guids(storage, ID)) == (step, [last])
        assert (step, difference(NEW, place.content(storage, last))) == (step, [])
        storage.close()


def test_receive_whole(place: Place) -> None:
    """
    A dataset that is received is not there, or in part, or whole and right; and it can be brought to its end.
    """
    owned(place.other, OLD)
    plan = SendPlan(to_guid=place.other.snapshot(ID, "base").guid)
    stream = place.stream(plan)
    place.opened().close()
    for step in place.killed_at_each_step(lambda storage: receive(storage, stream)):
        storage = place.opened()
        if not snapshot_guids(storage, ID):
            receive(storage, place.stream(plan.set(resume_token=resume_token(storage, ID))))

        assert (step, snapshot_guids(storage, ID)) == (step, [plan.to_guid])
        assert (step, difference(OLD, place.live(storage))) == (step, [])
        storage.close()


@pytest.fixture
def increment(place: Place) -> SendPlan:
    """
    A step of the other pool's dataset, of which the pool has the base.
    """
    path = owned(place.other, OLD)
    base = place.other.snapshot(ID, "base").guid
    storage = place.opened()
    receive(storage, place.stream(SendPlan(to_guid=base)))
    storage.close()
    replace(path, NEW)
    return SendPlan(to_guid=place.other.snapshot(ID, "last").guid, from_guid=base)


def test_receive_increment(place: Place, increment: SendPlan) -> None:
    """
    An increment has arrived or not; and it can be brought to its end.
    """
    assert increment.from_guid is not None
    stream = place.stream(increment)
    for step in place.killed_at_each_step(lambda storage: receive(storage, stream)):
        storage = place.opened()
        if len(snapshot_guids(storage, ID)) == 1:
            receive(storage, place.stream(increment.set(resume_token=resume_token(storage, ID))))

        assert (step, snapshot_guids(storage, ID)) == (step, [increment.from_guid, increment.to_guid])
        assert (step, difference(NEW, place.live(storage))) == (step, [])
        assert (step, difference(OLD, place.content(storage, increment.from_guid))) == (step, [])
        storage.close()


def test_failover_amidst_an_increment(place: Place, increment: SendPlan) -> None:
    """
    Whenever the receive of an increment was killed, the replica can be owned, and is what its newest snapshot is.
    """
    stream = place.stream(increment)
    for step in place.killed_at_each_step(lambda storage: receive(storage, stream)):
        storage = place.opened()
        expected = OLD if len(snapshot_guids(storage, ID)) == 1 else NEW

        assert (step, difference(expected, place.live(storage))) == (step, [])
        storage.close()


def test_abort_amidst_an_increment(place: Place, increment: SendPlan) -> None:
    """
    Whenever an abort is killed, the increment can be brought from the start, after aborting again.
    """
    stream = place.stream(increment)
    storage = place.opened()
    cut = stream.with_name("cut")
    cut.write_bytes(stream.read_bytes()[:-10])
    with pytest.raises(StreamCut):
        receive(storage, cut)
    storage.close()
    for step in place.killed_at_each_step(lambda storage: storage.abort_receive(ID)):
        storage = place.opened()
        storage.abort_receive(ID)
        receive(storage, stream)

        assert (step, difference(NEW, place.live(storage))) == (step, [])
        storage.close()


def test_mount(place: Place) -> None:
    """
    A dataset is mounted or not, as it says, and what it holds is there.
    """
    storage = place.opened()
    owned(storage, OLD)
    storage.unmount(ID)
    storage.close()
    for step in place.killed_at_each_step(lambda storage: storage.mount(ID)):
        storage = place.opened()
        mounted_at = storage.dataset(ID).mounted_at
        path = storage.mount(ID)

        assert (step, difference(OLD, read_tree(path)), mounted_at in {None, str(path)}) == (step, [], True)
        storage.close()


def test_unmount(place: Place) -> None:
    """
    A dataset is unmounted or not, as it says, and nothing of what it holds is lost.
    """
    storage = place.opened()
    path = owned(storage, OLD)
    storage.close()
    for step in place.killed_at_each_step(lambda storage: storage.unmount(ID)):
        storage = place.opened()
        assert (step, os.path.lexists(path)) == (step, storage.dataset(ID).mounted_at is not None)

        assert (step, difference(OLD, place.live(storage))) == (step, [])
        storage.close()


def test_stash_and_restore(place: Place) -> None:
    """
    A dataset is in one place or the other, never in both or none.
    """
    storage = place.opened()
    owned(storage, OLD)
    storage.unmount(ID)
    storage.close()

    def there_and_back(storage: DirectoryStorage) -> None:
        storage.restore_stash(storage.stash(ID, "label"))

    for step in place.killed_at_each_step(there_and_back):
        storage = place.opened()
        assert (step, len(storage.datasets()) + len(storage.stashes())) == (step, 1)
        with suppress(DatasetMissing):
            storage.restore_stash(f"{ID}.label")

        assert (step, difference(OLD, place.live(storage))) == (step, [])
        storage.close()
