"""
What users ask for, at random: moves, cancellations, deletions, other sizes, other applications.
"""

from __future__ import annotations

from collections.abc import Iterator
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
from flocker_control.service import ControlService
from flocker_control.state import State
from flocker_py.link import SILENCE_SECONDS
from flocker_py.model import (
    Container,
    ContainerName,
    Dataset,
    DatasetId,
    Guid,
    HealthCheck,
    Mount,
    MoveId,
    NodeId,
    Origin,
    OverrunPolicy,
    Ownership,
    PartitionPolicy,
    RestartName,
    RestartPolicy,
    StartFailurePolicy,
)
from flocker_py.observed import NodeObservation
from tests.simulation.application import Trouble

if TYPE_CHECKING:
    from tests.simulation.node import SimulatedNode
    from tests.simulation.world import World

MOST_WISHES = 6
"""Then the cluster is given time to do what it was asked."""
UNFIT_SECONDS = 120.0
FOR_EVER_SECONDS = 1e6
PATIENCE_SECONDS = 40.0
AWAY_SECONDS = 80.0
"""Longer than it takes until any lease can be taken as expired, by a control service that has just started too."""
CHECKED = 0.4
"""How many applications have a check of their health."""
CHECK = HealthCheck(command=pvector(["ask"]), interval_seconds=1.0, timeout_seconds=1.0, retries=1)
# Which datasets applications use; those beyond are used by none. A dataset's id is never used again.
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
        if self._calamitous and self._disaster(control):
            return
        if self._granted >= MOST_WISHES:
            return
        if not self._world.chance.wished(name, 0.04 if self._granted else 0.2):
            return
        self._granted += 1
        # Where leases are counted, there is soon a copy to fail over to.
        fenced = self._fenced(control.state) if self._calamitous and self._world.fencing else []
        command = self._move(name, fenced) if fenced else self._wish(name, control.state)
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

    def _fenced(self, state: State) -> list[Ownership]:
        owned = [o for o in state.ownerships.values() if self._is_fenced(o.dataset_id, state)]
        return sorted((o for o in owned if o.move is None), key=lambda o: str(o.dataset_id))

    def _move(self, name: str, owned: list[Ownership]) -> Command:
        chance = self._world.chance
        own = chance.pick(f"{name} which", owned)
        others = [node_id for node_id in self._world.nodes if node_id != own.owner]
        return StartMove(dataset_id=own.dataset_id, target=chance.pick(f"{name} where", others))

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
            moved = chance.pick(which, datasets).dataset_id
            self._perhaps_unfit(name, moved, target, containers)
            self._perhaps_cut(name, moved, state)
            self._perhaps_used(name, moved, state)
            return StartMove(dataset_id=moved, target=target)
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
        if self._world.chance.wished(f"{name} as a copy", 0.7):
            self._copy(name, dataset_id_of(number), self._world.scheduler.now + PATIENCE_SECONDS)
        else:
            self._create(dataset_id_of(number), target)
        return None

    def _copy(self, name: str, dataset_id: DatasetId, until: float) -> None:
        """
        As soon as there is a snapshot of anything, another dataset is to be made from it. Ours come and go with moves.
        """
        world, service = self._world, self._world.control.service
        found = [] if service is None else sorted(self._snapshots(service.state), key=lambda o: o.snapshot)
        if found:
            origin = world.chance.pick(f"{name} origin", found)
            assert service is not None
            self._create(dataset_id, service.state.ownerships[origin.dataset_id].owner, origin)
            self._await_copy(dataset_id, world.scheduler.now + PATIENCE_SECONDS)
        elif world.scheduler.now < until:
            world.scheduler.put(
                1.0,
                "somebody looks for a snapshot",
                world.always,
                lambda: self._copy(name, dataset_id, until),
                timer=True,
            )

    def _snapshots(self, state: State) -> Iterator[Origin]:
        for own in state.ownerships.values():
            kept = self._world.nodes[own.owner].pool.state.datasets.get(own.dataset_id)
            if kept is not None and own.created and not state.datasets[own.dataset_id].deleted:
                yield from (Origin(dataset_id=own.dataset_id, snapshot=s.name) for s in kept.snapshots)

    def _await_copy(self, dataset_id: DatasetId, until: float) -> None:
        """
        What can't be copied, since its origin is gone, or hasn't been for long, somebody deletes again.
        """
        world, checker = self._world, self._world.checker
        own, late = checker.ownerships.get(dataset_id), world.scheduler.now >= until
        # It may have been refused.
        if late if own is None else own.created or checker.datasets[dataset_id].deleted:
            return
        if late:
            for container in checker.containers.values():
                if any(mount.dataset_id == dataset_id for mount in container.mounts):
                    self._submit(RemoveContainer(name=container.name))
            self._submit(DeleteDataset(dataset_id=dataset_id))
        world.scheduler.put(
            5.0, "somebody looks after a copy", world.always, lambda: self._await_copy(dataset_id, until), timer=True
        )

    def _perhaps_unfit(self, name: str, dataset_id: DatasetId, target: NodeId, containers: list[Container]) -> None:
        """
        Perhaps an application doesn't work where it is moved to, and goes back. After some time it would.
        """
        world = self._world
        if not world.chance.wished(f"{name} to a host that is unfit", 0.25):
            return
        kind = world.chance.pick(f"{name} unfit", tuple(Trouble))
        for container in containers:
            if any(m.dataset_id == dataset_id for m in container.mounts):
                world.nodes[target].troubles[container.name] = (kind, world.scheduler.now + UNFIT_SECONDS)

    def _perhaps_cut(self, name: str, dataset_id: DatasetId, state: State) -> None:
        """
        Perhaps streams break off while an application takes its time to stop: of what is there in part, nobody wants
        the rest any more once the final snapshot is taken.
        """
        world = self._world
        node = world.nodes[state.ownerships[dataset_id].owner]
        if world.chance.wished(f"{name} over a bad link", 0.3):
            node.bad_links.add(dataset_id)
            uses = (c.name for c in state.containers.values() if any(m.dataset_id == dataset_id for m in c.mounts))
            node.stubborn.update(uses)

    def _perhaps_used(self, name: str, dataset_id: DatasetId, state: State) -> None:
        """
        Perhaps somebody has a shell in the volume, for a while, or for as long as it is on that host.
        """
        world = self._world
        if world.chance.wished(f"{name} of a volume in use", 0.15):
            seconds = world.chance.pick(f"{name} in use", (2.0, 20.0, 60.0, FOR_EVER_SECONDS))
            world.nodes[state.ownerships[dataset_id].owner].shells[dataset_id] = seconds

    def _disaster(self, service: ControlService) -> bool:
        """
        Perhaps the owner of something that has a copy elsewhere is gone, for longer than it takes to notice. Somebody
        looks after it, again and again.
        """
        world, state = self._world, service.state
        copied = [
            own
            for own in state.ownerships.values()
            if own.created
            and own.owner in world.nodes
            and (self._may_be_fenced(service, own) if world.fencing else self._has_a_copy(own))
        ]
        name = f"disaster {self._asked}"
        if not copied or not world.chance.wished(name, 0.4 if world.fencing else 0.12):
            return False
        self._calamitous = False
        own = world.chance.pick(name, sorted(copied, key=lambda o: str(o.dataset_id)))
        node = world.nodes[own.owner]
        if self._is_fenced(own.dataset_id, state):
            self._cut_off(name, node)
            self._watch_lease(own.dataset_id, world.scheduler.now + AWAY_SECONDS)
            return True
        node.reboot((50.0, 90.0))
        for seconds in (3.0, 9.0, 15.0, 21.0, 24.0, 27.0, 36.0, 45.0, 60.0):
            world.scheduler.put(
                seconds, "an operator looks", world.always, lambda: self._look_after(own.dataset_id), timer=True
            )
        return True

    def _has_a_copy(self, own: Ownership) -> bool:
        return any(
            node.node_id != own.owner
            and (kept := node.pool.state.datasets.get(own.dataset_id)) is not None
            and kept.snapshots
            for node in self._world.nodes.values()
        )

    def _may_be_fenced(self, service: ControlService, own: Ownership) -> bool:
        return (
            own.leased_epoch == own.epoch
            and self._is_fenced(own.dataset_id, service.state)
            and self._copies(service, own.dataset_id)[0] is not None
        )

    def _cut_off(self, name: str, node: SimulatedNode) -> None:
        """
        A node that serves what is fenced is heard no more.
        """
        world = self._world
        how = world.chance.pick(f"{name} how", ("silent", "reset", "late"))
        if how == "late":
            # Its last lease is granted, and it hears of that just before anybody takes the other for dead.
            world.network.delay_answers(node.name, SILENCE_SECONDS - 2.0, AWAY_SECONDS)
            return
        world.network.isolate(node.name, AWAY_SECONDS, reset=how == "reset")
        if world.chance.draw(f"{name} control") < 0.5:
            # Whoever starts anew knows of no lease.
            world.control.crash()

    def _watch_lease(self, dataset_id: DatasetId, until: float) -> None:
        """
        An operator tries again and again, and at the first moment at which the lease can be taken as expired.
        """
        world, service = self._world, self._world.control.service
        if world.scheduler.now >= until or not self._fail_over(dataset_id):
            return
        seconds = 2.0
        if service is not None:
            left_seconds = service.lease_left_seconds(service.state.ownerships[dataset_id].owner)
            if left_seconds is not None and left_seconds > 0:
                seconds = min(seconds, world.control.clock.lasts(left_seconds) + 1e-4)
        world.scheduler.put(
            seconds, "an operator looks", world.always, lambda: self._watch_lease(dataset_id, until), timer=True
        )

    @staticmethod
    def _is_fenced(dataset_id: DatasetId, state: State) -> bool:
        # Only what containers use ends with the lease.
        used = any(m.dataset_id == dataset_id for c in state.containers.values() for m in c.mounts)
        return used and state.datasets[dataset_id].on_partition is PartitionPolicy.FENCE

    def _look_after(self, dataset_id: DatasetId) -> None:
        self._fail_over(dataset_id)

    def decide_again(self, dataset_id: DatasetId) -> None:
        """
        A node was chosen that turns out to have removed its copy: an operator sees that, and looks until it has ended.
        """

        def look() -> None:
            own = self._world.checker.ownerships.get(dataset_id)
            if own is not None and own.move is not None and own.move.failover and self._fail_over(dataset_id):
                self.decide_again(dataset_id)

        self._world.scheduler.put(10.0, "an operator looks", self._world.always, look, timer=True)

    def _fail_over(self, dataset_id: DatasetId) -> bool:
        """
        Try to. Answers whether it may be tried again.
        """
        world, service = self._world, self._world.control.service
        if service is None:
            return True
        if service.state.datasets[dataset_id].deleted:
            return False
        state = service.state
        group = failover.group(state, state.datasets[dataset_id])
        owners = {state.ownerships[member.dataset_id].owner for member in group}
        target, guids = self._copies(service, dataset_id)
        there = {owner for owner in owners if owner in service.nodes}
        if target is None or any(self._has_any(service.nodes[owner], group) for owner in there):
            return True
        fenced = all(self._is_fenced(member.dataset_id, state) for member in group)
        if not fenced:
            # The operator's word is true: who is said to be dead has been switched off.
            for node in (world.nodes[owner] for owner in owners - there):
                if node.agent is not None:
                    return True
            for owner in owners - there:
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
        return True

    @staticmethod
    def _has_any(owner: NodeObservation, group: tuple[Dataset, ...]) -> bool:
        """
        Whether a node that is there may have one of some datasets.
        """
        return not owner.storage_known or any(member.dataset_id in owner.datasets for member in group)

    @staticmethod
    def _copies(service: ControlService, dataset_id: DatasetId) -> tuple[NodeId | None, dict[DatasetId, Guid]]:
        """
        Where else a dataset could be served, with all that goes with it.
        """
        group = failover.group(service.state, service.state.datasets[dataset_id])
        owners = {service.state.ownerships[member.dataset_id].owner for member in group}
        for target, seen in service.nodes.items():
            copies = [seen.datasets.get(member.dataset_id) for member in group]
            guids = {copy.dataset_id: copy.newest_guid for copy in copies if copy is not None and copy.newest_guid}
            if target not in owners and len(guids) == len(group):
                return target, guids
        return None, {}

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
            health=self._check(name),
        )
        return PutContainer(container=container)

    def _create(self, dataset_id: DatasetId, primary: NodeId, origin: Origin | None = None) -> None:
        self._made.append(dataset_id)
        policy = self._world.chance.pick(f"overrun {dataset_id}", (OverrunPolicy.CUT_OVER, OverrunPolicy.GIVE_UP))
        partition = PartitionPolicy.FENCE if self._world.fencing else PartitionPolicy.KEEP
        stays = self._world.chance.draw(f"stays {dataset_id}") < 0.25
        self._submit(
            CreateDataset(
                dataset_id=dataset_id,
                primary=primary,
                origin=origin,
                on_overrun=policy,
                on_partition=partition,
                on_start_failure=StartFailurePolicy.STAY if stays else StartFailurePolicy.GO_BACK,
            )
        )

    def _container(self, name: str, node_id: NodeId, numbers: tuple[int, ...], version: str) -> Container:
        return Container(
            name=ContainerName(name),
            node_id=node_id,
            image="ledger",
            environment=pmap({"VERSION": version}),
            mounts=pvector(Mount(dataset_id=dataset_id_of(n), path=f"/{n}") for n in numbers),
            restart=RestartPolicy(name=RestartName.ALWAYS),
            health=self._check(name),
        )

    def _check(self, name: str) -> HealthCheck | None:
        return CHECK if self._world.chance.draw(f"{name} is checked") < CHECKED else None

    def _submit(self, command: Command) -> None:
        self._world.control.submit(command)
