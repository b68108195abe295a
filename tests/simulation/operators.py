"""
What users ask for, at random: moves, cancellations, deletions, other sizes, other applications.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from pyrsistent import pmap, pvector

from flocker_control import failover
from flocker_control.commands import (
    CancelMove,
    ChangePrimary,
    Command,
    CreateDataset,
    DeleteDataset,
    DrainNode,
    PutContainer,
    RemoveContainer,
    ResizeDataset,
    StartMove,
    UndrainNode,
)
from flocker_control.state import State
from flocker_py.model import (
    Container,
    ContainerName,
    DatasetId,
    Guid,
    Mount,
    MoveId,
    NodeId,
    OverrunPolicy,
    PartitionPolicy,
    RestartName,
    RestartPolicy,
)

if TYPE_CHECKING:
    from tests.simulation.world import World

# Which datasets applications use; those beyond are used by none. A dataset's id is never used again.
MOST_WISHES = 6
"""Then the cluster is given time to do what it was asked."""
GROUPS = ((0, 1), (2,), ())


def dataset_id_of(number: int) -> DatasetId:
    """
    The id of the dataset that the story calls ``d`` and this number.
    """
    return DatasetId(UUID(int=(1 << 100) + number, version=4))


class Operators:
    """
    The users of one world.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._shape = int(world.chance.draw("shape") * 4)
        self._made: list[DatasetId] = []
        self._asked = 0
        self._granted = 0
        self._calamitous = world.fencing or world.chance.draw("calamitous") < 0.3
        self._started = False

    def first_wishes(self) -> None:
        """
        What the cluster is there for.
        """
        chance, nodes = self._world.chance, list(self._world.nodes)
        groups = (GROUPS[:1], GROUPS[1:2], GROUPS[:2], ((0,), ()))[self._shape]
        for number, group in enumerate(groups):
            home = chance.pick(f"home {number}", nodes)
            for each in group or (9,):
                self._create(dataset_id_of(each), home)
            if group:
                self._submit(PutContainer(container=self._container(f"app{number}", home, group, "1")))

    def ask(self) -> None:
        """
        Perhaps ask for something.
        """
        self._asked += 1
        name = f"wish {self._asked}"
        control = self._world.control.service
        if control is None or not self.begin():
            return
        if self._calamitous and self._disaster(control.state):
            return
        if self._granted >= MOST_WISHES:
            return
        if not self._world.chance.wished(name, 0.04 if self._granted else 0.2):
            return
        self._granted += 1
        command = self._wish(name, control.state)
        if command is not None:
            self._submit(command)

    def begin(self) -> bool:
        """
        The first wishes, once all nodes are known.
        """
        control = self._world.control.service
        if not self._started and control is not None and len(control.state.nodes) == len(self._world.nodes):
            self._started = True
            self.first_wishes()
        return self._started

    def _wish(self, name: str, state: State) -> Command | None:
        chance = self._world.chance
        target = chance.pick(f"{name} where", list(self._world.nodes))
        containers = sorted(state.containers.values(), key=lambda c: c.name)
        datasets = sorted((d for d in state.datasets.values() if not d.deleted), key=lambda d: str(d.dataset_id))
        moves = sorted((o.move.move_id for o in state.ownerships.values() if o.move is not None), key=lambda m: m.int)
        kind = chance.draw(f"{name} what")
        which = f"{name} which"
        if kind < 0.02:
            return UndrainNode(node_id=target) if state.nodes[target].draining else DrainNode(node_id=target)
        if kind < 0.62 and datasets:
            return StartMove(dataset_id=chance.pick(which, datasets).dataset_id, target=target)
        if kind < 0.67 and containers:
            container = chance.pick(which, containers)
            command = pvector([f"version {name}"])
            return PutContainer(container=container.set(command=command, node_id=target))
        if kind < 0.74 and moves:
            return CancelMove(move_id=chance.pick(which, moves))
        if kind < 0.78 and containers:
            return RemoveContainer(name=chance.pick(which, containers).name)
        if kind < 0.82 and datasets:
            size = chance.pick(which, (None, 32 << 20, 64 << 20))
            return ResizeDataset(dataset_id=chance.pick(f"{which} one", datasets).dataset_id, maximum_size_bytes=size)
        if kind < 0.86 and datasets:
            return ChangePrimary(dataset_id=chance.pick(which, datasets).dataset_id, primary=target)
        if kind < 0.92 and datasets:
            return self._container_again(which, state, target)
        if kind < 0.96 and datasets:
            return DeleteDataset(dataset_id=chance.pick(which, datasets).dataset_id)
        number = 100 + self._asked
        self._create(dataset_id_of(number), target)
        return None

    def _disaster(self, state: State) -> bool:
        """
        Perhaps the owner of something that has a copy elsewhere is gone, for longer than it takes to notice. Somebody
        looks after it, again and again.
        """
        world = self._world
        copied = [
            own
            for own in state.ownerships.values()
            if own.created
            and own.owner in world.nodes
            and (own.leased_epoch == own.epoch or not self._is_fenced(own.dataset_id, state))
            and any(
                node.node_id != own.owner
                and (kept := node.pool.state.datasets.get(own.dataset_id)) is not None
                and kept.snapshots
                for node in world.nodes.values()
            )
        ]
        name = f"disaster {self._asked}"
        if not copied or not world.chance.wished(name, 0.12):
            return False
        self._calamitous = False
        own = world.chance.pick(name, sorted(copied, key=lambda o: str(o.dataset_id)))
        node = world.nodes[own.owner]
        if self._is_fenced(own.dataset_id, state):
            world.network.isolate(node.name, 80.0)
            if world.chance.draw(f"{name} control") < 0.5:
                # Whoever starts anew knows of no lease.
                world.control.crash()
        else:
            node.reboot((50.0, 90.0))
        for seconds in (3.0, 9.0, 15.0, 21.0, 24.0, 27.0, 36.0, 45.0, 60.0):
            world.scheduler.put(
                seconds, "an operator looks", world.always, lambda: self._fail_over(own.dataset_id), timer=True
            )
        return True

    @staticmethod
    def _is_fenced(dataset_id: DatasetId, state: State) -> bool:
        # Only what containers use ends with the lease.
        used = any(m.dataset_id == dataset_id for c in state.containers.values() for m in c.mounts)
        return used and state.datasets[dataset_id].on_partition is PartitionPolicy.FENCE

    def _fail_over(self, dataset_id: DatasetId) -> None:
        world, service = self._world, self._world.control.service
        if service is None or service.state.datasets[dataset_id].deleted:
            return
        state = service.state
        group = failover.group(state, state.datasets[dataset_id])
        owners = {state.ownerships[member.dataset_id].owner for member in group}
        target: NodeId | None = None
        guids: dict[DatasetId, Guid] = {}
        for node_id, seen in service.nodes.items():
            copies = [seen.datasets.get(member.dataset_id) for member in group]
            newest = {c.dataset_id: c.newest_guid for c in copies if c is not None and c.newest_guid is not None}
            if node_id not in owners and len(newest) == len(group):
                target, guids = node_id, newest
                break
        if target is None or any(owner in service.nodes for owner in owners):
            return
        fenced = all(self._is_fenced(member.dataset_id, state) for member in group)
        if not fenced:
            # The operator's word is true: who is said to be dead has been switched off.
            for node in (world.nodes[owner] for owner in owners):
                if node.agent is not None:
                    return
            for owner in owners:
                world.nodes[owner].reboot()
        self._submit(
            failover.Failover(
                dataset_id=dataset_id,
                target=target,
                guids=pmap(guids),
                owner_is_dead=not fenced,
                move_id=MoveId(service._new_id()),
                at_seconds=service._now_seconds(),
            )
        )

    def _container_again(self, name: str, state: State, target: NodeId) -> Command | None:
        used = {m.dataset_id for c in state.containers.values() for m in c.mounts}
        free = [d for d in state.datasets.values() if not d.deleted and d.dataset_id not in used]
        if not free:
            return None
        dataset = self._world.chance.pick(name, sorted(free, key=lambda d: str(d.dataset_id)))
        container = Container(
            name=ContainerName(f"app-{self._world.called(dataset.dataset_id)}"),
            node_id=dataset.primary,
            image="ledger",
            mounts=pvector([Mount(dataset_id=dataset.dataset_id, path="/0")]),
            restart=RestartPolicy(name=RestartName.ALWAYS),
        )
        return PutContainer(container=container)

    def _create(self, dataset_id: DatasetId, primary: NodeId) -> None:
        self._made.append(dataset_id)
        policy = self._world.chance.pick(f"overrun {dataset_id}", (OverrunPolicy.CUT_OVER, OverrunPolicy.GIVE_UP))
        partition = PartitionPolicy.FENCE if self._world.fencing else PartitionPolicy.KEEP
        self._submit(CreateDataset(dataset_id=dataset_id, primary=primary, on_overrun=policy, on_partition=partition))

    def _container(self, name: str, node_id: NodeId, numbers: tuple[int, ...], version: str) -> Container:
        return Container(
            name=ContainerName(name),
            node_id=node_id,
            image="ledger",
            environment=pmap({"VERSION": version}),
            mounts=pvector(Mount(dataset_id=dataset_id_of(n), path=f"/{n}") for n in numbers),
            restart=RestartPolicy(name=RestartName.ALWAYS),
        )

    def _submit(self, command: Command) -> None:
        self._world.control.submit(command)
