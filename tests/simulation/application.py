"""
Applications that write numbered records, and a world that remembers which of them were acknowledged.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from flocker_agent.storage.memory_pool import KeptDataset
from flocker_py.model import Container, DatasetId
from flocker_py.observed import Health
from flocker_py.runtime import ContainerStartFailed
from flocker_py.storage import Role
from tests.simulation.broken import Broken

if TYPE_CHECKING:
    from tests.simulation.node import SimulatedNode

FILE = b"records"
HEAD = b"head"
"""How many records there are, at the beginning of a block that is written over each time, as databases have one."""
HEAD_BYTES = 256


class Ledger:
    """
    What was written into one dataset.

    :ivar acknowledged: all records that applications may count on.
    :ivar unanswered: a record that was written, perhaps; whoever wrote it died before it knew.
    :ivar epoch: the highest under which a record was acknowledged.
    :ivar given_up: what an operator knowingly went on without. It is to be kept all the same, aside.
    """

    def __init__(self) -> None:
        self.acknowledged = b""
        self.unanswered = b""
        self.epoch = 0
        self.given_up: list[bytes] = []

    def go_on_from(self, content: bytes) -> None:
        """
        An operator goes on from a copy that may be older.
        """
        if not content.startswith(self.acknowledged):
            self.given_up.append(self.acknowledged)
        self.acknowledged, self.unanswered = content, b""

    def holds(self, content: bytes) -> bool:
        """
        Whether all that was acknowledged is there, and nothing but that and what was written without an answer.
        """
        return content == self.acknowledged or (
            bool(self.unanswered) and content == self.acknowledged + self.unanswered
        )


class Trouble(Enum):
    """
    What is wrong with an application on a host: its program is absent, or ends soon after each start.
    """

    ABSENT = "absent"
    CRASHES = "crashes"


class Application:
    """
    Appends a record to each of its volumes, whenever it is its turn.

    :raises ContainerStartFailed: it can't be executed just now.
    """

    def __init__(self, node: SimulatedNode, container: Container, paths: Mapping[DatasetId, Path]) -> None:
        world = node.world
        self._world = world
        self.node = node
        self.container = container
        trouble = self._trouble()
        if trouble is Trouble.ABSENT:
            world.tell(f"{container.name} can't be started on {node.name}")
            raise ContainerStartFailed(f"container {container.name}: no such program")
        world.checker.starts(self, node, paths)
        if trouble is Trouble.CRASHES:
            name = world.chance.numbered(f"{node.name} {container.name} crashes")
            seconds = world.chance.seconds(name, 0.05, 0.6)
            world.scheduler.put(seconds, f"{container.name} on {node.name} crashes", world.always, self._crash)
        if container.health is not None:
            self._becomes_unwell("not-well")
            self._asked_soon()

    def _trouble(self) -> Trouble | None:
        """
        Why it doesn't work on this host: this time only, or for a while.
        """
        world, node, name = self._world, self.node, self.container.name
        if fault := world.chance.happens("start-fails", f"{node.name} {name}"):
            kind = world.chance.pick(f"{fault} how", tuple(Trouble))
            seconds = world.chance.pick(f"{fault} seconds", (0.0, 20.0, 60.0))
            node.troubles[name] = (kind, world.scheduler.now + seconds)
            return kind
        present = node.troubles.get(name)
        return present[0] if present is not None and world.scheduler.now < present[1] else None

    def _crash(self) -> None:
        if self._world.checker.running.get(self.container.name) is self:
            self.node.host.end(self.container.name, exit_status=1)

    def _becomes_unwell(self, kind: str) -> bool:
        """
        On this host it is not well for a while; or its check says nothing of it.
        """
        world, node, name = self._world, self.node, self.container.name
        fault = world.chance.happens(kind, f"{node.name} {name}")
        if fault is None:
            return False
        says = world.chance.pick(f"{fault} says", (Health.STARTING, Health.UNHEALTHY, Health.UNHEALTHY))
        seconds = world.chance.pick(f"{fault} seconds", (3.0, 20.0, 60.0))
        node.unwell[name] = (says, world.scheduler.now + seconds)
        return True

    def _asked_soon(self) -> None:
        world, name = self._world, f"{self.node.name} {self.container.name} is asked how it is"
        seconds = world.chance.seconds(world.chance.numbered(name), 0.05, 4.0)
        world.scheduler.put(seconds, name, world.always, self._asked)

    def _asked(self) -> None:
        world, node, name = self._world, self.node, self.container.name
        if world.checker.running.get(name) is not self:
            return
        says, until = node.unwell.get(name, (Health.HEALTHY, 0.0))
        if world.scheduler.now < until:
            label = f"{name} on {node.name} is well again"
            world.scheduler.put(until - world.scheduler.now, label, world.always, self._asked)
        else:
            says = Health.HEALTHY
        if says is Health.HEALTHY:
            world.checker.well(self, node)
            if self._becomes_unwell("unwell-later"):
                self._asked_soon()
        world.tell(f"{name} on {node.name} is {says.value}, as its check says")
        node.host.found(name, says)

    def write(self) -> None:
        """
        Append a record to each volume. What is found there must be all that was acknowledged.
        """
        for mount in self.container.mounts:
            if self._world.checker.running.get(self.container.name) is self:
                self._write(mount.dataset_id)

    def _write(self, dataset_id: DatasetId) -> None:
        world, node, name = self._world, self.node, self.container.name
        ledger = world.ledger(dataset_id)
        kept = usable(node, name, dataset_id)
        found = kept.content.get(FILE, b"")
        called = world.called(dataset_id)
        if not ledger.holds(found):
            raise Broken(
                "lost write",
                f"{name} on {node.name} finds {records(found)} records in {called}, and"
                f" {records(ledger.acknowledged)} were acknowledged",
                (called,),
            )
        if kept.epoch < ledger.epoch:
            raise Broken(
                "old epoch",
                f"{name} on {node.name} writes to {called} under epoch {kept.epoch}, after epoch {ledger.epoch}",
                (called,),
            )
        record = b"%d\n" % (records(found) + 1)
        dies = world.chance.happens("dies-before-answer", f"{node.name} {name}")
        ledger.acknowledged, ledger.unanswered = found, b""
        try:
            node.disk.write(dataset_id, FILE, found + record)
            node.disk.write(dataset_id, HEAD, record.ljust(HEAD_BYTES))
        except OSError:
            return
        ledger.epoch = kept.epoch
        if dies:
            ledger.unanswered = record
        else:
            ledger.acknowledged = found + record
        world.records += 1
        world.checker.written(node, dataset_id)
        if dies:
            world.tell(f"{name} on {node.name} dies before it knows that its record is in {called}")
            node.host.end(name, exit_status=1)

    def ask_to_end(self) -> int | None:
        """
        SIGTERM. Some don't listen.
        """
        if self._world.chance.happens("ignores-term", f"{self.node.name} {self.container.name}"):
            return None
        self._world.checker.ends(self, self.node)
        return -signal.SIGTERM

    def killed(self) -> None:
        """
        It is no more.
        """
        self._world.checker.ends(self, self.node)


def usable(node: SimulatedNode, name: str, dataset_id: DatasetId) -> KeptDataset:
    """
    A dataset that an application can write at this moment.

    :raises Broken: it can't.
    """
    called = node.world.called(dataset_id)
    kept = node.pool.state.datasets.get(dataset_id)
    if kept is None or not kept.mounted or kept.role is not Role.OWNER:
        raise Broken("not mounted", f"{name} runs on {node.name}, where {called} can't be written", (called,))
    return kept


def records(content: bytes) -> int:
    """
    How many records there are.
    """
    return content.count(b"\n")
