"""
What fuzzers run: each target takes any bytes, and raises only if something is wrong with the program.

A target does to its part of the program what an attacker could do to it, and afterwards what an honest client does,
which must still work.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, cast
from uuid import UUID, uuid4

import eliot
from pyrsistent import pmap
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python import log as twisted_log

from flocker_admin.cluster_text import cluster_text
from flocker_admin.manifest import ManifestDeployment, deployment
from flocker_admin.translation import Translation, translated
from flocker_agent.link import ControlSession
from flocker_agent.storage import resume_token
from flocker_agent.storage.openings import parsed_opening
from flocker_agent.storage.zfs_stream_header import HEADER_BYTES as ZFS_HEADER_BYTES
from flocker_agent.storage.zfs_stream_header import decoded as zfs_header
from flocker_control.agents import AgentSession
from flocker_control.codec import loaded_state, texts
from flocker_control.dataset_leases import Moment
from flocker_control.flocker_configuration import ConfigurationUnreadable, old_configuration
from flocker_control.http.answers import RequestRefused
from flocker_control.http.body import parsed
from flocker_control.importing import imported
from flocker_control.memory_store import MemoryStore
from flocker_control.service import ControlService, opened
from flocker_control.state import KINDS, State
from flocker_control.store import Loaded
from flocker_py import wire
from flocker_py.assignment import NodeAssignment
from flocker_py.identity import ControlIdentity, Identity, NodeIdentity
from flocker_py.issuing import issued, made_authority
from flocker_py.messages import LINK_VERSION, AssignmentUpdate, NodeReport
from flocker_py.model import NodeId
from flocker_py.observed import NodeObservation
from flocker_py.storage import ResumeRefused, StorageError
from flocker_py.streams import HEADER_BYTES, FrameKind, FrameRefused, frame, header, message
from flocker_py.upgrade import FormatTooNew, FormatUnknown
from tests.old_configurations import DATA, NODE_1, VERSIONS, everything

GOLDEN = Path(__file__).parent.parent / "unit" / "golden"
DOCS = Path(__file__).parent.parent.parent / "docs"
CORPUS = Path(__file__).parent / "corpus"
NOW = Moment(at_seconds=77.0, boot_id=UUID(int=9))
NODE_ID = NodeId(UUID("11111111-1111-4111-8111-111111111111"))


class Target(NamedTuple):
    """
    :param run: does it.
    :param seeds: inputs that get somewhere, to begin with.
    """

    run: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]


# -- texts -------------------------------------------------------------------------------------------------------------


def wire_target(data: bytes) -> None:
    """
    A persisted text, or a message of the link: a record that is written as it was read, or one of three errors.
    """
    try:
        text = data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
    for kind in (*KINDS.values(), NodeAssignment, AssignmentUpdate, NodeReport):
        try:
            record = wire.from_text(kind, text)
        except (wire.WireError, FormatTooNew, FormatUnknown):
            continue
        if wire.from_text(kind, wire.to_text(record)) != record:
            raise AssertionError(f"what was read as {record!r} is written as something else")


def frames_target(data: bytes) -> None:
    """
    What comes in on the transfer port: frames, or a refusal.
    """
    at = 0
    while at + HEADER_BYTES <= len(data):
        try:
            kind, size_bytes = header(data[at : at + HEADER_BYTES])
            at += HEADER_BYTES
            if kind is FrameKind.MESSAGE:
                again = frame(message(data[at : at + size_bytes]))
                if message(again[HEADER_BYTES:]) != message(data[at : at + size_bytes]):
                    raise AssertionError("a message is written as something else than it was read")
            at += size_bytes
        except FrameRefused:
            return


def manifest_target(data: bytes) -> None:
    """
    A cluster.yml: a deployment, or mistakes with their places.
    """
    text = data.decode("utf-8", "replace")
    read = deployment(text)
    if isinstance(read, ManifestDeployment):
        return
    if not read:
        raise AssertionError("refused without a mistake")
    lines = text.count("\n") + text.count("\r") + text.count("\x85") + text.count("\u2028") + text.count("\u2029") + 1
    for mistake in read:
        if not mistake.text or not 1 <= mistake.position.line <= lines + 1:
            raise AssertionError(f"a mistake at {mistake.position}: {mistake.text!r}")


def flocker_files_target(data: bytes) -> None:
    """
    A deployment.yml and, after a NUL, an application.yml: a cluster.yml that means the same, or mistakes with places.
    """
    first, _, second = data.decode("utf-8", "replace").partition("\0")
    read = translated("d.yml", first, "a.yml", second)
    if isinstance(read, Translation):
        again = deployment(cluster_text(read.manifest.data, read.notes))
        if not isinstance(again, ManifestDeployment) or again.deployment != read.deployment:
            raise AssertionError(f"what was read as {read.deployment!r} is written as something else")
    elif not read or not all(mistake.text and mistake.file for mistake in read):
        raise AssertionError(f"refused with {read}")


def flocker_configuration_target(data: bytes) -> None:
    """
    A current_configuration.json: records that could be stored, or a refusal.
    """
    try:
        old = old_configuration(data.decode("utf-8", "replace"))
    except ConfigurationUnreadable:
        return
    puts, _ = texts(imported(old, State(), day_seconds=0.0, now=NOW).changes)
    loaded_state(Loaded(revision=1, values=pmap(puts)))


def body_target(data: bytes) -> None:
    """
    The body of a request: a JSON value, or a refusal.
    """
    try:
        parsed(data)
    except RequestRefused:
        pass


def pool_target(data: bytes) -> None:
    """
    What a pool says of a partial receive, and how streams begin: read, or a storage error.
    """
    try:
        resume_token.decoded(data.decode("ascii", "replace"))
    except ResumeRefused:
        pass
    try:
        parsed_opening(data, "directory")
    except StorageError:
        pass
    try:
        zfs_header(data[:ZFS_HEADER_BYTES].ljust(ZFS_HEADER_BYTES, b"\0"))
    except StorageError:
        pass


# -- the link ----------------------------------------------------------------------------------------------------------


class Wire:
    """
    The transport of a session: keeps what is said, and shows the certificate of whoever is at the other end.
    """

    disconnecting = False

    def __init__(self, session: Any, identity: Identity) -> None:
        self._session = session
        self._certificate = _certificate(identity)
        self.said = b""
        self.open = True

    def write(self, data: bytes) -> None:
        """
        Keep it.
        """
        self.said += data

    def writeSequence(self, parts: list[bytes]) -> None:  # Twisted's name
        """
        Keep them.
        """
        self.said += b"".join(parts)

    def loseConnection(self) -> None:  # Twisted's name
        """
        The session ends.
        """
        if self.open:
            self.open = False
            self._session.connectionLost()

    abortConnection = loseConnection  # noqa: N815  # Twisted's name

    def getPeerCertificate(self) -> Any:  # Twisted's name
        """
        Whose it is.
        """
        return self._certificate

    def getHost(self) -> Any:  # Twisted's name
        """
        Where this end is.
        """
        return type("Address", (), {"host": "192.0.2.1", "port": 4524})

    getPeer = getHost  # noqa: N815  # Twisted's name


class _Certificate:
    def __init__(self, certificate: Any) -> None:
        self._certificate = certificate

    def to_cryptography(self) -> Any:
        return self._certificate


@cache
def _certificate(identity: Identity) -> _Certificate:
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    return _Certificate(issued(made_authority("fuzz", uuid4(), now), identity, now).certificate)


class Complaints:
    """
    What was logged as an error that nobody handled.
    """

    def __init__(self) -> None:
        self.found: list[str] = []

    def __enter__(self) -> Complaints:
        self._observer = lambda event: self.found.append(str(event)) if event.get("isError") else None
        twisted_log.addObserver(self._observer)
        eliot.add_destinations(self._eliot)
        return self

    def _eliot(self, entry: dict[str, Any]) -> None:
        if entry.get("message_type") in {"eliot:traceback", "flocker:control:failure"}:
            self.found.append(str(entry))

    def __exit__(self, *_: object) -> None:
        twisted_log.removeObserver(self._observer)
        eliot.remove_destination(self._eliot)


def box(**values: bytes) -> bytes:
    """
    One AMP box.
    """
    parts = [struct.pack(">H", len(k)) + k.encode() + struct.pack(">H", len(v)) + v for k, v in values.items()]
    return b"".join(parts) + b"\0\0"


def packed(text: bytes) -> dict[str, bytes]:
    """
    A long text as values of a box.
    """
    data = zlib.compress(text, 1)
    return {f"%s.{number}": data[at : at + 65_000] for number, at in enumerate(range(0, len(data), 65_000))}


def asked(command: str, field: str, text: bytes, **more: bytes) -> bytes:
    """
    A question whose long text is any bytes whatever.
    """
    values = {key % field: part for key, part in packed(text).items()}
    return box(_ask=b"1", _command=command.encode(), task=b"", **more, **values)


def node(node_id: NodeId = NODE_ID) -> NodeObservation:
    """
    A node that has nothing.
    """
    return NodeObservation(
        node_id=node_id,
        era=UUID(int=1),
        address="192.0.2.9",
        transfer_port=4525,
        version="9",
        storage="directory",
        runtime="process",
    )


def greeting(text: bytes | None = None) -> bytes:
    """
    How an agent begins; or how one begins that sends any bytes instead of its report.
    """
    whole = wire.to_text(NodeReport(node_id=NODE_ID, whole=node())).encode()
    return asked("Greet", "report", whole if text is None else text, version=str(LINK_VERSION).encode())


def _service(clock: Clock) -> ControlService:
    made: list[ControlService] = []
    Deferred.fromCoroutine(opened(MemoryStore(), clock=cast(Any, clock), new_id=uuid4)).addCallback(made.append)
    return made[0]


def control_link_target(data: bytes) -> None:
    """
    What an agent with a good certificate says to the control service: whatever it is, nothing fails that nobody
    handles, and the next agent is greeted.
    """
    clock = Clock()
    service = _service(clock)

    def session() -> tuple[AgentSession, Wire]:
        made = AgentSession(cast(Any, clock), service)
        transport = Wire(made, NodeIdentity(node_id=NODE_ID))
        made.makeConnection(cast(Any, transport))  # type: ignore[no-untyped-call]
        return made, transport

    with Complaints() as complaints:
        hostile, transport = session()
        way, rest = data[:1], data[1:]
        chunks = {
            b"g": [greeting(rest)],
            b"r": [greeting(), asked("Report", "report", rest)],
            b"h": [greeting(), rest],
        }.get(way, [data])
        for chunk in chunks:
            if transport.open:
                hostile.dataReceived(chunk)
        clock.pump([0.0, 1.0, 1.0])
        if transport.open:
            transport.loseConnection()
        clock.pump([30.0] * 3)
        honest, transport = session()
        honest.dataReceived(greeting())
        clock.pump([0.0, 0.1])
        if b"control_version" not in transport.said:
            raise AssertionError(f"the next agent is not greeted, but told {transport.said!r}")
        transport.loseConnection()
    if complaints.found:
        raise AssertionError(complaints.found[0])


class _Reported:
    def __init__(self) -> None:
        self.node = node()
        self.assigned: NodeAssignment | None = None

    def assign(self, assignment: NodeAssignment) -> None:
        self.assigned = assignment


def agent_link_target(data: bytes) -> None:
    """
    What a control service says to an agent: whatever it is, nothing fails that nobody handles, and the agent can be
    assigned something by the next session.
    """
    clock = Clock()
    agent = _Reported()

    def session() -> tuple[ControlSession, Wire]:
        made = ControlSession(cast(Any, clock), cast(Any, agent), lambda: None)
        transport = Wire(made, ControlIdentity())
        made.makeConnection(cast(Any, transport))  # type: ignore[no-untyped-call]
        return made, transport

    whole = wire.to_text(AssignmentUpdate(node_id=NODE_ID, revision=1, whole=True)).encode()
    with Complaints() as complaints:
        hostile, transport = session()
        way, rest = data[:1], data[1:]
        chunks = {
            b"a": [asked("Assign", "update", rest)],
            b"u": [asked("Assign", "update", whole), asked("Assign", "update", rest)],
        }.get(way, [data])
        for chunk in chunks:
            if transport.open:
                hostile.dataReceived(chunk)
        clock.pump([0.0, 1.0, 30.0])
        if transport.open:
            transport.loseConnection()
        agent.assigned = None
        honest, transport = session()
        honest.dataReceived(asked("Assign", "update", whole))
        if agent.assigned is None:
            raise AssertionError("the agent takes no assignment any more")
        transport.loseConnection()
    if complaints.found:
        raise AssertionError(complaints.found[0])


# -- seeds -------------------------------------------------------------------------------------------------------------


def _golden() -> Iterator[bytes]:
    for path in sorted(GOLDEN.glob("*.json")):
        yield path.read_bytes()


def _frames() -> Iterator[bytes]:
    for path in sorted(GOLDEN.glob("transfer-*.json")):
        body = path.read_bytes()
        yield struct.pack("!B3sI", FrameKind.MESSAGE, b"FLK", len(body)) + body
    yield struct.pack("!B3sI", FrameKind.DATA, b"FLK", 3) + b"abc"


def _manifests() -> Iterator[bytes]:
    for path in sorted(DOCS.rglob("*.md")):
        for part in path.read_text().split("```yaml")[1:]:
            yield part.split("```")[0].encode()


def _flocker_files() -> Iterator[bytes]:
    places = b"version: 1\nnodes: {192.0.2.1: [db], 192.0.2.2: []}\n\0"
    yield places + (
        b"version: 1\napplications:\n  db: {image: x, ports: [{internal: 1, external: 2}],"
        b" links: [{local_port: 1, remote_port: 2, alias: a}], volume: {mountpoint: /x, maximum_size: 1.5G},"
        b" environment: {A: b}, mem_limit: 9999999, restart_policy: {name: on-failure, maximum_retry_count: 3}}\n"
    )
    yield places + (
        b"db: {image: x, ports: ['1:2'], links: ['web:w'], volumes: [/x], environment: [A=b]}\n"
        b"web: {image: x, ports: ['3:4'], mem_limit: 9999999}\n"
    )
    yield places + (
        b"services:\n  db: {image: x, command: a 'b', ports: ['1:2/udp', {target: 1, published: '2'}],"
        b" volumes: ['v:/x'], environment: {A: $$}, restart: on-failure:3,"
        b" deploy: {resources: {limits: {memory: 512mb}}}}\nvolumes: {v: {driver: flocker, driver_opts: {size: 1g}}}\n"
    )


def _flocker_configurations() -> Iterator[bytes]:
    for version in VERSIONS:
        yield json.dumps(everything(version, leases=[(DATA, NODE_1, 5)], devices=[(DATA, "x")])).encode()


def _prefixed(*ways: bytes) -> Callable[[], Iterator[bytes]]:
    def seeds() -> Iterator[bytes]:
        for way in ways:
            for golden in _golden():
                yield way + golden
        yield greeting()
        yield asked("Assign", "update", b"{}")
        yield box(_ask=b"1", _command=b"Ping")

    return seeds


def _pool_seeds() -> Iterator[bytes]:
    yield b"1-c740b4779-d0-789c636064000310a501c49c50360710a715e5e7a69766a630406964d6a4ed3"
    yield b"0000000000000000" + bytes(ZFS_HEADER_BYTES)


TARGETS = {
    "wire": Target(wire_target, _golden),
    "frames": Target(frames_target, _frames),
    "manifest": Target(manifest_target, _manifests),
    "flocker-files": Target(flocker_files_target, _flocker_files),
    "flocker-configuration": Target(flocker_configuration_target, _flocker_configurations),
    "body": Target(body_target, _golden),
    "pool": Target(pool_target, _pool_seeds),
    "control-link": Target(control_link_target, _prefixed(b"g", b"r", b"h")),
    "agent-link": Target(agent_link_target, _prefixed(b"a", b"u")),
}


def saved(name: str) -> list[Path]:
    """
    Inputs that once broke a target.
    """
    return sorted((CORPUS / name).glob("*"))
