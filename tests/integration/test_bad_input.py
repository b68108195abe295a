"""
What bad input gets, from real processes: an error that names the thing and says what to do, nothing lost, and everybody
else served as before.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from flocker_admin.exits import Exit
from flocker_agent.changes import StartContainer
from flocker_py.credentials import CredentialUnusable
from flocker_py.identity import ControlIdentity, NodeIdentity
from flocker_py.model import NodeId
from flocker_py.testing.certificates import install, make_cluster
from tests.cluster import _PROGRAMS, CONTROL, TRANSFER_PORT, ApiError, Cluster
from tests.integration.loopback import addresses
from tests.integration.tools import run_tool

Require = Callable[..., None]
MIB = 2**20

STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open("runs", "a") as file: file.write("%d\\n" % os.getpid())
while True: time.sleep(0.05)
"""

BUSY_WRITER = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with open("runs", "a") as file: file.write("%d\\n" % os.getpid())
number = 0
while True:
    with open("blob%d" % (number % 4), "wb") as file:
        # Not synced: it shall be faster than the link on the slowest disk.
        file.write(os.urandom(1 << 20))
    number += 1
    time.sleep(0.02)
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """
    Two nodes, and a third whose pool has little room where the tests run as root. Their link is slow.
    """
    folder = tmp_path_factory.mktemp("bad-input")

    def dataset(name: str) -> dict[str, str]:
        return {
            "backend": "directory",
            "root_path": str(folder / "disk" / "pool" if name == "small" else folder / name / "pool"),
            "mount_root": str(folder / name / "flocker"),
        }

    (folder / "disk").mkdir()
    with (
        small_disk(folder / "disk"),
        Cluster(folder, dataset, addresses=addresses("n1", "n2", "small"), transfer={"maximum_rate": "6M"}) as made,
    ):
        # Names are given by the first deployment.
        made.deploy({}, {})
        yield made


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(autouse=True)
def others_are_served(cluster: Cluster) -> Iterator[None]:
    """
    After each test the service answers, and every agent has kept its session, or has it again.
    """
    yield
    cluster.wait(lambda: [n["connected"] for n in cluster.nodes().values() if n["name"]] == [True] * 3)


@pytest.fixture
def volume(cluster: Cluster) -> Iterator[str]:
    """
    The name of a volume on n1 that is there, and whose containers and which itself are deleted afterwards.
    """
    name = f"v{uuid4().hex[:8]}"
    cluster.deploy({name: {"primary": "n1"}}, {})
    cluster.settled(name, "n1")
    yield name
    cluster.deploy({}, {app: {"state": "deleted"} for app in apps_of(cluster, name)})
    cluster.deploy({name: {"state": "deleted"}}, {})


def apps_of(cluster: Cluster, volume: str) -> list[str]:
    containers = cluster.api("GET", "/v2/containers")["containers"]
    return [c["name"] for c in containers if any(m["name"] == volume for m in c["mounts"])]


def refused(call: Callable[..., Any], *arguments: Any) -> tuple[int, str]:
    """
    The status and the text of an answer that isn't 2xx.
    """
    with pytest.raises(ApiError) as caught:
        call(*arguments)
    body = caught.value.body
    texts = [body["description"], *(error["text"] for error in body.get("errors", ()))]
    return caught.value.status, " ".join(texts)


# -- programs that can't start -----------------------------------------------------------------------------------------


class Start:
    """
    What it takes to start a control service or agent beside those of the cluster.
    """

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.certificates = folder / "certificates"
        self.options: list[str] = []

    def control(self, *options: str, certificates: Path | None = None, data: Path | None = None) -> tuple[str, ...]:
        own = self.cluster.certificates.control.certificate_path.parent
        return (
            "flocker-control",
            "--certificates", str(certificates or own),
            "--data-path", str(data or self.folder / "data"),
            "--address", "127.0.0.1", "--port", "0", "--agent-port", "0",
            *options,
        )  # fmt: skip

    def agent(self, *, files: Path | None = None, text: str | None = None, **changes: Any) -> tuple[str, ...]:
        folder = self.folder / "agent"
        shutil.copytree(files or self.cluster.certificates.nodes[0].certificate_path.parent, folder)
        settings: dict[str, Any] = {
            "version": 1,
            "control-service": {"hostname": self.cluster.addresses[CONTROL]},
            "dataset": {"backend": "directory", "root_path": str(folder / "pool"), "mount_root": str(folder / "mnt")},
            "transfer": {"address": "127.0.0.1", "port": 0},
            "state_path": str(folder / "state"),
            **changes,
        }
        (folder / "agent.yml").write_text(json.dumps(settings) if text is None else text)
        return "flocker-agent", "--agent-config", str(folder / "agent.yml")

    def expired(self, identity: ControlIdentity | NodeIdentity) -> Path:
        long_ago = datetime.now(UTC) - timedelta(days=365)
        with pytest.raises(CredentialUnusable):
            install(self.certificates, self.cluster.certificates.authority, identity, now=long_ago, lifetime_days=10)
        return self.certificates

    def mixed(self, name: str) -> Path:
        """
        The files of this cluster's control service or first node, but with another cluster's authority.
        """
        own = self.cluster.certificates
        source = own.control if name == CONTROL else own.nodes[0]
        shutil.copytree(source.certificate_path.parent, self.certificates)
        shutil.copy(make_cluster(self.folder / "other").user.ca_path, self.certificates / "cluster.crt")
        return self.certificates

    def of_a_node(self) -> Path:
        """
        A node's certificate where the control service's should be.
        """
        node = self.cluster.certificates.nodes[0]
        self.certificates.mkdir()
        shutil.copy(node.ca_path, self.certificates)
        shutil.copy(node.certificate_path, self.certificates / "control-service.crt")
        shutil.copy(node.key_path, self.certificates / "control-service.key")
        return self.certificates

    def stored(self, change: Callable[[Path], None]) -> Path:
        """
        A copy of the cluster's store, changed.
        """
        data = self.folder / "data"
        data.mkdir()
        with (
            closing(sqlite3.connect(self.cluster.folder / "data" / "store.sqlite")) as present,
            closing(sqlite3.connect(data / "store.sqlite")) as copy,
        ):
            present.backup(copy)
        change(data / "store.sqlite")
        return data


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as store, store:
        version = store.execute("PRAGMA user_version").fetchone()[0]
        store.execute(f"PRAGMA user_version = {version + 1}")


def damaged(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 8192)


def without(settings: Mapping[str, Any], *keys: str) -> str:
    return json.dumps({key: value for key, value in settings.items() if key not in keys})


STARTS: dict[str, tuple[Callable[[Start], tuple[str, ...]], list[str]]] = {
    "control, expired": (
        lambda s: s.control(certificates=s.expired(ControlIdentity())),
        ["control-service.crt: expired at", "flocker-ca renew"],
    ),
    "control, of another cluster": (
        lambda s: s.control(certificates=s.mixed(CONTROL)),
        ["control-service.crt: not signed by the authority in", "the same flocker-ca initialize"],
    ),
    "control, with a node's certificate": (
        lambda s: s.control(certificates=s.of_a_node()),
        ["this is the certificate of node", "the control service's is needed here"],
    ),
    "control, second on the same data": (
        lambda s: s.control(data=s.cluster.folder / "data"),
        [str(Path("data")), "process with id"],
    ),
    "control, store of a newer version": (lambda s: s.control(data=s.stored(newer)), ["store.sqlite", "newer"]),
    "control, damaged store": (lambda s: s.control(data=s.stored(damaged)), ["store.sqlite", "backup"]),
    "control, port taken": (
        lambda s: s.control("--address", s.cluster.addresses[CONTROL], "--port", "4523"),
        [":4523: Address already in use", "--port"],
    ),
    "control, log file": (lambda s: s.control("--log-file", "/no/folder/log"), ["log file /no/folder/log"]),
    "agent, expired": (
        lambda s: s.agent(files=s.expired(NodeIdentity(node_id=NodeId(uuid4())))),
        ["node.crt: expired at", "flocker-ca renew"],
    ),
    "agent, of another cluster": (lambda s: s.agent(files=s.mixed("node")), ["node.crt: not signed by the authority"]),
    "agent, unknown backend": (
        lambda s: s.agent(dataset={"backend": "floppy"}),
        ["'floppy' is none of directory, memory, zfs", "agent.yml"],
    ),
    "agent, no such pool": (
        lambda s: s.agent(dataset={"backend": "zfs", "pool": "nopool"}),
        ["zfs" if not Path("/dev/zfs").exists() else "nopool"],
    ),
    "agent, unknown runtime": (lambda s: s.agent(runtime={"backend": "podman"}), ["no runtime 'podman'", "process"]),
    "agent, keys missing and unknown": (
        lambda s: s.agent(text='{"version": 1, "dataset": {}, "transfer": {"maximum_rate": "fast"}, "extra": 1}'),
        [
            "extra is not a key of agent.yml",
            "control-service is missing",
            "dataset: backend is missing",
            "maximum_rate",
            "fast",
        ],
    ),
    "agent, a key twice": (lambda s: s.agent(text="version: 1\nversion: 1\n"), ["version is given twice"]),
    "agent, second with the same state": (
        lambda s: s.agent(state_path=str(s.cluster.folder / "n1" / "state")),
        ["n1/state", "Another agent", "state_path"],
    ),
    "agent, second with the same pool": (
        lambda s: s.agent(dataset={"backend": "directory", "root_path": str(s.cluster.folder / "n1" / "pool")}),
        ["n1/pool"],
    ),
    "agent, port taken": (
        lambda s: s.agent(transfer={"address": s.cluster.addresses["n1"], "port": TRANSFER_PORT}),
        ["transfer port 4525", "Address already in use", "agent.yml"],
    ),
}


@pytest.mark.parametrize("what", STARTS)
def test_program_does_not_start(cluster: Cluster, tmp_path: Path, what: str) -> None:
    """
    What a program can't work with it says at once, with what to do, and ends with status 1.
    """
    make, said = STARTS[what]
    program, *options = make(Start(cluster, tmp_path))
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAMS[program], *options], check=False, capture_output=True, text=True, timeout=60
    )

    assert (ended.returncode, [text for text in said if text not in ended.stderr]) == (1, []), ended.stderr
    assert "Traceback" not in ended.stderr


# -- deployments and requests ------------------------------------------------------------------------------------------

WRONG_FILE = """\
version: 2
cluster: {{name: test, control: {{host: {control}}}}}
nodes:
  n1: {{uuid: {n1}}}
volumes:
  one: {{primary: n1, size: 10 parsecs}}
  two: {{primary: n1}}
  two: {{primary: n1}}
apps:
  a: {{node: mars, command: ["true"]}}
  b: {{node: n1, command: ["true"], ports: ["8080:80"]}}
  c: {{node: n1, command: ["true"], ports: ["8080:81"]}}
"""


def test_wrong_file_is_refused_whole(cluster: Cluster, tmp_path: Path) -> None:
    """
    Every mistake of a cluster.yml is told with its line, and nothing of the file is applied.
    """
    (tmp_path / "cluster.yml").write_text(
        WRONG_FILE.format(control=cluster.addresses[CONTROL], n1=cluster.node_ids["n1"])
    )
    user = cluster.certificates.user.certificate_path.parent
    ended = run_tool("flocker-deploy", "cluster.yml", "--certificates-directory", str(user), folder=tmp_path)
    lines = {
        line.split(":")[1]: line for line in (ended.out + ended.err).splitlines() if line.startswith("cluster.yml")
    }

    assert ended.status == Exit.USAGE
    for line, words in (("6", "10 parsecs"), ("8", "two"), ("10", "mars"), ("12", "app b")):
        assert words in lines[line], lines
    made = [one["name"] for kind in ("datasets", "containers") for one in cluster.api("GET", f"/v2/{kind}")[kind]]
    assert {"one", "two", "a", "b", "c"}.isdisjoint(made)


def document(cluster: Cluster, **parts: Any) -> dict[str, Any]:
    return {
        "version": 2,
        "cluster": {"name": "test"},
        "nodes": {name: {"uuid": str(node_id)} for name, node_id in cluster.node_ids.items()},
        "volumes": {},
        "apps": {},
        **parts,
    }


def test_plan_that_was_overtaken(cluster: Cluster) -> None:
    """
    Of two deployments planned on the same state of the cluster the second is not applied.
    """
    name = f"v{uuid4().hex[:8]}"
    other = document(cluster, volumes={name: {"primary": "n2"}})
    revision = cluster.api("POST", "/v2/plan", {"deployment": other})["revision"]
    cluster.deploy({name: {"primary": "n1"}}, {})
    status, text = refused(cluster.api, "POST", "/v2/apply", {"deployment": other, "revision": revision})

    assert (status, f"planned on revision {revision}" in text) == (409, True)
    cluster.settled(name, "n1")
    cluster.deploy({name: {"state": "deleted"}}, {})


def test_dataset_id_in_use(cluster: Cluster, volume: str) -> None:
    """
    An id names one dataset, for ever.
    """
    dataset_id = cluster.dataset(volume)["dataset_id"]
    body = {"primary": str(cluster.node_ids["n2"]), "dataset_id": dataset_id}

    assert refused(cluster.api, "POST", "/v1/configuration/datasets", body) == (
        409,
        "The provided dataset_id is already in use.",
    )
    assert cluster.dataset(volume)["primary"] == str(cluster.node_ids["n1"])


def test_moving_what_is_not_there(cluster: Cluster) -> None:
    """
    A dataset that was deleted, an unknown one, and an unknown target are refused by name.
    """
    name = f"v{uuid4().hex[:8]}"
    cluster.deploy({name: {"primary": "n1"}}, {})
    dataset_id = cluster.settled(name, "n1")["dataset_id"]
    unknown_target = refused(cluster.api, "POST", "/v2/moves", {"dataset": name, "target": "mars"})
    cluster.deploy({name: {"state": "deleted"}}, {})

    assert (unknown_target[0], "mars" in unknown_target[1]) == (404, True)
    for dataset in (name, dataset_id, str(uuid4())):
        status, text = refused(cluster.api, "POST", "/v2/moves", {"dataset": dataset, "target": "n2"})
        assert (status in (404, 409), dataset in text or name in text) == (True, True), text
    assert refused(cluster.api, "DELETE", f"/v2/moves/{uuid4()}")[0] == 404


def test_what_the_runtime_cannot_do(cluster: Cluster, volume: str) -> None:
    """
    An image on a node that runs plain processes is refused by name, not stored.
    """
    app = {"node": "n1", "image": "postgres", "mounts": [{"volume": volume}]}
    status, text = refused(cluster.deploy, {volume: {}}, {"db": app})

    assert (status, "image can't be done by the runtime process of node n1" in text) == (422, True)
    assert apps_of(cluster, volume) == []


# -- applications that misbehave ---------------------------------------------------------------------------------------


def app(cluster: Cluster, node: str, volume: str, program: str, **more: Any) -> dict[str, Any]:
    path = cluster.folder / f"program-{abs(hash(program))}.py"
    path.write_text(program)
    return {
        "node": node,
        "command": [sys.executable, "-S", str(path)],
        "mounts": [{"volume": volume}],
        "restart": "always",
        **more,
    }


def running(cluster: Cluster, name: str, node: str) -> None:
    def is_running() -> bool:
        seen = cluster.container(name)
        return bool(seen["state"] == "running" and seen["runs_on"] == str(cluster.node_ids[node]))

    cluster.wait(is_running)


def phase(cluster: Cluster, volume: str) -> str | None:
    move = cluster.dataset(volume)["move"]
    return None if move is None else str(move["phase"])


def told_of(cluster: Cluster, volume: str, words: str) -> str | None:
    """
    What a dataset waits for, if that has the words.
    """
    waits = cluster.dataset(volume)["waiting_for"]
    return str(waits) if waits is not None and words in waits else None


def explains(cluster: Cluster, volume: str, line: str) -> bool:
    """
    Whether a line is among those that explain a dataset.
    """
    return line in cluster.api("GET", f"/v2/datasets/{volume}/explain")["lines"]


def runs(cluster: Cluster, volume: str) -> list[str]:
    """
    The processes that an application has written down, one for each time that it was started.
    """
    file = Path(cluster.dataset(volume)["path"] or "/nowhere") / "runs"
    return file.read_text().split() if file.exists() else []


def written(cluster: Cluster, volume: str, count: int) -> None:
    """
    Wait until an application has come so far that it writes down its start: it runs before it does that.
    """
    cluster.wait(lambda: len(runs(cluster, volume)) == count)


def begun(cluster: Cluster, node: str, name: str) -> list[float]:
    """
    When an agent has begun to start a container, each time.
    """
    kind = {"action_type": StartContainer.kind, "action_status": "started", "name": name}
    return [message["timestamp"] for message in cluster.logged(node) if kind.items() <= message.items()]


def test_program_that_does_not_exist(cluster: Cluster, volume: str) -> None:
    """
    A program that can't be executed is told by the API and by flockerctl with what to do, and is not hammered at.
    """
    cluster.deploy({volume: {}}, {"lost": app(cluster, "n1", volume, "") | {"command": ["/no/such/program"]}})
    error = cluster.wait(lambda: cluster.container("lost")["last_error"])
    user = cluster.certificates.user.certificate_path.parent
    ended = run_tool(
        "flockerctl", "--control", cluster.addresses[CONTROL], "--certificates-directory", str(user), "apps",
        folder=cluster.folder,
    )  # fmt: skip
    times = cluster.wait(lambda: len(found := begun(cluster, "n1", "lost")) >= 5 and found)
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]

    assert "executing /no/such/program: No such file or directory" in error["text"]
    assert "Check the command" in error["text"]
    assert (ended.status, "/no/such/program" in ended.out) == (Exit.DONE, True), ended
    # 0.1 s, 0.2, 0.4, 0.8 between them.
    assert pauses[3] > 0.7


def test_application_that_ignores_the_polite_signal(cluster: Cluster, volume: str) -> None:
    """
    It is killed after its grace period, until then it is said what is waited for, and the move gets to its end.
    """
    # However long it takes to look, meanwhile.
    grace = {"stop_grace": 10}
    cluster.deploy({volume: {}}, {"deaf": app(cluster, "n1", volume, STUBBORN, **grace)})
    running(cluster, "deaf", "n1")
    written(cluster, volume, 1)
    cluster.deploy({volume: {}}, {"deaf": app(cluster, "n2", volume, STUBBORN, **grace)})
    waits = cluster.wait(lambda: told_of(cluster, volume, "container deaf"))
    cluster.wait(lambda: explains(cluster, volume, f"It waits for {waits}."))
    cluster.settled(volume, "n2")
    running(cluster, "deaf", "n2")
    written(cluster, volume, 2)

    assert waits == "container deaf, which uses it, to end (on node n1)"


@pytest.mark.parametrize("at", ["copying", "releasing", "final"])
def test_cancel_before_the_commit(cluster: Cluster, volume: str, at: str) -> None:
    """
    In every phase before the commit a move can be cancelled; the application runs where it was, and the target keeps
    nothing.
    """
    # Long enough for the target to be stopped meanwhile, however slow that is.
    grace = {"stop_grace": 10}
    cluster.deploy({volume: {}}, {"app": app(cluster, "n1", volume, STUBBORN, **grace)})
    running(cluster, "app", "n1")
    written(cluster, volume, 1)
    if at == "copying":
        os.kill(cluster.pid("n2"), signal.SIGSTOP)
    cluster.deploy({volume: {}}, {"app": app(cluster, "n2", volume, STUBBORN, **grace)})
    try:
        if at != "copying":
            cluster.wait(lambda: phase(cluster, volume) == "releasing")
            # Without it there is no commit.
            os.kill(cluster.pid("n2"), signal.SIGSTOP)
        if at != "releasing":
            cluster.wait(lambda: phase(cluster, volume) == at)
        cancelled = cluster.api("DELETE", f"/v2/moves/{cluster.dataset(volume)['move']['move_id']}")
        running(cluster, "app", "n1")
        if at == "final":
            written(cluster, volume, 2)
    finally:
        os.kill(cluster.pid("n2"), signal.SIGCONT)
    again = refused(cluster.api, "DELETE", f"/v2/moves/{cancelled['move_id']}")
    dataset = cluster.settled(volume, "n1")

    assert (cancelled["outcome"], again[0]) == ("cancelled", 409)
    # Cancelled right after the release, it may not have been stopped at all.
    assert len(runs(cluster, volume)) in {"copying": [1], "releasing": [1, 2], "final": [2]}[at]
    cluster.wait(lambda: not (cluster.folder / "n2" / "pool" / "datasets" / dataset["dataset_id"]).exists())


def test_cancel_after_the_commit(cluster: Cluster, volume: str, tmp_path: Path) -> None:
    """
    Once the target owns the dataset there is nothing to cancel; a program that doesn't start there keeps the move from
    being called done, and the dataset can be moved back.
    """
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -S {tmp_path / 'stubborn.py'}\n")
    program.chmod(0o755)
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    more = {"command": [str(program)], "stop_grace": 0.5}
    # By itself it would go back after a few tries.
    stays = {volume: {"on_start_failure": "stay"}}
    cluster.deploy(stays, {"app": app(cluster, "n1", volume, "", **more)})
    running(cluster, "app", "n1")
    program.rename(tmp_path / "gone")
    cluster.deploy(stays, {"app": app(cluster, "n2", volume, "", **more)})
    waits = cluster.wait(lambda: told_of(cluster, volume, "on_start_failure"))
    move = cluster.dataset(volume)["move"]
    status, text = refused(cluster.api, "DELETE", f"/v2/moves/{move['move_id']}")
    (tmp_path / "gone").rename(program)
    cluster.deploy(stays, {"app": app(cluster, "n1", volume, "", **more)})
    cluster.settled(volume, "n1")
    running(cluster, "app", "n1")

    assert (move["phase"], status, "move it back to node n1" in text or "move it back" in text) == ("taking", 409, True)
    assert "container app doesn't start on node n2" in waits


def test_writer_that_outruns_the_link(cluster: Cluster, volume: str) -> None:
    """
    With the policy to give up, the move ends failed with a report, and the application was never stopped; with the
    policy to cut over, it moves all the same.
    """
    wanted = {"max_downtime": "300ms", "on_overrun": "give-up"}
    cluster.deploy({volume: wanted}, {"busy": app(cluster, "n1", volume, BUSY_WRITER)})
    running(cluster, "busy", "n1")
    written(cluster, volume, 1)
    cluster.deploy({volume: wanted}, {"busy": app(cluster, "n2", volume, BUSY_WRITER)})
    last = cluster.wait(lambda: cluster.dataset(volume)["last_move"])
    before = runs(cluster, volume)
    # Until both nodes have heard of the end, what became of the transfer is shown as the owner's last error.
    cluster.wait(lambda: told_of(cluster, volume, "somebody to ask for the move again"))
    given_up = cluster.dataset(volume)
    cluster.deploy({volume: {**wanted, "on_overrun": "cut-over"}}, {"busy": app(cluster, "n2", volume, BUSY_WRITER)})
    cluster.settled(volume, "n2")

    assert (last["outcome"], len(before), given_up["owner"]) == ("failed", 1, str(cluster.node_ids["n1"]))
    for words in ("wanted at most 0.3 s", "max_downtime", "on_overrun to cut-over"):
        assert words in last["reason"]


def short_of_room(cluster: Cluster, volume: str) -> Any:
    """
    The dataset, if it waits for room.
    """
    dataset = cluster.dataset(volume)
    error = dataset["last_error"]
    return dataset if dataset["status"] == "waiting" and error and error["code"] == "PoolFull" else None


def test_target_without_room(cluster: Cluster, volume: str, require: Require) -> None:
    """
    A move to where there is no room says what it needs and has, the owner goes on serving, and once there is room the
    move goes on by itself.
    """
    require("root")
    path = Path(cluster.dataset(volume)["path"])
    (path / "blob").write_bytes(os.urandom(12 * MIB))
    cluster.api("POST", "/v2/moves", {"dataset": volume, "target": "small"})
    # Before the target has heard of the move, it refuses it for another reason.
    waiting = cluster.wait(lambda: short_of_room(cluster, volume))
    error = waiting["last_error"]
    (path / "more").write_text("still written")
    disk = str(cluster.folder / "disk")
    subprocess.run(["mount", "-o", "remount,size=200m", disk], check=True)
    moved = cluster.settled(volume, "small")

    assert f"needs about {12 * MIB // 1_000_000}" in error["text"]
    assert "Free some, or add storage; nothing was changed" in error["text"]
    assert (waiting["owner"], waiting["move"]["phase"], waiting["move"]["sent_bytes"]) == (
        str(cluster.node_ids["n1"]),
        "copying",
        0,
    )
    assert (Path(moved["path"]) / "more").read_text() == "still written"
    assert (Path(moved["path"]) / "blob").stat().st_size == 12 * MIB


# -- rubbish on the transfer port --------------------------------------------------------------------------------------


def transfer_context(cluster: Cluster) -> ssl.SSLContext:
    node = cluster.certificates.nodes[0]
    context = ssl.create_default_context(cafile=str(node.ca_path))
    context.check_hostname = False
    context.load_cert_chain(node.certificate_path, node.key_path)
    return context


@pytest.mark.parametrize("rubbish", [b"", b"\0" * 100_000, b"\xff" * 100_000, b"GET / HTTP/1.1\r\n\r\n"])
@pytest.mark.parametrize("inside_of_tls", [True, False])
def test_rubbish_on_the_transfer_port(cluster: Cluster, volume: str, rubbish: bytes, inside_of_tls: bool) -> None:
    """
    Who says rubbish to an agent's transfer port is hung up on, and a move to that node goes on as ever.
    """
    connection = socket.create_connection((cluster.addresses["n2"], TRANSFER_PORT), timeout=30)
    if inside_of_tls:
        connection = transfer_context(cluster).wrap_socket(connection)
    with connection, suppress(ConnectionError, ssl.SSLError):
        connection.sendall(rubbish)
        if not rubbish:
            connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
    cluster.api("POST", "/v2/moves", {"dataset": volume, "target": "n2"})

    assert cluster.settled(volume, "n2")["last_move"]["outcome"] == "done"


def sends_or_has_sent(cluster: Cluster, volume: str) -> bool:
    """
    Whether the source sends, or a move is over.
    """
    dataset = cluster.dataset(volume)
    move = dataset["move"]
    return dataset["last_move"] is not None if move is None else bool(move["round_bytes"])


def test_agents_killed_while_they_transfer(cluster: Cluster, volume: str) -> None:
    """
    A stream that is cut in its midst, on either side, goes on where it was; what arrives is what was sent.
    """
    # Some seconds, at this rate.
    content = os.urandom(30 * MIB)
    (Path(cluster.dataset(volume)["path"]) / "blob").write_bytes(content)
    cluster.api("POST", "/v2/moves", {"dataset": volume, "target": "n2"})
    cluster.wait(lambda: (cluster.dataset(volume)["move"] or {}).get("round_bytes"))
    cluster.kill("n1")
    cluster.start("n1")
    # It may be over before anybody has seen it go on; then the agent is killed after it.
    cluster.wait(lambda: sends_or_has_sent(cluster, volume))
    cluster.kill("n2")
    cluster.start("n2")
    moved = cluster.settled(volume, "n2")

    assert (Path(moved["path"]) / "blob").read_bytes() == content


def test_container_called_like_a_dataset(cluster: Cluster, volume: str) -> None:
    """
    A container's name is never that of a dataset: what goes wrong with one would be told of the other.
    """
    name = cluster.dataset(volume)["dataset_id"]
    status, text = refused(cluster.deploy, {volume: {}}, {name: app(cluster, "n1", volume, STUBBORN)})

    assert (status, "could be mistaken for the id of a volume" in text) == (422, True)
