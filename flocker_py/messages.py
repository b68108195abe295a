"""
What control and agents tell one another over the link: differences, so that a change costs what it touches.

Both directions work alike: whoever speaks keeps the last value that the other has acknowledged, and sends what is new
since then. A session begins with everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar
from uuid import UUID

from pyrsistent import PMap, PVector, pmap, pvector

from flocker_py.assignment import (
    DatasetAssignment,
    Destroy,
    Forward,
    Keep,
    NodeAssignment,
    Own,
    Receive,
    Release,
    Remove,
    Stash,
    StashAssignment,
)
from flocker_py.model import Container, ContainerName, DatasetId, NodeId
from flocker_py.observed import (
    ContainerObservation,
    DatasetObservation,
    NodeObservation,
    ReportedError,
    StashObservation,
)
from flocker_py.records import Record, mapping, sequence, value

LINK_VERSION = 5
"""Of these messages. Both sides refuse a session with another version, by a clear error."""

_NONE = type(None)
_K = TypeVar("_K")
_V = TypeVar("_V")


class AssignmentUpdate(Record):
    """
    What is new for one node.

    :param whole: forget everything else you were asked.
    """

    node_id: NodeId = value(UUID)
    revision: int = value(int)
    whole: bool = value(bool, default=False)
    datasets: PMap[DatasetId, DatasetAssignment] = mapping(
        UUID, (Own, Release, Receive, Keep, Remove, Destroy, Stash), default={}
    )
    withdrawn_datasets: PVector[DatasetId] = sequence(UUID, default=())
    containers: PMap[ContainerName, Container] = mapping(str, Container, default={})
    withdrawn_containers: PVector[ContainerName] = sequence(str, default=())
    stashes: PMap[str, StashAssignment] = mapping(str, StashAssignment, default={})
    withdrawn_stashes: PVector[str] = sequence(str, default=())
    forwards: PMap[str, Forward] = mapping(str, Forward, default={})
    withdrawn_forwards: PVector[str] = sequence(str, default=())
    preparing: PMap[ContainerName, Container] = mapping(str, Container, default={})
    withdrawn_preparing: PVector[ContainerName] = sequence(str, default=())


class NodeReport(Record):
    """
    What is new on one node.

    :param whole: everything of the node, at the beginning of a session; then nothing else is in the message.
    """

    node_id: NodeId = value(UUID)
    whole: NodeObservation | None = value((NodeObservation, _NONE), default=None)
    free_bytes: int = value(int, default=0)
    storage_known: bool = value(bool, default=False)
    runtime_known: bool = value(bool, default=False)
    datasets: PMap[DatasetId, DatasetObservation] = mapping(UUID, DatasetObservation, default={})
    gone_datasets: PVector[DatasetId] = sequence(UUID, default=())
    containers: PMap[ContainerName, ContainerObservation] = mapping(str, ContainerObservation, default={})
    gone_containers: PVector[ContainerName] = sequence(str, default=())
    failures: PMap[str, ReportedError] = mapping(str, ReportedError, default={})
    cleared_failures: PVector[str] = sequence(str, default=())
    waiting: PMap[str, str] = mapping(str, str, default={})
    waiting_no_longer: PVector[str] = sequence(str, default=())
    stashes: PMap[str, StashObservation] = mapping(str, StashObservation, default={})
    gone_stashes: PVector[str] = sequence(str, default=())
    prepared: PMap[ContainerName, str] = mapping(str, str, default={})
    prepared_no_longer: PVector[ContainerName] = sequence(str, default=())


def _news(before: Mapping[_K, _V], after: Mapping[_K, _V]) -> tuple[PMap[_K, _V], PVector[_K]]:
    # Records that did not change are the same object, so that comparing is cheap.
    new = {key: item for key, item in after.items() if before.get(key) is not item and before.get(key) != item}
    return pmap(new), pvector(key for key in before if key not in after)


def _applied(before: PMap[Any, Any], new: Mapping[Any, Any], gone: Iterable[Any]) -> PMap[Any, Any]:
    after: PMap[Any, Any] = before.update(new)
    for key in gone:
        after = after.discard(key)
    return after


def report_of(before: NodeObservation | None, after: NodeObservation) -> NodeReport | None:
    """
    What to tell of a node whose listener knows ``before``. None: nothing.
    """
    if before is None or _identity(before) != _identity(after):
        return NodeReport(node_id=after.node_id, whole=after)
    if before == after:
        return None
    datasets, gone_datasets = _news(before.datasets, after.datasets)
    containers, gone_containers = _news(before.containers, after.containers)
    failures, cleared = _news(before.failures, after.failures)
    waiting, waiting_no_longer = _news(before.waiting, after.waiting)
    stashes, gone_stashes = _news(before.stashes, after.stashes)
    prepared, prepared_no_longer = _news(before.prepared, after.prepared)
    return NodeReport(
        node_id=after.node_id,
        free_bytes=after.free_bytes,
        storage_known=after.storage_known,
        runtime_known=after.runtime_known,
        datasets=datasets,
        gone_datasets=gone_datasets,
        containers=containers,
        gone_containers=gone_containers,
        failures=failures,
        cleared_failures=cleared,
        waiting=waiting,
        waiting_no_longer=waiting_no_longer,
        stashes=stashes,
        gone_stashes=gone_stashes,
        prepared=prepared,
        prepared_no_longer=prepared_no_longer,
    )


def _identity(node: NodeObservation) -> tuple[object, ...]:
    return (
        node.node_id,
        node.era,
        node.address,
        node.transfer_port,
        node.version,
        node.storage,
        node.runtime,
        node.container_fields,
    )


def reported(before: NodeObservation | None, report: NodeReport) -> NodeObservation | None:
    """
    The node after a report. None: the report builds on something that we don't have.
    """
    if report.whole is not None:
        return report.whole
    if before is None:
        return None
    return before.set(
        free_bytes=report.free_bytes,
        storage_known=report.storage_known,
        runtime_known=report.runtime_known,
        datasets=_applied(before.datasets, report.datasets, report.gone_datasets),
        containers=_applied(before.containers, report.containers, report.gone_containers),
        failures=_applied(before.failures, report.failures, report.cleared_failures),
        waiting=_applied(before.waiting, report.waiting, report.waiting_no_longer),
        stashes=_applied(before.stashes, report.stashes, report.gone_stashes),
        prepared=_applied(before.prepared, report.prepared, report.prepared_no_longer),
    )


def update_of(before: NodeAssignment | None, after: NodeAssignment) -> AssignmentUpdate | None:
    """
    What to tell a node that knows ``before``. None: nothing.
    """
    if before is None:
        return AssignmentUpdate(
            node_id=after.node_id,
            revision=after.revision,
            whole=True,
            datasets=after.datasets,
            containers=after.containers,
            stashes=after.stashes,
            forwards=after.forwards,
            preparing=after.preparing,
        )
    datasets, withdrawn_datasets = _news(before.datasets, after.datasets)
    containers, withdrawn_containers = _news(before.containers, after.containers)
    stashes, withdrawn_stashes = _news(before.stashes, after.stashes)
    forwards, withdrawn_forwards = _news(before.forwards, after.forwards)
    preparing, withdrawn_preparing = _news(before.preparing, after.preparing)
    of_containers = (containers, withdrawn_containers, forwards, withdrawn_forwards, preparing, withdrawn_preparing)
    if not any((datasets, withdrawn_datasets, stashes, withdrawn_stashes, *of_containers)):
        return None
    return AssignmentUpdate(
        node_id=after.node_id,
        revision=after.revision,
        datasets=datasets,
        withdrawn_datasets=withdrawn_datasets,
        containers=containers,
        withdrawn_containers=withdrawn_containers,
        stashes=stashes,
        withdrawn_stashes=withdrawn_stashes,
        forwards=forwards,
        withdrawn_forwards=withdrawn_forwards,
        preparing=preparing,
        withdrawn_preparing=withdrawn_preparing,
    )


def updated(before: NodeAssignment | None, update: AssignmentUpdate) -> NodeAssignment | None:
    """
    What is asked of a node after an update. None: the update builds on something that we don't have.
    """
    if update.whole:
        before = NodeAssignment(node_id=update.node_id, revision=update.revision)
    if before is None:
        return None
    return before.set(
        revision=update.revision,
        datasets=_applied(before.datasets, update.datasets, update.withdrawn_datasets),
        stashes=_applied(before.stashes, update.stashes, update.withdrawn_stashes),
        containers=_applied(before.containers, update.containers, update.withdrawn_containers),
        forwards=_applied(before.forwards, update.forwards, update.withdrawn_forwards),
        preparing=_applied(before.preparing, update.preparing, update.withdrawn_preparing),
    )
