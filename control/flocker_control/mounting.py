"""
Which containers mount which datasets, kept up from one commit to the next.
"""

from __future__ import annotations

from pyrsistent import PMap

from flocker_control.state import Changes
from flocker_py.model import Container, ContainerName, DatasetId


def containers_of(changes: Changes) -> set[ContainerName]:
    """
    The containers that are changed or deleted.
    """
    put = {record.name for record in changes.puts.values() if isinstance(record, Container)}
    return put | _deleted_containers(changes)


def _deleted_containers(changes: Changes) -> set[ContainerName]:
    keys = (key.partition("/") for key in changes.deletes)
    return {ContainerName(name) for kind, _, name in keys if kind == "container"}


class Mounting:
    """
    The containers of a state, by the datasets that they mount.

    :param containers: all of them.
    """

    def __init__(self, containers: PMap[ContainerName, Container]) -> None:
        self._datasets: dict[ContainerName, frozenset[DatasetId]] = {}
        self._containers: dict[DatasetId, set[ContainerName]] = {}
        for container in containers.values():
            self._put(container)

    def datasets(self, name: ContainerName) -> frozenset[DatasetId]:
        """
        What a container mounts; nothing, if there is no such container.
        """
        return self._datasets.get(name, frozenset())

    def containers(self, *dataset_ids: DatasetId) -> set[ContainerName]:
        """
        The containers that mount any of these.
        """
        return {name for dataset_id in dataset_ids for name in self._containers.get(dataset_id, ())}

    def committed(self, changes: Changes) -> None:
        """
        Follow a commit.
        """
        for name in _deleted_containers(changes):
            self._forget(name)
        for record in changes.puts.values():
            if isinstance(record, Container):
                self._forget(record.name)
                self._put(record)

    def _put(self, container: Container) -> None:
        dataset_ids = mounted_by(container)
        self._datasets[container.name] = dataset_ids
        for dataset_id in dataset_ids:
            self._containers.setdefault(dataset_id, set()).add(container.name)

    def _forget(self, name: ContainerName) -> None:
        for dataset_id in self._datasets.pop(name, ()):
            names = self._containers[dataset_id]
            names.discard(name)
            if not names:
                del self._containers[dataset_id]


def mounted_by(*containers: Container) -> frozenset[DatasetId]:
    """
    What these containers mount.
    """
    return frozenset(mount.dataset_id for container in containers for mount in container.mounts)
