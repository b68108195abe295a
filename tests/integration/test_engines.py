"""
The engines that tests use are real, and apart from one another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest

from flocker_py.testing.runtime_hosts import eventually
from tests.engines import BUSYBOX_IMAGE, Host, engines
from tests.images import WEB_IMAGE, import_web
from tests.witness import Witness
from tests.zfs.namespaces import enter


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory, require: Callable[..., None]) -> Iterator[Mapping[str, Host]]:
    require("docker")
    with engines(["n1", "n2"], tmp_path_factory.mktemp("engines")) as hosts:
        yield hosts


def test_published_port_is_reached_from_another_host(hosts: Mapping[str, Host]) -> None:
    """
    What a container serves on one host is read on another by that one's address.
    """
    serve = "echo hello >/tmp/page; exec httpd -f -p 80 -h /tmp"
    hosts["n1"].docker("run", "-d", "--name", "web", "-p", "8080:80", BUSYBOX_IMAGE, "sh", "-c", serve)
    read = f"until wget -qO- http://{hosts['n1'].address}:8080/page; do sleep 1; done"
    page = hosts["n2"].run("busybox", "sh", "-c", read)
    others = hosts["n2"].docker("ps", "-q")
    hosts["n1"].docker("rm", "-f", "web")

    assert (page, others) == ("hello\n", "")


def test_engine_that_was_killed_finds_its_containers(hosts: Mapping[str, Host]) -> None:
    """
    An engine is started again after it was killed, with the containers that it had.
    """
    hosts["n1"].docker("run", "-d", "--name", "lasting", BUSYBOX_IMAGE, "sleep", "1000")
    hosts["n1"].kill()
    hosts["n1"].start()
    names = hosts["n1"].docker("ps", "-a", "--format", "{{.Names}}")
    hosts["n1"].docker("rm", "-f", "lasting")

    assert names == "lasting\n"


def test_what_is_mounted_on_a_host_is_seen_in_its_containers(hosts: Mapping[str, Host]) -> None:
    """
    A host has mounts of its own: its containers see them, and nobody else does.
    """
    path = hosts["n1"].folder / "mounted"
    path.mkdir()
    hosts["n1"].run("mount", "-t", "tmpfs", "tmpfs", str(path))
    hosts["n1"].run("touch", str(path / "file"))
    seen = hosts["n1"].docker("run", "--rm", "-v", f"{path}:/data", BUSYBOX_IMAGE, "ls", "/data")
    hosts["n1"].run("umount", str(path))

    assert (seen, list(path.iterdir())) == ("file\n", [])


def test_witness(hosts: Mapping[str, Host]) -> None:
    """
    A witness sees that an application which was killed has ended, and misses none that begins while another lives.
    """
    for host in hosts.values():
        import_web(host)
    with Witness() as witness:
        with enter(hosts["n2"].namespace):
            where = witness.listen(hosts["n2"].address)
        run = ["run", "-d", "--name", "witnessed", "-e", f"WITNESS={where}", WEB_IMAGE]
        hosts["n1"].docker(*run)
        eventually(lambda: witness.living() == 1)
        hosts["n1"].docker("rm", "-f", "witnessed")
        hosts["n2"].docker(*run)
        eventually(lambda: witness.living() == 1)
        one_after_the_other = witness.twice
        hosts["n1"].docker(*run)
        eventually(lambda: witness.living() == 2)
        for host in hosts.values():
            host.docker("rm", "-f", "witnessed")

    assert (one_after_the_other, witness.twice) == (False, True)
