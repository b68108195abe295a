"""
A node's disk as its agent uses it: the memory backend, where calls fail, and where the agent may be killed between any
two of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flocker_agent import perform
from flocker_agent.changes import CopyDataset
from flocker_agent.copying import copy_plan
from flocker_py.assignment import Release
from flocker_py.model import DatasetId
from flocker_py.storage import DatasetBusy, PoolFull, PoolMissing
from tests.simulation.broken import Killed
from tests.simulation.transfer import streamed, taken_in

if TYPE_CHECKING:
    from tests.simulation.node import SimulatedNode

LOOKS = frozenset({"datasets", "dataset", "free_bytes", "written_since_snapshot", "bookmarks", "send_estimate_bytes"})
NEED_ROOM = frozenset({"create", "snapshot", "receive", "clone"})


def copied(disk: Any, change: CopyDataset, *, cancelled: Callable[[], bool]) -> None:
    """
    A copy of a snapshot: as the real one, without the threads between which the stream goes. It may be cut, as when the
    agent is stopped or doesn't want it any more.
    """
    node: SimulatedNode = disk.node
    plan = copy_plan(disk, change)
    stream = streamed(disk, change.origin.dataset_id, plan)
    cut = node.world.chance.happens("cut-copy", f"{node.name} {node.world.called(change.dataset_id)}")
    if cancelled() or cut is not None:
        node.world.tell(f"{node.name}: the copy {node.world.called(change.dataset_id)} is cut")
        stream = stream[: int(node.world.chance.draw(f"{cut} at") * len(stream))]
    taken_in(disk, change.dataset_id, stream)


perform.__dict__["copy_snapshot"] = copied


class AgentsDisk:
    """
    A ``Storage`` that does what the memory backend does, unless something goes wrong.
    """

    def __init__(self, node: SimulatedNode) -> None:
        self.node = node

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.node.disk, name)
        if not callable(real):
            return real
        call = self._look(name, real) if name in LOOKS else self._change(name, real)
        self.__dict__[name] = call
        return call

    def _look(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        node, chance = self.node, self.node.world.chance
        where = f"{node.name} {name}"

        def look(*args: Any, **kwargs: Any) -> Any:
            if chance.happens("pool-away", where):
                node.world.tell(f"{node.name}: the pool is away during {name}")
                raise PoolMissing("the pool is not imported")
            return real(*args, **kwargs)

        return look

    def _change(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        node, world, chance = self.node, self.node.world, self.node.world.chance
        where = f"{node.name} {name}"

        def change(*args: Any, **kwargs: Any) -> Any:
            if chance.happens("kill-in-call", f"{where}, before"):
                world.tell(f"{node.name} is killed before {name}")
                raise Killed(node)
            if name == "unmount":
                self._refuse_if_used(*args)
            if name in NEED_ROOM and chance.happens("pool-full", where):
                world.tell(f"{node.name}: the pool is full at {name}")
                raise PoolFull("there is no room")
            try:
                return real(*args, **kwargs)
            finally:
                world.checker.look_at(node)
                if chance.happens("kill-in-call", f"{where}, after"):
                    world.tell(f"{node.name} is killed after {name}")
                    raise Killed(node)

        return change

    def _refuse_if_used(self, dataset_id: DatasetId) -> None:
        """
        Somebody may have a shell in a volume when it is to be taken away. Only moves are held up by it: whoever
        deletes or fails over a volume has ended all shells.

        :raises DatasetBusy: somebody has.
        """
        node, world = self.node, self.node.world
        own = world.checker.ownerships.get(dataset_id)
        move = None if own is None else own.move
        asked = None if node.agent is None else node.agent.datasets.assignment(dataset_id)
        if move is None or move.returns or move.source != node.node_id or not isinstance(asked, Release):
            return
        if dataset_id in node.shells:
            node.busy_until[dataset_id] = world.scheduler.now + node.shells.pop(dataset_id)
        if world.scheduler.now < node.busy_until.get(dataset_id, 0.0):
            raise DatasetBusy(f"{world.called(dataset_id)} on {node.name} is used by process 4711 (sh)")
