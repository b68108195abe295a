"""
Ports that lead to where their container is, in a whole cluster: control service and agents in network namespaces, whose
containers are those of the memory runtime. What they would serve, the tests serve.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import CONTROL, Cluster
from tests.conftest import Require
from tests.networks.services import CLIENT, NODES, Service, namespace, network, run, who

pytestmark = pytest.mark.timeout(300)
PORT = 8080


class Forwarding:
    """
    A cluster of three nodes that lead ports on, unless it is said which do.
    """

    def __init__(self, cluster: Cluster, addresses: dict[str, str]) -> None:
        self.cluster = cluster
        self.addresses = addresses

    def deploy(self, node: str, *ports: str, volume: bool = False, name: str = "web") -> None:
        """
        Have an application on a node that publishes ports.
        """
        app: dict[str, Any] = {"node": node, "image": "fp/web:1", "ports": list(ports), "restart": "always"}
        if volume:
            app["mounts"] = [{"volume": "data", "path": "/data"}]
        self.cluster.deploy({"data": {}} if volume else {}, {name: app})

    def failures(self, node: str) -> str:
        """
        What a node says is wrong with its forwarding of ports.
        """
        failures = self.cluster.nodes()[str(self.cluster.node_ids[node])]["failures"]
        return "".join(f["text"] for f in failures if f["about"] == "forwarding of ports")

    def reached_from(self, node: str, protocol: str = "tcp", port: int = PORT) -> str:
        """
        Who answers at a node; empty: nobody does, or not soon.
        """
        try:
            return who(CLIENT, self.addresses[node], port, protocol=protocol, seconds=1.0)
        except OSError:
            return ""

    def answers_at(self, node: str) -> str:
        """
        Who answers at a node, where somebody must.
        """
        return who(CLIENT, self.addresses[node], PORT)

    def all_reach(self, node: str, protocol: str = "tcp") -> None:
        """
        Wait until every node leads to this one.
        """
        self.cluster.wait(lambda: [self.reached_from(name, protocol) for name in NODES] == [node] * len(NODES))

    def restart(self, node: str, *, enabled: bool) -> None:
        """
        End an agent, and start it again with other settings.
        """
        path = self.cluster.folder / node / "agent.yml"
        before, after = (f'"enabled": {str(each).lower()}' for each in (not enabled, enabled))
        self.cluster.kill(node, signal.SIGTERM)
        path.write_text(path.read_text().replace(before, after))
        self.cluster.start(node)


def rules(node: str) -> str:
    """
    All that nftables has on a node.
    """
    return run(node, "nft", "list", "ruleset")


@contextmanager
def forwarding(
    folder: Path, *, enabled: Callable[[str], bool] = lambda _: True, volumes: bool = False
) -> Iterator[Forwarding]:
    with (
        network(CONTROL) as addresses,
        Cluster(
            folder,
            lambda name: {
                "backend": "directory",
                "root_path": str(folder / name / "pool"),
                "mount_root": str(folder / name / "flocker"),
            },
            addresses={name: addresses[name] for name in (CONTROL, *NODES)},
            namespaces={name: namespace(name) for name in (CONTROL, *NODES)},
            runtime=lambda _: {"backend": "memory"},
            also=lambda name: {"forwarding": {"enabled": enabled(name)}},
        ) as cluster,
    ):
        yield Forwarding(cluster, addresses)


@pytest.fixture
def needed(require: Require) -> None:
    require("root")
    require("nftables")


@pytest.mark.usefixtures("needed")
def test_ports_follow_their_container(tmp_path: Path) -> None:
    """
    Every node leads to the container, by TCP and UDP, wherever it is; and nobody leads anywhere once it is gone.
    """
    with forwarding(tmp_path) as world:
        for node in ("n1", "n2"):
            with Service(node, PORT), Service(node, PORT, protocol="udp"):
                world.deploy(node, f"{PORT}:80", f"{PORT}:53/udp")
                world.all_reach(node)
                world.all_reach(node, "udp")
        world.cluster.deploy({}, {"web": {"state": "deleted"}})
        world.cluster.wait(lambda: not any("flocker" in rules(name) for name in NODES))
        # What was wrong in between is told until the agent has looked again.
        world.cluster.wait(lambda: [world.failures(name) for name in NODES] == ["", "", ""])


@pytest.mark.usefixtures("needed")
def test_port_follows_the_data(tmp_path: Path) -> None:
    """
    A container with a volume is reached where the volume is, and after a move at its new owner.
    """
    with forwarding(tmp_path) as world:
        for node in ("n1", "n2"):
            with Service(node, PORT):
                world.deploy(node, f"{PORT}:80", volume=True)
                world.cluster.settled("data", node)
                world.all_reach(node)


@pytest.mark.usefixtures("needed")
def test_agent_is_away(tmp_path: Path) -> None:
    """
    Ports lead on while an agent, killed or stopped, is away, and after it came back; and while control is away, too.
    """
    with forwarding(tmp_path) as world, Service("n1", PORT):
        world.deploy("n1", f"{PORT}:80")
        world.all_reach("n1")
        for name, number in (("n2", signal.SIGKILL), ("n3", signal.SIGTERM), (CONTROL, signal.SIGKILL)):
            world.cluster.kill(name, number)
        away = [world.answers_at(name) for name in NODES]
        for name in ("n2", "n3"):
            world.cluster.start(name)
        run("n2", "nft", "flush", "chain", "inet", "flocker", "prerouting")
        world.all_reach("n1")
        world.cluster.start(CONTROL)
        world.cluster.wait(lambda: all(node["connected"] for node in world.cluster.nodes().values()))
        world.all_reach("n1")

        assert away == ["n1"] * 3


@pytest.mark.usefixtures("needed")
def test_table_deleted_by_hand(tmp_path: Path) -> None:
    """
    What somebody deletes is put in place again.
    """
    with forwarding(tmp_path) as world, Service("n1", PORT):
        world.deploy("n1", f"{PORT}:80")
        world.all_reach("n1")
        run("n2", "nft", "flush", "ruleset")
        world.cluster.wait(lambda: world.reached_from("n2") == "n1", poll_seconds=0.5)


@pytest.mark.usefixtures("needed")
def test_turned_on_and_off(tmp_path: Path) -> None:
    """
    By default nothing is led anywhere and nothing is touched; turned on, it is; turned off again, it is removed.
    """
    with forwarding(tmp_path, enabled=lambda name: name == "n2") as world, Service("n1", PORT):
        world.deploy("n1", f"{PORT}:80")
        world.cluster.wait(lambda: world.reached_from("n2") == "n1")
        untouched = [rules(name) for name in ("n1", "n3")]
        world.restart("n3", enabled=True)
        world.restart("n2", enabled=False)
        world.cluster.wait(lambda: world.reached_from("n3") == "n1")
        world.cluster.wait(lambda: "flocker" not in rules("n2"))

        assert untouched == ["", ""]
        assert world.reached_from("n2") == ""


@pytest.mark.usefixtures("needed")
def test_what_is_in_the_way_is_told(tmp_path: Path) -> None:
    """
    A port that a program of the node listens on stays its own, and a node that doesn't pass packets on says so; each
    with what to do, and no longer than it is so.
    """
    with forwarding(tmp_path) as world, Service("n1", PORT):
        run("n3", "sysctl", "-qw", "net.ipv4.ip_forward=0")
        with Service("n2", PORT):
            world.deploy("n1", f"{PORT}:80")
            world.cluster.wait(lambda: "end that program" in world.failures("n2"))
            own = world.answers_at("n2")
        world.cluster.wait(lambda: "net.ipv4.ip_forward=1" in world.failures("n3"))
        world.cluster.wait(lambda: world.reached_from("n2") == "n1")
        world.cluster.wait(lambda: not world.failures("n2"))

        assert own == "n2"


@pytest.mark.usefixtures("needed")
def test_without_nft(tmp_path: Path) -> None:
    """
    A node that lacks the command says what to install; all else works.
    """
    with forwarding(tmp_path) as world:
        world.cluster.kill("n2")
        world.cluster.hide("n2", Path(shutil.which("nft") or ""))
        world.cluster.start("n2")
        world.deploy("n2", f"{PORT}:80", volume=True)
        world.cluster.settled("data", "n2")
        world.deploy("n1", f"{PORT}:80", volume=True)
        world.cluster.wait(lambda: "install the package nftables" in world.failures("n2"))
        world.cluster.settled("data", "n1")
        world.cluster.wait(lambda: world.cluster.container("web")["state"] == "running")


@pytest.mark.usefixtures("needed")
def test_port_of_two_containers(tmp_path: Path) -> None:
    """
    Two containers with one port on two nodes: each node serves its own, a third leads to neither, and says why.
    """
    with forwarding(tmp_path, enabled=lambda _: False) as world:
        world.deploy("n1", f"{PORT}:80", name="one")
        world.deploy("n2", f"{PORT}:80", name="two")
        for name in NODES:
            world.restart(name, enabled=True)
        world.cluster.wait(lambda: "one and two" in world.failures("n3"))

        assert [world.failures(name) for name in ("n1", "n2")] == ["", ""]
        assert rules("n3") == ""
