"""
What an agent was asked last is remembered, whatever went wrong before.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from twisted.internet.defer import Deferred

from flocker_agent.memory import Memory
from flocker_agent.remembered import remembered
from flocker_py.assignment import NodeAssignment
from flocker_py.model import NodeId
from flocker_py.observed import NodeObservation

A, BOOT = NodeId(UUID(int=1)), UUID(int=1001)


class Asked:
    """
    An agent that has been asked something.
    """

    def __init__(self) -> None:
        self.node = NodeObservation(
            node_id=A, era=BOOT, address="::1", transfer_port=4525, version="0", storage="memory", runtime="memory"
        )
        self.asked: list[int] = []
        self.ends_at_seconds = 0.0

    def renewed(self, ends_at_seconds: float) -> None:
        self.ends_at_seconds = ends_at_seconds

    def assign(self, assignment: NodeAssignment) -> None:
        self.asked.append(assignment.revision)


class Slow:
    """
    Calls that block until they are let go on, one at a time.
    """

    def __init__(self) -> None:
        self._begun: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    async def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        answer: Deferred[Any] = Deferred()
        self._begun.append((lambda: function(*args, **kwargs), answer))
        return await answer

    def report(self, function: Callable[..., Any], *args: Any) -> None:
        function(*args)

    @property
    def waits(self) -> bool:
        return bool(self._begun)

    def go_on(self) -> None:
        call, answer = self._begun.pop(0)
        try:
            result = call()
        except Exception as error:  # noqa: BLE001  # as a thread would
            answer.errback(error)
        else:
            answer.callback(result)

    def fail(self, error: Exception) -> None:
        self._begun.pop(0)[1].errback(error)


def revision(number: int) -> NodeAssignment:
    return NodeAssignment(node_id=A, revision=number)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "assignment.json"


@pytest.fixture
def agent() -> Asked:
    return Asked()


@pytest.fixture
def disk() -> Slow:
    return Slow()


@pytest.fixture
def memory(path: Path, agent: Asked, disk: Slow) -> Memory:
    path.parent.mkdir()
    return Memory(path, A, agent, disk)


def test_written_after_it_is_gone_by(memory: Memory, agent: Asked, disk: Slow, path: Path) -> None:
    """
    The agent doesn't wait for the disk to do what it is asked.
    """
    memory.assign(revision(1))
    asked, before = list(agent.asked), remembered(path, A, BOOT)
    disk.go_on()

    assert ([1], None, revision(1)) == (asked, before, remembered(path, A, BOOT))


def test_only_the_latest_is_written(memory: Memory, disk: Slow, path: Path) -> None:
    """
    What was asked while one was being written is written then, without what the last has overtaken.
    """
    for number in (1, 2, 3):
        memory.assign(revision(number))
    disk.go_on()
    disk.go_on()

    assert (revision(3), False) == (remembered(path, A, BOOT), disk.waits)


def test_disk_that_fails(memory: Memory, disk: Slow, path: Path) -> None:
    """
    An assignment that the disk didn't take is gone by, and the next is written.
    """
    path.parent.rmdir()
    memory.assign(revision(1))
    disk.go_on()
    path.parent.mkdir()
    memory.assign(revision(2))
    disk.go_on()

    assert revision(2) == remembered(path, A, BOOT)


def test_disk_that_fails_while_more_is_asked(memory: Memory, disk: Slow, path: Path) -> None:
    """
    What was asked meanwhile is written all the same.
    """
    path.parent.rmdir()
    memory.assign(revision(1))
    memory.assign(revision(2))
    disk.go_on()
    path.parent.mkdir()
    disk.go_on()

    assert revision(2) == remembered(path, A, BOOT)


def test_whatever_goes_wrong(memory: Memory, disk: Slow, path: Path) -> None:
    """
    Even after an error that nobody has thought of, the next assignment is written.
    """
    memory.assign(revision(1))
    disk.fail(RuntimeError("no thread"))
    memory.assign(revision(2))
    disk.go_on()

    assert revision(2) == remembered(path, A, BOOT)


def test_recalled(memory: Memory, agent: Asked, disk: Slow, path: Path) -> None:
    """
    The next agent goes by what was asked of the last one.
    """
    memory.assign(revision(1))
    disk.go_on()
    Memory(path, A, agent, disk).recall()

    assert [1, 1] == agent.asked


def test_leases_are_passed_on(memory: Memory, agent: Asked) -> None:
    """
    A renewal goes to the agent, and is not its memory's concern.
    """
    memory.renewed(7.0)

    assert agent.ends_at_seconds == 7.0
