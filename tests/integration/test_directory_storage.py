"""
What the directory backend does beyond the contract, with real processes and files.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import signal
import stat
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flocker_agent.storage.directory import DirectoryStorage
from flocker_agent.storage.frames import FrameKind, FrameWriter
from flocker_agent.storage.mount_namespaces import place_of
from flocker_agent.storage.openings import Opening, opening_bytes
from flocker_py.model import DatasetId, Guid
from flocker_py.storage import (
    BackendUnavailable,
    DatasetBusy,
    PoolInUse,
    PoolMissing,
    Role,
    SendPlan,
    StorageError,
    StreamCorrupt,
)
from flocker_py.testing.storage_contract_mounts import BIND, new_folder, process_in_another_namespace
from flocker_py.testing.storage_pools import MEBIBYTE, carry, new_id, noise, receive_bytes, stream_of
from flocker_py.testing.trees import difference, file, read_tree, write_tree

RECEIVER = """
import sys
from pathlib import Path
from uuid import UUID
from flocker_agent.storage.directory import DirectoryStorage
storage = DirectoryStorage(Path(sys.argv[1]), Path(sys.argv[2]))
print("open", flush=True)
storage.receive(UUID(sys.argv[3]), 0)
"""
FIONREAD = 0x541B
DEADLINE_SECONDS = 60


@pytest.fixture
def storage(tmp_path: Path) -> DirectoryStorage:
    """
    An empty pool.
    """
    return DirectoryStorage(tmp_path / "pool", tmp_path / "mounts")


@pytest.fixture
def other(tmp_path: Path) -> DirectoryStorage:
    """
    Another empty pool.
    """
    return DirectoryStorage(tmp_path / "other", tmp_path / "other-mounts")


@pytest.fixture
def source() -> Iterator[str]:
    """
    The import path of a process of ours.
    """
    yield os.pathsep.join(path for path in sys.path if path)


def owned(storage: DirectoryStorage) -> tuple[DatasetId, Path]:
    """
    A new dataset and where it is mounted.
    """
    dataset_id = new_id()
    storage.create(dataset_id, role=Role.OWNER, epoch=1)
    return dataset_id, storage.mount(dataset_id)


def wait_until(condition: Callable[[], bool]) -> None:
    """
    Until a condition holds; fails if it doesn't in time.
    """
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def snapshot_content(storage: DirectoryStorage, dataset_id: DatasetId, guid: Guid) -> dict[bytes, bytes]:
    """
    The files of a snapshot.
    """
    clone_id = new_id()
    storage.clone(dataset_id, guid, clone_id, epoch=1)
    return {name: entry.content for name, entry in read_tree(storage.mount(clone_id)).items()}


def test_pool_in_use(tmp_path: Path, storage: DirectoryStorage) -> None:
    """
    A pool is opened by one process at a time.
    """
    with pytest.raises(PoolInUse, match="pool"):
        DirectoryStorage(tmp_path / "pool", tmp_path / "mounts")

    assert dict(storage.datasets()) == {}


def test_lock_of_a_dead_process(tmp_path: Path, source: str) -> None:
    """
    A process that was killed leaves its pool open to the next.
    """
    command = [sys.executable, "-c", RECEIVER, str(tmp_path / "pool"), str(tmp_path / "mounts"), str(new_id())]
    environment = {**os.environ, "PYTHONPATH": source}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        with pytest.raises(PoolInUse):
            DirectoryStorage(tmp_path / "pool", tmp_path / "mounts")
        process.kill()

    assert dict(DirectoryStorage(tmp_path / "pool", tmp_path / "mounts").datasets()) == {}


def test_killed_amidst_a_large_file(tmp_path: Path, storage: DirectoryStorage, source: str) -> None:
    """
    After kill -9 of a receiver, amidst a large file, all but a few megabytes of what it read need not be sent again.
    """
    dataset_id, path = owned(storage)
    write_tree(path, {b"large": file(noise(40 * MEBIBYTE))})
    plan = SendPlan(to_guid=storage.snapshot(dataset_id, "one").guid)
    stream = stream_of(storage, dataset_id, plan)
    fed_bytes = len(stream) * 3 // 4
    command = [sys.executable, "-c", RECEIVER, str(tmp_path / "other"), str(tmp_path / "other-mounts"), str(dataset_id)]
    environment = {**os.environ, "PYTHONPATH": source}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, bufsize=0) as process:
        pipe = process.stdin
        assert pipe is not None
        rest = memoryview(stream)[:fed_bytes]
        while rest:
            rest = rest[pipe.write(rest) :]
        wait_until(lambda: fcntl.ioctl(pipe, FIONREAD, b"\0" * 4) == b"\0" * 4)
        process.send_signal(signal.SIGKILL)

    other = DirectoryStorage(tmp_path / "other", tmp_path / "other-mounts")
    resumed = plan.set(resume_token=other.dataset(dataset_id).resume_token)
    assert storage.send_estimate_bytes(dataset_id, resumed) <= len(stream) - fed_bytes + 8 * MEBIBYTE
    carry(storage, dataset_id, resumed, other)
    assert snapshot_content(other, dataset_id, plan.to_guid) == {b"large": noise(40 * MEBIBYTE)}


def test_writing_through_a_mapping(storage: DirectoryStorage) -> None:
    """
    What a process writes through a mapping that it had before a snapshot is in the next one.
    """
    dataset_id, path = owned(storage)
    (path / "mapped").write_bytes(b"a" * 100_000)
    with (path / "mapped").open("r+b") as stream, mmap.mmap(stream.fileno(), 0) as mapped:
        mapped[0:1] = b"b"
        storage.snapshot(dataset_id, "one")
        mapped[1:2] = b"c"
        first = storage.snapshot(dataset_id, "two").guid
        mapped[2:3] = b"d"
        second = storage.snapshot(dataset_id, "three").guid

    seen = [snapshot_content(storage, dataset_id, guid)[b"mapped"][:4] for guid in (first, second)]
    assert seen == [b"bcaa", b"bcda"]


# Twenty snapshots, each of which has the disk written to.
@pytest.mark.timeout(400)
def test_snapshots_under_a_writer(storage: DirectoryStorage) -> None:
    """
    Files that come, grow, shrink and go while snapshots are taken are in no snapshot's way, and each has all that was
    synced before it.
    """
    dataset_id, path = owned(storage)
    (path / "log").write_bytes(b"")
    done = threading.Event()
    synced = 0

    def write() -> None:
        nonlocal synced
        with (path / "log").open("ab") as log:
            for number in range(100_000):
                if done.is_set():
                    return
                log.write(b"%09d\n" % number)
                log.flush()
                os.fsync(log.fileno())
                synced = number + 1
                (path / f"file{number % 7}").write_bytes(b"x" * (number * 997 % 200_000))
                (path / f"file{(number + 3) % 7}").unlink(missing_ok=True)
                folder = path / f"folder{number % 3}"
                if folder.exists():
                    folder.rename(path / "moved")
                    (path / "moved" / "inner").unlink()
                    (path / "moved").rmdir()
                else:
                    folder.mkdir()
                    (folder / "inner").symlink_to("../log")

    writer = threading.Thread(target=write)
    writer.start()
    promised = []
    try:
        for number in range(20):
            wait_until(lambda number=number: synced > number)  # type: ignore[misc]
            before = synced
            promised.append((before, storage.snapshot(dataset_id, f"s{number}").guid))
    finally:
        done.set()
        writer.join()

    for before, guid in promised[::5]:
        lines = snapshot_content(storage, dataset_id, guid)[b"log"]
        assert lines[: before * 10] == b"".join(b"%09d\n" % number for number in range(before))


def test_room_is_given_back(storage: DirectoryStorage) -> None:
    """
    What only destroyed snapshots held takes no room any more, also where it lies beside what others still hold.
    """
    dataset_id, path = owned(storage)
    write_tree(path, {b"kept": file(noise(4 * MEBIBYTE)), b"overwritten": file(noise(16 * MEBIBYTE, 1))})
    first = storage.snapshot(dataset_id, "one").guid
    with (path / "overwritten").open("r+b") as stream:
        stream.write(noise(15 * MEBIBYTE, 2))
    storage.snapshot(dataset_id, "two")
    before = storage.dataset(dataset_id).used_bytes

    storage.destroy_snapshots(dataset_id, [first])

    assert before - storage.dataset(dataset_id).used_bytes >= 14 * MEBIBYTE
    last = storage.dataset(dataset_id).snapshots[-1].guid
    assert snapshot_content(storage, dataset_id, last)[b"overwritten"][: 15 * MEBIBYTE] == noise(15 * MEBIBYTE, 2)


def test_others_see_nothing(tmp_path: Path, storage: DirectoryStorage) -> None:
    """
    What is kept, and the live data while unmounted, is closed to all users but the agent's.
    """
    dataset_id, _ = owned(storage)
    storage.unmount(dataset_id)

    kept = tmp_path / "pool" / "datasets" / str(dataset_id) / "kept"

    assert stat.S_IMODE(kept.stat().st_mode) == 0o700


def test_folder_above_bound_in_another_namespace(
    tmp_path: Path, storage: DirectoryStorage, require: Callable[[str], None]
) -> None:
    """
    A container that sees a folder above of a dataset, and has nothing of it open, is in nobody's way.
    """
    require("root")
    dataset_id, _ = owned(storage)

    with process_in_another_namespace(BIND, tmp_path, new_folder(tmp_path)):
        storage.unmount(dataset_id)

    assert storage.dataset(dataset_id).mounted_at is None


@pytest.mark.parametrize("use", ['cd "$3"', 'exec 3<"$3/a"'])
def test_used_by_way_of_a_folder_above(
    tmp_path: Path, storage: DirectoryStorage, require: Callable[[str], None], use: str
) -> None:
    """
    A process of a container that sees a folder above of a dataset, and stands in the dataset or has a file of it open,
    keeps it mounted, and the refusal names the process.
    """
    require("root")
    dataset_id, path = owned(storage)
    (path / "a").write_bytes(b"content")
    elsewhere = new_folder(tmp_path)
    there = elsewhere / path.resolve().relative_to(tmp_path)

    with (
        process_in_another_namespace(f"{BIND}; {use}", tmp_path, elsewhere, there) as process_id,
        pytest.raises(DatasetBusy, match=rf"\bprocess {process_id} \("),
    ):
        storage.unmount(dataset_id)

    assert (path / "a").read_bytes() == b"content"


def test_other_files_at_the_same_path(
    tmp_path: Path, storage: DirectoryStorage, require: Callable[[str], None]
) -> None:
    """
    A process for which something else is at the path of a dataset is in nobody's way.
    """
    require("root")
    dataset_id, path = owned(storage)
    script = 'mount -t tmpfs none "$1"; mkdir -p "$2"; cd "$2"'

    with process_in_another_namespace(script, tmp_path / "pool", path.resolve()):
        storage.unmount(dataset_id)

    assert storage.dataset(dataset_id).mounted_at is None


def test_bound_by_somebody_else(tmp_path: Path, storage: DirectoryStorage, require: Callable[[str], None]) -> None:
    """
    Without root, too, it is seen that a process of root's has a dataset mounted in another namespace.
    """
    require("root")
    _, path = owned(storage)
    place = place_of(path)
    assert place is not None
    look = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from flocker_agent.storage.mount_namespaces import Place, Views\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "view = Views().of(Path('/proc', sys.argv[1]))\n"
        "print(view is not None and view.shows([Place(*sys.argv[2:])]))\n"
    )

    with process_in_another_namespace(BIND, path, new_folder(tmp_path)) as process_id:
        seen = subprocess.run(
            [sys.executable, "-c", look, str(process_id), *place], check=True, capture_output=True, text=True
        ).stdout

    assert seen == "True\n"


def test_rebooted(tmp_path: Path, storage: DirectoryStorage) -> None:
    """
    What was mounted before the host went down is not mounted when it is up again.
    """
    dataset_id, path = owned(storage)
    record = tmp_path / "pool" / "datasets" / str(dataset_id) / "kept" / "dataset.json"
    storage.close()
    record.write_text(json.dumps({**json.loads(record.read_text()), "boot": "another boot"}))

    reopened = DirectoryStorage(tmp_path / "pool", tmp_path / "mounts")

    assert (reopened.dataset(dataset_id).mounted_at, os.path.lexists(path)) == (None, False)


def test_newer_pool(tmp_path: Path, storage: DirectoryStorage) -> None:
    """
    A pool of a newer version is left alone.
    """
    storage.close()
    (tmp_path / "pool" / "pool.json").write_text('{"format": "flocker-directory", "version": 99}')

    with pytest.raises(BackendUnavailable, match="99"):
        DirectoryStorage(tmp_path / "pool", tmp_path / "mounts")


def test_newer_record(tmp_path: Path, storage: DirectoryStorage) -> None:
    """
    A dataset whose record this version can't read is reported as an error, never as missing.
    """
    dataset_id, _ = owned(storage)
    record = tmp_path / "pool" / "datasets" / str(dataset_id) / "kept" / "dataset.json"
    record.write_text('{"version": 99}')

    with pytest.raises(StorageError, match=str(dataset_id)):
        storage.datasets()


@pytest.mark.parametrize("root", ["missing/pool", "taken"])
def test_no_place_for_a_pool(tmp_path: Path, root: str) -> None:
    """
    A pool is made in a folder that is there, and never among somebody's files.
    """
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_bytes(b"precious")

    with pytest.raises(PoolMissing, match=str(tmp_path / root)):
        DirectoryStorage(tmp_path / root, tmp_path / "mounts")


def test_pool_gone(tmp_path: Path, storage: DirectoryStorage) -> None:
    """
    A pool whose folder has gone is an error, not an empty pool.
    """
    (tmp_path / "pool").rename(tmp_path / "elsewhere")

    with pytest.raises(PoolMissing):
        storage.datasets()


def test_stream_that_leads_out(tmp_path: Path, storage: DirectoryStorage) -> None:
    """
    A stream with right checksums that would write outside its dataset makes nothing at all.
    """
    root = ["", "d", 0o755, 0, 0, 0, 0, "", 0, []]
    link = ["link", "l", 0o777, 0, 0, 0, 0, str(tmp_path), 0, []]
    through = ["link/planted", "f", 0o644, 0, 0, 0, 0, "", 0, []]
    upwards = ["../../../../../planted", "f", 0o644, 0, 0, 0, 0, "", 0, []]

    for rows in ([root, upwards], [root, link, through]):
        with pytest.raises(StreamCorrupt):
            receive_forged(storage, [["+", row, []] for row in rows])

    assert not (tmp_path / "planted").exists()
    assert dict(storage.datasets()) == {}


def receive_forged(storage: DirectoryStorage, lines: list[object]) -> None:
    """
    Receive a stream with steps of one's own.
    """
    steps = "\n".join(json.dumps(line) for line in lines).encode()
    opening = Opening(backend="directory", to_guid=Guid(1), to_name="a", data_bytes=0, key=zlib.crc32(steps))
    reading, writing = os.pipe()
    frames = FrameWriter(writing)
    frames.write(FrameKind.OPENING, opening_bytes(opening))
    frames.write(FrameKind.ENTRIES, steps)
    frames.write(FrameKind.END)
    os.close(writing)
    try:
        storage.receive(new_id(), reading)
    finally:
        os.close(reading)


def test_unchanged_files_are_not_stored_again(storage: DirectoryStorage) -> None:
    """
    A snapshot takes room for what has changed since the one before, also right after moving here.
    """
    dataset_id, path = owned(storage)
    write_tree(path, {b"large": file(noise(8 * MEBIBYTE)), b"small": file(b"1")})
    storage.snapshot(dataset_id, "one")
    before = storage.dataset(dataset_id).used_bytes
    write_tree(path, {b"small": file(b"22")})

    storage.snapshot(dataset_id, "two")

    assert storage.dataset(dataset_id).used_bytes - before < 100_000
    assert difference({b"large": file(noise(8 * MEBIBYTE)), b"small": file(b"22")}, read_tree(path)) == []


def test_two_senders_of_one_snapshot(tmp_path: Path, storage: DirectoryStorage, other: DirectoryStorage) -> None:
    """
    A receive that one holder of a snapshot began is completed by another, or from the start: never with a mixture.
    """
    dataset_id, path = owned(storage)
    write_tree(path, {b"a": file(noise(4 * MEBIBYTE)), b"b": file(noise(MEBIBYTE, 1))})
    base = storage.snapshot(dataset_id, "base").guid
    with (path / "a").open("r+b") as stream:
        stream.seek(500_000)
        stream.write(b"changed")
    plan = SendPlan(to_guid=storage.snapshot(dataset_id, "last").guid)
    for step in (SendPlan(to_guid=base), plan.set(from_guid=base)):
        carry(storage, dataset_id, step, other)
    third = DirectoryStorage(tmp_path / "third", tmp_path / "third-mounts")
    whole = stream_of(storage, dataset_id, plan)
    with pytest.raises(StorageError):
        receive_bytes(third, dataset_id, whole[: len(whole) // 2])
    resumed = plan.set(resume_token=third.dataset(dataset_id).resume_token)

    try:
        carry(other, dataset_id, resumed, third)
    except StorageError:
        third.abort_receive(dataset_id)
        carry(other, dataset_id, plan, third)

    expected = snapshot_content(storage, dataset_id, plan.to_guid)
    assert snapshot_content(third, dataset_id, plan.to_guid) == expected
