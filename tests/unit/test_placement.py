"""
Where what is on a drained node goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest
from pyrsistent import PMap, pmap, pvector

from flocker_control.commands import PutContainer, StartMove
from flocker_control.placement import Evacuation, Group, Placement, Unplaced, evacuation
from flocker_control.state import Changes, State, Stored, changed
from flocker_py.model import (
    Container,
    ContainerName,
    Dataset,
    DatasetId,
    Mount,
    Move,
    MoveId,
    MovePhase,
    Node,
    NodeId,
    Ownership,
    Port,
)
from flocker_py.observed import DatasetObservation, NodeObservation
from flocker_py.storage import Role

A, B, C = (NodeId(UUID(int=number)) for number in (0xA, 0xB, 0xC))
D1, D2, D3 = (DatasetId(UUID(int=number)) for number in (0xD1, 0xD2, 0xD3))
WEB, DB = ContainerName("web"), ContainerName("db")


def dataset(dataset_id: DatasetId = D1, owner: NodeId = A, **fields: Any) -> tuple[Stored, ...]:
    """
    A dataset that has been made, where it is wanted.
    """
    primary = fields.pop("primary", owner)
    return (
        Dataset(dataset_id=dataset_id, primary=primary, deleted=fields.pop("deleted", False)),
        Ownership(dataset_id=dataset_id, owner=owner, **{"created": True, **fields}),
    )


def container(name: ContainerName, *mounted: DatasetId, node_id: NodeId = A, **fields: Any) -> Container:
    """
    A container that mounts datasets.
    """
    mounts = pvector(Mount(dataset_id=dataset_id) for dataset_id in mounted)
    return Container(name=name, node_id=node_id, mounts=mounts, command=pvector(["x"]), **fields)


def state(*records: Stored | tuple[Stored, ...], nodes: Mapping[NodeId, Node] | None = None) -> State:
    """
    Nodes a, b and c, and these records.
    """
    known = pmap({i: Node(node_id=i, name=name) for i, name in ((A, "a"), (B, "b"), (C, "c"))}).update(nodes or {})
    flat = [one for record in records for one in (record if isinstance(record, tuple) else (record,))]
    return changed(State(), Changes().put(*known.values(), *flat), revision=7)


def node(node_id: NodeId, free_bytes: int = 1000, /, **used_bytes: int) -> NodeObservation:
    """
    A node with room, that owns datasets of some sizes.
    """
    ids = {"d1": D1, "d2": D2, "d3": D3}
    return NodeObservation(
        node_id=node_id,
        era=UUID(int=1),
        address="192.0.2.1",
        transfer_port=4525,
        version="1",
        storage="memory",
        runtime="process",
        container_fields=pvector(["command", "mounts", "ports"]),
        storage_known=True,
        free_bytes=free_bytes,
        datasets=pmap(
            {
                ids[name]: DatasetObservation(dataset_id=ids[name], role=Role.OWNER, epoch=1, used_bytes=used)
                for name, used in used_bytes.items()
            }
        ),
    )


def seen(*nodes: NodeObservation) -> PMap[NodeId, NodeObservation]:
    """
    The nodes that have a session.
    """
    return pmap({one.node_id: one for one in nodes})


def targets(found: Evacuation) -> dict[str, NodeId]:
    """
    Where each group goes, by the name of its container or the id of its dataset.
    """
    return {str(it.group.container or it.group.dataset_ids[0]): it.target for it in found.placed}


def reasons(found: Evacuation) -> dict[str, list[str]]:
    """
    Why each group stays.
    """
    return {str(it.group.container or it.group.dataset_ids[0]): list(it.reasons) for it in found.unplaced}


def test_every_kind_of_group() -> None:
    """
    A container goes with all of its datasets, a dataset alone, and so does a container without any.
    """
    present = state(
        dataset(D1),
        dataset(D2),
        dataset(D3),
        container(DB, D1, D2),
        container(WEB),
    )

    found = evacuation(present, A, seen(node(A, d1=10, d2=10, d3=5), node(B, 900), node(C, 1000)))

    assert found == Evacuation(
        placed=pvector(
            [
                Placement(
                    group=Group(container=DB, dataset_ids=pvector([D1, D2])),
                    target=C,
                    command=StartMove(dataset_id=D1, target=C),
                ),
                Placement(group=Group(dataset_ids=pvector([D3])), target=C, command=StartMove(dataset_id=D3, target=C)),
                Placement(
                    group=Group(container=WEB),
                    target=B,
                    command=PutContainer(container=container(WEB, node_id=B)),
                ),
            ]
        )
    )


def test_room_that_was_given_away() -> None:
    """
    What has been placed takes room from what comes next; the largest chooses first.
    """
    present = state(dataset(D1), dataset(D2), dataset(D3))

    found = evacuation(present, A, seen(node(A, d1=300, d2=700, d3=200), node(B, 900), node(C, 600)))

    assert targets(found) == {str(D2): B, str(D1): C, str(D3): C}


def test_room_promised_to_others() -> None:
    """
    What moves to a node already takes its room, as far as it hasn't arrived.
    """
    move = Move(move_id=MoveId(UUID(int=1)), source=C, target=B, phase=MovePhase.COPYING, started_at_seconds=1.0)
    present = state(dataset(D1), dataset(D2, C, primary=B, move=move))
    target = node(B, 500, d2=100)

    found = evacuation(present, A, seen(node(A, d1=201), target, node(C, 0, d2=400)))

    assert found.placed == pvector()
    assert "room for 500 B only, of which 300 B are for what is on its way there" in reasons(found)[str(D1)][0]


def test_what_finds_no_place_is_named() -> None:
    """
    A group that no node can take stays, with what is in the way on each of them; the others go.
    """
    port = pvector([Port(internal=80, external=8080)])
    present = state(
        dataset(D1),
        dataset(D2),
        container(DB, D1),
        container(WEB, ports=port),
        container(ContainerName("y"), node_id=B, ports=port),
    )
    observed = seen(node(A, d1=800, d2=10), node(B, 700), node(C, 600).set(container_fields=pvector(["command"])))

    found = evacuation(present, A, observed)

    assert targets(found) == {str(D2): B}
    assert reasons(found) == {
        "db": [
            f"the dataset {D1} holds 800 B, and node {room} only: make room there, or choose another node"
            for room in ("b has room for 700 B", "c has room for 600 B")
        ]
        + [
            "container db: mounts can't be done by the runtime process of node c; leave it out, or choose another node",
        ],
        "web": [
            "container web: ports can't be done by the runtime process of node c; leave it out, or choose another node",
            "the external port 8080/tcp of node b is used by container y, and can't be used by container web too",
        ],
    }


@pytest.mark.parametrize(
    "nodes",
    [
        seen(node(A, d1=1)),
        seen(node(A, d1=1), node(B).set(storage_known=False)),
    ],
    ids=["none is connected", "its pool is unknown"],
)
def test_no_other_node(nodes: PMap[NodeId, NodeObservation]) -> None:
    """
    Where there is no other node, that is the reason.
    """
    found = evacuation(state(dataset(D1)), A, nodes)

    assert reasons(found) == {str(D1): ["there is no other node that is connected, knows its pool, and isn't drained"]}


@pytest.mark.parametrize("fields", [{"draining": True}, {"removed": True}], ids=str)
def test_nodes_that_take_nothing(fields: dict[str, bool]) -> None:
    """
    A node that is drained or was removed is none to go to, however much room it has.
    """
    closed = pmap({B: Node(node_id=B, name="b", **fields)})

    found = evacuation(state(dataset(D1), nodes=closed), A, seen(node(A, d1=1), node(B, 9000), node(C, 10)))

    assert targets(found) == {str(D1): C}


def test_container_goes_to_a_node_whose_pool_is_unknown() -> None:
    """
    What has no data asks no pool.
    """
    found = evacuation(state(container(WEB)), A, seen(node(A), node(B).set(storage_known=False)))

    assert targets(found) == {"web": B}


def test_owner_that_is_away() -> None:
    """
    Nothing can be moved off a node that isn't connected.
    """
    found = evacuation(state(dataset(D1), container(DB, D1)), A, seen(node(B)))

    assert found.unplaced == pvector(
        [
            Unplaced(
                group=Group(container=DB, dataset_ids=pvector([D1])),
                reasons=pvector(["node a, which has the data, is not connected"]),
            )
        ]
    )


def test_what_never_was_made() -> None:
    """
    A dataset that was not made yet can be wanted elsewhere even if the node that should make it is away.
    """
    found = evacuation(state(dataset(D1, created=False)), A, seen(node(B)))

    assert targets(found) == {str(D1): B}


def test_on_its_way() -> None:
    """
    What leaves the node already goes where it was told to.
    """
    move = Move(move_id=MoveId(UUID(int=1)), source=A, target=B, phase=MovePhase.COPYING, started_at_seconds=1.0)
    present = state(dataset(D1, primary=B, move=move), container(DB, D1, node_id=B))

    found = evacuation(present, A, seen(node(A, d1=1), node(B), node(C)))

    assert found == Evacuation(leaving=pvector([Group(container=DB, dataset_ids=pvector([D1]))]))


def test_sent_back_before() -> None:
    """
    What came back from where it was wanted is placed anew.
    """
    present = state(dataset(D1, primary=B, refused_primary=B))

    assert targets(evacuation(present, A, seen(node(A, d1=1), node(B), node(C, 10)))) == {str(D1): B}


def test_coming() -> None:
    """
    What is on its way to the node goes elsewhere instead.
    """
    move = Move(move_id=MoveId(UUID(int=1)), source=C, target=A, phase=MovePhase.COPYING, started_at_seconds=1.0)
    present = state(dataset(D1, C, primary=A, move=move))

    assert targets(evacuation(present, A, seen(node(A), node(B, 2000), node(C, d1=1)))) == {str(D1): B}


def test_deleted() -> None:
    """
    What is being deleted goes nowhere.
    """
    assert evacuation(state(dataset(D1, deleted=True)), A, seen(node(A, d1=1), node(B))) == Evacuation()


def test_node_that_was_removed() -> None:
    """
    A node that was removed has nothing, and can't be drained.
    """
    present = state(nodes=pmap({A: Node(node_id=A, removed=True)}))

    assert evacuation(present, A, seen(node(B))) == Evacuation()


def test_what_is_there_already() -> None:
    """
    What a node owns has its room already, and takes none of what is free.
    """
    present = state(dataset(D1), dataset(D2, B))

    assert targets(evacuation(present, A, seen(node(A, d1=10), node(B, 10, d2=900), node(C, 5)))) == {str(D1): B}


def test_same_situation_same_placement() -> None:
    """
    Between nodes that are alike, the order of their ids decides; and then one of them has less room.
    """
    present = state(dataset(D1), container(WEB))
    observed = [node(A, d1=1), node(B), node(C)]

    found = evacuation(present, A, seen(*observed))

    assert targets(found) == {str(D1): B, "web": C} == targets(evacuation(present, A, seen(*reversed(observed))))


def test_drained_already() -> None:
    """
    Draining can be asked for again, for what stayed behind.
    """
    present = state(dataset(D1), nodes=pmap({A: Node(node_id=A, name="a", draining=True)}))

    assert targets(evacuation(present, A, seen(node(A, d1=1), node(B)))) == {str(D1): B}
