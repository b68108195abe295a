"""
The kill matrix of the engines: Docker is killed on a node at every point of a move, and started again; at some of them
the agent of a node is killed, or both are at once.

Whoever arrives at the point, an agent or control, stands still until the victims are dead, and goes on if it is none of
them. ``FLOCKER_FAULTS`` says how many cells are run, as in the matrix of our own programs.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any, NamedTuple

import pytest

from tests.cluster import ApiError
from tests.conftest import Require
from tests.database_moves import VOLUME
from tests.docker_nodes import DockerNodes, docker_nodes
from tests.faults.arming import arm, go_on
from tests.faults.cells import WHICH_VARIABLE, day
from tests.faults.directory import leftovers
from tests.faults.matrix import Answer
from tests.faults.points import CONTROL, MOVE, POINTS, SOURCE, TARGET, Point
from tests.images import WEB_IMAGE, import_web
from tests.integration.test_database_moves import on_directories
from tests.web_visits import VOLUMES, Visitor, at_rest, web
from tests.witness import Witness
from tests.zfs.namespaces import enter

pytestmark = pytest.mark.timeout(300)
_EVERY = 13
# No divisor of the number of cells at a point, so that every day has all kinds.
_EVERY_OF_AGENTS = 5
ENGINE, AGENT = "engine", "agent"
# From the stop of the application on the source to its start on the target.
POINTS_FOR_AGENTS = (
    "source.container.stopping",
    "source.container.stopped",
    "source.laid-down",
    "source.final.taken",
    "control.committed.persisted",
    "target.taken",
    "target.container.starting",
    "target.container.started",
)


class Cell(NamedTuple):
    """
    At a point, something is killed on one side.

    :ivar victims: the engine, the agent or both.
    """

    point: Point
    side: str
    victims: tuple[str, ...]

    @property
    def name(self) -> str:
        """
        ``POINT:SIDE-VICTIM`` or ``POINT:SIDE-VICTIM+VICTIM``.
        """
        return f"{self.point.name}:{self.side}-{'+'.join(self.victims)}"


def chosen() -> list[Cell]:
    """
    All cells, or as many as a run of all tests has time for: other ones every day.
    """
    engines = [Cell(point, side, (ENGINE,)) for point in POINTS if point.story == MOVE for side in (SOURCE, TARGET)]
    agents = [
        Cell(point, side, victims)
        for point in POINTS
        if point.name in POINTS_FOR_AGENTS
        for side in (SOURCE, TARGET)
        for victims in ((AGENT,), (ENGINE, AGENT))
    ]
    if os.environ.get(WHICH_VARIABLE, "some") == "all":
        return [*engines, *agents]
    return [
        cell
        for cells, every in ((engines, _EVERY), (agents, _EVERY_OF_AGENTS))
        for number, cell in enumerate(cells)
        if (number + day()) % every == 0
    ]


class DockerMatrix:
    """
    Nodes that serve for many cells; other ones after a cell that has failed.
    """

    def __init__(self) -> None:
        self._open = ExitStack()
        self._nodes: DockerNodes | None = None
        self._witness = Witness()

    def run(self, cell: Cell) -> None:
        """
        One cell.

        :raises AssertionError: something is not as it should be.
        """
        try:
            nodes = self._opened()
            self._run(nodes, cell)
            nodes.cluster.wait(lambda: self._witness.living() == 1)
            assert not self._witness.twice
        except BaseException as error:
            if self._nodes is not None:
                error.add_note(_as_it_is(self._nodes))
            self._nodes = None
            self._open.__exit__(type(error), error, error.__traceback__)
            raise

    def close(self) -> None:
        """
        End the present ones.
        """
        self._open.close()

    def _opened(self) -> DockerNodes:
        if self._nodes is None:
            # It ends last: applications end with it.
            self._witness = self._open.enter_context(Witness())
            nodes = self._open.enter_context(docker_nodes(["n1", "n2"], on_directories, fault_points=True))
            for host in nodes.hosts.values():
                import_web(host)
            with enter(nodes.hosts["n1"].fabric):
                witness = self._witness.listen(nodes.cluster.addresses[CONTROL])
            ended = nodes.deploy(VOLUMES, {"web": web("n1", witness)})
            assert ended.status == 0, ended.out + ended.err
            self._nodes = nodes
        return self._nodes

    @staticmethod
    def _run(nodes: DockerNodes, cell: Cell) -> None:
        cluster = nodes.cluster
        dataset = cluster.dataset(VOLUME)
        here = nodes.owner(VOLUME)
        programs = {SOURCE: here, TARGET: next(name for name in nodes.hosts if name != here), CONTROL: CONTROL}
        victim = programs[cell.side]
        agents = [victim] if AGENT in cell.victims else []
        before = None if dataset["last_move"] is None else dataset["last_move"]["move_id"]
        with Visitor(nodes) as visitor:
            cluster.wait(lambda: len(visitor.counts) > 3)
            arriving = programs[cell.point.side]
            armed = arm(cluster, arriving, cell.point.local, also=[name for name in agents if name != arriving])
            body = {"dataset": dataset["dataset_id"], "target": str(cluster.node_ids[programs[TARGET]])}
            asked = Answer(cluster, "POST", "/v2/moves", body)
            armed.wait()
            for name in agents:
                cluster.kill(name)
            if ENGINE in cell.victims:
                nodes.hosts[victim].kill()
            if arriving not in agents:
                go_on(cluster, arriving)
            if ENGINE in cell.victims:
                nodes.hosts[victim].start()
            for name in agents:
                cluster.start(name)
            asked.wait()
            dataset = cluster.wait(lambda: ended_after(cluster.dataset(VOLUME), before))
            owner = nodes.owner(VOLUME)
            # It may be the engine on which the application is to go on that holds its port for nobody.
            cluster.wait(lambda: nodes.relieve() == [] and nodes.running(WEB_IMAGE) == [owner])
            answered = len(visitor.counts)
            cluster.wait(lambda: len(visitor.counts) > answered + 3)
        other = next(name for name in nodes.hosts if name != owner)
        cluster.wait(lambda: nodes.hosts[other].docker("ps", "--all", "--quiet") == "")
        # For the next cell, whose move would wait for the port.
        nodes.relieve()
        left = leftovers(cluster.folder)
        cluster.wait(lambda: left(owner, dataset["dataset_id"]) + left(other, None) == [])

        assert visitor.counts == sorted(set(visitor.counts))


def _as_it_is(nodes: DockerNodes) -> str:
    """
    What control says of the dataset, and what each host has: for those who look for the reason of a failure.
    """
    told = []
    with suppress(OSError, http.client.HTTPException, ApiError):
        told.append(json.dumps(nodes.cluster.dataset(VOLUME), indent=1))
    for name, host in nodes.hosts.items():
        for command in (["docker", "--host", host.socket, "ps", "--all"], ["ss", "-tlnp"]):
            with suppress(subprocess.TimeoutExpired):
                ended = subprocess.run(
                    [*host.inside, *command], capture_output=True, text=True, check=False, timeout=30
                )
                told.append(f"== {' '.join(command)} on {name}\n{ended.stdout}{ended.stderr}")
    return "\n".join(told)


def ended_after(dataset: dict[str, Any], move_id: str | None) -> dict[str, Any] | None:
    """
    The dataset, if a move after that one has ended and none is left to be done.
    """
    return dataset if at_rest(dataset) and dataset["last_move"]["move_id"] != move_id else None


@pytest.fixture(scope="module")
def matrix() -> Iterator[DockerMatrix]:
    matrix = DockerMatrix()
    yield matrix
    matrix.close()


@pytest.mark.parametrize("cell", chosen(), ids=lambda cell: cell.name)
def test_killed(require: Require, matrix: DockerMatrix, cell: Cell) -> None:
    """
    Wherever the move ends: one owner, one container, which never ran twice, no count given twice or lost, nothing left.
    """
    require("docker")
    matrix.run(cell)
