"""
A node dies while it owns a dataset, on real processes: an operator goes on from another copy; nothing is destroyed.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flocker_agent.plan import EXPIRES_AT
from flocker_agent.runtime.runtimes import opened_runtime
from flocker_py.observed import ContainerPhase
from tests.cluster import CONTROL, Cluster, Ledger
from tests.failing_over import (
    Stubborn,
    copy_on,
    dead_owner_comes_back,
    end_containers,
    fail_over,
    interrupted,
    readable,
    records,
    refused,
    stash_on,
    stash_path,
    write_on,
)
from tests.integration.loopback import addresses


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    def dataset(name: str) -> dict[str, str]:
        return {
            "backend": "directory",
            "root_path": str(tmp_path / name / "pool"),
            "mount_root": str(tmp_path / name / "flocker"),
        }

    with Cluster(tmp_path, dataset, addresses=addresses("n1", "n2"), keep_stashes="36h") as cluster:
        yield cluster


@pytest.fixture
def app(tmp_path: Path) -> Stubborn:
    return Stubborn(tmp_path)


def test_dead_owner(cluster: Cluster, app: Stubborn) -> None:
    """
    A dead owner's dataset goes on elsewhere after the operator's word; what the old owner has is kept, read, and
    dropped; and the way back begins where the histories part.
    """
    dead_owner_comes_back(cluster, app)


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
    # As long as the service was told to have it kept.
    assert stash["expires_at_seconds"] - stash["since_seconds"] == 36 * 3600
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
    write_on(cluster, app)
    assert records(Path(restored["path"]))[: len(kept)] == kept
    assert cluster.wait(lambda: stash_on(cluster, "n2"))["epoch"] == present["epoch"]
    cluster.wait(lambda: stash_on(cluster, "n1") is None)


def test_time_of_a_stash_is_over(cluster: Cluster, app: Stubborn) -> None:
    """
    What a dead owner had is destroyed when its time is over, and the dataset is served elsewhere.
    """
    copy = interrupted(cluster, app)
    end_containers(cluster, "n1")
    app.give_in()
    fail_over(cluster, copy["newest_guid"], owner_is_dead=True)
    cluster.start("n1")
    stash = cluster.wait(lambda: stash_on(cluster, "n1"))
    assert abs(stash["since_seconds"] - time.time()) < 3600
    cluster.settled("data", "n2")
    cluster.kill("n1")
    folder = cluster.folder / "n1" / "pool" / "stashes" / stash["name"]
    # Nothing can be told to keep it for less than an hour.
    record = folder / "kept" / "dataset.json"
    content = json.loads(record.read_text())
    assert float(content["properties"][EXPIRES_AT]) == stash["expires_at_seconds"]
    content["properties"][EXPIRES_AT] = str(int(time.time()) - 1)
    record.write_text(json.dumps(content))
    assert folder.is_dir()

    cluster.start("n1")
    cluster.wait(lambda: not folder.exists())
    cluster.wait(lambda: stash_on(cluster, "n1") is None)
    write_on(cluster, app)

    assert [path.name for path in (cluster.folder / "n1" / "pool" / "stashes").iterdir()] == []


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
