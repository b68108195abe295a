"""
The volume protocol against the plugins of two nodes, with a real control service and real agents.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.cluster import CONTROL, Cluster
from tests.engine_stand_in import EngineStandIn
from tests.integration.loopback import addresses
from tests.plugins import AtSocket, Plugin

NO_ENGINE = ("--engine", "/nonexistent/engine.sock")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("plugin")

    def dataset(name: str) -> dict[str, str]:
        return {
            "backend": "directory",
            "root_path": str(folder / name / "pool"),
            "mount_root": str(folder / name / "flocker"),
        }

    with Cluster(folder, dataset, addresses=addresses("n1", "n2")) as running:
        yield running


@pytest.fixture(scope="module")
def n1(cluster: Cluster) -> Iterator[Plugin]:
    with Plugin(cluster, "n1", options=NO_ENGINE) as plugin:
        yield plugin


@pytest.fixture(scope="module")
def n2(cluster: Cluster) -> Iterator[Plugin]:
    with Plugin(cluster, "n2", options=NO_ENGINE) as plugin:
        yield plugin


@pytest.fixture
def volume() -> str:
    return f"v{uuid4().hex[:8]}"


def made(plugin: Plugin, volume: str, **options: str) -> None:
    reply = plugin.create(volume, **options)
    assert reply.error == ""


def mounted(plugin: Plugin, volume: str, caller: str = "c1") -> Path:
    """
    Where a volume is, once it is mounted.
    """
    reply = plugin.mount(volume, caller)
    assert reply.error == ""
    return Path(reply.body["Mountpoint"])


def lease_of(cluster: Cluster, volume: str) -> Any:
    return cluster.dataset(volume)["lease"]


def holder(cluster: Cluster, volume: str) -> str | None:
    lease = lease_of(cluster, volume)
    names = {str(node_id): name for name, node_id in cluster.node_ids.items()}
    return None if lease is None else names[lease["node_id"]]


class TestProtocol:
    """
    What every volume driver answers.
    """

    def test_activate(self, n1: Plugin) -> None:
        """
        It says what it is.
        """
        assert {"Implements": ["VolumeDriver"], "Err": ""} == n1.call("Plugin.Activate").body

    def test_scope(self, n1: Plugin) -> None:
        """
        A volume made on one node is seen on all.
        """
        assert {"Scope": "global"} == n1.call("Capabilities").body["Capabilities"]

    @pytest.mark.parametrize("call", ["Get", "Path", "Remove", "Mount"])
    def test_unknown_volume(self, n1: Plugin, call: str) -> None:
        """
        What isn't there is answered with an error.
        """
        assert "there is no volume nothing" == n1.call(call, Name="nothing", ID="c1").error

    def test_listed_on_all_nodes(self, n1: Plugin, n2: Plugin, volume: str) -> None:
        """
        A volume is listed on both nodes, with its path where it is mounted.
        """
        made(n1, volume)
        path = mounted(n1, volume)
        found = [
            next(each["Mountpoint"] for each in plugin.call("List").body["Volumes"] if each["Name"] == volume)
            for plugin in (n1, n2)
        ]
        n1.unmount(volume)

        assert [str(path), ""] == found

    def test_path(self, n1: Plugin, volume: str) -> None:
        """
        The path is where it was mounted.
        """
        made(n1, volume)
        path = mounted(n1, volume)
        told = n1.call("Path", Name=volume).body["Mountpoint"]
        n1.unmount(volume)

        assert str(path) == told

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (b"{", "not JSON"),
            (b"\xff\xfe", "not JSON"),
            (b"[1]", "not a JSON object"),
            (b'{"Name": 7}', "Name is missing"),
            (b'{"Name": "../../etc", "ID": "x"}', "there is no volume ../../etc"),
            (b'{"Name": "a/b?c#d", "ID": "x"}', "there is no volume a/b?c#d"),
            (b'{"Name": "v", "ID": {}}', "ID is missing"),
        ],
    )
    def test_garbage(self, n1: Plugin, body: bytes, expected: str) -> None:
        """
        Garbage is refused with a sentence.
        """
        assert expected in n1.send("VolumeDriver.Mount", body).error

    def test_unknown_call(self, n1: Plugin) -> None:
        """
        A call that there isn't is answered with 404, and with those that there are.
        """
        reply = n1.call("VolumeDriver.Explode")

        assert (404, True) == (reply.status, "VolumeDriver.Mount" in reply.error)

    def test_not_a_post(self, n1: Plugin) -> None:
        """
        Everything is a POST.
        """
        assert 405 == n1.send("VolumeDriver.List", b"", method="GET").status

    def test_huge(self, n1: Plugin) -> None:
        """
        The sender of a huge request is cut off, or told that it is none; everybody else is served.
        """
        try:
            error = n1.send("VolumeDriver.Mount", b"x" * (2 * 1024 * 1024)).error
        except (OSError, json.JSONDecodeError):
            error = "cut off"

        assert error
        assert "" == n1.call("List").error

    def test_nobody_else_can_connect(self, n1: Plugin) -> None:
        """
        The socket, and what is remembered, are their owner's alone.
        """
        assert 0o600 == n1.socket_path.stat().st_mode & 0o777


class TestCreate:
    """
    ``docker volume create``.
    """

    def test_options(self, cluster: Cluster, n1: Plugin, volume: str) -> None:
        """
        Options become what is wanted of the dataset, on this node.
        """
        options = {"size": "1G", "max_downtime": "5s", "on_partition": "fence", "metadata.team": "db"}
        made(n1, volume, protected="true", **options)
        dataset = cluster.dataset(volume)

        assert (1024**3, 5.0, "fence", {"team": "db", "protected": "true"}, str(cluster.node_ids["n1"])) == (
            *(dataset[key] for key in ("maximum_size_bytes", "max_downtime_seconds", "on_partition", "metadata")),
            dataset["primary"],
        )

    def test_again(self, n1: Plugin, n2: Plugin, volume: str) -> None:
        """
        Making what is there, and is so, is harmless on any node; what isn't so is said.
        """
        made(n1, volume, size="1G")
        errors = [n2.create(volume, **options).error for options in ({}, {"size": "1024M"}, {"size": "2G"})]

        assert ["", "", f"there is a volume {volume} already, and it has a size of 1 GiB, not 2 GiB"] == errors

    def test_without_options(self, n1: Plugin, volume: str) -> None:
        """
        ``docker run -v NAME:/data --volume-driver flocker`` sends no options at all.
        """
        reply = n1.call("Create", Name=volume, Opts=None)

        assert ("", None) == (reply.error, n1.status(volume)["size"])

    @pytest.mark.parametrize(
        ("option", "text", "expected"),
        [
            ("size", "10", "size=10: it has no unit. Write size=10G, or with K, M or T"),
            ("capacity", "10G", "capacity=10G: there is no option capacity, only size, "),
            ("from", "pg", "from=pg: it is a volume's name, @, and a snapshot's name: from=NAME@SNAPSHOT"),
            ("from", "nothing@monday", "there is no volume nothing"),
        ],
    )
    def test_bad_option(self, n1: Plugin, volume: str, option: str, text: str, expected: str) -> None:
        """
        A bad option is an error that names it, and nothing is made.
        """
        error = n1.create(volume, **{option: text}).error

        assert expected in error
        assert f"there is no volume {volume}" == n1.get(volume).error

    def test_from_no_snapshot(self, cluster: Cluster, n1: Plugin, volume: str) -> None:
        """
        A snapshot that isn't there is an error at once, and the name is free again.
        """
        origin = f"{volume}-origin"
        made(n1, origin)
        cluster.settled(origin, "n1")

        error = n1.create(volume, **{"from": f"{origin}@friday"}).error

        assert f"volume {volume} was not made: " in error
        assert "has no snapshot friday" in error
        made(n1, volume)

    def test_anonymous(self, n1: Plugin) -> None:
        """
        What Docker calls a volume that its user gave no name isn't a name here.
        """
        assert "a volume of the cluster needs a name" in n1.create("f" * 64).error


class TestMount:
    """
    ``docker run -v NAME:/data``, and the end of the container.
    """

    def test_moves(self, cluster: Cluster, n1: Plugin, n2: Plugin, volume: str) -> None:
        """
        What was written on one node is there on the other, where the volume is then.
        """
        made(n1, volume)
        (mounted(n1, volume) / "file").write_text("kept")
        n1.unmount(volume)
        path = mounted(n2, volume)
        status = n2.status(volume)
        text = (path / "file").read_text()
        n2.unmount(volume)

        assert ("kept", cluster.addresses["n2"], 2) == (text, status["owner"], status["epoch"])

    def test_held(self, cluster: Cluster, n1: Plugin, n2: Plugin, volume: str) -> None:
        """
        Who asks for what another node has is told at once by whom it is held; nobody can move or delete it.
        """
        made(n1, volume)
        mounted(n1, volume)
        refused = [n2.mount(volume).error, n2.remove(volume).error]
        here = n1.remove(volume).error
        moved = cluster.ctl("move", volume, str(cluster.node_ids["n2"]))
        n1.unmount(volume)

        expected = f"volume {volume} is in use on node {cluster.addresses['n1']}, which holds a lease of it"
        assert [True, True] == [text.startswith(expected) for text in refused]
        assert f"volume {volume} is in use: 1 on this node have it mounted" in here
        assert (1, True) == (moved.status, "is leased to node" in moved.err)

    def test_counted(self, cluster: Cluster, n1: Plugin, volume: str) -> None:
        """
        It is held until the last container that has it mounted is gone.
        """
        made(n1, volume)
        path = mounted(n1, volume, "c1")
        again = mounted(n1, volume, "c2")
        held = []
        for caller in ("c1", "c1", "stranger", "c2"):
            assert n1.unmount(volume, caller).error == ""
            held.append(holder(cluster, volume))

        assert (path, ["n1", "n1", "n1", None]) == (again, held)

    def test_both_at_once(self, cluster: Cluster, n1: Plugin, n2: Plugin, volume: str) -> None:
        """
        Of two nodes that want it at the same time one gets it, and the other is told so.
        """
        made(n1, volume)
        with ThreadPoolExecutor() as threads:
            replies = list(threads.map(lambda plugin: plugin.mount(volume), (n1, n2)))
        won = [plugin for plugin, reply in zip((n1, n2), replies, strict=True) if reply.error == ""]
        lost = [reply.error for reply in replies if reply.error]
        held = holder(cluster, volume)
        for plugin in won:
            plugin.unmount(volume)

        assert ([held], 1) == ([plugin.node for plugin in won], len(lost))
        assert "holds" in lost[0]
        assert None is holder(cluster, volume)

    def test_used_by_an_app(self, cluster: Cluster, n1: Plugin, n2: Plugin, volume: str) -> None:
        """
        What an app of the cluster uses on another node isn't taken from it, and the app is named.
        """
        made(n1, volume)
        app = {"node": "n1", "command": ["/bin/sleep", "1000000"], "mounts": [{"volume": volume}]}
        cluster.deploy({volume: {}}, {"sleeper": app})
        cluster.wait(lambda: cluster.container("sleeper")["state"] == "running")
        mounting, removing = n2.mount(volume).error, n1.remove(volume).error
        cluster.deploy({volume: {}}, {"sleeper": {"state": "deleted"}})

        assert f"volume {volume} is used by the app sleeper on node" in mounting
        assert f"volume {volume} is used by the app sleeper on node" in removing

    def test_somebody_elses_lease(self, cluster: Cluster, n1: Plugin, volume: str) -> None:
        """
        A lease that an operator holds for this node stays his, until he releases it.
        """
        made(n1, volume)
        cluster.api("PUT", f"/v2/leases/{volume}", {"node": str(cluster.node_ids["n1"])})
        mounted(n1, volume)
        n1.unmount(volume)
        held = holder(cluster, volume)
        removing = n1.remove(volume).error
        cluster.ctl("release", volume)

        assert "n1" == held
        assert f"`flockerctl release {volume}`" in removing
        assert "" == n1.remove(volume).error

    def test_node_is_away(self, cluster: Cluster, n1: Plugin, n2: Plugin, volume: str) -> None:
        """
        What is on a node that can't be heard can't come, and no move is begun that would surprise later.
        """
        made(n1, volume)
        mounted(n1, volume)
        n1.unmount(volume)
        cluster.kill("n1")
        try:
            cluster.wait(lambda: not cluster.nodes()[str(cluster.node_ids["n1"])]["connected"])
            error = n2.mount(volume).error
            after = cluster.dataset(volume)
        finally:
            cluster.start("n1")
            cluster.wait(lambda: cluster.nodes()[str(cluster.node_ids["n1"])]["connected"])

        assert f"`flockerctl failover {volume} --to " in error
        assert (str(cluster.node_ids["n1"]), None) == (after["primary"], after["lease"])


class TestSlowMove:
    """
    A volume that doesn't come in time.
    """

    def test_found_by_a_retry(self, cluster: Cluster, n1: Plugin, volume: str) -> None:
        """
        Docker gets an answer before it stops waiting; the move goes on, nobody gets in between, and a retry finds it.
        """
        made(n1, volume)
        (mounted(n1, volume) / "file").write_text("kept")
        n1.unmount(volume)
        with Plugin(cluster, "n2", options=[*NO_ENGINE, "--mount-seconds", "5"], called="hasty") as hasty:
            os.kill(cluster.pid("n1"), signal.SIGSTOP)
            try:
                error = hasty.mount(volume).error
                lease = lease_of(cluster, volume)
                remembered = hasty.remembered()
            finally:
                os.kill(cluster.pid("n1"), signal.SIGCONT)
            cluster.wait(lambda: cluster.dataset(volume)["owner"] == str(cluster.node_ids["n2"]))
            cluster.wait(lambda: cluster.dataset(volume)["mounted"])
            text = (mounted(hasty, volume) / "file").read_text()
            held = lease_of(cluster, volume)
            hasty.unmount(volume)

        assert "is not on node" in error
        assert "That goes on by itself; try again" in error
        assert (str(cluster.node_ids["n2"]), True, {}) == (
            lease["node_id"],
            0 < lease["left_seconds"] <= 900,
            remembered,
        )
        assert ("kept", None) == (text, held["left_seconds"])

    def test_sender_goes(self, cluster: Cluster, n1: Plugin, n2: Plugin, volume: str) -> None:
        """
        Of a mount that nobody waits for any more nothing is left.
        """
        made(n1, volume)
        mounted(n1, volume)
        n1.unmount(volume)
        os.kill(cluster.pid("n1"), signal.SIGSTOP)
        try:
            connection = AtSocket(n2.socket_path)
            connection.request("POST", "/VolumeDriver.Mount", json.dumps({"Name": volume, "ID": "gone"}))
            cluster.wait(lambda: n2.remembered().get(volume) == ["gone"] and holder(cluster, volume) == "n2")
            connection.close()
            cluster.wait(lambda: volume not in n2.remembered() and holder(cluster, volume) is None)
        finally:
            os.kill(cluster.pid("n1"), signal.SIGCONT)


class TestRemove:
    """
    ``docker volume rm``.
    """

    def test_gone(self, cluster: Cluster, n1: Plugin, n2: Plugin, volume: str) -> None:
        """
        It is gone on all nodes, and its name is free.
        """
        made(n1, volume)
        removed = n2.remove(volume).error
        gone = [plugin.get(volume).error for plugin in (n1, n2)]
        made(n2, volume)

        assert ("", [f"there is no volume {volume}"] * 2) == (removed, gone)

    def test_protected(self, cluster: Cluster, n1: Plugin, volume: str) -> None:
        """
        A protected volume stays until an operator says otherwise, by the command that is told.
        """
        made(n1, volume, protected="true")
        error = n1.remove(volume).error
        cluster.ctl("unprotect", volume)

        assert f"`flockerctl unprotect {volume}`" in error
        assert "" == n1.remove(volume).error


class TestRestarts:
    """
    Who has what mounted is known after whatever was killed.
    """

    def test_plugin_killed(self, cluster: Cluster, n1: Plugin, n2: Plugin, volume: str) -> None:
        """
        A plugin that was killed goes on counting where it was.
        """
        made(n1, volume)
        for caller in ("c1", "c2"):
            mounted(n1, volume, caller)
        n1.kill()
        refused = n2.mount(volume).error
        n1.start()
        held = []
        for caller in ("c1", "c2"):
            n1.unmount(volume, caller)
            held.append(holder(cluster, volume))

        assert f"volume {volume} is in use on node" in refused
        assert ["n1", None] == held
        assert 0o600 == (n1.state / "mounted.json").stat().st_mode & 0o777

    def test_host_booted(self, cluster: Cluster, n1: Plugin, volume: str) -> None:
        """
        After a boot of the host nothing is mounted, and what was held is released.
        """
        made(n1, volume)
        mounted(n1, volume)
        n1.kill()
        path = n1.state / "mounted.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "era": str(uuid4())}))
        n1.start()
        cluster.wait(lambda: holder(cluster, volume) is None)
        cluster.wait(lambda: volume not in n1.remembered())

    def test_unmounted_without_control_service(self, cluster: Cluster, n1: Plugin, volume: str) -> None:
        """
        A container ends although the control service is away, and its volume is released when that is back.
        """
        made(n1, volume)
        mounted(n1, volume)
        cluster.kill(CONTROL)
        error = n1.unmount(volume).error
        n1.kill()
        cluster.start(CONTROL)
        cluster.wait(lambda: all(node["connected"] for node in cluster.nodes().values()))
        held = holder(cluster, volume)
        n1.start()
        cluster.wait(lambda: holder(cluster, volume) is None)

        assert ("", "n1") == (error, held)

    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
    def test_control_service_away(self, cluster: Cluster, n1: Plugin, volume: str, how: signal.Signals) -> None:
        """
        Without a control service, every call is answered with an error that says so; afterwards all is well.
        """
        made(n1, volume)
        if how is signal.SIGKILL:
            cluster.kill(CONTROL)
        else:
            os.kill(cluster.pid(CONTROL), how)
        calls = ("Create", "Get", "List", "Mount", "Path", "Remove")
        with ThreadPoolExecutor() as threads:
            errors = list(threads.map(lambda call: n1.call(call, Name=volume, ID="c1", Opts={}).error, calls))
        if how is signal.SIGKILL:
            cluster.start(CONTROL)
        else:
            os.kill(cluster.pid(CONTROL), signal.SIGCONT)
        cluster.wait(lambda: all(node["connected"] for node in cluster.nodes().values()))

        assert [True] * len(calls) == ["control service can't be reached" in error for error in errors]
        assert "" == n1.mount(volume).error
        assert "" == n1.unmount(volume).error


class TestForgotten:
    """
    Volumes of containers that are gone without a word.
    """

    @pytest.fixture
    def engine(self, tmp_path: Path) -> Iterator[EngineStandIn]:
        with EngineStandIn(tmp_path / "engine.sock") as engine:
            yield engine

    @pytest.fixture
    def plugin(self, cluster: Cluster, engine: EngineStandIn) -> Iterator[Plugin]:
        options = ["--engine", str(engine.path), "--forget-seconds", "1"]
        with Plugin(cluster, "n1", options=options, called=f"forgetful-{uuid4()}") as plugin:
            yield plugin

    def test_let_go(self, cluster: Cluster, plugin: Plugin, engine: EngineStandIn, volume: str) -> None:
        """
        What no container of Docker uses any more is released.
        """
        engine.volumes = [volume]
        made(plugin, volume)
        mounted(plugin, volume)
        engine.volumes = ["another"]
        cluster.wait(lambda: holder(cluster, volume) is None)
        cluster.wait(lambda: plugin.remembered() == {})

    @pytest.mark.parametrize("used", [True, False])
    def test_kept(self, cluster: Cluster, plugin: Plugin, engine: EngineStandIn, volume: str, used: bool) -> None:
        """
        What a container uses, or what Docker says nothing about, is kept.
        """
        engine.volumes = [volume] if used else None
        made(plugin, volume)
        mounted(plugin, volume)
        asked = engine.asked
        cluster.wait(lambda: engine.asked > asked + 4)
        held = holder(cluster, volume)
        plugin.unmount(volume)

        assert "n1" == held


class TestStart:
    """
    How the plugin is started.
    """

    def test_one_at_a_time(self, cluster: Cluster, n1: Plugin) -> None:
        """
        Two of them don't share what they remember, nor a socket.
        """
        same_state = Plugin(cluster, "n1", socket_path=cluster.folder / "other.sock")
        same_socket = Plugin(cluster, "n1", socket_path=n1.socket_path, called="second")

        assert "Another plugin that is still running" in same_state.refusal()
        assert "something listens there already" in same_socket.refusal()

    def test_not_a_socket(self, cluster: Cluster, tmp_path: Path) -> None:
        """
        What isn't a socket stays as it is.
        """
        path = tmp_path / "file"
        path.write_text("kept")
        refusal = Plugin(cluster, "n1", socket_path=path, called="third").refusal()

        assert ("kept", True) == (path.read_text(), "something else than a socket" in refusal)

    def test_damaged_memory(self, cluster: Cluster) -> None:
        """
        Without knowing who has what mounted it doesn't start, and says what to do.
        """
        plugin = Plugin(cluster, "n1", called="damaged")
        plugin.state.mkdir(mode=0o700)
        (plugin.state / "mounted.json").write_text("{")

        assert "flockerctl release" in plugin.refusal()

    def test_unknown_node(self, cluster: Cluster, tmp_path: Path) -> None:
        """
        It must know on which node it is.
        """
        plugin = Plugin(cluster, "n1", called="lost")
        certificate = plugin.folder / "node.crt"
        text = certificate.read_text()
        certificate.unlink()
        try:
            refusal = plugin.refusal()
        finally:
            certificate.write_text(text)

        assert "say it with --node" in refusal

    def test_several_addresses(self, cluster: Cluster, volume: str) -> None:
        """
        Of several addresses of the control service one is enough.
        """
        control = f"{cluster.addresses['n1']}:9,{cluster.addresses[CONTROL]}"
        with Plugin(cluster, "n1", options=NO_ENGINE, control=control, called="far") as plugin:
            made(plugin, volume)

    def test_socket_of_systemd(self, cluster: Cluster, volume: str) -> None:
        """
        What systemd listens on is served, requests that came before the plugin too.
        """
        plugin = Plugin(cluster, "n1", options=NO_ENGINE, called="activated")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as given:
            given.bind(str(plugin.socket_path))
            given.listen(16)
            early: list[str] = []
            waiting = threading.Thread(target=lambda: early.append(plugin.create(volume).error))
            waiting.start()
            plugin.start(given=given)
            waiting.join()
            plugin.kill(signal.SIGTERM)

        assert ([""], True) == (early, plugin.socket_path.exists())
