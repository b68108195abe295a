"""
Clusters of nodes with an engine each, whose agents run containers in it. Control and clients are on none of them.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flocker_agent.runtime.docker_engine import DockerEngine
from flocker_agent.runtime.docker_ports import kept_for_nobody
from flocker_py.model import Port
from tests.cluster import CONTROL, Cluster, unhurried
from tests.engines import Host, engines
from tests.integration.tools import Ended, Tool
from tests.zfs.namespaces import enter

# In the network of ``engines``, beyond its hosts.
_OUTSIDE_ADDRESS = "10.99.0.100"
_ANSWER_SECONDS = 30.0
_PUBLISHED = Port(internal=80, external=8080)
_TELLING_SECONDS = 2.0
_IN_MEMORY = "/dev/shm/flocker-tests"


class DockerNodes:
    """
    :ivar cluster: with control on the outside.
    :ivar hosts: by name.
    :ivar outside: what begins a command that runs on no node.
    """

    def __init__(self, cluster: Cluster, hosts: Mapping[str, Host], outside: Sequence[str]) -> None:
        self.cluster = cluster
        self.hosts = hosts
        self.outside = list(outside)

    def deploy(self, volumes: Mapping[str, Any], apps: Mapping[str, Any]) -> Ended:
        """
        What ``flocker-deploy`` does with such a file, to its end.
        """
        return self.deploying(volumes, apps).ended()

    def deploying(self, volumes: Mapping[str, Any], apps: Mapping[str, Any]) -> Tool:
        """
        The same, while it runs.
        """
        document = {
            "version": 2,
            "cluster": {"name": "test", "control": {"host": self.cluster.addresses[CONTROL]}},
            "nodes": {name: {"uuid": str(node_id)} for name, node_id in self.cluster.node_ids.items()},
            "volumes": unhurried(volumes),
            "apps": apps,
        }
        # JSON is YAML.
        (self.cluster.folder / "cluster.yml").write_text(json.dumps(document))
        user = str(self.cluster.certificates.user.certificate_path.parent)
        return Tool(
            "flocker-deploy", "cluster.yml", "--json", "--certificates-directory", user,
            folder=self.cluster.folder, inside=self.outside,
        )  # fmt: skip

    def page(self, host: str, path: str) -> str:
        """
        What a web application answers, asked from outside at port 8080 of a host.

        :raises OSError: and ``HTTPException``: it doesn't.
        """
        with enter(self.hosts[host].fabric):
            connection = http.client.HTTPConnection(self.hosts[host].address, 8080, timeout=_ANSWER_SECONDS)
            try:
                connection.request("GET", path)
                return connection.getresponse().read().decode().strip()
            finally:
                connection.close()

    def owner(self, volume: str) -> str:
        """
        The node that has a volume.
        """
        owner = self.cluster.dataset(volume)["owner"]
        return next(name for name, node_id in self.cluster.node_ids.items() if str(node_id) == owner)

    def running(self, image: str) -> list[str]:
        """
        The hosts on which a container of an image runs, once for each.
        """
        return [
            name
            for name, host in self.hosts.items()
            for _ in host.docker("ps", "--quiet", "--filter", f"ancestor={image}").split()
        ]

    def relieve(self) -> list[str]:
        """
        Do what an operator is told to: an engine that holds the applications' port for none of its containers, since it
        was killed while it started one, is started again. Answers which hosts' were.
        """
        relieved = []
        for name, host in self.hosts.items():
            engine = DockerEngine(host.socket)
            with enter(host.namespace):
                if not kept_for_nobody(engine, [_PUBLISHED]):
                    continue
                # One may have been about to tell that it is a container's.
                time.sleep(_TELLING_SECONDS)
                if kept_for_nobody(engine, [_PUBLISHED]):
                    relieved.append(name)
            if name in relieved:
                host.stop()
                host.start()
        return relieved


@contextmanager
def docker_nodes(
    names: Sequence[str],
    dataset: Callable[[str, Path], Mapping[str, Any]],
    *,
    forwarding: bool = False,
    fault_points: bool = False,
) -> Iterator[DockerNodes]:
    """
    A started cluster.

    :param dataset: the ``dataset`` section of a node's agent.yml, by its name and a folder of the cluster's own.
    :param forwarding: every node leads published ports to where they are.
    """
    # The names of sockets are short, and those of a test's own folder are not.
    with tempfile.TemporaryDirectory(prefix="fpd") as scratch, engines(names, Path(scratch) / "engines") as hosts:
        folder = Path(scratch) / "cluster"
        folder.mkdir()
        fabric = next(iter(hosts.values())).fabric
        # What is on the outside reaches itself by its address, too.
        subprocess.run(["ip", "-n", fabric, "link", "set", "lo", "up"], check=True)
        subprocess.run(["ip", "-n", fabric, "addr", "add", f"{_OUTSIDE_ADDRESS}/24", "dev", "br0"], check=True)
        with Cluster(
            folder,
            lambda name: dataset(name, folder / name),
            addresses={CONTROL: _OUTSIDE_ADDRESS, **{name: host.address for name, host in hosts.items()}},
            namespaces={CONTROL: fabric},
            inside={name: host.inside for name, host in hosts.items()},
            runtime=lambda name: {
                "backend": "docker",
                "socket": hosts[name].socket,
                "state_path": str(folder / name / "docker"),
                "grants_path": _IN_MEMORY,
            },
            also=lambda _: {"forwarding": {"enabled": forwarding}},
            fault_points=fault_points,
        ) as cluster:
            yield DockerNodes(cluster, hosts, ["nsenter", f"--net=/run/netns/{fabric}"])
