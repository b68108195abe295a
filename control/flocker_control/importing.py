"""
What Flocker's control service kept, as records of this one; and what of it can't be taken, with the reasons.

Each dataset is imported as one that has been made: its data is where Flocker left it, and nobody may make it anew,
empty. So it is missing on its node until the operator has put the data in its place there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from pyrsistent import PVector, pmap, pvector

from flocker_control.commands import PutContainer
from flocker_control.dataset_leases import Moment
from flocker_control.decisions import decide
from flocker_control.flocker_configuration import OldApplication, OldConfiguration, OldLease, OldManifestation
from flocker_control.limits import dataset_complaint, name_complaint
from flocker_control.refusals import Refusal
from flocker_control.state import Changes, State, changed
from flocker_py.model import Container, ContainerName, Dataset, DatasetId, DatasetLease, Mount, Node, NodeId, Ownership
from flocker_py.records import Record, sequence, value
from flocker_py.units import MINIMUM_SIZE_BYTES, SIZE_STEP_BYTES


class Imported(Record):
    """
    What becomes of a configuration.

    :param taken: what is imported, a line for each.
    :param altered: what is not as it was.
    :param left: what can't be taken.
    """

    changes: Changes = value(Changes)
    taken: PVector[str] = sequence(str, default=())
    altered: PVector[str] = sequence(str, default=())
    left: PVector[str] = sequence(str, default=())


def imported(old: OldConfiguration, state: State, *, day_seconds: float, now: Moment) -> Imported:
    """
    What importing changes.

    :param state: without datasets and containers. Nodes may be there already.
    :param day_seconds: the time of day since the epoch of Unix, by which Flocker's leases expire; and ``now``, the
        moment from which ours are counted.
    """
    importing = _Importing(state)
    for node_id in sorted(set(old.nodes)):
        importing.take_node(NodeId(node_id))
    importing.take_datasets(old)
    for application in sorted(old.applications, key=lambda one: (one.name, one.node_id)):
        importing.take_application(application)
    for lease in sorted(old.leases, key=lambda one: one.dataset_id):
        importing.take_lease(lease, day_seconds, now)
    importing.left += _never_taken(old)
    return Imported(
        changes=importing.changes,
        taken=pvector(importing.taken),
        altered=pvector(importing.altered),
        left=pvector(importing.left),
    )


def _never_taken(old: OldConfiguration) -> Iterator[str]:
    for dataset_id, device in sorted(old.block_devices.items()):
        yield f"dataset {dataset_id} is on the block device {device}: there is no block storage here, copy the data"
    for where in old.unknown:
        yield f"{where}: not known to be a part of such a file"


class _Importing:
    def __init__(self, state: State) -> None:
        self._state = state
        self.changes = Changes()
        self.taken: list[str] = []
        self.altered: list[str] = []
        self.left: list[str] = []

    def _put(self, changes: Changes) -> None:
        self.changes = self.changes.then(changes)
        self._state = changed(self._state, changes, revision=self._state.revision)

    def take_node(self, node_id: NodeId) -> None:
        """
        A node, by its id; what else is known of it, its agent says.
        """
        self.taken.append(f"node {node_id}")
        if node_id not in self._state.nodes:
            self._put(Changes().put(Node(node_id=node_id)))

    def take_lease(self, old: OldLease, day_seconds: float, now: Moment) -> None:
        """
        A lease that has not expired. Neither its dataset nor its node has to be there.
        """
        called = f"the lease of dataset {old.dataset_id} for node {old.node_id}"
        left_seconds = None if old.expires_at_seconds is None else old.expires_at_seconds - day_seconds
        if left_seconds is not None and left_seconds <= 0:
            self.left.append(f"{called}: it has expired")
            return
        self.taken.append(called)
        lease = DatasetLease(
            dataset_id=DatasetId(old.dataset_id),
            node_id=NodeId(old.node_id),
            left_seconds=left_seconds,
            counted_at_seconds=now.at_seconds,
            boot_id=now.boot_id,
        )
        self._put(Changes().put(lease))

    def take_datasets(self, old: OldConfiguration) -> None:
        """
        All datasets that have one primary.
        """
        by_id: dict[DatasetId, list[OldManifestation]] = defaultdict(list)
        for manifestation in old.manifestations:
            by_id[DatasetId(manifestation.dataset.dataset_id)].append(manifestation)
        primaries: dict[DatasetId, OldManifestation] = {}
        for dataset_id, manifestations in sorted(by_id.items()):
            found = [one for one in manifestations if one.primary]
            for replica in (one for one in manifestations if not one.primary):
                self.left.append(
                    f"the replica of dataset {dataset_id} on node {replica.node_id}: there are no replicas"
                )
            if len(found) > 1:
                nodes = ", ".join(sorted(str(one.node_id) for one in found))
                self.left.append(f"dataset {dataset_id}: it is primary on several nodes, {nodes}")
            elif found:
                primaries[dataset_id] = found[0]
        called: dict[str, int] = defaultdict(int)
        for one in primaries.values():
            if not one.dataset.deleted:
                called[one.dataset.metadata.get("name", "")] += 1
        for one in primaries.values():
            self._take_dataset(one, called)

    def _take_dataset(self, one: OldManifestation, called: dict[str, int]) -> None:
        old = one.dataset
        dataset_id, node_id = DatasetId(old.dataset_id), NodeId(one.node_id)
        name = old.metadata.get("name")
        if name is not None and not old.deleted and (called[name] > 1 or name_complaint(name) is not None):
            reason = "several datasets have it" if called[name] > 1 else name_complaint(name)
            self.altered.append(f"dataset {dataset_id} keeps the name {name!r} as metadata only: {reason}")
            name = None
        dataset = Dataset(
            dataset_id=dataset_id,
            primary=node_id,
            # The name of what is deleted is free again.
            name=None if old.deleted else name,
            maximum_size_bytes=self._size(dataset_id, old.maximum_size_bytes),
            metadata=old.metadata,
            deleted=old.deleted,
        )
        complaint = dataset_complaint(dataset)
        if complaint is not None:
            self.left.append(f"dataset {dataset_id}: {complaint}")
            return
        self._put(Changes().put(dataset, Ownership(dataset_id=dataset_id, owner=node_id, created=True)))
        self.taken.append(
            f"dataset {dataset_id}{f' {name}' if name else ''} on node {node_id}{', deleted' if old.deleted else ''}"
        )

    def _size(self, dataset_id: DatasetId, size_bytes: int | None) -> int | None:
        if size_bytes is None:
            return None
        possible = max(MINIMUM_SIZE_BYTES, -(-size_bytes // SIZE_STEP_BYTES) * SIZE_STEP_BYTES)
        if possible != size_bytes:
            self.altered.append(
                f"dataset {dataset_id} may hold {possible} bytes, not {size_bytes}: the next possible size"
            )
        return possible

    def take_application(self, old: OldApplication) -> None:
        """
        A container, if it can be one here.
        """
        name = ContainerName(old.name)
        if name in self._state.containers:
            node_id = self._state.containers[name].node_id
            self.left.append(f"container {name} on node {old.node_id}: there is one on node {node_id} already")
            return
        mounts = () if old.dataset_id is None else (Mount(dataset_id=DatasetId(old.dataset_id), path=old.mountpoint),)
        container = Container(
            name=name,
            node_id=NodeId(old.node_id),
            image=old.image,
            command=old.command,
            environment=old.environment,
            mounts=pvector(mounts),
            ports=old.ports,
            links=old.links,
            restart=old.restart,
            memory_bytes=old.memory_bytes,
            cpu_shares=old.cpu_shares,
            swappiness=old.swappiness,
        )
        outcome = decide(self._state, PutContainer(container=container), pmap())
        if isinstance(outcome, Refusal):
            self.left.append(f"container {name} on node {old.node_id}: {outcome.text}")
            return
        self._put(outcome)
        self.taken.append(f"container {name} on node {old.node_id}, of the image {old.image}")
