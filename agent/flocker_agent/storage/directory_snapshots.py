"""
Taking, reading and destroying snapshots of the directory backend.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from pyrsistent import pvector

from flocker_agent.storage.directory_apply import Restoration
from flocker_agent.storage.directory_capture import Capture, written
from flocker_agent.storage.directory_files import FOLDER_FLAGS, copy_durably, remove_tree, sync_folder
from flocker_agent.storage.directory_manifest import (
    Entries,
    Entry,
    content_bytes,
    packs_of,
)
from flocker_agent.storage.directory_manifests import Manifests
from flocker_agent.storage.directory_packs import PackReader, PackWriter, release_unused
from flocker_agent.storage.directory_pool import DirectoryPool
from flocker_agent.storage.directory_state import DatasetPaths, DatasetState, SnapshotState, make_live
from flocker_py.model import Guid

_MANIFESTS = Manifests(entry_limit=200_000)


def entries_of(paths: DatasetPaths, guid: Guid | None) -> dict[bytes, Entry]:
    """
    What a snapshot or bookmark says of its tree; of none, nothing.
    """
    return {} if guid is None else _MANIFESTS.read(paths.manifest(guid))


def newest_entries(paths: DatasetPaths, state: DatasetState) -> dict[bytes, Entry]:
    """
    The same of the newest snapshot.
    """
    return entries_of(paths, None if state.newest is None else state.newest.guid)


def take(pool: DirectoryPool, state: DatasetState, guid: Guid, name: str) -> DatasetState:
    """
    Take a snapshot of the live tree.

    :returns: the dataset's record, as it was saved.
    """
    paths = pool.paths(state.dataset_id)
    state = repaired(pool, state)
    before = newest_entries(paths, state)
    is_mounted = pool.mounted(state.dataset_id)
    pack_path = paths.packs / str(state.next_pack)
    pack_path.unlink(missing_ok=True)
    try:
        if state.newest is not None and state.clean_guid == state.newest.guid:
            entries = before
        else:
            root = os.open(paths.tree(), FOLDER_FLAGS)
            try:
                with PackReader(paths.packs) as packs, PackWriter(pack_path, state.next_pack) as pack:
                    entries = Capture(root, before, packs, pack, still=not is_mounted).entries()
                    if pack.end:
                        os.fsync(pack.descriptor)
            finally:
                os.close(root)
            pool.settled_ns[state.dataset_id] = time.monotonic_ns()
            if not pack.end:
                pack_path.unlink()
        return commit(paths, state, guid, name, entries, clean=not is_mounted, created_at_seconds=time.time())
    except BaseException:
        pack_path.unlink(missing_ok=True)
        paths.manifest(guid).unlink(missing_ok=True)
        raise


def commit(
    paths: DatasetPaths,
    state: DatasetState,
    guid: Guid,
    name: str,
    entries: Entries,
    *,
    clean: bool,
    created_at_seconds: float | None,
) -> DatasetState:
    """
    Make a snapshot whose content is durable be one of the dataset's.

    :param clean: the live tree is what the snapshot is, and nobody can have written since.
    :param created_at_seconds: when it was taken, wherever that was.
    """
    packs = packs_of(entries)
    if state.next_pack in packs:
        sync_folder(paths.packs)
    _MANIFESTS.write(paths.manifest(guid), entries)
    snapshot = SnapshotState(
        guid=guid,
        name=name,
        age=state.next_age,
        packs=pvector(sorted(packs)),
        size_bytes=content_bytes(entries),
        created_at_seconds=created_at_seconds,
    )
    after = state.set(
        whole=True,
        snapshots=state.snapshots.append(snapshot),
        next_age=state.next_age + 1,
        next_pack=state.next_pack + (1 if state.next_pack in packs else 0),
        clean_guid=guid if clean else None,
        dirty_guid=None,
    )
    paths.save(after)
    return after


def is_written(pool: DirectoryPool, state: DatasetState) -> bool:
    """
    Whether the live tree may differ from the newest snapshot.
    """
    newest = state.newest
    if newest is None:
        return True
    if newest.guid == state.clean_guid or state.dirty_guid is not None:
        # Nobody but a receive, which is undone or finished before anybody can look, has touched it.
        return False
    paths = pool.paths(state.dataset_id)
    root = os.open(paths.tree(), FOLDER_FLAGS)
    try:
        with PackReader(paths.packs) as packs:
            return written(root, newest_entries(paths, state), packs)
    finally:
        os.close(root)


def repaired(pool: DirectoryPool, state: DatasetState) -> DatasetState:
    """
    A dataset's record, after its live tree was made what the newest snapshot is, if a receive left it in between.
    """
    if state.dirty_guid is None or state.newest is None:
        return state
    paths = pool.paths(state.dataset_id)
    entries = rebuilt(paths, newest_entries(paths, state))
    _MANIFESTS.write(paths.manifest(state.newest.guid), entries)
    pool.settled_ns[state.dataset_id] = time.monotonic_ns()
    after = state.set(dirty_guid=None, clean_guid=state.newest.guid)
    paths.save(after)
    return after


def rebuilt(paths: DatasetPaths, entries: Entries, packs: PackReader | None = None) -> dict[bytes, Entry]:
    """
    Make the live tree anew from what a snapshot says.

    :param packs: where its content is, if not in the dataset's own packs alone.
    :returns: the entries, with the fingerprints of the new tree.
    """
    fresh = paths.kept / "live.new"
    remove_tree(fresh)
    make_live(fresh)
    root = os.open(fresh / "data", FOLDER_FLAGS)
    try:
        with packs or PackReader(paths.packs) as reader:
            marked = Restoration(root, {}, entries, reader).run()
    except BaseException:
        remove_tree(fresh)
        raise
    finally:
        os.close(root)
    remove_tree(paths.live)
    fresh.rename(paths.live)
    sync_folder(paths.kept)
    return marked


def branch(source: DatasetPaths, state: DatasetState, guid: Guid, fresh: Path) -> None:
    """
    Make a replica in a new folder, that ends in a snapshot of another dataset's.

    :param fresh: nothing is there yet.
    """
    count = [each.guid for each in state.snapshots].index(guid) + 1
    kept = state.snapshots[:count]
    paths = DatasetPaths(fresh)
    made = DatasetState(
        dataset_id=state.dataset_id,
        maximum_size_bytes=state.maximum_size_bytes,
        snapshots=pvector(each.set(holds=pvector()) for each in kept),
        next_pack=state.next_pack,
        next_age=state.next_age,
        clean_guid=guid,
    )
    paths.make(made, live=True)
    # Of their own, not linked: room that nobody needs any more is given back inside of packs.
    for pack in made.packs:
        copy_durably(source.packs / str(pack), paths.packs / str(pack))
    for each in kept:
        copy_durably(source.manifest(each.guid), paths.manifest(each.guid))
    entries = rebuilt(paths, entries_of(paths, guid))
    _MANIFESTS.write(paths.manifest(guid), entries)
    for folder in (paths.packs, paths.manifests, paths.kept):
        sync_folder(folder)


def drop(paths: DatasetPaths, before: DatasetState, after: DatasetState) -> None:
    """
    Give back what the snapshots and bookmarks needed that a record has lost.

    :param after: the record as it has been saved.
    """
    known = {each.guid for each in after.snapshots} | {each.guid for each in after.bookmarks.values()}
    lost = {each.guid for each in before.snapshots} | {each.guid for each in before.bookmarks.values()}
    for guid in lost - known:
        paths.manifest(guid).unlink(missing_ok=True)
    for pack in before.packs - after.packs:
        (paths.packs / str(pack)).unlink(missing_ok=True)
    kept_guids = {each.guid for each in after.snapshots}
    shared = {pack for each in before.snapshots if each.guid not in kept_guids for pack in each.packs} & after.packs
    if shared:
        release_unused(paths.packs, _ranges(paths, after.snapshots, shared))


def _ranges(
    paths: DatasetPaths, snapshots: Iterable[SnapshotState], packs: set[int]
) -> dict[int, list[tuple[int, int]]]:
    used: dict[int, set[tuple[int, int]]] = {pack: set() for pack in packs}
    for snapshot in snapshots:
        if packs.isdisjoint(snapshot.packs):
            continue
        for entry in entries_of(paths, snapshot.guid).values():
            for segment in entry.segments:
                if segment.pack in packs:
                    used[segment.pack].add((segment.pack_offset, segment.length))
    return {pack: sorted(ranges) for pack, ranges in used.items()}
