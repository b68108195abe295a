"""
Copies within a pool: another dataset that begins as a snapshot, and shares nothing with it from then on.
"""

from __future__ import annotations

import os
import threading

from flocker_py.model import DatasetId, Origin
from flocker_py.sentences import listed
from flocker_py.storage import SendPlan, SnapshotMissing, Storage, StorageError, StreamCut


def copy_snapshot(storage: Storage, origin: Origin, dataset_id: DatasetId) -> None:
    """
    Make a dataset, a replica that nobody owns yet, from a snapshot of another. Returns when all of it is there.

    :raises SnapshotMissing: there is no such snapshot.
    :raises StorageError: it can't be sent, or received: ``DatasetMissing`` where the other dataset isn't here.
    """
    stored = storage.dataset(origin.dataset_id)
    found = [snapshot for snapshot in stored.snapshots if snapshot.name == origin.snapshot]
    if not found:
        others = [snapshot.name for snapshot in stored.snapshots if not snapshot.ours]
        raise SnapshotMissing(
            f"dataset {origin.dataset_id} has no snapshot {origin.snapshot}"
            + (f"; it has {listed('snapshot', others)}" if others else "")
        )
    plan = SendPlan(to_guid=found[-1].guid)
    # As between two hosts, and not as a clone: that could not be had without the snapshot for as long as it lives, and
    # the dataset that the snapshot is of could not be removed from this host when it is moved.
    reading, writing = os.pipe()
    failures: list[StorageError] = []

    def send() -> None:
        try:
            storage.send(origin.dataset_id, plan, writing)
        except StorageError as error:
            failures.append(error)
        finally:
            os.close(writing)

    sending = threading.Thread(target=send, name="copying", daemon=True)
    sending.start()
    try:
        storage.receive(dataset_id, reading)
    except StreamCut as error:
        sending.join()
        if failures:
            raise failures[0] from error
        raise
    finally:
        # Where nobody reads on, the sender ends.
        os.close(reading)
        sending.join()
