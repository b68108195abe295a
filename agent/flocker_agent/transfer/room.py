"""
How much of a pool's room the streams that come in may still take.
"""

from __future__ import annotations

import threading

from flocker_py.model import DatasetId
from flocker_py.storage import PoolFull
from flocker_py.units import bytes_text


class Room:
    """
    The room that was given to the streams of one node, so that two of them don't count on the same. Methods may be
    called from any thread.

    :param reserve_bytes: room that stays free.
    """

    def __init__(self, reserve_bytes: int) -> None:
        self._reserve_bytes = reserve_bytes
        self._lock = threading.Lock()
        self._promised_bytes: dict[DatasetId, int] = {}

    def promise(self, dataset_id: DatasetId, name: str, needed_bytes: int, free_bytes: int) -> None:
        """
        Give room to a stream.

        :param name: of the snapshot, for people.
        :param needed_bytes: an estimate.
        :param free_bytes: what the pool has at this moment.
        :raises PoolFull: there is not so much; nothing was promised.
        """
        with self._lock:
            others_bytes = sum(size for other, size in self._promised_bytes.items() if other != dataset_id)
            if needed_bytes + self._reserve_bytes + others_bytes > free_bytes:
                others = f", {bytes_text(others_bytes)} are for other transfers" if others_bytes else ""
                raise PoolFull(
                    f"Snapshot {name} of dataset {dataset_id} needs about {bytes_text(needed_bytes)}{others}, and"
                    f" {bytes_text(self._reserve_bytes)} must stay free; the pool has {bytes_text(free_bytes)}"
                )
            self._promised_bytes[dataset_id] = needed_bytes

    def arrived(self, dataset_id: DatasetId, size_bytes: int) -> None:
        """
        So much of a stream has come: it is no longer free.
        """
        with self._lock:
            left_bytes = self._promised_bytes.get(dataset_id, 0) - size_bytes
            self._promised_bytes[dataset_id] = max(0, left_bytes)

    def give_back(self, dataset_id: DatasetId) -> None:
        """
        A stream is over.
        """
        with self._lock:
            self._promised_bytes.pop(dataset_id, None)
