"""
The ``directory`` backend: datasets as plain folders, where there is no ZFS. It needs neither root nor a kernel module.

For trying, for tests, and for hosts whose applications can be stopped for an exact snapshot: taken while an application
writes, a snapshot has each file as it was at some moment, not all at the same one. Size limits are written down and
shown, but no application is kept from writing more. How it is kept on disk is in ``directory_state``.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from pyrsistent import PMap, pmap, pvector

from flocker_agent.storage import directory_mounts
from flocker_agent.storage.directory_files import told
from flocker_agent.storage.directory_packs import PackReader
from flocker_agent.storage.directory_pool import DirectoryPool
from flocker_agent.storage.directory_receive import Arrival, Receive
from flocker_agent.storage.directory_scan import TICK_NS, held_bytes
from flocker_agent.storage.directory_send import BACKEND, Outgoing
from flocker_agent.storage.directory_snapshots import branch, drop, entries_of, is_written, rebuilt, repaired, take
from flocker_agent.storage.directory_stashes import is_stash_mounted, mount_stash, unmount_stash
from flocker_agent.storage.directory_state import BookmarkState, DatasetPaths, DatasetState, SnapshotState
from flocker_agent.storage.frames import FrameKind, FrameReader
from flocker_agent.storage.openings import parsed_opening
from flocker_agent.storage.rules import Kept, admit, changed_properties, checked_limit, checked_name
from flocker_agent.storage.tokens import token
from flocker_py.model import DatasetId, Guid
from flocker_py.storage import (
    Capabilities,
    DatasetBusy,
    DatasetExists,
    DatasetMissing,
    Role,
    SendPlan,
    SnapshotExists,
    SnapshotHeld,
    StoredDataset,
    StoredSnapshot,
    StreamCorrupt,
)

_CAPABILITIES = Capabilities(
    name=BACKEND, atomic_snapshots=False, enforces_limit=False, enforces_unmount=False, needs_root=False
)


class DirectoryStorage:
    """
    A ``Storage`` in a folder.

    :param root_path: the pool; made if it isn't there, in a folder that is.
    :param mount_root: the folder in which datasets are mounted; made when it is needed.
    :raises PoolMissing: there is no place for the pool, or it is something else.
    :raises PoolInUse: another process has it open.
    """

    def __init__(self, root_path: Path, mount_root: Path) -> None:
        self._pool = DirectoryPool(root_path, mount_root)
        with told(f"pool {root_path}"):
            self._forget_finished()

    def close(self) -> None:
        """
        Let another process open the pool. Nothing may be called afterwards.
        """
        self._pool.close()

    @property
    def capabilities(self) -> Capabilities:
        """
        As promised by ``Storage``.
        """
        return _CAPABILITIES

    def datasets(self) -> PMap[DatasetId, StoredDataset]:
        """
        As promised by ``Storage``.
        """
        found = {}
        with told(f"pool {self._pool.root}"):
            for dataset_id in self._pool.ids():
                try:
                    found[dataset_id] = self._stored(self._pool.state(dataset_id))
                except (DatasetMissing, FileNotFoundError):
                    # Destroyed since its name was read; if not, then it can't be told what it is.
                    if dataset_id in self._pool.ids():
                        found[dataset_id] = self._stored(self._pool.state(dataset_id))
        return pmap(found)

    def dataset(self, dataset_id: DatasetId) -> StoredDataset:
        """
        As promised by ``Storage``.
        """
        with told(f"{dataset_id}"):
            return self._stored(self._pool.state(dataset_id))

    def free_bytes(self) -> int:
        """
        As promised by ``Storage``.
        """
        with told(f"pool {self._pool.root}"):
            self._pool.ids()
            status = os.statvfs(self._pool.root)
        return status.f_bavail * status.f_frsize

    def create(
        self, dataset_id: DatasetId, *, role: Role, epoch: int, maximum_size_bytes: int | None = None
    ) -> StoredDataset:
        """
        As promised by ``Storage``.
        """
        checked_limit(dataset_id, maximum_size_bytes)
        state = DatasetState(dataset_id=dataset_id, role=role, epoch=epoch, maximum_size_bytes=maximum_size_bytes)
        with told(f"{dataset_id}"), self._pool.new_folder() as fresh:
            DatasetPaths(fresh).make(state, live=True)
            self._pool.move(fresh, self._pool.paths(dataset_id).root)
            return self._stored(state)

    def destroy(self, dataset_id: DatasetId) -> None:
        """
        As promised by ``Storage``.
        """
        with told(f"{dataset_id}"), self._pool.changing(dataset_id):
            self._pool.refuse_unless_idle(dataset_id)
            self._pool.discard(self._pool.paths(dataset_id).root)

    def set_role(self, dataset_id: DatasetId, *, role: Role, epoch: int) -> None:
        """
        As promised by ``Storage``.
        """
        with told(f"{dataset_id}"), self._pool.using(dataset_id) as state:
            if role is not Role.OWNER and self._pool.mounted(dataset_id):
                raise DatasetBusy(f"{dataset_id} is mounted, so it can't become {role.value}")
            self._save(state.set(role=role, epoch=epoch))

    def set_properties(self, dataset_id: DatasetId, properties: Mapping[str, str]) -> None:
        """
        As promised by ``Storage``.
        """
        with told(f"{dataset_id}"), self._pool.changing(dataset_id) as state:
            self._save(state.set(properties=pmap(changed_properties(state.properties, properties))))

    def set_limit(self, dataset_id: DatasetId, maximum_size_bytes: int | None) -> None:
        """
        As promised by ``Storage``.
        """
        with told(f"{dataset_id}"), self._pool.using(dataset_id) as state:
            held = 0 if maximum_size_bytes is None else held_bytes(self._pool.paths(dataset_id).tree())
            checked_limit(dataset_id, maximum_size_bytes, held_bytes=held)
            self._save(state.set(maximum_size_bytes=maximum_size_bytes))

    def mount(self, dataset_id: DatasetId) -> Path:
        """
        As promised by ``Storage``.
        """
        paths, link = self._pool.paths(dataset_id), self._pool.link(dataset_id)
        with told(f"{dataset_id}"), self._pool.using(dataset_id) as state:
            if state.role is not Role.OWNER:
                raise DatasetBusy(f"{dataset_id} is {state.role.value} here; only an owner is mounted")
            if not self._pool.mounted(dataset_id):
                directory_mounts.refuse_taken(dataset_id, paths, link)
                self._save(repaired(self._pool, state).set(clean_guid=None, boot=directory_mounts.boot_id()))
                self._wait_for_tick(dataset_id)
                directory_mounts.mount(dataset_id, paths, link)
        return link

    def unmount(self, dataset_id: DatasetId) -> None:
        """
        As promised by ``Storage``.
        """
        with told(f"{dataset_id}"), self._pool.changing(dataset_id):
            if self._pool.mounted(dataset_id):
                directory_mounts.unmount(dataset_id, self._pool.paths(dataset_id), self._pool.link(dataset_id))

    def written_since_snapshot(self, dataset_id: DatasetId) -> bool:
        """
        As promised by ``Storage``.
        """
        with told(f"{dataset_id}"), self._pool.changing(dataset_id) as state:
            return is_written(self._pool, state)

    def snapshot(self, dataset_id: DatasetId, name: str) -> StoredSnapshot:
        """
        As promised by ``Storage``.
        """
        checked_name(name)
        with told(f"{dataset_id}"), self._pool.using(dataset_id) as state:
            if name in {snapshot.name for snapshot in state.snapshots}:
                raise SnapshotExists(f"{name} of {dataset_id}")
            guid = Guid(secrets.randbelow((1 << 64) - 1) + 1)
            return _stored_snapshot(take(self._pool, state, guid, name).snapshots[-1])

    def destroy_snapshots(self, dataset_id: DatasetId, guids: Iterable[Guid]) -> None:
        """
        As promised by ``Storage``.
        """
        with told(f"{dataset_id}"), self._pool.changing(dataset_id) as state:
            doomed = [state.snapshot(guid) for guid in guids]
            for snapshot in doomed:
                if snapshot.holds:
                    raise SnapshotHeld(f"{snapshot.guid} of {dataset_id}, by {', '.join(snapshot.holds)}")
                if self._pool.is_sent(dataset_id, snapshot.guid):
                    raise DatasetBusy(f"Snapshot {snapshot.guid} of {dataset_id} is being sent")
                if dataset_id in self._pool.receiving:
                    raise DatasetBusy(f"{dataset_id} is being received into")
            if doomed:
                kept = pvector(each for each in state.snapshots if each not in doomed)
                # What the live tree is compared with goes, so it must be looked at next time.
                newest = kept[-1].guid if kept else None
                after = state.set(
                    snapshots=kept,
                    clean_guid=state.clean_guid if newest == state.clean_guid else None,
                    live_bytes=_live_bytes(state),
                )
                self._save(after)
                drop(self._pool.paths(dataset_id), state, after)

    def hold(self, dataset_id: DatasetId, guids: Iterable[Guid], tag: str) -> None:
        """
        As promised by ``Storage``.
        """
        checked_name(tag)
        with told(f"{dataset_id}"), self._pool.changing(dataset_id) as state:
            held = {state.snapshot(guid).guid for guid in guids}
            self._save(_with_holds(state, lambda each: {*each.holds, tag} if each.guid in held else each.holds))

    def release(self, dataset_id: DatasetId, guids: Iterable[Guid], tag: str) -> None:
        """
        As promised by ``Storage``.
        """
        with told(f"{dataset_id}"), self._pool.changing(dataset_id) as state:
            released = {state.snapshot(guid).guid for guid in guids}
            self._save(_with_holds(state, lambda each: {*each.holds} - {tag} if each.guid in released else each.holds))

    def bookmark(self, dataset_id: DatasetId, guid: Guid, name: str) -> None:
        """
        As promised by ``Storage``.
        """
        checked_name(name)
        with told(f"{dataset_id}"), self._pool.changing(dataset_id) as state:
            snapshot = state.snapshot(guid)
            present = state.bookmarks.get(name)
            if present is not None and present.guid != guid:
                raise SnapshotExists(f"Bookmark {name} of {dataset_id}, made of {present.guid}")
            made = BookmarkState(guid=guid, age=snapshot.age)
            self._save(state.set(bookmarks=state.bookmarks.set(name, made)))

    def bookmarks(self, dataset_id: DatasetId) -> PMap[str, Guid]:
        """
        As promised by ``Storage``.
        """
        with told(f"{dataset_id}"):
            return pmap({name: each.guid for name, each in self._pool.state(dataset_id).bookmarks.items()})

    def destroy_bookmarks(self, dataset_id: DatasetId, names: Iterable[str]) -> None:
        """
        As promised by ``Storage``.
        """
        with told(f"{dataset_id}"), self._pool.changing(dataset_id) as state:
            doomed = set(names)
            kept = {name: each for name, each in state.bookmarks.items() if name not in doomed}
            after = state.set(bookmarks=pmap(kept))
            self._save(after)
            drop(self._pool.paths(dataset_id), state, after)

    def send_estimate_bytes(self, dataset_id: DatasetId, plan: SendPlan) -> int:
        """
        As promised by ``Storage``.
        """
        with told(f"{dataset_id}"), self._pool.changing(dataset_id) as state:
            return Outgoing(self._pool.paths(dataset_id), state, plan).estimate_bytes

    def send(self, dataset_id: DatasetId, plan: SendPlan, stream: int) -> None:
        """
        As promised by ``Storage``.
        """
        with told(f"{dataset_id}"), self._pool.sends(dataset_id, plan.to_guid) as state:
            with self._pool.changing(dataset_id):
                outgoing = Outgoing(self._pool.paths(dataset_id), state, plan)
            outgoing.send(stream)

    def receive(self, dataset_id: DatasetId, stream: int) -> StoredSnapshot:
        """
        As promised by ``Storage``.
        """
        frames = FrameReader(stream)
        with told(f"{dataset_id}"), self._pool.receives(dataset_id):
            header, payload = frames.read()
            if header.kind is not FrameKind.OPENING:
                raise StreamCorrupt(f"A stream begins with an opening, not with {header.kind.name.lower()}")
            opening = parsed_opening(bytes(payload), BACKEND)
            present = self._pool.state(dataset_id) if dataset_id in self._pool.ids() else None
            arrival = Arrival(self._pool.paths(dataset_id).receiving)
            admit(
                dataset_id,
                None if present is None else self._stored(present),
                _kept(arrival),
                opening,
                lambda: present is not None and is_written(self._pool, present),
            )
            Receive(self._pool, dataset_id, present, opening).run(frames)
            return _stored_snapshot(self._pool.state(dataset_id).snapshot(opening.to_guid))

    def abort_receive(self, dataset_id: DatasetId) -> None:
        """
        As promised by ``Storage``.
        """
        with told(f"{dataset_id}"), self._pool.changing(dataset_id) as state:
            if dataset_id in self._pool.receiving:
                raise DatasetBusy(f"{dataset_id} is being received into; cut the stream first")
            paths = self._pool.paths(dataset_id)
            if not state.whole:
                self._pool.discard(paths.root)
            elif Arrival(paths.receiving).exists:
                repaired(self._pool, state)
                self._pool.discard(paths.receiving)

    def stash(self, dataset_id: DatasetId, label: str) -> str:
        """
        As promised by ``Storage``.
        """
        name = f"{dataset_id}.{checked_name(label)}"
        with told(f"{dataset_id}"), self._pool.using(dataset_id):
            self._pool.refuse_unless_idle(dataset_id)
            self._pool.move(self._pool.paths(dataset_id).root, self._pool.stashes / name)
        return name

    def stashes(self) -> PMap[str, StoredDataset]:
        """
        As promised by ``Storage``.
        """
        with told(f"pool {self._pool.root}"):
            names = os.listdir(self._pool.stashes)
            return pmap({name: stash for name in names if (stash := self._stash(name)) is not None})

    def restore_stash(self, name: str) -> DatasetId:
        """
        As promised by ``Storage``.
        """
        with told(f"stash {name}"):
            dataset_id = self._unmounted_stash(name).dataset_id
            if dataset_id in self._pool.ids():
                raise DatasetExists(f"{dataset_id}, so stash {name} can't have its id back")
            self._pool.move(self._pool.stashes / name, self._pool.paths(dataset_id).root)
        return dataset_id

    def destroy_stash(self, name: str) -> None:
        """
        As promised by ``Storage``.
        """
        with told(f"stash {name}"):
            self._unmounted_stash(name)
            self._pool.discard(self._pool.stashes / name)

    def mount_stash(self, name: str) -> Path:
        """
        As promised by ``Storage``.
        """
        with told(f"stash {name}"):
            self._found_stash(name)
            return mount_stash(self._pool, name)

    def unmount_stash(self, name: str) -> None:
        """
        As promised by ``Storage``.
        """
        with told(f"stash {name}"):
            self._found_stash(name)
            unmount_stash(self._pool, name)

    def branch_stash(self, name: str, guid: Guid) -> StoredDataset:
        """
        As promised by ``Storage``.
        """
        with told(f"stash {name}"), self._pool.new_folder() as fresh:
            dataset_id = self._found_stash(name).dataset_id
            stash_paths = DatasetPaths(self._pool.stashes / name)
            state = stash_paths.load()
            state.snapshot(guid)
            if dataset_id in self._pool.ids():
                raise DatasetExists(f"{dataset_id}, so nothing is branched from stash {name}")
            branch(stash_paths, state, guid, fresh)
            self._pool.move(fresh, self._pool.paths(dataset_id).root)
            return self.dataset(dataset_id)

    def clone(self, dataset_id: DatasetId, guid: Guid, new_dataset_id: DatasetId, *, epoch: int) -> StoredDataset:
        """
        As promised by ``Storage``.
        """
        with told(f"{dataset_id}"), self._pool.using(dataset_id) as origin, self._pool.new_folder() as fresh:
            origin.snapshot(guid)
            if new_dataset_id in self._pool.ids():
                raise DatasetExists(f"{new_dataset_id}")
            state = DatasetState(dataset_id=new_dataset_id, role=Role.OWNER, epoch=epoch)
            made = DatasetPaths(fresh)
            made.make(state, live=True)
            paths = self._pool.paths(dataset_id)
            rebuilt(made, entries_of(paths, guid), PackReader(paths.packs))
            self._pool.move(fresh, self._pool.paths(new_dataset_id).root)
            return self._stored(state)

    def _save(self, state: DatasetState) -> None:
        self._pool.paths(state.dataset_id).save(state)

    def _stash(self, name: str) -> StoredDataset | None:
        try:
            state = DatasetPaths(self._pool.stashes / name).load()
        except DatasetMissing:
            # Restored or destroyed since its name was read.
            return None
        mounted = is_stash_mounted(self._pool, name)
        path = str(self._pool.mount_root / name) if mounted else None
        return self._described(state, DatasetPaths(self._pool.stashes / name), path)

    def _found_stash(self, name: str) -> StoredDataset:
        found = self.stashes().get(name)
        if found is None:
            raise DatasetMissing(f"Stash {name}")
        return found

    def _unmounted_stash(self, name: str) -> StoredDataset:
        found = self._found_stash(name)
        if (self._pool.readable / name).exists():
            raise DatasetBusy(f"Stash {name} is mounted at {self._pool.mount_root / name}")
        return found

    def _forget_finished(self) -> None:
        for dataset_id in self._pool.ids():
            paths = self._pool.paths(dataset_id)
            arrival = Arrival(paths.receiving)
            if not arrival.exists:
                continue
            state = paths.load()
            # Killed between the commit and the cleaning up, or nothing of it was ever certain.
            if arrival.is_lost or arrival.opening().to_guid in {each.guid for each in state.snapshots}:
                self._pool.discard(paths.receiving if state.whole else paths.root)

    def _wait_for_tick(self, dataset_id: DatasetId) -> None:
        # The first write after mounting must leave another time than the last one before (see directory_scan).
        settled_ns = self._pool.settled_ns.pop(dataset_id, None)
        if settled_ns is not None:
            time.sleep(max(0, settled_ns + TICK_NS - time.monotonic_ns()) / 1e9)

    def _stored(self, state: DatasetState) -> StoredDataset:
        mounted_at = str(self._pool.link(state.dataset_id)) if self._pool.mounted(state.dataset_id) else None
        return self._described(state, self._pool.paths(state.dataset_id), mounted_at)

    @staticmethod
    def _described(state: DatasetState, paths: DatasetPaths, mounted_at: str | None) -> StoredDataset:
        arrival = Arrival(paths.receiving)
        kept = _kept(arrival)
        pack_files = [paths.packs / str(pack) for pack in state.packs] + ([] if kept is None else [arrival.pack])
        return StoredDataset(
            dataset_id=state.dataset_id,
            role=state.role,
            epoch=state.epoch,
            snapshots=pvector(_stored_snapshot(snapshot) for snapshot in state.snapshots),
            mounted_at=mounted_at,
            used_bytes=_live_bytes(state) + sum(_room_bytes(path) for path in pack_files),
            maximum_size_bytes=state.maximum_size_bytes,
            resume_token=None if kept is None else token(kept),
            partial=not state.whole,
            properties=state.properties,
        )


def _live_bytes(state: DatasetState) -> int:
    # As far as it was ever counted: to do so again costs as much as a snapshot.
    return state.live_bytes if state.newest is None else state.newest.size_bytes


def _stored_snapshot(snapshot: SnapshotState) -> StoredSnapshot:
    return StoredSnapshot(
        guid=snapshot.guid,
        name=snapshot.name,
        holds=snapshot.holds,
        created_at_seconds=snapshot.created_at_seconds,
    )


def _with_holds(state: DatasetState, holds: Callable[[SnapshotState], Iterable[str]]) -> DatasetState:
    return state.set(snapshots=pvector(each.set(holds=pvector(sorted(holds(each)))) for each in state.snapshots))


def _kept(arrival: Arrival) -> Kept | None:
    try:
        return arrival.kept() if arrival.exists else None
    except FileNotFoundError:
        # It was completed or aborted since we looked.
        return None


def _room_bytes(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        # Given back since the record was read.
        return 0
