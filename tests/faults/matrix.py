"""
The kill matrix: whoever is killed at whatever point of a move, it ends as it should, without an operator.

It knows nothing of a backend, so that it runs on any: give it a started ``tests.cluster.Cluster`` with nodes ``n1`` and
``n2`` that was made with ``fault_points=True``, a ``Ledger``, and a function that names what a node shouldn't have::

    with Cluster(…, addresses=addresses("n1", "n2"), fault_points=True) as cluster:
        matrix = Matrix(cluster, Ledger(tmp_path, pause_seconds=0.005), leftovers)
        for cell in chosen():  # of tests.faults.cells
            seconds = matrix.run(cell)

One cluster serves for many cells, forth and back. When a cell has failed it is in an unknown state: take a new one. To
do something else than killing at a point (cut a network, end a guest), arm it with ``tests.faults.arming.arm``; when it
has arrived the whole process stands still.
"""

from __future__ import annotations

import http.client
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cluster import ApiError, Cluster, Ledger
from tests.faults.arming import Armed, arm, go_on
from tests.faults.cells import Cell
from tests.faults.inside import HOLD
from tests.faults.points import CANCEL, CONTROL, SOURCE, TARGET

BALLAST_BYTES = 3 << 20
"""More than one piece of a stream, so that there is a middle."""

Leftovers = Callable[[str, str | None], list[str]]
"""Of a node, and the id of the dataset it owns or None: names of all else that is in its pool."""


class Matrix:
    """
    :param cluster: started, with nodes ``n1`` and ``n2``, and nothing in it.
    """

    def __init__(self, cluster: Cluster, ledger: Ledger, leftovers: Leftovers) -> None:
        self._cluster = cluster
        self._ledger = ledger
        self._leftovers = leftovers
        cluster.deploy({"data": {}}, {"ledger": ledger.app("n1", "data")})
        dataset = cluster.settled("data", "n1")
        self._dataset_id: str = dataset["dataset_id"]
        (Path(dataset["path"]) / "ballast").write_bytes(os.urandom(BALLAST_BYTES))
        self._running_again()

    def run(self, cell: Cell) -> float:
        """
        One cell: kill, start again, wait for the end, and look at everything.

        :returns: how many seconds it took from the kill to the end.
        :raises AssertionError: something is not as it should be.
        """
        cluster, programs = self._cluster, self._programs()
        source, target = programs[SOURCE], programs[TARGET]
        held = None
        if cell.point.story == CANCEL:
            held = arm(cluster, source, "laid-down", mode=HOLD)
            moving = self._asked_in_background(self._ask_to_move, target)
            held.wait()
            moving.join()
            move_id = cluster.dataset("data")["move"]["move_id"]
        arriving = programs[cell.point.side]
        others = [programs[v] for v in cell.victims if programs[v] != arriving]
        armed = arm(cluster, arriving, cell.point.local, also=others)
        if held is None:
            asked = self._asked_in_background(self._ask_to_move, target)
        else:
            asked = self._asked_in_background(self._ask_to_cancel, move_id)
            if cell.point.side != CONTROL:
                held.let_go()
        self._await_arrival(armed)
        began = time.monotonic()
        victims = [programs[v] for v in cell.victims]
        for name in victims:
            cluster.kill(name)
        if arriving not in victims:
            go_on(cluster, arriving)
        if held is not None:
            held.let_go()
        for name in victims:
            cluster.start(name)
        asked.join()
        self.check(target if held is None else source, outcome="done" if held is None else "cancelled")
        return time.monotonic() - began

    def check(self, owner: str, *, outcome: str) -> None:
        """
        The last move has ended, or ends, on this node: and all is as it should be.
        """
        cluster = self._cluster
        dataset = cluster.settled("data", owner)
        self._running_again()
        other = next(name for name in cluster.node_ids if name != owner)
        cluster.wait(lambda: all(node["connected"] for node in cluster.nodes().values()))
        cluster.wait(lambda: cluster.container("ledger")["state"] == "running")
        self._ledger.check(Path(dataset["path"]))
        self._nothing_left(owner, other)

        last, container = cluster.dataset("data")["last_move"], cluster.container("ledger")
        assert last["outcome"] == outcome, last
        assert container["runs_on"] == str(cluster.node_ids[owner]), container
        assert container["last_error"] is None, container
        assert cluster.dataset("data")["last_error"] is None, cluster.dataset("data")

    def _programs(self) -> dict[str, str]:
        owner = self._cluster.wait(lambda: self._cluster.dataset("data"))["owner"]
        source = next(name for name, node_id in self._cluster.node_ids.items() if str(node_id) == owner)
        target = next(name for name in self._cluster.node_ids if name != source)
        return {SOURCE: source, TARGET: target, CONTROL: CONTROL}

    def _await_arrival(self, armed: Armed) -> None:
        try:
            armed.wait()
        except AssertionError:
            armed.disarm()
            raise

    def _running_again(self) -> None:
        count = len(self._ledger.acknowledged())
        self._cluster.wait(lambda: len(self._ledger.acknowledged()) > count + 3)

    def _nothing_left(self, owner: str, other: str) -> None:
        cluster = self._cluster

        def left() -> list[str]:
            runtimes = {name: cluster.folder / name / "state" / "containers" for name in (owner, other)}
            return [
                *(f"{owner}: {name}" for name in self._leftovers(owner, self._dataset_id)),
                *(f"{other}: {name}" for name in self._leftovers(other, None)),
                *(f"{other}: container {path.name}" for path in (runtimes[other] / "containers").iterdir()),
                *(f"{name}: trash {path.name}" for name in runtimes for path in (runtimes[name] / "trash").iterdir()),
                *(str(path) for node in (owner, other) for path in (cluster.folder / node / "state").glob("*.new")),
                *(str(path) for path in (cluster.folder / "data").glob("*.new")),
            ]

        try:
            cluster.wait(lambda: not left())
        except AssertionError:
            raise AssertionError(f"left over: {left()}") from None

    # -- as a client that asks again when it gets no answer ---------------------------------------------------------

    def _asked_in_background(self, ask: Callable[[str], Any], what: str) -> threading.Thread:
        thread = threading.Thread(target=ask, args=(what,), daemon=True)
        thread.start()
        return thread

    def _ask_to_move(self, target: str) -> None:
        body = {"dataset": self._dataset_id, "target": str(self._cluster.node_ids[target])}
        self._ask("POST", "/v2/moves", body, "AlreadyThere")

    def _ask_to_cancel(self, move_id: str) -> None:
        self._ask("DELETE", f"/v2/moves/{move_id}", None, "MoveEnded")

    def _ask(self, method: str, path: str, body: Any, done_already: str) -> None:
        def answered() -> bool:
            try:
                self._cluster.api(method, path, body)
            except ApiError as error:
                if error.body.get("code") != done_already:
                    raise
            except (OSError, http.client.HTTPException):
                return False
            return True

        self._cluster.wait(answered)
