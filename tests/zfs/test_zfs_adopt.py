"""
``flocker-agent adopt`` on a real kernel.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
from click.testing import CliRunner, Result

from flocker_agent.adopt_command import adopt
from flocker_agent.holding import hold
from flocker_py.identity import NodeIdentity
from flocker_py.model import DatasetId
from flocker_py.storage import Role, SendPlan, StoredDataset
from flocker_py.testing.certificates import ClusterCertificates, make_cluster
from flocker_py.testing.storage_pools import carry, new_id, snapshot_guids
from tests.conftest import require
from tests.zfs.under_test import ZfsUnderTest, new_pools

# An emulated processor is 10 to 40 times slower than this one.
pytestmark = [pytest.mark.zfs, pytest.mark.timeout(900)]


def zfs(*arguments: str, given: bytes | None = None) -> bytes:
    return subprocess.run(["zfs", *arguments], input=given, capture_output=True, check=True).stdout


@pytest.fixture
def new_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], ZfsUnderTest]]:
    """
    Makes an empty pool whenever it is called; it is gone after the test.
    """
    require("zfs")
    require("root")
    with new_pools(lambda: tmp_path_factory.mktemp("mounts")) as made:
        yield made


class Host:
    """
    A node with a pool.
    """

    def __init__(self, folder: Path, pool: ZfsUnderTest, certificates: ClusterCertificates) -> None:
        self.pool = pool
        self.folder = folder
        node = certificates.nodes[0]
        identity = node.identity
        assert isinstance(identity, NodeIdentity)
        self.node_id: UUID = identity.node_id
        for name, path in (
            ("cluster.crt", node.ca_path),
            ("node.crt", node.certificate_path),
            ("node.key", node.key_path),
        ):
            (folder / name).write_bytes(path.read_bytes())
        (folder / "node.key").chmod(0o600)
        (folder / "agent.yml").write_text(
            "version: 1\ncontrol-service: {hostname: localhost}\n"
            f"dataset: {{backend: zfs, pool: {pool.name}}}\nstate_path: {folder}/state\n"
        )

    def adopt(self, *arguments: str) -> Result:
        return CliRunner().invoke(adopt, ["--agent-config", str(self.folder / "agent.yml"), *arguments])

    def make(self, name: str, *snapshots: str) -> str:
        """
        A mounted dataset of somebody else's, with a file for each snapshot.
        """
        full, at = f"{self.pool.name}/{name}", self.folder / "mounted" / name.replace("/", "-")
        zfs("create", "-p", "-o", f"mountpoint={at}", full)
        for snapshot in snapshots:
            (at / snapshot).write_text(snapshot)
            zfs("snapshot", f"{full}@{snapshot}")
        return full

    def stored(self, dataset_id: DatasetId) -> StoredDataset:
        return self.pool.storage.dataset(dataset_id)


@pytest.fixture
def hosts(new_pool: Callable[[], ZfsUnderTest], tmp_path: Path) -> Callable[[], Host]:
    """
    Makes a node whenever it is called.
    """
    certificates = make_cluster(tmp_path)

    def made() -> Host:
        pool = new_pool()
        folder = tmp_path / pool.name
        folder.mkdir()
        return Host(folder, pool, certificates)

    return made


def test_datasets_of_flocker(hosts: Callable[[], Host]) -> None:
    """
    All that Flocker made in the pool for the node is taken over; copies of what another node served stay as they are,
    and so does the rest. A dry run says each step and changes nothing; doing it again does nothing.
    """
    host, own, copy = hosts(), new_id(), new_id()
    first = host.make(f"{host.node_id}.default.{own}", "one")
    second = host.make(f"{new_id()}.default.{copy}", "one")
    other = host.make("other", "one")
    listed = zfs("list", "-Ho", "name")
    dry = host.adopt("--dry-run")
    unchanged = zfs("list", "-Ho", "name") == listed
    host.adopt()
    again = host.adopt()
    path = host.pool.storage.mount(own)

    assert (dry.exit_code, unchanged, f"  would rename {first} to {host.pool.name}/flocker/{own}" in dry.output) == (
        0,
        True,
        True,
    )
    assert f"{second}: a copy of dataset {copy}, which another node served: left as it is" in dry.output
    assert f"{other}:" not in dry.output
    assert (path / "one").read_text() == "one"
    assert (host.stored(own).role, host.stored(own).epoch, list(host.pool.storage.datasets())) == (Role.OWNER, 1, [own])
    assert (
        again.output.splitlines()[-1] == f"There is nothing in pool {host.pool.name} that Flocker made for this node."
    )
    host.pool.storage.unmount(own)


def test_snapshots_of_others_are_what_is_built_on(hosts: Callable[[], Host]) -> None:
    """
    A dataset and the copy of it that somebody else's program made are adopted under one id: what is sent is the
    difference to the newest snapshot that both have. Snapshots and holds of others stay, also afterwards.
    """
    source, target, dataset_id = hosts(), hosts(), new_id()
    name = source.make("data/pg", "autosnap_2026-01-01_hourly", "zrepl_1", "rpool-snap", "later")
    zfs("hold", "zrepl_CURSOR", f"{name}@zrepl_1")
    for index, snapshot in enumerate(("autosnap_2026-01-01_hourly", "zrepl_1")):
        base = () if index == 0 else ("-i", "@autosnap_2026-01-01_hourly")
        zfs("receive", "-u", f"{target.pool.name}/copy", given=zfs("send", *base, f"{name}@{snapshot}"))
    before = [
        listed.partition("@")[2]
        for listed in zfs("list", "-Hrt", "snapshot", "-o", "name", "-s", "createtxg", name).decode().split()
    ]
    results = [
        source.adopt(f"{dataset_id}={name}"),
        target.adopt("--replica", f"{dataset_id}={target.pool.name}/copy"),
    ]
    common = snapshot_guids(target.pool.storage, dataset_id)[-1]
    path = source.pool.storage.mount(dataset_id)
    (path / "new").write_text("new")
    newest = source.pool.storage.snapshot(dataset_id, "ours")
    carry(source.pool.storage, dataset_id, SendPlan(to_guid=newest.guid, from_guid=common), target.pool.storage)
    stored = source.stored(dataset_id)
    there = target.stored(dataset_id)

    assert [result.exit_code for result in results] == [0, 0]
    assert [snapshot.name for snapshot in stored.snapshots] == [*before, "ours"]
    assert zfs("holds", "-H", f"{source.pool.name}/flocker/{dataset_id}@zrepl_1").split()[1] == b"zrepl_CURSOR"
    assert there.snapshots[-1].guid == newest.guid
    assert [snapshot.name for snapshot in there.snapshots[:2]] == ["autosnap_2026-01-01_hourly", "zrepl_1"]
    source.pool.storage.unmount(dataset_id)


def test_what_is_in_use_stays_as_it_is(hosts: Callable[[], Host]) -> None:
    """
    A dataset that a program works with is not taken from it; what else was named is adopted all the same.
    """
    host, busy_id, idle_id = hosts(), new_id(), new_id()
    busy, idle = host.make("busy"), host.make("idle")
    with (host.folder / "mounted" / "busy" / "open").open("w"):
        result = host.adopt(f"{busy_id}={busy}", f"{idle_id}={idle}")
        still = zfs("list", "-Ho", "name,mounted,mountpoint", busy).split()[1]

    assert (result.exit_code, "can't be unmounted" in result.stderr, still) == (1, True, b"yes")
    assert host.stored(idle_id).role is Role.OWNER


def test_what_can_not_be_adopted(hosts: Callable[[], Host]) -> None:
    """
    A block volume and a dataset with children are refused, and nothing is changed.
    """
    host = hosts()
    host.make("parent/child")
    zfs("create", "-V", "1M", f"{host.pool.name}/volume")
    listed = zfs("list", "-Ho", "name")
    result = host.adopt(*(f"{new_id()}={host.pool.name}/{name}" for name in ("parent", "volume")))

    assert (result.exit_code, zfs("list", "-Ho", "name")) == (1, listed)
    assert "has children" in result.stderr
    assert "is a volume" in result.stderr


def test_agent_that_runs_is_not_disturbed(hosts: Callable[[], Host]) -> None:
    """
    While an agent works with the state, nothing is adopted.
    """
    host, dataset_id = hosts(), new_id()
    name = host.make("data")
    held = hold(host.folder / "state")
    try:
        result = host.adopt(f"{dataset_id}={name}")
    finally:
        os.close(held)

    assert (result.exit_code, "Another agent that is still running" in result.stderr) == (1, True)
    assert dataset_id not in host.pool.storage.datasets()
