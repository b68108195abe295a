"""
All that the control service knows durably, as one value, and the changes that lead from one such value to the next.

Each record lives under a key of its own, so that a change costs what it touches:

===================  ================
key                  record
===================  ================
``node/ID``          ``Node``
``dataset/ID``       ``Dataset``
``ownership/ID``     ``Ownership``
``container/NAME``   ``Container``
``stash/NODE/NAME``  ``StashWish``
``lease/DATASET``    ``DatasetLease``
``absence/NODE``     ``Absence``
===================  ================
"""

from __future__ import annotations

from typing import assert_never
from uuid import UUID

from pyrsistent import PMap, PSet, pmap, pset

from flocker_control.absence import Absence
from flocker_py.model import (
    Container,
    ContainerName,
    Dataset,
    DatasetId,
    DatasetLease,
    Node,
    NodeId,
    Ownership,
    StashWish,
)
from flocker_py.records import Record, mapping, value

Stored = Node | Dataset | Ownership | Container | StashWish | DatasetLease | Absence

KINDS: dict[str, type[Stored]] = {
    "node": Node,
    "dataset": Dataset,
    "ownership": Ownership,
    "container": Container,
    "stash": StashWish,
    "lease": DatasetLease,
    "absence": Absence,
}


def stash_key(node_id: NodeId, name: str) -> str:
    """
    The key under which the wish about a stash is stored.
    """
    return f"stash/{node_id}/{name}"


def lease_key(dataset_id: DatasetId) -> str:
    """
    The key under which the lease of a dataset is stored.
    """
    return f"lease/{dataset_id}"


def key_of(record: Stored) -> str:
    """
    The key under which a record is stored.
    """
    match record:
        case Node():
            return f"node/{record.node_id}"
        case Dataset():
            return f"dataset/{record.dataset_id}"
        case Ownership():
            return f"ownership/{record.dataset_id}"
        case Container():
            return f"container/{record.name}"
        case StashWish():
            return stash_key(record.node_id, record.name)
        case DatasetLease():
            return lease_key(record.dataset_id)
        case Absence():
            return f"absence/{record.node_id}"
        case _:
            assert_never(record)


class State(Record):
    """
    Everything durable, at one revision of the store.

    :param revision: 0 before the first commit; grows by one with each.
    :param stash_wishes: by key.
    """

    revision: int = value(int, default=0)
    nodes: PMap[NodeId, Node] = mapping(UUID, Node, default={})
    datasets: PMap[DatasetId, Dataset] = mapping(UUID, Dataset, default={})
    ownerships: PMap[DatasetId, Ownership] = mapping(UUID, Ownership, default={})
    containers: PMap[ContainerName, Container] = mapping(str, Container, default={})
    stash_wishes: PMap[str, StashWish] = mapping(str, StashWish, default={})
    dataset_leases: PMap[DatasetId, DatasetLease] = mapping(UUID, DatasetLease, default={})
    absences: PMap[NodeId, Absence] = mapping(UUID, Absence, default={})


class Changes:
    """
    A set of records to put and of keys to delete; at most one of either per key. Immutable.
    """

    __slots__ = ("deletes", "puts")

    def __init__(self, puts: PMap[str, Stored] | None = None, deletes: PSet[str] | None = None) -> None:
        self.puts: PMap[str, Stored] = pmap() if puts is None else puts
        self.deletes: PSet[str] = pset() if deletes is None else deletes

    def __bool__(self) -> bool:
        return bool(self.puts or self.deletes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Changes) and (self.puts, self.deletes) == (other.puts, other.deletes)

    def __hash__(self) -> int:
        return hash((self.puts, self.deletes))

    def __repr__(self) -> str:
        return f"Changes(puts={dict(self.puts)!r}, deletes={set(self.deletes)!r})"

    def put(self, *records: Stored) -> Changes:
        """
        The same changes, and these records put.
        """
        puts, deletes = self.puts, self.deletes
        for record in records:
            key = key_of(record)
            puts, deletes = puts.set(key, record), deletes.discard(key)
        return Changes(puts, deletes)

    def delete(self, *keys: str) -> Changes:
        """
        The same changes, and these keys deleted.
        """
        puts, deletes = self.puts, self.deletes
        for key in keys:
            puts, deletes = puts.discard(key), deletes.add(key)
        return Changes(puts, deletes)

    def then(self, later: Changes) -> Changes:
        """
        Both, where the later ones win.
        """
        return self.put(*later.puts.values()).delete(*later.deletes)


def changed(state: State, changes: Changes, *, revision: int) -> State:
    """
    The state after the changes, at a revision.
    """
    nodes, datasets = state.nodes, state.datasets
    ownerships, containers = state.ownerships, state.containers
    stash_wishes, absences = state.stash_wishes, state.absences
    dataset_leases = state.dataset_leases
    for record in changes.puts.values():
        match record:
            case Node():
                nodes = nodes.set(record.node_id, record)
            case Dataset():
                datasets = datasets.set(record.dataset_id, record)
            case Ownership():
                ownerships = ownerships.set(record.dataset_id, record)
            case Container():
                containers = containers.set(record.name, record)
            case StashWish():
                stash_wishes = stash_wishes.set(key_of(record), record)
            case DatasetLease():
                dataset_leases = dataset_leases.set(record.dataset_id, record)
            case Absence():
                absences = absences.set(record.node_id, record)
            case _:
                assert_never(record)
    for key in changes.deletes:
        kind, _, name = key.partition("/")
        match kind:
            case "node":
                nodes = nodes.discard(NodeId(UUID(name)))
            case "dataset":
                datasets = datasets.discard(DatasetId(UUID(name)))
            case "ownership":
                ownerships = ownerships.discard(DatasetId(UUID(name)))
            case "container":
                containers = containers.discard(ContainerName(name))
            case "stash":
                stash_wishes = stash_wishes.discard(key)
            case "lease":
                dataset_leases = dataset_leases.discard(DatasetId(UUID(name)))
            case "absence":
                absences = absences.discard(NodeId(UUID(name)))
            case _:
                raise ValueError(f"no kind of record is kept under {key!r}")
    return State(
        revision=revision,
        nodes=nodes,
        datasets=datasets,
        ownerships=ownerships,
        containers=containers,
        stash_wishes=stash_wishes,
        dataset_leases=dataset_leases,
        absences=absences,
    )
