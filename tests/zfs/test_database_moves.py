"""
PostgreSQL in a container of Docker moves between two nodes with pools of their own, while clients use it.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Require
from tests.database_moves import VOLUME, moved_back_and_forth, moved_by_docker_run
from tests.docker_nodes import DockerNodes, docker_nodes
from tests.images import DATA, WEB_IMAGE, import_web
from tests.zfs.pools import temporary_pool

# A guest has one CPU for two engines, two agents, control, PostgreSQL, its clients and the test.
pytestmark = pytest.mark.timeout(1500)

_LEGACY = "xtables-legacy-multi"
_NAMES = ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore")


@pytest.fixture
def iptables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Programs that this kernel understands: that of the guest has no nf_tables chains for NAT.
    """
    tried = subprocess.run(
        ["unshare", "--net", "iptables", "-t", "nat", "-N", "probe"], capture_output=True, check=False
    )
    legacy = shutil.which(_LEGACY)
    if tried.returncode != 0 and legacy is not None:
        folder = tmp_path / "iptables"
        folder.mkdir()
        for name in _NAMES:
            (folder / name).symlink_to(legacy)
        monkeypatch.setenv("PATH", str(folder), prepend=":")


@pytest.fixture
def nodes(require: Require, iptables: None) -> Iterator[DockerNodes]:
    require("zfs")
    require("docker")
    require("postgresql")
    with (
        temporary_pool(size_bytes=1 << 30, name="fp-n1"),
        temporary_pool(size_bytes=1 << 30, name="fp-n2"),
        docker_nodes(
            ["n1", "n2"],
            lambda name, folder: {"backend": "zfs", "pool": f"fp-{name}", "mount_root": str(folder / "flocker")},
        ) as nodes,
    ):
        yield nodes


def test_five_moves_under_load(nodes: DockerNodes, record_property: Callable[[str, object], None]) -> None:
    """
    After five moves every commit that a client was told of is there, nothing is damaged, and at any time one node runs
    the server.
    """
    complaints, table = moved_back_and_forth(nodes, ["n2", "n1", "n2", "n1", "n2"], load_rate=10)
    record_property("figures", table)

    assert complaints == []


def test_moved_by_docker_run(nodes: DockerNodes) -> None:
    """
    The same without any deployment: the container is removed on one node and run on the other, by Docker's own
    commands, and the volume plugin brings what it had.
    """
    complaints = moved_by_docker_run(nodes, ["n2"], load_rate=10)

    assert complaints == []


def counting(nodes: DockerNodes, node: str) -> str:
    """
    Deploy the application that counts its visits; the volume's path there.
    """
    mounts = [{"volume": VOLUME, "path": DATA}]
    app = {"node": node, "image": WEB_IMAGE, "ports": ["8080:80"], "mounts": mounts, "restart": "always"}
    ended = nodes.deploy({VOLUME: {"size": "64M"}}, {"web": app})
    assert ended.status == 0, ended.out + ended.err
    return str(nodes.cluster.settled(VOLUME, node)["path"])


def test_path_is_gone_after_release(nodes: DockerNodes) -> None:
    """
    On the node that gave a volume away, its path is gone: a container that is started on it by hand is refused, or
    finds the empty folder that Docker itself makes for ``-v``, but never a stale copy. That folder is in nobody's way
    when the volume comes back.
    """
    for host in nodes.hosts.values():
        import_web(host)
    path = counting(nodes, "n1")
    nodes.cluster.wait(lambda: nodes.page("n1", "/cgi-bin/count") == "1")
    counting(nodes, "n2")
    here = nodes.hosts["n1"]
    with pytest.raises(AssertionError, match="bind source path does not exist"):
        here.docker("run", "--rm", "--mount", f"type=bind,src={path},dst=/data", WEB_IMAGE, "ls", "-A", "/data")
    found = here.docker("run", "--rm", "--volume", f"{path}:/data", WEB_IMAGE, "ls", "-A", "/data")
    counting(nodes, "n1")
    counted = nodes.cluster.wait(lambda: nodes.page("n1", "/cgi-bin/count"))

    assert (found, counted) == ("", "2")
