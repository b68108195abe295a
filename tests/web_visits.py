"""
A web application that counts in its volume, on nodes with engines, and somebody who asks it to all the time.
"""

from __future__ import annotations

import http.client
import threading
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from tests.database_moves import VOLUME
from tests.docker_nodes import DockerNodes
from tests.images import DATA, WEB_IMAGE

VOLUMES = {VOLUME: {"size": "1G"}}
PAGE = "/cgi-bin/count"


class Visitor:
    """
    Asks every node for the page, over and over, while it is entered.

    :ivar counts: that were answered, in this order.
    """

    def __init__(self, nodes: DockerNodes) -> None:
        self._nodes = nodes
        self._told_to_end = threading.Event()
        self._thread = threading.Thread(target=self._visit)
        self.counts: list[int] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._told_to_end.set()
        self._thread.join()

    def _visit(self) -> None:
        while not self._told_to_end.wait(0.02):
            for name in self._nodes.hosts:
                # Nobody is there, or leaves in the middle of the answer.
                with suppress(OSError, http.client.HTTPException, ValueError):
                    self.counts.append(int(self._nodes.page(name, PAGE)))


def web(node: str, witness: str = "") -> dict[str, Any]:
    """
    For the ``apps`` of a deployment.

    :param witness: where a ``tests.witness.Witness`` listens; empty: nowhere.
    """
    return {
        "node": node,
        "image": WEB_IMAGE,
        "ports": ["8080:80"],
        "mounts": [{"volume": VOLUME, "path": DATA}],
        "restart": "always",
        "stop_grace": "2s",
        **({"env": {"WITNESS": witness}} if witness else {}),
    }


def at_rest(dataset: dict[str, Any]) -> dict[str, Any] | None:
    """
    The dataset, if a move of it has ended and none is left to be done.
    """
    good = dataset["last_move"] is not None and dataset["move"] is None and not dataset["settling"]
    return dataset if good else None
