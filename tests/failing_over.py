"""
An owner dies on a real cluster, and an operator goes on from the copy that a move left: for all backends alike.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flocker_agent.runtime.runtimes import opened_runtime
from flocker_py.observed import ContainerPhase
from tests.cluster import ApiError, Cluster

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
        # The last one may be on its way.
        lines = [line.split() for line in self._witness.read_text().split("\n")[:-1]]
        return [int(line[0]) for line in lines if len(line) == 2]


def records(path: Path) -> list[int]:
    """
    What a copy of the ledger holds, but for a line that is being written.
    """
    return [int(line) for line in (path / "ledger").read_bytes().split(b"\n")[:-1]]


def write_on(cluster: Cluster, app: Stubborn) -> None:
    """
    Wait until the application has written on.
    """
    count = len(app.acknowledged())
    cluster.wait(lambda: len(app.acknowledged()) > count + 20)


def end_containers(cluster: Cluster, node: str) -> None:
    """
    What the end of a host does to its containers.
    """
    runtime = opened_runtime({"backend": "process", "state_path": str(cluster.folder / node / "state" / "containers")})
    for name, seen in runtime.containers().items():
        if seen.phase is not ContainerPhase.EXITED:
            runtime.stop(name, grace_seconds=0.1)


def copy_on(cluster: Cluster, node: str) -> Any:
    """
    What is known of the copy of one node; None: nothing.
    """
    found = cluster.api("GET", "/v2/datasets/data/copies")["copies"]
    return next((copy for copy in found if copy["node_id"] == str(cluster.node_ids[node])), None)


def still_receives(cluster: Cluster, node: str) -> bool:
    """
    Whether a node's agent has not come to the end of a transfer, by its log.
    """
    found = [each for each in cluster.logged(node) if each.get("action_type") == "flocker:transfer:receive"]
    return bool(found) and found[-1]["action_status"] == "started"


def last_received(cluster: Cluster, node: str) -> str:
    """
    The GUID of the snapshot that a node has received last, by its agent's log.
    """
    kind = {"action_type": "flocker:transfer:receive-stream", "action_status": "succeeded"}
    return [str(each["guid"]) for each in cluster.logged(node) if kind.items() <= each.items()][-1]


def interrupted(cluster: Cluster, app: Stubborn) -> Any:
    """
    A move to n2 that has come as far as a copy there, when n1's agent is killed. Answers with that copy.
    """
    cluster.deploy({"data": {}}, {"app": app.app("n1")})
    cluster.settled("data", "n1")
    cluster.wait(lambda: len(app.acknowledged()) > 50)
    cluster.deploy({"data": {}}, {"app": app.app("n2")})
    cluster.wait(lambda: (cluster.dataset("data")["move"] or {}).get("phase") == "releasing")
    cluster.wait(lambda: (copy_on(cluster, "n2") or {}).get("candidate"))
    write_on(cluster, app)
    cluster.kill("n1")
    cluster.wait(lambda: cluster.dataset("data")["status"] == "unavailable")
    # What was on its way may have arrived after that.
    cluster.wait(lambda: not still_receives(cluster, "n2"))
    guid = last_received(cluster, "n2")
    return cluster.wait(lambda: (copy := copy_on(cluster, "n2")) and copy["newest_guid"] == guid and copy)


def fail_over(cluster: Cluster, guid: str, **more: Any) -> Any:
    """
    Fail the volume over to n2, as an operator.
    """
    dataset_id = cluster.dataset("data")["dataset_id"]
    return cluster.api("POST", "/v2/datasets/data/failover", {"target": "n2", "guids": {dataset_id: guid}, **more})


def refused(call: Callable[[], object]) -> str:
    """
    The code with which a call is refused.
    """
    with pytest.raises(ApiError) as error:
        call()
    return str(error.value.body["code"])


def stash_on(cluster: Cluster, node: str) -> Any:
    """
    What one node has put aside; None: nothing that it tells of.
    """
    found = cluster.api("GET", "/v2/stashes")["stashes"]
    return next((stash for stash in found if stash["node_id"] == str(cluster.node_ids[node])), None)


def stash_path(cluster: Cluster, stash: Any) -> str:
    """
    Where the API has a stash.
    """
    return f"/v2/stashes/{stash['node_id']}/{stash['name']}"


def readable(cluster: Cluster, stash: Any) -> Path:
    """
    Where a stash can be read, once it can.
    """
    cluster.api("PATCH", stash_path(cluster, stash), {"mounted": True})
    return Path(cluster.wait(lambda: cluster.api("GET", stash_path(cluster, stash))["path"]))


def dead_owner_comes_back(cluster: Cluster, app: Stubborn) -> None:
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
    began = (served["move"] or served["last_move"])["started_at_seconds"]
    assert seen["unavailable_since_seconds"] <= began <= time.time()
    write_on(cluster, app)

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
    write_on(cluster, app)

    assert (
        refused(lambda: cluster.api("POST", f"{stash_path(cluster, stash)}/drop", {"confirm": "x"})) == "NotConfirmed"
    )
    cluster.api("POST", f"{stash_path(cluster, stash)}/drop", {"confirm": stash["name"]})
    cluster.wait(lambda: stash_on(cluster, "n1") is None)
    assert cluster.settled("data", "n1")["status"] == "ok"
