"""
PostgreSQL in a container of Docker moves between two nodes on the directory backend, while clients use it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Require
from tests.database_moves import moved_back_and_forth, moved_by_docker_run
from tests.docker_nodes import DockerNodes, docker_nodes

pytestmark = pytest.mark.timeout(500)


def on_directories(_name: str, folder: Path) -> dict[str, str]:
    """
    The ``dataset`` section of a node's agent.yml.
    """
    return {"backend": "directory", "root_path": str(folder / "pool"), "mount_root": str(folder / "flocker")}


@pytest.fixture
def nodes(require: Require) -> Iterator[DockerNodes]:
    require("docker")
    require("postgresql")
    with docker_nodes(["n1", "n2"], on_directories) as nodes:
        yield nodes


def test_five_moves_under_load(nodes: DockerNodes, record_property: Callable[[str, object], None]) -> None:
    """
    After five moves every commit that a client was told of is there, nothing is damaged, and at any time one node runs
    the server.
    """
    complaints, table = moved_back_and_forth(nodes, ["n2", "n1", "n2", "n1", "n2"])
    record_property("figures", table)

    assert complaints == []


def test_moved_by_docker_run(nodes: DockerNodes) -> None:
    """
    Without any deployment: the container is removed on one node and run on the other, by Docker's own commands, and
    the volume plugin brings it all that was committed.
    """
    complaints = moved_by_docker_run(nodes)

    assert complaints == []
