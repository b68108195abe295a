"""
Clusters under random faults: whatever happens, the invariants hold; and when faults stop, everything gets done.
"""

from __future__ import annotations

import os
import random
from uuid import UUID

import pytest

from flocker_control.commands import (
    CancelMove,
    ChangePrimary,
    CreateDataset,
    DeleteDataset,
    PutContainer,
    RemoveContainer,
    ResizeDataset,
)
from flocker_control.explain import Status, lines, status
from flocker_py.model import ContainerName, DatasetId, NodeId
from flocker_py.observed import ContainerPhase
from tests.simulation.world import InvariantBroken, World, container

DATASETS = [DatasetId(UUID(int=1000 + n, version=4)) for n in range(3)]
NODES = [NodeId(UUID(int=n)) for n in (1, 2, 3)]
QUIET_SECONDS = 70.0
"""Longer than any wait between tries, so that nothing is still to come."""
SEEDS = range(int(os.environ.get("FLOCKER_SIMULATE_FROM", "0")), int(os.environ.get("FLOCKER_SIMULATE_TO", "25")))


def settle(world: World, steps: int = 1500) -> None:
    world.writing = False
    world.busy_at_seconds = world.clock.seconds()
    for _ in range(steps):
        world.step()
        if world.clock.seconds() - world.busy_at_seconds > QUIET_SECONDS:
            return
    raise InvariantBroken(f"not at rest after {steps} steps")


def act(world: World, chance: random.Random) -> None:
    control = world.control
    if control is None:
        return
    state = control.state
    choice = chance.random()
    if choice < 0.35:
        world.submit(PutContainer(container=container("pair", chance.choice(NODES), DATASETS[0], DATASETS[1])))
    elif choice < 0.6:
        world.submit(PutContainer(container=container("lone", chance.choice(NODES), DATASETS[2])))
    elif choice < 0.7:
        moves = [o.move.move_id for o in state.ownerships.values() if o.move is not None]
        if moves:
            world.submit(CancelMove(move_id=chance.choice(moves)))
    elif choice < 0.8:
        world.submit(RemoveContainer(name=ContainerName(chance.choice(["pair", "lone"]))))
    elif choice < 0.9:
        size = None if chance.random() < 0.5 else 64 << 20
        world.submit(ResizeDataset(dataset_id=chance.choice(DATASETS), maximum_size_bytes=size))
    elif choice < 0.97:
        world.submit(ChangePrimary(dataset_id=chance.choice(DATASETS), primary=chance.choice(NODES)))
    else:
        world.submit(DeleteDataset(dataset_id=DATASETS[2]))


def at_rest(world: World) -> list[str]:
    """
    What isn't as it should be when nothing goes wrong any more.
    """
    complaints = []
    assert world.control is not None
    for dataset_id in world.control.state.datasets:
        s = world.control.situation(dataset_id)
        if status(s) not in (Status.OK, Status.DELETED):
            complaints.append(f"{dataset_id} is {status(s)}: {' '.join(lines(s))}")
        if s.ownership.handed_over or s.ownership.move is not None:
            complaints.append(f"{dataset_id} is not settled: {' '.join(lines(s))}")
        holders = [n.name for n in world.nodes.values() if dataset_id in n.disk.datasets()]
        if len(holders) != (0 if s.dataset.deleted else 1):
            complaints.append(f"{dataset_id} is on {holders}")
    for node in world.nodes.values():
        for dataset_id, stored in node.disk.datasets().items():
            if stored.snapshots or stored.resume_token:
                complaints.append(
                    f"{dataset_id} on {node.name} has left-overs: {stored.snapshots} {stored.resume_token}"
                )
    for name, wanted in world.control.state.containers.items():
        running = world.running.get(name)
        if running is None or running.node_id != wanted.node_id:
            complaints.append(f"{name} runs on {running and running.name}, and is wanted on {wanted.node_id}")
    for node in world.control.nodes.values():
        for name, seen in node.containers.items():
            if name not in world.control.state.containers and seen.phase is not ContainerPhase.EXITED:
                complaints.append(f"{name} still runs")
    return complaints


def run(seed: int) -> World:
    world = World(seed)
    chance = random.Random(seed + 1)
    try:
        faults, world.faults_left = world.faults_left, 0
        for _ in range(40):
            world.step()
        for dataset_id in DATASETS:
            world.submit(CreateDataset(dataset_id=dataset_id, primary=NODES[0]))
        settle(world)
        world.submit(PutContainer(container=container("pair", NODES[0], DATASETS[0], DATASETS[1])))
        world.submit(PutContainer(container=container("lone", NODES[0], DATASETS[2])))
        world.faults_left = faults
        world.writing = True
        for _ in range(900):
            world.step()
            if chance.random() < 0.02:
                act(world, chance)
        world.faults_left = 0
        settle(world, 4000)
        world.applications_write()
        complaints = at_rest(world)
        if complaints:
            raise InvariantBroken("; ".join(complaints))
    except BaseException as error:
        error.add_note("\n".join(world.story[-250:]))
        error.add_note(f"seed {seed}")
        raise
    return world


@pytest.mark.parametrize("seed", SEEDS)
def test_cluster(seed: int) -> None:
    """
    Under faults no invariant breaks; after them, every wish is fulfilled and nothing is left over.
    """
    run(seed)
