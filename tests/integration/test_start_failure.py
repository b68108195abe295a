"""
Applications that don't start where they were moved to, and such as don't stop where they are, on real processes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import Cluster, Ledger
from tests.integration.loopback import addresses
from tests.integration.test_cluster import checked, ledger_runs, running_again

PICKY = """
import os, sys, time
# Writes like the ledger, but only for as long as a file with the node's name isn't there.
refused, program = sys.argv[-2:]
del sys.argv[-2:]
if any(os.path.exists(os.path.join(refused, name)) and name in os.getcwd().split(os.sep) for name in ("n1", "n2")):
    sys.exit(3)
exec(compile(open(program).read(), program, "exec"))
"""
STUBBORN = """
import signal
# The ledger sets its own; this one is deaf.
deaf = signal.signal
deaf(signal.SIGTERM, signal.SIG_IGN)
signal.signal = lambda *_: None
"""


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


class Picky:
    """
    An application that writes records, and ends at once on nodes that it doesn't like.
    """

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self._folder = folder
        self._ledger = ledger
        (folder / "picky.py").write_text(PICKY)
        (folder / "refused").mkdir()

    def dislikes(self, node: str) -> None:
        (self._folder / "refused" / node).touch()

    def likes(self, node: str) -> None:
        (self._folder / "refused" / node).unlink()

    def app(self, node: str, *volumes: str, restart: str = "never") -> dict[str, Any]:
        app = self._ledger.app(node, volumes[0])
        program, *arguments = app["command"][2:]
        command = [
            sys.executable,
            "-S",
            str(self._folder / "picky.py"),
            *arguments,
            str(self._folder / "refused"),
            program,
        ]
        mounts = [{"volume": volume} for volume in volumes]
        return {**app, "command": command, "restart": restart, "mounts": mounts}


@pytest.fixture
def picky(tmp_path: Path, ledger: Ledger) -> Picky:
    return Picky(tmp_path, ledger)


def settled_back(cluster: Cluster, volume: str = "data") -> Any:
    """
    Wait until a volume that is wanted on n2 has come back to n1, with nothing left to do.
    """

    def done() -> Any:
        dataset = cluster.dataset(volume)
        back = dataset["owner"] == str(cluster.node_ids["n1"]) and dataset["primary"] == str(cluster.node_ids["n2"])
        # Where none has ended, the first is yet to begin.
        back = back and dataset["last_move"] is not None
        return dataset if back and dataset["move"] is None and not dataset["settling"] else None

    return cluster.wait(done)


def stop_and_check(cluster: Cluster, ledger: Ledger, dataset: Any) -> None:
    """
    Stop the application where it is, and look at its records.
    """
    cluster.deploy({}, {"ledger": {"state": "deleted"}})
    cluster.wait(lambda: not any(ledger_runs(cluster, name) for name in cluster.node_ids))
    cluster.wait(lambda: not any(node["failures"] for node in cluster.nodes().values()))
    ledger.check(Path(dataset["path"]))


@pytest.mark.parametrize("restart", ["never", "always"])
def test_goes_back(cluster: Cluster, ledger: Ledger, picky: Picky, restart: str) -> None:
    """
    An application that ends at once on the target runs on the source again, with all of its records; the move has
    failed, and says why. Once the trouble is gone, it can be moved.
    """
    cluster.deploy({"data": {}}, {"ledger": picky.app("n1", "data", restart=restart)})
    cluster.settled("data", "n1")
    cluster.wait(lambda: len(ledger.acknowledged()) > 50)
    picky.dislikes("n2")
    cluster.api("POST", "/v2/moves", {"dataset": "data", "target": "n2"})

    dataset = settled_back(cluster)
    running_again(cluster, ledger)
    move = dataset["last_move"]
    assert (move["outcome"], move["target"]) == ("failed", str(cluster.node_ids["n2"]))
    assert "container ledger doesn't start on node n2: it ended" in move["reason"]
    assert move["reason"].endswith("went back to node n1")
    assert "somebody to ask for the move again" in dataset["waiting_for"]
    assert not list((cluster.folder / "n2" / "pool").glob("datasets/*"))

    picky.likes("n2")
    cluster.api("POST", "/v2/moves", {"dataset": "data", "target": "n2"})
    dataset = cluster.settled("data", "n2")
    running_again(cluster, ledger)
    stop_and_check(cluster, ledger, dataset)


def test_program_that_only_the_source_has(cluster: Cluster, ledger: Ledger, picky: Picky, tmp_path: Path) -> None:
    """
    An application that can't even be executed on the target goes back, with all of its volumes.
    """
    program = tmp_path / "n1" / "python"
    program.symlink_to(sys.executable)
    volumes = {"data": {"primary": "n1"}, "more": {"primary": "n1"}}
    cluster.deploy(volumes, {})
    folder = Path(cluster.settled("data", "n1")["path"])
    app = picky.app("n1", "data", "more")
    # Seen from the volume's folder: the pools of both nodes look alike, and only one has a program beside it.
    app["command"] = [os.path.relpath(program, folder.resolve()), *app["command"][1:]]
    cluster.deploy(volumes, {"ledger": app})
    cluster.wait(lambda: len(ledger.acknowledged()) > 50)
    cluster.api("POST", "/v2/moves", {"dataset": "data", "target": "n2"})

    data, more = settled_back(cluster), settled_back(cluster, "more")
    running_again(cluster, ledger)
    for dataset in (data, more):
        assert dataset["last_move"]["outcome"] == "failed"
        assert "doesn't start on node n2: " in dataset["last_move"]["reason"]
    stop_and_check(cluster, ledger, data)


def test_stays(cluster: Cluster, ledger: Ledger, picky: Picky, tmp_path: Path) -> None:
    """
    A volume that should stay where its application doesn't start does so, and says why; when the application is
    repaired, the move ends.
    """
    program = tmp_path / "n1" / "python"
    program.symlink_to(sys.executable)
    volumes = {"data": {"on_start_failure": "stay"}}
    cluster.deploy({"data": {**volumes["data"], "primary": "n1"}}, {})
    folder = Path(cluster.settled("data", "n1")["path"])
    app = picky.app("n1", "data")
    app["command"] = [os.path.relpath(program, folder.resolve()), *app["command"][1:]]
    cluster.deploy(volumes, {"ledger": app})
    cluster.wait(lambda: len(ledger.acknowledged()) > 50)
    cluster.api("POST", "/v2/moves", {"dataset": "data", "target": "n2"})

    reason = cluster.wait(lambda: "on_start_failure" in (text := cluster.dataset("data")["waiting_for"] or "") and text)
    dataset = cluster.dataset("data")
    assert "container ledger doesn't start on node n2: " in reason
    assert (dataset["owner"], dataset["move"]["phase"]) == (str(cluster.node_ids["n2"]), "taking")

    (tmp_path / "n2" / "python").symlink_to(sys.executable)
    dataset = cluster.settled("data", "n2")
    running_again(cluster, ledger)
    assert dataset["last_move"]["outcome"] == "done"
    stop_and_check(cluster, ledger, dataset)


def test_deaf_to_sigterm(cluster: Cluster, ledger: Ledger, tmp_path: Path) -> None:
    """
    An application that ignores SIGTERM is killed when its time to stop is over, and what it was told is written is
    there.
    """
    deaf = tmp_path / "deaf.py"
    app = ledger.app("n1", "data")
    program = Path(app["command"][2])
    deaf.write_text(STUBBORN + program.read_text())
    app |= {"command": [*app["command"][:2], str(deaf), *app["command"][3:]], "stop_grace": "1s"}
    cluster.deploy({"data": {}}, {"ledger": app})
    cluster.settled("data", "n1")
    cluster.wait(lambda: len(ledger.acknowledged()) > 50)
    cluster.deploy({"data": {}}, {"ledger": {**app, "node": "n2"}})

    checked(cluster, ledger, "n2")
