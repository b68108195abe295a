"""
The volumes of a deployment document, found among the cluster's datasets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from uuid import UUID

from pyrsistent import PMap, pmap

from flocker_control.applied_nodes import ResolvedNodes
from flocker_control.commands import (
    MOVE_POLICY_FIELDS,
    ChangeMetadata,
    ChangeMovePolicy,
    ChangePartitionPolicy,
    ChangePrimary,
    Command,
    CreateDataset,
    DeleteDataset,
    RenameDataset,
    ResizeDataset,
)
from flocker_control.state import State
from flocker_control.steps import Step
from flocker_py.deployed import DeployedVolume, Deployment
from flocker_py.documents import Complaint
from flocker_py.model import Dataset, DatasetId, NodeId
from flocker_py.observed import NodeObservation
from flocker_py.records import Record, value
from flocker_py.units import bytes_text

_NONE = type(None)


class Volume(Record):
    """
    A volume of the document and the dataset that it means.

    :param present: the dataset as it is wanted now; None: there is none yet.
    :param primary: the node where the document wants it; None: where it is.
    """

    wanted: DeployedVolume = value(DeployedVolume)
    dataset_id: DatasetId = value(UUID)
    present: Dataset | None = value((Dataset, _NONE), default=None)
    primary: NodeId | None = value((UUID, _NONE), default=None)


def resolved_volumes(
    deployment: Deployment, state: State, nodes: ResolvedNodes, new_ids: Mapping[str, DatasetId]
) -> tuple[tuple[Volume, ...], list[Complaint]]:
    """
    The volumes of a document, each with its dataset; and complaints about those that can't be.

    :param new_ids: for those that have to be made and have no id of their own.
    """
    by_name = {dataset.name: dataset for dataset in state.datasets.values() if dataset.name and not dataset.deleted}
    volumes: list[Volume] = []
    complaints: list[Complaint] = []
    for name, wanted in sorted(deployment.volumes.items()):
        present = _present(state, by_name, wanted)
        if isinstance(present, Complaint):
            complaints.append(present)
            continue
        primary = None if wanted.primary is None or wanted.deleted else nodes.of(wanted.primary)
        if wanted.primary is not None and not wanted.deleted and primary is None and nodes.is_unlisted(wanted.primary):
            complaints.append(Complaint(pointer=("volumes", name, "primary"), text=nodes.unknown_text(wanted.primary)))
        elif present is None and wanted.primary is None and not wanted.deleted:
            text = "a new volume needs a primary, the node where it is to be made; or an app that mounts it"
            complaints.append(Complaint(pointer=("volumes", name), text=text))
        dataset_id = present.dataset_id if present is not None else wanted.dataset_id or new_ids[name]
        volumes.append(Volume(wanted=wanted, dataset_id=dataset_id, present=present, primary=primary))
    complaints += _twins(volumes)
    return tuple(volumes), complaints


def _present(state: State, by_name: Mapping[str, Dataset], wanted: DeployedVolume) -> Dataset | Complaint | None:
    named = by_name.get(wanted.name)
    if wanted.dataset_id is not None:
        return _by_id(state, named, wanted, wanted.dataset_id)
    if wanted.renamed_from is None:
        return named
    before = by_name.get(wanted.renamed_from)
    pointer = ("volumes", wanted.name, "renamed_from")
    if named is not None and before is not None:
        text = f"there are two volumes now, {wanted.name} and {wanted.renamed_from}: delete one, or leave this out"
        return Complaint(pointer=pointer, text=text)
    if named is None and before is None and not wanted.deleted:
        text = f"there is no volume {wanted.renamed_from}; leave this out to make a new, empty volume {wanted.name}"
        return Complaint(pointer=pointer, text=text)
    return named or before


def _by_id(
    state: State, named: Dataset | None, wanted: DeployedVolume, dataset_id: DatasetId
) -> Dataset | Complaint | None:
    dataset = state.datasets.get(dataset_id)
    pointer = ("volumes", wanted.name, "id")
    if dataset is not None and dataset.deleted and not wanted.deleted:
        text = f"the dataset {dataset_id} was deleted, and an id is never used again: leave it out to make a new volume"
        return Complaint(pointer=pointer, text=text)
    if named is not None and named.dataset_id != dataset_id:
        text = f"the volume {wanted.name} is another dataset, {named.dataset_id}"
        return Complaint(pointer=pointer, text=text)
    return dataset


def _twins(volumes: list[Volume]) -> Iterator[Complaint]:
    first: dict[DatasetId, str] = {}
    for volume in volumes:
        name = volume.wanted.name
        other = first.setdefault(volume.dataset_id, name)
        if other != name:
            text = f"this is the same dataset as volume {other}: {volume.dataset_id}"
            yield Complaint(pointer=("volumes", name), text=text)


def volume_commands(volume: Volume, state: State, nodes: ResolvedNodes) -> Iterator[tuple[Command, tuple[Step, ...]]]:
    """
    What makes a dataset be as the document says, each with its steps.
    """
    wanted, present = volume.wanted, volume.present
    if present is None:
        # Without a primary it is one that shall be deleted and isn't there.
        if volume.primary is not None:
            yield _creation(volume, volume.primary, nodes)
        return
    if wanted.deleted:
        if not present.deleted:
            text = f"delete volume {wanted.name} and all of its data, for ever"
            yield DeleteDataset(dataset_id=volume.dataset_id), (_step("delete", wanted, text),)
        return
    if present.name != wanted.name:
        text = f"call volume {present.name or present.dataset_id} {wanted.name} from now on"
        yield RenameDataset(dataset_id=volume.dataset_id, name=wanted.name), (_step("update", wanted, text),)
    if wanted.maximum_size_bytes not in (None, present.maximum_size_bytes):
        yield _resize(volume, present)
    if wanted.labels is not None and wanted.labels != present.metadata:
        command = ChangeMetadata(dataset_id=volume.dataset_id, metadata=wanted.labels)
        yield command, (_step("update", wanted, f"give volume {wanted.name} other labels"),)
    yield from _policy(volume, present)
    yield from _partition_policy(volume, present)
    yield from _move(volume, present, state, nodes)


def _creation(volume: Volume, primary: NodeId, nodes: ResolvedNodes) -> tuple[Command, tuple[Step, ...]]:
    wanted = volume.wanted
    plain = CreateDataset(dataset_id=volume.dataset_id, primary=primary)
    command = plain.set(
        name=wanted.name,
        maximum_size_bytes=wanted.maximum_size_bytes,
        metadata=pmap() if wanted.labels is None else wanted.labels,
        max_downtime_seconds=(
            plain.max_downtime_seconds if wanted.max_downtime_seconds is None else wanted.max_downtime_seconds
        ),
        on_overrun=plain.on_overrun if wanted.on_overrun is None else wanted.on_overrun,
        on_start_failure=plain.on_start_failure if wanted.on_start_failure is None else wanted.on_start_failure,
        on_partition=plain.on_partition if wanted.on_partition is None else wanted.on_partition,
    )
    size = "" if wanted.maximum_size_bytes is None else f", {bytes_text(wanted.maximum_size_bytes)}"
    text = f"create volume {wanted.name} on {nodes.called(primary)}{size}"
    return command, (_step("create", wanted, text),)


def _resize(volume: Volume, present: Dataset) -> tuple[Command, tuple[Step, ...]]:
    wanted = volume.wanted
    size_bytes = wanted.maximum_size_bytes
    before = "no limit" if present.maximum_size_bytes is None else bytes_text(present.maximum_size_bytes)
    after = "no limit" if size_bytes is None else bytes_text(size_bytes)
    text = f"resize volume {wanted.name} from {before} to {after}"
    command = ResizeDataset(dataset_id=volume.dataset_id, maximum_size_bytes=size_bytes)
    return command, (_step("resize", wanted, text),)


def _policy(volume: Volume, present: Dataset) -> Iterator[tuple[Command, tuple[Step, ...]]]:
    wanted = volume.wanted
    command = ChangeMovePolicy(
        dataset_id=volume.dataset_id,
        max_downtime_seconds=(
            present.max_downtime_seconds if wanted.max_downtime_seconds is None else wanted.max_downtime_seconds
        ),
        on_overrun=present.on_overrun if wanted.on_overrun is None else wanted.on_overrun,
        on_start_failure=present.on_start_failure if wanted.on_start_failure is None else wanted.on_start_failure,
    )
    if any(getattr(command, field) != getattr(present, field) for field in MOVE_POLICY_FIELDS):
        text = (
            f"move volume {wanted.name} with at most {command.max_downtime_seconds:g} s of downtime;"
            f" if its writer outruns the link: {command.on_overrun.value};"
            f" if its app doesn't start: {command.on_start_failure.value}"
        )
        yield command, (_step("update", wanted, text),)


def _partition_policy(volume: Volume, present: Dataset) -> Iterator[tuple[Command, tuple[Step, ...]]]:
    wanted = volume.wanted
    if wanted.on_partition in (None, present.on_partition):
        return
    command = ChangePartitionPolicy(dataset_id=volume.dataset_id, on_partition=wanted.on_partition)
    text = f"when its node is cut off, {command.on_partition.value} volume {wanted.name}"
    yield command, (_step("update", wanted, text),)


def _move(
    volume: Volume, present: Dataset, state: State, nodes: ResolvedNodes
) -> Iterator[tuple[Command, tuple[Step, ...]]]:
    target = volume.primary
    ownership = state.ownerships[present.dataset_id]
    given_up = target is not None and ownership.refused_primary == target != ownership.owner
    if target is None or (target == present.primary and not given_up):
        return
    again = " again" if given_up else ""
    text = f"move volume {volume.wanted.name} from {nodes.called(ownership.owner)} to {nodes.called(target)}{again}"
    yield ChangePrimary(dataset_id=present.dataset_id, primary=target), (_step("move", volume.wanted, text),)


def volume_warnings(
    volumes: tuple[Volume, ...], state: State, observed: PMap[NodeId, NodeObservation]
) -> Iterator[str]:
    """
    Sizes that are smaller than what is there already.
    """
    for volume in volumes:
        size_bytes = volume.wanted.maximum_size_bytes
        ownership = state.ownerships.get(volume.dataset_id)
        node = None if ownership is None else observed.get(ownership.owner)
        seen = None if node is None else node.datasets.get(volume.dataset_id)
        if size_bytes is not None and seen is not None and seen.used_bytes > size_bytes:
            yield (
                f"volume {volume.wanted.name} holds {bytes_text(seen.used_bytes)}, more than the"
                f" {bytes_text(size_bytes)} that it shall be limited to: its node will refuse that"
            )


def _step(action: str, wanted: DeployedVolume, text: str) -> Step:
    return Step(action=action, kind="dataset", name=wanted.name, text=text)
