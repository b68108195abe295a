"""
One lock a dataset: whoever changes a dataset holds it, be it the agent's loop or a session that sends.
"""

from __future__ import annotations

import threading

from flocker_py.model import DatasetId


class Locks:
    """
    Locks that are made when they are first asked for, and never go away.
    """

    def __init__(self) -> None:
        self._locks: dict[DatasetId, threading.Lock] = {}
        self._making = threading.Lock()

    def of(self, dataset_id: DatasetId) -> threading.Lock:
        """
        The lock of a dataset. From any thread.
        """
        with self._making:
            return self._locks.setdefault(dataset_id, threading.Lock())
