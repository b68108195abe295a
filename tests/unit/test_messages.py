"""
Differences between what was told and what is: whoever applies them has what the other side has.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyrsistent import pmap, pvector

from flocker_py.assignment import Forward, Keep, NodeAssignment
from flocker_py.messages import NodeReport, report_of, reported, update_of, updated
from flocker_py.model import Container, ContainerName, DatasetId, NodeId
from flocker_py.observed import (
    ContainerObservation,
    ContainerPhase,
    DatasetObservation,
    NodeObservation,
    ReportedError,
)
from flocker_py.storage import Role

A, B = NodeId(UUID(int=1)), NodeId(UUID(int=2))
DATASETS = [DatasetId(UUID(int=100 + number)) for number in range(4)]
NAMES = [ContainerName(name) for name in ("db", "web", "cache")]

# Few keys and few values, so that two of them have things in common.
copies = st.builds(
    DatasetObservation,
    dataset_id=st.sampled_from(DATASETS),
    role=st.sampled_from(Role),
    epoch=st.integers(1, 2),
)
containers = st.builds(
    ContainerObservation, name=st.sampled_from(NAMES), phase=st.sampled_from(ContainerPhase), restarts=st.integers(0, 1)
)
failures = st.builds(
    ReportedError, code=st.sampled_from(["PoolFull", "PoolMissing"]), text=st.just("x"), at_seconds=st.just(1.0)
)


def by(key: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(values, max_size=4).map(lambda items: pmap({getattr(item, key): item for item in items}))


nodes = st.builds(
    NodeObservation,
    node_id=st.just(A),
    era=st.just(UUID(int=9)),
    address=st.sampled_from(["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2"]),
    transfer_port=st.just(4525),
    version=st.just("1"),
    storage=st.just("memory"),
    runtime=st.just("memory"),
    free_bytes=st.integers(0, 1),
    storage_known=st.booleans(),
    runtime_known=st.booleans(),
    datasets=by("dataset_id", copies),
    containers=by("name", containers),
    failures=st.dictionaries(st.sampled_from(["db", "web"]), failures),
    waiting=st.dictionaries(st.sampled_from(["db", "web"]), st.sampled_from(["x", "y"])),
    prepared=st.dictionaries(st.sampled_from(["db", "web"]), st.sampled_from(["0", "1"])),
)
definitions = by(
    "name",
    st.builds(
        Container,
        name=st.sampled_from(NAMES),
        node_id=st.just(A),
        command=st.sampled_from([pvector(["a"]), pvector(["b"])]),
    ),
)
assignments = st.builds(
    NodeAssignment,
    node_id=st.just(A),
    revision=st.integers(1, 3),
    datasets=by("dataset_id", st.builds(Keep, dataset_id=st.sampled_from(DATASETS), epoch=st.integers(1, 2))),
    containers=definitions,
    preparing=definitions,
    forwards=st.dictionaries(
        st.sampled_from(["tcp/80", "tcp/81"]),
        st.builds(Forward, protocol=st.just("tcp"), port=st.just(80), address=st.sampled_from([None, "192.0.2.1"])),
    ),
)

NODE = NodeObservation(
    node_id=A,
    era=UUID(int=9),
    address="192.0.2.1",
    transfer_port=4525,
    version="1",
    storage="memory",
    runtime="memory",
)
ASSIGNMENT = NodeAssignment(node_id=A, revision=7)


@given(st.none() | nodes, nodes)
def test_report_applied_gives_the_node(before: NodeObservation | None, after: NodeObservation) -> None:
    """
    Whoever knew the node before and hears the report knows the node as it is; nothing is told where nothing is new.
    """
    report = report_of(before, after)

    assert (before if report is None else reported(before, report)) == after


@given(st.none() | assignments, assignments)
def test_update_applied_gives_the_assignment(before: NodeAssignment | None, after: NodeAssignment) -> None:
    """
    The same for what is asked of a node; a later revision alone is no news.
    """
    update = update_of(before, after)
    now = before if update is None else updated(before, update)

    assert now is not None
    assert now.set(revision=after.revision) == after


def test_report_holds_what_changed_only() -> None:
    """
    A report costs what changed.
    """
    first = DatasetObservation(dataset_id=DATASETS[0], role=Role.OWNER, epoch=1)
    second = first.set(dataset_id=DATASETS[1])
    before = NODE.set(datasets=pmap({DATASETS[0]: first, DATASETS[1]: second}))
    report = report_of(before, before.set(datasets=before.datasets.set(DATASETS[1], second.set(epoch=2))))

    assert report == NodeReport(node_id=A, datasets=pmap({DATASETS[1]: second.set(epoch=2)}))


@pytest.mark.parametrize("field", ["node_id", "era", "address", "transfer_port", "version", "storage", "runtime"])
def test_another_node_is_told_whole(field: str) -> None:
    """
    What a node is can't be told as a difference.
    """
    other = {"node_id": B, "era": UUID(int=8), "transfer_port": 1}
    after = NODE.set(**{field: other.get(field, "other")})

    assert report_of(NODE, after) == NodeReport(node_id=after.node_id, whole=after)


def test_difference_to_nothing() -> None:
    """
    A difference means nothing to who knows nothing.
    """
    report = report_of(NODE, NODE.set(free_bytes=5))
    update = update_of(
        ASSIGNMENT,
        ASSIGNMENT.set(datasets=pmap({DATASETS[0]: Keep(dataset_id=DATASETS[0], epoch=1)})),
    )

    assert report is not None
    assert update is not None
    assert (reported(None, report), updated(None, update)) == (None, None)
