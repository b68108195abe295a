"""
A cluster with relays on all of its ways and an application that writes: what tests of networks move there and back.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cluster import Ledger
from tests.integration.loopback import addresses
from tests.relayed import NODES, RelayedCluster

# At this rate half a second, so that a transfer can be met in its midst.
BALLAST_BYTES = 6 << 20
MAXIMUM_RATE = "12M"
# However slow machine and network are, they are no reason to give a move up.
VOLUMES = {"data": {"max_downtime": "60s"}}


class Worlds:
    """
    The cluster that tests share, until one has left it in a state that others shouldn't begin with.
    """

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self._factory = factory
        self._present: World | None = None

    def enter(self) -> World:
        """
        A cluster in which everything is well.
        """
        if self._present is None:
            self._present = World(self._factory.mktemp("cluster"))
        return self._present

    def leave(self, error: BaseException | None = None) -> None:
        """
        End it; the next one is new.
        """
        present, self._present = self._present, None
        if present is not None:
            present.cluster.__exit__(None if error is None else type(error), error, None)


class World:
    """
    A cluster with an application that writes.

    :ivar node: where it is.
    """

    def __init__(self, folder: Path) -> None:
        transfer = {"maximum_rate": MAXIMUM_RATE}
        self.cluster = RelayedCluster(folder, addresses=addresses(*NODES), transfer=transfer)
        self.cluster.__enter__()
        self.ledger = Ledger(folder, pause_seconds=0.01)
        self.node = "n1"
        self.deploy("n1")
        path = Path(self.cluster.settled("data", "n1")["path"])
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
        self.cluster.wait(lambda: not self.cluster.left_over(node) or None)

        assert self.cluster.dataset("data")["last_move"]["outcome"] == "done"
