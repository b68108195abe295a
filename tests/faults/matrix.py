"""
The kill matrix: whoever is killed at whatever point of a move, it ends as it should, without an operator.

It knows nothing of a backend, so that it runs on any: give it a started ``tests.cluster.Cluster`` with nodes ``n1`` and
``n2`` that was made with ``fault_points=True``, a ``Ledger``, and a function that names what a node shouldn't have::

    with Cluster(…, addresses=addresses("n1", "n2"), fault_points=True) as cluster:
        matrix = Matrix(cluster, Ledger(tmp_path, pause_seconds=0.005), leftovers)
        for cell in chosen():  # of tests.faults.cells
            seconds = matrix.run(cell)

One cluster serves for many cells, forth and back. When a cell has failed it is in an unknown state: take a new one, as
``Matrices`` does for the tests of a module. To do something else than killing at a point (cut a network, end a guest),
arm it with ``tests.faults.arming.arm``; when it has arrived the whole process stands still.
"""

from __future__ import annotations

import http.client
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

from flocker_control.refusals import RefusalCode
from tests.cluster import ApiError, Cluster, Ledger
from tests.faults.arming import Armed, arm, go_on
from tests.faults.cells import Cell
from tests.faults.inside import HOLD
from tests.faults.points import CANCEL, CONTROL, SOURCE, TARGET

BALLAST_BYTES = 3 << 20
"""More than one piece of a stream, so that there is a middle."""

Leftovers = Callable[[str, str | None], list[str]]
"""Of a node, and the id of the dataset it owns or None: names of all else that is in its pool."""

Asked = TypeVar("Asked")

Opened = Callable[[Path], AbstractContextManager[tuple[Cluster, Leftovers]]]


class Answer:
    """
    What a request that was made in the background is answered with; asked again for as long as nobody answers.

    :ivar status: of HTTP; None: not yet.
    :ivar body: of the answer.
    """

    def __init__(self, cluster: Cluster, method: str, path: str, body: Any = None) -> None:
        self.status: int | None = None
        self.body: Any = None
        self._cluster = cluster
        self._request = (method, path, body)
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """
        Wait for the answer.

        :raises AssertionError: there is none in time.
        """
        self._thread.join()
        assert self.status is not None, f"no answer to {self._request}"

    @property
    def came_too_late(self) -> bool:
        """
        Whether a cancellation was refused since its move was committed, or is done.
        """
        if self.status != RefusalCode.MOVE_ENDED.status:
            return False
        committed = self.body["code"] == RefusalCode.MOVE_COMMITTED.text
        return committed or (self.body["code"] == RefusalCode.MOVE_ENDED.text and ": done" in self.body["description"])

    def _ask(self) -> None:
        def answered() -> bool:
            try:
                self.body = self._cluster.api(*self._request)
                self.status = 200
            except ApiError as error:
                self.body, self.status = error.body, error.status
            except (OSError, http.client.HTTPException):
                return False
            return True

        with suppress(AssertionError):
            self._cluster.wait(answered)


class Matrix:
    """
    :param cluster: started, with nodes ``n1`` and ``n2``, and nothing in it.
    """

    def __init__(self, cluster: Cluster, ledger: Ledger, leftovers: Leftovers) -> None:
        self.cluster = cluster
        self._ledger = ledger
        self._leftovers = leftovers
        cluster.deploy({"data": {}}, {"ledger": ledger.app("n1", "data")})
        dataset = cluster.settled("data", "n1")
        self._dataset_id: str = dataset["dataset_id"]
        (Path(dataset["path"]) / "ballast").write_bytes(os.urandom(BALLAST_BYTES))
        self.running_again()

    def run(self, cell: Cell) -> float:
        """
        One cell: kill, start again, wait for the end, and look at everything.

        :returns: how many seconds it took from the kill to the end.
        :raises AssertionError: something is not as it should be.
        """
        cluster, programs = self.cluster, self.programs()
        source, target = programs[SOURCE], programs[TARGET]
        arriving, victims = programs[cell.point.side], [programs[victim] for victim in cell.victims]
        held, move_id = None, ""
        if cell.point.story == CANCEL:
            held = arm(cluster, source, "laid-down", mode=HOLD)
            self.move(target).wait()
            held.wait()
            move_id = self.move_id()
        armed = arm(cluster, arriving, cell.point.local, also=[name for name in victims if name != arriving])
        asked = self.move(target, by_way_of=cell.point.local) if held is None else self.cancel(move_id)
        if held is not None and cell.point.side != CONTROL:
            held.let_go()
        self._await_arrival(armed)
        began = time.monotonic()
        for name in victims:
            cluster.kill(name)
        if arriving not in victims:
            go_on(cluster, arriving)
        for name in victims:
            cluster.start(name)
        if held is None:
            asked.wait()
            self.check(target, outcome="done")
        else:
            # Before the cancellation is answered, the source must not get on: a cancellation that was never durable
            # may rightly come too late when its client asks again.
            asked.wait()
            held.let_go()
            # Where the source itself was killed nothing holds it, and the answer says which of the two came first.
            late = source in victims and asked.came_too_late
            self.check(target if late else source, outcome="done" if late else "cancelled")
        return time.monotonic() - began

    def run_failover(self, cell: Cell) -> float:
        """
        One cell of a failover: a move is committed, its target dies before it has begun, and the dataset is failed over
        to the source, which has all of it. Then the dead node comes back.

        :returns: how many seconds it took from the kill to the end.
        :raises AssertionError: something is not as it should be.
        """
        cluster, programs = self.cluster, self.programs()
        heir, dead = programs[SOURCE], programs[TARGET]
        held = arm(cluster, dead, "taking")
        self.move(dead).wait()
        self._await_arrival(held)
        cluster.kill(dead)
        cluster.wait(lambda: cluster.dataset("data")["status"] == "unavailable")
        copies = cluster.wait(lambda: cluster.api("GET", f"/v2/datasets/{self._dataset_id}/copies")["copies"])
        heirs = str(cluster.node_ids[heir])
        guid = next(copy["newest_guid"] for copy in copies if copy["node_id"] == heirs)
        body = {"target": heirs, "guids": {self._dataset_id: guid}, "owner_is_dead": True}

        def ask() -> Answer:
            return Answer(cluster, "POST", f"/v2/datasets/{self._dataset_id}/failover", body)

        began, asked = self._killed(cell, {TARGET: heir, CONTROL: CONTROL}, ask)
        asked.wait()
        # One whose request was lost with control asks again, and until the new owner has a connection it is refused.
        while asked.body.get("code") == RefusalCode.NODE_AWAY.text:
            cluster.wait(lambda: cluster.nodes()[heirs]["connected"])
            asked = ask()
            asked.wait()
        # What was durable before it was answered is there already.
        assert asked.status == 200 or asked.body["code"] == RefusalCode.ALREADY_THERE.text, asked.body
        cluster.settled("data", heir)
        self.running_again()
        cluster.start(dead)
        cluster.wait(lambda: not cluster.dataset("data")["deposed"])
        self.check(heir, outcome="done")
        return time.monotonic() - began

    def run_birth(self, cell: Cell) -> float:
        """
        One cell of the birth of a dataset: it is made once, and is gone without a trace when it is deleted.

        :returns: how many seconds it took from the kill to the end.
        :raises AssertionError: something is not as it should be.
        """
        cluster, programs = self.cluster, self.programs()
        node = programs[SOURCE]
        folder = cluster.folder / f"born-{time.monotonic_ns()}"
        folder.mkdir()
        ledger, name = Ledger(folder, pause_seconds=0.005), folder.name

        def ask() -> None:
            # Whether it is taken or not: it is asked for again below, as a client does that got no answer.
            with suppress(OSError, http.client.HTTPException, ApiError):
                cluster.deploy({name: {}}, {name: ledger.app(node, name)})

        began, _ = self._killed(cell, {TARGET: node, CONTROL: CONTROL}, ask)
        cluster.wait(lambda: cluster.deploy({name: {}}, {name: ledger.app(node, name)}))
        dataset = cluster.settled(name, node)
        cluster.wait(lambda: len(ledger.acknowledged()) > 3)
        assert dataset["epoch"] == 1, dataset
        cluster.deploy({}, {name: {"state": "deleted"}})
        cluster.wait(lambda: all(one["name"] != name for one in cluster.api("GET", "/v2/containers")["containers"]))
        ledger.check(Path(dataset["path"]))
        cluster.deploy({name: {"state": "deleted"}}, {})
        self._nothing_left(node, programs[TARGET])
        return time.monotonic() - began

    def _killed(self, cell: Cell, programs: Mapping[str, str], ask: Callable[[], Asked]) -> tuple[float, Asked]:
        """
        Ask for something, kill the victims at the cell's point, and start them again.

        :returns: when they were killed, and what asking has given.
        """
        cluster, arriving = self.cluster, programs[cell.point.side]
        victims = [programs[victim] for victim in cell.victims]
        armed = arm(cluster, arriving, cell.point.local, also=[name for name in victims if name != arriving])
        asked = ask()
        self._await_arrival(armed)
        began = time.monotonic()
        for name in victims:
            cluster.kill(name)
        if arriving not in victims:
            go_on(cluster, arriving)
        for name in victims:
            cluster.start(name)
        return began, asked

    def programs(self) -> dict[str, str]:
        """
        Which program is on which side now.
        """
        owner = self.cluster.wait(lambda: self.cluster.dataset("data"))["owner"]
        source = next(name for name, node_id in self.cluster.node_ids.items() if str(node_id) == owner)
        target = next(name for name in self.cluster.node_ids if name != source)
        return {SOURCE: source, TARGET: target, CONTROL: CONTROL}

    def move(self, target: str, *, by_way_of: str = "") -> Answer:
        """
        Ask for a move.

        :param by_way_of: the half of a point's name: where that is of a delta, there will be one, although nobody knows
            when an application that writes all the time comes to do so.
        """
        body = {"dataset": self._dataset_id, "target": str(self.cluster.node_ids[target])}
        if not by_way_of.startswith("delta"):
            return Answer(self.cluster, "POST", "/v2/moves", body)
        source = next(name for name in self.cluster.node_ids if name != target)
        first_round = arm(self.cluster, source, "snapshot.taken", mode=HOLD)
        asked = Answer(self.cluster, "POST", "/v2/moves", body)
        first_round.wait()
        self.running_again()
        first_round.let_go()
        return asked

    def move_id(self) -> str:
        """
        Of the move that is under way.
        """
        move_id: str = self.cluster.wait(lambda: self.cluster.dataset("data")["move"])["move_id"]
        return move_id

    def cancel(self, move_id: str) -> Answer:
        """
        Ask for a cancellation.
        """
        return Answer(self.cluster, "DELETE", f"/v2/moves/{move_id}")

    def running_again(self) -> None:
        """
        Wait until the application writes.
        """
        count = len(self._ledger.acknowledged())
        self.cluster.wait(lambda: len(self._ledger.acknowledged()) > count + 3)

    def check(self, owner: str, *, outcome: str) -> None:
        """
        The last move has ended, or ends, on this node: and all is as it should be.
        """
        cluster = self.cluster
        dataset = cluster.settled("data", owner)
        self.running_again()
        other = next(name for name in cluster.node_ids if name != owner)
        cluster.wait(lambda: all(node["connected"] for node in cluster.nodes().values()))
        cluster.wait(lambda: self._runs_on(owner))
        self._ledger.check(Path(dataset["path"]))
        self._nothing_left(owner, other)

        dataset = cluster.dataset("data")
        assert dataset["last_move"]["outcome"] == outcome, dataset
        # That nothing is wrong any more is told after it was put right.
        cluster.wait(lambda: cluster.dataset("data")["last_error"] is None)
        cluster.wait(lambda: cluster.container("ledger")["last_error"] is None)

    def _runs_on(self, node: str) -> bool:
        container = self.cluster.container("ledger")
        return bool(container["state"] == "running" and container["runs_on"] == str(self.cluster.node_ids[node]))

    def _await_arrival(self, armed: Armed) -> None:
        try:
            armed.wait()
        except AssertionError:
            armed.disarm()
            raise

    def _nothing_left(self, owner: str, other: str) -> None:
        folder = self.cluster.folder
        runtimes = {name: folder / name / "state" / "containers" for name in (owner, other)}

        def left() -> list[str]:
            return [
                *(f"{owner}: {name}" for name in self._leftovers(owner, self._dataset_id)),
                *(f"{other}: {name}" for name in self._leftovers(other, None)),
                *(f"{other}: container {path.name}" for path in (runtimes[other] / "containers").iterdir()),
                *(f"{name}: trash {path.name}" for name in runtimes for path in (runtimes[name] / "trash").iterdir()),
                *(str(path) for node in (owner, other) for path in (folder / node / "state").glob("*.new")),
                *(str(path) for path in (folder / "data").glob("*.new")),
            ]

        try:
            self.cluster.wait(lambda: not left())
        except AssertionError:
            raise AssertionError(f"left over: {left()}") from None


class Matrices:
    """
    A cluster for many tests; another one after a test that has failed.

    :param opened: makes one in a new folder, with what a node may have left.
    """

    def __init__(
        self,
        folders: pytest.TempPathFactory,
        opened: Callable[[Path], AbstractContextManager[tuple[Cluster, Leftovers]]],
    ) -> None:
        self._folders = folders
        self._opened = opened
        self._open = ExitStack()
        self._matrix: Matrix | None = None

    @contextmanager
    def using(self) -> Iterator[Matrix]:
        """
        The present one, for one test.
        """
        try:
            if self._matrix is None:
                folder = self._folders.mktemp("matrix")
                cluster, leftovers = self._open.enter_context(self._opened(folder))
                self._matrix = Matrix(cluster, Ledger(folder, pause_seconds=0.005), leftovers)
            yield self._matrix
        except BaseException as error:
            self._matrix = None
            # With the error: it gets the logs, and what stands still is killed.
            self._open.__exit__(type(error), error, error.__traceback__)
            raise

    def close(self) -> None:
        """
        End the present one.
        """
        self._open.close()
