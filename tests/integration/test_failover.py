"""
A node dies while it owns a dataset, on real processes: an operator goes on from another copy; nothing is destroyed.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flocker_agent.runtime.runtimes import opened_runtime
from flocker_py.observed import ContainerPhase
from tests.cluster import CONTROL, ApiError, Cluster, Ledger
from tests.integration.loopback import addresses

# Writes as the ledger does, beside something large that never changes, and doesn't end when it is asked to, for as long
# as a file is there: so a move comes as far as a copy on its target, and stays there.
STUBBORN = """
import os, signal, sys, time
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
witness = open(sys.argv[1], "a", buffering=1)
if not os.path.exists("large"):
    with open("large.new", "wb") as large:
        large.write(os.urandom(4 << 20)); large.flush(); os.fsync(large.fileno())
    os.rename("large.new", "large")
number = 0
if os.path.exists("ledger"):
    with open("ledger", "rb") as before:
        number = before.read().count(b"\\n")
file = open("ledger", "ab")
while True:
    number += 1
    file.write(b"%d\\n" % number); file.flush(); os.fsync(file.fileno())
    witness.write("%d %d\\n" % (number, os.getpid()))
    time.sleep(0.01)
    if asked and not os.path.exists(sys.argv[2]): sys.exit(0)
"""


class Stubborn:
    """
    The application, and what it has acknowledged.
    """

    def __init__(self, folder: Path) -> None:
        self._program = folder / "stubborn.py"
        self._program.write_text(STUBBORN)
        self._witness = folder / "witness"
        self._witness.touch()
        self._stubborn = folder / "stubborn"
        self._stubborn.touch()

    def give_in(self) -> None:
        """
        From now on it ends when it is asked to, or was asked to before.
        """
        self._stubborn.unlink()

    def app(self, node: str) -> dict[str, Any]:
        """
        For the ``apps`` of a deployment.
        """
        return {
            "node": node,
            "command": [sys.executable, "-S", str(self._program), str(self._witness), str(self._stubborn)],
            "mounts": [{"volume": "data"}],
            "restart": "always",
            "stop_grace": "100s",
        }

    def acknowledged(self) -> list[int]:
        """
        The records that were acknowledged so far, in order.
        """
        lines = [line.split() for line in self._witness.read_text().splitlines()]
        return [int(line[0]) for line in lines if len(line) == 2]


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
def app(tmp_path: Path) -> Stubborn:
    return Stubborn(tmp_path)


def records(path: Path) -> list[int]:
    """
    What a copy of the ledger holds, but for a line that is being written.
    """
    return [int(line) for line in (path / "ledger").read_bytes().split(b"\n")[:-1]]


def write_on(app: Stubborn) -> None:
    count = len(app.acknowledged())
    cluster_wait(lambda: len(app.acknowledged()) > count + 20)


def cluster_wait(condition: Any) -> None:
    import time

    deadline = time.monotonic() + 100
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def end_containers(cluster: Cluster, node: str) -> None:
    """
    What the end of a host does to its containers.
    """
    runtime = opened_runtime({"backend": "process", "state_path": str(cluster.folder / node / "state" / "containers")})
    for name, seen in runtime.containers().items():
        if seen.phase is not ContainerPhase.EXITED:
            runtime.stop(name, grace_seconds=0.1)


def copy_on(cluster: Cluster, node: str) -> Any:
    found = cluster.api("GET", "/v2/datasets/data/copies")["copies"]
    return next((copy for copy in found if copy["node_id"] == str(cluster.node_ids[node])), None)


def interrupted(cluster: Cluster, app: Stubborn) -> Any:
    """
    A move to n2 that has come as far as a copy there, when n1's agent is killed. Answers with that copy.
    """
    cluster.deploy({"data": {}}, {"app": app.app("n1")})
    cluster.settled("data", "n1")
    cluster.wait(lambda: len(app.acknowledged()) > 50)
    cluster.deploy({"data": {}}, {"app": app.app("n2")})
    cluster.wait(lambda: (cluster.dataset("data")["move"] or {})["phase"] == "releasing")
    cluster.wait(lambda: copy_on(cluster, "n2")["candidate"])
    write_on(app)
    cluster.kill("n1")
    cluster.wait(lambda: cluster.dataset("data")["status"] == "unavailable")
    return copy_on(cluster, "n2")


def fail_over(cluster: Cluster, guid: str, **more: Any) -> Any:
    dataset_id = cluster.dataset("data")["dataset_id"]
    return cluster.api("POST", "/v2/datasets/data/failover", {"target": "n2", "guids": {dataset_id: guid}, **more})


def refused(call: Any) -> str:
    with pytest.raises(ApiError) as error:
        call()
    return str(error.value.body["code"])


def stash_on(cluster: Cluster, node: str) -> Any:
    found = cluster.api("GET", "/v2/stashes")["stashes"]
    return next((stash for stash in found if stash["node_id"] == str(cluster.node_ids[node])), None)


def stash_path(cluster: Cluster, stash: Any) -> str:
    return f"/v2/stashes/{stash['node_id']}/{stash['name']}"


def readable(cluster: Cluster, stash: Any) -> Path:
    cluster.api("PATCH", stash_path(cluster, stash), {"mounted": True})
    return Path(cluster.wait(lambda: cluster.api("GET", stash_path(cluster, stash))["path"]))


def test_dead_owner(cluster: Cluster, app: Stubborn) -> None:
    """
    A dead owner's dataset goes on elsewhere after the operator's word; what the old owner has is kept, read, and
    dropped; and the way back begins where the histories part.
    """
    copy = interrupted(cluster, app)
    end_containers(cluster, "n1")
    app.give_in()
    written = app.acknowledged()
    seen = cluster.dataset("data")
    assert seen["unavailable_since_seconds"] is not None
    assert copy["missing_nothing"] is False
    story = " ".join(cluster.api("GET", "/v2/datasets/data/explain")["lines"])
    assert f"Node n2 has snapshot {copy['newest_name']} with GUID {copy['newest_guid']}, taken at" in story
    assert "Node n1 has had no connection since" in story

    # Nothing without the word, nor on another snapshot than the one that is there.
    assert refused(lambda: fail_over(cluster, copy["newest_guid"])) == "OwnerNotKnownDead"
    assert refused(lambda: fail_over(cluster, "1", owner_is_dead=True)) == "NotConfirmed"
    assert cluster.dataset("data")["epoch"] == seen["epoch"]

    fail_over(cluster, copy["newest_guid"], owner_is_dead=True)
    served = cluster.wait(lambda: (d := cluster.dataset("data"))["status"] == "ok" and d)
    assert served["owner"] == str(cluster.node_ids["n2"])
    write_on(app)

    # The old owner is back.
    cluster.start("n1")
    stash = cluster.wait(lambda: stash_on(cluster, "n1"))
    cluster.wait(lambda: not cluster.dataset("data")["deposed"])
    assert not list((cluster.folder / "n1" / "flocker").iterdir())
    path = readable(cluster, stash)
    kept = records(path)
    # The last record may have been written and not acknowledged.
    assert kept == list(range(1, len(kept) + 1))
    assert max(written) <= len(kept) <= max(written) + 1

    # Back again, which carries only what came after the snapshot that both have.
    cluster.deploy({"data": {}}, {"app": app.app("n1")})
    back = cluster.settled("data", "n1")
    assert 0 < back["last_move"]["sent_bytes"] < 2 << 20, "the whole dataset was sent"
    assert records(path) == kept, "the stash has changed"
    write_on(app)

    assert (
        refused(lambda: cluster.api("POST", f"{stash_path(cluster, stash)}/drop", {"confirm": "x"})) == "NotConfirmed"
    )
    cluster.api("POST", f"{stash_path(cluster, stash)}/drop", {"confirm": stash["name"]})
    cluster.wait(lambda: stash_on(cluster, "n1") is None)
    assert cluster.settled("data", "n1")["status"] == "ok"


def test_owner_that_was_not_dead(cluster: Cluster, app: Stubborn) -> None:
    """
    If the operator's word was wrong, the old owner stops as soon as it hears of it, and what it has written by then is
    in its stash; that can be made the dataset again, and then the other's is kept.
    """
    copy = interrupted(cluster, app)
    fail_over(cluster, copy["newest_guid"], owner_is_dead=True)
    cluster.wait(lambda: cluster.dataset("data")["status"] == "ok")
    alone = cluster.folder / "n1" / "flocker" / cluster.dataset("data")["dataset_id"]
    before = len(records(alone))
    cluster.wait(lambda: len(records(alone)) > before + 20)

    # It is back, and its container doesn't end: so nothing is unmounted or put aside yet.
    cluster.start("n1")
    cluster.wait(lambda: cluster.nodes()[str(cluster.node_ids["n1"])]["connected"])
    assert stash_on(cluster, "n1") is None
    app.give_in()
    stash = cluster.wait(lambda: stash_on(cluster, "n1"))
    assert not alone.exists()
    path = readable(cluster, stash)
    kept = records(path)
    assert kept == list(range(1, len(kept) + 1))
    assert len(kept) > before + 20
    cluster.api("PATCH", stash_path(cluster, stash), {"mounted": False})
    cluster.wait(lambda: stash_on(cluster, "n1")["path"] is None)

    present = cluster.dataset("data")
    assert (
        refused(lambda: cluster.api("POST", f"{stash_path(cluster, stash)}/restore", {"epoch": present["epoch"] - 1}))
        == "NotConfirmed"
    )
    cluster.api("POST", f"{stash_path(cluster, stash)}/restore", {"epoch": present["epoch"]})
    restored = cluster.settled("data", "n1")
    write_on(app)
    assert records(Path(restored["path"]))[: len(kept)] == kept
    assert cluster.wait(lambda: stash_on(cluster, "n2"))["epoch"] == present["epoch"]
    cluster.wait(lambda: stash_on(cluster, "n1") is None)


def test_failover_of_a_connected_owner(cluster: Cluster, app: Stubborn) -> None:
    """
    While the owner is connected it is asked, not passed over.
    """
    cluster.deploy({"data": {}}, {"app": app.app("n1")})
    cluster.settled("data", "n1")

    assert refused(lambda: fail_over(cluster, "1", owner_is_dead=True)) == "OwnerConnected"


def test_restored_store(cluster: Cluster, tmp_path: Path) -> None:
    """
    A control service with yesterday's store leaves alone what it knows too little of, says so, and goes on with it once
    an operator has said which node has it. Nothing stops, and nothing is lost.
    """
    ledger = Ledger(tmp_path)
    cluster.deploy({"data": {}}, {"ledger": ledger.app("n1", "data")})
    cluster.settled("data", "n1")
    cluster.kill(CONTROL)
    shutil.copytree(tmp_path / "data", tmp_path / "yesterday")
    cluster.start(CONTROL)
    cluster.wait(lambda: all(node["connected"] for node in cluster.nodes().values()))
    cluster.deploy({"data": {}, "new": {}}, {"ledger": ledger.app("n2", "data"), "other": other("n1")})
    cluster.settled("data", "n2")
    new = cluster.settled("new", "n1")

    cluster.kill(CONTROL)
    shutil.rmtree(tmp_path / "data")
    shutil.copytree(tmp_path / "yesterday", tmp_path / "data")
    cluster.start(CONTROL)
    cluster.wait(lambda: all(node["connected"] for node in cluster.nodes().values()))
    held = cluster.wait(lambda: (d := cluster.dataset("data"))["status"] == "error" and d)
    assert "flockerctl adopt data --from NODE" in held["waiting_for"]
    count = len(ledger.acknowledged())
    cluster.wait(lambda: len(ledger.acknowledged()) > count + 20)
    assert running(cluster, "n1"), "an application that the store has never heard of was stopped"
    unclaimed = cluster.api("GET", "/v2/unclaimed")["unclaimed"]
    assert [found["dataset_id"] for found in unclaimed] == [new["dataset_id"]]

    adopt = {"node": "n2", "epoch": copy_on(cluster, "n2")["epoch"]}
    assert refused(lambda: cluster.api("POST", "/v2/datasets/data/adopt", {**adopt, "epoch": 1})) == "NotConfirmed"
    cluster.api("POST", "/v2/datasets/data/adopt", adopt)
    cluster.api("POST", f"/v2/datasets/{new['dataset_id']}/adopt", {"node": "n1", "epoch": new["epoch"]})
    adopted = cluster.settled("data", "n2")
    cluster.settled(new["dataset_id"], "n1")

    assert cluster.api("GET", "/v2/unclaimed")["unclaimed"] == []
    count = len(ledger.acknowledged())
    cluster.wait(lambda: len(ledger.acknowledged()) > count + 20)
    cluster.deploy({"data": {}}, {"ledger": {"state": "deleted"}})
    cluster.wait(lambda: not cluster.api("GET", "/v2/containers")["containers"])
    cluster.wait(lambda: not any(running(cluster, name) for name in cluster.node_ids))
    ledger.check(Path(adopted["path"]))


def other(node: str) -> dict[str, Any]:
    """
    An application that does nothing with its volume.
    """
    return {
        "node": node,
        "command": [sys.executable, "-S", "-c", "import signal; signal.pause()"],
        "mounts": [{"volume": "new"}],
    }


def running(cluster: Cluster, node: str) -> bool:
    state = cluster.folder / node / "state" / "containers"
    runtime = opened_runtime({"backend": "process", "state_path": str(state)})
    return any(c.phase is not ContainerPhase.EXITED for c in runtime.containers().values())
