"""
Two nodes of a cluster, each with an engine of Docker and the volume plugin.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.cluster import Cluster
from tests.integration.loopback import addresses
from tests.integration.tools import Ended
from tests.plugins import Plugin
from tests.volume_engines import Engine

NAMES = ("n1", "n2")


class Node:
    """
    A node with an engine and a plugin.
    """

    def __init__(self, name: str, engine: Engine, plugin: Plugin) -> None:
        self.name = name
        self.engine = engine
        self.plugin = plugin


@contextmanager
def volume_nodes(*other_engines: str) -> Iterator[dict[str, Node]]:
    """
    The nodes, by their names.

    :param other_engines: sockets in the folder of a node's engine, at which its plugin asks others for their volumes.
    """
    # The names of sockets are short, and overlays don't lie on overlays.
    folder = Path(tempfile.mkdtemp(prefix="fpv"))

    def dataset(name: str) -> dict[str, str]:
        return {
            "backend": "directory",
            "root_path": str(folder / "cluster" / name / "pool"),
            "mount_root": str(folder / "cluster" / name / "flocker"),
        }

    (folder / "cluster").mkdir()
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, folder)
        cluster = undo.enter_context(Cluster(folder / "cluster", dataset, addresses=addresses(*NAMES)))
        found = {}
        for name in NAMES:
            engine = undo.enter_context(Engine(folder / name))
            sockets = [engine.socket_path, *(engine.folder / other for other in other_engines)]
            # Longer than it takes from a container's mount until its engine tells that it runs.
            options = ["--forget-seconds", "10", *(word for path in sockets for word in ("--engine", str(path)))]
            plugin = Plugin(cluster, name, socket_path=engine.plugin_socket, options=options)
            found[name] = Node(name, engine, undo.enter_context(plugin))
        yield found


def done(ended: Ended) -> str:
    """
    What a command printed that must succeed.
    """
    assert ended.status == 0, ended.err
    return ended.out.strip()


def refused(ended: Ended) -> str:
    """
    What one said that must not.
    """
    assert ended.status != 0, ended.out
    return ended.err


def is_free(cluster: Cluster, volume: str) -> bool:
    """
    Whether nobody holds a volume.
    """
    return cluster.dataset(volume)["lease"] is None
