"""
A cluster over whose network tests have power, and an application in it that writes and is moved there and back.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path

from tests.cluster import Cluster, Ledger

NODES = ("n1", "n2")
# At this rate half a second, so that a transfer can be met in its midst.
BALLAST_BYTES = 6 << 20
MAXIMUM_RATE = "12M"
# However slow machine and network are, they are no reason to give a move up.
VOLUMES = {"data": {"max_downtime": "5s", "on_overrun": "cut-over"}}


class NetworkedCluster(Cluster):
    """
    Control and the nodes ``n1`` and ``n2``.

    :cvar phase_delay_seconds: each way, with which no phase of a move is over before it can be met.
    """

    phase_delay_seconds = 0.08

    @abstractmethod
    def delay(self, seconds: float) -> None:
        """
        From now on, everything is under way for so long, in each direction.
        """

    @abstractmethod
    def part(self, one: str, other: str, *, only_from: str | None = None) -> None:
        """
        Nothing gets from one to the other any more, nor back.

        :param only_from: who alone isn't heard any more by the other.
        """

    @abstractmethod
    def part_all(self) -> None:
        """
        Nothing gets anywhere any more.
        """

    @abstractmethod
    def heal(self) -> None:
        """
        Everything gets through again.
        """

    @abstractmethod
    def left_over(self, owner: str) -> list[str]:
        """
        What there is in the nodes' pools beside the datasets that one of them owns.
        """


class World:
    """
    A cluster with an application that writes.

    :param folder: for the application's program and witness.
    :ivar node: where it is.
    """

    def __init__(self, cluster: NetworkedCluster, folder: Path) -> None:
        self.cluster = cluster
        self.ledger = Ledger(folder, pause_seconds=0.01)
        self.node = "n1"
        self.deploy("n1")
        path = Path(cluster.settled("data", "n1")["path"])
        (path / "ballast").write_bytes(os.urandom(BALLAST_BYTES))
        self.running_again()

    @property
    def other(self) -> str:
        """
        Where the application isn't.
        """
        return "n2" if self.node == "n1" else "n1"

    def deploy(self, node: str) -> None:
        """
        Want the application on a node.
        """
        self.cluster.deploy(VOLUMES, {"ledger": self.ledger.app(node, "data")})

    def running_again(self) -> None:
        """
        Wait until the application writes.
        """
        count = len(self.ledger.acknowledged())
        self.cluster.wait(lambda: len(self.ledger.acknowledged()) > count + 10)

    def check(self, node: str) -> None:
        """
        The move gets to its end: there is one owner, every acknowledged record is there, and nothing is left over.
        """
        self.node = node
        dataset = self.cluster.settled("data", node)
        self.running_again()
        self.ledger.check(Path(dataset["path"]))
        self.cluster.wait(lambda: not self.cluster.left_over(node))

        assert self.cluster.dataset("data")["last_move"]["outcome"] == "done"


class Worlds:
    """
    The world that tests share, until one has left it in a state that others shouldn't begin with.

    :param new_cluster: makes a cluster, not started, and says in which folder.
    """

    def __init__(self, new_cluster: Callable[[], NetworkedCluster]) -> None:
        self._new_cluster = new_cluster
        self._present: World | None = None

    def enter(self) -> World:
        """
        A world in which everything is well.
        """
        if self._present is None:
            cluster = self._new_cluster().__enter__()
            try:
                self._present = World(cluster, cluster.folder)
            except BaseException as error:
                cluster.__exit__(type(error), error, None)
                raise
        return self._present

    def leave(self, error: BaseException | None = None) -> None:
        """
        End it; the next one is new.
        """
        present, self._present = self._present, None
        if present is not None:
            present.cluster.heal()
            present.cluster.__exit__(None if error is None else type(error), error, None)
