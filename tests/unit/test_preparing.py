"""
Getting a node ready for a container: who is asked, what counts as ready, and the agent's part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ClassVar
from uuid import UUID

import pytest
from pyrsistent import pmap, pvector
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from flocker_agent.failures import Failures
from flocker_agent.preparation_work import PreparationWork
from flocker_agent.runtime.memory import MemoryHost, MemoryRuntime
from flocker_agent.view import View
from flocker_control.commands import CancelMove, CreateDataset, PutContainer, RemoveContainer, StartMove
from flocker_control.memory_store import MemoryStore
from flocker_control.preparing import preparing_nodes, waits_for
from flocker_control.service import ControlService, opened
from flocker_control.situation import Situation
from flocker_py.assignment import NodeAssignment, Own
from flocker_py.definitions import definition_digest, started_digest
from flocker_py.model import (
    Container,
    ContainerName,
    Dataset,
    DatasetId,
    HealthCheck,
    Mount,
    Move,
    MoveId,
    MovePhase,
    NodeId,
    Ownership,
)
from flocker_py.observed import DatasetObservation, NodeObservation, SendProgress, SendVerdict, preparation_of
from flocker_py.runtime import ContainerNotPrepared
from flocker_py.storage import Role

A, B, C = (NodeId(UUID(int=n)) for n in (1, 2, 3))
D1, D2 = (DatasetId(UUID(int=n, version=4)) for n in (100, 101))
DB = ContainerName("db")


def container(*datasets: DatasetId, version: str = "1", node_id: NodeId = B) -> Container:
    mounts = pvector(Mount(dataset_id=dataset_id) for dataset_id in datasets)
    return Container(name=DB, node_id=node_id, image=f"db:{version}", mounts=mounts)


def moving(dataset_id: DatasetId, phase: MovePhase, target: NodeId = B) -> Ownership:
    move = Move(move_id=MoveId(UUID(int=7)), source=A, target=target, phase=phase, started_at_seconds=1.0)
    return Ownership(dataset_id=dataset_id, owner=A, created=True, move=move)


def report(node_id: NodeId, *copies: DatasetObservation, **fields: Any) -> NodeObservation:
    return NodeObservation(
        node_id=node_id,
        era=UUID(int=9),
        address="192.0.2.1",
        transfer_port=4525,
        version="1",
        storage="memory",
        runtime="memory",
        container_fields=pvector(["image", "mounts"]),
        storage_known=True,
        runtime_known=True,
        datasets=pmap({c.dataset_id: c for c in copies}),
        **fields,
    )


class TestWhoIsAsked:
    """
    A node gets ready for what is being copied to it.
    """

    CASES: ClassVar[dict[str, tuple[Container | None, list[Ownership], set[NodeId]]]] = {
        "nothing moves": (container(D1), [Ownership(dataset_id=D1, owner=A, created=True)], set()),
        "its data is copied": (container(D1), [moving(D1, MovePhase.COPYING)], {B}),
        "its data is on its way already": (container(D1), [moving(D1, MovePhase.RELEASING)], set()),
        "one of two is copied": (container(D1, D2), [moving(D1, MovePhase.COPYING)], {B}),
        "each goes elsewhere": (
            container(D1, D2),
            [moving(D1, MovePhase.COPYING), moving(D2, MovePhase.COPYING, C)],
            {B, C},
        ),
        "it has no data": (container(), [moving(D1, MovePhase.COPYING)], set()),
        "it is wanted no more": (None, [moving(D1, MovePhase.COPYING)], set()),
    }

    @pytest.mark.parametrize("case", CASES)
    def test_nodes(self, case: str) -> None:
        """
        The targets of moves that still copy what a container uses, and no other node.
        """
        wanted, ownerships, expected = self.CASES[case]

        assert preparing_nodes(wanted, {own.dataset_id: own for own in ownerships}) == expected

    @pytest.mark.parametrize("own", [Ownership(dataset_id=D1, owner=A), moving(D1, MovePhase.COPYING)])
    def test_nothing_to_wait_for(self, own: Ownership) -> None:
        """
        Where nothing moves, or the target isn't there to say anything, nobody waits for its preparation.
        """
        s = Situation(
            dataset=Dataset(dataset_id=D1, primary=B),
            ownership=own,
            containers=pvector([container(D1)]),
            now_seconds=1.0,
            next_move_id=MoveId(UUID(int=8)),
        )

        assert waits_for(s) is None


class TestDigest:
    """
    What tells definitions apart.
    """

    def test_equal(self) -> None:
        """
        Equal definitions have one digest, in whatever order they were written down.
        """
        one = container(D1).set(environment=pmap({"A": "1", "B": "2"}))
        other = container(D1).set(environment=pmap({"B": "2", "A": "1"}))

        assert definition_digest(one) == definition_digest(other)

    def test_numbers(self) -> None:
        """
        Numbers are the same with and without a point, as they are for those who compare definitions.
        """
        check = HealthCheck(command=["true"], interval_seconds=1, timeout_seconds=2, start_period_seconds=0, retries=3)
        one = container(D1).set(stop_grace_seconds=7, cpus=0.5, health=check)
        other = one.set(stop_grace_seconds=7.0, health=check.set(interval_seconds=1.0))

        assert (one == other, definition_digest(one)) == (True, definition_digest(other))
        assert definition_digest(one) != definition_digest(one.set(stop_grace_seconds=7.5))

    def test_different(self) -> None:
        """
        Another image is another definition.
        """
        assert definition_digest(container(D1)) != definition_digest(container(D1, version="2"))

    def test_started(self) -> None:
        """
        What is started is the same on every node.
        """
        one = container(D1)
        elsewhere, changed = one.set(node_id=C), container(D1, version="2")

        assert started_digest(one) == started_digest(elsewhere) != started_digest(changed)


class Session:
    """
    A session that remembers what the node was asked last.
    """

    def __init__(self) -> None:
        self.asked = NodeAssignment(node_id=A, revision=1)

    def assign(self, assignment: NodeAssignment) -> None:
        self.asked = assignment

    def replaced(self) -> None: ...


def done(work: Coroutine[Any, Any, Any]) -> Any:
    results: list[Any] = []
    Deferred.fromCoroutine(work).addBoth(results.append)
    if isinstance(results[0], Failure):
        results[0].raiseException()
    return results[0]


class Served:
    """
    A control service with a dataset on A that a container uses, and a move of it to B that has caught up.
    """

    def __init__(self) -> None:
        self.service: ControlService = done(opened(MemoryStore(), clock=Clock(), new_id=lambda: UUID(int=7)))
        self.a, self.b = Session(), Session()
        self.service.node_came(self.a, report(A))
        self.service.node_came(self.b, report(B))
        self.submit(CreateDataset(dataset_id=D1, primary=A))
        self.service.node_reported(self.a, report(A, self.copy()))
        self.submit(PutContainer(container=container(D1, node_id=A)))
        self.submit(StartMove(dataset_id=D1, target=B))
        self.service.node_reported(self.a, report(A, self.copy(sending=self.caught_up())))

    @staticmethod
    def copy(**fields: Any) -> DatasetObservation:
        return DatasetObservation(dataset_id=D1, role=Role.OWNER, epoch=1, mounted=True, **fields)

    def caught_up(self) -> SendProgress:
        move = self.service.state.ownerships[D1].move
        assert move is not None
        return SendProgress(
            move_id=move.move_id,
            round=2,
            round_bytes=1,
            total_bytes=1,
            sent_bytes=2,
            rate_bytes_per_second=1.0,
            verdict=SendVerdict.READY,
        )

    def submit(self, command: Any) -> None:
        done(self.service.submit(command))

    def prepared(self, digest: str) -> None:
        """
        B reports that.
        """
        self.service.node_reported(self.b, report(B, prepared=pmap({DB: digest})))

    @property
    def phase(self) -> MovePhase | None:
        move = self.service.state.ownerships[D1].move
        return None if move is None else move.phase

    @property
    def wanted(self) -> Container:
        return self.service.state.containers[DB]


class TestMoveWaits:
    """
    The source serves until the target is ready.
    """

    def test_target_is_asked(self) -> None:
        """
        The target is told what will run there, while the source goes on.
        """
        cluster = Served()

        assert (cluster.phase, isinstance(cluster.a.asked.datasets[D1], Own)) == (MovePhase.COPYING, True)
        assert (dict(cluster.a.asked.preparing), dict(cluster.b.asked.preparing)) == ({}, {DB: cluster.wanted})

    def test_released_once_it_is_prepared(self) -> None:
        """
        As soon as the target says that it is ready the source is released, and there is nothing more to get ready for.
        """
        cluster = Served()
        cluster.prepared(definition_digest(cluster.wanted))

        assert (cluster.phase, dict(cluster.b.asked.preparing)) == (MovePhase.RELEASING, {})

    def test_definition_changes_meanwhile(self) -> None:
        """
        What was prepared of another definition is not enough: the new one is asked for.
        """
        cluster = Served()
        before = definition_digest(cluster.wanted)
        cluster.submit(PutContainer(container=container(D1, version="2")))
        cluster.prepared(before)

        assert (cluster.phase, cluster.b.asked.preparing[DB].image) == (MovePhase.COPYING, "db:2")

    def test_container_is_removed_meanwhile(self) -> None:
        """
        For a container that is wanted no more nobody waits.
        """
        cluster = Served()
        cluster.submit(RemoveContainer(name=DB))

        assert (cluster.phase, dict(cluster.b.asked.preparing)) == (MovePhase.RELEASING, {})

    def test_cancelled(self) -> None:
        """
        A move that waits for its target can be cancelled.
        """
        cluster = Served()
        move = cluster.service.state.ownerships[D1].move
        assert move is not None
        cluster.submit(CancelMove(move_id=move.move_id))

        assert (cluster.phase, dict(cluster.b.asked.preparing)) == (None, {})


class Later:
    """
    Calls that take until they are told to happen.
    """

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    async def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        result: Deferred[None] = Deferred()
        self.waiting.append(lambda: result.callback(None))
        await result
        return function(*args, **kwargs)

    def report(self, function: Callable[..., Any], *args: Any) -> None:
        function(*args)

    def happen(self) -> int:
        waiting, self.waiting = self.waiting, []
        for call in waiting:
            call()
        return len(waiting)


class FetchingRuntime(MemoryRuntime):
    """
    A runtime that has to fetch images.

    :ivar missing: those that can't be had.
    :ivar fetched: in this order.
    """

    def __init__(self) -> None:
        super().__init__(MemoryHost())
        self.missing: set[str] = set()
        self.fetched: list[str] = []

    def prepare(self, container: Container) -> None:
        super().prepare(container)
        if str(container.image) in self.missing:
            raise ContainerNotPrepared(f"the image {container.image} can't be fetched")
        self.fetched.append(str(container.image))


class Working:
    """
    An agent's work of getting ready.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.runtime = FetchingRuntime()
        self.calls = Later()
        self.view = View(report(B))
        self.news = 0
        self.work = PreparationWork(
            view=self.view,
            failures=Failures(self.view, self.clock),
            runtime=self.runtime,
            blocking=self.calls,
            clock=self.clock,
            changed=self._changed,
        )

    def _changed(self) -> None:
        self.news += 1

    def asked(self, *wanted: Container) -> None:
        self.work.asked(pmap({one.name: one for one in wanted}))

    @property
    def prepared(self) -> dict[ContainerName, str]:
        return dict(self.view.node.prepared)

    @property
    def trouble(self) -> str:
        error = self.view.node.failures.get(preparation_of(DB))
        return "" if error is None else error.text


class TestAgent:
    """
    The agent of the target.
    """

    def test_prepared(self) -> None:
        """
        What is asked is fetched, and told once it is there, once.
        """
        agent = Working()
        agent.asked(container(D1))
        before = agent.prepared
        agent.calls.happen()
        told = agent.news
        agent.asked(container(D1))

        assert (before, agent.prepared) == ({}, {DB: definition_digest(container(D1))})
        assert (agent.calls.happen(), agent.news, agent.runtime.fetched) == (0, told, ["db:1"])

    def test_withdrawn(self) -> None:
        """
        What is asked no more is told no more, and asked for again it is looked at again.
        """
        agent = Working()
        agent.asked(container(D1))
        agent.calls.happen()
        agent.asked()
        forgotten = agent.prepared
        agent.asked(container(D1))
        agent.calls.happen()

        assert (forgotten, list(agent.prepared), agent.runtime.fetched) == ({}, [DB], ["db:1", "db:1"])

    def test_not_to_be_had(self) -> None:
        """
        What can't be fetched is told with its reason, and tried again after a while.
        """
        agent = Working()
        agent.runtime.missing.add("db:1")
        agent.asked(container(D1))
        agent.calls.happen()
        trouble = agent.trouble
        at_once = agent.calls.happen()
        agent.runtime.missing.clear()
        agent.clock.advance(1.0)
        agent.calls.happen()

        assert "the image db:1 can't be fetched" in trouble
        assert (at_once, agent.trouble, list(agent.prepared)) == (0, "", [DB])

    def test_refused(self) -> None:
        """
        What this node's runtime can't do is told in the same way.
        """
        agent = Working()
        agent.asked(container(D1).set(image=None))
        agent.calls.happen()

        assert ("command: is empty" in agent.trouble, agent.prepared) == (True, {})

    def test_another_definition_meanwhile(self) -> None:
        """
        What was being fetched for an earlier definition counts for nothing, and neither does its failure.
        """
        agent = Working()
        agent.runtime.missing.add("db:1")
        agent.asked(container(D1))
        agent.asked(container(D1, version="2"))
        agent.calls.happen()
        trouble = agent.trouble
        agent.calls.happen()

        assert (trouble, agent.prepared) == ("", {DB: definition_digest(container(D1, version="2"))})

    def test_woken_before_its_time(self) -> None:
        """
        Whatever wakes it, it is not tried again before its time.
        """
        agent = Working()
        agent.runtime.missing.add("db:1")
        agent.asked(container(D1))
        agent.calls.happen()
        agent.work.wake(DB)

        assert agent.calls.happen() == 0

    def test_stopped(self) -> None:
        """
        An agent that ends tries no more.
        """
        agent = Working()
        agent.runtime.missing.add("db:1")
        agent.asked(container(D1))
        agent.calls.happen()
        done(agent.work.stop())
        agent.clock.advance(100.0)

        assert agent.calls.happen() == 0
