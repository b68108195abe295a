"""
The operator's client, and what it makes of answers that nobody expects.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol

from flocker_py.client.control import ControlClient
from flocker_py.client.errors import (
    AnswerUnreadable,
    ControlFailed,
    ControlNotTrusted,
    ControlUnreachable,
    EventsGone,
    RequestRefused,
)
from flocker_py.client.retrying import Patience
from flocker_py.errors import explanation
from flocker_py.identity import ControlIdentity
from flocker_py.issuing import issued
from flocker_py.testing.certificates import ClusterCertificates, make_cluster
from flocker_py.testing.reactor_thread import in_reactor
from flocker_py.tls import agents_server_options, api_server_options
from tests.integration.loopback import dead_port
from tests.integration.rest import A, rest_cluster
from tests.integration.test_tls import impostor

REACTOR: Any = reactor
NODES = b'{"revision": 7, "nodes": []}'


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> ClusterCertificates:
    """
    Certificates for all tests here.
    """
    return make_cluster(tmp_path_factory.mktemp("certificates"))


def http(status: int, body: bytes, content_type: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode("ascii") + body


class Script:
    """
    What a server says to each connection in turn, the last of it again and again; None: it hangs up.
    """

    def __init__(self, *answers: bytes | None) -> None:
        self._answers = list(answers)
        self.requests: list[bytes] = []

    def next(self) -> bytes | None:
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def posts(script: Script) -> list[bytes]:
    """
    The requests that would change something.
    """
    return [line for line in script.requests if line.startswith(b"POST")]


class Scripted(Protocol):
    """
    One connection to a server with a script.
    """

    def __init__(self, script: Script, *, hangs_up: bool = True) -> None:
        self._script = script
        self._hangs_up = hangs_up

    def dataReceived(self, data: bytes) -> None:
        self._script.requests.append(data.split(b"\r\n", 1)[0])
        answer = self._script.next()
        transport: Any = self.transport
        if answer is not None:
            transport.write(answer)
        if answer != b"" and self._hangs_up:
            transport.loseConnection()


class ScriptedFactory(Factory):
    """
    Connections to a server with a script.
    """

    noisy = False
    hangs_up = True

    def __init__(self, script: Script) -> None:
        self._script = script

    def buildProtocol(self, addr: object) -> Scripted:
        return Scripted(self._script, hangs_up=self.hangs_up)


@contextmanager
def serving(listen: Callable[[], Any]) -> Iterator[int]:
    """
    A server's port number, until the end of the block.
    """

    async def begin() -> Any:
        return listen()

    port = in_reactor(begin)

    async def end() -> None:
        await port.stopListening()

    try:
        yield port.getHost().port
    finally:
        in_reactor(end)


def asked(certificates: ClusterCertificates, port: int | list[int], call: Any, patience: Patience | None = None) -> Any:
    """
    What a client's call to one port or several answers.
    """
    ports = [port] if isinstance(port, int) else port

    async def connected() -> Any:
        addresses = [f"127.0.0.1:{each}" for each in ports]
        client = ControlClient(REACTOR, certificates.user, addresses, patience=patience)
        try:
            return await call(client)
        finally:
            await client.close()

    return in_reactor(connected)


def answered(certificates: ClusterCertificates, script: Script, call: Any, patience: Patience | None = None) -> Any:
    """
    What a client's call to a server with a script answers.
    """
    factory = ScriptedFactory(script)
    options = api_server_options(certificates.control)
    with serving(lambda: REACTOR.listenSSL(0, factory, options, interface="127.0.0.1")) as port:
        return asked(certificates, port, call, patience)


def test_answer(certificates: ClusterCertificates) -> None:
    """
    A good answer is a record.
    """
    assert answered(certificates, Script(http(200, NODES)), lambda client: client.nodes()).revision == 7


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (http(200, b"hello"), AnswerUnreadable, "the answer is not JSON"),
        (http(200, b"\xff"), AnswerUnreadable, "the answer is not JSON"),
        (http(200, b'{"nodes": []}'), AnswerUnreadable, "$.revision"),
        (http(404, b"<html>", "text/html"), AnswerUnreadable, "status 404 without an explanation"),
        (http(502, b"<html>", "text/html"), ControlFailed, "failed without an explanation (status 502)"),
        (http(500, b'{"description": "Oh.", "incident": "i@1"}'), ControlFailed, "Oh (status 500, incident i@1)"),
        (http(500, b'"task@1"'), ControlFailed, "failed without an explanation (status 500, incident task@1)"),
        (http(409, b'{"code": "PortInUse", "description": "Taken."}'), RequestRefused, "Taken"),
        (
            http(400, b'{"code": "X", "description": "No.", "errors": [{"pointer": ["a"], "text": "too long"}]}'),
            RequestRefused,
            "No. too long",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", AnswerUnreadable, "does not speak HTTP"),
        (None, ControlUnreachable, "the connection was lost before the answer had arrived"),
        (http(200, NODES)[:-5], ControlUnreachable, "the connection was lost"),
    ],
)
def test_answers_that_are_none(
    certificates: ClusterCertificates, answer: bytes | None, error: type[Exception], text: str
) -> None:
    """
    What isn't an answer of this API is an error that says what it is instead.
    """
    with pytest.raises(error) as caught:
        answered(certificates, Script(answer), lambda client: client.nodes())

    assert text in str(caught.value)


def test_looking_is_tried_again(certificates: ClusterCertificates) -> None:
    """
    A call that changes nothing survives lost connections.
    """
    script = Script(None, http(200, NODES)[:-5], http(200, NODES))

    assert answered(certificates, script, lambda client: client.nodes()).revision == 7


def test_failures_of_the_service_are_tried_again(certificates: ClusterCertificates) -> None:
    """
    A call that changes nothing is tried again when the service fails.
    """
    failed = http(503, b'{"code": "StoreFull", "description": "Full."}')
    script = Script(failed, failed, http(200, NODES))

    assert answered(certificates, script, lambda client: client.nodes()).revision == 7


def test_failure_that_lasts(certificates: ClusterCertificates) -> None:
    """
    If it goes on failing, the error has the service's code and text.
    """
    script = Script(http(503, b'{"code": "StoreFull", "description": "Full."}'))
    with pytest.raises(ControlFailed) as caught:
        answered(certificates, script, lambda client: client.nodes())

    assert (caught.value.status, caught.value.code, caught.value.description) == (503, "StoreFull", "Full.")


def test_change_that_failed_is_not_asked_for_again(certificates: ClusterCertificates) -> None:
    """
    What may have been done although the service failed isn't asked for again.
    """
    script = Script(http(500, b'{"description": "Oh."}'))
    with pytest.raises(ControlFailed):
        answered(certificates, script, lambda client: client.apply({}, 1))

    assert posts(script) == [b"POST /v2/apply HTTP/1.1"]


@pytest.mark.parametrize("harmless", [True, False])
def test_first_address_is_another_cluster(certificates: ClusterCertificates, tmp_path: Path, harmless: bool) -> None:
    """
    An address at which another cluster answers is passed over, and is sent nothing.
    """
    stranger, own = Script(http(200, NODES)), Script(http(200, NODES))
    options = [api_server_options(each.control) for each in (make_cluster(tmp_path), certificates)]
    with (
        serving(lambda: REACTOR.listenSSL(0, ScriptedFactory(stranger), options[0], interface="127.0.0.1")) as first,
        serving(lambda: REACTOR.listenSSL(0, ScriptedFactory(own), options[1], interface="127.0.0.1")) as second,
    ):
        asked(certificates, [first, second], lambda client: client.answer("POST", "/v2/x", {}, harmless=harmless))

    assert (stranger.requests, posts(own)) == ([], [b"POST /v2/x HTTP/1.1"])


def test_two_other_clusters(certificates: ClusterCertificates, tmp_path: Path) -> None:
    """
    If no address can be trusted, that is the error, and it names all.
    """
    factory = ScriptedFactory(Script(http(200, NODES)))
    options = api_server_options(make_cluster(tmp_path).control)
    with (
        serving(lambda: REACTOR.listenSSL(0, factory, options, interface="127.0.0.1")) as first,
        serving(lambda: REACTOR.listenSSL(0, factory, options, interface="127.0.0.1")) as second,
        pytest.raises(ControlNotTrusted) as caught,
    ):
        asked(certificates, [first, second], lambda client: client.nodes())

    assert [f"127.0.0.1:{port}" in str(caught.value) for port in (first, second)] == [True, True]


def test_failure_tells_more_than_silence(certificates: ClusterCertificates) -> None:
    """
    If one address is dead and the other fails, the failure is told.
    """
    options = api_server_options(certificates.control)
    factory = ScriptedFactory(Script(http(500, b'{"description": "Oh."}')))
    with (
        dead_port() as dead,
        serving(lambda: REACTOR.listenSSL(0, factory, options, interface="127.0.0.1")) as port,
        pytest.raises(ControlFailed),
    ):
        asked(certificates, [dead, port], lambda client: client.nodes())


def test_expired_certificate(certificates: ClusterCertificates, tmp_path: Path) -> None:
    """
    A control service whose certificate has expired isn't trusted, and is sent nothing.
    """
    begun = datetime.now(UTC) - timedelta(days=30)
    expired = issued(certificates.authority, ControlIdentity(), begun, lifetime_days=9)
    with (
        impostor(certificates, expired, tmp_path) as (port, received),
        pytest.raises(ControlNotTrusted, match="it has expired"),
    ):
        asked(certificates, port, lambda client: client.nodes())

    assert received == []


def test_silent_stream_of_events(certificates: ClusterCertificates) -> None:
    """
    A stream of events that says nothing any more ends.
    """
    script = Script(b"HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\n\r\nid: 1\ndata: a\n\n", b"")
    seen: list[str] = []

    async def followed(client: ControlClient) -> None:
        async for event in client.events(0):
            seen.append(event.data)

    options = api_server_options(certificates.control)
    factory = ScriptedFactory(script)
    factory.hangs_up = False
    with serving(lambda: REACTOR.listenSSL(0, factory, options, interface="127.0.0.1")) as port:
        asked(certificates, port, followed, Patience(silence_seconds=0.5))

    assert seen == ["a"]


def test_applying_is_not_done_twice(certificates: ClusterCertificates) -> None:
    """
    A call that may have changed something is not sent again when the connection is lost.
    """
    script = Script(None)
    with pytest.raises(ControlUnreachable):
        answered(certificates, script, lambda client: client.apply({}, 1))

    assert posts(script) == [b"POST /v2/apply HTTP/1.1"]


def test_no_answer(certificates: ClusterCertificates) -> None:
    """
    A service that says nothing is given up after a while.
    """
    with pytest.raises(ControlUnreachable, match=r"no answer for 0\.2 seconds"):
        answered(certificates, Script(b""), lambda client: client.nodes(), patience=Patience(answer_seconds=0.2))


def test_port_of_the_agents(certificates: ClusterCertificates) -> None:
    """
    A user that calls the agents' port is turned away by its certificate.
    """
    options = agents_server_options(certificates.control)
    factory = ScriptedFactory(Script(http(200, NODES)))
    with (
        serving(lambda: REACTOR.listenSSL(0, factory, options, interface="127.0.0.1")) as port,
        pytest.raises(ControlNotTrusted),
    ):
        asked(certificates, port, lambda client: client.nodes())


def test_another_cluster(certificates: ClusterCertificates, tmp_path: Path) -> None:
    """
    The control service of another cluster isn't trusted, and the error says what to use.
    """
    other = make_cluster(tmp_path)
    options = api_server_options(other.control)
    factory = ScriptedFactory(Script(http(200, NODES)))
    with (
        serving(lambda: REACTOR.listenSSL(0, factory, options, interface="127.0.0.1")) as port,
        pytest.raises(ControlNotTrusted) as caught,
    ):
        asked(certificates, port, lambda client: client.nodes())

    assert "Use certificates of the same cluster" in explanation(caught.value)


def test_server_without_tls(certificates: ClusterCertificates) -> None:
    """
    A server that doesn't speak TLS is not trusted.
    """
    factory = ScriptedFactory(Script(http(200, NODES)))
    with (
        serving(lambda: REACTOR.listenTCP(0, factory, interface="127.0.0.1")) as port,
        pytest.raises(ControlNotTrusted),
    ):
        asked(certificates, port, lambda client: client.nodes())


def test_nothing_listens(certificates: ClusterCertificates) -> None:
    """
    A port where nothing listens is told as that.
    """
    with dead_port() as port, pytest.raises(ControlUnreachable, match="nothing is listening there"):
        asked(certificates, port, lambda client: client.nodes())


def test_names_with_odd_characters(tmp_path: Path, certificates: ClusterCertificates) -> None:
    """
    A name is one part of a path, whatever is in it.
    """
    with rest_cluster(tmp_path, certificates=certificates) as cluster, pytest.raises(RequestRefused) as caught:
        cluster.report(A)
        asked(certificates, cluster.port, lambda client: client.dataset("../nodes?x#y"))

    assert caught.value.status == 404


def test_events_of_the_past(tmp_path: Path, certificates: ClusterCertificates) -> None:
    """
    Events are told from a revision on, in order, and those to come after them.
    """
    seen: list[str] = []

    async def followed(client: ControlClient) -> None:
        async for event in client.events(0):
            if event.name == "committed":
                seen.append(event.event_id)
            if len(seen) == 2:
                return

    with rest_cluster(tmp_path, certificates=certificates) as cluster:
        cluster.report(A)
        cluster.post("/v2/datasets", {"primary": str(A)})
        asked(certificates, cluster.port, followed)

    assert seen == ["1", "2"]


def test_stream_of_events_that_is_none(certificates: ClusterCertificates) -> None:
    """
    An error instead of a stream is an error.
    """
    body = json.dumps({"code": "HistoryGone", "description": "Too old."}).encode("ascii")

    async def followed(client: ControlClient) -> None:
        async for _event in client.events(0):
            pass

    with pytest.raises(EventsGone, match="Too old"):
        answered(certificates, Script(http(410, body)), followed)
