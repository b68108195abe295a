"""
A pool of the directory backend as one process has it open: its folders, its lock, and who is doing what.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

from flocker_agent.storage.directory_files import remove_tree, sync_folder, told, write_durably
from flocker_agent.storage.directory_mounts import boot_id, detach, is_mounted, unmount
from flocker_agent.storage.directory_state import VERSION, DatasetPaths, DatasetState, RecordUnreadable
from flocker_py.model import DatasetId, Guid
from flocker_py.storage import (
    BackendUnavailable,
    DatasetBusy,
    DatasetExists,
    DatasetMissing,
    DatasetPartial,
    PoolInUse,
    PoolMissing,
)

_MARK = "pool.json"


class DirectoryPool:
    """
    Opens a pool, and makes one where there is none yet.

    :param root_path: its folder; the one that it is in must be there.
    :param mount_root: the folder that datasets are mounted in.
    :raises PoolMissing: there is no place for it, or it is something else.
    :raises PoolInUse: another process has it open.
    :raises BackendUnavailable: it was made by a newer version.
    """

    def __init__(self, root_path: Path, mount_root: Path) -> None:
        self.root = Path(os.path.abspath(root_path))
        self.mount_root = Path(os.path.abspath(mount_root))
        self.datasets = self.root / "datasets"
        self.stashes = self.root / "stashes"
        self.readable = self.root / "readable"
        self.temporary = self.root / "temporary"
        self.sending: Counter[tuple[DatasetId, Guid]] = Counter()
        self.receiving: set[DatasetId] = set()
        self.settled_ns: dict[DatasetId, int] = {}
        self._guard = threading.RLock()
        self._locks: dict[DatasetId, threading.RLock] = {}
        with told(f"pool {self.root}"):
            self._open()

    def _open(self) -> None:
        if not self.root.parent.is_dir():
            raise PoolMissing(f"{self.root}: the folder that it should be in is not there")
        self.root.mkdir(mode=0o711, exist_ok=True)
        if not self.root.is_dir() or (os.listdir(self.root) and not (self.root / "lock").exists()):
            raise PoolMissing(f"{self.root} is a folder of something else, not a pool")
        lock = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        # Closed with the last reference, so that the same process can open the pool again.
        self._close = weakref.finalize(self, os.close, lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise PoolInUse(f"{self.root}") from error
        mark = self.root / _MARK
        if not mark.exists():
            write_durably(mark, json.dumps({"format": "flocker-directory", "version": VERSION}).encode())
        found = json.loads(mark.read_bytes())
        if found.get("version") != VERSION:
            self.close()
            raise BackendUnavailable(f"{self.root} is of version {found.get('version')}, made by a newer flocker_py")
        for folder, mode in (
            (self.datasets, 0o711),
            (self.stashes, 0o700),
            (self.readable, 0o711),
            (self.temporary, 0o700),
        ):
            folder.mkdir(mode=mode, exist_ok=True)
            folder.chmod(mode)
        sync_folder(self.root)
        for name in os.listdir(self.temporary):
            remove_tree(self.temporary / name)
        for dataset_id in self.ids():
            self._recover(dataset_id)

    def close(self) -> None:
        """
        Let others open the pool. Nothing may be done with this one afterwards.
        """
        self._close()

    def ids(self) -> list[DatasetId]:
        """
        All datasets of the pool.

        :raises PoolMissing: the pool has gone.
        """
        try:
            return [DatasetId(UUID(name)) for name in os.listdir(self.datasets)]
        except FileNotFoundError as error:
            raise PoolMissing(f"{self.root}: there is no pool any more") from error

    def paths(self, dataset_id: DatasetId) -> DatasetPaths:
        """
        Where a dataset lies, or would.
        """
        return DatasetPaths(self.datasets / str(dataset_id))

    def link(self, dataset_id: DatasetId) -> Path:
        """
        Where a dataset is mounted, or would be.
        """
        return self.mount_root / str(dataset_id)

    def state(self, dataset_id: DatasetId) -> DatasetState:
        """
        The record of a dataset.

        :raises DatasetMissing: there is none.
        :raises PoolMissing: the pool has gone.
        """
        try:
            return self.paths(dataset_id).load()
        except DatasetMissing:
            self.ids()
            raise

    def mounted(self, dataset_id: DatasetId) -> bool:
        """
        Whether a dataset is mounted.
        """
        return is_mounted(self.paths(dataset_id), self.link(dataset_id))

    @contextmanager
    def changing(self, dataset_id: DatasetId) -> Iterator[DatasetState]:
        """
        Keep others from changing a dataset.

        :returns: its record.
        :raises DatasetMissing: there is none.
        """
        with self._guard:
            lock = self._locks.setdefault(dataset_id, threading.RLock())
        with lock:
            yield self.state(dataset_id)

    @contextmanager
    def using(self, dataset_id: DatasetId) -> Iterator[DatasetState]:
        """
        The same, for what needs a whole dataset that nothing is arriving in.

        :raises DatasetPartial: it has only arrived in part.
        :raises DatasetBusy: something is being received into it.
        """
        with self.changing(dataset_id) as state:
            if not state.whole:
                raise DatasetPartial(f"{dataset_id}")
            if dataset_id in self.receiving:
                raise DatasetBusy(f"{dataset_id} is being received into")
            yield state

    @contextmanager
    def receives(self, dataset_id: DatasetId) -> Iterator[None]:
        """
        Keep others from using a dataset, that may not be there yet, while something is received into it.

        :raises DatasetBusy: something is already.
        """
        with self._guard:
            if dataset_id in self.receiving:
                raise DatasetBusy(f"{dataset_id} is being received into already")
            self.receiving.add(dataset_id)
        try:
            yield
        finally:
            with self._guard:
                self.receiving.discard(dataset_id)

    def is_sent(self, dataset_id: DatasetId, guid: Guid | None = None) -> bool:
        """
        Whether a snapshot, or any of a dataset, is being sent.
        """
        with self._guard:
            return any(
                count > 0 and sent_id == dataset_id and guid in {None, sent}
                for (sent_id, sent), count in self.sending.items()
            )

    @contextmanager
    def sends(self, dataset_id: DatasetId, guid: Guid) -> Iterator[DatasetState]:
        """
        Keep others from destroying a snapshot while it is sent.

        :returns: the dataset's record.
        """
        with self.changing(dataset_id) as state, self._guard:
            state.snapshot(guid)
            self.sending[dataset_id, guid] += 1
        try:
            yield state
        finally:
            with self._guard:
                self.sending[dataset_id, guid] -= 1

    def refuse_unless_idle(self, dataset_id: DatasetId) -> None:
        """
        Nothing, if a dataset can be moved away or destroyed.

        :raises DatasetBusy: it is mounted, or on its way in or out.
        """
        if self.mounted(dataset_id):
            raise DatasetBusy(f"{dataset_id} is mounted at {self.link(dataset_id)}")
        if self.is_sent(dataset_id):
            raise DatasetBusy(f"{dataset_id} is being sent")
        if dataset_id in self.receiving:
            raise DatasetBusy(f"{dataset_id} is being received into")

    @contextmanager
    def new_folder(self) -> Iterator[Path]:
        """
        A path for something that is being made; if it is still there in the end, it is removed.
        """
        path = self.temporary / secrets.token_hex(8)
        try:
            yield path
        finally:
            remove_tree(path)

    def move(self, source: Path, target: Path) -> None:
        """
        Give something another place, durably.

        :raises DatasetExists: the place is taken.
        """
        with self._guard:
            if target.exists():
                raise DatasetExists(f"{target.name}")
            source.rename(target)
        for folder in {source.parent, target.parent} - {self.temporary}:
            sync_folder(folder)

    def discard(self, path: Path) -> None:
        """
        Make something be gone at once, and give its room back.
        """
        with self.new_folder() as doomed:
            self.move(path, doomed)

    def sweep(self, path: Path) -> None:
        """
        Remove what nobody needs any more and nobody would miss if it were still there.
        """
        with self.new_folder() as doomed:
            path.rename(doomed)

    def _recover(self, dataset_id: DatasetId) -> None:
        paths, link = self.paths(dataset_id), self.link(dataset_id)
        if paths.mounted.is_dir() and not is_mounted(paths, link):
            detach(paths, link)
        try:
            state = paths.load()
        except (DatasetMissing, RecordUnreadable):
            # Told by whoever asks for the dataset; one that is damaged keeps no other from being served.
            return
        if state.boot != boot_id() and is_mounted(paths, link):
            # The host has been down meanwhile: whoever mounted it is gone, and may not own it any more.
            with suppress(DatasetBusy):
                unmount(dataset_id, paths, link)
        known = {str(guid) for guid in state.ages}
        for name in set(os.listdir(paths.manifests)) - known:
            (paths.manifests / name).unlink()
        for name in set(os.listdir(paths.packs)) - {str(pack) for pack in state.packs}:
            (paths.packs / name).unlink()
        for path in paths.kept.glob("*.new"):
            remove_tree(path) if path.is_dir() else path.unlink()
