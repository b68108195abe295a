"""
``docker volume create -o from=NAME@SNAPSHOT`` on real ZFS, with snapshots that others took.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.conftest import Require
from tests.plugins import Plugin
from tests.zfs.test_moves import two_pools

# A guest has one emulated or shared CPU for two agents, control, two plugins and the test.
pytestmark = pytest.mark.timeout(400)
NO_ENGINE = ("--engine", "/nonexistent/engine.sock")


@pytest.fixture
def cluster(tmp_path: Path, require: Require) -> Iterator[Cluster]:
    require("zfs")
    require("root")
    with two_pools(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def plugins(cluster: Cluster) -> Iterator[dict[str, Plugin]]:
    def plugin(name: str) -> Plugin:
        return Plugin(cluster, name, inside=["ip", "netns", "exec", f"fp-{name}"], options=NO_ENGINE)

    with plugin("n1") as n1, plugin("n2") as n2:
        yield {"n1": n1, "n2": n2}


def mounted(plugin: Plugin, volume: str) -> Path:
    """
    Where a volume is, once it is mounted.
    """
    reply = plugin.mount(volume, "c1")
    assert reply.error == ""
    return Path(reply.body["Mountpoint"])


def snapshots(node: str) -> list[str]:
    """
    Of all datasets of a node, without the names of these.
    """
    command = ["zfs", "list", "-H", "-o", "name", "-t", "snapshot", "-r", f"fp-{node}/flocker"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [name.partition("@")[2] for name in listed]


def test_volume_from_a_snapshot(cluster: Cluster, plugins: dict[str, Plugin]) -> None:
    """
    The volume begins as the snapshot, wherever it is asked for; it can be moved, and the other one moved or removed.
    """
    n1, n2 = plugins["n1"], plugins["n2"]
    assert n1.create("main", size="64M").error == ""
    path = mounted(n1, "main")
    (path / "file").write_text("as it was")
    dataset_id = cluster.dataset("main")["dataset_id"]
    subprocess.run(["zfs", "snapshot", f"fp-n1/flocker/{dataset_id}@monday"], check=True)
    (path / "file").write_text("as it is")

    reply = n2.create("copy", **{"from": "main@monday", "size": "64M"})

    assert reply.error == ""
    copied = mounted(n2, "copy")
    assert ((copied / "file").read_text(), (path / "file").read_text()) == ("as it was", "as it is")
    assert cluster.dataset("copy")["origin"] == {"dataset_id": dataset_id, "snapshot": "monday"}
    n1.unmount("main", "c1")
    moved = mounted(n2, "main")
    assert (moved / "file").read_text() == "as it is"
    n2.unmount("main", "c1")
    cluster.settled("main", "n2")
    assert n2.remove("main").error == ""
    assert (copied / "file").read_text() == "as it was"
    cluster.wait(lambda: snapshots("n1") == [])


def test_asked_for_again(cluster: Cluster, plugins: dict[str, Plugin]) -> None:
    """
    A volume that is there is there, although the snapshot, and then the volume that it was made from, have gone since.
    """
    n1, n2 = plugins["n1"], plugins["n2"]
    asked = {"from": "main@monday", "size": "64M"}
    assert n1.create("main").error == ""
    (mounted(n1, "main") / "file").write_text("as it was")
    n1.unmount("main", "c1")
    dataset_id = cluster.dataset("main")["dataset_id"]
    subprocess.run(["zfs", "snapshot", f"fp-n1/flocker/{dataset_id}@monday"], check=True)
    assert n1.create("copy", **asked).error == ""
    copy_id = cluster.dataset("copy")["dataset_id"]

    subprocess.run(["zfs", "destroy", f"fp-n1/flocker/{dataset_id}@monday"], check=True)
    without_snapshot = [plugin.create("copy", **asked).error for plugin in (n1, n2)]
    assert n1.remove("main").error == ""
    without_volume = [plugin.create("copy", **asked).error for plugin in (n1, n2)]
    other = n1.create("copy", **{"from": "main@friday"}).error
    new = n1.create("another", **asked).error

    assert (without_snapshot, without_volume) == (["", ""], ["", ""])
    assert other.startswith("there is a volume copy already, and it was made from snapshot monday of dataset ")
    assert new == "there is no volume main"
    assert (cluster.dataset("copy")["dataset_id"], (mounted(n2, "copy") / "file").read_text()) == (copy_id, "as it was")


def test_snapshot_that_is_not_there(cluster: Cluster, plugins: dict[str, Plugin]) -> None:
    """
    It is an error at once that names those that are there, and nothing is left of the volume.
    """
    n1 = plugins["n1"]
    assert n1.create("main").error == ""
    mounted(n1, "main")
    dataset_id = cluster.dataset("main")["dataset_id"]
    subprocess.run(["zfs", "snapshot", f"fp-n1/flocker/{dataset_id}@monday"], check=True)

    error = n1.create("copy", **{"from": "main@friday"}).error

    assert "has no snapshot friday; it has snapshot monday" in error
    assert n1.get("copy").error == "there is no volume copy"


def large_with_snapshot(cluster: Cluster, n1: Plugin) -> str:
    """
    The id of a volume with more in it than is copied in a moment, and a snapshot.
    """
    assert n1.create("main").error == ""
    (mounted(n1, "main") / "file").write_bytes(os.urandom(96 << 20))
    dataset_id: str = cluster.dataset("main")["dataset_id"]
    subprocess.run(["zfs", "snapshot", f"fp-n1/flocker/{dataset_id}@monday"], check=True)
    return dataset_id


def begun(cluster: Cluster, dataset_id: str) -> str:
    """
    Ask for a copy, and wait until a part of it is there. Answers with its id.
    """
    origin = {"dataset": dataset_id, "snapshot": "monday"}
    wanted = {"primary": cluster.dataset("main")["primary"], "name": "copy", "origin": origin}
    made = cluster.api("POST", "/v2/datasets", wanted)
    copy_id: str = made["dataset_id"]
    cluster.wait(lambda: copy_id in datasets("n1"))
    return copy_id


def served(cluster: Cluster, name: str) -> Path | None:
    """
    Where a volume with its file is mounted, if it is.
    """
    path = Path(cluster.dataset(name)["path"])
    return path if (path / "file").exists() else None


def datasets(node: str) -> str:
    """
    What ``zfs list`` says of all of them.
    """
    command = ["zfs", "list", "-H", "-o", "name", "-t", "all", "-r", f"fp-{node}/flocker"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_killed_while_it_is_copied(cluster: Cluster, plugins: dict[str, Plugin]) -> None:
    """
    An agent that is killed in the middle makes the copy whole once it is started again.
    """
    copy_id = begun(cluster, large_with_snapshot(cluster, plugins["n1"]))
    cluster.kill("n1")
    cluster.start("n1")
    copy = cluster.wait(lambda: served(cluster, "copy"))
    main = served(cluster, "main")

    assert main is not None and (copy / "file").read_bytes() == (main / "file").read_bytes()
    assert copy_id in datasets("n1")


def test_deleted_while_it_is_copied(cluster: Cluster, plugins: dict[str, Plugin]) -> None:
    """
    Nothing is left of a copy that isn't wanted any more.
    """
    dataset_id = large_with_snapshot(cluster, plugins["n1"])
    copy_id = begun(cluster, dataset_id)
    cluster.api("DELETE", f"/v2/datasets/{copy_id}")
    cluster.wait(lambda: copy_id not in datasets("n1"))

    assert dataset_id in datasets("n1")
