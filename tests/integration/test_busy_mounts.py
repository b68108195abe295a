"""
Volumes that somebody else uses on the host when they are to be moved, on real processes.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from flocker_py.testing.storage_contract_mounts import process_using
from tests.cluster import Cluster, Ledger
from tests.integration.loopback import addresses
from tests.integration.test_cluster import checked, running_again

VOLUMES = ("data", "more")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    def dataset(name: str) -> dict[str, str]:
        return {
            "backend": "directory",
            "root_path": str(tmp_path / name / "pool"),
            "mount_root": str(tmp_path / name / "flocker"),
        }

    with Cluster(tmp_path, dataset, addresses=addresses("n1", "n2"), impatient=True) as cluster:
        yield cluster


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path)


@pytest.mark.parametrize("used", VOLUMES)
def test_shell_in_a_volume(cluster: Cluster, ledger: Ledger, used: str) -> None:
    """
    While somebody stands in a volume, a move of it waits, and says for which process; after some time it has failed,
    with the process in its reason, and the application goes on where it was, with all of its volumes. Without that
    process the move goes through, once it is asked for again.
    """
    volumes = {name: {"primary": "n1"} for name in VOLUMES}
    app = {**ledger.app("n1", "data"), "mounts": [{"volume": name} for name in VOLUMES]}
    cluster.deploy(volumes, {"ledger": app})
    paths = {name: Path(cluster.settled(name, "n1")["path"]) for name in VOLUMES}
    cluster.wait(lambda: len(ledger.acknowledged()) > 50)
    with process_using(paths[used], "working directory") as process_id:
        cluster.api("POST", "/v2/moves", {"dataset": "data", "target": "n2"})
        process = f"process {process_id} (python"
        told = cluster.wait(lambda: process in ((found := cluster.dataset(used))["waiting_for"] or "") and found)
        assert told["waiting_for"].startswith("node n1 to succeed: ")
        assert told["move"]["phase"] == "releasing"

        ended = cluster.wait(
            lambda: (
                (found := [cluster.dataset(name) for name in VOLUMES])
                and all(d["move"] is None and d["last_move"] for d in found)
                and {d["name"]: d for d in found}
            )
        )
        running_again(cluster, ledger)
        assert [d["owner"] for d in ended.values()] == [str(cluster.node_ids["n1"])] * 2
        assert [d["last_move"]["outcome"] for d in ended.values()] == ["failed", "failed"]
        assert process in ended[used]["last_move"]["reason"]
        cluster.wait(lambda: not cluster.nodes()[str(cluster.node_ids["n1"])]["failures"])
        assert process in cluster.ctl("explain", used).out

    cluster.api("POST", "/v2/moves", {"dataset": "data", "target": "n2"})
    for name in VOLUMES:
        assert cluster.settled(name, "n2")["last_move"]["outcome"] == "done"
    checked(cluster, ledger, "n2")


def test_somebody_writes_into_a_volume(cluster: Cluster, ledger: Ledger) -> None:
    """
    One who goes on writing into a volume, so that there is always something to be copied, holds up a move no longer
    than one who only stands in it.
    """
    cluster.deploy({"data": {"primary": "n1"}}, {"ledger": ledger.app("n1", "data")})
    path = cluster.settled("data", "n1")["path"]
    cluster.wait(lambda: len(ledger.acknowledged()) > 50)
    script = "exec >>more; while sleep 0.1; do echo written; done"
    with subprocess.Popen(["sh", "-c", script], cwd=path) as process:
        try:
            cluster.api("POST", "/v2/moves", {"dataset": "data", "target": "n2"})
            last = cluster.wait(lambda: (found := cluster.dataset("data"))["move"] is None and found["last_move"])
            running_again(cluster, ledger)
        finally:
            process.kill()

    # Its own children are named with it, and come first where the numbers of processes have begun anew.
    assert (last["outcome"], f" {process.pid} (sh)" in last["reason"]) == ("failed", True)
