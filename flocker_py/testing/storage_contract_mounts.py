"""
Storage contract: reaching the data.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flocker_py.model import DatasetId
from flocker_py.storage import DatasetBusy, Role
from flocker_py.testing.storage_pools import PoolFixtures, PoolUnderTest, new_id, owned
from flocker_py.testing.trees import difference, file

# Each says "ready" once it uses its first argument, and goes on doing so until its input ends.
_USES = {
    "working directory": "import os, sys; os.chdir(sys.argv[1]); print('ready', flush=True); sys.stdin.read()",
    "open file": "import sys; f = open(sys.argv[1] + '/a'); print('ready', flush=True); sys.stdin.read()",
    "mapped file": (
        "import mmap, sys\n"
        "f = open(sys.argv[1] + '/a', 'r+b'); m = mmap.mmap(f.fileno(), 0); f.close()\n"
        "print('ready', flush=True); sys.stdin.read()"
    ),
}


@contextmanager
def process_using(path: Path, use: str) -> Iterator[int]:
    """
    A process that uses something below a path while the context lasts; gives its id.
    """
    command = [sys.executable, "-c", _USES[use], str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        process.communicate()


@contextmanager
def process_in_another_namespace(script: str, *arguments: Path) -> Iterator[int]:
    """
    A process in a mount namespace of its own, as that of a container is, while the context lasts; gives its id.

    :param script: for the shell, with the arguments; what it does first.
    """
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", f"{script}; echo ready; exec cat", "sh"]
    with subprocess.Popen([*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        process.communicate()


BIND = 'mount --bind "$1" "$2"'


def new_folder(parent: Path) -> Path:
    """
    To mount something on.
    """
    folder = parent / "elsewhere"
    folder.mkdir()
    return folder


class MountContract(PoolFixtures):
    """
    Mounting and unmounting.
    """

    @staticmethod
    def mount_root(pool: PoolUnderTest) -> Path:
        """
        The folder that the pool's datasets are mounted in; ends the test if there is none.
        """
        if pool.mount_root is None:
            pytest.skip("this backend shows nothing in the host's file system")
        return pool.mount_root

    def test_mount_path(self, pool: PoolUnderTest) -> None:
        """
        A mounted dataset says where it is mounted, and that is what ``mount`` answered.
        """
        dataset_id = owned(pool, mounted=False)

        path = pool.storage.mount(dataset_id)

        assert pool.storage.dataset(dataset_id).mounted_at == str(path)

    def test_mount_path_is_the_id(self, pool: PoolUnderTest) -> None:
        """
        A dataset is mounted below the mount root, under its id.
        """
        dataset_id = owned(pool, mounted=False)

        path = pool.storage.mount(dataset_id)

        assert path.name == str(dataset_id)
        assert pool.mount_root in {None, path.parent}

    def test_mount_path_is_constant(self, pool: PoolUnderTest) -> None:
        """
        A dataset has the same path each time.
        """
        dataset_id = owned(pool, mounted=False)
        first = pool.storage.mount(dataset_id)
        pool.storage.unmount(dataset_id)

        assert pool.storage.mount(dataset_id) == first

    def test_mount_twice(self, pool: PoolUnderTest) -> None:
        """
        Mounting what is mounted changes nothing.
        """
        dataset_id = owned(pool)
        tree = {b"a": file(b"content")}
        pool.files.write(dataset_id, tree)

        pool.storage.mount(dataset_id)

        assert difference(tree, pool.files.read(dataset_id)) == []

    def test_unmount_twice(self, pool: PoolUnderTest) -> None:
        """
        Unmounting what is not mounted changes nothing.
        """
        dataset_id = owned(pool)
        pool.storage.unmount(dataset_id)

        pool.storage.unmount(dataset_id)

        assert pool.storage.dataset(dataset_id).mounted_at is None

    @pytest.mark.parametrize("role", [Role.RELEASED, Role.REPLICA])
    def test_only_owners_are_mounted(self, pool: PoolUnderTest, role: Role) -> None:
        """
        What is not owned here is not mounted.
        """
        dataset_id = new_id()
        pool.storage.create(dataset_id, role=role, epoch=1)
        with pytest.raises(DatasetBusy):
            pool.storage.mount(dataset_id)

        assert pool.storage.dataset(dataset_id).mounted_at is None

    def test_content_survives(self, pool: PoolUnderTest) -> None:
        """
        What was written is there when the dataset is mounted again.
        """
        dataset_id = owned(pool)
        tree = {b"a": file(b"content"), b"b": file(b"more")}
        pool.files.write(dataset_id, tree)
        pool.storage.unmount(dataset_id)

        pool.storage.mount(dataset_id)

        assert difference(tree, pool.files.read(dataset_id)) == []

    def test_reopening_unmounts_nothing(self, pool: PoolUnderTest) -> None:
        """
        A dataset stays mounted, and its content there, when the pool is opened anew.
        """
        dataset_id = owned(pool)
        tree = {b"a": file(b"content")}
        pool.files.write(dataset_id, tree)

        pool.reopen()

        assert difference(tree, pool.files.read(dataset_id)) == []

    def test_unmounted_path_is_gone(self, pool: PoolUnderTest) -> None:
        """
        After unmounting there is nothing at the path.
        """
        self.mount_root(pool)
        dataset_id = owned(pool, mounted=False)
        path = pool.storage.mount(dataset_id)

        pool.storage.unmount(dataset_id)

        assert not os.path.lexists(path)

    def test_unmounted_real_path_is_gone(self, pool: PoolUnderTest) -> None:
        """
        After unmounting there is nothing either where the path led to, links resolved.
        """
        self.mount_root(pool)
        dataset_id = owned(pool, mounted=False)
        path = pool.storage.mount(dataset_id).resolve()

        pool.storage.unmount(dataset_id)

        assert not os.path.lexists(path)

    @pytest.mark.parametrize("use", sorted(_USES))
    def test_unmount_while_used(self, pool: PoolUnderTest, use: str) -> None:
        """
        A dataset that a process uses stays mounted, and the refusal names the process.
        """
        self.mount_root(pool)
        dataset_id = owned(pool)
        pool.files.write(dataset_id, {b"a": file(b"content")})
        path = pool.storage.mount(dataset_id)

        with process_using(path, use) as process_id, pytest.raises(DatasetBusy, match=rf"\b{process_id}\b"):
            pool.storage.unmount(dataset_id)

        assert (path / "a").read_bytes() == b"content"

    def test_unmount_after_use(self, pool: PoolUnderTest) -> None:
        """
        Once the process that used it has ended, a dataset can be unmounted.
        """
        self.mount_root(pool)
        dataset_id = owned(pool, mounted=False)
        with process_using(pool.storage.mount(dataset_id), "working directory"), pytest.raises(DatasetBusy):
            pool.storage.unmount(dataset_id)

        pool.storage.unmount(dataset_id)

        assert pool.storage.dataset(dataset_id).mounted_at is None

    @pytest.mark.parametrize("bound", ["all", "something below"])
    def test_unmount_while_bound_in_another_namespace(
        self, pool: PoolUnderTest, tmp_path: Path, require: Callable[[str], None], bound: str
    ) -> None:
        """
        A dataset that a process in another mount namespace has mounted elsewhere, or something below it, as a container
        does, stays mounted, and the refusal names the process.
        """
        self.mount_root(pool)
        require("root")
        dataset_id = owned(pool)
        path = pool.storage.mount(dataset_id)
        (path / "below").mkdir()
        used = path if bound == "all" else path / "below"

        with (
            process_in_another_namespace(BIND, used, new_folder(tmp_path)) as process_id,
            pytest.raises(DatasetBusy, match=rf"\bprocess {process_id} \("),
        ):
            pool.storage.unmount(dataset_id)

        assert (path / "below").is_dir()

    def test_unmount_after_use_in_another_namespace(
        self, pool: PoolUnderTest, tmp_path: Path, require: Callable[[str], None]
    ) -> None:
        """
        Once the process that had it mounted elsewhere has ended, a dataset can be unmounted.
        """
        self.mount_root(pool)
        require("root")
        dataset_id = owned(pool, mounted=False)
        with (
            process_in_another_namespace(BIND, pool.storage.mount(dataset_id), new_folder(tmp_path)),
            pytest.raises(DatasetBusy),
        ):
            pool.storage.unmount(dataset_id)

        pool.storage.unmount(dataset_id)

        assert pool.storage.dataset(dataset_id).mounted_at is None

    def test_unmount_while_bound_here(
        self, pool: PoolUnderTest, tmp_path: Path, require: Callable[[str], None]
    ) -> None:
        """
        A dataset that is mounted somewhere else too stays mounted, and the refusal names the place.
        """
        self.mount_root(pool)
        require("root")
        dataset_id = owned(pool)
        path, elsewhere = pool.storage.mount(dataset_id), new_folder(tmp_path)
        subprocess.run(["mount", "--bind", path, elsewhere], check=True)
        try:
            with pytest.raises(DatasetBusy, match=str(elsewhere)):
                pool.storage.unmount(dataset_id)
        finally:
            subprocess.run(["umount", elsewhere], check=True)

        assert pool.storage.dataset(dataset_id).mounted_at == str(path)

    def test_use_of_another_dataset(self, pool: PoolUnderTest) -> None:
        """
        A process that uses another dataset is in nobody's way.
        """
        self.mount_root(pool)
        dataset_id, other_id = owned(pool), owned(pool, mounted=False)

        with process_using(pool.storage.mount(other_id), "working directory"):
            pool.storage.unmount(dataset_id)

        assert pool.storage.dataset(dataset_id).mounted_at is None

    @pytest.mark.parametrize("taken_by", ["file", "folder with something in it", "dangling link"])
    def test_path_taken(self, pool: PoolUnderTest, taken_by: str) -> None:
        """
        Nothing is mounted over somebody's files.
        """
        root = self.mount_root(pool)
        root.mkdir(parents=True, exist_ok=True)
        dataset_id = owned(pool, mounted=False)
        path = root / str(dataset_id)
        match taken_by:
            case "file":
                path.write_bytes(b"precious")
            case "dangling link":
                path.symlink_to("nowhere")
            case _:
                path.mkdir()
                (path / "a").write_bytes(b"precious")
        with pytest.raises(DatasetBusy, match=str(path)):
            pool.storage.mount(dataset_id)

        assert self.unmounted_and_untouched(pool, dataset_id, path, taken_by)

    @staticmethod
    def unmounted_and_untouched(pool: PoolUnderTest, dataset_id: DatasetId, path: Path, taken_by: str) -> bool:
        """
        Whether what took the path is what it was, and the dataset says that it isn't mounted. Clears the path.
        """
        match taken_by:
            case "file":
                untouched = path.read_bytes() == b"precious"
                path.unlink()
            case "dangling link":
                untouched = path.readlink() == Path("nowhere")
                path.unlink()
            case _:
                untouched = (path / "a").read_bytes() == b"precious"
                (path / "a").unlink()
                path.rmdir()
        return untouched and pool.storage.dataset(dataset_id).mounted_at is None
