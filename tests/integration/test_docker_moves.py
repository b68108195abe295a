"""
Applications in containers of Docker, moved between nodes with an engine each.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from flocker_py.testing.storage_contract_mounts import process_using
from tests.conftest import Require
from tests.database_moves import APP, VOLUME, Database
from tests.docker_nodes import DockerNodes, docker_nodes
from tests.engines import without_runc_state
from tests.images import DATA, POSTGRESQL_IMAGE, WEB_IMAGE, import_web
from tests.integration.test_database_moves import on_directories
from tests.zfs.namespaces import enter

pytestmark = pytest.mark.timeout(500)
VOLUMES = {VOLUME: {"size": "1G"}}
NOWHERE_IMAGE = "localhost:1/web:1"
"""There is no registry to fetch it from."""


@pytest.fixture
def nodes(require: Require) -> Iterator[DockerNodes]:
    require("docker")
    require("postgresql")
    require("nftables")
    with docker_nodes(["n1", "n2"], on_directories, forwarding=True) as nodes:
        yield nodes


def deployed(nodes: DockerNodes, apps: dict[str, object]) -> None:
    ended = nodes.deploy(VOLUMES, apps)
    assert ended.status == 0, ended.out + ended.err


def web(node: str) -> dict[str, object]:
    """
    The web application, whose database is wherever it is.
    """
    return {
        "node": node,
        "image": POSTGRESQL_IMAGE,
        "command": ["serve-visits"],
        "ports": ["8080:80"],
        "links": [{"alias": "db", "local_port": 5432, "remote_port": 5432}],
    }


def test_linked_applications_go_on_talking(nodes: DockerNodes) -> None:
    """
    A web application goes on counting in its database after that has moved to another node, and is not restarted.
    """
    database = Database(nodes)
    deployed(nodes, {APP: database.app("n1"), "web": web("n1")})
    nodes.cluster.wait(lambda: nodes.page("n1", "/cgi-bin/visits") == "1")
    before = nodes.hosts["n1"].docker("ps", "--no-trunc", "--quiet", "--filter", "publish=8080")
    deployed(nodes, {APP: database.app("n2"), "web": web("n1")})
    nodes.cluster.settled(VOLUME, "n2")
    counted = int(nodes.cluster.wait(lambda: nodes.page("n1", "/cgi-bin/visits")))
    after = nodes.hosts["n1"].docker("ps", "--no-trunc", "--quiet", "--filter", "publish=8080")

    assert (counted, after) == (2, before)


def test_links_without_forwarding(require: Require) -> None:
    """
    Where nodes don't lead ports on, whoever deploys a link to another node is warned, and so is who lists the apps; a
    connection by it is refused. Once both are on one node, there is nothing to say.
    """
    require("docker")
    with docker_nodes(["n1", "n2"], on_directories) as nodes:
        for host in nodes.hosts.values():
            import_web(host)
        link = {"alias": "counter", "local_port": 80, "remote_port": 8080}
        linked = {"node": "n1", "image": WEB_IMAGE, "command": ["sleep", "1000"], "links": [link]}
        there = {"linked": linked, "web": counting("n2")}
        apart = nodes.deploy(VOLUMES, there)
        shown = nodes.cluster.container("linked")
        (running,) = nodes.hosts["n1"].docker("ps", "--quiet", "--filter", f"ancestor={WEB_IMAGE}").split()
        ask = "wget -qO- http://$COUNTER_PORT_80_TCP_ADDR:$COUNTER_PORT_80_TCP_PORT/cgi-bin/count 2>&1; true"
        refused = nodes.hosts["n1"].docker("exec", running, "sh", "-c", ask)
        together = nodes.deploy(VOLUMES, {"linked": linked, "web": counting("n1")})
        nodes.cluster.settled(VOLUME, "n1")

        def answered() -> str:
            # It runs before it listens.
            return nodes.hosts["n1"].docker("exec", running, "sh", "-c", ask).strip()

        nodes.cluster.wait(lambda: answered().isdigit())
        afterwards = nodes.cluster.container("linked")["warnings"]

    warning = "links: counter leads nowhere: port 8080 is published by container web on node n2"
    assert (0, True, True) == (apart.status, warning in apart.out + apart.err, warning in shown["warnings"][0])
    assert ("refused" in refused, together.status) == (True, 0)
    assert [] == afterwards


def counting(node: str) -> dict[str, object]:
    return {
        "node": node,
        "image": WEB_IMAGE,
        "ports": ["8080:80"],
        "mounts": [{"volume": VOLUME, "path": DATA}],
        "restart": "always",
    }


def test_path_is_gone_after_release(nodes: DockerNodes) -> None:
    """
    A container that somebody starts by hand on the path that the volume had, on the node that gave it away, is refused:
    there is no stale copy that it could write to.
    """
    for host in nodes.hosts.values():
        import_web(host)
    deployed(nodes, {"web": counting("n1")})
    path = nodes.cluster.settled(VOLUME, "n1")["path"]
    nodes.cluster.wait(lambda: nodes.page("n1", "/cgi-bin/count") == "1")
    deployed(nodes, {"web": counting("n2")})
    nodes.cluster.settled(VOLUME, "n2")
    by_hand = ["docker", "--host", nodes.hosts["n1"].socket, "run", "--rm"]
    with pytest.raises(AssertionError, match="bind source path does not exist"):
        nodes.hosts["n1"].run(*by_hand, "--mount", f"type=bind,src={path},dst=/data", WEB_IMAGE, "touch", "/data/stale")
    counted = nodes.cluster.wait(lambda: nodes.page("n2", "/cgi-bin/count"))

    assert counted == "2"


def test_image_is_there_before_the_source_stops(nodes: DockerNodes) -> None:
    """
    A target that can't have the image keeps the move waiting, which says why, while the application goes on as it is;
    once the image is there, the move ends by itself.
    """
    source, target = nodes.hosts["n1"], nodes.hosts["n2"]
    import_web(source)
    source.docker("tag", WEB_IMAGE, NOWHERE_IMAGE)
    deployed(nodes, {"web": counting("n1") | {"image": NOWHERE_IMAGE}})
    nodes.cluster.settled(VOLUME, "n1")
    nodes.cluster.wait(lambda: nodes.page("n1", "/cgi-bin/count") == "1")
    before = source.docker("ps", "--no-trunc", "--quiet", "--filter", "publish=8080")
    deploying = nodes.deploying(VOLUMES, {"web": counting("n2") | {"image": NOWHERE_IMAGE}})
    waits = nodes.cluster.wait(
        lambda: (
            "needs there" in (text := str(nodes.cluster.dataset(VOLUME)["waiting_for"])) and "refused" in text and text
        )
    )
    phase = nodes.cluster.dataset(VOLUME)["move"]["phase"]
    counted = nodes.page("n1", "/cgi-bin/count")
    during = source.docker("ps", "--no-trunc", "--quiet", "--filter", "publish=8080")
    import_web(target)
    target.docker("tag", WEB_IMAGE, NOWHERE_IMAGE)
    ended = deploying.ended()
    nodes.cluster.settled(VOLUME, "n2")

    assert f"node n2 to have what container web needs there: Container 'web': the image {NOWHERE_IMAGE}" in waits
    assert (phase, counted, during) == ("copying", "2", before)
    assert (ended.status, nodes.cluster.wait(lambda: nodes.page("n2", "/cgi-bin/count"))) == (0, "3")


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_port_is_held_on_the_target(nodes: DockerNodes, protocol: str) -> None:
    """
    A program of the target that holds a port of the container keeps the move waiting, which names the port, while the
    application goes on as it is; once the program has ended, the move ends by itself.
    """
    source, target = nodes.hosts["n1"], nodes.hosts["n2"]
    import_web(source)
    import_web(target)
    ports = {"ports": ["8080:80", "8053:53/udp"]}
    deployed(nodes, {"web": counting("n1") | ports})
    nodes.cluster.settled(VOLUME, "n1")
    nodes.cluster.wait(lambda: nodes.page("n1", "/cgi-bin/count") == "1")
    state = ("inspect", "--format", "{{.Id}} {{.State.StartedAt}} {{.RestartCount}}")
    (running,) = source.docker("ps", "--no-trunc", "--quiet", "--filter", "publish=8080").split()
    before = source.docker(*state, running)
    kind, held = {"tcp": (socket.SOCK_STREAM, 8080), "udp": (socket.SOCK_DGRAM, 8053)}[protocol]
    with enter(target.namespace):
        holder = socket.socket(socket.AF_INET, kind)
        holder.bind(("", held))
    with holder:
        if protocol == "tcp":
            holder.listen()
        deploying = nodes.deploying(VOLUMES, {"web": counting("n2") | ports})
        waits = nodes.cluster.wait(
            lambda: "is held by" in (text := str(nodes.cluster.dataset(VOLUME)["waiting_for"])) and text
        )
        phase = nodes.cluster.dataset(VOLUME)["move"]["phase"]
        counted = nodes.page("n1", "/cgi-bin/count")
        during = source.docker(*state, running)
    ended = deploying.ended()
    nodes.cluster.settled(VOLUME, "n2")

    assert (
        f"node n2 to have what container web needs there: Container 'web': the port {held}/{protocol} of this host is"
        " held by another program" in waits
    )
    assert (phase, counted, during) == ("copying", "2", before)
    assert (ended.status, nodes.cluster.wait(lambda: nodes.page("n2", "/cgi-bin/count"))) == (0, "3")


def test_shells_in_a_volume(nodes: DockerNodes) -> None:
    """
    A shell that somebody has in the container ends with it, and holds up no move. One on the host does: the move waits
    for it by name, has failed after some time, and the container runs again where it was. Without it, the next goes
    through.
    """
    for host in nodes.hosts.values():
        import_web(host)
    deployed(nodes, {"web": counting("n1")})
    nodes.cluster.settled(VOLUME, "n1")
    nodes.cluster.wait(lambda: nodes.page("n1", "/cgi-bin/count") == "1")
    container = nodes.hosts["n1"].docker("ps", "--quiet", "--filter", "publish=8080").strip()
    nodes.hosts["n1"].docker("exec", "--detach", "--workdir", DATA, container, "sleep", "100000")
    deployed(nodes, {"web": counting("n2")})
    path = Path(nodes.cluster.settled(VOLUME, "n2")["path"])

    with process_using(path, "working directory") as process_id:
        process = f"process {process_id} (python"
        nodes.cluster.api("POST", "/v2/moves", {"dataset": VOLUME, "target": "n1"})
        nodes.cluster.wait(lambda: process in (nodes.cluster.dataset(VOLUME)["waiting_for"] or ""))
        last = nodes.cluster.wait(
            lambda: (found := nodes.cluster.dataset(VOLUME))["move"] is None and found["last_move"]
        )
        assert (last["outcome"], process in last["reason"]) == ("failed", True)
        nodes.cluster.wait(lambda: nodes.page("n2", "/cgi-bin/count") == "2")

    nodes.cluster.api("POST", "/v2/moves", {"dataset": VOLUME, "target": "n1"})
    nodes.cluster.settled(VOLUME, "n1")
    nodes.cluster.wait(lambda: nodes.page("n1", "/cgi-bin/count") == "3")


def test_container_by_hand_in_a_volume(nodes: DockerNodes) -> None:
    """
    A container that somebody has started with the volume's path keeps the volume where it is, and is named, by the
    process that it has on the host; what it writes isn't lost. Without it, the next move goes through.
    """
    for host in nodes.hosts.values():
        import_web(host)
    deployed(nodes, {"web": counting("n1")})
    path = nodes.cluster.settled(VOLUME, "n1")["path"]
    nodes.cluster.wait(lambda: nodes.page("n1", "/cgi-bin/count") == "1")
    script = "while sleep 0.1; do echo written >> /elsewhere/by-hand; done"
    host = nodes.hosts["n1"]
    other = host.docker("run", "--detach", "--volume", f"{path}:/elsewhere", WEB_IMAGE, "sh", "-c", script).strip()
    process_id = host.docker("inspect", "--format", "{{.State.Pid}}", other).strip()

    nodes.cluster.api("POST", "/v2/moves", {"dataset": VOLUME, "target": "n2"})
    last = nodes.cluster.wait(lambda: (found := nodes.cluster.dataset(VOLUME))["move"] is None and found["last_move"])
    assert (last["outcome"], f" {process_id} (sh)" in last["reason"]) == ("failed", True)
    nodes.cluster.wait(lambda: nodes.page("n1", "/cgi-bin/count") == "2")
    host.docker("rm", "--force", other)
    written = (Path(path) / "by-hand").read_bytes()

    nodes.cluster.api("POST", "/v2/moves", {"dataset": VOLUME, "target": "n2"})
    there = Path(nodes.cluster.settled(VOLUME, "n2")["path"])
    assert (there / "by-hand").read_bytes() == written
    nodes.cluster.wait(lambda: nodes.page("n2", "/cgi-bin/count") == "3")


def test_changed_by_hand(nodes: DockerNodes) -> None:
    """
    A limit that somebody has changed, and that Docker can't put back, is the container's error, which says what is and
    what was asked for; once it could be put back, nothing is wrong any more, and nothing was restarted.
    """
    cluster, host = nodes.cluster, nodes.hosts["n1"]
    import_web(host)
    deployed(nodes, {"web": counting("n1") | {"memory": "64M"}})
    cluster.wait(lambda: nodes.page("n1", "/cgi-bin/count") == "1")
    container = host.docker("ps", "--no-trunc", "--quiet", "--filter", "publish=8080").strip()
    # Else it has put it back before the engine can't any more.
    os.kill(cluster.pid("n1"), signal.SIGSTOP)
    host.docker("update", "--memory", "32m", "--memory-swap", "32m", container)
    with without_runc_state(host):
        os.kill(cluster.pid("n1"), signal.SIGCONT)
        error = cluster.wait(lambda: cluster.container("web")["last_error"])
        listed = cluster.ctl("apps").out
    cluster.wait(lambda: cluster.container("web")["last_error"] is None)
    memory = host.docker("inspect", "-f", "{{.HostConfig.Memory}} {{.RestartCount}}", container).strip()

    told = f"memory_bytes is {32 << 20}, and {64 << 20} was asked for; Docker can't put it back"
    assert ("ContainerChanged", True) == (error["code"], told in error["text"])
    assert told in listed
    assert (f"{64 << 20} 0", "2") == (memory, nodes.page("n1", "/cgi-bin/count"))


def test_changed_by_hand_is_only_shown(nodes: DockerNodes) -> None:
    """
    Where the node's settings say so, what somebody has changed is left so and is the container's error, which says what
    is and what was asked for; once somebody has put it back, nothing is wrong any more.
    """
    cluster, host = nodes.cluster, nodes.hosts["n1"]
    import_web(host)
    deployed(nodes, {"web": counting("n1") | {"memory": "64M"}})
    settings = cluster.folder / "n1" / "agent.yml"
    written = json.loads(settings.read_text())
    written["runtime"]["changed_by_hand"] = "show"
    settings.write_text(json.dumps(written))
    cluster.kill("n1", signal.SIGTERM)
    cluster.start("n1")
    container = host.docker("ps", "--no-trunc", "--quiet", "--filter", "publish=8080").strip()
    host.docker("update", "--memory", "32m", "--memory-swap", "32m", container)
    error = cluster.wait(lambda: cluster.container("web")["last_error"])
    listed = cluster.ctl("apps").out
    left = host.docker("inspect", "-f", "{{.HostConfig.Memory}} {{.RestartCount}}", container).strip()
    host.docker("update", "--memory", "64m", "--memory-swap", "128m", container)
    cluster.wait(lambda: cluster.container("web")["last_error"] is None)

    told = (
        f"memory_bytes is {32 << 20}, and {64 << 20} was asked for; it stays so, as changed_by_hand in agent.yml says"
    )
    assert ("ContainerChanged", True) == (error["code"], told in error["text"])
    assert (True, f"{32 << 20} 0") == (told in listed, left)


def test_secrets_are_in_no_log(nodes: DockerNodes) -> None:
    """
    Neither what a file with environment says nor a value of the environment is in a log, wherever the container is
    started, moved, and fails to start.
    """
    cluster = nodes.cluster
    for host in nodes.hosts.values():
        import_web(host)
    file = cluster.folder / "web.env"
    file.touch(mode=0o600)
    file.write_text("PASSWORD=swordfish\n")
    secret = {"env": {"TOKEN": "marlinspike"}, "env_file": str(file)}
    deployed(nodes, {"web": counting("n1") | secret})
    cluster.wait(lambda: nodes.page("n1", "/cgi-bin/count") == "1")
    deployed(nodes, {"web": counting("n2") | secret})
    cluster.settled(VOLUME, "n2")
    cluster.wait(lambda: nodes.page("n2", "/cgi-bin/count") == "2")
    broken = {"node": "n2", "image": WEB_IMAGE, "entrypoint": ["/nowhere"], **secret}
    cluster.deploy(VOLUMES, {"web": counting("n2") | secret, "broken": broken})
    error = cluster.wait(lambda: cluster.container("broken")["last_error"])
    environment = nodes.hosts["n2"].docker("exec", nodes.hosts["n2"].docker("ps", "--quiet").strip(), "env")
    logs = {path.name: path.read_text() for each in ("*.log", "*.out") for path in cluster.folder.glob(each)}

    assert {"PASSWORD=swordfish", "TOKEN=marlinspike"} <= set(environment.split())
    assert "ContainerStartFailed" == error["code"]
    assert all("flocker:agent:start-container" in logs[f"{name}.log"] for name in ("n1", "n2"))
    assert [] == [(name, word) for name, text in logs.items() for word in ("swordfish", "marlinspike") if word in text]
    assert ("swordfish" in error["text"], "marlinspike" in error["text"]) == (False, False)
