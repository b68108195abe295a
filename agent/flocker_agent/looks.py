"""
Looking at storage and runtime, from threads. Looks are numbered as they begin, so that answers that overtake one
another can be told apart.
"""

from __future__ import annotations

import itertools

from pyrsistent import PMap

from flocker_py.model import Container, ContainerName, DatasetId
from flocker_py.observed import ContainerObservation
from flocker_py.runtime import ContainerMissing, Runtime
from flocker_py.storage import DatasetMissing, Storage, StoredDataset


class Looks:
    """
    Blocking, all of it; from any thread.
    """

    def __init__(self, storage: Storage, runtime: Runtime) -> None:
        self._storage = storage
        self._runtime = runtime
        self._numbers = itertools.count()

    def at_pool(self) -> tuple[int, PMap[DatasetId, StoredDataset], PMap[str, StoredDataset], int]:
        """
        The number of the look, all datasets, all stashes, and the room that is left, in bytes.

        :raises StorageError: the pool can't be looked at.
        """
        look = next(self._numbers)
        # In this order: what is put aside meanwhile is seen twice, rather than not at all.
        return look, self._storage.datasets(), self._storage.stashes(), self._storage.free_bytes()

    def at_stashes(self) -> tuple[int, PMap[str, StoredDataset]]:
        """
        The number of the look, and all stashes.

        :raises StorageError: the pool can't be looked at.
        """
        look = next(self._numbers)
        return look, self._storage.stashes()

    def at_dataset(self, dataset_id: DatasetId) -> tuple[int, DatasetId, StoredDataset | None]:
        """
        The number of the look, and the dataset, or None.

        :raises StorageError: the pool can't be looked at.
        """
        look = next(self._numbers)
        try:
            return look, dataset_id, self._storage.dataset(dataset_id)
        except DatasetMissing:
            return look, dataset_id, None

    def at_containers(
        self,
    ) -> tuple[int, PMap[ContainerName, ContainerObservation], dict[ContainerName, Container]]:
        """
        The number of the look, all containers, and what they were started as.

        :raises ContainerRuntimeError: the runtime can't be looked at.
        """
        look = next(self._numbers)
        containers = self._runtime.containers()
        definitions = {}
        for name in containers:
            try:
                definitions[name] = self._runtime.definition(name)
            except ContainerMissing:
                containers = containers.discard(name)
        return look, containers, definitions
