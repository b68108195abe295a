"""
``flocker-deploy`` on a cluster of real processes: an application moves by an edited file.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flocker_admin.exits import Exit
from flocker_agent.changes import StartContainer
from tests.cluster import CONTROL, Cluster, Ledger, unhurried
from tests.integration.loopback import addresses
from tests.integration.tools import Ended, Tool

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    def dataset(name: str) -> dict[str, str]:
        return {
            "backend": "directory",
            "root_path": str(tmp_path / name / "pool"),
            "mount_root": str(tmp_path / name / "flocker"),
        }

    with Cluster(tmp_path, dataset, addresses=addresses("n1", "n2")) as cluster:
        yield cluster


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path)


class Operator:
    """
    Somebody who edits a file and deploys it.
    """

    def __init__(self, cluster: Cluster, ledger: Ledger) -> None:
        self._cluster = cluster
        self._ledger = ledger

    def start(self, node: str, *more: str, app: dict[str, Any] | None = None) -> Tool:
        """
        Deploy the ledger on a node.

        :param app: what the file says instead.
        """
        document = {
            "version": 2,
            "cluster": {"name": "test", "control": {"host": self._cluster.addresses[CONTROL]}},
            "nodes": {name: {"uuid": str(node_id)} for name, node_id in self._cluster.node_ids.items()},
            "volumes": unhurried({"data": {"size": "1G"}}),
            "apps": {"ledger": self._ledger.app(node, "data") if app is None else app},
        }
        # JSON is YAML.
        (self._cluster.folder / "cluster.yml").write_text(json.dumps(document))
        user = str(self._cluster.certificates.user.certificate_path.parent)
        return Tool(
            "flocker-deploy", "cluster.yml", "--certificates-directory", user, *more, folder=self._cluster.folder
        )

    def deploy(self, node: str, *more: str) -> Ended:
        return self.start(node, *more).ended()


@pytest.fixture
def operator(cluster: Cluster, ledger: Ledger) -> Operator:
    return Operator(cluster, ledger)


def last_event(ended: Ended) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(ended.out.splitlines()[-1])
    return event


def test_application_moves_with_its_data(cluster: Cluster, ledger: Ledger, operator: Operator) -> None:
    """
    The file says another node; the command ends when the application runs there, says what the move took, and every
    record is there.
    """
    operator.deploy("n1")
    cluster.wait(lambda: len(ledger.acknowledged()) > 50)
    ended = operator.deploy("n2", "--json")
    move = last_event(ended)["moves"][0]["move"]
    count = len(ledger.acknowledged())
    cluster.wait(lambda: len(ledger.acknowledged()) > count + 20)
    # It goes on writing: what was acknowledged by now must be there afterwards.
    acknowledged = [number for number, _ in ledger.acknowledged()]
    written = Path(cluster.dataset("data")["path"], "ledger").read_bytes().split(b"\n")[:-1]
    numbers = [int(line) for line in written]

    assert (ended.status, move["outcome"], move["downtime_seconds"] is not None) == (Exit.DONE, "done", True)
    assert numbers == list(range(1, len(numbers) + 1))
    assert set(acknowledged) <= set(numbers)


def test_control_service_dies_while_it_is_watched(cluster: Cluster, ledger: Ledger, operator: Operator) -> None:
    """
    Watching goes on when the control service is back, to the end.
    """
    operator.deploy("n1")
    tool = operator.start("n2")
    tool.until("Applied")
    cluster.kill(CONTROL, signal.SIGKILL)
    cluster.start(CONTROL)
    ended = tool.ended()

    assert (ended.status, ended.out.splitlines()[-1]) == (Exit.DONE, "Everything is as the file says.")


def test_interrupted_move_goes_on(cluster: Cluster, ledger: Ledger, operator: Operator) -> None:
    """
    Ctrl-C stops the watching and not the move; the same command watches it to the end.
    """
    operator.deploy("n1")
    # Or it may have arrived before anybody could interrupt.
    os.kill(cluster.pid("n2"), signal.SIGSTOP)
    tool = operator.start("n2")
    tool.until("Applied")
    tool.interrupt()
    interrupted = tool.ended()
    os.kill(cluster.pid("n2"), signal.SIGCONT)
    again = operator.deploy("n2")

    assert (interrupted.status, again.status, cluster.dataset("data")["owner"]) == (
        130,
        Exit.DONE,
        str(cluster.node_ids["n2"]),
    )


STAYING = """
trap '' TERM
until rm "$0" 2>/dev/null; do sleep 0.1; done
"""


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"state": "deleted"}, "app ledger: is being removed from n1"),
        ({"stop_grace": 301}, "app ledger: stopping on n1 as it was before"),
    ],
)
def test_what_ran_before_is_waited_for(
    cluster: Cluster, operator: Operator, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    """
    However long an app that is removed or changed takes to end, nothing is called done before.
    """
    may_end = tmp_path / "may-end"
    command = ["/bin/sh", "-c", STAYING, str(may_end)]
    app: dict[str, Any] = {"node": "n1", "command": command, "mounts": [{"volume": "data"}], "stop_grace": 300}
    removed = "state" in changes
    operator.start("n1", app=app).ended()
    tool = operator.start("n1", app=changes if removed else {**app, **changes})
    tool.until(told)
    # Longer than it waits to see whether all stays as it is.
    goes_on = tool.goes_on(3.0)
    may_end.touch()
    ended = tool.ended()
    listed = cluster.api("GET", "/v2/containers")
    kind = {"action_type": StartContainer.kind, "action_status": "succeeded"}
    starts = [message for message in cluster.logged("n1") if kind.items() <= message.items()]

    assert (goes_on, ended.status, listed["leaving"], len(starts)) == (True, Exit.DONE, [], 1 if removed else 2)
    assert [container["outdated"] for container in listed["containers"]] == ([] if removed else [False])


def test_program_that_does_not_start_is_told(cluster: Cluster, ledger: Ledger, operator: Operator) -> None:
    """
    What goes wrong on a node is shown while waiting, with its reason.
    """
    operator.deploy("n1")
    path = cluster.folder / "cluster.yml"
    document = json.loads(path.read_text())
    document["apps"]["ledger"]["command"] = ["/no/such/program"]
    path.write_text(json.dumps(document))
    user = str(cluster.certificates.user.certificate_path.parent)
    tool = Tool("flocker-deploy", "cluster.yml", "--certificates-directory", user, folder=cluster.folder)
    line = tool.until("/no/such/program")
    tool.interrupt()
    tool.ended()

    assert line.startswith("app ledger: ")
