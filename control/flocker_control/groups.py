"""
Datasets and the container that uses them: they are wanted on one node, and go together.
"""

from __future__ import annotations

from flocker_control.refusals import Refusal, RefusalCode
from flocker_control.state import Changes, State
from flocker_py.model import Container, Dataset, DatasetId, NodeId


def present(state: State, dataset_id: DatasetId) -> Dataset | Refusal:
    """
    A dataset that is there and not deleted.
    """
    dataset = state.datasets.get(dataset_id)
    if dataset is None:
        return Refusal.of(RefusalCode.DATASET_UNKNOWN, f"there is no dataset {dataset_id}")
    if dataset.deleted:
        return Refusal.of(RefusalCode.DATASET_DELETED, f"the dataset {called(dataset)} has been deleted")
    return dataset


def called(dataset: Dataset) -> str:
    """
    What users call it.
    """
    return dataset.name or str(dataset.dataset_id)


def led_to(state: State, changes: Changes, *dataset_ids: DatasetId) -> Changes:
    """
    The changes, and that nothing which was given up before stands in their way.
    """
    for dataset_id in dataset_ids:
        changes = changes.put(state.ownerships[dataset_id].set(refused_primary=None))
    return changes


def group_on(state: State, container: Container, dataset_ids: list[DatasetId]) -> Changes:
    """
    A container and datasets, wanted where the container says. One that isn't there is found when all parts of the
    command have been applied.
    """
    dataset_ids = [dataset_id for dataset_id in dataset_ids if dataset_id in state.datasets]
    datasets = (state.datasets[dataset_id].set(primary=container.node_id) for dataset_id in dataset_ids)
    return led_to(state, Changes().put(container, *datasets), *dataset_ids)


def group_moved(state: State, dataset: Dataset, target: NodeId) -> Changes:
    """
    A dataset wanted elsewhere, together with the container that uses it and all that this uses.
    """
    container = user_of(state, dataset.dataset_id)
    if container is None:
        return led_to(state, Changes().put(dataset.set(primary=target)), dataset.dataset_id)
    dataset_ids = [mount.dataset_id for mount in container.mounts]
    return group_on(state, container.set(node_id=target), dataset_ids)


def user_of(state: State, dataset_id: DatasetId) -> Container | None:
    """
    The container that uses a dataset.
    """
    for container in state.containers.values():
        if any(mount.dataset_id == dataset_id for mount in container.mounts):
            return container
    return None
