"""
From Flocker to here on real ZFS: its configuration imported, its datasets adopted, and one of them moved.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from flocker_agent.adopt_command import adopt
from tests.cluster import CONTROL, Cluster
from tests.conftest import Require
from tests.old_configurations import DATA, configuration, manifestation, node
from tests.zfs.pools import temporary_pool

# A guest has one emulated or shared CPU for two agents, control and the test.
pytestmark = [pytest.mark.zfs, pytest.mark.timeout(400)]

MIB = 1024**2
ADDRESSES = {CONTROL: "127.79.0.1", "n1": "127.79.0.2", "n2": "127.79.0.3"}


def zfs(*arguments: str, given: bytes | None = None) -> bytes:
    return subprocess.run(["zfs", *arguments], input=given, capture_output=True, check=True).stdout


def test_data_is_found_and_moves(tmp_path: Path, require: Require) -> None:
    """
    After the import and the adoption a dataset is where clients of Flocker look for it, with its data. It moves to the
    node to which Flocker had copied it, with what was written since: the copy there, with its snapshots, is built on.
    """
    require("zfs")
    require("root")
    with (
        temporary_pool(size_bytes=256 * MIB, name="fp-n1"),
        temporary_pool(size_bytes=256 * MIB, name="fp-n2"),
    ):
        cluster = Cluster(
            tmp_path,
            lambda name: {"backend": "zfs", "pool": f"fp-{name}", "mount_root": str(tmp_path / name / "flocker")},
            addresses=ADDRESSES,
        )
        one, two = (str(cluster.node_ids[name]) for name in ("n1", "n2"))
        old = [f"fp-{name}/{one}.default.{DATA}" for name in ("n1", "n2")]
        at = tmp_path / "old"
        zfs("create", "-o", f"mountpoint={at}", old[0])
        (at / "old").write_text("old")
        zfs("snapshot", f"{old[0]}@before")
        zfs("receive", "-u", old[1], given=zfs("send", f"{old[0]}@before"))
        (at / "later").write_text("later")
        source = tmp_path / "current_configuration.json"
        source.write_text(json.dumps(configuration(4, [node(one, [manifestation(DATA, "pg")], []), node(two, [], [])])))
        imported = subprocess.run(
            [
                *(sys.executable, "-c", "from flocker_control.main import main; main()", "import"),
                *("--data-path", str(cluster.kept(CONTROL)), "--from", str(source)),
            ],
            check=False,
        )
        configured = {name: ["--agent-config", str(tmp_path / name / "agent.yml")] for name in ("n1", "n2")}
        adopted = CliRunner().invoke(adopt, configured["n1"])
        with cluster:
            cluster.settled("pg", "n1")
            path = Path(cluster.dataset("pg")["path"])
            found = {name: (path / name).read_text() for name in ("old", "later")}
            cluster.kill("n2", signal.SIGTERM)
            cluster.deploy({"pg": {"primary": "n2"}}, {})
            copied = CliRunner().invoke(adopt, [*configured["n2"], "--replica", old[1]])
            cluster.start("n2")
            cluster.settled("pg", "n2")
            there = Path(cluster.dataset("pg")["path"])
            moved = {name: (there / name).read_text() for name in ("old", "later")}
            snapshots = zfs("list", "-Hrt", "snapshot", "-o", "name", f"fp-n2/flocker/{DATA}").decode()

    assert (imported.returncode, adopted.exit_code, copied.exit_code) == (0, 0, 0)
    assert (path.name, found) == (DATA, {"old": "old", "later": "later"})
    assert (there != path, moved) == (True, found)
    assert f"{DATA}@before\n" in snapshots
