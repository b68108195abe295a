"""
Copies within a pool: another dataset that begins as a snapshot, and shares nothing with it from then on.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable

from flocker_agent.changes import CopyDataset
from flocker_agent.transfer.limits import TransferLimits
from flocker_agent.transfer.room import Room
from flocker_py.model import Guid, Origin
from flocker_py.sentences import listed
from flocker_py.storage import LimitRefused, SendPlan, SnapshotMissing, Storage, StreamCut
from flocker_py.units import bytes_text

_PIECE_BYTES = 1 << 20
_LOOK_SECONDS = 0.5
# More names than that help nobody to find the right one.
_MOST_NAMES = 10


def copy_snapshot(storage: Storage, change: CopyDataset, *, cancelled: Callable[[], bool] = lambda: False) -> None:
    """
    Make a dataset, a replica that nobody owns yet, from a snapshot of another. Returns when all of it is there.

    :param cancelled: asked now and then; once it says so, the copy ends, and what came of it is left as a part.
    :raises SnapshotMissing: there is no such snapshot.
    :raises PoolFull: there is no room for it; nothing was written.
    :raises LimitRefused: it is larger than the new dataset may be; nothing was written.
    :raises StreamCut: it was cancelled.
    :raises StorageError: it can't be sent, or received: ``DatasetMissing`` where the other dataset isn't here.
    """
    plan = copy_plan(storage, change)
    if cancelled():
        raise StreamCut("It was cancelled before it had begun")
    # As between two hosts, and not as a clone: that could not be had without the snapshot for as long as it lives, and
    # the dataset that the snapshot is of could not be removed from this host when it is moved.
    from_sender, sending = os.pipe()
    receiving, to_receiver = os.pipe()
    failures: list[Exception] = []

    def send() -> None:
        try:
            storage.send(change.origin.dataset_id, plan, sending)
        except Exception as error:  # noqa: BLE001  # whatever it is, who waits for the copy is told
            failures.append(error)
        finally:
            os.close(sending)

    threads = [
        threading.Thread(target=send, name="copy-send", daemon=True),
        threading.Thread(target=_carry, args=(from_sender, to_receiver, cancelled), name="copy-carry", daemon=True),
    ]
    for thread in threads:
        thread.start()
    cut: StreamCut | None = None
    try:
        storage.receive(change.dataset_id, receiving)
    except StreamCut as error:
        cut = error
    finally:
        # First this: where nobody reads on, the others end.
        os.close(receiving)
        for thread in threads:
            thread.join()
    if cut is not None:
        raise failures[0] if failures and not cancelled() else cut


def copy_plan(storage: Storage, change: CopyDataset) -> SendPlan:
    """
    What is to be sent for a copy.

    :raises SnapshotMissing: there is no such snapshot.
    :raises PoolFull: there is no room for it.
    :raises LimitRefused: it is larger than the new dataset may be.
    """
    plan = SendPlan(to_guid=_found(storage, change.origin))
    _refuse_if_too_large(storage, change, storage.send_estimate_bytes(change.origin.dataset_id, plan))
    return plan


def _found(storage: Storage, origin: Origin) -> Guid:
    stored = storage.dataset(origin.dataset_id)
    found = [snapshot for snapshot in stored.snapshots if snapshot.name == origin.snapshot]
    if not found:
        others = [snapshot.name for snapshot in stored.snapshots if not snapshot.ours]
        more = f", and {len(others) - _MOST_NAMES} older ones" if len(others) > _MOST_NAMES else ""
        raise SnapshotMissing(
            f"dataset {origin.dataset_id} has no snapshot {origin.snapshot}"
            + (f"; it has {listed('snapshot', others[-_MOST_NAMES:])}{more}" if others else "")
        )
    # Somebody else's, if one of ours has that name after its prefix.
    return min(found, key=lambda snapshot: snapshot.ours).guid


def _refuse_if_too_large(storage: Storage, change: CopyDataset, needed_bytes: int) -> None:
    limit_bytes, name = change.maximum_size_bytes, change.origin.snapshot
    if limit_bytes is not None and needed_bytes > limit_bytes:
        raise LimitRefused(
            f"snapshot {name} of dataset {change.origin.dataset_id} has about {bytes_text(needed_bytes)}, and the new"
            f" dataset may hold {bytes_text(limit_bytes)}"
        )
    room = Room(TransferLimits().reserve_bytes)
    room.promise(change.origin.dataset_id, name, needed_bytes, storage.free_bytes())


def _carry(source: int, target: int, cancelled: Callable[[], bool]) -> None:
    try:
        while not cancelled():
            if not select.select([source], [], [], _LOOK_SECONDS)[0]:
                continue
            if not os.splice(source, target, _PIECE_BYTES):
                return
    except BrokenPipeError:
        # The receiver has ended, and says why.
        pass
    finally:
        # The sender finds nobody who reads, and the receiver the end.
        os.close(source)
        os.close(target)
