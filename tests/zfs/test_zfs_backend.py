"""
What is ZFS's own in the zfs backend, on a real kernel.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flocker_agent.storage import resume_token as tokens
from flocker_agent.storage import zfs_pool
from flocker_agent.storage.zfs import ZfsStorage
from flocker_py.model import DatasetId
from flocker_py.storage import (
    BackendUnavailable,
    DatasetBusy,
    KeyUnavailable,
    PoolFull,
    PoolMissing,
    Role,
    SendPlan,
    SnapshotHeld,
    SnapshotMissing,
)
from flocker_py.testing.storage_pools import (
    MEBIBYTE,
    carry,
    content_of,
    new_id,
    noise,
    owned,
    partial_dataset,
    replicate,
    resume_token,
    snapshot_guids,
    stream_of,
)
from flocker_py.testing.trees import EntryKind, TreeEntry, difference, file
from tests.conftest import require
from tests.zfs.pools import import_pool
from tests.zfs.under_test import ZfsUnderTest, new_pools

# An emulated processor is 10 to 40 times slower than this one.
pytestmark = [pytest.mark.zfs, pytest.mark.timeout(900)]

NewZfsPool = Callable[[], ZfsUnderTest]
PASSPHRASE = b"correct horse battery staple\n"


@pytest.fixture
def new_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewZfsPool]:
    """
    Makes an empty pool whenever it is called; it is gone after the test.
    """
    require("zfs")
    require("root")
    with new_pools(lambda: tmp_path_factory.mktemp("mounts")) as made:
        yield made


@pytest.fixture
def pool(new_pool: NewZfsPool) -> ZfsUnderTest:
    """
    An empty pool.
    """
    return new_pool()


@pytest.fixture
def other_pool(new_pool: NewZfsPool) -> ZfsUnderTest:
    """
    Another empty pool.
    """
    return new_pool()


def run(*command: str, given: bytes = b"") -> str:
    """
    Run a command that must succeed; what it printed.
    """
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.decode()}"
    return done.stdout.decode()


def properties(name: str, *wanted: str) -> list[str]:
    """
    Properties of a dataset, as an operator sees them.
    """
    return run("zfs", "get", "-H", "-o", "value", ",".join(wanted), name).split("\n")[:-1]


def snapshot_names(name: str) -> list[str]:
    """
    The snapshots of a dataset, as an operator sees them.
    """
    listed = run("zfs", "list", "-H", "-t", "snapshot", "-o", "name", "-s", "createtxg", name)
    return [line.partition("@")[2] for line in listed.splitlines()]


def write_synced(pool: ZfsUnderTest, dataset_id: DatasetId, content: bytes) -> None:
    """
    Write as a database does, by way of the intent log.
    """
    # The first commit to a log that isn't there yet waits for the pool instead (zil_create in OpenZFS).
    for text in (b"", content):
        with (pool.path_of(dataset_id) / "a").open("wb") as written:
            written.write(text)
            written.flush()
            os.fsync(written.fileno())


def cut_power(pool: ZfsUnderTest) -> None:
    """
    Leave the pool as a power cut at this moment would, imported again, with nothing mounted.
    """
    copy = pool.image.with_suffix(".cut")
    run("cp", "--sparse=always", str(pool.image), str(copy))
    pool.unmount_all()
    run("zpool", "export", "-f", pool.name)
    copy.replace(pool.image)
    import_pool(pool.image)
    pool.reopen()


class TestOthers:
    """
    Snapshots and holds of other programs.
    """

    def test_listed(self, pool: ZfsUnderTest) -> None:
        """
        Somebody else's snapshot is listed in its place, as not ours.
        """
        dataset_id = owned(pool)
        pool.storage.snapshot(dataset_id, "one")
        run("zfs", "snapshot", f"{pool.name_of(dataset_id)}@daily")
        run("zfs", "hold", "backup", f"{pool.name_of(dataset_id)}@daily")

        found = pool.storage.dataset(dataset_id).snapshots

        assert [(each.name, each.ours, list(each.holds)) for each in found] == [("one", True, []), ("daily", False, [])]

    def test_snapshot_stays(self, pool: ZfsUnderTest) -> None:
        """
        Somebody else's snapshot is not destroyed, nor are ours that were named with it.
        """
        dataset_id = owned(pool)
        pool.storage.snapshot(dataset_id, "one")
        run("zfs", "snapshot", f"{pool.name_of(dataset_id)}@daily")
        with pytest.raises(SnapshotMissing):
            pool.storage.destroy_snapshots(dataset_id, snapshot_guids(pool.storage, dataset_id))

        assert snapshot_names(pool.name_of(dataset_id)) == ["flocker_py-one", "daily"]

    def test_same_names(self, pool: ZfsUnderTest) -> None:
        """
        Ours may be called what somebody else's is called: snapshot, bookmark and hold.
        """
        dataset_id = owned(pool)
        name = pool.name_of(dataset_id)
        run("zfs", "snapshot", f"{name}@daily")
        run("zfs", "bookmark", f"{name}@daily", f"{name}#daily")

        guid = pool.storage.snapshot(dataset_id, "daily").guid
        run("zfs", "hold", "tag", f"{name}@flocker_py-daily")
        pool.storage.bookmark(dataset_id, guid, "daily")
        pool.storage.hold(dataset_id, [guid], "tag")
        pool.storage.release(dataset_id, [guid], "tag")
        pool.storage.destroy_bookmarks(dataset_id, ["daily"])

        left = run("zfs", "holds", "-H", f"{name}@flocker_py-daily").split("\t")[1]
        bookmarks = run("zfs", "list", "-H", "-t", "bookmark", "-o", "name", name).split()
        assert (left, bookmarks, dict(pool.storage.bookmarks(dataset_id))) == ("tag", [f"{name}#daily"], {})

    def test_hold_protects_snapshot(self, pool: ZfsUnderTest) -> None:
        """
        A snapshot of ours that somebody else holds is not destroyed.
        """
        dataset_id = owned(pool)
        guid = pool.storage.snapshot(dataset_id, "one").guid
        run("zfs", "hold", "backup", f"{pool.name_of(dataset_id)}@flocker_py-one")

        with pytest.raises(SnapshotHeld, match="backup"):
            pool.storage.destroy_snapshots(dataset_id, [guid])

    def test_hold_protects_dataset(self, pool: ZfsUnderTest) -> None:
        """
        A dataset of which somebody else holds a snapshot is not destroyed, and our holds on it stay.
        """
        dataset_id = owned(pool, mounted=False)
        guids = [pool.storage.snapshot(dataset_id, name).guid for name in ("one", "two")]
        pool.storage.hold(dataset_id, guids, "ours")
        run("zfs", "hold", "backup", f"{pool.name_of(dataset_id)}@flocker_py-two")
        with pytest.raises(SnapshotHeld, match="backup"):
            pool.storage.destroy(dataset_id)

        assert [list(each.holds) for each in pool.storage.dataset(dataset_id).snapshots] == [["ours"], ["ours"]]

    def test_clones_protect_dataset(self, pool: ZfsUnderTest) -> None:
        """
        A dataset with clones is not destroyed, and its holds and other snapshots stay.
        """
        dataset_id = owned(pool, mounted=False)
        guids = [pool.storage.snapshot(dataset_id, name).guid for name in ("one", "two")]
        for tag in ("a", "b"):
            pool.storage.hold(dataset_id, guids, tag)
        run("zfs", "clone", f"{pool.name_of(dataset_id)}@flocker_py-two", f"{pool.name}/elsewhere")
        with pytest.raises(DatasetBusy):
            pool.storage.destroy(dataset_id)

        assert [list(each.holds) for each in pool.storage.dataset(dataset_id).snapshots] == [["a", "b"], ["a", "b"]]

    def test_snapshot_goes_with_dataset(self, pool: ZfsUnderTest) -> None:
        """
        Destroying a dataset takes somebody else's snapshots with it, where nobody holds them.
        """
        dataset_id = owned(pool, mounted=False)
        run("zfs", "snapshot", f"{pool.name_of(dataset_id)}@daily")

        pool.storage.destroy(dataset_id)

        assert run("zfs", "list", "-H", "-o", "name", "-r", "-t", "all", f"{pool.name}/flocker").split() == [
            f"{pool.name}/flocker"
        ]

    def test_others_datasets(self, pool: ZfsUnderTest) -> None:
        """
        Datasets that have no name of ours are no datasets of ours.
        """
        dataset_id = owned(pool)
        pool.storage.stash(owned(pool, mounted=False), "x")
        run("zfs", "create", f"{pool.name}/flocker/private")
        run("zfs", "create", f"{pool.name_of(dataset_id)}/child")

        assert list(pool.storage.datasets()) == [dataset_id]

    def test_send_of_others_snapshot(self, pool: ZfsUnderTest, other_pool: ZfsUnderTest) -> None:
        """
        Somebody else's snapshot can be sent, and is one of ours where it arrives.
        """
        dataset_id = owned(pool)
        run("zfs", "snapshot", f"{pool.name_of(dataset_id)}@daily")
        (guid,) = snapshot_guids(pool.storage, dataset_id)

        arrived = carry(pool.storage, dataset_id, SendPlan(to_guid=guid), other_pool.storage)

        assert (arrived.name, arrived.ours) == ("daily", True)


class TestProperties:
    """
    What an operator sees.
    """

    @pytest.mark.parametrize(("role", "read_only"), [(Role.OWNER, "off"), (Role.RELEASED, "on"), (Role.REPLICA, "on")])
    def test_created(self, pool: ZfsUnderTest, role: Role, read_only: str) -> None:
        """
        A new dataset says what it is for; only an owner's can be written, and none is mounted by itself.
        """
        dataset_id = new_id()

        pool.storage.create(dataset_id, role=role, epoch=7, maximum_size_bytes=MEBIBYTE * 50)

        assert properties(
            pool.name_of(dataset_id),
            "readonly",
            "mountpoint",
            "canmount",
            "refquota",
            "flocker_py:role",
            "flocker_py:epoch",
        ) == [read_only, "legacy", "noauto", "50M", role.value, "7"]

    @pytest.mark.parametrize("role", [Role.RELEASED, Role.REPLICA])
    def test_laid_down_and_taken_up(self, pool: ZfsUnderTest, role: Role) -> None:
        """
        With its role, a dataset becomes read-only and writable again.
        """
        dataset_id = owned(pool, mounted=False)
        pool.storage.set_role(dataset_id, role=role, epoch=2)
        laid_down = properties(pool.name_of(dataset_id), "readonly")

        pool.storage.set_role(dataset_id, role=Role.OWNER, epoch=3)

        assert (laid_down, properties(pool.name_of(dataset_id), "readonly")) == (["on"], ["off"])

    def test_received(self, pool: ZfsUnderTest, other_pool: ZfsUnderTest) -> None:
        """
        What is received has no properties of the sender's: it is a read-only replica that is not mounted.
        """
        dataset_id = owned(pool, epoch=5)
        pool.storage.set_properties(dataset_id, {"a": "b"})
        pool.storage.set_limit(dataset_id, 90 * MEBIBYTE)

        replicate(pool, dataset_id, other_pool)

        assert properties(
            other_pool.name_of(dataset_id),
            "readonly",
            "mountpoint",
            "canmount",
            "mounted",
            "refquota",
            "flocker_py:role",
            "flocker_py:epoch",
            "flocker_py:own.a",
        ) == ["on", "legacy", "noauto", "no", "none", "replica", "0", "-"]

    def test_unwritten_marks(self, pool: ZfsUnderTest, other_pool: ZfsUnderTest) -> None:
        """
        A received dataset whose marks were never written, as after a kill at the wrong moment, is a REPLICA of epoch 0,
        read-only and not mounted.
        """
        dataset_id = owned(pool)
        replicate(pool, dataset_id, other_pool)
        name = other_pool.name_of(dataset_id)
        for each in ("flocker_py:role", "flocker_py:epoch", "readonly"):
            run("zfs", "inherit", each, name)
        run("zfs", "set", "canmount=on", name)

        run("zfs", "mount", "-a")

        found = other_pool.storage.dataset(dataset_id)
        assert (found.role, found.epoch, properties(name, "readonly", "mounted")) == (Role.REPLICA, 0, ["on", "no"])

    def test_inherited_role(self, pool: ZfsUnderTest, other_pool: ZfsUnderTest) -> None:
        """
        A role that is only inherited from the parent gives no right to write.
        """
        dataset_id = owned(pool)
        replicate(pool, dataset_id, other_pool)
        run("zfs", "inherit", "flocker_py:role", other_pool.name_of(dataset_id))
        run("zfs", "set", "flocker_py:role=owner", f"{other_pool.name}/flocker")

        assert other_pool.storage.dataset(dataset_id).role is Role.REPLICA

    def test_survive_import(self, pool: ZfsUnderTest) -> None:
        """
        All marks survive the export and import of the pool, and nothing is mounted by that.
        """
        dataset_id = owned(pool, epoch=4)
        pool.storage.set_properties(dataset_id, {"a": "b"})
        pool.storage.unmount(dataset_id)
        before = pool.storage.dataset(dataset_id)
        run("zpool", "export", pool.name)
        import_pool(pool.image)

        run("zfs", "mount", "-a")

        assert pool.storage.dataset(dataset_id).set(used_bytes=0) == before.set(used_bytes=0)

    def test_not_mounted_by_name(self, pool: ZfsUnderTest, other_pool: ZfsUnderTest) -> None:
        """
        `zfs mount` of a replica, by mistake, is refused.
        """
        dataset_id = owned(pool)
        replicate(pool, dataset_id, other_pool)

        done = subprocess.run(["zfs", "mount", other_pool.name_of(dataset_id)], capture_output=True, check=False)

        assert done.returncode != 0

    def test_owner_left_read_only(self, pool: ZfsUnderTest) -> None:
        """
        An owner's dataset that was left read-only, as by a crash in between, can be written once it is mounted.
        """
        dataset_id = owned(pool, mounted=False)
        run("zfs", "set", "readonly=on", pool.name_of(dataset_id))

        pool.storage.mount(dataset_id)

        pool.files.write(dataset_id, {b"a": file(b"content")})

    def test_released_below_writable_parent(self, pool: ZfsUnderTest) -> None:
        """
        A dataset that is laid down is read-only even if somebody has made its parent writable.
        """
        dataset_id = owned(pool, mounted=False)
        run("zfs", "set", "readonly=off", f"{pool.name}/flocker")

        pool.storage.set_role(dataset_id, role=Role.RELEASED, epoch=1)

        assert properties(pool.name_of(dataset_id), "readonly") == ["on"]


class TestParent:
    """
    POOL/flocker.
    """

    def test_made(self, pool: ZfsUnderTest) -> None:
        """
        The parent is made when it is needed, and keeps its children from being mounted and written by accident.
        """
        owned(pool, mounted=False)

        assert properties(f"{pool.name}/flocker", "mountpoint", "canmount", "readonly", "atime") == [
            "legacy",
            "off",
            "on",
            "off",
        ]

    def test_put_right(self, pool: ZfsUnderTest) -> None:
        """
        A parent that somebody made by hand, and that is empty, is set up as it must be.
        """
        run("zfs", "create", "-o", "compression=zstd", f"{pool.name}/flocker")

        owned(pool, mounted=False)

        assert properties(f"{pool.name}/flocker", "readonly", "mountpoint", "compression") == ["on", "legacy", "zstd"]

    def test_in_use(self, pool: ZfsUnderTest) -> None:
        """
        A parent that has children already and isn't safe is left alone; the refusal says what to set.
        """
        run("zfs", "create", "-p", f"{pool.name}/flocker/private")

        with pytest.raises(BackendUnavailable, match=rf"zfs set .*readonly=on .*{pool.name}/flocker"):
            owned(pool)


class TestPool:
    """
    Pools that are not there, or full.
    """

    def test_unknown_pool(self, pool: ZfsUnderTest, tmp_path: Path) -> None:
        """
        A pool that isn't there is said to be missing, not to be empty.
        """
        storage = ZfsStorage(f"{pool.name}-other", tmp_path)

        for call in (
            storage.datasets,
            storage.stashes,
            storage.free_bytes,
            lambda: storage.dataset(new_id()),
            lambda: storage.create(new_id(), role=Role.OWNER, epoch=1),
        ):
            with pytest.raises(PoolMissing):
                call()

    def test_exported_pool(self, pool: ZfsUnderTest) -> None:
        """
        While a pool is exported it is missing, and once it is imported again all is there.
        """
        dataset_id = owned(pool, mounted=False)
        run("zpool", "export", pool.name)
        try:
            with pytest.raises(PoolMissing):
                pool.storage.datasets()
        finally:
            import_pool(pool.image)

        assert list(pool.storage.datasets()) == [dataset_id]

    def test_full_pool_is_left(self, pool: ZfsUnderTest) -> None:
        """
        A dataset that fills its pool can still be laid down and destroyed.
        """
        dataset_id = owned(pool)
        assert pool.size_bytes is not None
        with pytest.raises(OSError, match=r"No space|quota"):
            pool.files.write(dataset_id, {b"a": file(noise(pool.size_bytes * 2))})
        with pytest.raises(PoolFull):
            pool.storage.create(new_id(), role=Role.OWNER, epoch=1)
        pool.storage.unmount(dataset_id)
        pool.storage.set_role(dataset_id, role=Role.RELEASED, epoch=1)

        pool.storage.destroy(dataset_id)

        assert dict(pool.storage.datasets()) == {}

    def test_listing_in_pieces(self, pool: ZfsUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        More datasets than one question may be answered with are listed all the same.
        """
        for _ in range(12):
            dataset_id = owned(pool, mounted=False)
            for number in range(6):
                pool.storage.snapshot(dataset_id, f"s{number}")
        expected = pool.storage.datasets()

        monkeypatch.setattr(zfs_pool, "_MEMORY_BYTES", 50_000)

        assert pool.storage.datasets() == expected


class TestMounting:
    """
    What else may keep a dataset in use.
    """

    def test_other_namespace(self, pool: ZfsUnderTest) -> None:
        """
        A dataset that a process in another mount namespace still sees stays mounted, and the refusal names the process.
        """
        dataset_id = owned(pool)
        with subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo ready; cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            with pytest.raises(DatasetBusy, match=rf"process {process.pid}\b"):
                pool.storage.unmount(dataset_id)
            process.communicate()

        assert pool.storage.dataset(dataset_id).mounted_at == str(pool.path_of(dataset_id))

    def test_other_namespace_that_follows(self, pool: ZfsUnderTest) -> None:
        """
        A process in a mount namespace that follows the host's, as services' do, is in nobody's way.
        """
        dataset_id = owned(pool)
        run("mount", "--make-rshared", "/")
        with subprocess.Popen(
            ["unshare", "--mount", "--propagation", "slave", "sh", "-c", "echo ready; cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            pool.storage.unmount(dataset_id)
            process.communicate()

        assert pool.storage.dataset(dataset_id).mounted_at is None

    def test_something_mounted_below(self, pool: ZfsUnderTest) -> None:
        """
        A dataset below which something is mounted stays mounted; the refusal names the place.
        """
        dataset_id = owned(pool)
        below = pool.path_of(dataset_id) / "below"
        below.mkdir()
        run("mount", "-t", "tmpfs", "none", str(below))
        try:
            with pytest.raises(DatasetBusy, match=str(below)):
                pool.storage.unmount(dataset_id)
        finally:
            run("umount", str(below))

        assert pool.storage.dataset(dataset_id).mounted_at is not None

    def test_mount_point_taken_by_a_mount(self, pool: ZfsUnderTest) -> None:
        """
        Nothing is mounted over another file system.
        """
        dataset_id = owned(pool, mounted=False)
        path = pool.path_of(dataset_id)
        path.mkdir(parents=True)
        run("mount", "-t", "tmpfs", "none", str(path))
        try:
            with pytest.raises(DatasetBusy, match=str(path)):
                pool.storage.mount(dataset_id)
        finally:
            run("umount", str(path))

        assert pool.storage.dataset(dataset_id).mounted_at is None

    def test_seen_snapshot(self, pool: ZfsUnderTest) -> None:
        """
        Somebody having looked into a snapshot under `.zfs` keeps nobody from unmounting.
        """
        dataset_id = owned(pool)
        pool.files.write(dataset_id, {b"a": file(b"content")})
        pool.storage.snapshot(dataset_id, "one")
        seen = (pool.path_of(dataset_id) / ".zfs" / "snapshot" / "flocker_py-one" / "a").read_bytes()

        pool.storage.unmount(dataset_id)

        assert (seen, pool.storage.dataset(dataset_id).mounted_at) == (b"content", None)

    def test_written_a_moment_ago(self, pool: ZfsUnderTest) -> None:
        """
        What was written to a mounted dataset a moment ago counts as written.
        """
        dataset_id = owned(pool)
        pool.storage.snapshot(dataset_id, "one")
        before = pool.storage.written_since_snapshot(dataset_id)
        (pool.path_of(dataset_id) / "a").write_bytes(b"a")

        assert (before, pool.storage.written_since_snapshot(dataset_id)) == (False, True)

    @pytest.mark.parametrize("encrypted", [False, True])
    def test_not_written_by_power_cut(self, pool: ZfsUnderTest, encrypted: bool) -> None:
        """
        A power cut after the last snapshot of an unmounted dataset doesn't count as writing, though ZFS counts a block.
        """
        if encrypted:
            encrypt(pool)
        dataset_id = owned(pool)
        write_synced(pool, dataset_id, b"content")
        pool.storage.unmount(dataset_id)
        pool.storage.set_role(dataset_id, role=Role.RELEASED, epoch=1)
        pool.storage.snapshot(dataset_id, "one")
        cut_power(pool)

        counted = properties(pool.name_of(dataset_id), "written")

        assert (counted != ["0"], pool.storage.written_since_snapshot(dataset_id)) == (True, False)

    def test_written_before_power_cut(self, pool: ZfsUnderTest) -> None:
        """
        What was synced after the snapshot, and is in the intent log only, counts as written.
        """
        dataset_id = owned(pool)
        write_synced(pool, dataset_id, b"before")
        pool.storage.snapshot(dataset_id, "one")
        write_synced(pool, dataset_id, b"content")
        cut_power(pool)

        assert pool.storage.written_since_snapshot(dataset_id)

    @pytest.mark.parametrize("laid_down", [False, True])
    def test_synced_before_power_cut(self, pool: ZfsUnderTest, laid_down: bool) -> None:
        """
        What an application had synced before a power cut is in the next snapshot, though nothing has mounted it since.
        """
        dataset_id = owned(pool)
        write_synced(pool, dataset_id, b"content")
        cut_power(pool)
        if laid_down:
            pool.storage.set_role(dataset_id, role=Role.RELEASED, epoch=1)
        pool.storage.snapshot(dataset_id, "one")
        pool.storage.set_role(dataset_id, role=Role.OWNER, epoch=2)
        pool.storage.mount(dataset_id)
        seen = pool.path_of(dataset_id) / ".zfs" / "snapshot" / "flocker_py-one" / "a"

        assert seen.read_bytes() == b"content"


class TestStreams:
    """
    What ZFS's streams are like.
    """

    def test_long_symlink(self, pool: ZfsUnderTest, other_pool: ZfsUnderTest) -> None:
        """
        A symbolic link to a long path that compresses well arrives. (It doesn't if embedded blocks are asked for.)
        """
        dataset_id = owned(pool)
        tree = {b"long": TreeEntry(kind=EntryKind.SYMLINK, mode=0o777, target=b"y" * 4000)}
        pool.files.write(dataset_id, tree)

        guid = replicate(pool, dataset_id, other_pool)

        assert difference(tree, content_of(other_pool, dataset_id, guid)) == []

    def test_token(self, pool: ZfsUnderTest, other_pool: ZfsUnderTest) -> None:
        """
        A token means to us what `zfs send` says it means.
        """
        dataset_id = partial_dataset(pool, other_pool)
        token = resume_token(other_pool.storage, dataset_id)
        assert token is not None

        shown = dict(re.findall(r"^\t(\w+) = (\S+)$", run("zfs", "send", "-n", "-v", "-t", token), re.MULTILINE))

        found = tokens.decoded(token)
        numbers = {name: int(shown[name], 0) for name in ("object", "offset", "bytes", "toguid")}
        assert numbers == {
            "object": found.resume_object,
            "offset": found.resume_offset_bytes,
            "bytes": found.received_bytes,
            "toguid": found.to_guid,
        }
        assert (shown["toname"], "compressok" in shown) == (found.to_name, "compress" in found.flags)

    def test_token_of_increment(self, pool: ZfsUnderTest, other_pool: ZfsUnderTest) -> None:
        """
        The token of an increment says on what it builds.
        """
        dataset_id = owned(pool)
        base = replicate(pool, dataset_id, other_pool)
        pool.files.write(dataset_id, {b"a": file(noise(4 * MEBIBYTE))})
        plan = SendPlan(to_guid=pool.storage.snapshot(dataset_id, "last").guid, from_guid=base)
        stream = stream_of(pool.storage, dataset_id, plan)
        reading, writing = os.pipe()
        os.write(writing, stream[:40_000])
        os.close(writing)
        with pytest.raises(Exception, match="incomplete stream"):
            other_pool.storage.receive(dataset_id, reading)
        os.close(reading)

        token = resume_token(other_pool.storage, dataset_id)

        assert token is not None
        assert tokens.decoded(token).from_guid == base

    def test_killed_receiver(self, pool: ZfsUnderTest, other_pool: ZfsUnderTest) -> None:
        """
        After kill -9 of the receiving process in the middle of a stream, what had arrived need not be sent again.
        """
        dataset_id = owned(pool)
        pool.files.write(dataset_id, {b"a": file(noise(24 * MEBIBYTE))})
        guid = pool.storage.snapshot(dataset_id, "one").guid
        stream = stream_of(pool.storage, dataset_id, SendPlan(to_guid=guid))
        with receiver(other_pool, dataset_id) as process:
            assert process.stdin is not None
            process.stdin.write(stream[: len(stream) * 2 // 3])
            process.stdin.flush()
            # All but what the pipe holds has been taken in.
            process.send_signal(signal.SIGKILL)
            process.wait()
        other_pool.reopen()

        found = other_pool.storage.dataset(dataset_id)
        assert (found.partial, found.role, found.epoch) == (True, Role.REPLICA, 0)
        plan = SendPlan(to_guid=guid, resume_token=found.resume_token)
        rest = stream_of(pool.storage, dataset_id, plan)
        assert len(rest) < len(stream) // 2
        carry(pool.storage, dataset_id, plan, other_pool.storage)
        assert difference(pool.files.read(dataset_id), content_of(other_pool, dataset_id, guid)) == []

    def test_two_receivers(self, pool: ZfsUnderTest, other_pool: ZfsUnderTest) -> None:
        """
        While a dataset is being received, a second stream of it is refused, and the first arrives.
        """
        dataset_id = owned(pool)
        pool.files.write(dataset_id, {b"a": file(noise(4 * MEBIBYTE))})
        guid = pool.storage.snapshot(dataset_id, "one").guid
        stream = stream_of(pool.storage, dataset_id, SendPlan(to_guid=guid))
        with receiver(other_pool, dataset_id) as process:
            assert process.stdin is not None
            process.stdin.write(stream[: len(stream) // 2])
            process.stdin.flush()
            with pytest.raises(Exception, match=r"being received|doesn't go on with it"):
                carry(pool.storage, dataset_id, SendPlan(to_guid=guid), other_pool.storage)
            process.communicate(stream[len(stream) // 2 :])

        assert (process.returncode, snapshot_guids(other_pool.storage, dataset_id)) == (0, [guid])


def receiver(pool: ZfsUnderTest, dataset_id: DatasetId) -> subprocess.Popen[bytes]:
    """
    A process that receives what it is given on its standard input.
    """
    program = (
        "import sys; from pathlib import Path; from uuid import UUID\n"
        "from flocker_agent.storage.zfs import ZfsStorage\n"
        f"ZfsStorage({pool.name!r}, Path({str(pool.mount_root)!r})).receive(UUID({str(dataset_id)!r}), 0)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, env=environment)


class TestEncrypted:
    """
    Datasets below an encrypted parent.
    """

    @pytest.fixture
    def encrypted(self, pool: ZfsUnderTest) -> ZfsUnderTest:
        """
        A pool of which all datasets are encrypted.
        """
        encrypt(pool)
        return pool

    def test_said(self, encrypted: ZfsUnderTest) -> None:
        """
        A dataset in an encrypted pool says that it is.
        """
        assert encrypted.storage.dataset(owned(encrypted)).encrypted

    def test_needs_no_key_to_arrive(self, encrypted: ZfsUnderTest, other_pool: ZfsUnderTest) -> None:
        """
        An encrypted dataset is received, increments too, by a pool that has no key; it can't be mounted until the key
        is loaded, and the refusal says how; then all is there.
        """
        dataset_id = owned(encrypted)
        encrypted.files.write(dataset_id, {b"a": file(noise(MEBIBYTE))})
        base = replicate(encrypted, dataset_id, other_pool)
        encrypted.files.write(dataset_id, {b"b": file(b"more")})
        last = encrypted.storage.snapshot(dataset_id, "last").guid
        carry(encrypted.storage, dataset_id, SendPlan(to_guid=last, from_guid=base), other_pool.storage)
        other_pool.storage.set_role(dataset_id, role=Role.OWNER, epoch=2)
        name = other_pool.name_of(dataset_id)
        with pytest.raises(KeyUnavailable, match=f"zfs load-key -L .* {name}"):
            other_pool.storage.mount(dataset_id)

        run("zfs", "load-key", "-L", "prompt", name, given=PASSPHRASE)
        other_pool.storage.mount(dataset_id)

        assert other_pool.storage.dataset(dataset_id).encrypted
        assert difference(encrypted.files.read(dataset_id), other_pool.files.read(dataset_id)) == []

    def test_never_in_the_clear(self, encrypted: ZfsUnderTest) -> None:
        """
        What is in an encrypted dataset can't be read in its stream.
        """
        dataset_id = owned(encrypted)
        encrypted.files.write(dataset_id, {b"a": file(b"precious secret " * 100_000)})
        guid = encrypted.storage.snapshot(dataset_id, "one").guid

        assert b"precious" not in stream_of(encrypted.storage, dataset_id, SendPlan(to_guid=guid))

    def test_resumed(self, encrypted: ZfsUnderTest, other_pool: ZfsUnderTest) -> None:
        """
        A raw stream that was cut is gone on with.
        """
        dataset_id = partial_dataset(encrypted, other_pool)
        (guid,) = snapshot_guids(encrypted.storage, dataset_id)

        plan = SendPlan(to_guid=guid, resume_token=resume_token(other_pool.storage, dataset_id))
        carry(encrypted.storage, dataset_id, plan, other_pool.storage)

        name = other_pool.name_of(dataset_id)
        run("zfs", "load-key", "-L", "prompt", name, given=PASSPHRASE)
        assert difference(encrypted.files.read(dataset_id), content_of(other_pool, dataset_id, guid)) == []

    def test_there_and_back(self, encrypted: ZfsUnderTest, other_pool: ZfsUnderTest) -> None:
        """
        An encrypted dataset moves to another encrypted pool and back by increments, and is what it was over there.
        """
        encrypt(other_pool)
        dataset_id = owned(encrypted)
        encrypted.files.write(dataset_id, {b"a": file(noise(MEBIBYTE))})
        base = replicate(encrypted, dataset_id, other_pool)
        encrypted.storage.unmount(dataset_id)
        encrypted.storage.set_role(dataset_id, role=Role.RELEASED, epoch=1)
        run("zfs", "load-key", "-L", "prompt", other_pool.name_of(dataset_id), given=PASSPHRASE)
        other_pool.storage.set_role(dataset_id, role=Role.OWNER, epoch=2)
        other_pool.storage.mount(dataset_id)
        other_pool.files.write(dataset_id, {b"b": file(noise(MEBIBYTE, 1)), b"a": file(b"changed")})
        written = other_pool.files.read(dataset_id)
        back = other_pool.storage.snapshot(dataset_id, "back").guid

        carry(other_pool.storage, dataset_id, SendPlan(to_guid=back, from_guid=base), encrypted.storage)

        encrypted.storage.set_role(dataset_id, role=Role.OWNER, epoch=3)
        encrypted.storage.mount(dataset_id)
        assert difference(written, encrypted.files.read(dataset_id)) == []

    def test_stash(self, encrypted: ZfsUnderTest) -> None:
        """
        An encrypted dataset can be put aside and taken back.
        """
        dataset_id = owned(encrypted, mounted=False)

        encrypted.storage.restore_stash(encrypted.storage.stash(dataset_id, "label"))

        encrypted.storage.mount(dataset_id)


def encrypt(pool: ZfsUnderTest) -> None:
    """
    Make a pool's parent encrypted, before its first use.
    """
    options = ("encryption=on", "keyformat=passphrase", "mountpoint=legacy", "readonly=on", "atime=off")
    run(
        "zfs",
        "create",
        *(word for option in options for word in ("-o", option)),
        f"{pool.name}/flocker",
        given=PASSPHRASE,
    )
