"""
What the process runtime makes of a container.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyrsistent import pmap, pvector

from flocker_agent.runtime.process_files import Run
from flocker_agent.runtime.process_spec import check, container_name, folder_name, run_of, same_run
from flocker_py.model import (
    Container,
    ContainerName,
    DatasetId,
    Link,
    Mount,
    NodeId,
    Port,
    RestartName,
    RestartPolicy,
)
from flocker_py.runtime import ContainerRefused, ContainerStartFailed

DATA, LOGS = DatasetId(UUID(int=11)), DatasetId(UUID(int=12))
PATHS = {DATA: Path("/flocker/data"), LOGS: Path("/flocker/logs")}
CONTAINER = Container(
    name=ContainerName("db"),
    node_id=NodeId(UUID(int=1)),
    command=pvector(["server"]),
    mounts=pvector([Mount(dataset_id=DATA)]),
)


def run(container: Container = CONTAINER, number: int = 1) -> Run:
    return run_of(container, PATHS, token=f"t{number}", log_path=Path("/logs/db.log"), log_bytes=4096)


class TestCheck:
    """
    What can't be run is refused by the name of its field, with the reason.
    """

    @pytest.mark.parametrize(
        ("changes", "complaint"),
        [
            ({"image": "redis"}, "image: a plain process has no image; give a command"),
            ({"ports": pvector([Port(internal=1, external=2)])}, "ports: a plain process listens where"),
            ({"links": pvector([Link(alias="a", local_port=1, remote_port=2)])}, "links: a plain process reaches"),
            ({"memory_bytes": 1}, "memory_bytes: a plain process has no limit"),
            ({"cpu_shares": 1}, "cpu_shares: a plain process has no share"),
            ({"swappiness": 0}, "swappiness: a plain process has no"),
            ({"name": ContainerName("")}, "name: must have 1 to 240 characters"),
            ({"name": ContainerName("x" * 241)}, "name: must have 1 to 240 characters"),
            ({"name": ContainerName("/" * 81)}, "name: must have 1 to 240 characters"),
            ({"name": ContainerName("a\0b")}, "name: contains a NUL"),
            ({"name": ContainerName("\ud800")}, "name: contains half of a surrogate pair"),
            ({"command": pvector()}, "command: is empty"),
            ({"command": pvector([""])}, "command: is empty"),
            ({"command": pvector(["a", "b\0"])}, r"command\[1\]: contains a NUL"),
            ({"command": pvector(["a", "\udcff"])}, r"command\[1\]: contains half of a surrogate pair"),
            ({"environment": pmap({"A": "\0"})}, r"environment\['A'\]: contains a NUL"),
            ({"environment": pmap({"A=B": "1"})}, r"environment\['A=B'\]: no name of a variable"),
            ({"environment": pmap({"": "1"})}, r"environment\[''\]: no name of a variable"),
            ({"environment": pmap({"FLOCKER_RUN": "1"})}, "FLOCKER_RUN'.: is set by the runtime"),
            ({"environment": pmap({"FLOCKER_CONTAINER": "1"})}, "FLOCKER_CONTAINER'.: is set by the runtime"),
            ({"environment": pmap({"FLOCKER_VOLUME_2": "1"})}, "FLOCKER_VOLUME_2'.: is set by the runtime"),
            ({"mounts": pvector([Mount(dataset_id=DATA, path="/data")])}, r"mounts\[0\].path: a plain process sees"),
            (
                {"mounts": pvector([Mount(dataset_id=DATA, read_only=True)])},
                r"mounts\[0\].read_only: a plain process can write wherever its agent can",
            ),
            (
                {"restart": RestartPolicy(name=RestartName.NEVER, maximum_retry_count=1)},
                "maximum_retry_count: only the policy on-failure",
            ),
        ],
    )
    def test_refused(self, changes: dict[str, Any], complaint: str) -> None:
        """
        The refusal says which field, and why.
        """
        with pytest.raises(ContainerRefused, match=complaint):
            check(CONTAINER.set(**changes))

    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"environment": pmap({"FLOCKER": "1", "dépôt": "ü"}), "labels": pmap({"a": "b"})},
            {"restart": RestartPolicy(name=RestartName.ON_FAILURE, maximum_retry_count=1)},
            {"mounts": pvector([Mount(dataset_id=LOGS), Mount(dataset_id=DATA)])},
            {"name": ContainerName("x" * 240)},
        ],
    )
    def test_accepted(self, changes: dict[str, Any]) -> None:
        """
        What a plain process can do is not refused.
        """
        check(CONTAINER.set(**changes))


class TestRun:
    """
    What a supervisor is to execute.
    """

    def test_environment(self) -> None:
        """
        A container's environment is added to the paths of its volumes, and may replace the search path.
        """
        container = CONTAINER.set(
            mounts=pvector([Mount(dataset_id=LOGS), Mount(dataset_id=DATA)]),
            environment=pmap({"PATH": "/opt/bin", "COLOUR": "blue"}),
        )

        assert {
            "PATH": "/opt/bin",
            "LANG": "C.UTF-8",
            "COLOUR": "blue",
            "FLOCKER_VOLUME": "/flocker/logs",
            "FLOCKER_VOLUME_1": "/flocker/logs",
            "FLOCKER_VOLUME_2": "/flocker/data",
            "FLOCKER_CONTAINER": "db",
            "FLOCKER_RUN": "t1",
        } == run(container).environment

    def test_without_mounts(self) -> None:
        """
        A container without volumes starts in the root folder, and no variable speaks of volumes.
        """
        alone = run(CONTAINER.set(mounts=pvector()))

        assert ("/", []) == (alone.folder, [name for name in alone.environment if "VOLUME" in name])

    def test_missing_dataset(self) -> None:
        """
        A dataset that is not on this host is named.
        """
        absent = DatasetId(UUID(int=99))
        with pytest.raises(ContainerStartFailed, match=str(absent)):
            run(CONTAINER.set(mounts=pvector([Mount(dataset_id=absent)])))

    def test_runs_of_one_definition_are_the_same(self) -> None:
        """
        Two runs of one definition differ in their token only.
        """
        assert same_run(run(number=1), run(number=2))

    def test_runs_of_two_definitions_differ(self) -> None:
        """
        Another environment makes another run.
        """
        assert not same_run(run(), run(CONTAINER.set(environment=pmap({"COLOUR": "blue"}))))


class TestFolderName:
    """
    Names of containers as names of folders.
    """

    @given(st.text(min_size=1))
    def test_there_and_back(self, name: str) -> None:
        """
        Each name has its own folder, from which it is known again.
        """
        assert name == container_name(folder_name(ContainerName(name)))

    @given(st.text(min_size=1))
    def test_harmless(self, name: str) -> None:
        """
        No name leads to another folder or a hidden one.
        """
        folder = folder_name(ContainerName(name))

        assert not folder.startswith(".") and set(folder).isdisjoint("/\0")
