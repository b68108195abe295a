"""
How a cluster must be when nothing goes wrong any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flocker_control.explain import Status, lines, status
from flocker_py.observed import ContainerPhase
from flocker_py.storage import Role

if TYPE_CHECKING:
    from tests.simulation.world import World


def not_at_rest(world: World) -> Iterator[tuple[str, str]]:
    """
    What isn't as it should be: each with the name of the dataset or container. Whoever asks only whether all is well
    takes the first: the others' texts cost more than the rest of a step.
    """
    for dataset_id, ownership in world.checker.ownerships.items():
        if ownership.move is not None or ownership.handed_over or ownership.deposed:
            yield world.called(dataset_id), f"is on the move: {ownership}"
            return
    service = world.control.service
    if service is None:
        yield "control", "is away"
        return
    absent = [node.name for node in world.nodes.values() if node.node_id not in service.nodes]
    if absent:
        yield from ((name, "has no session") for name in absent)
        return
    for dataset_id in service.state.datasets:
        called = world.called(dataset_id)
        s = service.situation(dataset_id)
        own = s.ownership
        given_up = own.refused_primary is not None and own.refused_primary == s.dataset.primary
        if status(s) not in (Status.OK, Status.DELETED) and not (given_up and status(s) is Status.WAITING):
            yield called, f"is {status(s).value}: {' '.join(lines(s))}"
        if own.handed_over or own.move is not None:
            yield called, f"is not settled: {' '.join(lines(s))}"
        holders = [n.name for n in world.nodes.values() if dataset_id in n.pool.state.datasets]
        if len(holders) != (0 if s.dataset.deleted else 1):
            yield called, f"is on {holders}"
    for node in world.nodes.values():
        for dataset_id, kept in node.pool.state.datasets.items():
            recorded = world.checker.ownerships.get(dataset_id)
            # What another node put aside can be brought up to date from the snapshot that both have.
            bases = set() if recorded is None else set(recorded.bases.values())
            left = [f"{s.name} {s.guid}" for s in kept.snapshots if s.guid not in bases]
            if left or kept.partial is not None or kept.role is not Role.OWNER or not kept.mounted:
                yield world.called(dataset_id), f"on {node.name} is {kept.role.value}, with left-overs {left}"
    for name, wanted in service.state.containers.items():
        running = world.checker.running.get(name)
        placed = service.runs_on(name)
        if any(m.dataset_id not in service.state.datasets for m in wanted.mounts):
            continue
        if any(service.state.datasets[m.dataset_id].deleted for m in wanted.mounts):
            if running is not None:
                yield name, "runs, although its data was deleted"
        elif (None if running is None else running.node.node_id) != placed:
            yield name, f"runs on {running and running.node.name}, and is placed on {placed}"
    for node_id, node_seen in service.nodes.items():
        for name, seen in node_seen.containers.items():
            if name not in service.state.containers and seen.phase is not ContainerPhase.EXITED:
                yield name, f"still runs on {world.nodes[node_id].name}"
