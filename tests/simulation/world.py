"""
A whole cluster in one process, under virtual time, from one seed.

The real control service and the real agents' loops run on memory storage, memory runtimes and a memory store. What
they would do in threads or over the network becomes an *event*. The seed decides how long each takes, which process is
killed before or after one, and what else goes wrong. Whenever something durable changes, the invariants are checked.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from uuid import UUID

from twisted.python.failure import Failure

from flocker_py.model import Container, DatasetId, NodeId
from tests.simulation import logs
from tests.simulation.application import Ledger
from tests.simulation.broken import Broken, Killed
from tests.simulation.chance import Chance, Schedule
from tests.simulation.control import SimulatedControl
from tests.simulation.figures import Figures
from tests.simulation.invariants import Checker
from tests.simulation.network import Network
from tests.simulation.node import SimulatedNode
from tests.simulation.operators import Operators
from tests.simulation.scheduler import Event, Life, Scheduler

WRITES = 0.2
"""How likely an application writes before an event."""


class World:
    """
    The cluster, and all that happens to it.

    :ivar buried: what dead processes leave behind. It is kept to the end: whatever Python does to what is collected
        must not happen in the midst of a story.
    """

    def __init__(self, schedule: Schedule) -> None:
        logs.world = self
        self.schedule = schedule
        self.chance = Chance(schedule)
        self.scheduler = Scheduler()
        self.network = Network(self)
        self.figures = Figures()
        self.checker = Checker(self)
        self.always = Life("the world")
        self.story: list[tuple[int, float, str | tuple[str, object]]] = []
        self.fencing = self.chance.draw("fencing") < 0.2
        self.spelled_out = self.chance.draw("spelled out") < 0.1
        self.broken: Broken | None = None
        self.buried: list[Any] = []
        self.connection_number = 0
        self.steps = 0
        self.commands = 0
        self.records = 0
        self._guids = 0
        self._ledgers: dict[DatasetId, Ledger] = {}
        count = schedule.nodes or self.chance.pick("nodes", (3, 3, 3, 4, 5))
        self.nodes = {NodeId(UUID(int=n)): SimulatedNode(self, n) for n in range(1, count + 1)}
        self.control = SimulatedControl(self)
        self.operators = Operators(self)
        self.control.start()
        for node in self.nodes.values():
            node.start()

    # -- the story -------------------------------------------------------------------------------------------------

    def tell(self, what: str) -> None:
        """
        Remember what happened.
        """
        self.story.append((self.steps, self.scheduler.now, what))

    def tell_of(self, what: str, about: object) -> None:
        """
        Remember what happened, and to what; to be written out if somebody reads it.
        """
        self.story.append((self.steps, self.scheduler.now, (what, about)))

    @staticmethod
    @functools.cache
    def called(dataset_id: UUID) -> str:
        """
        What the story calls a dataset.
        """
        return f"d{dataset_id.int & 0xFFFF}"

    def call_label(self, function: Callable[..., Any], args: tuple[Any, ...]) -> str:
        """
        What the story calls a blocking call.
        """
        name: str = getattr(function, "__name__", "call")
        if name == "work":
            cells = function.__closure__ or ()
            for cell in cells:
                found = cell.cell_contents
                if hasattr(found, "kind"):
                    return f"{found.kind.rpartition(':')[2]} {self.called(found.dataset_id)}"
        if args and isinstance(args[0], UUID):
            return f"{name} {self.called(args[0])}"
        if args and isinstance(args[0], Container):
            return f"{name} {args[0].name}"
        if args and hasattr(args[0], "kind"):
            change = args[0]
            subject = change.container.name if hasattr(change, "container") else change.name
            return f"{change.kind.rpartition(':')[2]} {subject}"
        return name

    def breaks(self, broken: Broken) -> None:
        """
        An invariant does not hold. The first that is broken counts, whoever swallows the exception.

        :raises Broken: always.
        """
        if self.broken is None:
            self.broken = broken
            self.tell(f"BROKEN: {broken}")
        raise broken

    def unexpected(self, failure: Failure) -> None:
        """
        An exception that nobody has caught.
        """
        if self.broken is None and not isinstance(failure.value, Broken):
            self.broken = Broken("exception", f"{type(failure.value).__name__}: {failure.getErrorMessage()}")
            self.tell(failure.getTraceback())

    def new_guid(self) -> int:
        """
        Of the next snapshot.
        """
        self._guids += 1
        return self._guids

    def ledger(self, dataset_id: DatasetId) -> Ledger:
        """
        What was written into a dataset.
        """
        ledger = self._ledgers.get(dataset_id)
        if ledger is None:
            ledger = self._ledgers[dataset_id] = Ledger()
        return ledger

    # -- steps -----------------------------------------------------------------------------------------------------

    def step(self) -> Event | None:
        """
        One event, with what goes wrong around it.

        :raises Broken: an invariant does not hold.
        """
        self.steps += 1
        event = self.scheduler.next()
        if event is None:
            return None
        before = self.chance.faults.total()
        self._write()
        if self.chance.faults_on:
            self._around(event)
        if event.life.alive:
            self.tell(event.label)
            try:
                event.act()
            except Killed as killed:
                killed.process.crash()
            if self.chance.faults_on and self.chance.happens("kill", f"after {event.label}"):
                self._kill(event)
        self.checker.look_at_all()
        if self.chance.faults.total() != before:
            self._cover()
        if self.broken is not None:
            raise self.broken
        return event

    def _write(self) -> None:
        running = self.checker.running
        if not running:
            return
        number = self.chance.draw(f"write {self.steps}")
        if number < WRITES:
            names = sorted(running)
            try:
                running[names[int(number / WRITES * len(names))]].write()
            except Broken as broken:
                self.breaks(broken)

    def _around(self, event: Event) -> None:
        chance = self.chance
        if chance.happens("kill", f"before {event.label}"):
            self._kill(event)
        if chance.happens("kill-control", ""):
            self.control.crash()
        if fault := chance.happens("partition", ""):
            self.network.part(fault)
        if fault := chance.happens("reboot", ""):
            chance.pick(fault, list(self.nodes.values())).reboot()
        if fault := chance.happens("application-dies", ""):
            names = sorted(self.checker.running)
            if names:
                application = self.checker.running[chance.pick(fault, names)]
                self.tell(f"{application.container.name} on {application.node.name} dies by itself")
                application.node.host.end(application.container.name, exit_status=1)

    def _kill(self, event: Event) -> None:
        for node in self.nodes.values():
            if event.life is node.life or (event.life is self.always and event.label.startswith(node.name)):
                node.crash()
                return
        if event.life is self.control.life:
            self.control.crash()

    def _cover(self) -> None:
        phases = {own.move.phase.value if own.move is not None else "none" for own in self.checker.ownerships.values()}
        for fault in self.chance.chosen[len(self.chance.chosen) - 1 :]:
            kind = fault.partition(" ")[0]
            for phase in phases:
                self.figures.pairs[kind, phase] += 1
